"""Publications and subscriptions as their users see them, over a network in memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.settings import PresenceSettings
from tests.presence.kit import MoodPackage, User, world


class PublishTests(SynchronousTestCase):
    """PUBLISH (RFC 3903)."""

    def setUp(self) -> None:
        self.world = world()
        self.alice = User(self.world, "alice")

    def test_new(self) -> None:
        """A first PUBLISH gets an entity-tag and the time it was given."""
        answer = self.alice.publish(b"glad")
        self.assertEqual((answer.status, answer.get("expires")), (200, "300"))
        self.assertTrue(answer.get("sip-etag"))

    def test_modify_with_a_new_tag_each_time(self) -> None:
        """Each 200 has a tag of its own, and the old one serves no more."""
        first = self.alice.publish(b"glad").get("sip-etag") or ""
        second = self.alice.publish(b"sad", first)
        self.assertEqual(second.status, 200)
        self.assertNotEqual(second.get("sip-etag"), first)
        self.assertEqual(self.alice.publish(b"mad", first).status, 412)

    def test_started_anew(self) -> None:
        """A device that lost its tag takes its own place, by the name in its document; others of the user stay beside it."""
        bob = User(self.world, "bob")
        old = self.alice.publish(b"glad@desk").get("sip-etag") or ""
        other = self.alice.publish(b"calm@pocket").get("sip-etag") or ""
        unnamed = self.alice.publish(b"mild").get("sip-etag") or ""
        new = self.alice.publish(b"sad@desk").get("sip-etag") or ""
        bob.subscribe("alice")
        self.assertEqual(sorted(bob.notified().body.split()), [b"calm@pocket", b"mild", b"sad@desk"])
        self.assertEqual([412, 200, 200, 200], [self.alice.publish(b"", tag).status for tag in (old, other, unnamed, new)])
        self.assertEqual(self.alice.publish(b"wild").status, 200)
        self.assertEqual(len(self.world.core.presence.publications), 4)

    def test_refresh_keeps_the_body(self) -> None:
        """A PUBLISH with a tag and no body only prolongs, and no watcher hears of it."""
        bob = User(self.world, "bob")
        tag = self.alice.publish(b"glad").get("sip-etag") or ""
        bob.subscribe("alice")
        self.assertEqual(bob.notified().body, b"glad")
        self.assertEqual(self.alice.publish(b"", tag, 600).get("expires"), "600")
        self.assertEqual(bob.bodies(), [])
        self.world.advance(400)
        bob.subscribe("alice", 0)
        self.assertEqual(bob.bodies()[-1], b"glad")

    def test_remove(self) -> None:
        """Expires 0 takes the state back."""
        tag = self.alice.publish(b"glad").get("sip-etag") or ""
        answer = self.alice.publish(b"", tag, 0)
        self.assertEqual((answer.status, answer.get("expires")), (200, "0"))
        self.assertEqual(self.alice.publish(b"", tag).status, 412)
        self.assertEqual(len(self.world.core.presence.publications), 0)

    def test_expiry(self) -> None:
        """A state that nobody refreshes ends, its watchers hear of it, and its tag is unknown."""
        bob = User(self.world, "bob")
        tag = self.alice.publish(b"glad", expires=60).get("sip-etag") or ""
        bob.subscribe("alice")
        bob.bodies()
        self.world.advance(62)
        self.assertEqual(bob.bodies(), [b"none"])
        self.assertEqual(self.alice.publish(b"sad", tag).status, 412)

    def test_refusals(self) -> None:
        """What can't be taken is refused with the status that says why, and changes nothing."""
        alice = self.alice
        cases = [
            (alice.publish(b"x", event="").status, 489),
            (alice.publish(b"x", event="weather").status, 489),
            (alice.publish(b"x", event="mood.winfo").status, 489),
            (alice.publish(b"x", expires=5).status, 423),
            (alice.publish(b"").status, 400),
            (alice.publish(b"x", headers=[("expires", "soon")], expires=None).status, 400),
            (alice.publish(b"<").status, 400),
            (alice.publish(b"\xff").status, 415),
            (alice.publish(b"x", content_type="application/pdf").status, 415),
            (alice.publish(b"x", headers=[("content-encoding", "gzip")]).status, 415),
            (alice.publish(b"x" * 20000).status, 413),
            (alice.publish(b"x", headers=[("require", "magic")]).status, 420),
            (alice.publish(b"x", "never").status, 412),
            (alice.publish(b"x", uri="sip:bob@example.test").status, 403),
            (alice.publish(b"x", uri="sip:example.test").status, 404),
        ]
        self.assertEqual([got for got, _ in cases], [wanted for _, wanted in cases])
        self.assertEqual(len(self.world.core.presence.publications), 0)

    def test_what_refusals_say(self) -> None:
        """A 489 names the events, a 423 the least time, a 415 the types."""
        alice = self.alice
        self.assertEqual(alice.publish(b"x", event="weather").get("allow-events"), "mood")
        self.assertEqual(alice.publish(b"x", expires=5).get("min-expires"), "30")
        self.assertEqual(alice.publish(b"x", content_type="application/pdf").get("accept"), "text/plain")

    def test_too_long_is_cut(self) -> None:
        """Who asks for a day gets what is given at most."""
        self.assertEqual(self.alice.publish(b"x", expires=86400).get("expires"), "3600")
        self.assertEqual(self.alice.publish(b"x", expires=None).get("expires"), "3600")

    def test_bounded(self) -> None:
        """Who publishes without ever naming a tag keeps the newest few."""
        for number in range(20):
            self.alice.publish(b"%d" % number)
        kept = [one.body for one in self.world.core.presence.publications]
        self.assertEqual((len(kept), kept[-1]), (16, b"19"))

    def test_repeat(self) -> None:
        """A PUBLISH that comes twice, since its answer was lost, publishes once."""
        self.alice.publish(b"glad")
        assert self.alice.sent is not None
        self.alice.phone.send_again(self.alice.sent)
        self.assertEqual(self.alice.phone.statuses(), [200])
        self.assertEqual(len(self.world.core.presence.publications), 1)


class SubscribeTests(SynchronousTestCase):
    """SUBSCRIBE and NOTIFY (RFC 6665)."""

    def setUp(self) -> None:
        self.package = MoodPackage()
        self.world = world()
        self.alice, self.bob = User(self.world, "alice"), User(self.world, "bob")

    def test_first_notify(self) -> None:
        """A 200 with Expires and Contact, and a NOTIFY right behind it, also where nothing was ever published."""
        answer = self.bob.subscribe("alice")
        self.assertEqual((answer.status, answer.get("expires")), (200, "300"))
        first = self.bob.notified()
        self.assertEqual((first.body, first.get("content-type"), first.get("event")), (b"none", "text/plain", "mood"))
        self.assertEqual(first.get("subscription-state"), "active;expires=300")
        self.assertEqual((first.to.tag, first.from_.tag, first.call_id), (answer.from_.tag, answer.to.tag, answer.call_id))
        self.assertEqual((first.uri, first.cseq), (self.bob.phone.contact, 1))

    def test_changes(self) -> None:
        """Each change is told, with numbers that rise."""
        self.bob.subscribe("alice")
        tag = self.alice.publish(b"glad").get("sip-etag") or ""
        self.alice.publish(b"sad", tag)
        self.bob.notified()
        second = self.bob.notified()
        self.assertEqual((second.body, second.cseq), (b"sad", 2))

    def test_one_in_flight_and_newest_wins(self) -> None:
        """While a NOTIFY isn't answered none follows; afterwards one tells the newest state."""
        self.bob.subscribe("alice")
        first = self.bob.phone.got("NOTIFY")
        tag = ""
        for body in (b"one", b"two", b"three"):
            tag = self.alice.publish(body, tag).get("sip-etag") or ""
        self.assertEqual(self.bob.phone.methods(), [])
        self.bob.phone.reply(first, 200)
        self.assertEqual(self.bob.bodies(), [b"three"])

    def test_rate(self) -> None:
        """After a few quick ones a subscription gets one NOTIFY in five seconds, and the newest state in it."""
        self.bob.subscribe("alice")
        self.bob.bodies()
        tag = self.alice.publish(b"start").get("sip-etag") or ""
        told = 0
        for second in range(40):
            tag = self.alice.publish(b"%d" % second, tag).get("sip-etag") or ""
            told += len(self.bob.bodies())
            self.world.advance(1)
        self.assertTrue(40 / 5 <= told <= 40 / 5 + 5, told)
        self.world.advance(6)
        self.assertEqual(self.bob.bodies(), [b"39"])

    def test_refresh(self) -> None:
        """A refresh keeps the dialog, prolongs, and is answered by a NOTIFY."""
        first = self.bob.subscribe("alice")
        self.bob.bodies()
        self.world.advance(200)
        answer = self.bob.again(first, 400)
        self.assertEqual((answer.status, answer.get("expires")), (200, "400"))
        notify = self.bob.notified()
        self.assertEqual((notify.get("subscription-state"), notify.cseq), ("active;expires=400", 2))
        self.world.advance(300)
        self.assertEqual(len(self.world.core.presence.subscriptions), 1)

    def test_unsubscribe(self) -> None:
        """Expires 0 is answered by the state once more, as the last NOTIFY."""
        first = self.bob.subscribe("alice")
        self.bob.bodies()
        self.assertEqual(self.bob.again(first, 0).status, 200)
        last = self.bob.notified()
        self.assertEqual((last.get("subscription-state"), last.body), ("terminated;reason=timeout", b"none"))
        self.assertEqual(self.bob.again(first).status, 481)
        self.alice.publish(b"glad")
        self.assertEqual((self.bob.bodies(), self.world.core.presence.notifier.waiting), ([], 0))

    def test_unsubscribe_while_a_notify_is_under_way(self) -> None:
        """The last NOTIFY waits for the one before."""
        first = self.bob.subscribe("alice")
        under_way = self.bob.phone.got("NOTIFY")
        self.bob.again(first, 0)
        self.assertEqual(self.bob.phone.methods(), [])
        self.bob.phone.reply(under_way, 200)
        self.assertEqual(self.bob.notified().get("subscription-state"), "terminated;reason=timeout")
        self.assertEqual(self.world.core.presence.notifier.waiting, 0)

    def test_fetch(self) -> None:
        """Expires 0 outside of a dialog tells the state once and leaves nothing."""
        self.alice.publish(b"glad")
        self.assertEqual(self.bob.subscribe("alice", 0).get("expires"), "0")
        only = self.bob.notified()
        self.assertEqual((only.body, only.get("subscription-state")), (b"glad", "terminated;reason=timeout"))
        self.assertEqual(len(self.world.core.presence.subscriptions), 0)

    def test_timeout(self) -> None:
        """A subscription that nobody refreshes ends with its reason."""
        self.bob.subscribe("alice", 60)
        self.bob.bodies()
        self.world.advance(62)
        self.assertEqual(self.bob.notified().get("subscription-state"), "terminated;reason=timeout")
        self.assertEqual(len(self.world.core.presence.subscriptions), 0)

    def test_refusals(self) -> None:
        """What can't be subscribed to is refused with the status that says why."""
        bob = self.bob
        first = bob.subscribe("alice")
        strange = "<sip:alice@example.test>;tag=unknown"
        cases = [
            (bob.subscribe("alice", event="").status, 489),
            (bob.subscribe("alice", event="weather").status, 489),
            (bob.subscribe("alice", 10).status, 423),
            (bob.subscribe("nobody").status, 404),
            (bob.subscribe("alice", event="mood.winfo").status, 403),
            (bob.subscribe("alice", headers=[("accept", "image/png")]).status, 406),
            (bob.subscribe("alice", headers=[("require", "eventlist")]).status, 420),
            (bob.subscribe("alice", event="message-summary").status, 404),
            (bob.again(first, to=strange).status, 481),
            (bob.again(first, call_id="other").status, 481),
            (bob.again(first, event="mood;id=7").status, 481),
            (bob.again(first, cseq=1).status, 500),
            (bob.again(first, 5).status, 423),
        ]
        self.assertEqual([got for got, _ in cases], [wanted for _, wanted in cases])
        self.assertEqual(len(self.world.core.presence.subscriptions), 1)

    def test_accept(self) -> None:
        """The type that the subscriber takes is the one that it gets."""
        self.bob.subscribe("alice", headers=[("accept", "application/x, text/html;q=0.5")])
        self.assertEqual(self.bob.notified().get("content-type"), "text/html")

    def test_event_id(self) -> None:
        """The id of Event stands in each NOTIFY."""
        self.bob.subscribe("alice", event="mood;id=a7")
        self.assertEqual(self.bob.notified().get("event"), "mood;id=a7")

    def test_answers_that_end_it(self) -> None:
        """481 and its like end a subscription; nothing is sent to it any more."""
        for status in (481, 404, 489, 408):
            self.bob.subscribe("alice")
            self.bob.notified(status)
            self.assertEqual(len(self.world.core.presence.subscriptions), 0, status)
        self.alice.publish(b"glad")
        self.assertEqual(self.bob.bodies(), [])

    def test_answers_that_do_not(self) -> None:
        """A 503 with Retry-After has the newest state told again then."""
        self.bob.subscribe("alice")
        self.bob.notified(503, [("retry-after", "20")])
        self.alice.publish(b"glad")
        self.world.advance(15)
        self.assertEqual(self.bob.bodies(), [])
        self.world.advance(6)
        self.assertEqual(self.bob.bodies(), [b"glad"])

    def test_no_answer(self) -> None:
        """Who answers no NOTIFY has no subscription any more."""
        self.bob.subscribe("alice")
        self.world.advance(40)
        self.assertEqual(len(self.world.core.presence.subscriptions), 0)

    def test_the_dead_delay_nobody(self) -> None:
        """Of a hundred watchers one is dead: the other ninety-nine hear at once."""
        users = [User(self.world, f"u{number}") for number in range(100)]
        for user in users:
            user.subscribe("alice")
            if user is not users[0]:
                user.bodies()
        self.alice.publish(b"glad")
        self.world.advance(0)
        self.assertEqual([user.bodies() for user in users[1:]], [[b"glad"]] * 99)
        self.world.advance(40)
        self.assertEqual(len(self.world.core.presence.subscriptions), 99)

    def test_repeat(self) -> None:
        """A SUBSCRIBE that comes twice, since its answer was lost, makes one subscription."""
        self.bob.subscribe("alice")
        assert self.bob.sent is not None
        self.bob.phone.send_again(self.bob.sent)
        self.assertEqual(len(self.world.core.presence.subscriptions), 1)

    def test_own_connection(self) -> None:
        """A browser's NOTIFY goes down the connection that it subscribed by."""
        carol = User(self.world, "carol", "WSS")
        carol.subscribe("alice")
        self.alice.publish(b"glad")
        self.assertEqual(carol.bodies(), [b"none", b"glad"])

    def test_connection_lost_and_back(self) -> None:
        """A browser that lost its connection gets the newest state as soon as it has registered again."""
        carol = User(self.world, "carol", "WSS")
        carol.phone.params = ';+sip.instance="<urn:uuid:1>"'
        carol.phone.register()
        carol.subscribe("alice")
        carol.bodies()
        self.world.close(carol.phone)
        self.alice.publish(b"glad")
        self.assertEqual(len(self.world.core.presence.subscriptions), 1)
        self.world.connect(carol.phone)
        self.assertEqual(carol.bodies(), [])
        carol.phone.register()
        self.assertEqual(carol.bodies(), [b"glad"])

    def test_refresh_by_a_new_connection(self) -> None:
        """A refresh moves the subscription to the connection that it came by, whatever waits on the old one."""
        carol = User(self.world, "carol", "WSS")
        first = carol.subscribe("alice")
        self.assertEqual(carol.phone.methods(), ["NOTIFY"])
        self.world.connect(carol.phone)
        carol.again(first)
        self.assertEqual(carol.bodies(), [b"none"])

    def test_limits(self) -> None:
        """One watcher's and all subscriptions are bounded."""
        self.world = world(PresenceSettings(subscriptions=3, subscriptions_per_watcher=2))
        bob, carol = User(self.world, "bob"), User(self.world, "carol")
        self.assertEqual([bob.subscribe("alice").status for _ in range(3)], [200, 200, 403])
        self.assertEqual([carol.subscribe("alice").status for _ in range(2)], [200, 503])


class PolicyTests(SynchronousTestCase):
    """Who may watch whom."""

    def test_domain(self) -> None:
        """With ``domain`` strangers may not watch."""
        net = world(PresenceSettings(policy="domain"))
        self.assertEqual(User(net, "bob").subscribe("alice").status, 200)
        self.assertEqual(User(net, "eve", domain="else.where").subscribe("alice").status, 403)

    def test_approval(self) -> None:
        """With ``contacts`` a watcher waits without seeing anything, its presentity is told, and says yes or no."""
        net = world(PresenceSettings(policy="contacts"))
        alice, bob = User(net, "alice"), User(net, "bob")
        alice.publish(b"secret")
        alice.subscribe("alice", event="mood.winfo")
        self.assertEqual(alice.bodies(), [b""])
        self.assertEqual(bob.subscribe("alice").status, 200)
        waiting = bob.notified()
        self.assertEqual((waiting.get("subscription-state"), waiting.body), ("pending;expires=300", b""))
        self.assertEqual(alice.bodies(), [b"bob:2"])
        net.core.presence.decide("alice@example.test", "bob@example.test", "mood", True)
        told = bob.notified()
        self.assertEqual((told.get("subscription-state"), told.body), ("active;expires=300", b"secret"))
        self.assertEqual(alice.bodies(), [b"bob:1"])
        net.core.presence.decide("alice@example.test", "bob@example.test", "mood", False)
        last = bob.notified()
        self.assertEqual((last.get("subscription-state"), last.body), ("terminated;reason=rejected", b""))
        self.assertEqual(bob.subscribe("alice").status, 403)

    def test_hook(self) -> None:
        """A site's own word counts more than the settings, and less than the presentity's."""
        net = world()
        net.core.presence.policy.hook = lambda watcher, resource, event: "rejected" if watcher.startswith("eve") else None
        eve = User(net, "eve")
        self.assertEqual((eve.subscribe("alice").status, User(net, "bob").subscribe("alice").status), (403, 200))
        net.core.presence.decide("alice@example.test", "eve@example.test", "mood", True)
        self.assertEqual(eve.subscribe("alice").status, 200)
