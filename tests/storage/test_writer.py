from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import StorageBusy, StorageError
from sipnode.records import LocationChange
from sipnode.settings import LocationSettings
from sipnode.storage.writer import GroupCommitWriter
from tests.storage.suite import binding as make_binding
from tests.storage.suite import save


def change(number: int) -> LocationChange:
    return save(make_binding(f"r-{number}"))[0]


class Backend:
    """Commits when the test says so."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open: list[Deferred[None]] = []
        self.broken = False

    def write(self, changes: list[LocationChange]) -> Deferred[None]:
        if self.broken:
            raise RuntimeError("no such method of the driver")
        self.batches.append([one.binding.ruid for one in changes])
        self.open.append(Deferred())
        return self.open[-1]

    def commit(self) -> None:
        self.open.pop(0).callback(None)

    def fail(self, fault: Exception) -> None:
        self.open.pop(0).errback(fault)


class GroupCommitWriterTests(SynchronousTestCase):
    """Group commit."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.backend = Backend()
        self.writer = GroupCommitWriter(self.backend, self.clock, LocationSettings(batch_seconds=0.004, queue=10), answer_seconds=5)
        self.log: list[Any] = []

    def put(self, *numbers: int) -> Deferred[None]:
        done = self.writer.put([change(number) for number in numbers])
        done.addCallbacks(lambda _: self.log.append(numbers), lambda failure: self.log.append((numbers, failure.type, str(failure.value))))
        return done

    def test_window(self) -> None:
        """Changes of one window are one batch, in order; nobody is told before it is committed."""
        self.put(1)
        self.clock.advance(0.003)
        self.put(2, 3)
        self.assertEqual(self.backend.batches, [])
        self.clock.advance(0.001)
        self.assertEqual(self.backend.batches, [["r-1", "r-2", "r-3"]])
        self.assertEqual(self.log, [])
        self.backend.commit()
        self.assertEqual(self.log, [(1,), (2, 3)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_eager(self) -> None:
        """An eager one lets what comes after a rest go at once; what comes next waits for the window."""
        self.writer = GroupCommitWriter(self.backend, self.clock, LocationSettings(batch_seconds=0.004, queue=10), eager=True)
        self.clock.advance(1)
        self.put(1)
        self.put(2)
        self.assertEqual(self.backend.batches, [])
        self.clock.advance(0)
        self.assertEqual(self.backend.batches, [["r-1", "r-2"]])
        self.backend.commit()
        self.put(3)
        self.clock.advance(0.001)
        self.assertEqual(len(self.backend.batches), 1)
        self.put(4)
        self.clock.advance(0.01)
        self.assertEqual(self.backend.batches[1:], [["r-3", "r-4"]])
        self.put(5)
        self.backend.commit()
        self.assertEqual(self.backend.batches[2:], [["r-5"]])
        self.backend.commit()
        self.clock.advance(1)
        self.put(6)
        self.clock.advance(0)
        self.assertEqual(self.backend.batches[3:], [["r-6"]])

    def test_without_load(self) -> None:
        """Where nobody else is to be expected a change goes at once; what comes while it is on its way goes next, together."""
        self.writer.is_load = lambda: False
        self.put(1)
        self.clock.advance(0)
        self.assertEqual(self.backend.batches, [["r-1"]])
        self.put(2)
        self.put(3)
        self.clock.advance(0.001)
        self.backend.commit()
        self.assertEqual(self.backend.batches, [["r-1"], ["r-2", "r-3"]])

    def test_hurried(self) -> None:
        """Who has waited already has the window cut short; a batch that is under way is waited for all the same."""
        self.writer.hurry()
        self.put(1)
        self.writer.hurry()
        self.put(2)
        self.writer.hurry()
        self.assertEqual((self.backend.batches, self.clock.getDelayedCalls()[1:]), ([["r-1"]], []))
        self.backend.commit()
        self.assertEqual((self.backend.batches, self.log), ([["r-1"], ["r-2"]], [(1,)]))

    def test_one_in_flight(self) -> None:
        """While a batch is being committed the next one collects, and goes as soon as the first is done."""
        self.put(1)
        self.clock.advance(0.004)
        self.put(2)
        self.clock.advance(1)
        self.put(3)
        self.assertEqual(self.backend.batches, [["r-1"]])
        self.backend.commit()
        self.assertEqual(self.backend.batches, [["r-1"], ["r-2", "r-3"]])
        self.assertEqual(self.log, [(1,)])
        self.backend.commit()
        self.assertEqual(self.log, [(1,), (2,), (3,)])

    def test_failure_is_the_batchs_own(self) -> None:
        """A batch that fails fails its own callers, with the reason, and no others; the next batch is tried."""
        self.put(1)
        self.put(2)
        self.clock.advance(0.004)
        self.put(3)
        self.backend.fail(StorageError("disk is full"))
        self.assertEqual(self.log, [((1,), StorageError, "disk is full"), ((2,), StorageError, "disk is full")])
        self.backend.commit()
        self.assertEqual(self.log[2:], [(3,)])

    def test_any_fault_is_a_storage_error(self) -> None:
        """A driver's own exception, raised or errbacked, reaches callers as StorageError."""
        self.put(1)
        self.clock.advance(0.004)
        self.backend.fail(ZeroDivisionError("driver"))
        self.backend.broken = True
        self.put(2)
        self.clock.advance(0.004)
        self.assertEqual([entry[:2] for entry in self.log], [((1,), StorageError), ((2,), StorageError)])
        self.assertEqual(self.writer.waiting, 0)

    def test_bounded(self) -> None:
        """Over the bound a put fails with StorageBusy at once, what is in flight counted; then there is room again."""
        self.put(*range(6))
        self.clock.advance(0.004)
        self.put(*range(6, 10))
        self.assertEqual(self.writer.waiting, 10)
        self.failureResultOf(self.writer.put([change(11)]), StorageBusy)
        self.backend.commit()
        self.assertEqual(self.writer.waiting, 4)
        self.put(11)
        self.backend.commit()
        self.backend.commit()
        self.assertEqual(self.log[-1], (11,))
        self.assertEqual([len(batch) for batch in self.backend.batches], [6, 4, 1])

    def test_nothing(self) -> None:
        """A put of no changes is done at once, without a batch."""
        self.successResultOf(self.writer.put([]))
        self.clock.advance(1)
        self.assertEqual(self.backend.batches, [])

    def test_silent_disk(self) -> None:
        """Callers of a batch that the store doesn't answer are told after the limit, once; order holds when it wakes up."""
        self.put(1)
        self.clock.advance(0.004)
        self.put(2)
        self.clock.advance(5)
        self.assertEqual(self.log, [((1,), StorageError, "the store didn't answer within 5 s")])
        self.assertEqual(self.backend.batches, [["r-1"]])
        self.backend.commit()
        self.backend.commit()
        self.assertEqual(self.log[1:], [(2,)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_put_from_a_callback(self) -> None:
        """Who puts again when told gets into a later batch."""
        self.put(1).addCallback(lambda _: self.put(2))
        self.clock.advance(0.004)
        self.backend.commit()
        self.assertEqual(self.backend.batches, [["r-1"]])
        self.clock.advance(0.004)
        self.backend.commit()
        self.assertEqual(self.log, [(1,), (2,)])

    def test_drain(self) -> None:
        """Drain commits what waits without the window, is done after the last batch and after its callers, and refuses new work."""
        self.put(1)
        self.clock.advance(0.004)
        self.put(2)
        first, second = self.writer.drain(), self.writer.drain()
        first.addCallback(lambda _: self.log.append("drained"))
        self.failureResultOf(self.writer.put([change(3)]), StorageError)
        self.backend.commit()
        self.assertNoResult(second)
        self.backend.commit()
        self.successResultOf(second)
        self.assertEqual(self.log, [(1,), (2,), "drained"])
        self.successResultOf(self.writer.drain())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drain_in_the_window(self) -> None:
        """Drain doesn't wait for the window."""
        self.put(1)
        done = self.writer.drain()
        self.assertEqual(self.backend.batches, [["r-1"]])
        self.backend.fail(StorageError("gone"))
        self.successResultOf(done)
        self.assertEqual(self.log, [((1,), StorageError, "gone")])
