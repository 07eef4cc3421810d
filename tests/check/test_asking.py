"""What media nodes and DNS are asked, with real sockets of loopback in their place."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Callable

from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from sipnode.check import asking
from sipnode.errors import ConfigError
from sipnode.settings import CoreSettings, MediaSettings, Settings

HOST = "127.0.0.1"


class AskingCase(SynchronousTestCase):
    """A peer of the test's own."""

    def setUp(self) -> None:
        self.said: list[str] = []
        self.patch(asking, "WAITS", (2.0,))

    def warn(self, error: ConfigError) -> None:
        """A warning."""
        self.said.append(str(error))

    def peer(self, answer: Callable[[bytes], bytes]) -> int:
        """A UDP port that answers each datagram so; b"" for silence."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]

        def serve() -> None:
            with sock:
                while (got := sock.recvfrom(9000))[0] != b"end":
                    data = answer(got[0])
                    if data:
                        sock.sendto(data, got[1])

        thread = threading.Thread(target=serve)
        thread.start()

        def end() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"end", (HOST, port))
            thread.join()

        self.addCleanup(end)
        return port


class MediaTests(AskingCase):
    """rtpengine."""

    def ask(self, *lines: str) -> list[str]:
        """What is said of these nodes."""
        asking.ask_media(dataclasses.replace(Settings(), media=MediaSettings(nodes=lines)), (), self.warn)
        return self.said

    def test_answers(self) -> None:
        """Nothing is said of a node that answers; a line that can't be read is told by another part of the check."""
        port = self.peer(lambda data: data.partition(b" ")[0] + b" d6:result4:ponge")
        self.assertEqual(self.ask(f"{HOST}:{port}", "x"), [])

    def test_wrong_answer(self) -> None:
        """Its own words are told, and so is an answer in no language of ours."""
        limit = self.peer(lambda data: data.partition(b" ")[0] + b" d6:result10:load limite")
        other = self.peer(lambda data: b"hello")
        says, speaks = self.ask(f"{HOST}:{limit}", f"{HOST}:{other}")
        self.assertIn(f"media.nodes: rtpengine at {HOST}:{limit} says load limit", says)
        self.assertIn("isn't the ng protocol", speaks)

    def test_other_relay(self) -> None:
        """Nodes of a plugin's relay aren't asked in rtpengine's language."""
        self.patch(asking, "pinged", lambda host, port: "was asked")
        asking.ask_media(dataclasses.replace(Settings(), media=MediaSettings(relay="acme", nodes=(f"{HOST}:2223",))), (), self.warn)
        self.assertEqual(self.said, [])

    def test_silence(self) -> None:
        """A port where nobody is, and one that stays silent, are a warning each."""
        self.patch(asking, "WAITS", (0.05, 0.05))
        silent = self.peer(lambda data: b"")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind((HOST, 0))
            closed = taken.getsockname()[1]
        self.assertEqual([f"127.0.0.1:{port} doesn't answer" in text for port, text in zip((silent, closed), self.ask(
            f"{HOST}:{silent}", f"{HOST}:{closed}"), strict=True)], [True, True])  # fmt: skip


class DnsTests(AskingCase):
    """Domains."""

    def server(self, records: dict[tuple[str, int], bytes], code: int = dns.OK) -> None:
        """A DNS server of loopback in the place of port 53."""

        def answer(data: bytes) -> bytes:
            question = dns.Message()
            question.fromStr(data)
            reply = dns.Message(question.id, answer=1, rCode=code)
            query = question.queries[0]
            reply.queries = question.queries
            payload = records.get((query.name.name.decode(), query.type))
            if payload is not None:
                reply.answers = [dns.RRHeader(query.name.name, query.type, payload=payload)]
            return reply.toStr()

        port = self.peer(answer)
        ask = asking._asked
        self.patch(asking, "_asked", lambda family, where, data, wait: ask(family, (where[0], port), data, wait))

    def ask(self, *domains: str, servers: tuple[str, ...] = (HOST,)) -> list[str]:
        """What is said of these domains."""
        asking.ask_dns(dataclasses.replace(Settings(), core=CoreSettings(domains=domains)), (), self.warn, servers)
        return self.said

    def test_known(self) -> None:
        """An address will do, and so will an SRV record of SIP."""
        self.server({
            ("a.example.org", dns.A): dns.Record_A("192.0.2.1"),
            ("_sip._udp.b.example.org", dns.SRV): dns.Record_SRV(0, 0, 5060, b"sip.example.org"),
        })  # fmt: skip
        self.assertEqual(self.ask("a.example.org", "B.example.org."), [])

    def test_unknown(self) -> None:
        """A domain without either is told, a name of no public DNS isn't asked."""
        self.server({}, dns.ENAME)
        (text,) = self.ask("gone.example.org", "live.test", "localhost", "192.0.2.7", "[2001:db8::1]")
        self.assertIn("core.domains: DNS has neither SRV records nor an address of gone.example.org", text)

    def test_no_server(self) -> None:
        """A server that is silent or broken is told once, not for each domain."""
        self.server({}, dns.ESERVER)
        self.assertEqual(len(self.ask("a.example.org", "b.example.org")), 1)
        self.said.clear()
        self.assertIn("no server in /etc/resolv.conf", self.ask("a.example.org", servers=())[0])
