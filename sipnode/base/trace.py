"""The trace of a call: identities that whoever knows its Call-ID can compute, so that nothing has to be kept while it is up. Pure.

Implements: W3C Trace Context, level 1 (``traceparent``). Servers that pass the same call on have the same trace, with a span of each.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

_PARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


class Tracing:
    """Traces of this server.

    Args:
        node: ``[node] id``.
        share: Of the calls that are traced, 0 to 1; which they are says their Call-ID, so that all servers choose the same.
    """

    __slots__ = ("_node", "_share")

    def __init__(self, node: int, share: float) -> None:
        self._node = node
        self._share = share

    def trace_id(self, call_id: str) -> str:
        """32 hexadecimal digits, never all zero."""
        return hashlib.sha256(b"trace\0" + call_id.encode("utf-8", "surrogateescape")).hexdigest()[:32]

    def span_id(self, call_id: str, number: int = 0) -> str:
        """16 hexadecimal digits: of a span of the call at this server; 0 is the call as a whole."""
        text = f"span\0{self._node}\0{number}\0{call_id}"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def sampled(self, call_id: str) -> bool:
        """Whether a call is traced."""
        return self._share > 0 and int(self.trace_id(call_id)[:13], 16) < self._share * 0x10000000000000

    def parent(self, call_id: str) -> str:
        """Value of ``traceparent`` for a request that is made for a call."""
        return f"00-{self.trace_id(call_id)}-{self.span_id(call_id)}-{'01' if self.sampled(call_id) else '00'}"


def parsed(parent: str) -> tuple[str, str] | None:
    """Identities of trace and span in a ``traceparent``; None for what is none."""
    found = _PARENT.fullmatch(parent.strip().lower())
    if found is None or not found[1].strip("0") or not found[2].strip("0"):
        return None
    return found[1], found[2]
