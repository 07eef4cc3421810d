"""A long answer in slices: one in each turn of the reactor, as fast as the page takes them.

The invariant: no more than one slice is made before the one before it was handed on, and others have their turn between two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.web.server import Request

SLICE: Final = 16384
"""Octets, about."""


@implementer(IPushProducer)
class Slices:
    """Writes pieces to a request.

    Args:
        pieces: Of the answer; each takes little time to make.
        request: Whose answer it is.
        later: ``callLater`` of the reactor.
    """

    log = Logger(namespace="sipnode.console")

    def __init__(self, pieces: Iterator[bytes], request: Request, later: Callable[..., Any]) -> None:
        self._pieces = pieces
        self._request = request
        self._later = later
        self._turn: IDelayedCall | None = None
        self._paused = self._over = False

    def start(self) -> None:
        """Begin."""
        self._request.registerProducer(self, True)
        self._go_on()

    def pauseProducing(self) -> None:
        """Twisted: nothing more for now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Twisted: there is room."""
        self._paused = False
        if self._turn is None and not self._over:
            self._turn = self._later(0, self._go_on)

    def stopProducing(self) -> None:
        """Twisted: the page is gone."""
        self._over = True
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _go_on(self) -> None:
        self._turn = None
        if self._paused:
            return
        data, whole = bytearray(), False
        try:
            while len(data) < SLICE:
                data += next(self._pieces)
        except StopIteration:
            whole = True
        except Exception:
            self.log.failure("an answer of the console can't be made")
            self._over = True
            channel: Any = self._request.channel
            channel.forceAbortClient()
            return
        if data:
            self._request.write(bytes(data))
        if self._over:
            return
        if whole:
            self._over = True
            self._request.unregisterProducer()
            self._request.finish()
        elif not self._paused:
            self._turn = self._later(0, self._go_on)
