"""A long answer in slices: as fast as the page takes it, and never more of it than one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.console.slices import SLICE, Slices


class Request:
    """Takes what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.finished = self.aborted = False
        self.producer: Any = None
        self.channel = self

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.written += data

    def finish(self) -> None:
        self.finished = True

    def forceAbortClient(self) -> None:
        self.aborted = True


class SliceTests(SynchronousTestCase):
    """Slices."""

    def setUp(self) -> None:
        self.clock, self.request, self.made = Clock(), Request(), 0

    def pieces(self, count: int) -> Iterator[bytes]:
        """Pieces of a quarter of a slice."""
        for _ in range(count):
            self.made += 1
            yield b"x" * (SLICE // 4)

    def start(self, pieces: Iterator[bytes]) -> None:
        """Begin to send them."""
        request: Any = self.request
        Slices(pieces, request, self.clock.callLater).start()

    def turn(self) -> None:
        """One turn of the reactor: what is asked for meanwhile waits for the next."""
        for call in self.clock.getDelayedCalls():
            work: Any = call
            run = work.func
            work.cancel()
            run()

    def test_turns(self) -> None:
        """One slice in each turn of the reactor, then the end."""
        self.start(self.pieces(10))
        self.assertEqual(self.made, 4)
        self.turn()
        self.assertEqual((self.made, self.request.finished), (8, False))
        self.turn()
        self.assertEqual((len(self.request.written), self.request.finished, self.request.producer), (10 * SLICE // 4, True, None))

    def test_paused(self) -> None:
        """Nothing is made for a page that takes nothing; it goes on when it does."""
        self.start(self.pieces(10))
        producer = self.request.producer
        producer.pauseProducing()
        for _ in range(5):
            self.clock.advance(1)
        self.assertEqual(self.made, 4)
        producer.resumeProducing()
        self.clock.advance(0)
        self.assertEqual((self.made, self.request.finished), (10, True))

    def test_gone(self) -> None:
        """A page that is gone costs nothing more."""
        self.start(self.pieces(1000))
        self.request.producer.stopProducing()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.made, 4)

    def test_fault(self) -> None:
        """An answer that can't be made to its end is cut, so that nobody takes its half for the whole."""

        def broken() -> Iterator[bytes]:
            yield from self.pieces(5)
            raise ValueError("no more")

        self.start(broken())
        self.clock.advance(0)
        self.assertEqual((self.request.aborted, self.request.finished), (True, False))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
