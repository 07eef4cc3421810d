"""Which line stops the server: a function of a script that blocks holds up everybody, and nothing else would say where.

A thread looks whether the reactor still turns. The invariant: it costs one timer and one look of a thread each ``LOOK_SECONDS``; it never
touches what belongs to the reactor, and says each thing once.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.logger import Logger

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

STALLED_SECONDS: Final = 5.0
"""For how long nothing may turn before it is told."""
LOOK_SECONDS: Final = 1.0
SITE: Final = "sipnode_site_"
"""How the names of modules begin that a site's script was loaded as."""


class StallWatch(Service):
    """Watches the reactor.

    Args:
        reactor: Delayed calls; it runs in the thread that starts the service.
        stalled: Seconds after which a stall is told. look: Seconds between two looks.
        seconds: A clock that all threads may read. frames: What each thread does now.
    """

    name = "stall"
    log = Logger(namespace="sipnode")

    def __init__(
        self,
        reactor: Any,
        stalled: float = STALLED_SECONDS,
        look: float = LOOK_SECONDS,
        seconds: Callable[[], float] = time.monotonic,
        frames: Callable[[], Mapping[int, FrameType]] = sys._current_frames,
    ) -> None:
        self._reactor = reactor
        self._stalled, self._look = stalled, look
        self._seconds = seconds
        self._frames = frames
        self._turned = 0.0
        self._told = False
        self._watched = 0
        self._call: IDelayedCall | None = None
        self._stopped = threading.Event()

    def startService(self) -> None:
        """Begin."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self._watched = threading.get_ident()
        self._stopped = threading.Event()
        self._turn()
        threading.Thread(target=self._watch, args=(self._stopped,), name="sipnode stall", daemon=True).start()

    def stopService(self) -> Any:
        """End."""
        self._stopped.set()
        if self._call is not None and self._call.active():
            self._call.cancel()
        return super().stopService()  # type: ignore[no-untyped-call]  # as above

    def _turn(self) -> None:
        now = self._seconds()
        if self._told:
            self._told = False
            self.log.error("the server goes on after {seconds:.1f} s", seconds=now - self._turned)
        self._turned = now
        self._call = self._reactor.callLater(self._look, self._turn)

    def _watch(self, stopped: threading.Event) -> None:
        while not stopped.wait(self._look):
            self.look()

    def look(self) -> None:
        """Tell where the reactor is, if it hasn't turned for too long."""
        lasting = self._seconds() - self._turned
        if lasting < self._stalled or self._told:
            return
        self._told = True
        frame = self._frames().get(self._watched)
        where = place_of(frame) if frame is not None else "?"
        self.log.critical("the server has stood still for {seconds:.1f} s: {where}", seconds=lasting, where=where)


def place_of(frame: FrameType) -> str:
    """Where a thread is: the line of the site's script that it has come by, and the innermost one."""
    inner, site = _line(frame), ""
    at: FrameType | None = frame
    while at is not None and not site:
        if str(at.f_globals.get("__name__", "")).startswith(SITE):
            site = _line(at)
        at = at.f_back
    return site if site == inner else f"{site}, waiting in {inner}" if site else inner


def _line(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
