"""File descriptors: each connection takes one, and what else a server has to open must never find none left.

Invariant: as long as ``[limits] connections`` and :data:`RESERVE` fit into the limit of the process, no connection takes the last one
from RPC, database, log or media; where they don't fit, fewer connections are taken.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.logger import ILogObserver, Logger
from zope.interface import implementer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

RESERVE: Final = 192
"""Three times 32 connections of RPC and metrics, and listeners, database, log, rtpengine, resolver and threads."""
LEAST: Final = 16
_ENDLESS: Final = 1 << 20
_EXPLAIN_SECONDS: Final = 10.0


def room(descriptors: int) -> int:
    """Connections for which there are descriptors; of very few at least half are left to the rest."""
    return max(LEAST, descriptors - min(RESERVE, descriptors // 2))


def raised() -> int:
    """Raise the limit of this process to what it may have; what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENDLESS if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return min(soft, _ENDLESS) if soft != resource.RLIM_INFINITY else _ENDLESS
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted


def allowed() -> int:
    """The limit that :func:`raised` would reach."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _ENDLESS if hard == resource.RLIM_INFINITY else hard


def complaint(connections: int, descriptors: int) -> str:
    """A warning about a limit that is too low for so many connections, "" for one that isn't."""
    found = room(descriptors)
    if found >= connections:
        return ""
    return (
        f"{descriptors} file descriptors are enough for {found} connections, not for [limits] connections = {connections}:"
        f" allow {connections + RESERVE} (LimitNOFILE of systemd, ulimit -n)"
    )


class PassedSockets(Protocol):
    """Sockets that the service manager has bound for us."""

    def take(self, host: str, port: int, datagrams: bool) -> socket.socket | None:
        """The one that is bound to that address, or None; once each."""


@implementer(ILogObserver)
class AcceptLog:
    """Takes the place of Twisted's log of a listening port, which says several lines for each connection that finds no descriptor.

    Args:
        seconds: The clock.
        count: Called for each that found none.
    """

    log = Logger(namespace="sipnode.transport")

    def __init__(self, seconds: Callable[[], float], count: Callable[[], None]) -> None:
        self._seconds = seconds
        self._count = count
        self._explain_at = 0.0
        self._unsaid = 0
        self.logger = Logger(namespace="sipnode.transport", observer=self)

    def __call__(self, event: Any) -> None:
        """Twisted: something about accepting."""
        text = str(event.get("log_format", ""))
        if not text.startswith(("EMFILE recovery", "Could not accept")):
            return
        self._count()
        now = self._seconds()
        if now < self._explain_at:
            self._unsaid += 1
            return
        more, self._unsaid = self._unsaid, 0
        self._explain_at = now + _EXPLAIN_SECONDS
        self.log.error(
            "a connection was closed unanswered, since there are no file descriptors left{more}: {limit} are allowed",
            more=f" ({more} more before)" if more else "",
            limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )
