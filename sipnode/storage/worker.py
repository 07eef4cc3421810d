"""One thread that does blocking work in the order it was asked for.

Invariant: jobs run one at a time, first in first out; results arrive in the reactor thread. A thread of our own costs half of
what a hop through Twisted's thread pool does, and one thread makes a single SQLite connection correct by construction.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from sipnode.errors import StorageError

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """A thread for one store.

    It is a daemon thread: a disk that hangs can't keep the process from ending. It begins with the first job.

    Args:
        reactor: Where results are delivered.
        name: Of the thread, for debuggers.
    """

    def __init__(self, reactor: IReactorFromThreads, name: str) -> None:
        self._reactor = reactor
        self._jobs: SimpleQueue[tuple[Deferred[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._begun = False

    @property
    def waiting(self) -> int:
        """Jobs that haven't begun."""
        return self._jobs.qsize()

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Call it in the thread after all earlier jobs; a Deferred of what it returns or raises."""
        if self._stopped:
            return fail(StorageError("the store is closed"))
        if not self._begun:
            self._begun = True
            self._thread.start()
        done: Deferred[T] = Deferred()
        self._jobs.put((done, lambda: function(*args, **kwargs)))
        return done

    def stop(self) -> None:
        """Take no further jobs; the thread ends when those it has are done."""
        if not self._stopped:
            self._stopped = True
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            done, call = job
            try:
                result = call()
            except Exception:
                self._reactor.callFromThread(done.errback, Failure())
            else:
                self._reactor.callFromThread(done.callback, result)
