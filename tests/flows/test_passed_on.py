"""A Contact that was passed on in one dialog is used outside of it: attended transfer, and what else goes to a device."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.testing import Phone, World

METHODS = ("INVITE", "MESSAGE", "OPTIONS", "REFER", "SUBSCRIBE")


class PassedOnTests(SynchronousTestCase):
    """``…;alias=ip~port~proto`` leads to the device that is registered there."""

    def setUp(self) -> None:
        self.world = World()
        self.alice, self.dave = self.phone("alice"), self.phone("dave")
        self.devices = (
            self.phone("tab", "WS"),
            self.phone("safe", "WSS"),
            self.phone("home", contact="sip:home@10.1.2.9:5060"),
            self.phone("stream", "TCP", contact="sip:stream@10.1.2.9:5060;transport=tcp"),
        )

    def phone(self, user: str, transport: str = "UDP", contact: str = "") -> Phone:
        """A registered end."""
        phone = self.world.phone(user, transport, contact=contact)
        phone.register()
        phone.take()
        return phone

    def contact_of(self, phone: Phone, caller: bool) -> str:
        """Its Contact as the other end of a call saw it."""
        call = self.world.call(phone, self.dave) if caller else self.world.call(self.dave, phone)
        value = (call.received if caller else call.answer).values("contact")[0]
        self.dave.take()
        return value.strip("<>")

    def test_reached(self) -> None:
        """Whatever a user of ours sends to it arrives at the device, as the device wrote its Contact."""
        for phone in self.devices:
            for caller in (True, False):
                uri = self.contact_of(phone, caller)
                self.assertIn(";alias=", uri)
                for method in METHODS:
                    phone.take()
                    self.alice.send(method, uri, (("event", "refer"),) if method == "SUBSCRIBE" else ())
                    self.assertEqual(phone.got(method).uri, phone.contact, (phone.user, method))

    def test_transfer(self) -> None:
        """An INVITE with Replaces is a call like any other: answered, acknowledged, ended."""
        tab = self.devices[0]
        uri = self.contact_of(tab, False)
        invite = self.alice.send("INVITE", uri, (("replaces", "x;to-tag=a;from-tag=b"),))
        received = tab.got("INVITE")
        self.assertIn("replaces", received)
        tab.reply(received, 200)
        answer = self.alice.response("INVITE")
        self.alice.ack(invite, answer)
        tab.got("ACK")
        self.alice.within("BYE", invite, answer, True)
        tab.got("BYE")

    def test_sealed_inside_a_call(self) -> None:
        """So does a Contact that came in a re-INVITE, which has a seal of ours too."""
        tab = self.devices[0]
        call = self.world.call(self.dave, tab)
        call.from_callee("INVITE")
        uri = self.dave.got("INVITE").values("contact")[0].strip("<>")
        self.assertIn(";s-", uri)
        self.alice.send("MESSAGE", uri)
        self.assertEqual(tab.got("MESSAGE").uri, tab.contact)

    def test_varied(self) -> None:
        """A phone that adds to its Contact, or registered another port of it, is found by its user and source."""
        home = self.devices[2]
        uri = self.contact_of(home, False)
        for varied in (uri.replace(";alias", ";ob;alias"), uri.replace(":5060", ":5062")):
            self.alice.send("MESSAGE", varied)
            self.assertEqual(home.got("MESSAGE").uri, varied.partition(";alias")[0])

    def test_forged(self) -> None:
        """An alias that somebody made up, or one with another's user, opens no way to its address."""
        tab, home = self.devices[0], self.devices[2]
        host, port = home.flow.remote
        for uri in (
            f"sip:home@gone.invalid;alias={host}~{port + 1}~1",
            f"sip:home@gone.invalid;alias={host}~{port}~2",
            "sip:home@gone.invalid;alias=203.0.113.9~25~1",
            f"sip:victim@gone.invalid;alias={host}~{port}~1",
            tab.contact + f";alias={host}~{port}~1",
            "sip:home@gone.invalid;alias=nonsense",
        ):
            flows = len(self.world.flows.flows)
            self.alice.send("MESSAGE", uri)
            self.assertEqual((self.alice.statuses(), home.take(), tab.take()), ([480], [], []), uri)
            self.assertEqual(len(self.world.flows.flows), flows)

    def test_strangers(self) -> None:
        """Nobody but users of ours and trusted addresses comes in this way."""
        tab = self.devices[0]
        uri = self.contact_of(tab, False)
        stranger = self.world.phone("eve", domain="elsewhere.test")
        for method in ("INVITE", "MESSAGE"):
            stranger.send(method, uri)
            self.assertEqual(stranger.statuses()[-1], 403)
        self.assertEqual(tab.methods().count("MESSAGE"), 0)

    def test_no_way_to_register(self) -> None:
        """A REGISTER isn't sent to a device."""
        self.alice.send("REGISTER", self.contact_of(self.devices[0], False), to=f"<{self.alice.aor}>")
        self.assertEqual(self.alice.statuses(), [403])

    def test_gone(self) -> None:
        """When the device has gone the Contact leads nowhere."""
        for phone in self.devices:
            uri = self.contact_of(phone, False)
            phone.register(expires=0)
            phone.take()
            self.alice.send("MESSAGE", uri.replace("10.1.2.9", "gone.invalid"))
            self.assertEqual((self.alice.statuses(), phone.methods()), ([480], []))
