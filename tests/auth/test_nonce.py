from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.auth.nonce import FORGED, GOOD, STALE, NonceKeeper

REALM = "example.test"
START = 1_700_000_000.0


def keeper(started: float = START, secret: bytes = b"k" * 32, **options: float) -> NonceKeeper:
    return NonceKeeper(secret, started, 7, **options)  # type: ignore[arg-type]  # floats and one int by name


class NonceTests(SynchronousTestCase):
    """Nonces that need no storage."""

    def test_own(self) -> None:
        """A nonce of ours is good at once and until its age, then stale; another keeper with the same secret agrees."""
        one = keeper(expire=300)
        nonce = one.issue(REALM, START)
        for now, state in ((START, GOOD), (START + 300, GOOD), (START + 300.002, STALE)):
            self.assertEqual(one.check(nonce, REALM, now), state, now)
        self.assertEqual(keeper().check(nonce, REALM, START + 1), GOOD)

    def test_unique(self) -> None:
        """No nonce comes twice, even in the same millisecond; its characters need no quoting."""
        one = keeper()
        nonces = [one.issue(REALM, START) for _ in range(1000)]
        self.assertEqual(len(set(nonces)), 1000)
        self.assertTrue(all(nonce.isalnum() for nonce in nonces))

    def test_forged(self) -> None:
        """Any change makes it forged: a digit, the realm, the secret, the length."""
        one = keeper()
        nonce = one.issue(REALM, START)
        for position in range(len(nonce)):
            other = nonce[:position] + ("0" if nonce[position] != "0" else "1") + nonce[position + 1 :]
            self.assertEqual(one.check(other, REALM, START), FORGED, position)
        self.assertEqual(one.check(nonce, "other.test", START), FORGED)
        self.assertEqual(keeper(secret=b"j" * 32).check(nonce, REALM, START), FORGED)
        for text in ("", nonce[:-1], nonce + "0", nonce.upper(), "é" * len(nonce), "\udcff" * len(nonce)):
            self.assertEqual(one.check(text, REALM, START), FORGED)

    @given(st.text(max_size=70))
    def test_never_raises(self, text: str) -> None:
        """Whatever a stranger sends is forged, and nothing else happens."""
        self.assertEqual(keeper().check(text, REALM, START), FORGED)

    def test_drift(self) -> None:
        """A nonce from the future is good within the drift of clocks, else stale."""
        nonce = keeper().issue(REALM, START + 10)
        self.assertEqual(keeper().check(nonce, REALM, START + 7.1), GOOD)
        self.assertEqual(keeper().check(nonce, REALM, START + 6.9), STALE)

    def test_former_run(self) -> None:
        """A nonce of a former run, whose counts nobody remembers, is stale."""
        nonce = keeper().issue(REALM, START)
        self.assertEqual(keeper(started=START + 1).check(nonce, REALM, START + 1), STALE)


class CountTests(SynchronousTestCase):
    """Each count once."""

    def test_grows(self) -> None:
        """Counts have to grow; gaps are fine; a used or lower one is refused; nonces don't share counts."""
        one = keeper()
        first, second = one.issue(REALM, START), one.issue(REALM, START)
        wanted = ((1, True), (1, False), (2, True), (9, True), (5, False), (9, False), (0xFFFFFFFF, True), (0xFFFFFFFF, False))
        self.assertEqual([one.use(first, count, START) for count, _ in wanted], [good for _, good in wanted])
        self.assertTrue(one.use(second, 1, START))

    def test_zero(self) -> None:
        """Counting starts at 1 (RFC 7616 §3.4)."""
        one = keeper()
        nonce = one.issue(REALM, START)
        self.assertFalse(one.use(nonce, 0, START))
        self.assertFalse(one.use(nonce, -1, START))
        self.assertEqual(len(one), 0)

    def test_bounded(self) -> None:
        """The table keeps to its size, and what it forgets is stale rather than usable again."""
        one = keeper(table=10)
        nonces = [one.issue(REALM, START + number) for number in range(30)]
        for nonce in nonces:
            self.assertTrue(one.use(nonce, 1, START + 30))
        self.assertLessEqual(len(one), 10)
        states = [one.check(nonce, REALM, START + 30) for nonce in nonces]
        self.assertEqual(states, [STALE] * 20 + [GOOD] * 10)
        self.assertFalse(any(one.use(nonce, 1, START + 30) for nonce in nonces[20:]))

    def test_order_of_use(self) -> None:
        """Pushing out a nonce that was used early and issued late makes the older ones stale too: never usable again is the rule."""
        one = keeper(table=1)
        early, late = one.issue(REALM, START), one.issue(REALM, START + 5)
        one.use(late, 1, START + 5)
        one.use(early, 1, START + 5)
        self.assertEqual([one.check(nonce, REALM, START + 6) for nonce in (early, late)], [STALE, STALE])
        self.assertEqual(one.check(one.issue(REALM, START + 6), REALM, START + 6), GOOD)

    def test_old_ones_go(self) -> None:
        """Nonces past their age leave the table as others come."""
        one = keeper(expire=60)
        for _ in range(100):
            one.use(one.issue(REALM, START), 1, START)
        for _ in range(60):
            one.use(one.issue(REALM, START + 61), 1, START + 61)
        self.assertLessEqual(len(one), 61)

    def test_clock_set_back(self) -> None:
        """A clock that is set back by an hour neither locks everybody out nor lets a used nonce in again."""
        one = keeper()
        used, unused = one.issue(REALM, START + 3600), one.issue(REALM, START + 3600)
        self.assertTrue(one.use(used, 1, START + 3600))
        fresh = one.issue(REALM, START)
        self.assertEqual(one.check(fresh, REALM, START), GOOD)
        self.assertTrue(one.use(fresh, 1, START))
        for now in (START, START + 3601):
            self.assertEqual([one.check(nonce, REALM, now) for nonce in (used, unused)], [FORGED, FORGED])

    def test_places(self) -> None:
        """A nonce is given to one address, however many others ask meanwhile; what is remembered of addresses is bounded, and goes with the
        secret when the clock is set back.
        """
        one = keeper()
        nonce = one.issue(REALM, START + 3600, "192.0.2.1")
        for number in range(5000):
            one.issue(REALM, START + 3600, f"198.51.{number >> 8}.{number & 255}")
        self.assertTrue(one.given_to(nonce, "192.0.2.1"))
        self.assertFalse(one.given_to(nonce, "192.0.2.2"))
        self.assertTrue(keeper().given_to(nonce, "192.0.2.1"))
        self.assertLessEqual(len(one._places), 4096)
        later = one.issue(REALM, START, "192.0.2.1")
        self.assertTrue(one.given_to(later, "192.0.2.1"))
        self.assertFalse(one.given_to(nonce, "192.0.2.1"))

    def test_small_steps_back(self) -> None:
        """A step back within the drift changes nothing."""
        one = keeper()
        nonce = one.issue(REALM, START + 10)
        self.assertEqual(one.check(nonce, REALM, START + 8), GOOD)
