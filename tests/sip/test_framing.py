"""Tests of cutting a stream: however it is split, the messages are the same; a lost frame loses nothing before it."""

from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import FramingError
from sipnode.sip.framing import StreamFramer
from sipnode.sip.parser import Limits
from tests.sip.kit import PROFILE, messages, octets

ONE = octets(body=b"body \r\n\r\n with an empty line")
TWO = octets("BYE sip:a@b SIP/2.0")
PING = b"\r\n\r\n"
LIMITS = Limits(message_bytes=2000)
BAD = {
    "no Content-Length": (octets(length=None), 400),
    "no number": (octets(length="x"), 400),
    "a negative number": (octets(length="-1"), 400),
    "nothing": (octets(length=" "), 400),
    "another one in compact form": (octets("INVITE sip:a@b SIP/2.0", "l: 7"), 400),
    "one folded into another number": (octets(length="1\r\n 2"), 400),
    "a long number": (octets(length="1" * 30), 400),
    "a body over the limit": (octets(length="2001"), 513),
    "a head over the limit": (octets("INVITE sip:a@b SIP/2.0", "S: " + "x" * 2000), 513),
}


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Data in pieces."""
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(ends)]


def fed(framer: StreamFramer, pieces: list[bytes]) -> tuple[list[bytes], int, FramingError | None]:
    """All messages, the number of pings and the fault, asking again as long as there is something left to say."""
    found: list[bytes] = []
    pings = 0
    for piece in pieces:
        try:
            more = framer.feed(piece)
            found += more
            pings += framer.pings
            while more:
                more = framer.feed(b"") if framer.partial else []
                found += more
        except FramingError as error:
            return found, pings, error
    return found, pings, None


class WholeTests(SynchronousTestCase):
    """Messages that come as they should."""

    def test_one(self) -> None:
        """A whole message comes out at once, and nothing stays."""
        framer = StreamFramer()
        self.assertEqual(framer.feed(ONE), [ONE])
        self.assertFalse(framer.partial)

    def test_many(self) -> None:
        """All messages of one read, in order."""
        self.assertEqual(StreamFramer().feed(ONE + TWO + PING + ONE), [ONE, TWO, ONE])

    def test_compact(self) -> None:
        """The compact form of Content-Length counts, in any spelling, folded or given twice with the same value."""
        for line in ("l: 4", "L:4", "Content-length \t:\r\n 4", "CONTENT-LENGTH: 0004", "l: 4\r\nContent-Length: 4"):
            data = octets("INVITE sip:a@b SIP/2.0", line, body=b"four", length=None)
            self.assertEqual(StreamFramer().feed(data + TWO), [data, TWO])

    def test_look_alikes(self) -> None:
        """Neither other headers that begin or end like it, nor the body, are Content-Length."""
        data = octets(
            "INVITE sip:a@b SIP/2.0", "X-Content-Length: 9", "ll: 9", "Content-Length-X: 9", "S: l: 9", body=b"\r\nl: 7\r\n"
        )
        self.assertEqual(StreamFramer().feed(data + TWO), [data, TWO])

    @PROFILE
    @given(st.lists(st.one_of(messages(), st.just(PING), st.just(b"\r\n")), max_size=5), st.lists(st.integers(0, 3000), max_size=12))
    @example([ONE, PING, TWO], list(range(1000)))
    def test_any_split(self, parts: list[bytes], places: list[int]) -> None:
        """However the stream is split, the messages are the same."""
        stream = b"".join(parts)
        found, _, fault = fed(StreamFramer(), cut(stream, places))
        self.assertIsNone(fault)
        self.assertEqual(found, [part for part in parts if part.strip(b"\r\n")])


class KeepaliveTests(SynchronousTestCase):
    """CRLFCRLF wants one CRLF back (RFC 5626 §4.4.1)."""

    @PROFILE
    @given(st.integers(0, 9), st.lists(st.integers(0, 60), max_size=20), st.booleans())
    def test_counted(self, pings: int, places: list[int], message: bool) -> None:
        """Each ping counts once, however it is split, and what follows is read."""
        found, counted, fault = fed(StreamFramer(), cut(PING * pings + (TWO if message else b""), places))
        self.assertEqual((found, counted, fault), ([TWO] if message else [], pings, None))

    def test_single_line_ends(self) -> None:
        """A line end alone is no ping, and no message that has begun."""
        framer = StreamFramer()
        for data, pings in ((b"\r\n", 0), (b"\r", 0), (b"\n", 1), (TWO + b"\r\n", 0), (b"\r\n", 1)):
            framer.feed(data)
            self.assertEqual((framer.pings, framer.partial), (pings, False), data)

    def test_odd_line_ends(self) -> None:
        """A heap of CRs and LFs goes away without a trace."""
        framer = StreamFramer()
        self.assertEqual(framer.feed(b"\n\r\n\n\r\r\n" * 1000 + TWO), [TWO])

    def test_inside_a_message(self) -> None:
        """Line ends inside a body are the body's."""
        data = octets(body=PING * 3)
        found, pings, _ = fed(StreamFramer(), cut(data + TWO, list(range(0, 500, 7))))
        self.assertEqual((found, pings), ([data, TWO], 0))


class PartialTests(SynchronousTestCase):
    """Whether the connection has to be watched for a message that doesn't come to its end."""

    def test_begun(self) -> None:
        """From the first octet to the last."""
        framer = StreamFramer()
        seen = []
        for position in range(len(ONE)):
            framer.feed(ONE[position : position + 1])
            seen.append(framer.partial)
        self.assertEqual(seen, [True] * (len(ONE) - 1) + [False])


class FaultTests(SynchronousTestCase):
    """A frame that is lost."""

    def test_status(self) -> None:
        """Each way to lose it has its status, and the head, so that it can be answered."""
        for name, (data, status) in BAD.items():
            framer = StreamFramer(LIMITS)
            error = self.assertRaises(FramingError, framer.feed, data)
            self.assertEqual(error.status, status, name)
            self.assertTrue(data.startswith(error.head) and b"Call-ID" in error.head, name)

    @PROFILE
    @given(st.sampled_from(sorted(BAD)), st.integers(0, 3), st.lists(st.integers(0, 5000), max_size=8))
    def test_messages_before(self, name: str, count: int, places: list[int]) -> None:
        """What was whole before the fault is delivered, then the fault is told, and told again; what follows isn't read."""
        framer = StreamFramer(LIMITS)
        stream = TWO * count + BAD[name][0]
        found, _, error = fed(framer, [*cut(stream, places), TWO])
        self.assertEqual(found, [TWO] * count)
        assert error is not None
        self.assertEqual(error.status, BAD[name][1])
        self.assertRaises(FramingError, framer.feed, TWO)
        self.assertRaises(FramingError, framer.feed, b"")

    def test_endless_head(self) -> None:
        """A head that doesn't end is cut off at the limit, also behind a whole message."""
        for before in (b"", TWO):
            framer = StreamFramer(LIMITS)
            pieces = [before + b"INVITE sip:a@b SIP/2.0\r\n"] + [b"S: " + b"x" * 200] * 30
            found, _, error = fed(framer, pieces)
            self.assertEqual(found, [before] if before else [])
            assert error is not None
            self.assertEqual(error.status, 513)
            self.assertTrue(len(error.head) <= 4096)

    def test_nothing_kept(self) -> None:
        """Octets that follow a fault aren't kept."""
        framer = StreamFramer(LIMITS)
        for _ in range(3):
            self.assertRaises(FramingError, framer.feed, b"x" * 100000)
        self.assertEqual(framer._buffer, b"")

    def test_bounded(self) -> None:
        """A framer never holds more than one message of the largest size and one read."""
        framer = StreamFramer(LIMITS)
        for piece in cut((octets(length="1500") + b"y" * 1500) * 20, list(range(0, 100000, 97))):
            framer.feed(piece)
            self.assertTrue(len(framer._buffer) <= LIMITS.message_bytes + 97)


class CostTests(SynchronousTestCase):
    """Work grows with the octets, not with their square."""

    def test_head_is_searched_once(self) -> None:
        """A head that comes in small pieces isn't searched from its beginning again."""
        framer = StreamFramer()
        framer.feed(b"INVITE sip:a@b SIP/2.0\r\nS: " + b"x" * 1000)
        self.assertEqual(framer._scanned, len(framer._buffer) - 3)

    def test_many_small_messages(self) -> None:
        """Thousands of messages of one read."""
        self.assertEqual(len(StreamFramer().feed(b"X x SIP/2.0\r\nl:0\r\n\r\n" * 20000)), 20000)
