"""Which UDP addresses have answered their watcher's NOTIFYs, and what one that hasn't may be sent. Pure.

A subscriber can write any source into a datagram, and any address into Contact; what comes of it must not be worth more to somebody who
wants to harm a third party than what it cost. So towards an address that has answered nothing there is one NOTIFY at a time, smaller in
all than twice what its subscriber sent; what follows waits for the answer. When none comes, all that waits there is given up, and nothing
more is sent for a while, each time for longer. The answer has to be a 2xx: a phone that says 481 to a stranger's subscription has proved
nothing for the stranger. A proof of an address for one watcher is none for another; but where somebody answers, each watcher has a
turn of its own, so that of the users behind a proxy one that is dead keeps nobody waiting.

Implements: RFC 6665 §6.4 (denial of service), RFC 9000 §8.1 by analogy. The invariant: at one place at most one job has its turn, and the
number of those that wait there, and of those that wait for one watcher, is bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from sipnode.sip.message import SipMessage

Address = tuple[str, int]
"""``(ip, port)`` as a flow's ``remote``"""

Place = tuple[str, Address]
"""Where jobs wait for one another: ``(watcher, address)``, with "" for all watchers where nobody has answered."""

Job = TypeVar("Job")

FAIR: Final = 2
"""Traffic to an unproved address stays below so many times what its subscriber sent."""

_PROVED: Final = 65536
_SILENT: Final = 16384
_FIRST_SILENCE: Final = 30.0
_LONGEST_SILENCE: Final = 3600.0


class Proving(Generic[Job]):
    """Turns at addresses that have yet to answer.

    Args:
        per_watcher: Most jobs that wait for one watcher.
        per_address: Most jobs that wait at one address.

    Attributes:
        held: Jobs that had to wait for another one's answer.
        silenced: Jobs given up since their address didn't answer.
    """

    def __init__(self, per_watcher: int, per_address: int) -> None:
        self._per_watcher = per_watcher
        self._per_address = per_address
        # By watcher and address; and with "" as the watcher, addresses that have answered anybody.
        self._proved: OrderedDict[Place, None] = OrderedDict()
        self._silent: OrderedDict[Place, tuple[float, float]] = OrderedDict()
        self._there: dict[Place, dict[Job, None]] = {}
        self._jobs: dict[Job, tuple[Place, str]] = {}
        self._of_watcher: dict[str, int] = {}
        self.held = 0
        self.silenced = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def is_proved(self, watcher: str, address: Address) -> bool:
        """Whether an address has answered a NOTIFY to that watcher."""
        return (watcher, address) in self._proved

    def refusal(self, watcher: str, address: Address | None, now: float) -> tuple[str, float]:
        """Whether one more subscription can be taken.

        Args:
            address: Where its NOTIFYs will go; None for one that needs no proof (a connection) or isn't known yet.

        Returns:
            ``("", 0.0)`` to take it, else why not (``silent``, ``unanswered``) and the seconds after which it can be tried again.
        """
        if address is None or (watcher, address) in self._proved:
            return "", 0.0
        left = self.silence(watcher, address, now)
        if left:
            return "silent", left
        there = self._there.get(self._place(watcher, address), ())
        if self._of_watcher.get(watcher, 0) >= self._per_watcher or len(there) >= self._per_address:
            return "unanswered", 5.0
        return "", 0.0

    def silence(self, watcher: str, address: Address, now: float) -> float:
        """Seconds for which nothing goes to an address, since it didn't answer; 0.0 for none."""
        until = self._silent.get(self._place(watcher, address), (0.0, 0.0))[0]
        return max(0.0, until - now)

    def turn(self, job: Job, watcher: str, address: Address) -> bool:
        """Whether a job may send now; else it waits, and is given back by one of the next three."""
        known = self._jobs.get(job)
        if known is None:
            place = self._place(watcher, address)
            self._jobs[job] = place, watcher
            self._there.setdefault(place, {})[job] = None
            self._of_watcher[watcher] = self._of_watcher.get(watcher, 0) + 1
        else:
            place = known[0]
        if next(iter(self._there[place])) is job:
            return True
        self.held += 1
        return False

    def showed(self, watcher: str, address: Address) -> None:
        """A watcher has shown to be at an address by other means: it answered a challenge that went there."""
        for place in ((watcher, address), ("", address)):
            self._proved[place] = None
            self._proved.move_to_end(place)
        while len(self._proved) > _PROVED:
            self._proved.popitem(last=False)

    def proved(self, job: Job, watcher: str, address: Address) -> list[Job]:
        """An address has answered a job with a 2xx; gives those that ask for their turn anew."""
        self.showed(watcher, address)
        for place in ((watcher, address), ("", address)):
            self._silent.pop(place, None)
        return self._empty(job)

    def disproved(self, watcher: str, address: Address) -> None:
        """One that had answered doesn't any more."""
        self._proved.pop((watcher, address), None)

    def failed(self, job: Job, now: float) -> list[Job]:
        """The address of a job hasn't answered; gives those that are to be given up, the job with them."""
        place, _ = self._jobs[job]
        seconds = min(_LONGEST_SILENCE, self._silent.pop(place, (0.0, _FIRST_SILENCE / 2))[1] * 2)
        self._silent[place] = (now + seconds, seconds)
        if len(self._silent) > _SILENT:
            self._silent.popitem(last=False)
        gone = [*self._empty(job), job]
        self.silenced += len(gone)
        return gone

    def left(self, job: Job) -> list[Job]:
        """A job is over, or goes elsewhere; gives those that ask for their turn anew."""
        known = self._jobs.get(job)
        if known is None:
            return []
        there = self._there[known[0]]
        if next(iter(there)) is job:
            return self._empty(job)
        del there[job]
        self._forget(job)
        return []

    def _place(self, watcher: str, address: Address) -> Place:
        return (watcher if ("", address) in self._proved else "", address)

    def _empty(self, job: Job) -> list[Job]:
        """Let all go that wait where a job had its turn; those but the job."""
        there = self._there.pop(self._jobs[job][0])
        for each in there:
            self._forget(each)
        return [each for each in there if each is not job]

    def _forget(self, job: Job) -> None:
        _, watcher = self._jobs.pop(job)
        left = self._of_watcher[watcher] - 1
        if left:
            self._of_watcher[watcher] = left
        else:
            del self._of_watcher[watcher]


def octets(message: SipMessage) -> int:
    """About so many octets a message has on the wire, hardly ever more."""
    return sum(map(len, message.lines)) + 2 * len(message.lines) + len(message.body)
