"""Memory that many connections have held goes back to the system when they are gone.

The C library keeps what was freed, and OpenSSL's part of a connection is five sixths of it. Invariant: nothing waits for this, and it
happens at most once in :data:`LOOK_SECONDS`.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SECONDS: Final = 5.0
# Connections that have to be gone for it to be worth a walk through the heap.
WORTH: Final = 200


def c_library() -> Callable[[], object] | None:
    """glibc's ``malloc_trim(0)``; None where there is no such thing."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return None if trim is None else lambda: trim(0)


class MemoryService(Service):
    """Looks now and then whether many connections have gone since the last time.

    Args:
        count: Connections that are open.
        reactor: Delayed calls and threads: the walk takes milliseconds, and leaves the interpreter free meanwhile.
        trim: Gives free memory back.
    """

    name = "memory"

    def __init__(self, count: Callable[[], int], reactor: Any, trim: Callable[[], object] | None) -> None:
        self._count = count
        self._reactor = reactor
        self._trim = trim
        self._most = 0
        self._call: Any = None

    def startService(self) -> None:
        """Begin to look."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        if self._trim is not None:
            self._call = self._reactor.callLater(LOOK_SECONDS, self._look)

    def stopService(self) -> Any:
        """Look no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        return super().stopService()  # type: ignore[no-untyped-call]  # as above

    def _look(self) -> None:
        self._call = self._reactor.callLater(LOOK_SECONDS, self._look)
        count = self._count()
        if self._most - count >= WORTH:
            self._most = count
            self._reactor.callInThread(self._trim)
        else:
            self._most = max(self._most, count)
