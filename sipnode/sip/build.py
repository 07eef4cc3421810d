"""Messages of our own: responses, ACK and CANCEL of a client transaction, new requests.

Implements: RFC 3261 §8.2.6 (responses), §17.1.1.3 (ACK), §9.1 (CANCEL).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sipnode.errors import ParseError
from sipnode.sip.grammar import line_value, split_commas
from sipnode.sip.headers import PRETTY, pretty
from sipnode.sip.message import SipMessage, SipRequest, SipResponse
from sipnode.sip.status import reason_of

_COPIED: Final = ("from", "to", "call-id", "cseq")


def response_to(
    request: SipRequest,
    status: int,
    reason: str = "",
    to_tag: str = "",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> SipResponse:
    """A response to a request: its Via lines, From, To, Call-ID and CSeq as they came.

    Args:
        to_tag: Given to To when it has none and the response isn't a 100.
        headers: Further ``(canonical name, value)``.
    """
    index = request.index()
    source = request.lines
    vias = request.names.count("via")
    if vias == 1:
        names = ["via"]
        lines = [source[index["via"]]]
    else:
        names = ["via"] * vias
        lines = [line for name, line in zip(request.names, source, strict=True) if name == "via"]
    # A header that must be there once is answered once, even where its second one is the fault.
    for name in _COPIED:
        position = index.get(name, -1)
        if position >= 0:
            line = source[position]
            if name == "to" and to_tag and status > 100 and not _has_tag(request):
                line = f"{line.rstrip()};tag={to_tag}"
            names.append(name)
            lines.append(line)
    for name, value in headers:
        names.append(name)
        lines.append(f"{PRETTY.get(name) or pretty(name)}: {value}")
    names.append("content-length")
    lines.append(f"Content-Length: {len(body)}")
    return SipResponse(status, reason or reason_of(status), names, lines, body)


def _has_tag(request: SipRequest) -> bool:
    try:
        return bool(request.to.tag)
    except ParseError:
        return ";tag=" in (request.get("to") or "").lower()


def request(method: str, uri: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> SipRequest:
    """A new request; Content-Length is added.

    Args:
        headers: ``(canonical name, value)`` in order.
    """
    names: list[str] = []
    lines: list[str] = []
    for name, value in headers:
        names.append(name)
        lines.append(f"{pretty(name)}: {value}")
    names.append("content-length")
    lines.append(f"Content-Length: {len(body)}")
    return SipRequest(method, uri, names, lines, body)


def ack_for(invite: SipRequest, response: SipResponse) -> SipRequest:
    """The ACK of a final response of 300..699, made hop by hop by the client transaction (RFC 3261 §17.1.1.3)."""
    return _like(invite, "ACK", response.get("to") or "", ())


def cancel_for(invite: SipRequest, headers: Iterable[tuple[str, str]] = ()) -> SipRequest:
    """The CANCEL of an INVITE that was sent (RFC 3261 §9.1).

    Args:
        headers: Further ``(canonical name, value)``, such as Reason (RFC 3326).
    """
    return _like(invite, "CANCEL", invite.get("to") or "", headers)


def octets_of(message: SipMessage) -> int:
    """So many a message came in as, or will have about on the wire, without making them."""
    return message.size or len(message.start_line) + sum(map(len, message.lines)) + 2 * len(message.lines) + 4 + len(message.body)


def _like(invite: SipRequest, method: str, to: str, headers: Iterable[tuple[str, str]]) -> SipRequest:
    """A request with the Request-URI, top Via, Route, From, Call-ID and CSeq number of another."""
    line = invite.lines[invite.index()["via"]]
    names = ["via"]
    lines = [line if "," not in line else f"Via: {split_commas(line_value(line))[0]}"]
    for name, line in zip(invite.names, invite.lines, strict=True):
        if name in ("route", "from", "call-id"):
            names.append(name)
            lines.append(line)
    names += ["to", "cseq", "max-forwards"]
    lines += [f"To: {to}", f"CSeq: {invite.cseq} {method}", "Max-Forwards: 70"]
    for name, value in headers:
        names.append(name)
        lines.append(f"{pretty(name)}: {value}")
    names.append("content-length")
    lines.append("Content-Length: 0")
    return SipRequest(method, invite.uri, names, lines)
