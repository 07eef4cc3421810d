"""Where a request inside a dialog goes: as our sealed Route says, or a Contact that we have sealed since; never as it alone says.

Implements: RFC 3261 §12.2, §16.4, §16.5. The invariant: a Route opens the dialog that it was made for, and no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.errors import ParseError, Reject
from sipnode.nat.alias import handle_ruri_alias
from sipnode.proxy.record_route import taken_over
from sipnode.proxy.target import Target
from sipnode.routing.verdict import BranchFlag
from sipnode.sip.uri import SipUri

if TYPE_CHECKING:
    from sipnode.proxy.seal import RouteState
    from sipnode.routing.core import Core
    from sipnode.sip.message import SipRequest


def other_end(core: Core, request: SipRequest, route: RouteState, now: float) -> Target:
    """The other end of the dialog of a request.

    Args:
        route: What our Route said; it loses the Routes of a node whose browser has come here.
        now: Epoch seconds.

    Raises:
        Reject: 403, Routes of other proxies remain and aren't those of this dialog.
    """
    signer = core.signer
    far = taken_over(route, request, signer, core.has_key) if route.routes else route.far
    uri, seal = signer.unsealed(route.uri or request.uri)
    moved = signer.read_contact(seal, request.call_id, request.to.tag, now) if seal else None
    if (route.routes or route.mark) and not signer.agrees(route, None if moved is not None else uri):
        raise Reject(403, "Not The Way Of This Dialog")
    if not route.routes:
        # Else it is the next proxy's to read: it or one behind it wrote it.
        uri, _ = handle_ruri_alias(uri)
        far = moved or far
        if ";gr" in uri:
            uri = _contact_of(core, uri, far.key)
    target = Target(uri if uri != request.uri else "", far.flow, far.key, websocket=far.websocket, reach=far)
    if far.key and core.trunks is not None:
        target.provider = core.trunks.of_key(far.key)
    if far.natted:
        target.flags = BranchFlag.NATB
        if not far.flow:
            target.host, target.port = far.host, far.port
    return target


def _contact_of(core: Core, uri: str, key: str) -> str:
    """The contact behind a GRUU of ours inside a dialog (RFC 5627 §5.4), by whom it leads to: the device that was sealed, even where its
    registration has another Call-ID since. The URI itself where that device isn't registered.
    """
    try:
        gruu = SipUri.parse(uri)
    except ParseError:
        return uri
    binding = core.registrar.by_key(key) if key and "gr" in gruu.params and core.is_local(gruu.host) else None
    return binding.contact if binding is not None else uri
