"""CSeq numbers of dialogs in which this server has sent a request of its own, as if from one of the ends.

The other end has then seen a number that the first one didn't use, and would refuse what that one sends next, if its number isn't above
it (500, RFC 3261 §12.2.2). So from then on the numbers of that end go on shifted, and responses come back to it with its own.
Pure. Implements: RFC 3261 §12.2.1.1, §12.2.2 (CSeq), §17.1.1.3 (the ACK has the number of its INVITE), RFC 3262 §7.2 (RAck).

The one invariant: of two requests of an end the later one has the higher number, and whatever belongs to a request, its ACK and its PRACK
and its responses, has the number that this one had.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sipnode.sip.message import SipRequest

MOST: int = 100_000
"""Ends whose numbers are shifted; over it no more calls are re-offered."""
MOST_SHIFTS: Final = 8
"""Of one end: the older ones are for what belongs to requests that are long over."""
LINGER: Final = 64.0
"""Seconds for which they are kept after the end of a dialog: its BYE is under way, and so may be repeats."""

Key = tuple[str, str, str]
"""Call-ID, tag of the sender, tag of the receiver."""


class _Shifts:
    """Of one end: ``(number, more)``, the latest first: what it numbers above ``number`` goes on with ``more`` added."""

    __slots__ = ("known", "until")

    def __init__(self, until: float) -> None:
        self.known: list[tuple[int, int]] = []
        self.until = until


class Renumbering:
    """All of them.

    Attributes:
        any: Whether there is one; looked at for each request inside a dialog, so that nothing more is where there are none.
        kept: Called with a line for each change, which :meth:`read` takes after a restart; None for nobody.
    """

    __slots__ = ("_ends", "any", "kept")

    def __init__(self) -> None:
        self._ends: OrderedDict[Key, _Shifts] = OrderedDict()
        self.any = False
        self.kept: Callable[[str], None] | None = None

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def full(self) -> bool:
        """No room for both ends of one more dialog."""
        return len(self._ends) + 2 > MOST

    def shift(self, key: Key, own: int, used: int, until: float) -> None:
        """This server uses a number in the place of an end.

        Args:
            own: The highest number that the end has used itself; -1 where it has used none.
            used: The number that the receiver gets now.
            until: Epoch seconds after which the dialog can't be there any more.
        """
        found = self._ends.get(key)
        if found is None:
            found = self._ends[key] = _Shifts(until)
        found.until = until
        if found.known and found.known[0][0] == own:
            found.known[0] = (own, used - own)
        else:
            found.known.insert(0, (own, used - own))
            del found.known[MOST_SHIFTS:]
        self.any = True
        self._keep(key, found)

    def number(self, key: Key, number: int) -> int:
        """The number with which a request of an end goes on."""
        found = self._ends.get(key)
        if found is not None:
            for own, more in found.known:
                if number > own:
                    return number + more
        return number

    def forget(self, call_id: str, one: str, other: str, now: float) -> None:
        """A dialog is over."""
        for key in ((call_id, one, other), (call_id, other, one)):
            found = self._ends.get(key)
            if found is not None:
                found.until = min(found.until, now + LINGER)
                self._keep(key, found)

    def expire(self, now: float) -> None:
        """Let go of those whose time is over."""
        if self.any:
            for key in [key for key, found in self._ends.items() if found.until < now]:
                del self._ends[key]
            self.any = bool(self._ends)

    # -- on the wire

    def rewrite(self, request: SipRequest, lines: list[str], now: float) -> None:
        """Give the header lines of a request inside a dialog the numbers that the other end is to see.

        Args:
            now: Epoch seconds.

        Raises:
            ParseError: its CSeq or a tag can't be read.
        """
        key = (request.call_id, request.from_.tag, request.to.tag)
        if key not in self._ends:
            return
        number = self.number(key, request.cseq)
        if number != request.cseq:
            lines[request.index()["cseq"]] = f"CSeq: {number} {request.cseq_method}"
        if request.method == "BYE":
            self.forget(*key, now)
        elif request.method == "PRACK" and "rack" in request:
            words = (request.get("rack") or "").split()
            if len(words) == 3 and words[1].isascii() and words[1].isdigit() and len(words[1]) < 11:
                lines[request.index()["rack"]] = f"RAck: {words[0]} {self.number(key, int(words[1]))} {words[2]}"

    # -- over a restart

    def _keep(self, key: Key, found: _Shifts) -> None:
        if self.kept is not None:
            self.kept(_line(key, found))

    def lines(self) -> Iterator[str]:
        """A line for each end."""
        for key, found in self._ends.items():
            yield _line(key, found)

    def read(self, line: str, now: float) -> None:
        """Take what a line of an earlier run says; a later line of the same end counts. What can't be read is nothing."""
        try:
            call_id, one, other, until, known = json.loads(line)
            pairs = [(int(own), int(more)) for own, more in known][:MOST_SHIFTS]
            key, until = (str(call_id), str(one), str(other)), float(until)
        except (TypeError, ValueError):
            return
        self._ends.pop(key, None)
        if until > now and pairs and len(self._ends) < MOST:
            found = self._ends[key] = _Shifts(until)
            found.known = pairs
        self.any = bool(self._ends)


def _line(key: Key, found: _Shifts) -> str:
    return json.dumps([*key, float(round(found.until, 1)), found.known], separators=(",", ":"))
