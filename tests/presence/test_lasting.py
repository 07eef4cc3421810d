"""What outlives the process, and what several nodes share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import StorageError
from sipnode.interfaces import IPresenceFeed
from sipnode.presence.subscription import Origin
from sipnode.presence.takeover import take_over
from sipnode.records import PresenceChange, Publication, Subscription
from sipnode.settings import PresenceSettings
from sipnode.storage.memory import MemoryStorage
from sipnode.storage.presence_memory import MemoryPresence
from sipnode.testing import World
from tests.presence.kit import MoodPackage, User, world

WINDOW = 0.05


class SharedPresence(MemoryPresence):
    """Tables that several nodes write: each hears of what others wrote, a moment later.

    Attributes:
        feeds: Of all nodes.
        held: None, or where writes that wait are kept.
        broken: Writes fail.
        writes: How many there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.feeds: list[IPresenceFeed] = []
        self.broken = False
        self.held: list[Deferred[None]] | None = None
        self.writes = 0

    def watch(self, feed: IPresenceFeed) -> None:
        self.feeds.append(feed)

    def write(self, changes: list[PresenceChange]) -> Deferred[None]:
        self.writes += 1
        if self.broken:
            return fail(StorageError("broken"))
        super().write(changes)
        if self.held is None:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self.held.append(waiting)
        return waiting

    def tell(self, feed: IPresenceFeed) -> None:
        """Tell one node everything."""
        places = {(one.resource, one.event) for one in self.publications.values()}
        for resource, event in places:
            rows = [one for one in self.publications.values() if (one.resource, one.event) == (resource, event)]
            feed.published(resource, event, rows)
        feed.subscribed([replace(one, local_cseq=one.reserved) for one in self.subscriptions.values()])


class Store(MemoryStorage):
    """A store whose tables of presence are those."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.presence: Any = SharedPresence()


class LastingTests(SynchronousTestCase):
    """After ``kill -9``."""

    def setUp(self) -> None:
        self.store = Store()
        self.world = world(storage=self.store)
        self.alice, self.bob = User(self.world, "alice"), User(self.world, "bob")

    def do(self, user: User, *arguments: Any, **more: Any) -> Any:
        """A PUBLISH or SUBSCRIBE, and the time that its commit takes."""
        method = more.pop("method", "publish")
        sent = user.phone.flow.sent
        try:
            getattr(user, method)(*arguments, **more)
        except AssertionError:
            self.assertFalse([data for data in sent if data.startswith(b"SIP/2.0 2")], "answered before it is on disk")
        assert user.phone is not None
        user.world.advance(WINDOW)
        return user.phone

    def restart(self, presence: PresenceSettings | None = None, packages: Any = None) -> World:
        """The server is killed and starts again; its users see no difference."""
        self.world = world(presence, packages, self.store, self.world)
        for user in (self.alice, self.bob):
            user.world = user.phone.world = self.world
            user.phone.flow.sent.clear()
        self.world.advance(WINDOW)
        return self.world

    def test_answer_after_the_commit(self) -> None:
        """Neither a 200 goes out nor anybody is told before the row is on disk."""
        self.do(self.bob, "alice", method="subscribe")
        self.bob.bodies()
        self.store.presence.held = []
        self.do(self.alice, b"glad")
        self.assertEqual((self.alice.phone.statuses(), self.bob.bodies()), ([], []))
        for waiting in self.store.presence.held:
            waiting.callback(None)
        self.assertEqual((self.alice.phone.statuses(), self.bob.bodies()), ([200], [b"glad"]))

    def test_refused_write(self) -> None:
        """What the store doesn't take is answered with 503 and hasn't happened."""
        self.store.presence.broken = True
        self.do(self.alice, b"glad")
        self.do(self.bob, "alice", method="subscribe")
        self.assertEqual((self.alice.phone.statuses(), self.bob.phone.statuses()), ([503], [503]))
        presence = self.world.core.presence
        self.assertEqual((len(presence.publications), len(presence.subscriptions)), (0, 0))

    def test_one_tag_serves_once(self) -> None:
        """Of two requests with the same tag that are decided within one commit the second gets 412."""
        self.do(self.alice, b"one")
        tag = self.alice.phone.response("PUBLISH").get("sip-etag") or ""
        for body in (b"two", b"three"):
            self.assertRaises(AssertionError, self.alice.publish, body, tag)
        self.world.advance(1)
        self.assertEqual(sorted(self.alice.phone.statuses()), [200, 412])
        self.assertEqual([row.body for row in self.store.presence.publications.values()], [b"two"])

    def test_goes_on(self) -> None:
        """After a restart a watcher hears the state as it is, in the same dialog, with a number higher than all before."""
        self.do(self.alice, b"glad")
        tag = self.alice.phone.response("PUBLISH").get("sip-etag") or ""
        self.do(self.bob, "alice", method="subscribe")
        first = self.bob.phone.response("SUBSCRIBE")
        last = self.bob.notified()
        for _ in range(3):
            self.world.advance(WINDOW)
            self.restart()
            told = self.bob.notified()
            self.assertEqual((told.body, told.call_id, told.to.tag), (b"glad", last.call_id, last.to.tag))
            self.assertGreater(told.cseq, last.cseq)
            last = told
        self.assertRaises(AssertionError, self.alice.publish, b"sad", tag)
        self.world.advance(WINDOW)
        self.assertEqual((self.alice.phone.statuses(), self.bob.bodies()), ([200], [b"sad"]))
        self.assertRaises(AssertionError, self.bob.again, first)
        self.world.advance(WINDOW)
        self.assertEqual(self.bob.phone.response("SUBSCRIBE").status, 200)

    def test_numbers_rise_through_many(self) -> None:
        """However many NOTIFYs a subscription had, after a kill the next one is higher, and few of them cost a write."""
        settings = PresenceSettings(notify_seconds=0)
        self.world = world(settings, storage=self.store)
        self.alice, self.bob = User(self.world, "alice"), User(self.world, "bob")
        self.do(self.bob, "alice", method="subscribe")
        (watched,) = self.world.core.presence.subscriptions.by_tag.values()
        before = self.store.presence.writes
        highest = self.bob.notified().cseq
        for _ in range(2500):
            self.world.core.presence.notifier.at_once(watched)
            self.world.advance(0.001)
            highest = self.bob.notified().cseq
        self.assertLess(self.store.presence.writes - before, 5)
        self.restart(settings)
        self.assertGreater(self.bob.notified().cseq, highest)

    def test_ended_while_away(self) -> None:
        """A state that expired while the server was away is gone after its start, and so are ended subscriptions."""
        self.do(self.alice, b"glad", expires=60)
        self.do(self.bob, "alice", 300, method="subscribe")
        self.bob.bodies()
        self.world.core.presence.stopService()
        self.world.advance(100)
        self.restart()
        self.assertEqual(self.bob.bodies(), [b"none"])
        self.assertEqual(len(self.store.presence.publications), 0)
        self.world.core.presence.stopService()
        self.world.advance(300)
        self.restart()
        self.assertEqual((self.bob.bodies(), len(self.world.core.presence.subscriptions)), ([], 0))

    def test_decisions_last(self) -> None:
        """Who was refused stays refused."""
        self.world.core.presence.decide("alice@example.test", "bob@example.test", "mood", False)
        self.world.advance(WINDOW)
        self.restart()
        self.do(self.bob, "alice", method="subscribe")
        assert self.bob.answer is not None
        self.assertEqual(self.bob.answer.status, 403)

    def test_ended_rows_are_deleted(self) -> None:
        """Removed, expired and dead ones leave no row."""
        self.do(self.alice, b"one", expires=30)
        self.do(self.bob, "alice", 30, method="subscribe")
        self.world.advance(40)
        self.assertEqual((len(self.store.presence.publications), len(self.store.presence.subscriptions)), (0, 0))

    def test_published_from_inside(self) -> None:
        """What the server itself publishes for a user is told and kept as what a client does, until it is taken back."""
        presence = self.world.core.presence
        self.do(self.bob, "alice", method="subscribe")
        self.bob.bodies()
        made = presence.state_published("mood", "alice@example.test", b"by rpc", 600)
        self.world.advance(WINDOW)
        ruid = self.successResultOf(made)
        self.assertEqual(self.bob.bodies(), [b"by rpc"])
        self.restart()
        self.assertEqual(self.bob.bodies(), [b"by rpc"])
        self.world.core.presence.state_published("mood", "alice@example.test", b"", 0, ruid)
        self.world.advance(6)
        self.assertEqual(self.bob.bodies(), [b"none"])


class NodesTests(SynchronousTestCase):
    """Two nodes on the same tables."""

    def setUp(self) -> None:
        self.store = Store()
        self.one = world(storage=self.store)
        self.two = world(storage=self.store, packages=[MoodPackage()])
        self.one.core.presence.node, self.two.core.presence.node = 1, 2
        for number, net in ((1, self.one), (2, self.two)):
            net.core.presence.origin = self.origin(net, number)
        self.store.presence.feeds = []

    def origin(self, net: World, number: int) -> Any:
        """Where a request came from, at that node."""
        inner = net.core.presence.origin

        def made(ctx: Any) -> Any:
            found = inner(ctx)
            found.node = number
            return found

        return made

    def feed(self, net: World) -> Any:
        return net.core.presence._feed

    def ask(self, user: User, method: str, *arguments: Any) -> Any:
        """A request and its answer after the commit."""
        self.assertRaises(AssertionError, getattr(user, method), *arguments)
        user.world.advance(WINDOW)
        return user.phone.response("SUBSCRIBE" if method != "publish" else "PUBLISH")

    def test_publish_at_one_is_told_at_the_other(self) -> None:
        """The watchers at each node hear of it from that node alone."""
        alice, bob = User(self.one, "alice"), User(self.two, "bob")
        self.ask(bob, "subscribe", "alice")
        self.store.presence.tell(self.feed(self.one))
        self.assertEqual(bob.bodies(), [b"none"])
        self.ask(alice, "publish", b"glad")
        self.store.presence.tell(self.feed(self.two))
        self.assertEqual(bob.bodies(), [b"glad"])
        self.assertEqual(self.one.core.presence.notifier.sent, 0)

    def test_refresh_at_another_node(self) -> None:
        """A refresh takes the subscription over: that node tells from now on, with higher numbers, the former one is silent."""
        alice, bob = User(self.one, "alice"), User(self.one, "bob")
        first = self.ask(bob, "subscribe", "alice")
        highest = bob.notified().cseq
        self.store.presence.tell(self.feed(self.two))
        bob.world = bob.phone.world = self.two
        self.two.flows.flows.append(bob.phone.flow)
        bob.phone.flow.sent.clear()
        self.ask(bob, "again", first)
        self.two.advance(WINDOW)
        self.assertGreater(bob.notified().cseq, highest)
        self.store.presence.tell(self.feed(self.one))
        bob.phone.flow.sent.clear()
        self.ask(alice, "publish", b"glad")
        self.assertEqual(bob.bodies(), [])
        self.store.presence.tell(self.feed(self.two))
        self.assertEqual(bob.bodies(), [b"glad"])

    def test_device_comes_to_another_node(self) -> None:
        """A device that registers at another node is told from there, at once and with higher numbers; the former node is silent."""
        alice, bob = User(self.one, "alice"), User(self.one, "bob")
        self.ask(bob, "subscribe", "alice")
        highest = bob.notified().cseq
        (row,) = self.store.presence.subscriptions.values()
        row.key = "device"
        for net in (self.one, self.two):
            self.store.presence.tell(self.feed(net))
        service = self.two.core.presence
        origin = Origin("udp:x", "sip:two", "", "device", node=2)
        take_over(service, replace(origin, key="another"))
        self.assertEqual(service.subscriptions.by_tag[row.to_tag].node, 1)
        bob.world = bob.phone.world = self.two
        self.two.flows.flows.append(bob.phone.flow)
        bob.phone.flow.sent.clear()
        for _ in range(2):
            take_over(service, origin)
            self.two.advance(WINDOW)
        told = bob.notified()
        self.assertGreater(told.cseq, highest)
        self.assertEqual(bob.phone.flow.sent[1:], [])
        (row,) = self.store.presence.subscriptions.values()
        self.assertEqual((row.node, row.socket, row.local_contact), (2, "udp:x", "sip:two"))
        self.store.presence.tell(self.feed(self.one))
        bob.phone.flow.sent.clear()
        self.ask(alice, "publish", b"glad")
        self.assertEqual(bob.bodies(), [])
        service.subscriptions.remove(row.to_tag)
        self.assertEqual(service.subscriptions.of_device("device"), [])

    def test_gone_at_the_other(self) -> None:
        """A row that another node deleted is nobody's any more."""
        bob = User(self.one, "bob")
        self.ask(bob, "subscribe", "alice")
        (tag,) = self.one.core.presence.subscriptions.by_tag
        self.feed(self.one).unsubscribed([tag])
        self.assertEqual(len(self.one.core.presence.subscriptions), 0)

    def test_row_of_another_program(self) -> None:
        """A publication that nobody here checked is read when it is told, and one that can't be read stops nothing."""
        bob = User(self.one, "bob")
        self.ask(bob, "subscribe", "alice")
        bob.bodies()
        row = Publication("alice@example.test", "mood", "x", 2e9, 1.0, b"<broken>", "alice@example.test", "k-1")
        self.one.core.presence.packages["mood"].state = lambda *arguments: b"as well as can be"
        self.feed(self.one).published(row.resource, row.event, [row])
        self.assertEqual(bob.bodies(), [b"as well as can be"])
        alice = User(self.one, "alice")
        self.assertEqual(200, self.ask(alice, "publish", b"glad@desk").status)

    def test_read_again(self) -> None:
        """After news were missed memory becomes what the tables are."""
        alice, bob = User(self.one, "alice"), User(self.two, "bob")
        self.ask(bob, "subscribe", "alice")
        bob.bodies()
        self.ask(alice, "publish", b"glad")
        self.feed(self.two).lost()
        self.assertEqual(bob.bodies(), [b"glad"])
        self.store.presence.publications.clear()
        self.feed(self.two).lost()
        self.two.advance(6)
        self.assertEqual(bob.bodies(), [b"none"])
        self.assertTrue(all(isinstance(one, Subscription) for one in self.two.core.presence.subscriptions.by_tag.values()))
