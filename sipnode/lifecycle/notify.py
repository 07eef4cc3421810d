"""systemd's side of a service: readiness, reload, stop and watchdog, by datagrams to ``NOTIFY_SOCKET``.

The protocol is that of sd_notify(3). Where nobody listens nothing is sent. Invariant: a manager that has gone costs nothing but
the datagram.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger


class Notifier:
    """Tells the service manager how it goes.

    Args:
        address: Value of ``NOTIFY_SOCKET``: a path, or a name in the abstract namespace that begins with ``@``; "" for nobody.
    """

    def __init__(self, address: str) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def tell(self, *lines: str) -> bool:
        """Send assignments such as ``READY=1``; whether they went out."""
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sock:
                sock.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return False
        return True


def watchdog_seconds(environment: Mapping[str, str], pid: int) -> float:
    """Half of what the service manager allows between two signs of life; 0 where it wants none."""
    wanted = environment.get("WATCHDOG_USEC", "")
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid) or not (wanted.isascii() and wanted.isdigit()):
        return 0.0
    return int(wanted) / 2_000_000


class Watchdog(Service):
    """A sign of life at each interval, from the reactor itself: one that hangs gives none, and is restarted.

    Args:
        notifier: Who takes it.
        seconds: Between two; 0 for none.
        reactor: Clock and delayed calls.
    """

    name = "watchdog"

    def __init__(self, notifier: Notifier, seconds: float, reactor: Any) -> None:
        self._seconds = seconds
        self._loop = LoopingCall(notifier.tell, "WATCHDOG=1")
        self._loop.clock = reactor

    def startService(self) -> None:
        """Begin."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        if self._seconds:
            Logger(namespace="sipnode").debug("a sign of life each {seconds:g} s", seconds=self._seconds)
            self._loop.start(self._seconds)

    def stopService(self) -> Any:
        """End."""
        if self._loop.running:
            self._loop.stop()
        return super().stopService()  # type: ignore[no-untyped-call]  # as above
