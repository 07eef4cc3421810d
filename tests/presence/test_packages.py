"""The event packages that come with sipnode, over a network in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.interfaces import IPresenceSources
from sipnode.presence.packages.dialoginfo import DIALOG_INFO
from sipnode.presence.packages.pidf import PIDF
from sipnode.presence.packages.winfo import WATCHERINFO
from sipnode.records import SubscriptionStatus, Watcher
from sipnode.routing.script import RoutingScript
from sipnode.settings import PresenceSettings
from sipnode.testing import Phone
from sipnode.wiring.presence import named_packages
from tests.presence.kit import User, world

ALL = PresenceSettings().packages
PIDF_TYPE = "application/pidf+xml"


def basics(body: bytes) -> list[str | None]:
    """What each tuple of a PIDF document says."""
    return [one.text for one in ElementTree.fromstring(body).iter(f"{{{PIDF}}}basic")]


def open_document(basic: str = "open") -> bytes:
    """A document to publish."""
    return f'<presence xmlns="{PIDF}" entity="sip:x@y"><tuple id="t"><status><basic>{basic}</basic></status></tuple></presence>'.encode()


class PackagesCase(SynchronousTestCase):
    """A server with all packages, and users of it."""

    settings = PresenceSettings()

    def setUp(self) -> None:
        self.world = world(self.settings, named_packages(ALL))
        self.alice, self.bob = User(self.world, "alice"), User(self.world, "bob")

    def call_up(self, caller: Phone, callee: Phone) -> Any:
        """A call that is up: the INVITE as sent and its 200 as it arrived."""
        invite = caller.send("INVITE", callee.aor, body=b"v=0")
        callee.reply(callee.got("INVITE"), 200, b"v=0")
        answer = caller.response("INVITE")
        caller.ack(invite, answer)
        return invite, answer


class PresenceTests(PackagesCase):
    """Package ``presence``."""

    def watch(self) -> bytes:
        """Bob watches alice; the first document."""
        self.assertEqual(self.bob.subscribe("alice", event="presence").status, 200)
        first = self.bob.notified()
        self.assertEqual(first.get("content-type"), PIDF_TYPE)
        return first.body

    def test_nobody(self) -> None:
        """Somebody of whom nothing is known is closed."""
        self.assertEqual(basics(self.watch()), ["closed"])

    def test_registration(self) -> None:
        """Who registers opens, who unregisters closes; a refresh is no news."""
        self.watch()
        self.alice.phone.register()
        self.assertEqual([basics(body) for body in self.bob.bodies()], [["open"]])
        self.world.advance(10)
        self.alice.phone.register()
        self.assertEqual(self.bob.bodies(), [])
        self.alice.phone.register(0)
        self.assertEqual([basics(body) for body in self.bob.bodies()], [["closed"]])

    def test_publications(self) -> None:
        """What is published arrives, and goes with its end."""
        self.watch()
        tag = self.alice.publish(open_document(), event="presence", content_type=PIDF_TYPE).get("sip-etag") or ""
        tag = self.alice.publish(open_document("closed"), tag, event="presence", content_type=PIDF_TYPE).get("sip-etag") or ""
        self.alice.publish(b"", tag, 0, event="presence")
        self.assertEqual([basics(body) for body in self.bob.bodies()], [["open"], ["closed"]])
        self.world.advance(1)
        self.assertNotIn(b'id="t"', self.world.core.presence.documents.of(self.subscription, 0)[1])

    @property
    def subscription(self) -> Any:
        """Bob's."""
        (found,) = self.world.core.presence.subscriptions.by_tag.values()
        return found

    def test_on_the_phone(self) -> None:
        """A call that is up shows at once on both ends; that it rings or is refused is no news."""
        self.alice.phone.register()
        self.watch()
        carol = self.world.phone("carol")
        carol.register()
        missed = carol.send("INVITE", self.alice.phone.aor, body=b"v=0")
        self.alice.phone.reply(self.alice.phone.got("INVITE"), 486)
        carol.ack(missed, carol.response("INVITE"))
        self.assertEqual(self.bob.bodies(), [])
        invite, answer = self.call_up(carol, self.alice.phone)
        self.assertEqual([b"on-the-phone" in body for body in self.bob.bodies()], [True])
        carol.within("BYE", invite, answer, True)
        self.assertEqual([b"on-the-phone" in body for body in self.bob.bodies()], [False])

    def test_hostile(self) -> None:
        """What can't be read is refused and changes nothing."""
        bomb = b'<!DOCTYPE a [<!ENTITY b "b">]>' + open_document()
        cases = [
            (bomb, PIDF_TYPE, 400),
            (open_document().decode().encode("utf-16"), PIDF_TYPE, 415),
            (b'<?xml version="1.0" encoding="latin-1"?>' + open_document(), PIDF_TYPE, 415),
            (open_document(), "text/xml", 415),
            (b"<presence/>", PIDF_TYPE, 400),
        ]
        for body, content_type, status in cases:
            answer = self.alice.publish(body, event="presence", content_type=content_type)
            self.assertEqual(answer.status, status, body)
        self.assertEqual(len(self.world.core.presence.publications), 0)


class NamedTests(SynchronousTestCase):
    """``[presence] packages``"""

    def test_defaults(self) -> None:
        """Each package that is on by default is there, in its order, and what it is asks the server that it belongs to."""
        ours, theirs = named_packages(ALL), named_packages(ALL)
        self.assertEqual(tuple(one.name for one in ours), ALL)
        one: Any = object()
        other: IPresenceSources = one
        ours[0].start(other)
        self.assertIsNot(ours[0], theirs[0])
        self.assertFalse(hasattr(theirs[0], "sources"))

    def test_missing(self) -> None:
        """One that isn't installed stops the start with its name and those that are there."""
        error = self.assertRaises(ConfigError, named_packages, ("presence", "weather"))
        self.assertEqual(error.key, "presence.packages")
        self.assertIn("weather", str(error))
        self.assertIn("presence", str(error).partition("there are")[2])


class DialogTests(PackagesCase):
    """Package ``dialog``: lamps."""

    def setUp(self) -> None:
        super().setUp()
        self.carol = self.world.phone("carol", "WSS")
        self.carol.register()
        self.alice.phone.register()

    def watch(self, other: str = "alice") -> None:
        """Bob has a lamp for somebody whose calls it may pick up; it is dark."""
        self.world.core.presence.decide(f"{other}@example.test", "bob@example.test", "dialog", True, True)
        self.assertEqual(self.bob.subscribe(other, event="dialog").status, 200)
        self.assertEqual(self.lamps(), [[]])

    def lamps(self) -> list[list[tuple[str | None, ...]]]:
        """What each NOTIFY that has come says of each dialog: direction, state, event."""
        found = []
        for body in self.bob.bodies():
            dialogs = ElementTree.fromstring(body).iter(f"{{{DIALOG_INFO}}}dialog")
            states = [(one.get("direction"), one.find(f"{{{DIALOG_INFO}}}state")) for one in dialogs]
            found.append([(direction, state.text, state.get("event")) for direction, state in states if state is not None])
        return found

    def test_follows_a_call(self) -> None:
        """The lamp of who is called: trying, early, confirmed, terminated by the other end, dark."""
        self.watch()
        invite = self.carol.send("INVITE", self.alice.phone.aor, body=b"v=0")
        self.assertEqual(self.lamps(), [[("recipient", "trying", None)]])
        received = self.alice.phone.got("INVITE")
        self.alice.phone.reply(received, 180)
        self.assertEqual(self.lamps(), [[("recipient", "early", None)]])
        self.alice.phone.reply(received, 200, b"v=0")
        answer = self.carol.response("INVITE")
        self.carol.ack(invite, answer)
        self.assertEqual(self.lamps(), [[("recipient", "confirmed", None)]])
        self.carol.within("BYE", invite, answer, True)
        self.assertEqual(self.lamps(), [[("recipient", "terminated", "remote-bye")]])
        self.world.advance(11)
        self.bob.subscribe("alice", 0, event="dialog")
        self.assertEqual(self.lamps()[-1], [])

    def test_of_a_caller(self) -> None:
        """The lamp of who calls, from a browser; it hangs up."""
        self.watch("carol")
        invite, answer = self.call_up(self.carol, self.alice.phone)
        self.world.advance(1)
        self.assertEqual(self.lamps()[-1], [("initiator", "confirmed", None)])
        self.carol.within("BYE", invite, answer, True)
        self.assertEqual(self.lamps(), [[("initiator", "terminated", "local-bye")]])

    def test_refused(self) -> None:
        """A call that isn't taken ends with how and the status."""
        self.watch()
        self.carol.send("INVITE", self.alice.phone.aor, body=b"v=0")
        self.alice.phone.reply(self.alice.phone.got("INVITE"), 486)
        self.assertEqual(self.lamps()[-1], [("recipient", "terminated", "rejected")])

    def test_cancelled(self) -> None:
        """A caller that gives up."""
        self.watch()
        invite = self.carol.send("INVITE", self.alice.phone.aor, body=b"v=0")
        received = self.alice.phone.got("INVITE")
        self.alice.phone.reply(received, 180)
        self.carol.cancel(invite)
        self.alice.phone.reply(received, 487)
        self.assertEqual(self.lamps()[-1], [("recipient", "terminated", "cancelled")])

    def test_nobody_there(self) -> None:
        """A call that can't even be sent on lights no lamp."""
        self.watch("dave")
        self.carol.send("INVITE", "sip:dave@example.test", body=b"v=0")
        self.assertEqual(self.lamps(), [])

    def test_late(self) -> None:
        """Who begins to watch in mid-call sees it; both ends of the call have names and tags for a pick-up."""
        invite, answer = self.call_up(self.carol, self.alice.phone)
        self.world.core.presence.decide("alice@example.test", "bob@example.test", "dialog", True, True)
        self.bob.subscribe("alice", event="dialog")
        (dialog,) = ElementTree.fromstring(self.bob.bodies()[-1])
        self.assertEqual(dialog.get("call-id"), invite.call_id)
        self.assertEqual((dialog.get("local-tag"), dialog.get("remote-tag")), (answer.to.tag, invite.from_.tag))
        identities = [one.text for one in dialog.iter(f"{{{DIALOG_INFO}}}identity")]
        self.assertEqual(identities, ["sip:alice@example.test", "sip:carol@example.test"])

    def test_to_oneself(self) -> None:
        """A call to one's own address has both sides."""
        self.watch()
        self.alice.phone.send("INVITE", self.alice.phone.aor, body=b"v=0")
        self.assertEqual([one[0] for one in self.lamps()[-1]], ["initiator", "recipient"])

    def test_versions_rise(self) -> None:
        """Each document of a subscription has a higher version than the one before, from 0."""
        self.bob.subscribe("alice", event="dialog")
        self.call_up(self.carol, self.alice.phone)
        versions = [int(ElementTree.fromstring(body).get("version") or "") for body in self.bob.bodies()]
        self.assertEqual(versions, list(range(len(versions))))
        self.assertGreater(len(versions), 1)

    def test_nobody_publishes(self) -> None:
        """A PUBLISH for package dialog is refused: lamps follow calls."""
        self.assertEqual(self.alice.publish(b"x", event="dialog").status, 489)

    def test_nothing_is_left(self) -> None:
        """Of calls that have ended nothing is kept."""
        self.watch()
        for _ in range(3):
            invite, answer = self.call_up(self.carol, self.alice.phone)
            self.carol.within("BYE", invite, answer, True)
            self.alice.phone.reply(self.alice.phone.got("BYE"), 200)
        self.world.advance(60)
        self.bob.bodies()
        calls = self.world.core.presence.calls
        self.assertEqual((calls.of("alice@example.test"), calls._live, calls._parties, len(calls._ended)), ([], {}, {}, 0))


class WinfoTests(PackagesCase):
    """Package ``presence.winfo`` and who waits for a word."""

    settings = replace(PresenceSettings(), policy="contacts")

    def watchers(self) -> list[tuple[str | None, str | None, str | None]]:
        """Who watches by the newest document that alice has: who, status, event."""
        root = ElementTree.fromstring(self.alice.bodies()[-1])
        return [(one.text, one.get("status"), one.get("event")) for one in root.iter(f"{{{WATCHERINFO}}}watcher")]

    def test_approval(self) -> None:
        """Alice hears who waits, approves, and the watcher is told her state at once; she denies, and it is over."""
        self.assertEqual(self.alice.subscribe("alice", event="presence.winfo").status, 200)
        self.assertEqual(self.watchers(), [])
        self.bob.subscribe("alice", event="presence")
        pending = self.bob.notified()
        self.assertEqual((pending.get("subscription-state"), pending.body), ("pending;expires=300", b""))
        self.assertEqual(self.watchers(), [("sip:bob@example.test", "pending", "subscribe")])
        presence = self.world.core.presence
        presence.decide("alice@example.test", "bob@example.test", "presence", True)
        active = self.bob.notified()
        self.assertIn("active", active.get("subscription-state") or "")
        self.assertEqual(basics(active.body), ["closed"])
        self.assertEqual(self.watchers(), [("sip:bob@example.test", "active", "approved")])
        presence.decide("alice@example.test", "bob@example.test", "presence", False)
        self.assertEqual(self.bob.notified().get("subscription-state"), "terminated;reason=rejected")
        self.assertEqual(self.watchers(), [])

    def test_only_ones_own(self) -> None:
        """Who watches alice is nobody else's business, also where everybody may watch her."""
        self.assertEqual(self.bob.subscribe("alice", event="presence.winfo").status, 403)

    def test_dead_watcher(self) -> None:
        """A watcher that doesn't answer goes in the end, is told of, and held nobody up."""
        presence = self.world.core.presence
        for name in ("bob", "carol"):
            presence.decide("alice@example.test", f"{name}@example.test", "presence", True)
        carol = User(self.world, "carol")
        for user in (self.bob, carol):
            user.subscribe("alice", event="presence")
            user.bodies()
        self.alice.subscribe("alice", event="presence.winfo")
        self.assertEqual(len(self.watchers()), 2)
        self.alice.phone.register()
        self.assertEqual([basics(body) for body in carol.bodies()], [["open"]])
        self.world.advance(40)
        self.assertEqual(self.watchers(), [("sip:carol@example.test", "active", "subscribe")])


class RegTests(PackagesCase):
    """Package ``reg``."""

    def test_own_registration(self) -> None:
        """A user follows its own contacts, and nobody else's."""
        self.assertEqual(self.bob.subscribe("alice", event="reg").status, 403)
        self.alice.subscribe("alice", event="reg")
        bodies = self.alice.bodies()
        for expires in (300, 0):
            self.alice.phone.register(expires)
            bodies += self.alice.bodies()
        roots = [ElementTree.fromstring(body) for body in bodies]
        self.assertEqual([root[0].get("state") for root in roots], ["init", "active", "terminated"])
        self.assertEqual([[contact.get("event") for contact in root[0]] for root in roots], [[], ["registered"], ["unregistered"]])


class MailboxTests(PackagesCase):
    """Package ``message-summary``."""

    def test_no_mailbox(self) -> None:
        """Nobody keeps one for alice."""
        answer = self.alice.subscribe("alice", event="message-summary")
        self.assertEqual((answer.status, answer.reason), (404, "No voicemail service"))

    def test_messages(self) -> None:
        """What is said of a mailbox lights its user's lamp; without it the subscription ends."""
        mailboxes = self.world.core.presence.mailboxes
        mailboxes.set("alice@example.test", 0, 3)
        self.assertEqual(self.alice.subscribe("alice", event="message-summary").status, 200)
        first = self.alice.notified()
        self.assertEqual(first.get("content-type"), "application/simple-message-summary")
        self.assertIn(b"Messages-Waiting: no\r\n", first.body)
        mailboxes.set("alice@example.test", 1, 3)
        self.assertIn(b"Voice-Message: 1/3 (0/0)\r\n", self.alice.bodies()[-1])
        self.assertEqual(self.bob.subscribe("alice", event="message-summary").status, 403)
        mailboxes.remove("alice@example.test")
        dark = self.alice.notified()
        self.assertIn(b"Messages-Waiting: no\r\n", dark.body)
        self.assertEqual(self.alice.notified().get("subscription-state"), "terminated;reason=noresource")
        self.assertIsNone(mailboxes.remove("alice@example.test"))
        self.assertEqual(self.alice.subscribe("alice", event="message-summary").status, 404)


class PolicyTests(SynchronousTestCase):
    """``[presence] policy`` and the hook in the routing script."""

    def statuses(self, policy: str, script: Any = None) -> list[int]:
        """How alice's own phone, somebody of her domain and a stranger are answered who want to watch her."""
        made = world(replace(PresenceSettings(), policy=policy), named_packages(ALL), script=script)
        users = [User(made, "alice"), User(made, "bob"), User(made, "eve", domain="else.test")]
        return [user.subscribe("alice", event="presence").status for user in users]

    def test_settings(self) -> None:
        """Everybody, users of the same domain (which is the default), or whom she approved."""
        self.assertEqual(self.statuses("all"), [200, 200, 200])
        self.assertEqual(self.statuses("domain"), [200, 200, 403])
        self.assertEqual(self.statuses("contacts"), [200, 200, 200])
        self.assertEqual(PresenceSettings().policy, "domain")

    def test_hook(self) -> None:
        """A site's script has its own word, where nobody decided, and leaves the rest to the settings."""

        class Script(RoutingScript):
            def presence_policy(self, watcher: str, resource: str, event: str) -> str | None:
                return {"eve@else.test": "active", "bob@example.test": "rejected"}.get(watcher)

        self.assertEqual(self.statuses("domain", Script), [200, 403, 200])
        made = world(packages=named_packages(ALL), script=Script)
        made.core.presence.decide("alice@example.test", "bob@example.test", "presence", True)
        self.assertEqual(User(made, "bob").subscribe("alice", event="presence").status, 200)

    def test_who_waits_in_the_table(self) -> None:
        """Rows that say that somebody waits, which Kamailio writes, decide nothing."""
        made = world(packages=named_packages(ALL))
        for status, answer in ((SubscriptionStatus.WAITING, 200), (SubscriptionStatus.PENDING, 200), (SubscriptionStatus.TERMINATED, 403)):
            made.core.presence.decisions.save(Watcher("alice@example.test", "bob@example.test", "presence", status))
            self.assertEqual(User(made, "bob").subscribe("alice", event="presence").status, answer)

    def test_wrong_word(self) -> None:
        """A script that gives another word lets nobody watch."""

        class Script(RoutingScript):
            def presence_policy(self, watcher: str, resource: str, event: str) -> str | None:
                return "yes"

        self.assertEqual(self.statuses("domain", Script), [200, 500, 500])
        self.assertIn("presence_policy gave 'yes'", str(self.flushLoggedErrors(ValueError)[0].value))
