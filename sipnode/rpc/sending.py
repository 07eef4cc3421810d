"""An answer on its way out: made piece by piece, as fast as the reader takes it.

The invariant: no more than one piece is made before the transport has room for it, so a long answer neither fills memory nor keeps
calls waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from twisted.internet.interfaces import IPullProducer
from twisted.logger import Logger
from zope.interface import implementer

_PIECE: Final = 16384


@implementer(IPullProducer)
class Sending:
    """Writes pieces to a consumer whenever it asks for more.

    Args:
        pieces: Of the answer.
        consumer: IConsumer (a transport or an HTTP request).
        done: Called once, with whether all was written.
    """

    log = Logger(namespace="sipnode.rpc")

    def __init__(self, pieces: Iterator[bytes], consumer: Any, done: Callable[[bool], None]) -> None:
        self._pieces = pieces
        self._consumer = consumer
        self._done: Callable[[bool], None] | None = done

    def start(self) -> None:
        """Begin."""
        self._consumer.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Twisted: there is room."""
        data = bytearray()
        whole = False
        try:
            while len(data) < _PIECE:
                data += next(self._pieces)
        except StopIteration:
            whole = True
        except Exception:
            self.log.failure("an answer could not be made")
            self._end(False)
            return
        if data:
            self._consumer.write(bytes(data))
        if whole:
            self._end(True)

    def stopProducing(self) -> None:
        """Twisted: the reader is gone."""
        self._done = None

    def _end(self, whole: bool) -> None:
        done, self._done = self._done, None
        if done is not None:
            self._consumer.unregisterProducer()
            done(whole)
