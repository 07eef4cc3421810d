"""Texts of a REGISTER as the columns of the location table hold them, and back into the 200.

Implements: RFC 3261 §10.3 step 8, §20.10, §20.17, §20.19; RFC 3840 §6 (``methods``). Pure.
"""

from __future__ import annotations

import re
import time
from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING, Final

from sipnode.errors import ParseError
from sipnode.sip.grammar import quote

if TYPE_CHECKING:
    from sipnode.records import Binding
    from sipnode.sip.message import SipRequest

ALL_METHODS: Final = 0xFFFFFFFF
OTHER_METHOD: Final = 524288
METHOD_BITS: Final[dict[str, int]] = {
    "INVITE": 1,
    "CANCEL": 2,
    "ACK": 4,
    "BYE": 8,
    "INFO": 16,
    "REGISTER": 32,
    "SUBSCRIBE": 64,
    "NOTIFY": 128,
    "MESSAGE": 256,
    "OPTIONS": 512,
    "PRACK": 1024,
    "UPDATE": 2048,
    "REFER": 4096,
    "PUBLISH": 8192,
}
"""Bits of the column ``methods``, numbered as Kamailio does."""

MAX_SECONDS: Final = 2**32 - 1
MAX_TEXT: Final = 255
_Q: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


def contact_value(binding: Binding, now: float) -> str:
    """A binding as it stands in the 200 (RFC 3261 §10.3 step 8): the contact as given, its remaining seconds, and ``q``,
    instance and reg-id where they were given.
    """
    value = f"<{binding.contact}>;expires={max(round(binding.expires - now), 0)}"
    if binding.q != 1.0:
        value += f";q={binding.q:.3f}".rstrip("0").rstrip(".")
    if binding.instance:
        value += f";+sip.instance={quote(binding.instance)}"
        if binding.reg_id:
            value += f";reg-id={binding.reg_id}"
    return value


def storable(text: str, limit: int) -> bool:
    """Whether a text fits a column. Control characters and octets that aren't UTF-8 would fail a whole batch of writes,
    other people's with it.
    """
    return len(text) <= limit and text.isprintable()


def is_number(text: str) -> bool:
    """Whether a text is decimal digits only."""
    return text.isascii() and text.isdigit()


def seconds_value(digits: str) -> int:
    """Digits as seconds; more than 2**32-1 counts as that (RFC 3261 §20.19)."""
    if len(digits) > 10:
        digits = digits.lstrip("0") or "0"
    return min(int(digits), MAX_SECONDS) if len(digits) <= 10 else MAX_SECONDS


def q_value(text: str) -> float:
    """A ``q`` parameter, 0..1.

    Raises:
        ParseError: not a qvalue.
    """
    if not _Q.fullmatch(text):
        raise ParseError("a q that can't be read")
    return float(text)


def agent(text: str) -> str:
    """User-Agent as it is stored; many bindings share one text."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "?" for c in text)
    return intern(text[:MAX_TEXT])


def methods_of(request: SipRequest, params: dict[str, str]) -> int:
    """Bits of the methods that a contact takes: of its own ``methods`` parameter (RFC 3840 §6), else of Allow; all bits
    where neither is there.
    """
    text = params.get("methods")
    if text is None:
        text = request.get("allow")
        if text is None:
            return ALL_METHODS
        if request.names.count("allow") > 1:
            text = ",".join(request.get_all("allow"))
    return _mask(text) if len(text) <= MAX_TEXT else _mask.__wrapped__(text)


@lru_cache(maxsize=1024)
def _mask(text: str) -> int:
    mask = 0
    for name in text.split(","):
        name = name.strip()
        if name:
            mask |= METHOD_BITS.get(name, OTHER_METHOD)
    return mask


@lru_cache(maxsize=2)
def date_value(second: int) -> str:
    """RFC 3261 §20.17: RFC 1123 format, always GMT."""
    moment = time.gmtime(second)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[moment.tm_wday]
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[moment.tm_mon - 1]
    return f"{day}, {moment.tm_mday:02d} {month} {moment.tm_year:04d} {moment.tm_hour:02d}:{moment.tm_min:02d}:{moment.tm_sec:02d} GMT"
