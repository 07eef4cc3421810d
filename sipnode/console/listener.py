"""A port of the console's own, on this machine: for whoever wants it apart from the telephones' pages.

Implements: RFC 9110 §15.5.14 (413). Invariant: a few connections at most, each ended when it has been idle for a while; a body that is
longer than any of ours is never read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.web.http import HTTPChannel
from twisted.web.server import Request, Site

from sipnode.addresses import is_loopback
from sipnode.errors import ConfigError
from sipnode.services import PortService

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.resource import IResource

MOST_CONNECTIONS: Final = 64
MOST_OCTETS: Final = 65536
_IDLE_SECONDS: Final = 60.0
_TOO_LARGE: Final = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class ConsoleChannel(HTTPChannel):
    """A connection."""

    length: Any
    transport: Any
    site: Any
    _over = False

    def dataReceived(self, data: bytes) -> None:
        """Twisted: some octets; none count after a refusal."""
        if not self._over:
            HTTPChannel.dataReceived(self, data)

    def allHeadersReceived(self) -> None:
        """Twisted: the header is whole."""
        if self.length is None or self.length > MOST_OCTETS:
            self._over = True
            self.transport.write(_TOO_LARGE)
            self.transport.loseConnection()
        else:
            HTTPChannel.allHeadersReceived(self)

    def allContentReceived(self) -> None:
        """Twisted: the body is whole."""
        if not self._over:
            HTTPChannel.allContentReceived(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: it is gone."""
        self.site.open -= 1
        HTTPChannel.connectionLost(self, reason)


class _Site(Site):
    """Without an access log, and with a bound."""

    noisy = False
    displayTracebacks = False

    def __init__(self, root: IResource, reactor: Any) -> None:
        super().__init__(root, timeout=_IDLE_SECONDS, reactor=reactor)  # type: ignore[no-untyped-call]  # not annotated
        self.open = 0
        self._clock = reactor

    def buildProtocol(self, addr: Any) -> Any:
        """Twisted: a connection; None refuses it."""
        if self.open >= MOST_CONNECTIONS:
            return None
        self.open += 1
        channel: Any = ConsoleChannel()  # type: ignore[no-untyped-call]  # as above
        channel.site = channel.factory = self
        channel.requestFactory = Request
        channel.timeOut = self.timeOut
        channel.callLater = self._clock.callLater
        return channel

    def log(self, request: Any) -> None:
        """Twisted's access log: deeds and sign-ins have lines of their own."""


class Listener(PortService):
    """Listens.

    Args:
        listen: ``ADDRESS:PORT`` of this machine itself.
        root: What it shows.
        reactor: IReactorTCP and IReactorTime.

    Attributes:
        host, port: Where; the port is real once it listens.

    Raises:
        ConfigError: ``listen`` can't be read, or others could reach it, who would send their passwords in the clear.
    """

    name = "console-port"
    log = Logger(namespace="sipnode.console")

    def __init__(self, listen: str, root: IResource, reactor: Any) -> None:
        super().__init__(listen, "console.listen", "console", _Site(root, reactor), reactor)
        if not is_loopback(self.host):
            reason = "has to be an address of loopback, as it has no TLS; leave it empty for /console/ of the WebSocket ports"
            raise ConfigError(reason, key="console.listen")
