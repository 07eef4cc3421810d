"""A planned stop without a lost call: what has begun is brought to its end, what is new is sent away.

From the first moment new calls get 503 with Retry-After (``core.busy``), and so does a REGISTER on a connection that has no
binding yet, for that connection is about to close. All else goes on: ringing, answers, re-INVITE, BYE, refreshes. The drain is
over when nothing is in flight and no call is up, or when ``[core] drain_seconds`` have passed. A call that is up by then isn't
cut: nobody is sent a BYE, rtpengine keeps relaying, and the process that is started next takes the call's requests by the signed
Route that they carry.

The invariant: while it waits, everything that a call in progress needs still runs.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from sipnode.transaction.states import ACCEPTED, COMPLETED

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

LOOK_SECONDS: Final = 0.2
SETTLE_SECONDS: Final = 0.6
"""So long it has to stay quiet: a response that UDP lost is asked for again within T1 (RFC 3261 §17.1.2.2)."""
RETRY_AFTER: Final = (2, 10)
"""Seconds; each refusal has a number of its own, so that those who were sent away don't come back all at once."""


class Drain:
    """Waits for what has begun.

    Args:
        core: ``transactions``, ``dialogs``, ``busy`` and ``settings`` are used.
        reactor: Clock and delayed calls.

    Attributes:
        active: It has begun.
    """

    log = Logger(namespace="sipnode.drain")

    def __init__(self, core: Any, reactor: Any) -> None:
        self._core = core
        self._reactor = reactor
        self._done: Deferred[None] | None = None
        self._call: IDelayedCall | None = None
        self._began = 0.0
        self._quiet = 0.0
        self.active = False

    def start(self) -> Deferred[None]:
        """Send new work away; fires when what has begun has ended, at once where there is nothing."""
        self.active = True
        self._core.busy["drain"] = lambda: random.randint(*RETRY_AFTER)
        self._began = self._reactor.seconds()
        calls, requests = self.pending()
        limit = self._core.settings.core.drain_seconds
        if not (calls or requests) or not limit:
            return succeed(None)
        self.log.info(
            "stopping: {calls} calls and {requests} requests are to be ended first, within {limit:g} s",
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
        """Calls that are waited for, and requests in flight that belong to none."""
        core = self._core
        layer = core.transactions
        requests = 0
        for server in layer.servers.values():
            # An INVITE that was refused still waits for its ACK, and repeats the answer until then.
            requests += server.state < ACCEPTED or (server.invite and server.state == COMPLETED)
        for client in layer.clients.values():
            requests += client.state < ACCEPTED
        if core.settings.core.drain_calls:
            return len(core.dialogs), requests
        # A call that was just answered still needs its ACK, and the repeats of the answer until then.
        fresh = self._reactor.seconds() - 2 * SETTLE_SECONDS
        return sum(call.answered > fresh for call in core.dialogs.list()), requests

    def _look(self) -> None:
        self._call = None
        now = self._reactor.seconds()
        if any(self.pending()):
            self._quiet = 0.0
        elif not self._quiet:
            self._quiet = now
        if self._quiet and now - self._quiet >= SETTLE_SECONDS:
            self._end("all has ended")
        elif now - self._began >= self._core.settings.core.drain_seconds:
            self._end("the time is over")
        else:
            self._call = self._reactor.callLater(LOOK_SECONDS, self._look)

    def _end(self, why: str) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        done, self._done = self._done, None
        calls, requests = self.pending()
        self.log.info(
            "{why} after {seconds:.1f} s; {calls} calls and {requests} requests are left to the next process",
            why=why, seconds=self._reactor.seconds() - self._began, calls=calls, requests=requests,
        )  # fmt: skip
        if done is not None:
            done.callback(None)
