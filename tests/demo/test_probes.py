"""Tests of :mod:`sipnode.demo.probes`."""

from __future__ import annotations

import socket
import threading

from twisted.trial.unittest import SynchronousTestCase

from sipnode.demo import probes


class ProbeTests(SynchronousTestCase):
    """What counts as an answer."""

    def answering(self, answer: bytes, kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
        """The port of a peer that answers one question; COOKIE in the answer is the question's first word."""
        peer = socket.socket(socket.AF_INET, kind)
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(5)
        if kind == socket.SOCK_STREAM:
            peer.listen()

        def once() -> None:
            if kind == socket.SOCK_STREAM:
                connection, _ = peer.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)
            else:
                question, asker = peer.recvfrom(65536)
                peer.sendto(answer.replace(b"COOKIE", question.split()[0]), asker)

        thread = threading.Thread(target=once, daemon=True)
        thread.start()
        self.addCleanup(peer.close)
        self.addCleanup(thread.join, 5)
        port: int = peer.getsockname()[1]
        return port

    def test_media_relay(self) -> None:
        """An rtpengine answers pong to our own cookie."""
        self.assertTrue(probes.media_relay("127.0.0.1", self.answering(b"COOKIE d6:result4:ponge")))
        self.assertFalse(probes.media_relay("127.0.0.1", self.answering(b"other d6:result4:ponge")))
        self.assertFalse(probes.media_relay("127.0.0.1", self.answering(b"COOKIE d6:result5:errore")))

    def test_sip_server(self) -> None:
        """A SIP server that isn't ready answers 503, which doesn't count."""
        self.assertTrue(probes.sip_server("127.0.0.1", self.answering(b"SIP/2.0 200 OK\r\n\r\n")))
        self.assertFalse(probes.sip_server("127.0.0.1", self.answering(b"SIP/2.0 503 Not ready\r\n\r\n")))
        self.assertFalse(probes.sip_server("127.0.0.1", self.answering(b"hello")))

    def test_web_page(self) -> None:
        """A page is there when it is answered 200."""
        self.assertTrue(probes.web_page("127.0.0.1", self.answering(b"HTTP/1.1 200 OK\r\n\r\n", socket.SOCK_STREAM)))
        self.assertFalse(probes.web_page("127.0.0.1", self.answering(b"HTTP/1.1 404 No\r\n\r\n", socket.SOCK_STREAM)))

    def test_nobody(self) -> None:
        """Nobody there is False, not an exception."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            ours.bind(("127.0.0.1", 0))
            port = ours.getsockname()[1]
        self.assertFalse(probes.sip_server("127.0.0.1", port))
        self.assertFalse(probes.media_relay("127.0.0.1", port))
        self.assertFalse(probes.web_page("127.0.0.1", port))
