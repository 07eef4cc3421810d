"""Signals: TERM and INT stop in good order, once more stops at once, HUP reads the configuration anew.

Twisted's own handlers are replaced when the reactor runs, since a second TERM would be an error to them. The invariant: a
handler does nothing itself, it wakes the reactor.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.logger import Logger

PATIENCE: Final = 1.0
"""Seconds from the second TERM to an end without order."""


class SignalService(Service):
    """Answers signals while it runs.

    Args:
        reactor: The reactor.
        hurry: Called by the second TERM.
        reload: Called by HUP.
        install: ``signal.signal``.
        leave: Ends the process whatever holds it, :data:`PATIENCE` after the second TERM.
    """

    name = "signals"
    log = Logger(namespace="sipnode")

    def __init__(
        self, reactor: Any, hurry: Callable[[], None], reload: Callable[[], Any], install: Callable[..., Any] = signal.signal,
        leave: Callable[[int], Any] = os._exit,
    ) -> None:  # fmt: skip
        self._reactor = reactor
        self._hurry = hurry
        self._reload = reload
        self._install = install
        self._leave = leave
        self._stopping = False

    def startService(self) -> None:
        """Take the signals as soon as the reactor runs."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self._reactor.callWhenRunning(self._take)

    def _take(self) -> None:
        for number, answer in ((signal.SIGTERM, self.stop), (signal.SIGINT, self.stop), (signal.SIGHUP, self.reload)):
            self._install(number, lambda _number, _frame, answer=answer: self._reactor.callFromThread(answer))

    def stop(self) -> None:
        """TERM or INT."""
        if self._stopping:
            self.log.info("told to stop once more: at once, then")
            self._hurry()
            self._reactor.callLater(PATIENCE, self._cut)
        else:
            self._stopping = True
            self._reactor.stop()

    def _cut(self) -> None:
        self.log.warn("something doesn't stop: ended without it")
        self._leave(1)

    def reload(self) -> None:
        """HUP."""
        if not self._stopping:
            self._reload()
