"""A planned stop without a lost call, and within ``[core] stop_seconds``: what has begun is brought to its end, what is new is sent away.

From the first moment new calls get 503 with Retry-After (``core.busy``), and so does a REGISTER on a connection that has no
binding yet, for that connection is about to close. All else goes on: ringing, answers, re-INVITE, BYE, refreshes. A call that still rings
shortly before the time is over gets 503, and its phones CANCEL. The drain is over when nothing waits for an answer any more; a
transaction that has its answer doesn't hold it. A call that is up isn't cut: nobody is sent a BYE, rtpengine keeps relaying, and the
process that is started next takes the call's requests by the signed Route that they carry.

The invariant: while it waits, everything that a call in progress needs still runs.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from sipnode.transaction.states import ACCEPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from sipnode.settings import CoreSettings, Settings
    from sipnode.transaction.layer import TransactionLayer

    Header = tuple[str, str]

LOOK_SECONDS: Final = 0.2
SETTLE_SECONDS: Final = 0.6
"""So long it has to stay quiet: a response that UDP lost is asked for again within T1 (RFC 3261 §17.1.2.2)."""
CLOSING_SECONDS: Final = 1.5
"""Of ``stop_seconds``, for what comes behind the drain: connections are closed, changes written."""
LAST_SECONDS: Final = 1.0
"""So long before its end the drain sends away what still rings: for the ACK of the 503, and what the CANCEL brings."""
STOPPING: Final = (("reason", 'SIP;cause=503;text="Server stops"'),)
"""Reason of that CANCEL (RFC 3326)."""
RETRY_AFTER: Final = (2, 10)
"""Seconds; each refusal has a number of its own, so that those who were sent away don't come back all at once."""


class Call(Protocol):
    """A call that is up, or rings."""

    @property
    def answered(self) -> float:
        """Epoch seconds; 0 while it rings."""


class Calls(Protocol):
    """The calls of the server."""

    def __len__(self) -> int: ...

    def list(self) -> Sequence[Call]:
        """All of them."""


class Server(Protocol):
    """The server as far as it is drained: ``sipnode.routing.core.Core``."""

    @property
    def transactions(self) -> TransactionLayer:
        """Requests that wait for an answer."""

    @property
    def dialogs(self) -> Calls:
        """The calls."""

    @property
    def busy(self) -> dict[str, Callable[[], int]]:
        """Why new calls are refused."""

    @property
    def settings(self) -> Settings:
        """All sections, as they are now."""

    def turn_away(self, status: int, headers: Callable[[], tuple[Header, ...]], reason: tuple[Header, ...]) -> int:
        """Send away the calls that still ring; how many that were."""


class Drain:
    """Waits for what has begun.

    Args:
        core: What is drained.
        reactor: Clock and delayed calls.

    Attributes:
        active: It has begun.
    """

    log = Logger(namespace="sipnode.drain")

    def __init__(self, core: Server, reactor: IReactorTime) -> None:
        self._core = core
        self._reactor = reactor
        self._done: Deferred[None] | None = None
        self._call: IDelayedCall | None = None
        self._began = 0.0
        self._quiet = 0.0
        self._turned_away = 0
        self.active = False

    def start(self) -> Deferred[None]:
        """Send new work away; fires when what has begun has ended, at once where there is nothing."""
        self.active = True
        self._core.busy["drain"] = lambda: random.randint(*RETRY_AFTER)
        self._began = self._reactor.seconds()
        calls, requests = self.pending()
        limit = self._limit()
        if not (calls or requests):
            return succeed(None)
        if not limit:
            self._turn_away()
            return succeed(None)
        self.log.info(
            "stopping: {calls} calls and {requests} requests have {limit:g} s to come to their end",
            calls=calls, requests=requests, limit=limit,
        )  # fmt: skip
        self._quiet = 0.0
        self._done = Deferred()
        self._call = self._reactor.callLater(LOOK_SECONDS, self._look)
        return self._done

    def hurry(self) -> None:
        """Wait no longer."""
        if self._done is not None:
            self._end("cut short")

    def pending(self) -> tuple[int, int]:
        """Calls that are waited for, and requests that wait for their answer."""
        core = self._core
        layer = core.transactions
        requests = 0
        for server in layer.servers.values():
            requests += server.state < ACCEPTED
        for client in layer.clients.values():
            requests += client.state < ACCEPTED
        if core.settings.core.drain_calls:
            return len(core.dialogs), requests
        # A call that was just answered still needs its ACK, and the repeats of the answer until then.
        fresh = self._reactor.seconds() - 2 * SETTLE_SECONDS
        return sum(call.answered > fresh for call in core.dialogs.list()), requests

    def _limit(self) -> float:
        """Seconds that the drain may take."""
        settings: CoreSettings = self._core.settings.core
        return max(0.0, min(settings.drain_seconds, settings.stop_seconds - CLOSING_SECONDS))

    def _turn_away(self) -> None:
        """503 for the calls that still ring."""
        self._turned_away += self._core.turn_away(503, lambda: (("retry-after", str(random.randint(*RETRY_AFTER))),), STOPPING)

    def _look(self) -> None:
        self._call = None
        now = self._reactor.seconds()
        if not self._turned_away and now - self._began >= self._limit() - LAST_SECONDS:
            self._turn_away()
        if any(self.pending()):
            self._quiet = 0.0
        elif not self._quiet:
            self._quiet = now
        if self._quiet and now - self._quiet >= SETTLE_SECONDS:
            self._end("all has ended")
        elif now - self._began >= self._limit():
            self._end("the time is over")
        else:
            self._call = self._reactor.callLater(LOOK_SECONDS, self._look)

    def _end(self, why: str) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        done, self._done = self._done, None
        requests = self.pending()[1]
        self.log.info(
            "{why} after {seconds:.1f} s; {calls} calls are left to the next process, {requests} requests have no answer,"
            " {rang} that rang got 503",
            why=why, seconds=self._reactor.seconds() - self._began, calls=len(self._core.dialogs), requests=requests,
            rang=self._turned_away,
        )  # fmt: skip
        if done is not None:
            done.callback(None)
