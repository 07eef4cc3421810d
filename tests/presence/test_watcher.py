"""A subscription is its watcher's alone, and its NOTIFYs go nowhere but to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.presence.subscription import Origin
from sipnode.presence.whereto import destination, is_same_place
from sipnode.records import Binding, Hop, Subscription
from sipnode.sip.message import SipResponse
from sipnode.sip.uri import SipUri
from sipnode.testing import DOMAIN, OpenAuthenticator
from tests.presence.kit import AS_FROM_A_PHONE, User, world

CREDENTIALS = [one for one in AS_FROM_A_PHONE if one[0] == "proxy-authorization"]
THIRD = ("203.0.113.9", 5060)


class Asking(OpenAuthenticator):
    """Challenges users of ours who bring no credentials; one network is trusted."""

    def check(self, ctx: Any, proxy: bool) -> Any:
        """Any credentials are right."""
        local = ctx.domain_is_local(ctx.request.from_.uri.host)
        if local and ctx.request.method == "SUBSCRIBE" and "proxy-authorization" not in ctx.request and not self.trusts(ctx.flow):
            return ctx.reply(407)
        if local and not self.trusts(ctx.flow):
            ctx.identity = ctx.request.from_.uri.aor
        return None

    def trusts(self, flow: Any) -> bool:
        """Those of 198.51.100.0/24."""
        return bool(flow.remote[0].startswith("198.51.100."))


class WatcherCase(SynchronousTestCase):
    """Bob watches alice."""

    def setUp(self) -> None:
        self.world = world(authenticator=Asking())
        self.alice, self.bob = User(self.world, "alice"), User(self.world, "bob")
        self.first = self.bob.subscribe("alice")
        self.bob.bodies()

    def at(self, name: str, host: str, port: int = 5060, domain: str = DOMAIN, transport: str = "UDP", contact: str = "") -> User:
        """Somebody at an address."""
        user = User(self.world, name, transport, domain)
        self.world.flows.flows.remove(user.phone.flow)
        user.phone = self.world.phone(name, transport, host, port, contact, domain)
        return user

    def go_on(self, user: User, expires: int = 300, credentials: bool = True, **more: Any) -> SipResponse:
        """A SUBSCRIBE inside bob's subscription, whoever sends it."""
        headers = [("event", "mood"), ("expires", str(expires)), *(CREDENTIALS if credentials else ())]
        target = (self.first.get("contact") or "").strip("<>")
        more.setdefault("to", self.first.get("to"))
        tag = (self.first.get("from") or "").rpartition("tag=")[2]
        user.phone.cseq = max(user.phone.cseq, self.bob.phone.cseq)
        return user.ask("SUBSCRIBE", target, headers, from_tag=tag, call_id=self.first.call_id, **more)

    def still_his(self) -> None:
        """Bob's subscription is as it was."""
        (kept,) = self.world.core.presence.subscriptions.by_tag.values()
        self.assertEqual((kept.watcher, kept.host, kept.port), (self.bob.aor, *self.bob.phone.flow.remote))
        self.world.advance(6)
        self.bob.bodies()
        tag = self.alice.publish(b"news").get("sip-etag") or ""
        self.assertEqual(self.bob.bodies()[-1:], [b"news"])
        self.alice.publish(b"", tag, 0)
        self.world.advance(6)


class InsideTests(WatcherCase):
    """SUBSCRIBE with a To tag."""

    def test_another_user(self) -> None:
        """Another user who knows all names of a subscription can neither end nor move it."""
        for transport in ("UDP", "TCP", "WSS"):
            mallory = self.at("mallory", "192.0.2.66", transport=transport)
            self.assertEqual(self.go_on(mallory, 0).status, 403)
            self.assertEqual(self.go_on(mallory).status, 403)
            self.still_his()
        self.assertEqual(self.world.core.presence.counters["refused_not_watcher"], 6)

    def test_another_in_his_name(self) -> None:
        """Who says to be the watcher but is elsewhere is asked for the password."""
        for transport in ("UDP", "TCP", "WSS"):
            self.assertEqual(self.go_on(self.at("bob", "192.0.2.66", transport=transport), 0, False).status, 407)
        self.assertEqual(self.go_on(self.at("bob", self.bob.phone.flow.remote[0], 6666), 0, False).status, 407)
        self.still_his()

    def test_a_stranger(self) -> None:
        """A foreign From is no way round the password, also at the watcher's own host."""
        for host in ("192.0.2.66", self.bob.phone.flow.remote[0]):
            self.assertEqual(self.go_on(self.at("bob", host, 6666, "else.where"), 0, False).status, 403)
        self.still_his()

    def test_at_home(self) -> None:
        """From where it is a subscription is prolonged and ended without a password: phones aren't used to be asked there."""
        self.assertEqual(self.go_on(self.bob, 300, False).status, 200)
        self.bob.bodies()
        self.still_his()
        self.assertEqual(self.go_on(self.bob, 0, False).status, 200)
        self.assertEqual(len(self.world.core.presence.subscriptions), 0)

    def test_moves_with_the_password(self) -> None:
        """A phone at a new address proves who it is, and is told there from then on."""
        elsewhere = self.at("bob", "192.0.2.77")
        self.assertEqual(self.go_on(elsewhere).status, 200)
        self.assertEqual(elsewhere.bodies()[-1:], [b"none"])
        self.alice.publish(b"news")
        self.world.advance(6)
        self.assertEqual((elsewhere.bodies(), self.bob.bodies()), ([b"news"], []))

    def test_unknown(self) -> None:
        """A subscription that isn't there is 481 at once, so that a phone begins a new one."""
        self.assertEqual(self.go_on(self.bob, 300, False, to=f"<sip:alice@{DOMAIN}>;tag=other").status, 481)

    def test_device_on_a_new_connection(self) -> None:
        """A browser that came back and registered needs no password; before it did, it does."""
        carol = User(self.world, "carol", "WSS")
        carol.phone.params = ';+sip.instance="<urn:uuid:1>"'
        carol.phone.register()
        self.bob, self.first = carol, carol.subscribe("alice")
        carol.bodies()
        self.world.close(carol.phone)
        self.world.connect(carol.phone)
        self.assertEqual(self.go_on(carol, 300, False).status, 407)
        carol.phone.register()
        self.assertEqual(self.go_on(carol, 300, False).status, 200)

    def test_trusted(self) -> None:
        """A trusted address speaks for the watcher that it names, and for no other."""
        gateway = self.at("bob", "198.51.100.1")
        other = self.at("mallory", "198.51.100.1", 5061)
        self.assertEqual((self.go_on(other, 300, False).status, self.go_on(gateway, 300, False).status), (403, 200))

    def test_refresh_does_not_move_it(self) -> None:
        """A Contact at a third address, in a refresh of the watcher itself, changes nothing about where its NOTIFYs go."""
        self.bob.phone.contact = "sip:bob@{}:{}".format(*THIRD)
        self.assertEqual(self.go_on(self.bob).status, 200)
        self.bob.bodies()
        self.still_his()


class PasswordlessTests(WatcherCase):
    """A server that asks nobody."""

    def test_same_host(self) -> None:
        """Where nobody proves anything, the subscription is its host's: no other one ends it."""
        net = self.world
        eve = self.at("eve", "192.0.2.90", domain="else.where")
        net.core.presence.policy._name = "all"
        self.bob, self.first = eve, eve.subscribe("alice")
        eve.bodies()
        self.assertEqual(self.go_on(self.at("eve", "192.0.2.66", domain="else.where"), 0).status, 403)
        self.assertEqual(self.go_on(self.at("eve", "192.0.2.90", 6000, "else.where", "TCP")).status, 200)


class WayTests(WatcherCase):
    """Where NOTIFYs go."""

    def told_at(self, user: User, headers: Any = ()) -> list[tuple[str, int]]:
        """Addresses that get a NOTIFY for a new subscription of a user."""
        for flow in self.world.flows.flows:
            flow.sent.clear()
        self.assertEqual(user.subscribe("alice", headers=headers).status, 200)
        return [flow.remote for flow in self.world.flows.flows for data in flow.sent if data.startswith(b"NOTIFY")]

    def test_third_address(self) -> None:
        """Neither a Contact nor a Record-Route sends them to a third address; they go to the source."""
        for contact in ("sip:m@203.0.113.9:5060", "sip:m@203.0.113.9;transport=tcp", "sips:m@203.0.113.9", "sip:m@victim.example"):
            mallory = self.at("mallory", "192.0.2.66", 5060, contact=contact)
            self.assertEqual(self.told_at(mallory), [("192.0.2.66", 5060)], contact)
            mallory.bodies()
        routed = self.at("mallory", "192.0.2.66")
        self.assertEqual(self.told_at(routed, [("record-route", "<sip:203.0.113.9;lr>")]), [("192.0.2.66", 5060)])

    def test_other_port_of_the_host(self) -> None:
        """A phone that listens at another port than it sends from is told there."""
        self.assertEqual(self.told_at(self.at("carol", "192.0.2.67", 40000, contact="sip:carol@192.0.2.67:5060")), [("192.0.2.67", 5060)])

    def test_registered(self) -> None:
        """A contact that the watcher has registered is one of its own; another user's isn't."""
        dave = self.at("dave", "192.0.2.68", contact="sip:dave@192.0.2.168:5060")
        dave.phone.register()
        self.assertEqual(self.told_at(dave), [("192.0.2.168", 5060)])
        mallory = self.at("mallory", "192.0.2.66", contact="sip:dave@192.0.2.168:5060")
        self.assertEqual(self.told_at(mallory), [("192.0.2.66", 5060)])

    def test_trusted(self) -> None:
        """A trusted address says where, as before."""
        self.assertEqual(self.told_at(self.at("dave", "198.51.100.1", contact="sip:dave@192.0.2.168:5060")), [("192.0.2.168", 5060)])

    def test_connection_gone(self) -> None:
        """When a connection is gone, nothing is sent to the address that merely stood in Contact."""
        mallory = self.at("mallory", "192.0.2.66", 40000, transport="TCP", contact="sip:m@203.0.113.9:5060")
        self.assertEqual(self.told_at(mallory), [("192.0.2.66", 40000)])
        mallory.bodies()
        self.world.close(mallory.phone)
        self.alice.publish(b"news")
        self.world.advance(6)
        self.assertNotIn(THIRD, [flow.remote for flow in self.world.flows.flows if flow.sent])

    def test_listens_at_its_host(self) -> None:
        """One that listens on the host that its connection came from is called back there."""
        carol = self.at("carol", "192.0.2.67", 40000, transport="TCP", contact="sip:carol@192.0.2.67:5060;transport=tcp")
        self.assertEqual(self.told_at(carol), [("192.0.2.67", 40000)])
        carol.bodies()
        self.world.close(carol.phone)
        listening = self.world.phone("carol", "TCP", "192.0.2.67", 5060)
        self.alice.publish(b"news")
        self.world.advance(6)
        self.assertEqual(listening.got("NOTIFY").body, b"news")


class PureTests(SynchronousTestCase):
    """destination() and is_same_place()"""

    def test_destination(self) -> None:
        """The source, another port of its host, or what is registered."""
        source = ("192.0.2.7", 5060)

        def numeric(uri: SipUri) -> Hop | None:
            kind = uri.params.get("transport", "udp").upper()
            return Hop(kind, uri.host.strip("[]"), uri.port or 5060) if uri.host[-1].isdigit() or uri.host[0] == "[" else None

        bindings = [
            Binding("a@b", "sip:a@192.0.2.8:5070;x=y", 9e9, "1"), Binding("a@b", "sip:a@phone.example", 9e9, "2"),
            Binding("a@b", "sip:a@192.0.2.9", 9e9, "3", received="sip:192.0.2.7:5060"),
            Binding("a@b", "sip:a@192.0.2.10", 9e9, "4", connection_id="f1"), Binding("a@b", "tel:+1", 9e9, "5"),
        ]  # fmt: skip
        cases: list[tuple[str, str, bool, tuple[str, int]]] = [
            ("sip:a@192.0.2.7", "", False, source),
            ("sip:a@192.0.2.7:6000", "", False, ("192.0.2.7", 6000)),
            ("sip:a@192.0.2.7:6000", "", True, source),
            ("sip:a@192.0.2.7:6000;transport=tcp", "", False, source),
            ("sip:a@192.0.2.8:5070", "", False, ("192.0.2.8", 5070)),
            ("sip:a@192.0.2.8", "", False, source),
            ("sip:a@192.0.2.8:5070", "sip:192.0.2.99;lr", False, source),
            ("sip:a@192.0.2.99", "sip:192.0.2.7:5080;lr", False, ("192.0.2.7", 5080)),
            ("sip:a@phone.example", "", False, ("", 0)),
            ("sip:a@other.example", "", False, source),
            ("sip:a@192.0.2.9", "", False, source),
            ("sip:a@192.0.2.10", "", False, source),
        ]
        for contact, route, natted, wanted in cases:
            first = SipUri.parse(route) if route else None
            got = destination(source, natted, SipUri.parse(contact), first, bindings, numeric)
            self.assertEqual(got, wanted, contact)

    def test_same_place(self) -> None:
        """By connection, device, address and port; by host alone where that is enough."""
        made = Subscription("a@b", "mood", "", "w@b", "t", "f", "c", "", "", "", 9e9, 1)
        udp = replace(made, host="192.0.2.7", port=5060, source="192.0.2.7:5060")
        tcp = replace(made, flow="f1", key="k1", source="192.0.2.7:4000")
        cases = [
            (udp, Origin(source="192.0.2.7:5060"), True, True),
            (udp, Origin(source="192.0.2.7:5061"), False, True),
            (udp, Origin(source="192.0.2.70:5060"), False, False),
            (udp, Origin(flow="f2", source="192.0.2.7:5060"), False, True),
            (tcp, Origin(flow="f1", source="192.0.2.7:4000"), True, True),
            (tcp, Origin(flow="f2", key="k1", source="192.0.2.8:4000"), True, True),
            (tcp, Origin(flow="f2", key="k2", source="192.0.2.8:4000"), False, False),
            (tcp, Origin(source="192.0.2.7:4000"), False, True),
            (tcp, Origin(), False, False),
        ]
        for there, here, strict, near in cases:
            self.assertEqual((is_same_place(there, here, False), is_same_place(there, here, True)), (strict, near), here)
