"""Whether anybody listens at a UDP address: a keepalive from a socket of its own, which the kernel tells of an ICMP error.

The sockets that SIP goes out by belong to everybody, and a kernel tells such a one of no error. One that is connected is told that the
port is unreachable (RFC 1122 §4.1.3.3), which a proxy takes for an answer (RFC 3261 §18.4, §16.9). It is asked only where another address
is left to try, so that a host behind a filter that lets nobody in but the SIP port itself is tried later, and never not at all.

The invariant: at most :data:`MOST` sockets, each for :data:`SECONDS` at most.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

MOST: Final = 64
SECONDS: Final = 2.0
KEEPALIVE: Final = b"\r\n\r\n"
"""Blank lines, which a SIP server ignores (RFC 3261 §7.5)."""


@implementer(IReadDescriptor)
class Sounding:
    """One question. A reader of its own, as Twisted's UDP port takes an error of a connected socket for its end.

    Args:
        address: IP literal and port. refused: Called once if nobody listens there.
        over: Called once when it has ended.
        reactor: IReactorFDSet, IReactorTime.

    Raises:
        OSError: there is no socket, or no way to that address.
    """

    def __init__(self, address: tuple[str, int], refused: Callable[[], None], over: Callable[[Sounding], None], reactor: Any) -> None:
        self._refused = refused
        self._over = over
        self._reactor = reactor
        self._socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.connect(address)
            self._socket.send(KEEPALIVE)
        except OSError:
            self._socket.close()
            raise
        self._timer = reactor.callLater(SECONDS, self.stop)
        reactor.addReader(self)

    def logPrefix(self) -> str:
        """Twisted: its name in the log."""
        return "sounding"

    def fileno(self) -> int:
        """Twisted: its descriptor."""
        return self._socket.fileno()

    def doRead(self) -> None:
        """Twisted: something came. An answer is one as well: somebody is there."""
        try:
            self._socket.recv(1)
        except BlockingIOError:
            return
        except OSError as error:
            self._ended(error.errno)
        else:
            self.stop()

    def connectionLost(self, reason: Failure) -> None:
        """Twisted: the kernel has an error for it, and it is watched no longer."""
        if self._timer.active():
            self._ended(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def _ended(self, number: int | None) -> None:
        self.stop()
        if number == errno.ECONNREFUSED:
            self._refused()

    def stop(self) -> None:
        """No more."""
        if self._timer.active():
            self._timer.cancel()
        if self._socket.fileno() >= 0:
            self._reactor.removeReader(self)
            self._socket.close()
            self._over(self)


class Soundings:
    """All that are under way.

    Args:
        reactor: IReactorFDSet, IReactorTime.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._open: set[Sounding] = set()

    def __len__(self) -> int:
        return len(self._open)

    def ask(self, address: tuple[str, int], refused: Callable[[], None]) -> None:
        """Ask about an address; nothing is asked where there are too many, or where there is no way to it."""
        if len(self._open) < MOST:
            try:
                self._open.add(Sounding(address, refused, self._open.discard, self._reactor))
            except OSError:
                # The message itself will tell.
                return

    def stop(self) -> None:
        """End all."""
        for one in list(self._open):
            one.stop()
