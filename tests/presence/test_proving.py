"""What an address gets that has answered nothing yet."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.presence.proving import Proving
from sipnode.settings import PresenceSettings
from sipnode.storage.memory import MemoryStorage
from sipnode.testing import World
from tests.presence.kit import MoodPackage, User, world

HERE, THERE = ("192.0.2.1", 5060), ("192.0.2.2", 5060)


class ProvingTests(SynchronousTestCase):
    """:class:`Proving`"""

    def setUp(self) -> None:
        self.proving: Proving[str] = Proving(3, 2)

    def test_one_at_a_time(self) -> None:
        """The first has its turn, others wait for its answer, other addresses don't."""
        turn = self.proving.turn
        turns = [turn(job, "w", address) for job, address in (("a", HERE), ("b", HERE), ("a", HERE), ("c", THERE))]
        self.assertEqual(turns, [True, False, True, True])
        self.assertEqual(self.proving.proved("a", "w", HERE), ["b"])
        self.assertTrue(self.proving.is_proved("w", HERE))
        self.assertFalse(self.proving.is_proved("x", HERE))

    def test_behind_a_proxy(self) -> None:
        """Where somebody has answered, watchers don't wait for one another."""
        self.proving.turn("a", "w", HERE)
        self.proving.proved("a", "w", HERE)
        self.assertTrue(self.proving.turn("b", "x", HERE))
        self.assertTrue(self.proving.turn("c", "y", HERE))
        self.assertEqual(self.proving.failed("b", 0.0), ["b"])
        self.assertGreater(self.proving.silence("x", HERE, 1.0), 0)
        self.assertEqual(self.proving.silence("y", HERE, 1.0), 0)

    def test_silence_grows(self) -> None:
        """Each failure is followed by a longer silence; an answer ends it."""
        seen = []
        for number in range(9):
            job = f"j{number}"
            self.proving.turn(job, "w", HERE)
            self.proving.failed(job, 0.0)
            seen.append(self.proving.silence("w", HERE, 0.0))
        self.assertEqual(seen, [30.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0])
        self.assertEqual(self.proving.refusal("w", HERE, 0.0), ("silent", 3600.0))
        self.assertEqual(self.proving.refusal("w", HERE, 3600.0), ("", 0.0))
        self.proving.turn("z", "w", HERE)
        self.proving.proved("z", "w", HERE)
        self.assertEqual(self.proving.silence("w", HERE, 0.0), 0.0)

    def test_bounds(self) -> None:
        """So many wait at an address, and for a watcher; who has proved itself isn't counted."""
        for number in range(2):
            self.proving.turn(f"a{number}", "w", HERE)
        self.assertEqual(self.proving.refusal("x", HERE, 0.0), ("unanswered", 5.0))
        self.assertEqual(self.proving.refusal("w", THERE, 0.0), ("", 0.0))
        self.proving.turn("b", "w", THERE)
        self.assertEqual(self.proving.refusal("w", ("192.0.2.3", 1), 0.0), ("unanswered", 5.0))
        self.assertEqual(self.proving.refusal("w", None, 0.0), ("", 0.0))

    def test_leaving(self) -> None:
        """One that leaves gives its turn away; one that only waited doesn't; nothing is kept of either."""
        for job in ("a", "b", "c"):
            self.proving.turn(job, "w", HERE)
        self.assertEqual((self.proving.left("b"), self.proving.left("a"), self.proving.left("a")), ([], ["c"], []))
        self.assertTrue(self.proving.turn("c", "w", HERE))
        self.assertEqual(self.proving.left("c"), [])
        self.assertEqual((len(self.proving), self.proving._there, self.proving._of_watcher), (0, {}, {}))


class UnprovedTests(SynchronousTestCase):
    """NOTIFYs over UDP."""

    def setUp(self) -> None:
        self.world = world(PresenceSettings(notify_seconds=0.0, notify_burst=1000, body_bytes=65536), [MoodPackage()])
        self.alice, self.mallory = User(self.world, "alice"), User(self.world, "mallory")

    def limits(self) -> Any:
        """The service."""
        return self.world.core.presence

    def octets(self, user: User) -> int:
        """Octets of all NOTIFYs that stand at an address."""
        return sum(len(data) for data in user.phone.flow.sent if data.startswith(b"NOTIFY"))

    def test_reflection(self) -> None:
        """However often somebody subscribes from the address of one who answers nothing, and however large the document: that one gets
        less than twice what was sent, in few datagrams, and nothing after the first has failed.
        """
        for size in (10, 400, 40000):
            victim = User(self.world, "mallory")
            self.alice.publish(b"x" * size)
            sent, statuses = 0, set()
            for _ in range(200):
                statuses.add(victim.subscribe("alice").status)
                sent += len(victim.sent.to_bytes()) if victim.sent is not None else 0
            self.alice.publish(b"y" * size)
            first = len(victim.sent.to_bytes()) if victim.sent is not None else 0
            self.world.advance(40)
            self.assertLess(self.octets(victim), 2 * first, "of 200 only one is told of")
            self.assertLess(self.octets(victim), 2 * sent)
            self.assertLessEqual(len([data for data in victim.phone.flow.sent if data.startswith(b"NOTIFY")]), 3)
            self.assertEqual(statuses, {200})
            self.assertEqual(len(self.limits().subscriptions), 0)
            self.assertEqual(victim.subscribe("alice").status, 503)
            self.assertEqual(victim.subscribe("alice", 0).status, 503)

    def test_fetches_and_ends(self) -> None:
        """The same where the subscriptions end at once, or are ended."""
        victim, sent = self.mallory, 0
        self.alice.publish(b"x" * 20000)
        for number in range(100):
            self.assertEqual(victim.subscribe("alice", 0).status, 200)
            sent += len(victim.sent.to_bytes()) if victim.sent is not None else 0
            first = victim.subscribe("alice")
            if number % 2:
                victim.again(first, 0)
        self.world.advance(40)
        self.assertLess(self.octets(victim), 2000)
        self.assertEqual((len(self.limits().subscriptions), self.limits().notifier.waiting), (0, 0))

    def test_many_ports(self) -> None:
        """One NOTIFY for each of many ports is still less than twice what each SUBSCRIBE was."""
        self.alice.publish(b"x" * 20000)
        for port in range(2000, 2020):
            user = User(self.world, "mallory")
            user.phone = self.world.phone("mallory", "UDP", "192.0.2.200", port)
            self.assertEqual(user.subscribe("alice").status, 200)
            self.world.advance(5)
            assert user.sent is not None
            self.assertLess(self.octets(user), 2 * len(user.sent.to_bytes()))

    def test_answer_opens_the_way(self) -> None:
        """A phone that has many lamps is told the first; as soon as it answers, all others, and large documents too."""
        self.alice.publish(b"x" * 20000)
        bob = User(self.world, "bob")
        for _ in range(50):
            bob.subscribe("alice")
        notifies = [data for data in bob.phone.flow.sent if data.startswith(b"NOTIFY")]
        self.assertEqual((len(notifies), b"xxx" in notifies[0]), (1, False))
        self.assertEqual([len(body) for body in bob.bodies()].count(20000), 50)
        self.assertEqual((len(self.limits().proving), self.limits().proving.held >= 49, self.limits().notifier.shortened), (0, True, 1))
        bob.subscribe("alice")
        self.assertEqual(len(bob.notified().body), 20000)

    def test_lost_datagram(self) -> None:
        """When the first NOTIFY is lost, a second one comes, with a higher number."""
        bob = User(self.world, "bob")
        bob.subscribe("alice")
        lost = bob.notified(0)
        self.world.advance(1.1)
        second = bob.notified()
        self.assertGreater(second.cseq, lost.cseq)
        self.world.advance(40)
        self.assertEqual(len(self.limits().subscriptions), 1)

    def test_late_answer(self) -> None:
        """An answer to an earlier try counts, and the others' silence ends nothing."""
        bob = User(self.world, "bob")
        bob.subscribe("alice")
        first = bob.notified(0)
        self.world.advance(4)
        bob.phone.flow.sent.clear()
        bob.phone.reply(first, 200)
        bob.bodies()
        self.world.advance(60)
        self.assertEqual((len(self.limits().subscriptions), self.limits().notifier.waiting), (1, 0))

    def test_shown_by_its_password(self) -> None:
        """A watcher that has answered the challenge which went to its address gets the whole document at once."""
        self.alice.publish(b"x" * 5000)
        bob = User(self.world, "bob")
        bob.phone.flow.shown = bob.aor
        bob.subscribe("alice")
        self.assertEqual([len(body) for body in bob.bodies()], [5000])

    def test_481_proves_nothing(self) -> None:
        """A phone that refuses what a stranger asked for in its name ends that, and nothing else follows; its own goes on."""
        bob = User(self.world, "bob")
        bob.subscribe("alice")
        bob.bodies()
        forged = User(self.world, "mallory")
        forged.phone.flow = bob.phone.flow
        self.alice.publish(b"x" * 20000)
        self.world.advance(1)
        bob.bodies()
        for _ in range(5):
            forged.subscribe("alice")
            forged.notified(481)
        self.assertFalse(self.limits().proving.is_proved("mallory@example.test", bob.phone.flow.remote))
        self.assertEqual([one.watcher for one in self.limits().subscriptions.by_tag.values()], [bob.aor])
        self.assertEqual(bob.subscribe("alice").status, 200)

    def test_bounds(self) -> None:
        """Subscriptions that wait for a first answer are bounded for a watcher and for an address, and counted."""
        self.world = world(PresenceSettings(unanswered_per_watcher=5, unanswered_per_address=3))
        bob = User(self.world, "bob")
        self.assertEqual([bob.subscribe("alice").status for _ in range(4)], [200, 200, 200, 503])
        self.assertEqual((bob.answer and bob.answer.get("retry-after")), "5")
        other = User(self.world, "bob")
        self.assertEqual([other.subscribe("alice").status for _ in range(3)], [200, 200, 503])
        self.assertEqual(self.limits().counters["refused_unanswered"], 2)
        self.assertEqual(bob.bodies().count(b"none"), 3)
        self.assertEqual(bob.subscribe("alice").status, 200)

    def test_comes_back(self) -> None:
        """A phone whose NOTIFY was lost is told later: the 503 says when."""
        bob = User(self.world, "bob")
        bob.subscribe("alice")
        self.world.advance(40)
        bob.phone.flow.sent.clear()
        answer = bob.subscribe("alice")
        self.assertEqual((answer.status, self.limits().counters["refused_silent"]), (503, 1))
        self.world.advance(float(answer.get("retry-after") or ""))
        self.assertEqual(bob.subscribe("alice").status, 200)
        self.assertEqual(bob.bodies(), [b"none"])

    def test_connections_need_no_proof(self) -> None:
        """A connection is there since its other end has answered: nothing waits on it."""
        for transport in ("TCP", "WSS"):
            carol = User(self.world, "carol", transport)
            for _ in range(20):
                carol.subscribe("alice")
            self.assertEqual(len([data for data in carol.phone.flow.sent if data.startswith(b"NOTIFY")]), 20)

    def test_moves_while_it_waits(self) -> None:
        """One that goes to another address while its NOTIFY waits at the old one is told there, and loses nothing."""
        bob = User(self.world, "bob")
        firsts = [bob.subscribe("alice") for _ in range(3)]
        old = bob.phone.flow
        bob.phone.flow = self.world.phone("bob").flow
        bob.phone.contact = "sip:bob@{}:{}".format(*bob.phone.flow.remote)
        for first in firsts:
            self.assertEqual(bob.again(first).status, 200)
        self.assertEqual(len(bob.bodies()), 3)
        old.sent.clear()
        self.world.advance(60)
        self.assertEqual((len(self.limits().subscriptions), len(old.sent), self.limits().notifier.waiting), (3, 0, 0))


class RestartTests(SynchronousTestCase):
    """What was answered before a restart."""

    def server(self, storage: Any, former: World | None = None) -> World:
        """A server on that store."""
        made = world(storage=storage, former=former)
        made.advance(0.1)
        return made

    def test_goes_on(self) -> None:
        """A phone that had answered is told all its lamps at once after a restart; one that hadn't, one at a time."""
        storage = MemoryStorage(Clock())
        first = self.server(storage)
        bob, mallory = User(first, "bob"), User(first, "mallory")
        for user in (bob, mallory):
            for _ in range(10):
                self.assertRaises(AssertionError, user.subscribe, "alice")
        first.advance(0.1)
        bob.bodies()
        first.advance(0.1)
        for user in (bob, mallory):
            user.phone.flow.sent.clear()
        second = self.server(storage, first)
        told = [[data for data in user.phone.flow.sent if data.startswith(b"NOTIFY")] for user in (bob, mallory)]
        self.assertEqual([len(each) for each in told], [10, 1])
        self.assertIn(b"none", told[0][0])
        self.assertNotIn(b"none", told[1][0])
        self.assertEqual(len(second.core.presence.subscriptions), 20)
