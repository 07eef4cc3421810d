"""SDP: the facts about the one who made it, and its text made fit for the relay and for browsers.

Pure. Implements: RFC 8866 (m=, c=, o=), RFC 8839 §4, §5 (ICE in SDP), RFC 9143 (BUNDLE), RFC 4568 (a=crypto), RFC 5763 (DTLS-SRTP).

The one invariant: lines that have nothing to do with the question at hand stay as they are, octet for octet.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from sipnode.records import MediaForm

_MEDIA: Final = re.compile(rb"^m=(\S+) (\d+)(?:/\d+)? (\S+)", re.M)
_CONNECTION: Final = re.compile(rb"^c=IN IP([46]) ([^\s/]+)", re.M)
_NAMED: Final = re.compile(
    rb"^(c=IN |o=\S+ \S+ \S+ IN |a=rtcp:\d+ IN )IP[46] ([^\s/]*[g-zG-Z][^\s/]*|[^\s/:]*[A-Za-z][^\s/:]*)(?=[\s/]|\Z)", re.M
)
"""An address that is none: it has letters that no IPv6 address has, or letters and no colon."""
_MID: Final = re.compile(rb"^a=mid:(\S+)", re.M)
_GROUP: Final = re.compile(rb"^a=group:BUNDLE[^\r\n]*\r?\n", re.M)
_REFUSED: Final = re.compile(rb"^m=\S+ 0 ", re.M)
_PORT: Final = re.compile(rb"\A(m=\S+ )\d+")
_TRICKLE: Final = b"a=ice-options:trickle"
_HOST_CANDIDATE: Final = re.compile(rb"^(a=candidate:\S+ \d+ \S+ \d+ )(\S+)( \d+ typ host)", re.M)

UNBUNDLED: Final = '304 sipnode "The media relay bundles no media: of what a max-bundle browser offers, the first alone gets through"'
"""Said to a browser whose video, or whatever it has offered second, isn't in the answer (RFC 3261 §20.43)."""


class SdpForm(NamedTuple):
    """Facts of an SDP about its sender.

    Attributes:
        form: How its media is carried.
        protocols: Of its RTP m-lines, each once, in order; empty where it has none, as T.38 alone.
        family: ``IP4`` or ``IP6`` of its first c-line, "" for none.
        bundle: It has a group BUNDLE.
        bundled: It has an m-line without a way of its own, which goes by that of another, as browsers with ``max-bundle`` write.
    """

    form: MediaForm
    protocols: tuple[str, ...]
    family: str
    bundle: bool
    bundled: bool = False

    @property
    def protocol(self) -> str:
        """The transport of all its RTP m-lines, "" where they differ or there are none."""
        return self.protocols[0] if len(self.protocols) == 1 else ""


# The same body is asked about at each step of its message; a table of them is no more than these few.
@lru_cache(maxsize=32)
def form_of(sdp: bytes) -> SdpForm:
    """Read the facts of an SDP about its sender; any octets have an answer."""
    lines = [(int(port[:6]), protocol) for _, port, protocol in _MEDIA.findall(sdp) if b"RTP/" in protocol]
    # A rejected m-line keeps the protocol of one who couldn't take it.
    found = [protocol for port, protocol in lines if port] or [protocol for _, protocol in lines]
    protocols = tuple(dict.fromkeys(protocol.decode("ascii", "replace") for protocol in found))
    secure = any("SAVP" in protocol for protocol in protocols)
    dtls = secure and b"a=fingerprint:" in sdp
    if dtls:
        form = MediaForm.WEBRTC if b"a=ice-ufrag:" in sdp else MediaForm.DTLS
    else:
        form = MediaForm.SDES if secure else MediaForm.PLAIN
    connection = _CONNECTION.search(sdp)
    bundle = b"a=group:BUNDLE" in sdp
    family = "IP" + connection.group(1).decode() if connection else ""
    return SdpForm(form, protocols, family, bundle, bundle and any(map(_is_bundled, _behind_the_first(sdp))))


def with_mids(sdp: bytes, other: bytes) -> bytes:
    """An SDP whose m-lines have the names that those of another have: a browser takes no offer in which they have changed (RFC 8829 §5.10).

    Args:
        other: The browser's own SDP; without names the first one stays as it is.
    """
    if b"a=mid:" in sdp or b"a=mid:" not in other:
        return sdp
    head, *media = _sections(sdp)
    for at, section in enumerate(_sections(other)[1 : len(media) + 1]):
        mid = _MID.search(section)
        if mid is not None:
            end = b"\r\n" if b"\r\n" in media[at] else b"\n"
            media[at] = b"".join((media[at].rstrip(b"\r\n"), end, b"a=mid:", mid.group(1), end))
    return b"".join((head, *media))


def _behind_the_first(sdp: bytes) -> list[bytes]:
    """The parts of the m-lines behind the first, where that one brings its candidates; else nothing can be told of them."""
    if sdp.count(b"\nm=") < 2:
        return []
    _, first, *others = _sections(sdp)
    return others if b"a=candidate:" in first else []


def _is_bundled(section: bytes) -> bool:
    """Whether an m-line is to go by the way of another one."""
    return b"a=bundle-only" in section or (b"a=candidate:" not in section and not section.partition(b" ")[2].startswith(b"0 "))


def unbundled(sdp: bytes) -> bytes:
    """An offer without the m-lines that have no way of their own: to a relay that bundles nothing they would get one that the browser,
    which has none for them, takes for a fault of the whole answer.
    """
    others = _behind_the_first(sdp)
    if not any(map(_is_bundled, others)):
        return sdp
    head, first, *_ = _sections(sdp)
    return b"".join((head, first, *(_PORT.sub(rb"\g<1>0", one, 1) if _is_bundled(one) else one for one in others)))


def left_out(offer: SdpForm, answer: bytes) -> bool:
    """Whether an m-line that was offered without a way of its own isn't in the answer."""
    return offer.bundled and _REFUSED.search(answer) is not None


def readable(sdp: bytes, form: MediaForm, host: str) -> bytes:
    """An SDP in the words that the relay reads.

    A host name in place of an address, also one of mDNS, becomes the address that its sender's message came from, or with WebRTC
    "none yet": there the candidates count. ``trickle`` that is said for the whole session is said for each m-line, without which
    the relay takes port 9 of 0.0.0.0 for a call on hold.

    Args:
        form: Of the SDP.
        host: The sender's true address.
    """
    named = _NAMED.search(sdp) is not None
    webrtc = form is MediaForm.WEBRTC
    if not (named or (webrtc and b"0.0.0.0" in sdp)):
        return sdp
    if named:
        address = b"IP4 0.0.0.0" if webrtc else _address(host)
        sdp = _NAMED.sub(rb"\1" + address, sdp)
    if webrtc:
        return b"".join(_trickled(section, b"c=IN IP4 0.0.0.0" in sdp.partition(b"m=")[0]) for section in _sections(sdp))
    return sdp


def _address(host: str) -> bytes:
    literal = host.strip("[]")
    return (b"IP6 " if ":" in literal else b"IP4 ") + literal.encode("ascii", "replace")


def _sections(sdp: bytes) -> list[bytes]:
    """The session's part, then one for each m-line."""
    return re.split(rb"(?m)^(?=m=)", sdp)


def _trickled(section: bytes, unknown: bool) -> bytes:
    """An m-line's part with ``trickle`` where its address isn't known yet; the session's without."""
    end = b"\r\n" if b"\r\n" in section else b"\n"
    if not section.startswith(b"m="):
        return re.sub(rb"(?m)^a=ice-options:[^\r\n]*\r?\n", b"", section)
    if b"c=IN IP4 0.0.0.0" not in section and (b"c=IN" in section or not unknown):
        return section
    section = re.sub(rb"\A(m=\S+ )(?!0 )\d+", rb"\g<1>9", section)
    if _TRICKLE not in section:
        section = section.rstrip(b"\r\n") + end + _TRICKLE + end
    return section


def finished(sdp: bytes, form: MediaForm, bundle: bool, address: str) -> bytes:
    """The relay's SDP as a browser takes it.

    The relay gives each m-line ports of its own, so a group BUNDLE that it could keep holds one m-line alone, the first that isn't
    rejected. A browser with ``max-bundle`` takes no SDP without a group.

    Args:
        form: Of the receiver; for others than WebRTC the SDP stays as it is.
        bundle: Whether a group is wanted.
        address: ``[media] media_address``, which the candidates have to carry too; "" for none.
    """
    if form is not MediaForm.WEBRTC:
        return sdp
    if address:
        kind = b":" if ":" in address else b"."
        literal = address.strip("[]").encode("ascii", "replace")
        sdp = _HOST_CANDIDATE.sub(lambda m: m.group(1) + (literal if kind in m.group(2) else m.group(2)) + m.group(3), sdp)
    if not bundle or b"a=group:BUNDLE" in sdp:
        return sdp
    head, *media = _sections(sdp)
    for section in media:
        mid = _MID.search(section)
        if mid is not None and not re.match(rb"m=\S+ 0 ", section):
            end = b"\r\n" if b"\r\n" in head else b"\n"
            return b"".join((head.rstrip(b"\r\n"), end, b"a=group:BUNDLE ", mid.group(1), end, *media))
    return sdp
