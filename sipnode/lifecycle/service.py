"""The process as its manager sees it: starting, ready, reading anew, stopping.

The invariant: it is ready when the ports are bound and the bindings are loaded, and not before; and not any more once it drains.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.lifecycle.drain import Drain
    from sipnode.lifecycle.notify import Notifier
    from sipnode.lifecycle.reload import Reloader, Report


class Registrar(Protocol):
    """The location table, as far as a start waits for it."""

    def when_ready(self) -> Deferred[None]:
        """Fires when it is loaded."""


class Lifecycle(Service):
    """Start, reload and stop of the server.

    Args:
        registrar: The start waits for it.
        drain: What has begun is ended by it.
        reloader: Reads the configuration anew.
        notifier: The service manager.

    Attributes:
        loaded: The bindings have been read.
        greeting: Gives the line that the start ends with.
    """

    name = "lifecycle"
    log = Logger(namespace="sipnode")

    def __init__(self, registrar: Registrar, drain: Drain, reloader: Reloader, notifier: Notifier) -> None:
        self._registrar = registrar
        self.drain = drain
        self.reloader = reloader
        self._notifier = notifier
        self.loaded = False
        self.greeting: Callable[[], str] = lambda: "ready"
        reloader.around = self._reloading

    @property
    def ready(self) -> bool:
        """Whether new calls are welcome."""
        return self.loaded and not self.drain.active

    def startService(self) -> None:
        """All ports are bound; ready as soon as the bindings are there."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self._registrar.when_ready().addCallback(self._is_loaded)

    def _is_loaded(self, _result: None) -> None:
        self.loaded = True
        self.log.info("{text}", text=self.greeting())
        self._notifier.tell("READY=1", "STATUS=ready")

    def reload(self) -> Report:
        """Read the configuration anew, as SIGHUP does: levels, limits, users, media nodes, certificates, routing script."""
        return self.reloader.reload()

    def _reloading(self, begins: bool) -> None:
        if begins:
            self._notifier.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        else:
            self._notifier.tell("READY=1", "STATUS=ready")

    def before_stop(self) -> Deferred[None]:
        """Drain; fires when everything may stop."""
        self._notifier.tell("STOPPING=1", "STATUS=ending what has begun")
        return self.drain.start()
