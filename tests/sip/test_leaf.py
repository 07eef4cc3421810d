"""The native leaf says what the functions in Python say, or nothing."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from sipnode.sip.headers import SINGLE, SPELLINGS
from sipnode.sip.methods import METHODS
from sipnode.sip.parser import Limits
from tests.sip import kit, leafkit
from tests.sip.test_corpus import cases

TOP = Path(__file__).resolve().parents[2]
PROFILE = settings(kit.PROFILE, max_examples=300, suppress_health_check=list(HealthCheck))
_made: list[Any] = []


def leaf() -> Any:
    """The leaf of the sources as they are, compiled for these tests once.

    Raises:
        SkipTest: no C can be compiled here.
    """
    if not _made:
        sys.path.insert(0, str(TOP / "backend"))
        try:
            compile_ = importlib.import_module("sipnode_compile")
        finally:
            sys.path.remove(str(TOP / "backend"))
        reason = compile_.no_compiler()
        if reason:
            raise SkipTest(reason)
        # An extension module can't be let go of, nor can its file.
        _made.append(leafkit.load(compile_.leaf(Path(tempfile.mkdtemp(prefix="sipnode-leaf-")))))
    return _made[0]


class LeafTests(SynchronousTestCase):
    """Both are asked, and compared."""

    def setUp(self) -> None:
        self.leaf = leaf()

    def check(self, strategy: st.SearchStrategy[Any], compare: Callable[..., bool], least: int) -> None:
        """Compare what a strategy makes; at least so many have to be read by the leaf itself."""
        read = []

        @PROFILE
        @given(strategy)
        def each(values: Any) -> None:
            read.append(compare(self.leaf, *values))

        each()
        self.assertTrue(sum(read) >= least, f"only {sum(read)} of {len(read)}")

    def test_messages(self) -> None:
        """Messages of all kinds, whole and broken, under all bounds."""
        self.check(st.tuples(kit.messages()), leafkit.scan, 0)
        self.check(st.tuples(leafkit.mutated(), leafkit.limits, st.booleans()), leafkit.scan, 1)

    def test_usual_messages(self) -> None:
        """Usual messages are read by the leaf: it is of use."""
        for data in (
            kit.octets(),
            kit.octets("SIP/2.0 200 OK", body=b"abc"),
            kit.octets("REGISTER sip:a SIP/2.0", "X-Ours: 1", "x-ours: 2", "Subject: \u00e4", "s: \udcff", "Allow:", body=b"\0\xff"),
            kit.octets(length=None, body=b"all of it"),
            kit.octets("BYE sip:b SIP/2.0", *(f"X-{number}: 1" for number in range(50))),
        ):
            self.assertTrue(leafkit.scan(self.leaf, data), data)
        self.assertTrue(leafkit.scan(self.leaf, kit.octets("SIP/2.0 200 OK", *["a: 1"] * 300), Limits(header_lines=400, via_values=400)))

    def test_left_to_the_other(self) -> None:
        """What is faulty, odd or beyond a bound is left to the one that has the words for it."""
        usual = kit.octets(body=b"abc")
        for data, limits, exact in (
            (b"", Limits(), False),
            (b"\r\n" + usual, Limits(), False),
            (usual, Limits(message_bytes=len(usual) - 1), False),
            (usual, Limits(header_lines=6), False),
            (usual, Limits(line_bytes=20), False),
            (usual + b"d", Limits(), True),
            (kit.octets("INVITE sip:a SIP/2.0", "Call-ID: again"), Limits(), False),
            (kit.octets("INVITE sip:a SIP/2.0", "Subject: a\r\n b"), Limits(), False),
            (kit.octets("INVITE sip:a SIP/2.0", "Subject: a\x00b"), Limits(), False),
            (kit.octets("INVITE sip:a SIP/2.0", "Via: " + "SIP/2.0/UDP h," * 70 + "SIP/2.0/UDP h"), Limits(), False),
            (kit.octets(length="4", body=b"abc"), Limits(), False),
            (kit.octets(length="-1"), Limits(), False),
            (usual[:-5], Limits(), False),
        ):  # fmt: skip
            self.assertFalse(leafkit.scan(self.leaf, data, limits, exact), data)

    def test_every_cut(self) -> None:
        """A message cut off after each of its octets, and one with each octet replaced by each odd one."""
        data = kit.octets("INVITE sip:a@b SIP/2.0", "l: 0", "X: \u00e4", body=b"abc", without="Content-Length")
        for at in range(len(data)):
            leafkit.scan(self.leaf, data[:at])
            for octet in b"\0\t\n\r :,\x7f\x80\xff":
                leafkit.scan(self.leaf, data[:at] + bytes((octet,)) + data[at + 1 :])

    def test_join(self) -> None:
        """Start lines, lists of lines and bodies; text that has no octets is left to the one that refuses it."""
        self.check(st.tuples(leafkit.starts, st.lists(leafkit.lines, max_size=4), st.binary(max_size=9)), leafkit.join, 5)
        self.assertTrue(leafkit.join(self.leaf, "ACK sip:a SIP/2.0", [], b""))
        self.assertFalse(leafkit.join(self.leaf, "a", ["\ud800"], b""))

    def test_value(self) -> None:
        """Header lines, with and without folds and white space."""
        self.check(st.tuples(leafkit.lines), leafkit.value, 5)

    def test_via(self) -> None:
        """Via values, usual and not."""
        self.check(st.tuples(leafkit.vias), leafkit.via, 0)
        for text in ("SIP/2.0/UDP h;branch=1", "SIP/2.0/WSS a-b.c:5060;rport;branch=z9hG4bK.a~b=;received=1.2.3.4"):
            self.assertTrue(leafkit.via(self.leaf, text))

    def test_corpus(self) -> None:
        """Every message of the corpus: read, written, its lines and its Vias."""
        read = 0
        for case in cases():
            read += leafkit.scan(self.leaf, case.data, exact=case.transport == "ws")
            head, _, body = case.data.partition(b"\r\n\r\n")
            start, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
            leafkit.join(self.leaf, start, lines, body)
            for line in lines:
                leafkit.value(self.leaf, line)
                if line[:2].lower() in ("vi", "v:"):
                    leafkit.via(self.leaf, line.partition(":")[2].strip())
        self.assertTrue(read > 600, f"only {read} messages are read by the leaf")

    def test_arguments(self) -> None:
        """Arguments of another kind are refused or left to the other, and never read."""
        for arguments in ((), (b"", 1), (b"a", "1", 1, 1, 1, 1), (b"a", 1 << 80, 1, 1, 1, 1)):
            self.assertRaises((TypeError, OverflowError), self.leaf.scan, *arguments)
        for data in (bytearray(kit.octets()), "text", None):
            self.assertIsNone(self.leaf.scan(data, 1 << 20, 100, 1000, 60, False))
        for arguments in ((), ("a", ("a",), b""), (b"a", [], b""), ("a", [], "a")):
            self.assertRaises(TypeError, self.leaf.join, *arguments)
        self.assertIsNone(self.leaf.join("a", ["a", None], b""))
        for other in (None, b"a: b", 7):
            self.assertIsNone(self.leaf.value(other))
            self.assertIsNone(self.leaf.via(other))

    def test_names(self) -> None:
        """What it is to know is text, within its room; a name that is too long is left to the other."""
        # A copy of the file is a leaf of its own, with a table of its own.
        other = leafkit.load(Path(shutil.copy(self.leaf.__file__, f"{self.mktemp()}{EXTENSION_SUFFIXES[-1]}")).absolute())
        for arguments in (({}, set(), ()), ({1: "a"}, frozenset(), ()), ({"a": 1}, frozenset(), ()), ({}, frozenset(), (1,))):
            self.assertRaises((TypeError, ValueError), other.learn, *arguments)
        self.assertRaises(ValueError, other.learn, {f"x-{number}": "x" for number in range(1000)}, frozenset(), METHODS)
        other.learn({"y" * 40: "y", **SPELLINGS}, SINGLE, METHODS)


class SwitchTests(SynchronousTestCase):
    """``SIPNODE_LEAF``."""

    def test_off(self) -> None:
        """0 goes without it, built or not."""
        ask = "from sipnode.sip.leaf import JOIN, SCAN, VALUE, VIA; print(JOIN, SCAN, VALUE, VIA)"
        environment = {**os.environ, "SIPNODE_LEAF": "0"}
        done = subprocess.run([sys.executable, "-c", ask], cwd=TOP, env=environment, capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "None None None None\n")
