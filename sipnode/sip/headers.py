"""Names of header fields: canonical, compact and pretty (RFC 3261 §7.3.3, §20 and the extensions' own compact forms).

Inside the program a header is named by its canonical name: full, in lower case.
"""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")
COMPACT: Final[dict[str, str]] = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
"""Compact form -> canonical name."""

SINGLE: Final = frozenset(
    ("from", "to", "call-id", "cseq", "max-forwards", "content-length", "content-type", "expires", "event", "sip-if-match")
)
"""Headers that a message may have once (a second one is a 400)."""

_PRETTY: Final[list[str]] = (  # noqa: SIM905 (a list of 75 strings is no easier to read)
    "Accept Accept-Contact Accept-Encoding Accept-Language Alert-Info Allow Allow-Events Authentication-Info Authorization "
    "Call-ID Call-Info Contact Content-Disposition Content-Encoding Content-Language Content-Length Content-Type CSeq Date "
    "Error-Info Event Expires Flow-Timer From Identity Identity-Info In-Reply-To Max-Breadth Max-Forwards MIME-Version "
    "Min-Expires Min-SE Organization P-Access-Network-Info P-Asserted-Identity P-Preferred-Identity P-hint Path Priority Privacy "
    "Proxy-Authenticate Proxy-Authorization Proxy-Require RAck Reason Record-Route Refer-To Referred-By Reject-Contact "
    "Remote-Party-ID Replaces Reply-To Request-Disposition Require Retry-After Route RSeq Server Service-Route Session-Expires "
    "SIP-ETag SIP-If-Match Subject Subscription-State Supported Timestamp To Unsupported User-Agent Via Warning WWW-Authenticate"
).split()

PRETTY: Final[dict[str, str]] = {name.lower(): name for name in _PRETTY}
"""Canonical name -> the spelling to write."""


def _spellings() -> dict[str, str]:
    table = {name: name.lower() for name in _PRETTY}
    table.update({name.lower(): name.lower() for name in _PRETTY})
    table.update({name.upper(): name.lower() for name in _PRETTY})
    table.update(COMPACT)
    table.update({short.upper(): name for short, name in COMPACT.items()})
    return table


SPELLINGS: Final[dict[str, str]] = _spellings()
"""Spellings seen on the wire -> canonical name, so that a known header costs one look-up."""


def canonical(name: str) -> str:
    """Canonical name of any spelling."""
    found = SPELLINGS.get(name)
    if found is not None:
        return found
    lower = name.strip().lower()
    return COMPACT.get(lower, lower)


def check_header(name: str, value: str) -> None:
    """Look at a header that policy wrote, maybe from what a stranger sent: it has to stay one line (RFC 3261 §7.3.1).

    Args:
        name: Canonical.

    Raises:
        ValueError: that is no name, or the value has CR, LF or NUL in it.
    """
    if name not in PRETTY and _TOKEN.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no name of a header")
    if "\r" in value or "\n" in value or "\0" in value:
        raise ValueError(f"the value of {pretty(name)} has CR, LF or NUL in it: {value!r}")


def pretty(name: str) -> str:
    """The spelling to write for a canonical name."""
    return PRETTY.get(name) or PRETTY.get(name.lower()) or name.title()
