"""Tests of `sipnode.media.client`."""

from __future__ import annotations

import itertools
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import MediaError
from sipnode.media import client as module
from sipnode.media import ng
from sipnode.media.bencode import BencodeError
from sipnode.media.client import NgClient
from tests.media.support import DatagramTransport

NODE = ("192.0.2.1", 2223)


class ClientCase(SynchronousTestCase):
    """A client on a clock with a transport in memory; its cookies are c1, c2 …"""

    def setUp(self) -> None:
        self.clock = Clock()
        numbers = itertools.count(1)
        self.client = NgClient(self.clock, (0.3, 0.6, 1.2), cookie=lambda: b"c%d" % next(numbers))
        self.wire = DatagramTransport()
        self.client.transport = self.wire

    def ping(self) -> Deferred[Any]:
        return self.client.command(NODE, ng.ping())


class CommandTests(ClientCase):
    """One command and its reply."""

    def test_reply(self) -> None:
        """A command is one datagram; its reply fires the Deferred and leaves nothing behind."""
        reply = self.ping()
        self.assertEqual(self.wire.written, [(b"c1 d7:command4:pinge", NODE)])
        self.client.datagramReceived(b"c1 d6:result4:ponge", NODE)
        self.assertEqual(self.successResultOf(reply), {b"result": b"pong"})
        self.assertEqual((self.client.outstanding, self.clock.getDelayedCalls()), (0, []))

    def test_retransmission(self) -> None:
        """The same octets go out after each wait but the last, after which there is no answer."""
        reply = self.ping()
        sent = []
        for seconds in (0.29, 0.02, 0.58, 0.02, 1.18):
            self.clock.advance(seconds)
            sent.append(len(self.wire.written))
        self.assertEqual(sent, [1, 2, 2, 3, 3])
        self.assertEqual(len(set(self.wire.written)), 1)
        self.assertNoResult(reply)
        self.clock.advance(0.02)
        self.assertEqual(self.failureResultOf(reply, ng.NoAnswer).value.status, 503)
        self.assertEqual((self.client.outstanding, self.client.resent, self.clock.getDelayedCalls()), (0, 2, []))

    def test_late_reply(self) -> None:
        """A reply to a retransmission counts; one after the end is a stray."""
        reply = self.ping()
        self.clock.advance(0.3)
        self.client.datagramReceived(b"c1 d6:result4:ponge", NODE)
        self.successResultOf(reply)
        self.client.datagramReceived(b"c1 d6:result4:ponge", NODE)
        self.assertEqual(self.client.strays, 1)

    def test_shorter_waits(self) -> None:
        """A command may have waits of its own."""
        reply = self.client.command(NODE, ng.ping(), (0.1,))
        self.clock.advance(0.1)
        self.failureResultOf(reply, ng.NoAnswer)
        self.assertEqual(len(self.wire.written), 1)

    def test_replies_find_their_commands(self) -> None:
        """Replies in another order go to the commands they belong to."""
        first, second = self.ping(), self.ping()
        self.client.datagramReceived(b"c2 d6:result5:error12:error-reason16:Ran out of portse", NODE)
        self.failureResultOf(second, ng.NodeFull)
        self.assertNoResult(first)
        self.client.datagramReceived(b"c1 d6:result4:ponge", NODE)
        self.successResultOf(first)

    def test_reply_that_cannot_be_read(self) -> None:
        """Nonsense under a known cookie ends the command with a named error."""
        for body in (b"x", b"d", b"d6:resultlee", b"l" * 5000):
            reply = self.ping()
            cookie = self.wire.written[-1][0].split(b" ")[0]
            self.client.datagramReceived(cookie + b" " + body, NODE)
            self.failureResultOf(reply, BencodeError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_strays(self) -> None:
        """An unknown cookie, no cookie, or another sender's address: counted, dropped, and the command goes on."""
        reply = self.ping()
        for data, address in (
            (b"c9 d6:result4:ponge", NODE), (b"", NODE), (b"c1", NODE), (b" ", NODE), (b"c1 d6:result4:ponge", ("192.0.2.9", 2223)),
            (b"c1 d6:result4:ponge", ("192.0.2.1", 2224)),
        ):  # fmt: skip
            self.client.datagramReceived(data, address)
        self.assertEqual(self.client.strays, 6)
        self.assertNoResult(reply)
        self.client.datagramReceived(b"c1 d6:result4:ponge", (*NODE, 0, 0))
        self.successResultOf(reply)

    def test_send_error_is_a_loss(self) -> None:
        """A network that is away for a moment is outlived by a retransmission."""
        self.wire.error = OSError(101, "Network is unreachable")
        reply = self.ping()
        self.wire.error = None
        self.clock.advance(0.3)
        self.client.datagramReceived(b"c1 d6:result4:ponge", NODE)
        self.successResultOf(reply)


class BoundTests(ClientCase):
    """What is refused, given up and stopped."""

    def test_outstanding_is_bounded(self) -> None:
        """Over the bound a command fails at once and sends nothing; those under way are as they were."""
        self.patch(module, "MAX_OUTSTANDING", 2)
        kept = [self.ping(), self.ping()]
        self.assertEqual(self.failureResultOf(self.ping(), MediaError).value.status, 503)
        self.assertEqual(len(self.wire.written), 2)
        for reply in kept:
            self.assertNoResult(reply)
        self.client.stop()
        for reply in kept:
            self.failureResultOf(reply, MediaError)

    def test_command_that_cannot_be_written(self) -> None:
        """A command too large, or with a value that has no form, fails without a datagram or a timer."""
        self.failureResultOf(self.client.command(NODE, {"command": "offer", "sdp": b"x" * 66_000}), MediaError)
        self.failureResultOf(self.client.command(NODE, {"command": None}), BencodeError)
        self.assertEqual((self.wire.written, self.clock.getDelayedCalls(), self.client.outstanding), ([], [], 0))

    def test_cancelled(self) -> None:
        """Whoever cancels gets a MediaError; the reply that comes later disturbs nobody."""
        reply = self.ping()
        reply.cancel()
        self.failureResultOf(reply, MediaError)
        self.client.datagramReceived(b"c1 d6:result4:ponge", NODE)
        self.assertEqual((self.client.outstanding, self.clock.getDelayedCalls()), (0, []))

    def test_stop(self) -> None:
        """Stopping ends every command and leaves no timer; afterwards nothing is sent."""
        replies = [self.ping(), self.ping()]
        self.client.stop()
        for reply in replies:
            self.failureResultOf(reply, MediaError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.failureResultOf(self.ping(), MediaError)
        self.assertEqual(len(self.wire.written), 2)

    def test_socket_gone(self) -> None:
        """A socket that closed under us loses what is sent, nothing more."""
        reply = self.ping()
        self.client.transport = None
        self.clock.pump([0.3, 0.6, 1.2])
        self.failureResultOf(reply, ng.NoAnswer)
        self.failureResultOf(self.ping(), MediaError)
