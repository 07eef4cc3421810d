"""Contacts that no REGISTER gets in: those that lead back to this server, and those that it may not send to. Pure.

Implements: RFC 3261 §10.3 step 5 (local policy), RFC 5393 §3 (a loop that multiplies itself begins with a contact that leads back).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sipnode.errors import ParseError
from sipnode.records import BindingFlag
from sipnode.sip.hosts import normal_host
from sipnode.sip.uri import unescape

if TYPE_CHECKING:
    from sipnode.registrar.origin import Source
    from sipnode.sip.uri import SipUri

LEADS_BACK: Final = "Contact Leads Back Here"
NOT_REACHED: Final = "Contact Address Not Allowed"

_NATB: Final = int(BindingFlag.NATB)
_WEBSOCKET: Final = int(BindingFlag.RTPWS)
_PORTS: Final = {"tls": 5061, "wss": 443, "ws": 80}


class ContactPolicy:
    """Judges contacts that a REGISTER wants to add.

    Args:
        is_domain: Whether a host is a domain of ours.
        is_own: ``(host, port) -> bool``: whether a listener of ours is there, bound or advertised; port 0 is a transport's own.
        refusal: ``(address, port, peer) -> str``: why an address isn't sent to because that peer named it, "" where it is.
        own_host: Whether a host is bound or advertised by us, at whatever port.
    """

    __slots__ = ("_is_domain", "_is_own", "_own_host", "_refusal")

    def __init__(
        self,
        is_domain: Callable[[str], bool],
        is_own: Callable[[str, int], bool],
        refusal: Callable[[str, int, str], str],
        own_host: Callable[[str], bool],
    ) -> None:
        self._is_domain = is_domain
        self._is_own = is_own
        self._own_host = own_host
        self._refusal = refusal

    def __call__(self, uri: SipUri, source: Source) -> str:
        """Why the contact isn't taken, as a reason phrase; "" where it is.

        Args:
            uri: The contact's.
            source: Where the REGISTER came from.
        """
        if source.connection_id and source.cflags & _WEBSOCKET:
            # Reached down its connection and by nothing else: what the URI says is a name for the browser itself.
            return ""
        for host, port in _places(uri):
            if self._is_domain(host) or self._is_own(host, port) or (not port and self._is_own_name(host)):
                return LEADS_BACK
            # One behind NAT is reached where it was seen. A contact stored for this machine came from this machine.
            if not source.cflags & _NATB and _is_literal(host) and self._refusal(host.strip("[]"), port or 5060, source.peer):
                return NOT_REACHED
        return ""

    def _is_own_name(self, host: str) -> bool:
        """Whether a host is a name of ours, of which the DNS may say any port."""
        return not _is_literal(host) and self._own_host(host)


def _places(uri: SipUri) -> list[tuple[str, int]]:
    """Every ``(host, port)`` that some reading of a URI leads to: its host, ``maddr``, ``alias``."""
    port = uri.port or (5061 if uri.secure else _PORTS.get(uri.params.get("transport", "").lower(), 0))
    places = [(uri.host, port)]
    if "maddr" in uri.params:
        places.append((normal_host(unescape(uri.params["maddr"])), port))
    if "alias" in uri.params:
        host, _, rest = unescape(uri.params["alias"]).partition("~")
        number = rest.partition("~")[0]
        if not (number.isascii() and number.isdigit()):
            raise ParseError("an alias that can't be read")
        places.append((normal_host(host), int(number)))
    return places


def _is_literal(host: str) -> bool:
    return host[:1] == "[" or host.replace(".", "").isdigit()
