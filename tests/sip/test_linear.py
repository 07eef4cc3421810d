"""Reading costs in proportion to what is read: no text, however it is made, takes more than one pass.

Nothing here is timed. Each text is so long that one pass over it takes a fraction of a second, and as many passes as it has octets
take hours; a test that doesn't end within its share of the processor fails.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.media.body import find_sdp, locate
from sipnode.nat.alias import handle_ruri_alias, set_contact_alias
from sipnode.nat.tests import contact_address
from sipnode.sip import digest, grammar
from sipnode.sip.address import NameAddr
from sipnode.sip.framing import StreamFramer
from sipnode.sip.message import SipRequest
from sipnode.sip.parser import BrokenMessage, Limits, parse_message
from sipnode.sip.uri import SipUri
from sipnode.sip.via import Via, stamped
from sipnode.transaction.keys import client_key, server_key

SIZE = 1 << 20
SECONDS = 3.0
"""Of the processor, for one pass over a few times SIZE; the slowest takes a twentieth of one."""
WIDE = Limits(16 * SIZE, 16 * SIZE, 16 * SIZE, 16 * SIZE)
HEAD = (
    "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\n"
    "CSeq: 1 OPTIONS\r\n"
)

BITS = (
    "a", "1", " ", "\t", "\r\n ", "\r", "\n", "\r\n", ":", ";", ",", "<", ">", '"', "\\", '\\"', "=", "@", "%", "%41", "?", "&", ".", "-",
    "[", "]", "a=", "a,", "a;", ";a", ";a=", ";a=b", '="', ';a="', ';a="b"', "<>", "<a>,", '"a",', "a ", " a", "; ", " ;", " =", "a b",
    "a:",
    "a@", ";alias", ";alias=", ";branch=", ";rport;", ";received=", ";boundary=", ';boundary="', "; boundary ", 'a="b",', "a=b,", "a=b ,",
    ", ,", "sip:", "SIP/2.0/UDP ", "\u00e9", "\udcff",
)  # fmt: skip
"""What hostile text is made of, over and over."""
STARTS = ("", "sip:a@b", "SIP/2.0/UDP h;branch=z9hG4bK1", '<sip:a@b>;x="', "multipart/mixed;boundary=")
LINES = (
    "\r\n ", "\r\n\t", "\n ", "\r", "\n", "\r\n", " ", ",", ", ", ";", ":", '"', "a", "X: a\r\n", "x\r\n", "Via: SIP/2.0/UDP h\r\n",
    "Via: a,\r\n b\r\n", "Call-ID: x\r\n",
)  # fmt: skip
"""What messages are made of."""
PARTS = (
    "\r\n--a", "--a\r\n", "\r\n--a ", "\n--a\n", "\r\n--a\r\n\r\n", "-", " ", "\n", "\r\n\r\n", "a:", "a: b\r\n ", "a :",
    "content-length: 1", "\ncontent-length \t",
    'Content-Type: multipart/mixed;boundary="b\r\n', "\n--a\nContent-Type: multipart/mixed;boundary=a\n\n",
)  # fmt: skip
"""What multipart bodies are made of."""


def bounded(work: Callable[[], Any], seconds: float = SECONDS) -> None:
    """Run it; what is refused is as good as what is read.

    Raises:
        AssertionError: it doesn't end.
    """

    def ended(number: int, frame: FrameType | None) -> None:
        raise AssertionError("more than one pass")

    before = signal.signal(signal.SIGVTALRM, ended)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        work()
    except ParseError:
        pass
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def via(text: str) -> None:
    """A Via, and what is done with it."""
    text = grammar.unfold(text)
    found = Via.parse(text)
    found.came_from, found.params  # noqa: B018 (reads them)
    stamped(f"Via: {text}", found, "192.0.2.1", 9)


def uri(text: str) -> None:
    """A URI, and what is done with it."""
    found = SipUri.parse(text)
    found.aor, found.equals(SipUri.parse(text + ";x=y")), found.without_params("a")


def address(text: str) -> None:
    """A name-addr, and what is done with it."""
    found = NameAddr.parse(text)
    found.params, found.tag, found.uri  # noqa: B018 (reads them)


READERS: tuple[Callable[[str], Any], ...] = (
    grammar.split_commas, grammar.split_params, grammar.parse_params, grammar.unfold, grammar.unquote, grammar.is_token,
    uri, address, via, contact_address, handle_ruri_alias, lambda text: set_contact_alias(text, "192.0.2.1", 5060, 1),
    digest.is_digest, lambda text: locate(text, b"--a\r\n\r\n"),
)  # fmt: skip


class LinearTests(SynchronousTestCase):
    """Text of one kind, over and over."""

    def test_values(self) -> None:
        """Every reader of a header value, a URI or a parameter."""
        for reader in READERS:
            for bit in BITS:
                for start in STARTS:
                    text = start + bit * (SIZE // 16 // len(bit)) + "!"
                    bounded(lambda reader=reader, text=text: reader(text), 0.5)  # type: ignore[misc]  # mypy can't infer such a lambda

    def test_digest(self) -> None:
        """Credentials: junk of any kind is one fault, not one for each octet. They are cut at a length, so that steps are counted."""
        for bit in BITS:
            for start in ("Digest ", 'Digest a="', "Digest a=b,", "Digest , ,"):
                junk = (start + bit * (4000 // len(bit)) + "!")[:4096]
                self.assertLess(len([one for one in digest._ITEM.findall(junk, 7) if one[2]]), 2)

    def test_messages(self) -> None:
        """Whole messages: folded lines, headers of one name, blanks and line ends without an end, with an empty line and without."""
        for bit in LINES:
            for start in ("", HEAD + "X: a"):
                for end in ("\r\n\r\n", ""):
                    data = (start + bit * (SIZE // len(bit)) + end).encode("utf-8", "surrogateescape")
                    bounded(lambda data=data: self.read(data))  # type: ignore[misc]  # as above

    def read(self, data: bytes) -> None:
        """Parse, and ask for all that is asked for."""
        try:
            message = parse_message(data, WIDE)
        except BrokenMessage as error:
            if error.message is None:
                return
            message = error.message  # type: ignore[assignment]  # a request or a response
        for name in ("via", "from", "to", "call-id", "cseq", "x", "subject"):
            message.get(name)
            message.values(name)
        message.to_bytes()
        find_sdp(message)
        if isinstance(message, SipRequest):
            server_key(message, "192.0.2.1")
            message.stamp_via("192.0.2.1", 9)
        else:
            client_key(message)

    def test_bodies(self) -> None:
        """Multipart bodies of delimiters, heads and blanks without end."""
        for bit in PARTS:
            for start in ("", "--a\r\n", "--a\r\nContent-Type: multipart/mixed;boundary=", "--a\r\nContent-Type: application/sdp\r\nX:"):
                body = (start + bit * (SIZE // 4 // len(bit)) + "\r\n--a--").encode()
                bounded(lambda body=body: locate("multipart/mixed;boundary=a", body))  # type: ignore[misc]  # as above
        long = "a" * 70000
        for body in (f"\r\n--{long[:-1]}" * 20, f"--{long}\r\n" * 20, "\r\n--" * 200000):
            bounded(lambda body=body: locate(f"multipart/mixed;boundary={long}", body.encode()))  # type: ignore[misc]  # as above

    def test_streams(self) -> None:
        """A message that comes in small pieces isn't copied for each of them."""
        head, rest = HEAD.encode(), b"a" * (SIZE // 2)
        for data in (head + b"X: " + rest, b"\r\n" * (SIZE // 4), head + b"Content-Length: 9999999\r\n\r\n" + rest):
            framer = StreamFramer(WIDE)

            def feed(framer: StreamFramer = framer, data: bytes = data) -> None:
                for at in range(0, len(data), 4):
                    framer.feed(data[at : at + 4])

            bounded(feed)

    def test_steps(self) -> None:
        """Four times as many folded lines take four times as many steps of the interpreter, not sixteen."""

        def steps(size: int) -> int:
            count = 0

            def local(frame: FrameType, event: str, argument: Any) -> Any:
                nonlocal count
                count += 1
                return local

            before = sys.gettrace()
            sys.settrace(local)
            try:
                self.read((HEAD + "X: a" + "\r\n b" * size + "\r\n\r\n").encode())
            finally:
                sys.settrace(before)
            return count

        self.assertLess(steps(4000), 5 * steps(1000))
