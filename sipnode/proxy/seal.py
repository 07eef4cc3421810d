"""The state that carries a dialog on, sealed: only we can make it, nobody else can read it, and it opens that dialog alone.

Implements: RFC 5297 (AES-SIV, by ``cryptography``) over a packed form of :class:`RouteState`; RFC 3261 §16.12.1.3 leaves what a
Record-Route URI holds to the proxy. Pure: the time is given.

Four kinds, each but the last bound to the Call-ID and to the tags that are known when it is made:

========  ===========================================  =====================================  =================
kind      made for                                     leads to                               bound to
========  ===========================================  =====================================  =================
CALLER    the end that began the dialog (responses)    the other end, as its answer named it  both tags
CALLEE    the end that is asked (the request itself)   the end that began it                  the caller's tag
CONTACT   both: a Contact inside a dialog, passed on   the party whose Contact it is          that party's tag
FLOW      a registrar behind us, in a Path             the flow that a REGISTER came by       nothing but us
========  ===========================================  =====================================  =================

The invariant: whoever reads a token gets back what was sealed for this dialog, or None; no text whatever raises.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2s
from socket import AF_INET6, inet_ntoa, inet_ntop, inet_pton
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from sipnode.errors import ParseError
from sipnode.records import Holder, Reach
from sipnode.sip.address import NameAddr
from sipnode.sip.uri import SipUri

CALLER: Final = "A"
CALLEE: Final = "B"
CONTACT: Final = "C"
FLOW: Final = "F"

LONGEST: Final = 1024
"""Characters of a token that are looked at; ours have 150 where names are no longer than usual."""
_EPOCH: Final = 1_577_836_800
"""2020-01-01: an expiry counts minutes from here in 24 bits, up to 2051."""

_BRIDGED: Final = 1
_ROUTED: Final = 2
_SESSION: Final = 4
_PADDING: Final = (b"\0\0", b"\0", b"")
_TO_URI: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URI: Final = bytes.maketrans(b"-_", b"+/")
_FLOW: Final = 1
_KEY: Final = 2
_IPV4: Final = 4
_IPV6: Final = 8
_NAME: Final = 12
_TRANSPORT: Final = {"": 0, "UDP": 16, "TCP": 32, "TLS": 48}
_TRANSPORTS: Final = {bits: name for name, bits in _TRANSPORT.items()}
_WEBSOCKET: Final = 64
_NATTED: Final = 128
_WHO: Final = 6
_HALF: Final = 5
_MARK: Final = 2 * _HALF


@dataclass(slots=True)
class RouteState:
    """The content of our Record-Route for one end of a dialog.

    Attributes:
        far: The other end: where a request of the token's holder goes.
        holder: Who may use it.
        bridged: Media goes through the relay.
        node: The relay's node, "" for none.
        call: The relay's name of the call, "" where media doesn't go through it.
        session: An INVITE began the dialog.
        mark: Of the other proxies' Routes and of the far end's Contact (:meth:`Sealer.mark`); b"" where no other proxy is between.
        until: Epoch seconds of its expiry.
        from_caller: The request at hand came from the end that began the dialog.
        routes: Route values that remain after ours.
        uri: Request-URI where a strict router made it ours, else "".
        token: The ``sn`` value itself.
    """

    far: Reach = field(default_factory=Reach)
    holder: Holder = field(default_factory=Holder)
    bridged: bool = False
    node: str = ""
    call: str = ""
    session: bool = False
    mark: bytes = b""
    until: float = 0.0
    from_caller: bool = True
    routes: list[str] = field(default_factory=list)
    uri: str = ""
    token: str = ""

    def media_of(self, sister: RouteState) -> None:
        """See to the media from now on, if that node did."""
        if sister.bridged and not self.bridged:
            self.bridged, self.node, self.call = True, sister.node, sister.call


class Sealer:
    """Seals and opens.

    Args:
        key: 32 octets, the same after a restart and on sister nodes.
    """

    __slots__ = ("_aead", "_key")

    def __init__(self, key: bytes) -> None:
        self._aead = AESSIV(key)
        self._key = blake2s(key, person=b"mark").digest()

    def route(self, kind: str, state: RouteState, call_id: str, caller_tag: str, callee_tag: str = "") -> str:
        """The token of a route: :data:`CALLER` with both tags, :data:`CALLEE` with the caller's alone."""
        # A line end is in none of them, so no two dialogs make the same text.
        return self._seal(kind, _pack(state), f"{kind}\n{call_id}\n{caller_tag}\n{callee_tag}")

    def contact(self, far: Reach, until: float, call_id: str, tag: str) -> str:
        """The seal of a Contact that is passed on inside a dialog.

        Args:
            tag: Of the party whose Contact it is.
        """
        return self._seal(CONTACT, _minutes(until) + _pack_reach(far), f"{CONTACT}\n{call_id}\n{tag}\n")

    def open_route(self, token: str, call_id: str, from_tag: str, to_tag: str) -> RouteState | None:
        """The content of a token for the sender of a request with these tags; None where it isn't ours, or of another dialog or end."""
        kind = token[:1]
        if kind == CALLER:
            octets = self._open(token, f"{CALLER}\n{call_id}\n{from_tag}\n{to_tag}")
        elif kind == CALLEE:
            octets = self._open(token, f"{CALLEE}\n{call_id}\n{to_tag}\n")
        else:
            return None
        return None if octets is None else _unpack(octets, kind == CALLER, token)

    def open_contact(self, token: str, call_id: str, tag: str, now: float) -> Reach | None:
        """Where a Contact of ours leads; None where the seal isn't for that party of that dialog, or is too old."""
        if token[:1] != CONTACT:
            return None
        octets = self._open(token, f"{CONTACT}\n{call_id}\n{tag}\n")
        if octets is None or _until(octets) < now:
            return None
        return _unpack_reach(octets, 3)[0]

    def flow(self, reach: Reach, until: float) -> str:
        """The token of a flow, for a Path."""
        return self._seal(FLOW, _minutes(until) + _pack_reach(reach), f"{FLOW}\n")

    def open_flow(self, token: str, now: float) -> Reach | None:
        """Where a Path of ours leads; None where the seal isn't ours, or is too old."""
        octets = self._open(token, f"{FLOW}\n") if token[:1] == FLOW else None
        if octets is None or _until(octets) < now:
            return None
        return _unpack_reach(octets, 3)[0]

    def mark(self, routes: list[str], contact: str) -> bytes:
        """A mark of the way through other proxies: their URIs, nearest first, and the URI that the last of them is asked for.

        Spellings of proxies and phones (case of hosts, parameters that say nothing of the way) don't count. b"" where
        there are no routes: the way is the Reach alone then.

        Raises:
            ParseError: one can't be read.
        """
        if not routes:
            return b""
        return self._half("\n".join([_core(NameAddr.parse(value).uri) for value in routes])) + self._half(_core_of(contact))

    def agrees(self, mark: bytes, routes: list[str], contact: str | None) -> bool:
        """Whether routes and the URI behind them are those of a mark.

        Args:
            contact: None where another seal has proved it.

        Raises:
            ParseError: one can't be read.
        """
        found = self.mark(routes, contact or "")
        return found[:_HALF] == mark[:_HALF] and (contact is None or found == mark)

    def _half(self, text: str) -> bytes:
        return blake2s(text.encode("utf-8", "surrogateescape"), digest_size=_HALF, key=self._key).digest()

    def _seal(self, kind: str, octets: bytes, bound: str) -> str:
        # So long that base 64 has no bits left over: each letter counts, and each token has one spelling.
        sealed = self._aead.encrypt(octets + _PADDING[len(octets) % 3], [bound.encode("utf-8", "surrogateescape")])
        return kind + b2a_base64(sealed, newline=False).translate(_TO_URI).decode("ascii")

    def _open(self, token: str, bound: str) -> bytes | None:
        if len(token) > LONGEST or not token.isascii() or "+" in token or "/" in token or "=" in token:
            return None
        try:
            sealed = a2b_base64(token[1:].encode("ascii").translate(_FROM_URI), strict_mode=True)
            return self._aead.decrypt(sealed, [bound.encode("utf-8", "surrogateescape")])
        except (InvalidTag, ValueError):
            return None


@lru_cache(maxsize=4096)
def mark_of(identity: str) -> bytes:
    """A short mark of a user of ours, ``user@domain``; b"" for nobody."""
    return blake2s(identity.encode("utf-8", "surrogateescape"), digest_size=_WHO, person=b"who").digest() if identity else b""


def _core_of(contact: str) -> str:
    return _core(SipUri.parse(contact)) if contact else ""


def _core(uri: SipUri) -> str:
    """The parts of a URI that decide where it leads."""
    params = uri.params
    return f"{uri.scheme}:{uri.user}@{uri.host}:{uri.port};{params.get('transport', '').lower()};{params.get('maddr', '').lower()}"


def _minutes(until: float) -> bytes:
    return min(max(0, int(until - _EPOCH) // 60 + 1), 0xFFFFFF).to_bytes(3, "big")


def _until(octets: bytes) -> float:
    return float(int.from_bytes(octets[:3], "big") * 60 + _EPOCH)


def _pack(state: RouteState) -> bytes:
    holder, far = state.holder, state.far
    flags = _SESSION if state.session else 0
    between = b""
    if state.bridged:
        flags |= _BRIDGED
        between = _text(state.node) + _text(state.call)
    if state.mark:
        flags |= _ROUTED
        between += state.mark
    near = _pack_reach(Reach(holder.flow, holder.key, holder.host))
    return b"%b%c%b%b%c%b%b" % (_minutes(state.until), flags, between, near, len(holder.who), holder.who, _pack_reach(far))


def _unpack(octets: bytes, from_caller: bool, token: str) -> RouteState:
    flags, at = octets[3], 4
    node, call, mark = "", "", b""
    if flags & _BRIDGED:
        node, at = _read_text(octets, at)
        call, at = _read_text(octets, at)
    if flags & _ROUTED:
        mark = octets[at : at + _MARK]
        at += _MARK
    near, at = _unpack_reach(octets, at)
    end = at + 1 + octets[at]
    far, _ = _unpack_reach(octets, end)
    holder = Holder(near.host, near.flow, near.key, octets[at + 1 : end])
    bridged, session = bool(flags & _BRIDGED), bool(flags & _SESSION)
    return RouteState(far, holder, bridged, node, call, session, mark, _until(octets), from_caller, [], "", token)


def _pack_reach(reach: Reach) -> bytes:
    bits = _TRANSPORT[reach.transport]
    if reach.websocket:
        bits |= _WEBSOCKET
    if reach.natted:
        bits |= _NATTED
    octets = b""
    if reach.flow:
        bits |= _FLOW
        octets = _text(reach.flow)
    if reach.key:
        bits |= _KEY
        octets += _text(reach.key)
    if reach.host:
        kind, address = _address(reach.host)
        return b"%c%b%b%c%c" % (bits | kind, octets, address, reach.port >> 8, reach.port & 255)
    return b"%c%b" % (bits, octets)


def _unpack_reach(octets: bytes, at: int) -> tuple[Reach, int]:
    bits = octets[at]
    at += 1
    flow = key = host = ""
    port = 0
    if bits & _FLOW:
        flow, at = _read_text(octets, at)
    if bits & _KEY:
        key, at = _read_text(octets, at)
    kind = bits & _NAME
    if kind:
        if kind == _IPV4:
            host = inet_ntoa(octets[at : at + 4])
            at += 4
        elif kind == _IPV6:
            host = inet_ntop(AF_INET6, octets[at : at + 16])
            at += 16
        else:
            host, at = _read_text(octets, at)
        port = octets[at] << 8 | octets[at + 1]
        at += 2
    return Reach(flow, key, host, port, _TRANSPORTS[bits & 48], bits & _WEBSOCKET != 0, bits & _NATTED != 0), at


@lru_cache(maxsize=16384)
def _address(host: str) -> tuple[int, bytes]:
    """Kind and octets of a host; whatever isn't written as it would be read back stays a text."""
    parts = host.split(".")
    if len(parts) == 4 and all(part.isdecimal() and part.isascii() and str(int(part)) == part and int(part) < 256 for part in parts):
        return _IPV4, bytes(int(part) for part in parts)
    if ":" in host:
        try:
            packed = inet_pton(AF_INET6, host)
        except (OSError, ValueError):
            return _NAME, _text(host)
        if inet_ntop(AF_INET6, packed) == host:
            return _IPV6, packed
    return _NAME, _text(host)


def _text(text: str) -> bytes:
    octets = text.encode("utf-8", "surrogateescape")
    if len(octets) > 255:
        raise ParseError("a name too long to be sealed")
    return bytes((len(octets),)) + octets


def _read_text(octets: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + octets[at]
    return octets[at + 1 : end].decode("utf-8", "surrogateescape"), end
