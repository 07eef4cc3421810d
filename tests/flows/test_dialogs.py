"""Requests inside dialogs: WITHINDLG, our signed Route, ACK, strict routers (RFC 3261 §12.2, §16.4, §16.12; RFC 5658)."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from sipnode.records import Hop
from sipnode.settings import ProxySettings, Settings
from sipnode.testing import Call, World

IN_DIALOG = ("INVITE", "UPDATE", "PRACK", "INFO", "MESSAGE", "REFER", "NOTIFY", "OPTIONS", "BYE")


class WithinDialogTests(SynchronousTestCase):
    """Calls between all kinds of ends."""

    def pair(self, one: str, other: str) -> tuple[World, Call]:
        """A call from an end on one transport to an end on another."""
        world = World()
        alice, bob = world.phone("alice", one), world.phone("bob", other)
        alice.register()
        bob.register()
        return world, world.call(alice, bob)

    def test_both_directions(self) -> None:
        """Every method passes both ways between every pair of transports, and its 200 comes back."""
        for one in ("UDP", "TCP", "TLS", "WS", "WSS"):
            for other in ("UDP", "TCP", "TLS", "WS", "WSS"):
                _, call = self.pair(one, other)
                for method in IN_DIALOG:
                    call.from_caller(method)
                    received = call.callee.got(method)
                    self.assertNotIn("route", received)
                    call.callee.reply(received, 200)
                    self.assertEqual((one, other, method, call.caller.response(method).status), (one, other, method, 200))
                    call.from_callee(method)
                    call.caller.reply(call.caller.got(method), 200)
                    self.assertEqual((one, other, method, call.callee.response(method).status), (one, other, method, 200))

    def test_one_record_route(self) -> None:
        """Both sides on one listener: one Record-Route."""
        _, call = self.pair("UDP", "UDP")
        self.assertEqual(len(call.received.values("record-route")), 1)

    def test_two_record_routes(self) -> None:
        """Sides on different transports: two, the callee's own on top, each with the advertised address and its transport."""
        _, call = self.pair("WSS", "TCP")
        top, below = call.received.values("record-route")
        self.assertTrue(top.startswith("<sip:192.0.2.1:5060;transport=tcp;lr;r2=on;sn="))
        self.assertEqual(below, "<sip:192.0.2.1:8443;transport=ws;lr;r2=on>")

    def test_not_for_message(self) -> None:
        """A request that makes no dialog is not record-routed; NOTIFY inside one is, with a token that leads its receiver back."""
        _, call = self.pair("UDP", "UDP")
        call.caller.send("MESSAGE", call.callee.aor, body=b"hi", content_type="text/plain")
        self.assertNotIn("record-route", call.callee.got("MESSAGE"))
        for send, near, far in ((call.from_caller, call.caller, call.callee), (call.from_callee, call.callee, call.caller)):
            send("NOTIFY")
            received = far.got("NOTIFY")
            far.send(
                "INFO",
                near.contact,
                [("route", received.values("record-route")[0])],
                to=received.get("from") or "",
                from_tag=received.to.tag,
                call_id=received.call_id,
            )
            near.got("INFO")

    def test_ack_has_no_state(self) -> None:
        """The ACK of a 200 goes on without a transaction, with the same branch for each repeat, and is answered by nobody."""
        world, call = self.pair("UDP", "UDP")
        before = len(world.core.transactions)
        first = call.from_caller("ACK")
        call.caller.send_again(first)
        one, two = call.callee.got("ACK"), call.callee.got("ACK")
        self.assertEqual(one.via.branch, two.via.branch)
        self.assertEqual(len(world.core.transactions), before)
        self.assertEqual(call.caller.inbox, [])

    def test_ack_with_the_invites_branch(self) -> None:
        """An old client's ACK that bears the branch of its INVITE still reaches the phone."""
        world, call = self.pair("UDP", "UDP")
        ack = call.caller.within("ACK", call.invite, call.answer, True)
        call.callee.take()
        same = ack.copy()
        same.replace_at(same.index()["via"], call.invite.get("via") or "")
        world.sink.received(same.to_bytes(), call.caller.flow)
        self.assertEqual(call.callee.methods(), ["ACK"])

    def test_callee_by_proxy_behind(self) -> None:
        """What another proxy behind us recorded stays in the Route that goes on, and its address is where it goes."""
        world = World()
        alice, behind = world.phone("alice"), world.phone("bob", host="198.51.100.1")
        behind.register()
        invite = alice.send("INVITE", behind.aor)
        received = behind.got("INVITE")
        recorded = ["<sip:198.51.100.1;lr;x=1>", *received.values("record-route")]
        answered = received.copy()
        answered.remove("record-route")
        behind.reply(answered, 200, headers=[("record-route", value) for value in recorded])
        answer = alice.response("INVITE")
        heads = [value.partition(";sn=")[0] for value in answer.values("record-route")]
        self.assertEqual(heads, [recorded[0], "<sip:192.0.2.1:5060;lr"])
        alice.ack(invite, answer)
        self.assertEqual(behind.got("ACK").values("route"), ["<sip:198.51.100.1;lr;x=1>"])


class TokenTests(SynchronousTestCase):
    """A request goes on by our own signature for this very dialog, or not at all."""

    def setUp(self) -> None:
        self.world = World()
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.victim = self.world.phone("victim", host="203.0.113.5")
        self.bob.register()
        self.call = self.world.call(self.alice, self.bob)
        self.route = self.call.received.values("record-route")[0]
        self.mallory = self.world.phone("mallory", host="203.0.113.66")

    def forge(self, method: str, route: str, **changes: str) -> list[int]:
        """Mallory's request to the victim with a Route; the statuses that it gets. Nobody else may get anything."""
        self.mallory.send(
            method,
            self.victim.contact,
            [("route", route)] if route else [],
            to=changes.get("to", "<sip:bob@example.test>;tag=forged"),
            from_tag=changes.get("from_tag", "mallory"),
            call_id=changes.get("call_id", "forged@x"),
        )
        for phone in (self.victim, self.alice, self.bob):
            self.assertEqual(phone.methods(), [])
        return self.mallory.statuses()

    def test_no_route(self) -> None:
        """A To tag without a Route of ours is 404 for every method, and an ACK gets nothing."""
        for method in (*IN_DIALOG, "SUBSCRIBE", "PUBLISH"):
            self.assertEqual((method, self.forge(method, "")), (method, [404]))
        self.assertEqual(self.forge("ACK", ""), [])

    def test_bare_route(self) -> None:
        """Our address in a Route without a token opens nothing."""
        for route in ("<sip:192.0.2.1;lr>", "<sip:192.0.2.1:5060;lr;sn>", "<sip:192.0.2.1:5060;lr;sn=!!!!>", "<sip:example.test;lr>"):
            self.assertEqual(self.forge("BYE", route), [404])

    def test_token_of_another_dialog(self) -> None:
        """A valid token in another dialog, by other tags or another Call-ID, opens nothing."""
        self.assertEqual(self.forge("INVITE", self.route), [404])
        self.assertEqual(self.forge("INVITE", self.route, call_id=self.call.invite.call_id), [404])
        self.assertEqual(self.forge("INVITE", self.route, from_tag=self.call.invite.from_.tag), [404])

    def test_altered_token(self) -> None:
        """Any octet of the token changed makes it worthless."""
        own = {"call_id": self.call.invite.call_id, "from_tag": self.call.invite.from_.tag}
        start = self.route.index("sn=") + 3
        for position in range(start, len(self.route) - 1):
            letter = "0" if self.route[position] != "0" else "1"
            altered = f"{self.route[:position]}{letter}{self.route[position + 1 :]}"
            self.assertEqual((position, self.forge("BYE", altered, **own)), (position, [404]))

    def test_odd_tokens(self) -> None:
        """Tokens that no signer made are refused without an exception: other alphabets, no separators, endless ones."""
        own = {"call_id": self.call.invite.call_id, "from_tag": self.call.invite.from_.tag}
        for token in ("\u00fc", "a!\u00fc", "x" * 5000, "!", "%00", "b!n0!cX~Y!u~!sig"):
            self.assertEqual(self.forge("BYE", f"<sip:192.0.2.1;lr;sn={token}>", **own), [404])

    def test_broken_route(self) -> None:
        """A Route that can't be read isn't ours, and opens nothing."""
        for route in ("<sip:192.0.2.1:x;lr>", "<>", "sip:", "<sip:192.0.2.1;lr;sn=a;sn=b>"):
            self.assertEqual((route, self.forge("BYE", route)), (route, [404]))

    def test_second_route_broken(self) -> None:
        """A Route behind ours that can't be read is none of this dialog: 403, once, and nothing goes on."""
        self.alice.take()
        self.bob.take()
        self.route = self.call.answer.values("record-route")[0]
        self.alice.send(
            "INFO",
            self.bob.contact,
            [("route", f"{self.route}, <sip:%%%>")],
            to=self.call.answer.get("to") or "",
            from_tag=self.call.invite.from_.tag,
            call_id=self.call.invite.call_id,
        )
        self.assertEqual(self.alice.statuses(), [403])
        self.assertEqual(self.bob.inbox, [])

    def test_foreign_route_first(self) -> None:
        """A Route whose topmost value isn't ours isn't followed."""
        self.assertEqual(self.forge("BYE", f"<sip:203.0.113.9;lr>, {self.route}"), [404])

    def test_subscribe_to_us(self) -> None:
        """SUBSCRIBE with a To tag and without Route, to a user of ours, is presence's: it says what it has."""
        self.mallory.send("SUBSCRIBE", "sip:bob@example.test", [("event", "presence")], to="<sip:bob@example.test>;tag=x")
        self.assertEqual(self.mallory.statuses(), [489])


class StrictRouterTests(SynchronousTestCase):
    """Routers of RFC 2543."""

    def setUp(self) -> None:
        self.world = World()
        self.alice = self.world.phone("alice", "WS")
        self.bob = self.world.phone("bob")
        self.alice.register()
        self.bob.register()
        self.call = self.world.call(self.alice, self.bob)

    def test_upstream(self) -> None:
        """A strict router put our Record-Route into the Request-URI: the real one comes back from the end of the Route."""
        mine = [value.strip("<>") for value in self.call.answer.values("record-route")[::-1]]
        self.alice.send(
            "INFO",
            mine[0],
            [("route", f"<{mine[1]}>, <{self.bob.contact}>")],
            to=self.call.answer.get("to") or "",
            from_tag=self.call.invite.from_.tag,
            call_id=self.call.invite.call_id,
        )
        received = self.bob.got("INFO")
        self.assertEqual((received.uri, received.get("route")), (self.bob.contact, None))

    def test_upstream_from_the_other_side(self) -> None:
        """So it is for the callee's side, where the far end is a browser."""
        mine = [value.strip("<>") for value in self.call.received.values("record-route")]
        self.bob.send(
            "BYE",
            mine[0],
            [("route", f"<{mine[1]}>, <{self.alice.contact}>")],
            to=self.call.received.get("from") or "",
            from_tag=self.bob.tag,
            call_id=self.call.invite.call_id,
        )
        self.assertEqual(self.alice.got("BYE").uri, self.alice.contact)

    def test_downstream(self) -> None:
        """A next hop without lr gets its own URI as Request-URI, and the real one as the last Route (§16.6 (6))."""
        world = World()
        alice, strict = world.phone("alice"), world.phone("bob", host="198.51.100.1")
        strict.register()
        invite = alice.send("INVITE", strict.aor)
        received = strict.got("INVITE")
        recorded = ["<sip:198.51.100.1:5060>", *received.values("record-route")]
        answered = received.copy()
        answered.remove("record-route")
        strict.contact = "sip:bob@10.9.9.9"
        strict.reply(answered, 200, headers=[("record-route", value) for value in recorded])
        alice.ack(invite, alice.response("INVITE"))
        ack = strict.got("ACK")
        self.assertEqual((ack.uri, ack.values("route")), ("sip:198.51.100.1:5060", ["<sip:bob@10.9.9.9>"]))


class ForeignTests(SynchronousTestCase):
    """SIPOUT and pre-loaded Routes."""

    def setUp(self) -> None:
        self.world = World()
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.bob.register()
        self.bob.take()
        self.stranger = self.world.phone("eve", host="203.0.113.6", domain="evil.test")
        self.far = self.world.phone("carol", host="198.51.100.3", domain="other.test")
        self.world.resolver.names["other.test"] = [Hop("UDP", "198.51.100.3", 5060)]

    def test_user_calls_out(self) -> None:
        """A user of ours reaches a foreign domain by DNS, with P-hint; the call is up and ends both ways."""
        invite = self.alice.send("INVITE", "sip:carol@other.test")
        received = self.far.got("INVITE")
        self.assertEqual((received.uri, received.get("p-hint")), ("sip:carol@other.test", "outbound"))
        self.far.reply(received, 200)
        self.alice.ack(invite, self.alice.response("INVITE"))
        self.far.got("ACK")
        self.far.send(
            "BYE",
            self.alice.contact,
            [("route", received.values("record-route")[0])],
            to=received.get("from") or "",
            from_tag=self.far.tag,
            call_id=invite.call_id,
        )
        self.alice.got("BYE")

    def test_stranger_is_refused(self) -> None:
        """Nobody else relays through us: 403 for every method, and nothing is sent."""
        for method in ("INVITE", "MESSAGE", "OPTIONS", "SUBSCRIBE", "REGISTER"):
            self.stranger.send(method, "sip:carol@other.test", to="<sip:carol@other.test>")
            self.assertEqual((method, self.stranger.statuses()), (method, [403]))
        self.assertEqual(self.far.inbox, [])

    def test_stranger_calls_a_user(self) -> None:
        """A stranger may call a user of ours."""
        self.stranger.send("INVITE", self.bob.aor)
        self.bob.got("INVITE")

    def test_preloaded_route_of_a_stranger(self) -> None:
        """A Route that a stranger put on isn't followed: the call goes to where the user is."""
        self.stranger.send("INVITE", self.bob.aor, [("route", "<sip:198.51.100.3;lr>")])
        received = self.bob.got("INVITE")
        self.assertNotIn("route", received)
        self.assertEqual(self.far.inbox, [])

    def test_preloaded_route_to_a_user(self) -> None:
        """Nor is that of a user of ours, for a call inside our domain; our own name in it is taken off."""
        self.alice.send("INVITE", self.bob.aor, [("route", "<sip:example.test;lr>, <sip:198.51.100.3;lr>")])
        self.assertNotIn("route", self.bob.got("INVITE"))
        self.assertEqual(self.far.inbox, [])

    def test_preloaded_route_going_out(self) -> None:
        """A user of ours may name the way out; the dialog that comes of it is carried on like any other."""
        invite = self.alice.send("INVITE", "sip:dave@elsewhere.test", [("route", "<sip:192.0.2.1;lr>, <sip:198.51.100.3;lr>")])
        received = self.far.got("INVITE")
        self.assertEqual((received.uri, received.values("route")), ("sip:dave@elsewhere.test", ["<sip:198.51.100.3;lr>"]))
        self.far.reply(received, 200)
        self.alice.ack(invite, self.alice.response("INVITE"))
        self.far.got("ACK")

    def test_off(self) -> None:
        """With ``foreign = "none"`` nobody calls out."""
        world = World(Settings(proxy=replace(ProxySettings(), foreign="none")))
        alice = world.phone("alice")
        alice.send("INVITE", "sip:carol@other.test")
        self.assertEqual(alice.statuses(), [403])

    def test_trusted_trunk(self) -> None:
        """A trusted address may call out without being a user."""
        self.world.core.authenticator.trusts = lambda flow: flow.remote[0] == "203.0.113.6"
        self.stranger.send("INVITE", "sip:carol@other.test")
        self.far.got("INVITE")

    def test_register_for_another_domain(self) -> None:
        """A user of ours can't register an address of a foreign domain here."""
        self.alice.send("REGISTER", "sip:example.test", to="<sip:alice@other.test>")
        self.assertEqual(self.alice.statuses(), [404])
