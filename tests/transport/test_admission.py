"""Promises of ``sipnode.transport.admission``."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.transport.admission import Admission, Ticket


class AdmissionTests(SynchronousTestCase):
    """Caps on connections."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.cut: list[str] = []

    def make(self, most: int, most_per_source: int, most_unknown: int = 200) -> Admission:
        return Admission(most, most_per_source, most_unknown, self.clock.seconds)

    def enter(self, admission: Admission, source: str, name: str = "", stage: str = "") -> Ticket:
        """A connection that is found by its name when it is cut."""
        ticket = admission.enter(source)
        assert ticket is not None
        ticket.cut = lambda reason: self.cut.append(name)
        ticket.settled()
        if stage:
            ticket.spoke()
        if stage == "proved":
            ticket.prove(f"{name}@example.test")
        self.clock.advance(0.001)
        return ticket

    def test_caps(self) -> None:
        """Over the cap of a source or of all users that are signed in keep their places, and what is given back can be had again."""
        admission = self.make(3, 2)
        tickets = [self.enter(admission, source, str(number), "proved") for number, source in enumerate("aab")]
        self.assertIsNone(admission.enter("a"))
        self.assertIsNone(admission.enter("c"))
        self.assertEqual((admission.open, admission.refused, admission.of("a"), self.cut), (3, 2, 2, []))
        tickets[0].release()
        tickets[0].release()
        self.assertEqual((admission.open, admission.of("a")), (2, 1))
        self.assertIsNotNone(admission.enter("c"))

    def test_nothing_left(self) -> None:
        """When all are gone nothing is remembered of source or user."""
        admission = self.make(100, 100)
        tickets = [self.enter(admission, str(number), str(number), ("", "spoke", "proved")[number % 3]) for number in range(50)]
        tickets.append(self.enter(admission, "x"))
        for ticket in tickets:
            ticket.release()
            self.assertIsNone(ticket.cut)
        self.assertEqual((admission.open, admission._sources, admission._users), (0, {}, {}))
        self.assertEqual(set(admission.stages().values()), {0})

    def test_handshakes(self) -> None:
        """Of those that haven't said anything yet the oldest goes for one too many, and others of that source stay."""
        admission = self.make(100, 100, 2)
        self.enter(admission, "a", "settled")
        unknown = [admission.enter("a") for _ in range(2)]
        for name, ticket in zip(("first", "second"), unknown, strict=True):
            assert ticket is not None
            ticket.cut = lambda reason, name=name: self.cut.append(name)  # type: ignore[misc]  # a default that binds the name
        self.assertIsNotNone(admission.enter("a"))
        self.assertEqual((self.cut, admission.of("a")), (["first"], 3))

    def test_oldest_silent_first(self) -> None:
        """A source at its cap loses the oldest connection that said nothing, then one that only said something."""
        admission = self.make(100, 4)
        for name, stage in (("user", "proved"), ("talker", "spoke"), ("old", ""), ("young", "")):
            self.enter(admission, "a", name, stage)
        for number in range(3):
            self.enter(admission, "a", f"new{number}", "proved")
        self.assertEqual(self.cut, ["old", "young", "talker"])
        self.assertIsNone(admission.enter("a"))
        self.assertEqual(admission.counts["made_room_source"], 3)

    def test_in_all(self) -> None:
        """So it is with all connections together, whosever they are."""
        admission = self.make(4, 100)
        for name, stage in (("user", "proved"), ("talker", "spoke"), ("old", ""), ("young", "")):
            self.enter(admission, name, name, stage)
        for number in range(3):
            self.enter(admission, f"new{number}", f"new{number}", "proved")
        self.assertEqual((self.cut, admission.open), (["old", "young", "talker"], 4))
        self.assertIsNone(admission.enter("late"))

    def test_those_on_their_way_in(self) -> None:
        """Who fills the place with connections that said one thing each makes newcomers no rivals of each other."""
        admission = self.make(20, 100)
        for _ in range(20):
            self.enter(admission, "attacker", "attacker", "spoke")
        for number in range(4):
            self.enter(admission, f"new{number}", "new")
        self.assertEqual(self.cut, ["attacker"] * 4)

    def test_ipv6(self) -> None:
        """A /64 is one source, however many addresses it has."""
        admission = self.make(100, 2)
        for number in range(5):
            self.enter(admission, f"2001:db8::{number:x}")
        self.assertEqual((admission.of("2001:db8::ffff"), admission.open), (2, 2))

    def test_one_user(self) -> None:
        """One password doesn't hold more places than one source."""
        admission = self.make(100, 2)
        tickets = [self.enter(admission, str(number), "x", "spoke") for number in range(3)]
        self.assertEqual([ticket.prove("mallory@example.test") for ticket in tickets], [True, True, False])
        tickets[0].release()
        self.assertTrue(tickets[2].prove("mallory@example.test"))

    def test_proxies(self) -> None:
        """A proxy's own connections have no cap of one source; told whose they are, they count there."""
        admission = self.make(100, 2)
        admission.proxy = {"10.0.0.5"}.__contains__
        admission.shut = {"203.0.113.66", "10.0.0.5"}.__contains__
        tickets = [self.enter(admission, "10.0.0.5") for _ in range(10)]
        self.assertEqual([ticket.move("203.0.113.7") for ticket in tickets[:2]], [True, True])
        self.assertEqual((admission.of("203.0.113.7"), admission.open), (2, 10))
        self.assertFalse(tickets[3].move("203.0.113.66"))
        for ticket in tickets:
            ticket.release()
        self.assertEqual((admission.open, admission._sources), (0, {}))

    def test_few_descriptors(self) -> None:
        """What the process can open is the cap, whatever the settings say later."""
        admission = self.make(100, 100)
        admission.set_ceiling(10)
        admission.set_limits(200, 100)
        self.assertEqual((admission.limit, admission.caps), (10, (200, 100)))
