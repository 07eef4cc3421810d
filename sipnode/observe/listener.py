"""A port of its own for metrics and health, where there is no WebSocket port or nobody should reach them by it.

Invariant: a few connections at most, each ended when it has been idle for a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger
from twisted.web.server import Site

from sipnode.services import PortService

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


class MetricsService(PortService):
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
        super().__init__(listen, "metrics.listen", "metrics", _Site(root, reactor), reactor)
