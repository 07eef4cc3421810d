"""A Contact that we passed on, used outside of its dialog: attended transfer, MESSAGE, OPTIONS, REFER, SUBSCRIBE to a device.

Implements: RFC 3261 §8.1.1.8 (a Contact may be used outside of the dialog, too), RFC 3891, RFC 5589 §7.1. We wrote ``;alias=`` into it,
so we are the one who can read it. The invariant: it leads to a device that is registered now and came from the very address that the
alias names, and nowhere else; what a message alone says opens no way to anybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.nat.alias import handle_ruri_alias

if TYPE_CHECKING:
    from sipnode.proxy.target import Target
    from sipnode.routing.core import Core


def device_of(core: Core, uri: str) -> Target | None:
    """Where the owner of a Contact with an alias is.

    Args:
        uri: As it stands in a Request-URI.

    Returns:
        None where no device that is registered is meant: then it is a URI like any other.
    """
    plain, alias = handle_ruri_alias(core.signer.unsealed(uri)[0])
    if alias is None:
        return None
    host = f"[{alias.host}]" if ":" in alias.host else alias.host
    transport = alias.transport.lower()
    # In a URI the token of both kinds of WebSocket is ws (RFC 7118 §5.2).
    received = f"sip:{host}:{alias.port};transport={'ws' if transport == 'wss' else transport}"
    binding = core.registrar.by_source(received, plain)
    if binding is None:
        return None
    target = core.target(binding)
    target.uri = plain
    return target
