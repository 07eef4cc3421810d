"""Copies of messages for a receiver of HEP: right to the octet, without secrets, and nobody waits for it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sipnode.insight import mirror as module
from sipnode.insight.hep import Framer, chunks
from sipnode.insight.mirror import AGAIN, MOST_WAITING, SOON, Mirror
from sipnode.insight.recorder import call_id_of
from sipnode.testing import World


class FramerTests(SynchronousTestCase):
    """Frames."""

    def test_frame(self) -> None:
        """Written out by hand: every chunk of a message over UDP."""
        frame = Framer(2001, "sipnode", "shh").frame(1_700_000_000.25, "UDP", ("192.0.2.1", 5060), ("198.51.100.2", 5080), b"OPTIONS", "c1")
        wanted = (
            "48455033 0082 0000 0001 0007 02 0000 0002 0007 11 0000 0003 000a c0000201 0000 0004 000a c6336402 0000 0007 0008 13c4"
            " 0000 0008 0008 13d8 0000 0009 000a 6553f100 0000 000a 000a 0003d090 0000 000b 0007 01 0000 000c 000a 000007d1"
            " 0000 0013 000d 7369706e6f6465 0000 000e 0009 736868 0000 0011 0008 6331 0000 000f 000d 4f5054494f4e53"
        )
        expected = bytes.fromhex(wanted.replace(" ", ""))
        self.assertEqual(frame[6:], expected[6:])
        self.assertEqual(int.from_bytes(frame[4:6], "big"), len(frame))

    def test_streams_and_ipv6(self) -> None:
        """A WebSocket is TCP; addresses of IPv6 have chunks of their own; what is no address is zeros."""
        found = chunks(Framer(1).frame(1.0, "WSS", ("2001:db8::1", 443), ("2001:db8::2%eth0", 5061), b"x", ""))
        self.assertEqual((found[1], found[2], found[5][-1], found[6][-1]), (b"\x0a", b"\x06", 1, 2))
        self.assertNotIn(17, found)
        self.assertEqual(chunks(Framer(1).frame(1.0, "TCP", ("nobody", 0), ("192.0.2.1", 1), b"x", ""))[3], bytes(4))

    @given(st.binary(max_size=70_000), st.text(max_size=2000), st.floats(0, 4e9))
    def test_any(self, payload: bytes, call_id: str, now: float) -> None:
        """Whatever a message is, its frame can be taken apart, and is no longer than its length can say."""
        frame = Framer(7, "n", "k").frame(now, "UDP", ("192.0.2.1", 1), ("192.0.2.2", 2), payload, call_id.replace("\ud800", ""))
        found = chunks(frame)
        self.assertLessEqual(len(frame), 65535)
        self.assertTrue(payload.startswith(found[15]))

    def test_broken(self) -> None:
        """What isn't a frame is said to be none."""
        frame = Framer(1).frame(1.0, "UDP", ("192.0.2.1", 1), ("192.0.2.2", 2), b"x", "c")
        cut, long = b"HEP3\x00\x0c\x00\x00\x00\x01\x00\x03", b"HEP3\x00\x0c\x00\x00\x00\x01\xff\xff"
        for data in (b"", b"HEP3", frame[:-1], frame + b"x", cut, long):
            self.assertRaises(ValueError, chunks, data)


class Receiver:
    """Takes connections as a reactor's endpoint makes them."""

    def __init__(self) -> None:
        self.transports: list[StringTransport] = []
        self.made: list[Protocol] = []
        self.fault: Exception | None = None

    def connect(self, protocol: Protocol) -> Deferred[Any]:
        """One more."""
        if self.fault is not None:
            done: Deferred[Any] = Deferred()
            done.errback(self.fault)
            return done
        transport = StringTransport()
        self.transports.append(transport)
        self.made.append(protocol)
        protocol.makeConnection(transport)
        return succeed(protocol)

    def frames(self, number: int = -1) -> list[dict[int, bytes]]:
        """What came by a connection."""
        data, found = self.transports[number].value(), []
        while data:
            length = int.from_bytes(data[4:6], "big")
            found.append(chunks(data[:length]))
            data = data[length:]
        return found


class MirrorTests(SynchronousTestCase):
    """A server in memory and its copy."""

    def setUp(self) -> None:
        self.world = World()
        self.receiver = Receiver()
        self.mirror = self.start(self.world.clock)

    def start(self, clock: Clock) -> Mirror:
        mirror = Mirror(clock, self.world.core.tap, Framer(1), call_id_of, "homer.test", 9060, self.receiver.connect)
        mirror.startService()
        self.addCleanup(lambda: mirror.stopService() if mirror.running else None)
        return mirror

    def test_a_call(self) -> None:
        """Each message once in each direction it travels, in order, with its Call-ID and addresses; repeats too."""
        alice, bob = self.world.phone("alice"), self.world.phone("bob", "TCP")
        bob.register()
        self.world.advance(1)
        self.receiver.transports[0].clear()
        invite = alice.send("INVITE", bob.aor)
        alice.send_again(invite)
        self.world.advance(SOON)
        frames = self.receiver.frames()
        said = [frame[15].split(b"\r\n")[0] for frame in frames]
        self.assertEqual([line.split()[0] for line in said], [b"INVITE", b"SIP/2.0", b"INVITE", b"INVITE", b"SIP/2.0"])
        self.assertEqual({frame[17] for frame in frames}, {invite.call_id.encode()})
        self.assertEqual([frame[2] for frame in frames], [b"\x11", b"\x11", b"\x06", b"\x11", b"\x11"])
        self.assertEqual(frames[0][7], (alice.flow.remote[1]).to_bytes(2, "big"))
        self.assertEqual(frames[1][8], (alice.flow.remote[1]).to_bytes(2, "big"))

    def test_secrets(self) -> None:
        """What would let somebody else sign in isn't in the copy; its length is the message's."""
        phone = self.world.phone("alice")
        phone.register(headers=[("authorization", 'Digest username="alice", nonce="n0nce", response="deadbeef"')])
        self.world.advance(SOON)
        first = self.receiver.frames()[0][15]
        self.assertNotIn(b"deadbeef", first)
        self.assertIn(b'username="alice"', first)

    def test_slow(self) -> None:
        """A receiver that doesn't take anything: what waits is bounded and the rest counted; then it gets what waited."""
        stream: Any = self.receiver.made[0]
        stream.pauseProducing()
        self.patch(module, "MOST_WAITING", 10)
        for _ in range(20):
            self.world.phone("alice").register()
        self.world.advance(1)
        self.assertEqual((self.mirror.waiting, self.mirror.dropped, self.receiver.frames()), (10, 30, []))
        stream.resumeProducing()
        self.world.advance(SOON)
        self.assertEqual((self.mirror.waiting, len(self.receiver.frames())), (0, 10))
        self.assertGreater(MOST_WAITING, 1000)

    def test_away(self) -> None:
        """One that goes is connected to again, later and later; messages of meanwhile are kept."""
        self.receiver.fault = ConnectionRefusedError("refused")
        self.receiver.made[0].connectionLost(Failure(ConnectionLost()))
        self.world.advance(AGAIN[0])
        self.world.phone("alice").register()
        self.world.advance(AGAIN[1] - 0.1)
        self.assertEqual(len(self.receiver.made), 1)
        self.receiver.fault = None
        self.world.advance(0.2)
        self.world.advance(SOON)
        self.assertEqual((len(self.receiver.made), len(self.receiver.frames())), (2, 2))

    def test_stop(self) -> None:
        """A stop sends what waits, lets the connection go, and watches no more."""
        self.world.phone("alice").register()
        self.mirror.stopService()
        self.assertEqual(len(self.receiver.frames()), 2)
        self.assertTrue(self.receiver.transports[0].disconnecting)
        self.world.phone("alice").register()
        self.assertEqual(self.mirror.waiting, 0)


class DatagramTests(SynchronousTestCase):
    """Over UDP."""

    def test_datagrams(self) -> None:
        """One frame a datagram, to the receiver; one that is too long costs only itself."""
        reactor, world = MemoryReactorClock(), World()
        mirror = Mirror(reactor, world.core.tap, Framer(1), call_id_of, "192.0.2.8", 9060, None)
        sent: list[bytes] = []

        class Port:
            """A socket."""

            def connect(self, host: str, port: int) -> None:
                self.to = (host, port)

            def write(self, data: bytes, address: None) -> None:
                if len(data) > 1000:
                    raise OSError("message too long")
                sent.append(data)

        port = Port()

        class Listening:
            """A port that was opened."""

            def stopListening(self) -> None:
                return None

        def listen(number: int, protocol: Any, interface: str) -> Any:
            protocol.makeConnection(port)
            return Listening()

        reactor.listenUDP = listen  # type: ignore[attr-defined]  # which the memory reactor hasn't
        mirror.startService()
        self.addCleanup(mirror.stopService)
        world.phone("alice").register()
        world.phone("alice").register(headers=[("x-long", "x" * 1500)])
        reactor.advance(SOON)
        self.assertEqual((len(sent), mirror.dropped, port.to), (3, 1, ("192.0.2.8", 9060)))
        self.assertTrue(chunks(sent[0])[15].startswith(b"REGISTER "))
