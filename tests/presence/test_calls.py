"""Calls for lamps: after ``kill -9`` in mid-call, and at other nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from sipnode.presence.calls import CHECK, GRACE, KEPT
from sipnode.presence.packages.dialoginfo import DIALOG_INFO
from sipnode.records import PresenceChange
from sipnode.settings import PresenceSettings
from sipnode.testing import Phone, World
from sipnode.wiring.presence import build_presence, named_packages
from tests.presence.kit import User, world
from tests.presence.test_lasting import WINDOW, Store

ALL = PresenceSettings().packages
ALICE = "alice@example.test"


def lamp(body: bytes) -> list[tuple[str | None, str | None]]:
    """State and event of each dialog of a document."""
    states = [one.find(f"{{{DIALOG_INFO}}}state") for one in ElementTree.fromstring(body)]
    return [(state.text, state.get("event")) for state in states if state is not None]


class CallsCase(SynchronousTestCase):
    """Servers on one table, and phones."""

    transport = "UDP"

    def setUp(self) -> None:
        self.store = Store()

    def server(self, former: World | None = None, node: int = 0) -> World:
        """A server; with a former one, that was killed, it has its network."""
        made = world(packages=named_packages(ALL), storage=self.store, former=former, node=node)
        made.advance(WINDOW)
        return made

    def watch(self, net: World, event: str = "dialog") -> User:
        """Bob, who watches alice at that server."""
        bob = User(net, "bob")
        net.core.presence.decide("alice@example.test", "bob@example.test", "dialog", True, True)
        net.advance(WINDOW)
        self.assertRaises(AssertionError, bob.subscribe, "alice", event=event)
        net.advance(WINDOW)
        self.assertEqual(bob.phone.response("SUBSCRIBE").status, 200)
        # The first is answered, so that the next ones don't wait for it; what it said is looked at by whoever wants to.
        self.at_first = bob.bodies()
        return bob

    def call_up(self, net: World, headers: tuple[tuple[str, str], ...] = ()) -> tuple[Phone, Phone, Any, Any]:
        """Carol calls alice: caller, callee, the INVITE as sent, its 200 as it arrived."""
        carol, alice = net.phone("carol", self.transport), net.phone("alice")
        for phone in (carol, alice):
            phone.register()
        invite = carol.send("INVITE", alice.aor, body=b"v=0")
        alice.reply(alice.got("INVITE"), 200, b"v=0", headers=headers)
        answer = carol.response("INVITE")
        carol.ack(invite, answer)
        net.advance(WINDOW)
        return carol, alice, invite, answer

    def killed(self, net: World, *users: Any) -> World:
        """The server is killed and starts again, with these who see no difference."""
        for service in (net.core.presence, net.core.dialogs, net.core.registrar):
            service.stopService()
        made = self.server(net, net.core.presence.node)
        for user in users:
            user.world = made
            getattr(user, "phone", user).world = made
        return made


class RestartTests(CallsCase):
    """``kill -9`` in mid-call."""

    def setUp(self) -> None:
        super().setUp()
        self.first = self.server()
        self.bob = self.watch(self.first)

    def scene(self, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """A call is up, and the server is killed."""
        self.carol, self.alice, self.invite, self.answer = self.call_up(self.first, headers)
        self.first.advance(2)
        self.assertEqual([lamp(body) for body in self.bob.bodies()][-1], [("confirmed", None)])
        self.second = self.killed(self.first, self.bob, self.carol, self.alice)

    def test_still_lit(self) -> None:
        """After the start the lamp is lit, as the call is up."""
        self.scene()
        self.assertEqual([lamp(body) for body in self.bob.bodies()], [[("confirmed", None)]])

    def test_ends(self) -> None:
        """The BYE of the call turns it off, with whose it was, and no row is left."""
        self.scene()
        self.bob.bodies()
        self.carol.within("BYE", self.invite, self.answer, True)
        self.second.advance(2)
        self.assertEqual([lamp(body) for body in self.bob.bodies()], [[("terminated", "remote-bye")]])
        self.assertEqual(self.store.presence.publications, {})

    def test_session_timer(self) -> None:
        """A call with a session timer that isn't refreshed any more ends at that; each refresh puts it off."""
        self.scene((("session-expires", "100;refresher=uac"),))
        self.bob.bodies()
        self.second.advance(90)
        self.carol.within("UPDATE", self.invite, self.answer, True)
        self.second.advance(90)
        self.assertEqual(self.bob.bodies(), [])
        self.second.advance(60 + GRACE)
        self.assertEqual([lamp(body) for body in self.bob.bodies()], [[]])
        self.assertEqual(self.store.presence.publications, {})

    def test_never_heard_of(self) -> None:
        """A call that ended unseen doesn't light a lamp for good."""
        self.scene()
        self.bob.bodies()
        (watched,) = self.second.core.presence.subscriptions.by_tag.values()
        watched.expires += 2 * KEPT
        self.second.advance(KEPT)
        self.assertEqual([lamp(body) for body in self.bob.bodies()], [[]])

    def test_browser_is_back(self) -> None:
        """The call of a browser whose device has registered again goes on."""
        self.transport = "WSS"
        self.scene()
        self.carol.register()
        self.bob.bodies()
        self.second.advance(250)
        self.assertEqual(self.bob.bodies(), [])
        self.assertEqual(len(self.store.presence.publications), 1)

    def test_browser_is_gone(self) -> None:
        """The call of a browser that doesn't come back ends, also where its watched end is the other one."""
        self.transport = "WSS"
        self.scene()
        self.bob.bodies()
        for _ in range(2 * CHECK + 2):
            self.second.advance(1)
        self.assertEqual([lamp(body) for body in self.bob.bodies()], [[("terminated", "timeout")]])
        self.assertEqual((self.store.presence.publications, self.second.core.presence.calls._missed), ({}, set()))

    def test_watched_later(self) -> None:
        """A call that nobody watched costs no row; from the first watcher on it has one."""
        net = self.server()
        self.store.presence.publications.clear()
        self.store.presence.subscriptions.clear()
        net = self.server()
        carol, alice, _, _ = self.call_up(net)
        self.assertEqual(self.store.presence.publications, {})
        bob = self.watch(net)
        net.advance(WINDOW)
        bob.bodies()
        self.assertEqual(len(self.store.presence.publications), 1)
        self.killed(net, bob, carol, alice)
        self.assertEqual([lamp(body) for body in bob.bodies()], [[("confirmed", None)]])

    def test_a_long_call(self) -> None:
        """A call that outlasts its row has it written again."""
        self.carol, self.alice, self.invite, self.answer = self.call_up(self.first)
        (watched,) = self.first.core.presence.subscriptions.by_tag.values()
        watched.expires += 3 * KEPT
        self.assertEqual([lamp(body) for body in self.bob.bodies()][-1], [("confirmed", None)])
        for _ in range(5):
            self.first.advance(KEPT / 2 + 2)
        (row,) = self.store.presence.publications.values()
        self.assertGreater(row.expires, self.first.clock.seconds() + KEPT / 4)
        self.assertEqual(self.bob.bodies(), [])

    def test_on_the_phone(self) -> None:
        """Whose call was up before the restart is on the phone after it, for watchers of its presence."""
        buddy = self.watch(self.first, "presence")
        self.scene()
        for user in (buddy,):
            user.world = user.phone.world = self.second
        self.assertIn(b"on-the-phone", buddy.bodies()[-1])
        self.carol.within("BYE", self.invite, self.answer, True)
        self.second.advance(6)
        self.assertNotIn(b"on-the-phone", buddy.bodies()[-1])

    def test_watched_no_more(self) -> None:
        """The row of a call goes with the call, also when its watchers have gone before."""
        carol, _, invite, answer = self.call_up(self.first)
        self.assertEqual(len(self.store.presence.publications), 1)
        presence = self.first.core.presence
        (watched,) = presence.subscriptions.by_tag.values()
        presence.end(watched, "deactivated")
        carol.within("BYE", invite, answer, True)
        self.first.advance(WINDOW)
        self.assertEqual((self.store.presence.publications, presence.calls._written), ({}, set()))

    def test_store_is_away(self) -> None:
        """A row that couldn't be written isn't written after its call has ended."""
        self.store.presence.broken = True
        carol, _, invite, answer = self.call_up(self.first)
        self.store.presence.broken = False
        carol.within("BYE", invite, answer, True)
        self.first.advance(WINDOW)
        for _ in range(5):
            self.first.advance(1)
        self.assertEqual(self.store.presence.publications, {})

    def test_row_lost_from_memory(self) -> None:
        """A row that older news of the table took out of memory is deleted all the same when its call ends."""
        carol, _, invite, answer = self.call_up(self.first)
        self.first.core.presence._feed.published(ALICE, "dialog", [])
        carol.within("BYE", invite, answer, True)
        self.first.advance(WINDOW)
        self.assertEqual(self.store.presence.publications, {})


class NodesTests(CallsCase):
    """A watcher at one node, the call at another."""

    def setUp(self) -> None:
        super().setUp()
        self.one, self.two = self.server(node=1), self.server(node=2)
        self.store.presence.feeds = []
        self.bob = self.watch(self.two)
        self.bob.bodies()
        self.news(self.one)

    def news(self, net: World) -> None:
        """A node hears what the others wrote."""
        presence = net.core.presence
        for resource in (ALICE, "carol@example.test"):
            rows = [replace(row, parsed=None) for row in self.store.presence.publications.values() if row.resource == resource]
            presence._feed.published(resource, "dialog", rows)
        presence._feed.subscribed([replace(row, local_cseq=row.reserved) for row in self.store.presence.subscriptions.values()])

    def lamps(self) -> list[list[tuple[str | None, str | None]]]:
        """What bob is told at his node after its news."""
        self.one.advance(WINDOW)
        self.news(self.two)
        self.two.advance(2)
        return [lamp(body) for body in self.bob.bodies()]

    def test_each_step(self) -> None:
        """A lamp at another node follows the call too, from its ringing on."""
        carol, alice = self.one.phone("carol"), self.one.phone("alice")
        alice.register()
        invite = carol.send("INVITE", alice.aor, body=b"v=0")
        received = alice.got("INVITE")
        alice.reply(received, 180)
        self.assertEqual(self.lamps(), [[("early", None)]])
        alice.reply(received, 200, b"v=0")
        answer = carol.response("INVITE")
        self.assertEqual(self.lamps(), [[("confirmed", None)]])
        carol.within("BYE", invite, answer, True)
        self.assertEqual(self.lamps(), [[]])
        self.assertEqual(self.one.core.presence.notifier.sent, 0)

    def test_the_other_node_starts_anew(self) -> None:
        """A node that starts leaves the rows of another one's calls alone."""
        self.call_up(self.one)
        two = self.killed(self.two, self.bob)
        self.assertEqual([lamp(body) for body in self.bob.bodies()][-1], [("confirmed", None)])
        (row,) = two.core.presence.publications
        self.assertEqual(row.expires, next(iter(self.store.presence.publications.values())).expires)

    def test_row_of_another_program(self) -> None:
        """Rows that Kamailio writes for its own calls light lamps here; broken ones do no harm."""
        body = (
            b'<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="0" state="full" entity="sip:alice@example.test">'
            b'<dialog id="k"><state>early</state></dialog></dialog-info>'
        )
        self.call_up(self.one)
        self.assertEqual(self.lamps(), [[("confirmed", None)]])
        (row,) = self.store.presence.publications.values()
        self.store.presence.write([PresenceChange(replace(row, ruid="k-1", etag="k-1", body=body, parsed=None))])
        self.store.presence.write([PresenceChange(replace(row, ruid="k-2", etag="k-2", body=b"<", parsed=None))])
        self.assertEqual(self.lamps(), [[("confirmed", None), ("early", None)]])


class StartTests(CallsCase):
    """What watchers hear of a start."""

    def test_told_once(self) -> None:
        """Each watcher is told once, when registrations, calls and publications are all read, and not that all have left."""
        first = self.server()
        bob = self.watch(first, "presence")
        alice = first.phone("alice")
        alice.register()
        first.advance(6)
        bob.bodies()
        for service in (first.core.presence, first.core.dialogs, first.core.registrar):
            service.stopService()
        made = world(packages=[], storage=self.store, former=first)
        reading: Deferred[None] = Deferred()
        self.patch(made.core.registrar, "when_ready", lambda: reading)
        service = build_presence(made.core, self.store, named_packages(ALL))
        assert service is not None
        service.startService()
        bob.world = bob.phone.world = alice.world = made
        alice.register()
        made.advance(2)
        self.assertEqual(bob.bodies(), [])
        reading.callback(None)
        made.advance(2)
        (body,) = bob.bodies()
        self.assertIn(b">open<", body)
