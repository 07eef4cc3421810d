"""Header values that PUBLISH and SUBSCRIBE share. Pure.

Implements: RFC 6665 §8.2.1, §8.4 (Event), RFC 3261 §20.1, §20.19 (Accept, Expires). The invariant: a value that can't be read
is a ParseError, never a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sipnode.errors import ParseError
from sipnode.sip.grammar import parse_params

if TYPE_CHECKING:
    from sipnode.sip.message import SipMessage

_LARGEST: Final = (1 << 32) - 1
LONGEST: Final = 255
"""Characters of a value that has to fit into a column of Kamailio's tables."""


class Refused(Exception):
    """A request that is answered with a status.

    Args:
        headers: ``(canonical name, value)`` of the response.
    """

    def __init__(self, status: int, reason: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(f"{status} {reason}".strip())
        self.status = status
        self.reason = reason
        self.headers = tuple(headers)


def event_of(message: SipMessage) -> tuple[str, str]:
    """(package in lower case, ``id`` parameter or "") of Event; ("", "") where there is none.

    Raises:
        ParseError: parameters that can't be read, or an id too long to be kept.
    """
    value = message.get("event")
    if value is None:
        return "", ""
    name, semicolon, rest = value.partition(";")
    name = name.strip().lower()
    if not semicolon:
        return name, ""
    event_id = parse_params(f";{rest}").get("id", "")
    if len(event_id) > 64 or not event_id.isprintable():
        raise ParseError("an Event id that can't be kept")
    return name, event_id


def expires_of(message: SipMessage, default: int) -> int:
    """Seconds of Expires.

    Raises:
        ParseError: it isn't a number.
    """
    value = message.get("expires")
    if value is None:
        return default
    if not (value.isascii() and value.isdigit()) or len(value) > 12:
        raise ParseError("an Expires that can't be read")
    return min(int(value), _LARGEST)


def granted(seconds: int, least: int, most: int) -> int:
    """Seconds that are given for those that were asked for.

    Raises:
        Refused: 423 (RFC 3903 §6 step 4; RFC 6665 §4.2.1.1 keeps it for less than an hour).
    """
    if 0 < seconds < least:
        raise Refused(423, "", (("min-expires", str(least)),))
    return min(seconds, most)


def type_of(value: str | None) -> str:
    """A media type in lower case without parameters."""
    return (value or "").partition(";")[0].strip().lower()


def acceptable(message: SipMessage, types: Sequence[str]) -> str:
    """The first of a package's types that an Accept takes; the package's first where there is no Accept.

    Raises:
        Refused: 406, none of them.
        ParseError: Accept can't be read.
    """
    if "accept" not in message:
        return types[0]
    wanted = {type_of(value) for value in message.values("accept")}
    for name in types:
        if name in wanted or "*/*" in wanted or f"{name.partition('/')[0]}/*" in wanted:
            return name
    raise Refused(406, "", (("accept", ", ".join(types)),))


def encoded(message: SipMessage) -> bool:
    """Whether a body came in an encoding other than none."""
    return type_of(message.get("content-encoding")) not in ("", "identity")
