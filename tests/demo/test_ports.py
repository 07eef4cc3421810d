"""Tests of :mod:`sipnode.demo.ports`."""

from __future__ import annotations

import os
import socket

from twisted.trial.unittest import SynchronousTestCase

from sipnode.demo import ports


class PortTests(SynchronousTestCase):
    """Free or taken, and by whom."""

    def listening(self, kind: socket.SocketKind) -> int:
        """A port of this process."""
        ours = socket.socket(socket.AF_INET, kind)
        self.addCleanup(ours.close)
        ours.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            ours.listen()
        port: int = ours.getsockname()[1]
        return port

    def test_taken(self) -> None:
        """A port in use isn't free, and its holder is named with name and process."""
        for protocol, kind in (("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)):
            port = self.listening(kind)
            self.assertFalse(ports.is_free(protocol, "127.0.0.1", port))
            self.assertIn(f"(process {os.getpid()})", ports.holder(protocol, port))

    def test_free(self) -> None:
        """A port that was closed is free again and has no holder that could be named."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            ours.bind(("127.0.0.1", 0))
            port = ours.getsockname()[1]
        self.assertTrue(ports.is_free("udp", "127.0.0.1", port))
        self.assertEqual(ports.holder("udp", port), "another process")

    def test_foreign_address(self) -> None:
        """An address that isn't ours is another fault than a port in use."""
        self.assertRaises(OSError, ports.is_free, "udp", "192.0.2.77", 5060)

    def test_range(self) -> None:
        """A range with a taken port in it is passed over."""
        taken = self.listening(socket.SOCK_DGRAM)
        low, high = ports.free_range(taken, 4)
        self.assertEqual(high - low, 3)
        self.assertNotIn(taken, range(low, high + 1))
        self.assertFalse(ports.used_udp_ports() & set(range(low, high + 1)))
