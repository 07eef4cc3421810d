"""CSeq numbers after this server has spoken in a dialog: what is sent later has a higher one, what belongs together the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.proxy import renumber
from sipnode.proxy.renumber import LINGER, Renumbering
from sipnode.sip import build

KEY = ("c", "a", "b")


def request(method: str, number: int, *more: tuple[str, str]) -> object:
    lines = [("via", "SIP/2.0/UDP x;branch=z9hG4bKx"), ("from", "<sip:a@x>;tag=a"), ("to", "<sip:b@x>;tag=b"), ("call-id", "c")]
    return build.request(method, "sip:b@x", [*lines, ("cseq", f"{number} {method}"), *more])


class NumberTests(SynchronousTestCase):
    """One end."""

    def setUp(self) -> None:
        self.numbers = Renumbering()

    def rewritten(self, method: str, number: int, *more: tuple[str, str]) -> list[str]:
        asked = request(method, number, *more)
        lines = asked.lines.copy()
        self.numbers.rewrite(asked, lines, 100.0)
        return lines

    def test_shifted(self) -> None:
        """What an end sends after us is above our number; the ACK of what it sent before keeps that one's."""
        self.numbers.shift(KEY, 5, 6, 1000)
        self.assertEqual([self.numbers.number(KEY, number) for number in (5, 6, 7)], [5, 7, 8])
        self.numbers.shift(KEY, 7, 9, 1000)
        self.assertEqual([self.numbers.number(KEY, number) for number in (5, 6, 7, 8)], [5, 7, 8, 10])
        self.assertEqual(self.numbers.number(("c", "b", "a"), 6), 6)

    def test_an_end_that_has_sent_nothing(self) -> None:
        """The numbers of a callee are unknown until it speaks; whichever it takes is above ours."""
        self.numbers.shift(KEY, -1, 1, 1000)
        self.assertEqual([self.numbers.number(KEY, number) for number in (0, 1, 4711)], [2, 3, 4713])

    @given(st.lists(st.sampled_from(("end", "us")), max_size=40), st.integers(0, 50), st.booleans())
    def test_any_order(self, turns: list[str], first: int, unknown: bool) -> None:
        """Whoever speaks in whatever order, the numbers that the other end sees grow."""
        numbers, own, seen, next_own = Renumbering(), -1 if unknown else first, [0 if unknown else first + 20], first + 1
        for turn in turns:
            if turn == "us":
                seen.append(seen[-1] + 1)
                numbers.shift(KEY, own, seen[-1], 1000)
            else:
                own, next_own = next_own, next_own + 1
                out = numbers.number(KEY, own)
                if len(seen) > 1 and numbers.any:
                    self.assertGreater(out, seen[-1])
                seen.append(max(seen[-1], out))

    def test_on_the_wire(self) -> None:
        """CSeq of each request and ACK is rewritten, and the number in a PRACK's RAck with it; others stay octet for octet."""
        self.assertEqual(self.rewritten("INFO", 6), request("INFO", 6).lines)
        self.numbers.shift(KEY, 5, 6, 1000)
        self.assertIn("CSeq: 7 INFO", self.rewritten("INFO", 6))
        self.assertIn("CSeq: 5 ACK", self.rewritten("ACK", 5))
        lines = self.rewritten("PRACK", 7, ("rack", "1 6 INVITE"))
        self.assertIn("CSeq: 8 PRACK", lines)
        self.assertIn("RAck: 1 7 INVITE", lines)
        for odd in ("1 x INVITE", "1", "1 99999999999 INVITE"):
            self.assertIn(f"RAck: {odd}", self.rewritten("PRACK", 7, ("rack", odd)))

    def test_the_end(self) -> None:
        """A BYE goes on with its number, and what is known of the dialog goes a little later."""
        self.numbers.shift(KEY, 5, 6, 1e6)
        self.assertIn("CSeq: 7 BYE", self.rewritten("BYE", 6))
        self.numbers.expire(100.0 + LINGER)
        self.assertTrue(self.numbers.any)
        self.numbers.expire(100.1 + LINGER)
        self.assertEqual((len(self.numbers), self.numbers.any), (0, False))

    def test_bounds(self) -> None:
        """There is room for so many dialogs, and so many shifts of each."""
        self.patch(renumber, "MOST", 2)
        for at in range(20):
            self.numbers.shift(KEY, at, at + 100, 1000)
        self.assertEqual(len(self.numbers._ends[KEY].known), renumber.MOST_SHIFTS)
        self.assertTrue(self.numbers.full)

    def test_over_a_restart(self) -> None:
        """What was kept is known again; what is over, or can't be read, isn't."""
        kept: list[str] = []
        self.numbers.kept = kept.append
        self.numbers.shift(KEY, 5, 6, 1000)
        self.numbers.shift(("c", "b", "a"), -1, 1, 1000)
        self.numbers.shift(KEY, 5, 7, 1000)
        again = Renumbering()
        for line in (*kept, "", "x", "[1,2]", '["c","a","b",1e9,[["x",1]]]', "null"):
            again.read(line, 500)
        self.assertEqual([again.number(KEY, 6), again.number(("c", "b", "a"), 3)], [8, 5])
        self.assertEqual(sorted(again.lines()), sorted(self.numbers.lines()))
        for line in kept:
            again.read(line, 2000)
        self.assertEqual((len(again), again.any), (0, False))
