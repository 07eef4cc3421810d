"""RFC 5627: a GRUU leads to one device of a user, from outside of dialogs and inside."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from sipnode.settings import LocationSettings, Settings, TrunkSettings
from sipnode.sip.address import NameAddr
from sipnode.sip.message import SipResponse
from sipnode.testing import DOMAIN, Phone, World

KNOWS = (("supported", "path, gruu"),)


def instance(number: int) -> str:
    """The parameter of a Contact."""
    return f';+sip.instance="<urn:uuid:0f2d0a33-7c5b-4f32-9d0e-{number:012}>"'


class GruuTests(SynchronousTestCase):
    """Alice has two tabs and a desk phone; bob has a phone, carol a page."""

    def setUp(self) -> None:
        self.world = World()
        self.tabs = [self.end("alice", "WS", number) for number in (1, 2)]
        self.desk, self.bob = self.end("alice", "UDP", 3), self.end("bob", "UDP", 4)

    def end(self, user: str, transport: str, number: int) -> Phone:
        """An end that isn't registered."""
        phone = self.world.phone(user, transport)
        phone.params = instance(number)
        return phone

    def register(self, phone: Phone) -> tuple[str, str]:
        """Register; its own public and temporary GRUU."""
        return self.given(phone, phone.register(headers=KNOWS))

    def given(self, phone: Phone, response: SipResponse) -> tuple[str, str]:
        """Those of a 200."""
        self.assertEqual(response.status, 200)
        (mine,) = [one for one in map(NameAddr.parse, response.values("contact")) if one.params["+sip.instance"] in phone.params]
        return mine.params["pub-gruu"], mine.params["temp-gruu"]

    def all_registered(self) -> list[tuple[str, str]]:
        """GRUUs of the three devices of alice."""
        found = [self.register(phone) for phone in (*self.tabs, self.desk)]
        self.bob.register()
        return found

    def alone(self, phone: Phone, method: str) -> None:
        """Only that device of alice's has got the request, with its own contact in the Request-URI."""
        for each in (*self.tabs, self.desk):
            got = [(request.method, request.uri) for request in each.take() if not isinstance(request, SipResponse)]
            self.assertEqual(got, [(method, phone.contact)] if each is phone else [])

    def test_one_device(self) -> None:
        """Whatever is sent to a GRUU, public or temporary, reaches that device and no other; the address itself rings them all."""
        found = self.all_registered()
        for phone, gruus in zip((*self.tabs, self.desk), found, strict=True):
            for uri in gruus:
                for method in ("INVITE", "REFER", "MESSAGE", "OPTIONS", "SUBSCRIBE", "INFO"):
                    self.bob.send(method, uri, (("event", "refer"),) if method == "SUBSCRIBE" else ())
                    self.alone(phone, method)
        self.bob.send("INVITE", "sip:alice@example.test")
        self.assertEqual([phone.methods() for phone in (*self.tabs, self.desk)], [["INVITE"]] * 3)

    def test_not_there(self) -> None:
        """A public GRUU whose device isn't registered is 480, a temporary one 404, even while others of the user are registered."""
        (public, temporary), *_ = self.all_registered()
        self.world.close(self.tabs[0])
        self.bob.take()
        for uri, status in ((public, 480), (temporary, 404)):
            self.bob.send("INVITE", uri)
            self.assertEqual(self.bob.statuses()[-1], status)
        self.assertEqual(self.world.core.counters["forged_gruus"], 0)

    def test_registered_anew(self) -> None:
        """A page that comes back with another Call-ID has its public GRUU still; temporary ones of before lead nowhere."""
        (public, temporary), *_ = self.all_registered()
        tab = self.tabs[0]
        self.world.connect(tab, 45678)
        tab.contact = "sip:other@tab.invalid;transport=ws"
        again, fresh = self.register(tab)
        self.bob.take()
        self.assertEqual(again, public)
        for uri, status in ((public, 0), (fresh, 0), (temporary, 404)):
            self.bob.send("MESSAGE", uri)
            if status:
                self.assertEqual(self.bob.statuses(), [status])
            else:
                self.alone(tab, "MESSAGE")

    def test_refreshed(self) -> None:
        """Within one Call-ID each refresh gives another temporary GRUU, and those before it are good still."""
        call_id = "same"
        uris = []
        for _ in range(2):
            self.desk.send(
                "REGISTER", f"sip:{DOMAIN}", (("expires", "300"), *KNOWS), to=f"<{self.desk.aor}>", call_id=call_id
            )
            uris.append(self.given(self.desk, self.desk.response("REGISTER"))[1])
        self.bob.register()
        self.assertEqual(len(set(uris)), 2)
        for uri in uris:
            self.bob.send("MESSAGE", uri)
            self.alone(self.desk, "MESSAGE")

    def test_forged(self) -> None:
        """One that we haven't made is 404 and counted, and rings nobody."""
        (public, temporary), *_ = self.all_registered()
        self.bob.take()
        other = temporary.replace("tgruu.", "tgruu.AAAA")
        forged = (f"sip:alice@{DOMAIN};gr", public[:-1] + "0", other, f"sip:alice@{DOMAIN};gr=urn:uuid:x")
        for uri in forged:
            self.bob.send("INVITE", uri)
            self.assertEqual(self.bob.statuses()[-1], 404)
        self.assertEqual([phone.inbox for phone in (*self.tabs, self.desk)], [[]] * 3)
        self.assertEqual(self.world.core.counters["forged_gruus"], len(forged))

    def test_within_a_dialog(self) -> None:
        """A page that gives its GRUU as Contact, as JsSIP does, is called back by it inside the dialog and outside: it sees its own
        contact, and the other end no address of it.
        """
        found = self.all_registered()
        tab = self.tabs[1]
        own, aor = tab.contact, tab.aor
        for uri in found[1]:
            tab.contact = uri
            invite = tab.send("INVITE", self.bob.aor)
            received = self.bob.got("INVITE")
            self.assertEqual(received.get("contact"), f"<{uri}>")
            answered = self.bob.reply(received, 200)
            tab.ack(invite, tab.response("INVITE"))
            self.bob.got("ACK")
            tab.contact = own
            self.bob.within("INFO", received, answered, False)
            self.assertEqual(tab.got("INFO").uri, own)
            self.bob.send("REFER", uri, (("refer-to", f"<{aor}>"),))
            self.alone(tab, "REFER")
            self.bob.take()

    def test_registered_anew_in_a_call(self) -> None:
        """A temporary GRUU that is over outside of the call leads to its device inside, when that has come back."""
        found = self.all_registered()
        tab = self.tabs[1]
        own, tab.contact = tab.contact, found[1][1]
        tab.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        answered = self.bob.reply(received, 200)
        self.world.close(tab)
        self.world.connect(tab, 45678)
        tab.contact = own.replace("sip:", "sip:new")
        self.register(tab)
        tab.take()
        self.bob.within("INFO", received, answered, False)
        self.assertEqual(tab.got("INFO").uri, tab.contact)

    def test_after_a_restart(self) -> None:
        """A GRUU outlives the server: the next one has its secret, and keeps no GRUUs."""
        (public, _), *_ = self.all_registered()
        self.world = self.world.restart()
        for phone in (self.tabs[0], self.tabs[1], self.bob):
            self.world.connect(phone, 45000)
            phone.register()
            phone.take()
        self.bob.send("MESSAGE", public)
        self.assertEqual([phone.methods() for phone in self.tabs], [["MESSAGE"], []])

    def test_number(self) -> None:
        """A device of somebody whose name is a number is none: while it isn't there, a trunk that serves the number is sent nothing."""
        main = TrunkSettings(domain="provider.test", address="203.0.113.9", prefixes=("+",), ping_seconds=0.0)
        self.world = World(Settings(trunk={"main": main}))
        self.addCleanup(self.world.trunks.stopService)
        self.world.core.authenticator.trusts = lambda flow: True  # type: ignore[method-assign]  # everybody may use it
        provider, bob, desk = self.world.phone("x", host="203.0.113.9"), self.end("bob", "UDP", 4), self.end("+4930", "UDP", 3)
        gruus = self.given(desk, desk.register(headers=KNOWS))
        desk.register(expires=0)
        for uri, status in zip(gruus, (480, 404), strict=True):
            bob.send("INVITE", uri)
            self.assertEqual(bob.statuses()[-1], status)
        self.assertEqual(provider.inbox, [])
        bob.send("INVITE", f"sip:+4930@{DOMAIN}")
        self.assertEqual(provider.methods(), ["INVITE"])

    def test_off(self) -> None:
        """With the setting off nobody gets one, and the parameter means nothing."""
        self.world = World(Settings(location=replace(LocationSettings(), gruu=False)))
        desk, bob = self.end("alice", "UDP", 3), self.end("bob", "UDP", 4)
        self.assertNotIn("gruu", desk.register(headers=KNOWS).get("contact") or "")
        bob.send("MESSAGE", f"sip:alice@{DOMAIN};gr=x")
        self.assertEqual(desk.got("MESSAGE").uri, desk.contact)
