"""The collected messages of the RFCs, of test suites and of the wire, judged as far as parser, framer and checks can.

They lie beside the project (``../shared/corpus``, with what passes for each in ``EXPECT.tsv``), and are never copied.
"""

from __future__ import annotations

import csv
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from sipnode.errors import FramingError, ParseError
from sipnode.sip import sanity
from sipnode.sip.framing import StreamFramer
from sipnode.sip.message import SipMessage, SipRequest
from sipnode.sip.parser import BrokenMessage, parse_message
from tests.sip.kit import corpus

TRANSPORTS = ("udp", "ws", "tcp")
ABOVE = {"1xx", "2xx", "401", "403", "404", "405", "407", "415", "488", "501"}
"""Answers that a request draws only after it was read without a fault."""


class Case(NamedTuple):
    """One message of the corpus on one transport."""

    name: str
    transport: str
    expected: frozenset[str]
    data: bytes


def loaded(folder: Path) -> ModuleType:
    """The corpus's own module that fills its templates in."""
    spec = importlib.util.spec_from_file_location("sip_corpus_data", folder / "data.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def cases(prefix: str = "") -> Iterator[Case]:
    """All messages of the files whose path begins so."""
    folder = corpus()
    if folder is None:
        raise SkipTest("no ../shared/corpus beside the project")
    data = loaded(folder)
    with open(folder / "EXPECT.tsv", encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    for row in rows:
        path = row["path"]
        if path.startswith(prefix) and Path(path).suffix in data.SUFFIXES:
            octets = (folder / path).read_bytes()
            for message in data.messages(path, octets, ("127.0.0.1", 5070), 77, "example.com", row["length"]):
                for transport in TRANSPORTS:
                    expected = row["udp"] if row[transport] == "=" else row[transport]
                    yield Case(f"{path} {message.label}".strip(), transport, frozenset(expected.split("|")), message.data)


def whole(case: Case) -> bytes | None:
    """The first message, cut out of its stream where it is one; None while the stream waits for more.

    Raises:
        FramingError: the stream is lost.
    """
    if case.transport != "tcp":
        return case.data
    found = StreamFramer().feed(case.data)
    return found[0] if found else None


def outcome(case: Case) -> str:
    """``valid``, ``drop``, ``close`` or a status."""
    message: SipMessage | None
    try:
        data = whole(case)
        if data is None:
            return "drop"
        message = parse_message(data, exact=case.transport == "ws")
        fault: ParseError | None = None
    except FramingError:
        return "close"
    except BrokenMessage as error:
        message, fault = error.message, error
    if not isinstance(message, SipRequest) or message.method == "ACK":
        return "drop"
    try:
        # Without a Via that can be read there's nobody to answer.
        _ = message.via
        if fault is not None:
            return str(fault.status)
        sanity.check(message)
        return "483" if sanity.max_forwards(message) == 0 else "valid"
    except ParseError as error:
        return str(error.status) if "via" in message else "drop"


def agrees(case: Case, found: str) -> bool:
    """Whether an outcome is one of those that pass."""
    expected = case.expected
    if "any" in expected or found in expected:
        return True
    if found == "valid":
        return bool(expected & ABOVE)
    if found == "close":
        return "400" in expected
    if found == "drop":
        return case.data.lstrip().startswith(b"ACK ") and "valid" in expected
    return f"{found[0]}xx" in expected


class CorpusTests(SynchronousTestCase):
    """Every message on every transport."""

    def check(self, prefix: str, least: int) -> None:
        wrong = []
        count = 0
        for case in cases(prefix):
            count += 1
            found = outcome(case)
            if not agrees(case, found):
                wrong.append(f"{case.name} by {case.transport}: {found}, expected {'|'.join(sorted(case.expected))}")
        self.assertEqual(wrong, [])
        self.assertTrue(count >= least, f"only {count} messages")

    def test_rfc4475(self) -> None:
        """The torture messages of RFC 4475."""
        self.check("rfc4475/", 70)

    def test_rfc5118(self) -> None:
        """The IPv6 messages of RFC 5118."""
        self.check("rfc5118/", 15)

    def test_callflows(self) -> None:
        """The requests of the RFCs' example flows."""
        self.check("callflows/", 40)

    def test_captured(self) -> None:
        """Messages of real devices."""
        self.check("captured/", 150)

    def test_nist(self) -> None:
        """The parser tests and flows of JAIN-SIP."""
        self.check("nist-jain-sip/", 300)

    def test_protos(self) -> None:
        """PROTOS c07: whatever the field is filled with, there's a verdict."""
        self.check("protos-c07/", 200)

    def test_seeds(self) -> None:
        """Seeds of fuzzers, and bodies of every kind."""
        self.check("fuzz-seeds/", 30)
        self.check("sdp/", 100)

    def test_forwarded_as_they_came(self) -> None:
        """What could be read is written octet for octet; only the start line may lose blanks that aren't allowed."""
        written = 0
        for case in cases():
            try:
                data = whole(case)
                if data is None:
                    continue
                message = parse_message(data)
            except ParseError:
                continue
            start, _, rest = data.lstrip(b"\r\n").partition(b"\r\n")
            head, _, body = rest.partition(b"\r\n\r\n")
            out = message.to_bytes()
            first, _, after = out.partition(b"\r\n")
            self.assertEqual(first.split(), start.split(), case.name)
            self.assertTrue(after.startswith(head + b"\r\n\r\n"), case.name)
            self.assertTrue(body.startswith(after[len(head) + 4 :]), case.name)
            self.assertEqual(len(message.body), len(after) - len(head) - 4)
            written += 1
        self.assertTrue(written > 600, f"only {written} messages")
