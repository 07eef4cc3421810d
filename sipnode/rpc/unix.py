"""The RPC on a UNIX socket: one JSON document a line in, one a line out.

The file's mode lets only the server's own user in. The invariant: a connection holds at most one request of ``most_bytes`` and what
came with it, and runs one request at a time.
"""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.logger import Logger
from zope.interface import implementer

from sipnode.rpc import dispatch
from sipnode.rpc.sending import Sending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.internet.interfaces import IAddress
    from twisted.python.failure import Failure

    from sipnode.rpc.endpoint import Endpoint

MOST_CONNECTIONS: Final = 32
MODE: Final = 0o600
# sun_path of Linux, without its last zero.
_PATH_BYTES: Final = 107


@implementer(IHalfCloseableProtocol)
class UnixRpc(Protocol):
    """One connection.

    Args:
        endpoint: Runs requests.
        most_bytes: Of a request.
        ended: Called when the connection is gone.
    """

    transport: Any

    def __init__(self, endpoint: Endpoint, most_bytes: int, ended: Callable[[], None]) -> None:
        self._endpoint = endpoint
        self._most_bytes = most_bytes
        self._ended = ended
        self._buffer = bytearray()
        self._busy = False
        self._working = False
        self._skipping = False
        self._last = False
        self._gone = False

    def dataReceived(self, data: bytes) -> None:
        """Twisted: some octets."""
        self._buffer += data
        self._work()
        if self._busy and len(self._buffer) > self._most_bytes:
            self.transport.pauseProducing()

    def readConnectionLost(self) -> None:
        """Twisted: the caller has said all; what is left is its last request."""
        self._last = True
        if self._buffer:
            self._buffer += b"\n"
        self._work()

    def writeConnectionLost(self) -> None:
        """Twisted: the caller doesn't read any more."""
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: the connection is gone."""
        self._gone = True
        self._buffer.clear()
        self._ended()

    def _work(self) -> None:
        """Run requests as long as there are whole ones; a loop, since most are done at once."""
        if self._working:
            return
        self._working = True
        while not self._busy and not self._gone and self._take():
            pass
        self._working = False
        if self._last and not self._busy and not self._gone:
            self.transport.loseConnection()

    def _take(self) -> bool:
        """Run the next line; False when there is none."""
        line, end, rest = self._buffer.partition(b"\n")
        too_long = len(line) > self._most_bytes
        if not end and not too_long:
            if self._skipping:
                self._buffer.clear()
            return False
        skipped, self._skipping = self._skipping, too_long and not end
        self._buffer = rest
        if skipped:
            return bool(end)
        if too_long:
            self._run(dispatch.refused(dispatch.INVALID_REQUEST, f"Invalid Request: more than {self._most_bytes} octets"))
        elif line.strip():
            self._run(dispatch.read(bytes(line)))
        return bool(end)

    def _run(self, batch: dispatch.Batch) -> None:
        self._busy = True
        self._endpoint.run(batch, "unix").addCallback(self._answer)

    def _answer(self, pieces: Iterator[bytes] | None) -> None:
        if self._gone:
            return
        if pieces is None:
            self._next()
        else:
            Sending(pieces, self.transport, self._answered).start()

    def _answered(self, whole: bool) -> None:
        if whole:
            self.transport.write(b"\n")
            self._next()
        else:
            self.transport.abortConnection()

    def _next(self) -> None:
        self._busy = False
        self.transport.resumeProducing()
        self._work()


class UnixFactory(ServerFactory):
    """Makes connections, up to a limit.

    Args:
        endpoint: Runs requests.
        most_bytes: Of a request.
    """

    noisy = False

    def __init__(self, endpoint: Endpoint, most_bytes: int) -> None:
        self._endpoint = endpoint
        self._most_bytes = most_bytes
        self._open = 0

    def buildProtocol(self, addr: IAddress | None) -> UnixRpc | None:
        """Twisted: a connection; None refuses it."""
        if self._open >= MOST_CONNECTIONS:
            return None
        self._open += 1
        return UnixRpc(self._endpoint, self._most_bytes, self._ended)

    def _ended(self) -> None:
        self._open -= 1


class UnixService(Service):
    """Listens on the socket.

    A socket that can't be had is told by the log: calls go on without it.

    Args:
        path: Absolute.
        endpoint: Runs requests.
        most_bytes: Of a request.
        reactor: IReactorUNIX.
    """

    name = "rpc"
    log = Logger(namespace="sipnode.rpc")

    def __init__(self, path: str, endpoint: Endpoint, most_bytes: int, reactor: Any) -> None:
        self.path = path
        self._factory = UnixFactory(endpoint, most_bytes)
        self._reactor = reactor
        self._port: Any = None

    def startService(self) -> None:
        """Twisted: listen."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        reason = free_path(self.path)
        if not reason:
            try:
                self._port = self._reactor.listenUNIX(self.path, self._factory, 8, MODE)
            except Exception as error:
                reason = str(error)
        if reason:
            self.log.error("no RPC on {path}: {reason}", path=self.path, reason=reason)

    def stopService(self) -> Any:
        """Twisted: stop listening; Twisted removes the file."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        port, self._port = self._port, None
        return port.stopListening() if port is not None else None


def free_path(path: str) -> str:
    """Make way for a socket: remove one that a killed server left.

    Returns:
        Why there can be none, "" when there can.
    """
    if len(os.fsencode(path)) > _PATH_BYTES:
        return f"the path is longer than {_PATH_BYTES} octets; [rpc] socket takes another"
    try:
        found = os.lstat(path)
    except OSError:
        return ""
    if not stat.S_ISSOCK(found.st_mode):
        return "there is something else of that name"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return ""
        except OSError as error:
            return str(error)
    return "another server listens there"
