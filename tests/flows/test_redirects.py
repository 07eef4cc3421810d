"""A callee redirects, and the call goes on there: RFC 3261 §16.7 (4); for whom, how far, and never in a circle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from sipnode.proxy.destinations import Destinations
from sipnode.records import Hop
from sipnode.registrar.loading import Loading
from sipnode.routing import Branch, RoutingScript, SipResponse
from sipnode.settings import ProxySettings, Settings, TrunkSettings
from sipnode.sip.address import NameAddr
from sipnode.sip.message import SipRequest
from sipnode.testing import DOMAIN, Phone, World

USERS = dict.fromkeys(("alice", "bob", "carol", "dave"), "secret")
ABROAD = "203.0.113.77"


class RedirectCase(SynchronousTestCase):
    """Alice calls bob, who redirects."""

    redirects = 5

    def setUp(self) -> None:
        self.begin()

    def begin(self, script: type[RoutingScript] | None = None, **sections: Any) -> None:
        """A server with passwords, and everybody registered."""
        settings = Settings(proxy=replace(ProxySettings(), redirects=self.redirects), **sections)
        self.world = World(settings, script=script, users=USERS, destinations=Destinations(("private",)))
        self.alice, self.bob, self.carol, self.dave = (self.world.phone(user) for user in USERS)
        for phone in (self.alice, self.bob, self.carol, self.dave):
            phone.register()
            phone.take()
        self.eve = self.world.phone("eve", host="198.51.100.66", domain="elsewhere.test")
        self.abroad = self.world.phone("x", host=ABROAD, domain="abroad.test")
        self.world.resolver.names["abroad.test"] = [Hop("UDP", ABROAD, 5060)]

    def call(self, caller: Phone | None = None, uri: str = "") -> SipRequest:
        """An INVITE to bob."""
        caller = caller or self.alice
        invite = caller.send("INVITE", uri or self.bob.aor)
        return invite

    def redirect(self, phone: Phone, *contacts: str, status: int = 302) -> None:
        """A phone that is called says where else."""
        phone.contact, own = ">, <".join(contacts), phone.contact
        phone.reply(phone.got("INVITE"), status)
        phone.contact = own

    def ringing(self, *phones: Phone) -> None:
        """These have an INVITE, and nobody else of ours has."""
        for phone in (self.alice, self.bob, self.carol, self.dave, self.abroad):
            got = [message for message in phone.inbox if isinstance(message, SipRequest) and message.method == "INVITE"]
            self.assertEqual(len(got), int(phone in phones), phone.user)

    def last(self, caller: Phone | None = None) -> int:
        """The final status that a caller has."""
        return (caller or self.alice).response("INVITE").status


class Late(Loading):
    """A table that is being read: whoever asks for carol has to wait."""

    def __init__(self) -> None:
        self.asked: Deferred[None] = Deferred()

    def ask(self, aor: str) -> Deferred[None] | None:
        return self.asked if aor.startswith("carol") else None

    def stop(self) -> None:
        """Nothing is read."""


class FollowedTests(RedirectCase):
    """Where it goes."""

    def test_user(self) -> None:
        """A user of ours is looked up and called, and the caller never hears of the redirection; also by a stranger's call."""
        for caller in (self.alice, self.eve):
            self.call(caller)
            self.redirect(self.bob, self.carol.aor)
            self.ringing(self.carol)
            received = self.carol.got("INVITE")
            self.assertEqual(received.uri, self.carol.contact)
            self.carol.reply(received, 200)
            self.assertEqual(caller.statuses(), [100, 200])

    def test_device(self) -> None:
        """A GRUU is followed to its device; one that we haven't made leads to nobody."""
        desk = self.world.phone("carol")
        desk.params = ';+sip.instance="<urn:uuid:0f2d0a33-7c5b-4f32-9d0e-000000000001>"'
        given = desk.register(headers=(("supported", "gruu"),)).values("contact")
        (gruu,) = [NameAddr.parse(value).params["pub-gruu"] for value in given if "pub-gruu" in value]
        desk.take()
        for uri in (gruu, gruu + "x"):
            self.call()
            self.redirect(self.bob, uri)
            self.ringing()
            self.assertEqual(desk.methods(), ["INVITE"] if uri is gruu else [])
        self.assertEqual(self.alice.statuses()[-1], 404)

    def test_servers_address(self) -> None:
        """Phones that name the server's address mean a user of ours, too."""
        self.call()
        self.redirect(self.bob, "sip:carol@192.0.2.1:5060")
        self.ringing(self.carol)

    def test_best_first(self) -> None:
        """Of several the best q is called first, the others when it has failed; the caller gets the best code of what was tried."""
        self.call()
        self.redirect(self.bob, f"{self.carol.aor}>;q=0.2, <{self.dave.aor}>;q=0.9, <sip:nobody@{DOMAIN}", status=300)
        self.ringing(self.dave)
        self.dave.reply(self.dave.got("INVITE"), 486)
        self.dave.take()
        self.ringing(self.carol)
        self.carol.reply(self.carol.got("INVITE"), 480)
        self.assertEqual(self.last(), 486)

    def test_beside_others(self) -> None:
        """A phone that redirects takes nothing from the other phones of its user: they ring on, and one answer ends it."""
        desk = self.world.phone("bob")
        desk.register()
        desk.take()
        self.call()
        ringing = desk.got("INVITE")
        desk.reply(ringing, 180)
        self.redirect(self.bob, self.carol.aor)
        self.ringing(self.carol)
        self.carol.reply(self.carol.got("INVITE"), 200)
        self.assertEqual(desk.methods(), ["CANCEL"])
        self.assertEqual(self.alice.statuses(), [100, 180, 200])

    def test_abroad(self) -> None:
        """Who may call foreign domains is connected there; the message says so by the redirecting phone's word, in the Request-URI."""
        self.call()
        self.redirect(self.bob, "sip:x@abroad.test")
        received = self.abroad.got("INVITE")
        self.assertEqual(received.uri, "sip:x@abroad.test")
        self.abroad.reply(received, 200)
        self.assertEqual(self.alice.statuses(), [100, 200])

    def test_other_methods(self) -> None:
        """A MESSAGE is redirected, too."""
        self.alice.send("MESSAGE", self.bob.aor, body=b"hi", content_type="text/plain")
        self.bob.contact = self.carol.aor
        self.bob.reply(self.bob.got("MESSAGE"), 302)
        self.carol.reply(self.carol.got("MESSAGE"), 200)
        self.assertEqual(self.alice.response("MESSAGE").status, 200)

    def test_database_is_asked(self) -> None:
        """Where the database has to be asked the call waits for it, others ring meanwhile; nobody there counts as what it says."""
        for there in (True, False):
            self.begin()
            if not there:
                self.carol.register(expires=0)
            registrar, late = self.world.core.registrar, Late()
            registrar.ready, registrar._loading = False, late
            self.call()
            self.redirect(self.bob, self.carol.aor)
            self.ringing()
            late.asked.callback(None)
            if there:
                self.carol.reply(self.carol.got("INVITE"), 200)
            self.assertEqual(self.last(), 200 if there else 404)


class RefusedTests(RedirectCase):
    """Where it doesn't go."""

    def test_stranger(self) -> None:
        """A stranger is connected to nobody abroad: no packet leaves, and the redirection is the stranger's own to follow."""
        for contact in ("sip:x@abroad.test", f"sip:x@{ABROAD}", f"sip:x@{ABROAD};transport=tcp"):
            self.call(self.eve)
            self.redirect(self.bob, contact)
            self.ringing()
            self.assertEqual(self.last(self.eve), 302)
        self.assertEqual(self.world.core.counters["redirections_refused"], 3)

    def test_nobody(self) -> None:
        """A user of ours that isn't there counts as that, and the caller doesn't get a redirection to nobody."""
        self.call()
        self.redirect(self.bob, f"sip:nobody@{DOMAIN}")
        self.assertEqual(self.last(), 404)

    def test_circle(self) -> None:
        """Two that redirect to each other, or one to itself: each is called once, then it is 482."""
        self.call()
        self.redirect(self.bob, self.carol.aor)
        self.redirect(self.carol, f"sip:bob@192.0.2.1>, <{self.bob.aor}")
        self.ringing()
        self.assertEqual(self.last(), 482)
        self.call()
        self.redirect(self.bob, f"{self.bob.aor};transport=udp")
        self.assertEqual(self.last(), 482)

    def test_no_target(self) -> None:
        """What can't be called isn't: other schemes, headers in a URI, nobody's name, rubbish; the caller is told all of it."""
        for contact in ("mailto:x@abroad.test", f"{self.carol.aor}?Replaces=x", f"sip:{DOMAIN}", "tel:+49", "sip:"):
            self.call()
            self.redirect(self.bob, contact)
            self.ringing()
            self.assertEqual(self.last(), 302)

    def test_secure(self) -> None:
        """A call to sips isn't redirected to sip."""
        self.call(uri=f"sips:bob@{DOMAIN}")
        if self.bob.inbox:
            self.redirect(self.bob, self.carol.aor)
        self.ringing()

    def test_others(self) -> None:
        """305 and 380 are the caller's, and so is a redirection of our own making."""
        for status in (305, 380):
            self.call()
            self.redirect(self.bob, self.carol.aor, status=status)
            self.ringing()
            self.assertEqual(self.last(), status)

    def test_private_address(self) -> None:
        """A contact at an address that its phone may not name is sent nothing."""
        for contact in ("sip:x@127.0.0.1:6060", "sip:x@192.0.2.1:6060"):
            self.call()
            self.redirect(self.bob, contact)
            self.assertIn(self.last(), (403, 404, 480))

    def test_given_up(self) -> None:
        """A caller who has given up is connected to nobody."""
        invite = self.call()
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.alice.cancel(invite)
        self.bob.contact = self.carol.aor
        self.bob.reply(received, 302)
        self.ringing()


class BoundTests(RedirectCase):
    """No more than so many in all."""

    redirects = 2

    def test_chain(self) -> None:
        """The third one of a chain isn't followed; it is the caller's."""
        self.call()
        self.redirect(self.bob, self.carol.aor)
        self.redirect(self.carol, self.dave.aor)
        self.redirect(self.dave, self.alice.aor)
        self.ringing()
        self.assertEqual(self.last(), 302)

    def test_many(self) -> None:
        """Nor the third one of a response."""
        self.call()
        self.redirect(self.bob, *(f"sip:u{number}@abroad.test" for number in range(90)))
        self.assertEqual(len(self.abroad.methods()), 2)


class OffTests(RedirectCase):
    """The setting is off, as it comes."""

    redirects = 0

    def test_told(self) -> None:
        """The caller gets the redirection as it is."""
        self.call()
        self.redirect(self.bob, self.carol.aor)
        self.ringing()
        response = self.alice.response("INVITE")
        self.assertEqual((response.status, response.get("contact")), (302, f"<{self.carol.aor}>"))

    def test_script(self) -> None:
        """A site's script follows whose it likes by a verb."""

        class Follows(RoutingScript):
            def branch_failure(self, branch: Branch, response: SipResponse) -> None:
                super().branch_failure(branch, response)
                if branch.request.ruri.user == "bob":
                    self.recurse(branch, response, 1)

        self.begin(Follows)
        self.call()
        self.redirect(self.bob, self.carol.aor)
        self.ringing(self.carol)
        self.carol.reply(self.carol.got("INVITE"), 486)
        self.assertEqual(self.last(), 486)


class TrunkTests(RedirectCase):
    """What costs money."""

    def setUp(self) -> None:
        main = TrunkSettings(domain="provider.test", address="203.0.113.9", prefixes=("+",), domains=("served.test",), ping_seconds=0.0)
        self.begin(trunk={"main": main})
        self.provider = self.world.phone("provider", host="203.0.113.9", domain="provider.test")
        self.addCleanup(self.world.trunks.stopService)

    def test_forwarded_by_a_user(self) -> None:
        """A phone of ours forwards a user's call to a number: by the trunk, and there alone."""
        for contact in (f"sip:+49301234@{DOMAIN}", "tel:+49301234", "sip:+49301234@served.test"):
            self.call()
            self.redirect(self.bob, contact)
            self.assertIn("+49301234", self.provider.got("INVITE").uri)

    def test_by_others(self) -> None:
        """Neither a stranger's call nor a foreign domain's redirection comes to a trunk."""
        for contact in (f"sip:+49301234@{DOMAIN}", "tel:+49301234", "sip:+49301234@served.test"):
            self.call(self.eve)
            self.redirect(self.bob, contact)
            self.call(uri="sip:x@abroad.test")
            self.redirect(self.abroad, contact)
            self.call()
            self.redirect(self.bob, "sip:x@abroad.test")
            self.redirect(self.abroad, contact)
            self.assertEqual(self.provider.inbox, [])
