"""A sender that asks whether it may send keepalives gets told how often. Pure.

Implements: RFC 6223 §4.2.2, §4.3.2 (the next hop gives ``keep`` of the topmost Via a value, where a request registers or begins a dialog).

The value is put in when the request comes, so that each of its responses has it, ours and those that come back through us; whoever is
behind us looks at its own topmost Via alone. The keepalives themselves are answered in any case: STUN over UDP, an empty line pair on a
connection (RFC 5626 §3.5).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sipnode.sip.via import Via

METHODS: Final = frozenset(("REGISTER", "INVITE", "SUBSCRIBE", "REFER"))
_KEEP: Final = re.compile(r";\s*keep\s*(?=[;,]|$)", re.I)


def asked(via: Via) -> bool:
    """Whether a Via has ``keep`` without a value."""
    text = via.param_text
    if ";keep" not in text and (via.plain or "keep" not in text.lower()):
        return False
    return '"' not in text and via.params.get("keep") == ""


def with_value(line: str, seconds: int) -> str:
    """The header line of a Via that :func:`asked`, with the value."""
    return _KEEP.sub(f";keep={seconds}", line, 1)
