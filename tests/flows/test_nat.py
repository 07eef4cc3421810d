"""Ends that aren't where they say: aliases, phones behind NAT, browsers (the seed's NATDETECT, DLGURI, NATMANAGE)."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from sipnode.settings import NatSettings, Settings
from sipnode.testing import World


class AliasTests(SynchronousTestCase):
    """;alias=ip~port~proto"""

    def setUp(self) -> None:
        self.world = World()
        self.tab = self.world.phone("tab", "WSS", host="198.51.100.20", port=40000)
        self.bob = self.world.phone("bob")
        self.tab.register()
        self.bob.register()

    def test_request_of_a_browser(self) -> None:
        """The Contact of a browser's INVITE gets its true source, once, whatever it said before."""
        for given in ("", ";alias=203.0.113.1~1~5;alias=203.0.113.2~2~6"):
            self.tab.contact = "sip:x1@tab.invalid;transport=ws" + given
            self.tab.send("INVITE", self.bob.aor)
            contact = self.bob.got("INVITE").get("contact")
            self.assertEqual(contact, "<sip:x1@tab.invalid;transport=ws;alias=198.51.100.20~40000~6>")

    def test_reply_of_a_browser(self) -> None:
        """So does the Contact of its 180 and 200."""
        self.bob.send("INVITE", self.tab.aor)
        received = self.tab.got("INVITE")
        for status in (180, 200):
            self.tab.reply(received, status)
            self.assertEqual(self.bob.response("INVITE", 180).get("contact"), f"<{self.tab.contact};alias=198.51.100.20~40000~6>")

    def test_phone_in_the_open(self) -> None:
        """A phone that is where it says keeps its Contact, octet for octet."""
        call = self.world.call(self.bob, self.tab)
        self.assertEqual(call.received.get("contact"), f"<{self.bob.contact}>")

    def test_stripped(self) -> None:
        """A request inside the dialog reaches the browser without the alias that it was sent with."""
        call = self.world.call(self.bob, self.tab)
        request = call.from_caller("BYE")
        self.assertIn(";alias=", request.uri)
        self.assertEqual(self.tab.got("BYE").uri, self.tab.contact)

    def test_outsiders_alias(self) -> None:
        """An alias that the other end made up leads nowhere: the request goes to the end that was sealed, without it."""
        carol = self.world.phone("carol")
        carol.register()
        call = self.world.call(carol, self.bob)
        other = self.world.phone("other", host="198.51.100.77")
        tcp = self.world.phone("tcp", "TCP", host="198.51.100.78")
        for alias in ("198.51.100.77~5060~1", "198.51.100.78~5060~2", "203.0.113.9~5060~2"):
            answer = call.answer.copy()
            answer.set("contact", f"<{self.bob.contact};alias={alias}>")
            carol.within("INFO", call.invite, answer, True)
            self.assertEqual((alias, self.bob.got("INFO").uri), (alias, self.bob.contact))
        self.assertEqual((other.inbox, tcp.inbox), ([], []))

    def test_unreadable_alias(self) -> None:
        """An alias that can't be read points nowhere and doesn't go on."""
        call = self.world.call(self.world.phone("carol"), self.bob)
        answer = call.answer.copy()
        answer.set("contact", f"<{self.bob.contact};alias=nonsense>")
        call.caller.within("INFO", call.invite, answer, True)
        self.assertEqual(self.bob.got("INFO").uri, self.bob.contact)

    def test_alias_behind_another_proxy(self) -> None:
        """Where another proxy's Route remains, the alias is that one's to read: it goes on untouched."""
        behind = self.world.phone("behind", host="198.51.100.90")
        behind.register()
        behind.contact = "sip:behind@10.0.0.9;alias=203.0.113.9~5060~1"
        carol = self.world.phone("carol")
        invite = carol.send("INVITE", behind.aor)
        received = behind.got("INVITE")
        recorded = ["<sip:198.51.100.90;lr>", *received.values("record-route")]
        answered = received.copy()
        answered.remove("record-route")
        behind.reply(answered, 200, headers=[("record-route", value) for value in recorded])
        carol.within("INFO", invite, carol.response("INVITE"), True)
        got = behind.got("INFO")
        self.assertEqual(got.uri, behind.contact)
        self.assertEqual(got.values("route"), ["<sip:198.51.100.90;lr>"])

    def test_off(self) -> None:
        """With ``contact_alias = false`` no Contact is changed, and calls work all the same."""
        world = World(Settings(nat=replace(NatSettings(), contact_alias=False)))
        tab, bob = world.phone("tab", "WS"), world.phone("bob")
        tab.register()
        bob.register()
        call = world.call(tab, bob)
        self.assertEqual(call.received.get("contact"), f"<{tab.contact}>")
        call.from_callee("BYE")
        tab.got("BYE")


class NattedPhoneTests(SynchronousTestCase):
    """A phone with a private address behind a translator."""

    def setUp(self) -> None:
        self.world = World()
        self.natted = self.world.phone("natted", host="203.0.113.50", port=41000, contact="sip:natted@10.0.0.5:5060")
        self.open = self.world.phone("open")
        self.natted.register()
        self.open.register()
        self.inside = self.world.phone("nobody", host="10.0.0.5")

    def test_called(self) -> None:
        """A call, its ACK, and everything in it reach the phone at its source, never at the private address."""
        call = self.world.call(self.open, self.natted)
        for method in ("INVITE", "INFO", "BYE"):
            call.from_caller(method)
            self.assertEqual(self.natted.got(method).ruri.host, "10.0.0.5")
        self.assertEqual(self.inside.flow.sent, [])

    def test_calls(self) -> None:
        """What the other end sends in a call that the phone began reaches it at its source."""
        call = self.world.call(self.natted, self.open)
        self.assertIn(";alias=203.0.113.50~41000~1>", call.received.get("contact") or "")
        for method in ("INVITE", "UPDATE", "BYE"):
            call.from_callee(method)
            self.assertEqual(self.natted.got(method).uri, "sip:natted@10.0.0.5:5060")
        self.assertEqual(self.inside.flow.sent, [])

    def test_replies_get_the_alias_once(self) -> None:
        """The Contact of its replies carries the alias once."""
        call = self.world.call(self.open, self.natted)
        self.assertEqual(call.answer.get("contact"), "<sip:natted@10.0.0.5:5060;alias=203.0.113.50~41000~1>")

    def test_tcp_phone_with_a_new_connection(self) -> None:
        """A phone on TCP whose connection has closed is reached by a connection to its Contact, without any wait."""
        phone = self.world.phone("tcp", "TCP")
        phone.register()
        call = self.world.call(self.open, phone)
        self.world.close(phone)
        self.world.connect(phone)
        call.from_caller("BYE")
        phone.got("BYE")


    def test_tcp_phone_behind_nat(self) -> None:
        """One behind NAT can't be connected to: what is sent in the call waits until it has registered again."""
        phone = self.world.phone("hidden", "TCP", host="203.0.113.70", port=42000, contact="sip:hidden@10.0.0.7;transport=tcp")
        phone.register()
        call = self.world.call(self.open, phone)
        self.world.close(phone)
        call.from_caller("INFO")
        self.world.advance(1)
        self.assertEqual(self.open.statuses(), [])
        self.world.connect(phone, 42001)
        phone.register()
        phone.got("INFO")


class ReplyFilterTests(SynchronousTestCase):
    """The global onreply_route."""

    def test_raw_reply_on_the_websocket_port(self) -> None:
        """A reply that comes by plain TCP to a WebSocket port changes nothing (the seed's onreply_route)."""
        world = World()
        alice, bob = world.phone("alice"), world.phone("bob", "WS")
        bob.register()
        alice.send("INVITE", bob.aor)
        received = bob.got("INVITE")
        raw = world.phone("raw", "TCP", host="203.0.113.3")
        raw.flow.listener = bob.flow.listener
        raw.reply(received, 603)
        self.assertEqual(alice.statuses(), [100])
        bob.reply(received, 200)
        self.assertEqual(alice.statuses(), [200])
