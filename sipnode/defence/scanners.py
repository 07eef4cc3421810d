"""Does a message come from a program that looks for open SIP servers? By what it calls itself. Pure.

Only a first filter, since the name is theirs to choose: it spares the work for the many that don't bother.
"""

from __future__ import annotations

import re
from collections.abc import Iterable


class ScannerNames:
    """The names.

    Args:
        names: Parts of a User-Agent, whatever their case.
    """

    __slots__ = ("_found", "names")

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(name for name in names if name)
        joined = "|".join(re.escape(name.lower()) for name in self.names)
        self._found = re.compile(joined.encode("utf-8", "surrogateescape")) if joined else None

    def find(self, data: bytes) -> str:
        """The name that the User-Agent of a message has, or ""; the message needn't be whole."""
        if self._found is None:
            return ""
        head = data[:4096].lower()
        start = head.find(b"\nuser-agent")
        if start < 0:
            return ""
        end = head.find(b"\n", start + 1)
        found = self._found.search(head, start, end if end > 0 else len(head))
        return found.group().decode("utf-8", "replace") if found is not None else ""
