"""Whether a node of this machine can record. A daemon without ``--recording-dir`` says yes to every order to record, complains in its own
log, and records nothing; its protocol has no word for that. So its process is looked at, where it runs here.

The invariant: a node that can't be seen counts as one that records, and no call waits for a look.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from sipnode import machine
from sipnode.media.daemon import options_of
from sipnode.media.nodes import Node

SECONDS: Final = 30.0
"""A node's process is looked for so often at most for calls that are recorded from their offer on."""
NO_FOLDER: Final = "rtpengine was started without --recording-dir, so that it records nothing"


class Seen(NamedTuple):
    """A daemon's process.

    Attributes:
        pid, mark: Of the process; a later one with the same number has another mark. 0 and "" where none was found.
        refusal: Why it can't record, "" where it can, or where that isn't known.
    """

    pid: int
    mark: str
    refusal: str


UNSEEN: Final = Seen(0, "", "")


def look(host: str, port: int) -> Seen:
    """Look for the one rtpengine of this machine whose ng port this is; blocks for some milliseconds."""
    if not machine.is_local(host):
        return UNSEEN
    found = []
    for process in machine.processes("rtpengine"):
        options = options_of(process.pid)
        if options.get("listen-ng", [""])[-1].rpartition(":")[2] == str(port):
            found.append((process.pid, options.get("recording-dir", [""])[-1]))
    if len(found) != 1:
        # Another one may be in a container; which of them is meant can't be told.
        return UNSEEN
    pid, folder = found[0]
    return Seen(pid, machine.mark_of(pid), _refusal(folder))


def _refusal(folder: str) -> str:
    if not folder:
        return NO_FOLDER
    try:
        there = Path(folder).is_dir()
    except OSError:
        # Not ours to look at.
        return ""
    return "" if there else f"its --recording-dir={folder} is no folder, so that it records nothing"


class Spools:
    """What is known of the recording of each node.

    Args:
        run: Calls a function in a thread; a Deferred of its result.
        clock: For how often.
        looking: Instead of :func:`look`.
    """

    _log = Logger(namespace="sipnode.media")

    def __init__(
        self, run: Callable[[Callable[[str, int], Seen], str, int], Deferred[Seen]], clock: IReactorTime,
        looking: Callable[[str, int], Seen] = look,
    ) -> None:  # fmt: skip
        self._run = run
        self._clock = clock
        self._look = looking
        self._seen: dict[str, Seen] = {}
        self._due: dict[str, float] = {}

    def refusal(self, node: Node) -> Deferred[str]:
        """Why a node can't record, "" where it can or where that isn't known."""
        seen = self._seen.get(node.name)
        if seen is not None and seen.pid and machine.mark_of(seen.pid) == seen.mark:
            return succeed(seen.refusal)
        return self._run(self._look, node.address, node.port).addCallback(self._looked, node)

    def _looked(self, seen: Seen, node: Node) -> str:
        known = self._seen.get(node.name)
        self._seen[node.name] = seen
        if seen.refusal and (known is None or known.refusal != seen.refusal):
            self._log.warn("media node {place} can't record: {why}", place=node.place, why=seen.refusal)
        return seen.refusal

    def known(self, node: Node) -> str:
        """The same, as it was found last; now and then a look is begun, of which the next one hears."""
        now = self._clock.seconds()
        if now >= self._due.get(node.name, 0.0):
            self._due[node.name] = now + SECONDS
            self.refusal(node)
        seen = self._seen.get(node.name)
        return seen.refusal if seen is not None else ""
