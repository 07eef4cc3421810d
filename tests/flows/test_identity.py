from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.settings import ProxySettings, Settings
from sipnode.sip.message import SipRequest
from sipnode.testing import DOMAIN, Phone, World

CLAIM = ("p-asserted-identity", f"<sip:ceo@{DOMAIN}>")
AUTO = ("alert-info", "<http://x.test>;info=alert-autoanswer")
OURS = ("proxy-authorization", f'Digest username="alice", realm="{DOMAIN}", nonce="n", uri="sip:x", response="{"0" * 32}"')
THEIRS = ("proxy-authorization", f'Digest username="alice", realm="else.test", nonce="n", uri="sip:x", response="{"0" * 32}"')
NAMES = ("p-asserted-identity", "alert-info", "proxy-authorization")


class IdentityCase(SynchronousTestCase):
    """Bob is registered; eve is a stranger."""

    def made(self, **proxy: Any) -> None:
        self.world = World(replace(Settings(), proxy=ProxySettings(**proxy)))
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob", "WS")
        self.eve = self.world.phone("eve", domain="else.test")
        for phone in (self.alice, self.bob):
            phone.register()
            phone.take()

    def setUp(self) -> None:
        self.made()

    def trust(self, phone: Phone) -> None:
        self.world.core.authenticator.trusts = lambda flow: flow is phone.flow

    def refused(self, phone: Phone, method: str, rule: str, status: int = 403, **options: Any) -> None:
        before = self.world.core.counters[f"refused_{rule}"]
        phone.send(method, self.bob.aor, **options)
        self.assertEqual((phone.statuses(), self.bob.methods()), ([status], []))
        self.assertEqual(self.world.core.counters[f"refused_{rule}"], before + 1)

    def rings(self, phone: Phone, *headers: tuple[str, str]) -> SipRequest:
        phone.send("INVITE", self.bob.aor, headers)
        invite = self.bob.got("INVITE")
        self.bob.reply(invite, 486)
        self.assertEqual(phone.statuses()[-1], 486)
        return invite


class StrangerTests(IdentityCase):
    """What may somebody send whom nobody knows?"""

    def test_calls(self) -> None:
        """A stranger calls, writes and asks."""
        for method in ("INVITE", "MESSAGE", "OPTIONS"):
            self.eve.send(method, self.bob.aor)
            self.bob.got(method)

    def test_steering(self) -> None:
        """What steers a phone isn't a stranger's to send, nor what nobody knows; users and trusted addresses may."""
        methods = ("NOTIFY", "REFER", "INFO", "UPDATE", "SUBSCRIBE", "PUBLISH", "BYE", "PRACK", "FOO")
        for method in methods:
            self.refused(self.eve, method, "strangers")
        for method in ("NOTIFY", "REFER", "INFO", "FOO"):
            self.alice.send(method, self.bob.aor)
            self.bob.got(method)
        self.trust(self.eve)
        self.eve.send("NOTIFY", self.bob.aor)
        self.bob.got("NOTIFY")

    def test_forged_tag(self) -> None:
        """A To tag that was made up opens nothing."""
        for method in ("NOTIFY", "INFO", "INVITE", "FOO"):
            self.eve.send(method, self.bob.aor, to=f"<{self.bob.aor}>;tag=forged")
            self.assertEqual((self.eve.statuses(), self.bob.methods()), ([404], []))

    def test_within_its_call(self) -> None:
        """In a call of its own a stranger may send all that belongs to it."""
        call = self.world.call(self.eve, self.bob)
        for method in ("INFO", "UPDATE", "REFER", "NOTIFY", "BYE"):
            call.from_caller(method)
            self.bob.reply(self.bob.got(method), 200)

    def test_mailbox(self) -> None:
        """A voicemail server elsewhere may light the lamp of a user's mailbox, and no other event goes that way."""
        mailbox, others = ("message-summary", "Message-Summary;x=1"), ("check-sync", "message-summaryx", "")
        for event, reaches in [(each, True) for each in mailbox] + [(each, False) for each in others]:
            self.eve.send("NOTIFY", self.bob.aor, [("event", event)] if event else [])
            self.assertEqual((event, self.bob.methods()), (event, ["NOTIFY"] if reaches else []))

    def test_setting(self) -> None:
        """A site lets strangers send more, or less."""
        self.made(strangers=("OPTIONS", "NOTIFY"))
        self.eve.send("NOTIFY", self.bob.aor)
        self.bob.got("NOTIFY")
        self.refused(self.eve, "INVITE", "strangers")
        self.made(strangers=("any",))
        self.eve.send("FOO", self.bob.aor)
        self.bob.got("FOO")

    def test_nobody(self) -> None:
        """Calls without a name are let through, or get 433 where the setting says so; a name is no matter of it."""
        self.eve.aor = "sip:anonymous@anonymous.invalid"
        self.rings(self.eve)
        self.made(anonymous=False)
        for uri in ("sip:anonymous@anonymous.invalid", "sip:Anonymous@else.test", "sip:x@y.invalid"):
            self.eve.aor = uri
            self.refused(self.eve, "INVITE", "anonymous", 433)
        self.eve.aor = "sip:eve@else.test"
        self.rings(self.eve)

    def test_outcome(self) -> None:
        """The line about the call says by which rule, or else in which stage, the server refused it."""
        ended: list[Any] = []
        self.made(strangers=())
        self.world.core.dialogs.on_change(lambda kind, call: ended.append((call.ended_by, call.rule, call.status)), "terminated")
        self.eve.send("INVITE", self.bob.aor)
        self.alice.send("INVITE", f"sip:nobody@{DOMAIN}")
        self.rings(self.alice)
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.alice.cancel(invite)
        self.bob.reply(received, 487)
        server, stage = ("server", "rule strangers", 403), ("server", "stage location", 404)
        self.assertEqual(ended, [server, stage, ("callee", "", 486), ("caller", "", 487)])


class ClaimTests(IdentityCase):
    """Who says who somebody is?"""

    def test_initial(self) -> None:
        """A claim, a demand to answer and credentials for us reach nobody; those for others do."""
        for phone in (self.eve, self.alice):
            invite = self.rings(phone, CLAIM, AUTO, OURS, THEIRS, CLAIM)
            self.assertEqual([invite.get_all(name) for name in NAMES], [[], [], [THEIRS[1]]])
        self.assertEqual(self.world.core.counters["removed_claims"], 6)

    def test_own(self) -> None:
        """A user's own identity goes on as ours."""
        invite = self.rings(self.alice, ("p-preferred-identity", f'"The CEO" <sip:alice@{DOMAIN}>'))
        self.assertEqual(invite.get("p-asserted-identity"), f"<sip:alice@{DOMAIN}>")
        self.assertNotIn("p-preferred-identity", invite)

    def test_within(self) -> None:
        """Inside a dialog the same holds for both ends, for ACK and BYE too."""
        call = self.world.call(self.alice, self.bob, headers=(OURS,))
        self.assertNotIn("proxy-authorization", call.received)
        for method in ("INVITE", "UPDATE", "INFO", "ACK", "BYE"):
            call.from_caller(method, headers=(CLAIM, AUTO, OURS, ("authorization", OURS[1]), THEIRS))
            got = self.bob.got(method)
            self.assertEqual([got.get_all(name) for name in (*NAMES, "authorization")], [[], [], [THEIRS[1]], []], method)
            if method != "ACK":
                self.bob.reply(got, 200)
        self.alice.take()
        call = self.world.call(self.alice, self.bob)
        call.from_callee("UPDATE", headers=(CLAIM, OURS))
        got = self.alice.got("UPDATE")
        self.assertEqual([got.get_all(name) for name in NAMES], [[], [], []])

    def test_trunk(self) -> None:
        """What a trusted address asserts and asks for goes on."""
        self.trust(self.eve)
        invite = self.rings(self.eve, CLAIM, AUTO)
        self.assertEqual([invite.get(name) for name in NAMES[:2]], [CLAIM[1], AUTO[1]])

    def test_intercom(self) -> None:
        """Where the setting says so a user of ours makes another's phone answer; a stranger never does."""
        self.made(auto_answer="users")
        self.assertIn("alert-info", self.rings(self.alice, AUTO))
        self.assertNotIn("alert-info", self.rings(self.eve, AUTO))

    def test_answer(self) -> None:
        """What a callee asserts in its answer goes back from trusted ones alone."""
        for trusted in (False, True):
            self.alice.send("INVITE", self.bob.aor)
            if trusted:
                self.trust(self.bob)
            self.bob.reply(self.bob.got("INVITE"), 200, headers=(CLAIM,))
            self.assertEqual(CLAIM[0] in self.alice.response("INVITE"), trusted)
