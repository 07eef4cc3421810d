"""The judge of sources."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.defence.bans import Ban
from sipnode.defence.guard import Guard
from sipnode.errors import ConfigError
from sipnode.settings import DefenceSettings
from tests.defence.kit import HOSTILE, Stand

OFFICE = "198.51.100.7"
USER = "alice@example.test"


class DigestTests(SynchronousTestCase):
    """Wrong passwords."""

    def setUp(self) -> None:
        self.stand = Stand()
        self.guard = self.stand.guard
        self.told: list[Ban] = []
        self.guard.on_ban = self.told.append

    def wrong(self, count: int, host: str = HOSTILE, user: str = USER) -> None:
        """So many."""
        for _ in range(count):
            self.guard.wrong(host, user)

    def shut(self, host: str = HOSTILE) -> bool:
        """Whether it is shut out."""
        return self.guard.refuses(host)

    def test_tenth(self) -> None:
        """The tenth within a minute shuts a stranger out, once, for ten minutes."""
        self.wrong(9)
        self.assertFalse(self.shut())
        self.wrong(5)
        self.assertTrue(self.shut())
        self.assertEqual([(ban.key, ban.reason) for ban in self.told], [(HOSTILE, "failed digests")])
        self.stand.clock.advance(599)
        self.assertTrue(self.shut())
        self.stand.clock.advance(1)
        self.assertFalse(self.shut())

    def test_slowly(self) -> None:
        """A phone that tries its old password every half minute is not shut out."""
        for _ in range(200):
            self.wrong(1)
            self.stand.clock.advance(30)
        self.assertFalse(self.shut())

    def test_behind_an_office(self) -> None:
        """Where users of ours are, the user that is guessed at is barred there, and nobody else."""
        self.guard.right(OFFICE, "bob@example.test")
        self.wrong(10, OFFICE)
        self.assertFalse(self.shut(OFFICE))
        self.assertTrue(self.guard.is_barred(OFFICE, USER))
        self.assertFalse(self.guard.is_barred(OFFICE, "bob@example.test"))
        self.assertFalse(self.guard.is_barred(HOSTILE, USER))
        self.assertEqual([ban.key for ban in self.told], [f"{OFFICE} {USER}"])
        self.assertTrue(self.guard.unban(f"{OFFICE} {USER}"))
        self.assertFalse(self.guard.is_barred(OFFICE, USER))

    def test_spraying_office(self) -> None:
        """A source with users of ours that tries a hundred users a minute is shut out all the same."""
        self.guard.right(OFFICE, "bob@example.test")
        for number in range(100):
            self.wrong(1, OFFICE, f"u{number}@example.test")
        self.assertTrue(self.shut(OFFICE))

    def test_from_many_places(self) -> None:
        """A user who is guessed at from everywhere: each stranger has three tries, no longer ten."""
        for number in range(101):
            self.wrong(1, f"10.0.0.{number}")
        self.wrong(3)
        self.assertTrue(self.shut())
        self.wrong(3, "10.9.9.9", "carol@example.test")
        self.assertFalse(self.shut("10.9.9.9"))

    def test_right_in_between(self) -> None:
        """A right password forgives the wrong ones before it."""
        self.wrong(9)
        self.guard.right(HOSTILE, USER)
        self.wrong(9)
        self.assertFalse(self.shut())
        self.assertFalse(self.guard.is_barred(HOSTILE, USER))

    def test_trusted(self) -> None:
        """Nothing shuts a trusted source out."""
        self.wrong(1000, "127.0.0.1")
        self.assertFalse(self.shut("127.0.0.1"))
        self.assertEqual(self.told, [])

    def test_off(self) -> None:
        """0 wrong passwords: never."""
        self.guard.set_limit("failed_digests", 0)
        self.wrong(1000)
        self.assertFalse(self.shut())

    def test_bounded(self) -> None:
        """Guesses at ever new users from ever new places fill no memory."""
        guard = Guard(DefenceSettings(sources=100), self.stand.clock.seconds)
        for number in range(5000):
            host = f"10.1.{number >> 8}.{number & 255}"
            guard.wrong(host, f"u{number}@example.test")
            for _ in range(10):
                guard.wrong(host, "x@example.test")
        tables = (*guard.passwords.tables, guard.bans, guard.udp_bans, guard.barred)
        self.assertLessEqual(max(len(table) for table in tables), 100)
        self.assertLessEqual(len(guard.sources), 200)


class OperatorTests(SynchronousTestCase):
    """What is changed by hand."""

    def setUp(self) -> None:
        self.stand = Stand()
        self.guard = self.stand.guard

    def test_ban_and_unban(self) -> None:
        """An address: nothing of it passes until it is let in, and then all does."""
        self.guard.ban(HOSTILE, "operator", 3600)
        self.assertEqual(self.stand.send(3), 0)
        (ban,) = self.guard.bans.list(self.stand.clock.seconds())
        self.assertEqual((ban.reason, ban.dropped, ban.until - ban.since), ("operator", 3, 3600))
        self.assertTrue(self.guard.unban(HOSTILE))
        self.assertFalse(self.guard.unban(HOSTILE))
        self.assertEqual(self.stand.send(3), 3)

    def test_network(self) -> None:
        """A whole network, those included that were heard of before, and IPv6 by its /64."""
        self.assertEqual(self.stand.send(1), 1)
        self.guard.ban("203.0.113.0/24", "operator")
        self.assertEqual((self.stand.send(1), self.stand.send(1, "203.0.113.1"), self.stand.send(1, "203.0.114.1")), (0, 0, 1))
        self.guard.ban("2001:db8:1::/48", "operator")
        self.assertEqual((self.stand.send(1, "2001:db8:1:2::3"), self.stand.send(1, "2001:db8:2::3")), (0, 1))
        self.assertTrue(self.guard.unban("203.0.113.0/24"))
        self.assertEqual(self.stand.send(1), 1)
        self.stand.clock.advance(601)
        self.assertEqual(self.stand.send(1, "2001:db8:1:2::3"), 1)

    def test_forgotten_source(self) -> None:
        """A ban outlives the record of its source."""
        self.guard.ban(HOSTILE, "operator")
        self.guard.sources.forget()
        self.assertEqual(self.stand.send(1), 0)

    def test_refused(self) -> None:
        """What is no address, and what is trusted, can't be shut out; what isn't there can't be let in."""
        for text in ("nobody", "300.1.1.1", "127.0.0.1", "127.0.0.0/8", ""):
            self.assertRaises(ConfigError, self.guard.ban, text, "operator")
        for text in ("nobody", "", "192.0.2.77"):
            self.assertFalse(self.guard.unban(text))

    def test_limits(self) -> None:
        """Numbers change within their bounds, and hold at once; all else is refused."""
        self.guard.set_limit("burst", 10)
        self.guard.set_limit("rate", 5)
        self.assertEqual(self.stand.send(20), 10)
        self.stand.clock.advance(1)
        self.assertEqual(self.stand.send(20), 5)
        wrong: list[tuple[str, float]] = [
            ("rate", 0),
            ("rate", float("nan")),
            ("enabled", 0),
            ("scanners", 1),
            ("sources", 500),
            ("nothing", 1),
        ]
        for name, value in wrong:
            self.assertRaises(ConfigError, self.guard.set_limit, name, value)
        self.assertRaises(ConfigError, self.guard.set_limit, "rate", True)
