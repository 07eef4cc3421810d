"""Promises of ``sipnode.transport.udp``."""

from __future__ import annotations

import errno

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.errors import FlowClosed
from sipnode.interfaces import IFlow, IListener
from sipnode.transport.udp import UdpEndpoint

from .kit import OPTIONS, RecordingSink, listener

PEER = ("192.0.2.9", 5060)


class UdpEndpointTests(SynchronousTestCase):
    """One socket, without a socket."""

    def setUp(self) -> None:
        self.sink = RecordingSink()
        self.endpoint = UdpEndpoint(listener("UDP"), self.sink, max_peers=4)
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.endpoint.sendto = lambda data, address: self.sent.append((data, address)) or len(data)

    def test_a_datagram_is_a_message(self) -> None:
        """Every datagram of a peer reaches the sink with the same flow."""
        self.endpoint.datagramReceived(OPTIONS, PEER)
        self.endpoint.datagramReceived(b"x", PEER)
        (first, flow), (second, same) = self.sink.messages
        self.assertEqual((first, second), (OPTIONS, b"x"))
        self.assertIs(flow, same)
        self.assertEqual((flow.transport, flow.reliable, flow.websocket, flow.token, flow.closed), ("UDP", False, False, "", False))
        self.assertEqual((flow.local, flow.remote, flow.listener.name), (("127.0.0.1", 5060), PEER, "udp:127.0.0.1:5060"))
        verifyObject(IFlow, flow)
        verifyObject(IListener, flow.listener)

    def test_keepalives(self) -> None:
        """Line ends, zero octets and nothing at all are no messages and draw no answer."""
        for data in (b"", b"\r\n", b"\r\n\r\n", b"\0\0\0\0", b"\0" * 40):
            self.endpoint.datagramReceived(data, PEER)
        self.assertEqual((self.sink.messages, self.sent), ([], []))

    def test_line_ends_before_a_message(self) -> None:
        """A message behind line ends is read (RFC 3261 §7.5)."""
        self.endpoint.datagramReceived(b"\r\n\r\n" + OPTIONS, PEER)
        self.assertEqual(self.sink.texts, [OPTIONS])

    def test_stun(self) -> None:
        """A STUN binding request gets the address it came from."""
        self.endpoint.datagramReceived(bytes.fromhex("000100002112a442") + b"abcdefghijkl", PEER)
        (answer, address), = self.sent
        self.assertEqual(address, PEER)
        self.assertEqual(answer[:4], bytes.fromhex("0101000c"))
        self.assertEqual(self.sink.messages, [])

    def test_send(self) -> None:
        """A flow sends one datagram to its peer, and closing changes nothing."""
        flow = self.endpoint.flow_to(PEER)
        flow.close("no matter")
        flow.send(b"one")
        self.assertEqual(self.sent, [(b"one", PEER)])

    def fail_with(self, number: int) -> None:
        def sendto(data: bytes, address: tuple[str, int]) -> int:
            raise OSError(number, "words of the system")

        self.endpoint.sendto = sendto

    def test_full_buffers(self) -> None:
        """A datagram that the kernel has no room for is a lost datagram, no error."""
        flow = self.endpoint.flow_to(PEER)
        for number in (errno.EAGAIN, errno.ENOBUFS, errno.ECONNREFUSED):
            self.fail_with(number)
            flow.send(b"x")
        self.assertEqual(self.endpoint.lost, 3)

    def test_no_way(self) -> None:
        """What can never be delivered is said at once."""
        flow = self.endpoint.flow_to(PEER)
        for number in (errno.ENETUNREACH, errno.EMSGSIZE, errno.EPERM):
            self.fail_with(number)
            self.assertRaises(FlowClosed, flow.send, b"x")

    def test_closed_port(self) -> None:
        """A flow of a closed port says so."""
        self.endpoint.stopProtocol()
        self.assertRaises(FlowClosed, self.endpoint.flow_to(PEER).send, b"x")

    def test_bounded(self) -> None:
        """However many addresses write, two generations of flows are kept, and a peer that goes on writing keeps its flow."""
        busy = self.endpoint.flow_to(PEER)
        for port in range(1, 100):
            self.endpoint.datagramReceived(b"x", ("192.0.2.1", port))
            self.endpoint.datagramReceived(b"x", PEER)
        self.assertLessEqual(len(self.endpoint._flows) + len(self.endpoint._older), 8)
        self.assertIs(self.endpoint.known(PEER), busy)
        self.assertIsNone(self.endpoint.known(("192.0.2.1", 1)))
