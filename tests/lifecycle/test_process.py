"""Signals, reports to the service manager, and the sockets that came with the process."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.lifecycle.activation import PassedSockets, passed_descriptors
from sipnode.lifecycle.notify import Notifier, Watchdog, watchdog_seconds
from sipnode.lifecycle.signals import PATIENCE, SignalService


class NotifierTests(SynchronousTestCase):
    """sd_notify(3)."""

    def setUp(self) -> None:
        self.name = f"@sipnode-test-{os.getpid()}"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind("\0" + self.name[1:])
        self.manager.setblocking(False)

    def test_tell(self) -> None:
        """Assignments arrive as lines of one datagram, in the abstract namespace too."""
        self.assertTrue(Notifier(self.name).tell("READY=1", "STATUS=ready"))
        self.assertEqual(self.manager.recv(100), b"READY=1\nSTATUS=ready")

    def test_nobody(self) -> None:
        """Without a manager, or with one that has gone, nothing happens."""
        self.assertFalse(Notifier("").tell("READY=1"))
        self.assertFalse(Notifier("/nonexistent/notify").tell("READY=1"))

    def test_watchdog(self) -> None:
        """A sign of life at once and at each interval, none after the stop; none where none is wanted."""
        clock = Clock()
        dog = Watchdog(Notifier(self.name), 2.0, clock)
        dog.startService()
        clock.pump([2.0, 2.0])
        dog.stopService()
        clock.advance(10)
        self.assertEqual([self.manager.recv(100) for _ in range(3)], [b"WATCHDOG=1"] * 3)
        self.assertRaises(BlockingIOError, self.manager.recv, 100)
        Watchdog(Notifier(self.name), 0.0, clock).startService()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_interval(self) -> None:
        """Half of what is allowed; none for another process or without a number."""
        self.assertEqual(watchdog_seconds({"WATCHDOG_USEC": "20000000"}, 7), 10.0)
        self.assertEqual(watchdog_seconds({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "8"}, 7), 0.0)
        self.assertEqual(watchdog_seconds({}, 7), 0.0)
        self.assertEqual(watchdog_seconds({"WATCHDOG_USEC": "soon"}, 7), 0.0)


class PassedTests(SynchronousTestCase):
    """sd_listen_fds(3)."""

    def test_descriptors(self) -> None:
        """Counted from 3, for this process only."""
        self.assertEqual(passed_descriptors({"LISTEN_FDS": "2", "LISTEN_PID": "7"}, 7), [3, 4])
        for wrong in ({}, {"LISTEN_FDS": "2", "LISTEN_PID": "8"}, {"LISTEN_FDS": "x", "LISTEN_PID": "7"}, {"LISTEN_FDS": "2"}):
            self.assertEqual(passed_descriptors(wrong, 7), [])

    def passed(self, family: int, kind: int, host: str) -> tuple[int, int]:
        """A bound socket's descriptor and port."""
        sock = socket.socket(family, kind)
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return sock.detach(), port

    def test_take(self) -> None:
        """Each goes once to who has its address and kind; the rest is named and closed."""
        udp, udp_port = self.passed(socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.1")
        tcp, tcp_port = self.passed(socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1")
        sockets = PassedSockets([udp, tcp])
        self.assertIsNone(sockets.take("127.0.0.1", udp_port, False))
        self.assertIsNone(sockets.take("127.0.0.2", udp_port, True))
        self.assertIsNone(sockets.take("::1", udp_port, True))
        mine = sockets.take("127.0.0.1", udp_port, True)
        assert mine is not None
        self.assertEqual((mine.getsockname()[1], mine.getblocking()), (udp_port, False))
        mine.close()
        self.assertIsNone(sockets.take("127.0.0.1", udp_port, True))
        self.assertEqual(sockets.rest(), [f"('127.0.0.1', {tcp_port})"])
        self.assertRaises(OSError, os.fstat, tcp)
        self.assertEqual(sockets.rest(), [])


class Reactor(Clock):
    """Runs already."""

    stopped = 0

    def callWhenRunning(self, what: Any) -> None:
        """Twisted's name."""
        what()

    def callFromThread(self, what: Any) -> None:
        """Twisted's name."""
        what()

    def stop(self) -> None:
        """Twisted's name."""
        self.stopped += 1


class SignalTests(SynchronousTestCase):
    """TERM once and twice, HUP."""

    def setUp(self) -> None:
        self.handlers: dict[int, Any] = {}
        self.reactor = Reactor()
        self.heard: list[str] = []
        service = SignalService(
            self.reactor,
            lambda: self.heard.append("hurry"),
            lambda: self.heard.append("reload"),
            self.handlers.__setitem__,
            lambda status: self.heard.append(f"left {status}"),
        )
        service.startService()

    def send(self, number: int) -> None:
        """The kernel's part."""
        self.handlers[number](number, None)

    def test_term(self) -> None:
        """The first stops the reactor, each further one only hurries."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            self.send(number)
        self.assertEqual((self.reactor.stopped, self.heard), (1, ["hurry", "hurry"]))

    def test_held(self) -> None:
        """What doesn't stop a second after the second TERM is left behind, by no means before."""
        self.send(signal.SIGTERM)
        self.reactor.advance(60)
        self.send(signal.SIGTERM)
        self.reactor.advance(PATIENCE - 0.1)
        self.assertEqual(self.heard, ["hurry"])
        self.reactor.advance(0.2)
        self.assertEqual(self.heard, ["hurry", "left 1"])

    def test_hup(self) -> None:
        """HUP reloads; not any more when it stops."""
        self.send(signal.SIGHUP)
        self.send(signal.SIGTERM)
        self.send(signal.SIGHUP)
        self.assertEqual(self.heard, ["reload"])
