"""Why a line of a message was changed on its way: which rule of SIP, which stage of the routing script, what the media relay said. Pure.

Implements: RFC 3261 §16.4, §16.6, §16.7, §18.2.1, §20.14; RFC 3581 §4; RFC 8599, as far as a changed line tells which of it was applied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Code = Callable[[str], str]
"""File and line of a stage of the routing script, "" where that isn't known."""
_PLAIN: Final = {
    "max-forwards": ("one less at each hop (RFC 3261 16.6)", ""),
    "record-route": ("the dialog's later requests come by sipnode, too (RFC 3261 16.6)", "record"),
    "authorization": ("credentials are for sipnode alone", "auth"),
    "proxy-authorization": ("credentials are for sipnode alone", "auth"),
    "content-length": ("of the new body", ""),
    "path": ("where the callee's own edge is (RFC 3327)", "location"),
    "refer-to": ("the script's change", ""),
}
_BODY: Final = ("manage_branch", "manage_reply")


def reason_of(sign: str, line: str, in_body: bool, is_request: bool, relayed: bool, code: Code) -> str:
    """Why a line was taken out or put in, with file and line where a stage did it.

    Args:
        sign: ``-`` or ``+``.
        in_body: It is of the body. is_request: Of a request.
        relayed: The media relay has answered meanwhile.
    """
    if in_body:
        if relayed:
            return _at("as the media relay answered", _BODY[not is_request], code)
        return "the body was changed by the routing script"
    name = line.partition(":")[0].strip().lower()
    if name == "via":
        return _via(sign, line, is_request)
    if name == "route":
        return "it named sipnode, and is done with (RFC 3261 16.4)" if sign == "-" else "where it goes next (RFC 3261 16.6)"
    if name == "contact" and sign == "+":
        text = "with the address that it really came from, as it is behind NAT or a WebSocket"
        return _at(text, "natdetect", code) if "alias=" in line else ""
    if name == "record-route" and not is_request:
        return "the other end gets a seal of its own"
    if name in _PLAIN:
        return _at(*_PLAIN[name], code)
    if line.endswith(" SIP/2.0") and sign == "+":
        return _at("where the callee is registered, or the script sends it to", "location", code)
    if sign == "+" and name in ("server", "user-agent"):
        return "sipnode's own"
    return ""


def _via(sign: str, line: str, is_request: bool) -> str:
    if not is_request:
        return "sipnode's own; the answer has come by it (RFC 3261 16.7)" if sign == "-" else ""
    if sign == "+" and ";received=" in line:
        return "where it really came from (RFC 3261 18.2.1, RFC 3581)"
    return "so that the answer comes by sipnode (RFC 3261 16.6)" if sign == "+" else ""


def _at(text: str, stage: str, code: Code) -> str:
    place = code(stage) if stage else ""
    return f"{text} · {stage}, {place}" if place else text
