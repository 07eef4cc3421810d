"""The sweep: calls that a node holds under a name of ours, and that nobody owns any more, are freed.

They are there after a ``kill -9`` while phones rang, after a delete that never arrived, and after a fault of ours. A call that was up at a
``kill -9`` goes on without us: it is known again from its next offer, and its BYE frees it, so it is left alone while media flows.

The invariant: only what carries our seal is asked about or deleted, and nothing at the look that first finds it unowned; what one look
costs is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipnode.errors import MediaError
from sipnode.media import ng
from sipnode.media.bencode import Value
from sipnode.records import MediaKey

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from sipnode.media.calls import HeldCalls
    from sipnode.media.names import Names
    from sipnode.media.nodes import Node, NodeSet
    from sipnode.settings import MediaSettings

MOST_LISTED: Final = 2000
"""Calls of a node that are looked at: as many as a reply has room for, with names as short as ours."""
FEWEST_LISTED: Final = 100
"""So many are asked for at least, where the reply to a longer list didn't come."""
MOST_A_LOOK: Final = 50
"""Calls of a node that are asked about or deleted at one look."""
EXPIRED: Final = 60.0
"""Seconds that a call of this run may be at a node after its end: a branch that was given up while its offer was under way, and
``[media] delete_delay``, which is added.
"""
QUIET: Final = 3600.0
"""Seconds without a packet after which an answered call of an earlier run is over, as rtpengine's own ``--silent-timeout`` has it."""
ALIVE: Final = 300.0
"""Seconds until a call that was answered is asked about again."""


class Owner(Protocol):
    """Owners of the calls."""

    names: Names
    held: HeldCalls
    counters: MutableMapping[str, int]


@dataclass(slots=True)
class _Stray:
    """A call of ours that nobody owns: since when it was seen, when it is asked about next, its packets and since when it has so many."""

    since: float
    due: float
    packets: int = -1
    quiet: float = 0.0


class Sweep:
    """Looks now and then.

    Args:
        nodes: The nodes.
        owner: What is known of calls.
        clock: For the looks.
        settings: ``sweep_seconds`` and ``delete_delay``.
    """

    _log = Logger(namespace="sipnode.media")

    def __init__(self, nodes: NodeSet, owner: Owner, clock: IReactorTime, settings: MediaSettings) -> None:
        self._nodes = nodes
        self._owner = owner
        self._clock = clock
        self._seconds = settings.sweep_seconds
        self._expired = EXPIRED + max(0, settings.delete_delay)
        self._strays: dict[str, dict[str, _Stray]] = {}
        self._most: dict[str, int] = {}
        self._looks = LoopingCall(self.look)
        self._looks.clock = clock

    def start(self) -> None:
        """First look after one interval: calls that are up have had their time to be known again."""
        self._looks.start(self._seconds, now=False)

    def stop(self) -> None:
        """No more looks."""
        if self._looks.running:
            self._looks.stop()

    def look(self) -> None:
        """Ask each node that is up for its calls."""
        for name in [name for name in self._strays if self._nodes.named(name) is None]:
            del self._strays[name]
        for node in self._nodes.nodes:
            if self._nodes.is_up(node):
                asked = self._nodes.command(node, ng.list_calls(self._most.get(node.name, MOST_LISTED)))
                asked.addCallbacks(self._listed, self._unlisted, (node,), {}, (node,)).addErrback(self._broken)

    def _unlisted(self, failure: Failure, node: Node) -> None:
        if failure.check(ng.NoAnswer):
            # Long names of others may make a list that fits into no datagram.
            self._most[node.name] = max(FEWEST_LISTED, self._most.get(node.name, MOST_LISTED) // 2)
        self._failed(failure, node)

    def _listed(self, reply: dict[bytes, Value], node: Node) -> None:
        names, held = self._owner.names, self._owner.held
        now, before = self._clock.seconds(), self._strays.get(node.name, {})
        strays: dict[str, _Stray] = {}
        calls = reply.get(b"calls")
        for octets in calls[:MOST_LISTED] if isinstance(calls, list) else ():
            name = octets.decode("ascii", "replace") if isinstance(octets, bytes) else ""
            if held.get(name) is None and names.is_ours(name):
                strays[name] = before.get(name) or _Stray(now, now)
        self._strays[node.name] = strays
        # Those that were asked about longest ago come first; of an unowned call nothing is done at the look that finds it.
        due = sorted((stray.due, name) for name, stray in strays.items() if stray.since < now and stray.due <= now)
        for _, name in due[:MOST_A_LOOK]:
            self._judge(node, name, strays[name])

    def _judge(self, node: Node, name: str, stray: _Stray) -> None:
        now = self._clock.seconds()
        if self._owner.held.whole and self._owner.names.is_of_this_run(name):
            if now - stray.since >= self._expired:
                stray.due = now + self._expired
                self._free(node, name, "has ended")
            else:
                stray.due = stray.since + self._expired
            return
        stray.due = now + ALIVE
        asked = self._nodes.command(node, ng.query(name))
        asked.addCallbacks(self._told, self._failed, (node, name, stray), {}, (node,)).addErrback(self._broken)

    def _told(self, reply: dict[bytes, Value], node: Node, name: str, stray: _Stray) -> None:
        if self._owner.held.get(name) is not None:
            # A re-INVITE or its like has come meanwhile.
            return
        now, packets = self._clock.seconds(), packets_of(reply)
        if not is_answered(reply):
            self._free(node, name, "rang when the server ended")
        elif packets != stray.packets:
            stray.packets, stray.quiet = packets, now
        elif now - stray.quiet >= QUIET:
            self._free(node, name, "is silent")

    def _free(self, node: Node, name: str, why: str) -> None:
        self._owner.counters["swept_media"] += 1
        self._log.info("media node {place}: {name}, which nobody owns, {why} and is freed", place=node.place, name=name, why=why)
        self._nodes.command(node, ng.delete(MediaKey(name, "", "", "", node.name), 0)).addErrback(self._failed, node)

    def _failed(self, failure: Failure, node: Node) -> None:
        failure.trap(MediaError)
        self._log.debug("sweep of {place}: {error}", place=node.place, error=failure.value)

    def _broken(self, failure: Failure) -> None:
        self._log.failure("sweep of the media nodes", failure)


def is_answered(reply: dict[bytes, Value]) -> bool:
    """Whether somebody has answered the offer of a call, as a reply to ``query`` tells: both ends have a tag then."""
    tags = reply.get(b"tags")
    if not isinstance(tags, dict):
        return True
    return sum(isinstance(end, dict) and bool(end.get(b"tag")) for end in tags.values()) > 1


def packets_of(reply: dict[bytes, Value]) -> int:
    """How many RTP and RTCP packets a call has had in all."""
    found = 0
    totals = reply.get(b"totals")
    for kind in totals.values() if isinstance(totals, dict) else ():
        count = kind.get(b"packets") if isinstance(kind, dict) else 0
        found += count if isinstance(count, int) else 0
    return found
