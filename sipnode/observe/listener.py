"""A port of its own for metrics and health, where there is no WebSocket port or nobody should reach them by it.

Invariant: a few connections at most, each ended when it has been idle for a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.web.server import Site

from sipnode.addresses import split_address

if TYPE_CHECKING:
    from twisted.web.resource import IResource

MOST_CONNECTIONS: Final = 32
_IDLE_SECONDS: Final = 30.0


class _Site(Site):
    """Without an access log, and with a bound."""

    noisy = False
    displayTracebacks = False

    def __init__(self, root: IResource, reactor: Any) -> None:
        super().__init__(root, timeout=_IDLE_SECONDS, reactor=reactor)  # type: ignore[no-untyped-call]  # not annotated
        self.open = 0

    def buildProtocol(self, addr: Any) -> Any:
        """Twisted: a connection; None refuses it."""
        if self.open >= MOST_CONNECTIONS:
            return None
        channel: Any = super().buildProtocol(addr)  # type: ignore[no-untyped-call]  # as above
        self.open += 1
        lost = channel.connectionLost

        def gone(reason: Any) -> None:
            self.open -= 1
            lost(reason)

        channel.connectionLost = gone
        return channel

    def log(self, request: Any) -> None:
        """Twisted's access log: a scrape every few seconds is no news."""


class MetricsService(Service):
    """Listens.

    Args:
        listen: ``ADDRESS:PORT``, IPv6 in brackets.
        root: What it shows.
        reactor: IReactorTCP and IReactorTime.

    Attributes:
        host, port: Where; the port is real once it listens.

    Raises:
        ConfigError: ``listen`` can't be read.
    """

    name = "metrics"
    log = Logger(namespace="sipnode.metrics")

    def __init__(self, listen: str, root: IResource, reactor: Any) -> None:
        self.host, self.port = split_address(listen, "metrics.listen")
        self._site = _Site(root, reactor)
        self._reactor = reactor
        self._listening: Any = None

    def startService(self) -> None:
        """Twisted: listen."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        try:
            self._listening = self._reactor.listenTCP(self.port, self._site, 16, self.host)
        except CannotListenError as error:
            # Calls go on without it.
            self.log.error("no metrics on {host}:{port}: {reason}", host=self.host, port=self.port, reason=error.socketError)
            return
        self.port = self._listening.getHost().port

    def stopService(self) -> Deferred[Any]:
        """Twisted: stop listening."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        listening, self._listening = self._listening, None
        return maybeDeferred(listening.stopListening) if listening is not None else maybeDeferred(lambda: None)
