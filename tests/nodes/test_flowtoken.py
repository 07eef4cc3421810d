"""The signed name of a flow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.nodes.flowtoken import PREFIX, FlowTokens, Reach

SECRET = b"only for tests: no secret"


class FlowTokenTests(SynchronousTestCase):
    """Made, read, refused."""

    def setUp(self) -> None:
        self.tokens = FlowTokens(SECRET, 7)

    def test_round_trip(self) -> None:
        """Connections and addresses, IPv6 too, come back; the token is fit for the user part of a URI."""
        for reach in (Reach("1a2b-3c"), Reach("", "192.0.2.7", 5060), Reach("", "2001:db8::7", 65535)):
            token = self.tokens.make(reach, 2000.9)
            self.assertRegex(token, r"^[A-Za-z0-9!~+.\-]+$")
            self.assertEqual(self.tokens.read(token, 2000), reach)

    def test_time(self) -> None:
        """After its time it is none."""
        self.assertIsNone(self.tokens.read(self.tokens.make(Reach("a"), 2000), 2000.5))

    def test_of_others(self) -> None:
        """Neither another secret nor another node's token is taken."""
        token = self.tokens.make(Reach("a"), 2000)
        self.assertIsNone(FlowTokens(SECRET, 8).read(token, 1))
        self.assertIsNone(FlowTokens(b"another one", 7).read(token, 1))

    def test_every_character_counts(self) -> None:
        """Changed in one place it is refused."""
        token = self.tokens.make(Reach("", "192.0.2.7", 5060), 2000)
        for position in range(len(token)):
            changed = token[:position] + ("x" if token[position] != "x" else "y") + token[position + 1 :]
            self.assertIsNone(self.tokens.read(changed, 1), changed)

    @given(st.text())
    def test_nonsense(self, text: str) -> None:
        """Whatever comes is refused without an exception."""
        self.assertIsNone(self.tokens.read(PREFIX + text, 1))
