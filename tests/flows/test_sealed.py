"""A Route of ours opens one dialog, for its two ends, and nothing else: what is tried with a token that somebody has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.fakes import OpenAuthenticator
from sipnode.records import Hop
from sipnode.settings import DialogSettings, Settings
from sipnode.sip.message import SipRequest, SipResponse
from sipnode.testing import DOMAIN, Call, Phone, World

METHODS = ("INVITE", "MESSAGE", "REFER", "NOTIFY", "SUBSCRIBE", "REGISTER", "PUBLISH", "OPTIONS", "UPDATE", "FOO", "BYE", "ACK")
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.40\r\ns=-\r\nc=IN IP4 192.0.2.40\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


class Passwords(OpenAuthenticator):
    """Asks everybody of ours for a password, while it asks at all; the :func:`proof` of a user is the right one."""

    asks = False

    def check(self, ctx: Any, proxy: bool) -> Any:
        """Challenge, or believe."""
        if not self.asks:
            return super().check(ctx, proxy)
        if not self.needs_auth(ctx):
            return None
        said = ctx.request.get("proxy-authorization")
        if said is None:
            return ctx.reply(407)
        user = said.rpartition("username=")[2].strip('"')
        ctx.identity = f"{user}@{DOMAIN}"
        return None


def proof(user: str) -> tuple[str, str]:
    """Its right Proxy-Authorization."""
    return "proxy-authorization", f'Digest realm="{DOMAIN}", username="{user}"'


class SealedCase(SynchronousTestCase):
    """Users alice and bob, a stranger, and somebody at a third address who must never get anything."""

    def setUp(self) -> None:
        self.passwords = Passwords()
        self.world = World(authenticator=self.passwords)
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.alice.register()
        self.bob.register()
        self.stranger = self.world.phone("eve", host="203.0.113.9", domain="evil.test")
        self.third = self.world.phone("gateway", host="198.51.100.200")
        self.world.resolver.names["third.test"] = [Hop("UDP", "198.51.100.200", 5060)]

    def within(self, phone: Phone, method: str, call: SipResponse, target: str, routes: list[str], **changes: str) -> None:
        """A caller's request in the dialog that a response made."""
        phone.send(
            method,
            target,
            [("route", ", ".join(routes))] if routes else [],
            to=changes.get("to", call.get("to") or ""),
            from_tag=changes.get("from_tag", call.from_.tag),
            call_id=changes.get("call_id", call.call_id),
        )

    def nothing_at(self, *phones: Phone) -> None:
        """Nobody of these has got anything."""
        for phone in phones:
            self.assertEqual((phone.user, phone.take()), (phone.user, []))


class ThirdAddressTests(SealedCase):
    """What only the message names is never where a request goes."""

    def answers(self, status: int) -> SipResponse:
        """What the stranger got of a call to Bob that ended with that status, a 180 before."""
        invite = self.stranger.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        ringing = self.stranger.response("INVITE", 180)
        self.bob.reply(received, status)
        final = self.stranger.response("INVITE")
        self.stranger.ack(invite, final)
        self.bob.take()
        return final if status == 200 else ringing

    def tried(self, call: SipResponse, routes: list[str]) -> None:
        """Every method, to a third address in every form."""
        for target in ("sip:x@198.51.100.200", "sip:x@third.test", "sips:x@third.test", "tel:+1900", "sip:192.0.2.1;maddr=198.51.100.200"):
            for method in METHODS:
                self.within(self.stranger, method, call, target, routes)
        self.nothing_at(self.third)
        self.stranger.take()

    def test_of_a_failed_call(self) -> None:
        """The token of a call that failed opens nothing: 481, also at its own callee."""
        call = self.answers(486)
        routes = call.values("record-route")[::-1]
        self.tried(call, routes)
        self.nothing_at(self.bob)
        self.within(self.stranger, "INFO", call, self.bob.contact, routes)
        self.assertEqual(self.stranger.statuses(), [481])

    def test_no_route_in_a_refusal(self) -> None:
        """A response that makes no dialog says no way into one."""
        invite = self.stranger.send("INVITE", self.bob.aor)
        self.bob.reply(self.bob.got("INVITE"), 486)
        final = self.stranger.response("INVITE")
        self.assertNotIn("record-route", final)
        self.stranger.ack(invite, final)

    def test_of_a_call_that_is_up(self) -> None:
        """That of a call that is up leads to its other end alone, whatever the Request-URI says."""
        call = self.answers(200)
        self.tried(call, call.values("record-route")[::-1])

    def test_routes_behind_ours(self) -> None:
        """A Route that was none of the dialog isn't followed, before or behind ours, nor by a strict router's form."""
        call = self.answers(200)
        (ours,) = call.values("record-route")
        evil = "<sip:198.51.100.200;lr>"
        for routes in ([ours, evil], [evil, ours], [ours, ours, evil], ["<sip:192.0.2.1;lr>", ours, evil]):
            self.within(self.stranger, "INFO", call, self.bob.contact, routes)
            self.assertIn(self.stranger.statuses(), ([403], [404]))
        self.within(self.stranger, "INFO", call, ours.strip("<>"), [evil])
        self.nothing_at(self.third)
        self.bob.got("INFO")

    def test_after_a_restart(self) -> None:
        """So it is for a server that knows nothing of the call but its secret; what steers a phone isn't opened by a 180 then."""
        call = self.answers(486)
        routes = call.values("record-route")[::-1]
        world = self.world.restart()
        for phone in (self.alice, self.bob, self.stranger, self.third):
            world.connect(phone)
        for method in ("NOTIFY", "REFER", "MESSAGE", "SUBSCRIBE", "FOO"):
            self.within(self.stranger, method, call, "sip:x@198.51.100.200", routes)
            self.assertEqual((method, self.stranger.statuses()), (method, [481]))
        self.within(self.stranger, "INFO", call, "sip:x@198.51.100.200", routes)
        self.nothing_at(self.third)

    def test_too_old(self) -> None:
        """A token of a dialog that nobody knows any more ends with its time; one of a call that is known doesn't."""
        self.world = World(Settings(dialog=replace(DialogSettings(), max_seconds=600)))
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.bob.register()
        call = self.world.call(self.alice, self.bob, headers=[("session-expires", "90")])
        for _ in range(4):
            self.world.clock.advance(290)
            call.from_caller("UPDATE", headers=[("session-expires", "300")])
            self.bob.reply(self.bob.got("UPDATE"), 200)
        self.alice.take()
        world = self.world.restart()
        world.connect(self.alice)
        call.from_caller("INFO")
        self.assertEqual(self.alice.statuses(), [481])


class HolderTests(SealedCase):
    """Who may use a token."""

    def setUp(self) -> None:
        super().setUp()
        self.call = self.world.call(self.alice, self.bob)
        self.passwords.asks = True
        self.elsewhere = self.world.phone("alice", host="203.0.113.77")

    def stolen(self, phone: Phone, method: str = "INFO", headers: tuple[tuple[str, str], ...] = ()) -> SipRequest:
        """The caller's request, with all that it knows, from another place."""
        return phone.within(method, self.call.invite, self.call.answer, True, headers=headers)

    def test_from_elsewhere(self) -> None:
        """One of ours is asked for a password, a stranger refused, an ACK dropped; nothing goes on."""
        self.stolen(self.elsewhere)
        self.assertEqual(self.elsewhere.statuses(), [407])
        self.stolen(self.elsewhere, "ACK")
        self.nothing_at(self.elsewhere, self.bob)
        self.stranger.aor = "sip:eve@evil.test"
        self.stolen(self.stranger)
        self.assertEqual(self.stranger.statuses(), [403])
        self.nothing_at(self.bob)

    def test_another_user(self) -> None:
        """A user with a password of her own doesn't speak for another."""
        mallory = self.world.phone("mallory", host="203.0.113.66")
        self.stolen(mallory, headers=(proof("mallory"),))
        self.assertEqual(mallory.statuses(), [403])
        mallory.aor = self.alice.aor
        self.stolen(mallory, "BYE", headers=(proof("mallory"),))
        self.assertEqual(mallory.statuses(), [403])
        self.nothing_at(self.bob)

    def test_the_callees_token(self) -> None:
        """The callee's token is nothing in the hands of the caller, nor the caller's in the callee's."""
        self.within(self.alice, "INFO", self.call.answer, self.bob.contact, self.call.received.values("record-route"))
        self.assertEqual(self.alice.statuses(), [404])
        self.bob.send(
            "INFO",
            self.alice.contact,
            [("route", self.call.answer.values("record-route")[0])],
            to=self.call.received.get("from") or "",
            from_tag=self.bob.tag,
            call_id=self.call.invite.call_id,
        )
        self.assertEqual(self.bob.statuses(), [404])

    def test_moved(self) -> None:
        """A user who has moved proves the password once, is reached at the new place, and speaks from there: ACK, INFO, BYE."""
        self.elsewhere.contact = "sip:alice@203.0.113.77:5060"
        invite = self.stolen(self.elsewhere, "INVITE", (proof("alice"),))
        received = self.bob.got("INVITE")
        self.assertNotIn("proxy-authorization", received)
        answered = self.bob.reply(received, 200)
        answer = self.elsewhere.response("INVITE")
        moved = Call(self.elsewhere, self.bob, invite, self.call.received, answered, self.call.answer)
        moved.from_caller("ACK")
        self.bob.got("ACK")
        self.assertEqual(answer.status, 200)
        first = self.call.received.copy()
        first.set("contact", received.get("contact") or "")
        self.bob.within("INFO", first, self.call.answered, False)
        got = self.elsewhere.got("INFO")
        self.assertEqual(got.uri, self.elsewhere.contact)
        self.nothing_at(self.alice)
        moved.from_caller("BYE")
        self.bob.got("BYE")

    def test_moved_behind_nat(self) -> None:
        """So is one whose new Contact is a private address: at its source, by the callee too, over TCP as over UDP."""
        for transport in ("UDP", "TCP"):
            contact = f"sip:alice@10.7.7.7;transport={transport}"
            place = self.world.phone("alice", transport, host="203.0.113.80", port=41000, contact=contact)
            self.stolen(place, "INVITE", (proof("alice"),))
            received = self.bob.got("INVITE")
            self.bob.reply(received, 200)
            first = self.call.received.copy()
            first.set("contact", received.get("contact") or "")
            self.bob.within("INFO", first, self.call.answered, False)
            self.assertEqual(place.got("INFO").uri, place.contact)

    def test_callee_moved(self) -> None:
        """The callee as well, who proves the address that was called."""
        place = self.world.phone("bob", host="203.0.113.90")
        place.within("INVITE", self.call.received, self.call.answered, False, headers=(proof("bob"),))
        received = self.alice.got("INVITE")
        self.alice.reply(received, 200)
        answer = self.call.answer.copy()
        answer.set("contact", received.get("contact") or "")
        self.alice.within("BYE", self.call.invite, answer, True)
        self.assertEqual(place.got("BYE").uri, place.contact)

    def test_new_port(self) -> None:
        """Another port of the same address is the same end: a translator gave it another one."""
        self.world.connect(self.alice, 40404)
        self.call.from_caller("INFO")
        self.bob.got("INFO")

    def test_stolen_seal(self) -> None:
        """A sealed Contact of one dialog leads nowhere in another, and a made-up one nowhere at all."""
        place = self.world.phone("alice", host="203.0.113.81")
        self.stolen(place, "INVITE", (proof("alice"),))
        sealed = (self.bob.got("INVITE").get("contact") or "").strip("<>")
        place.take()
        self.passwords.asks = False
        other = self.world.call(self.third, self.bob)
        for uri in (sealed, sealed[:-3] + "zzz", sealed.partition("=")[0] + "="):
            self.bob.send(
                "INFO",
                uri,
                [("route", other.received.values("record-route")[0])],
                to=other.received.get("from") or "",
                from_tag=self.bob.tag,
                call_id=other.invite.call_id,
            )
            self.third.got("INFO")
        self.nothing_at(place)


class KnownCallTests(SealedCase):
    """A request that shows a call that is known, from somebody else."""

    def test_its_identifiers(self) -> None:
        """An INVITE, MESSAGE or SUBSCRIBE with Call-ID and a tag of another's call is refused, while it rings and when it is up."""
        mallory = self.world.phone("mallory", host="203.0.113.66")
        self.alice.send("INVITE", self.bob.aor, call_id="one", from_tag="t1")
        self.bob.reply(self.bob.got("INVITE"), 180)
        call = self.world.call(self.world.phone("alice", host="192.0.2.99"), self.bob)
        carol = self.world.phone("carol")
        carol.register()
        for call_id, tag in (("one", "t1"), (call.invite.call_id, call.invite.from_.tag), (call.invite.call_id, self.bob.tag)):
            for method in ("INVITE", "MESSAGE"):
                mallory.send(method, carol.aor, call_id=call_id, from_tag=tag)
                self.assertEqual((method, mallory.statuses()), (method, [403]))
        self.nothing_at(carol)

    def test_only_the_call_id(self) -> None:
        """Two legs of a back-to-back agent may share a Call-ID: with tags of its own a call is a call."""
        call = self.world.call(self.alice, self.bob)
        agent = self.world.phone("agent", host="203.0.113.50", domain="pbx.test")
        agent.send("INVITE", self.bob.aor, call_id=call.invite.call_id, from_tag="its-own")
        self.bob.got("INVITE")

    def test_the_same_caller_again(self) -> None:
        """The caller's own next INVITE with that Call-ID and tag, after a refusal, is a call like any other."""
        for cseq in (10, 11):
            invite = self.alice.send("INVITE", self.bob.aor, call_id="again", from_tag="t", cseq=cseq)
            received = self.bob.got("INVITE")
            self.bob.reply(received, 422 if cseq == 10 else 200)
            answer = self.alice.response("INVITE")
            self.alice.ack(invite, answer)
        self.alice.within("INFO", invite, answer, True)
        self.bob.got("INFO")

    def test_spiral(self) -> None:
        """An INVITE that a proxy behind us sends back through us is that very call, not an intruder."""
        pbx = self.world.phone("pbx", host="198.51.100.60", domain="pbx.test")
        pbx.register()
        self.world.resolver.names["pbx.test"] = [Hop("UDP", "198.51.100.60", 5060)]
        self.alice.send("INVITE", "sip:600@pbx.test", call_id="round", from_tag="t")
        received = pbx.got("INVITE")
        back = received.copy()
        back.set_uri(self.bob.aor)
        back.prepend("via", "SIP/2.0/UDP 198.51.100.60:5060;branch=z9hG4bKpbx1")
        self.world.sink.received(back.to_bytes(), pbx.flow)
        self.bob.got("INVITE")


class ClosedTests(SealedCase):
    """A dialog that is over."""

    def test_after_bye(self) -> None:
        """After the BYE a request in the dialog is 481; a repeated BYE and an ACK still pass, the other end may not have heard."""
        call = self.world.call(self.alice, self.bob)
        call.from_caller("BYE")
        self.bob.reply(self.bob.got("BYE"), 200)
        self.alice.take()
        for method in ("INVITE", "INFO", "REFER", "NOTIFY"):
            call.from_caller(method)
            self.assertEqual((method, self.alice.statuses()), (method, [481]))
        call.from_callee("BYE")
        self.alice.got("BYE")

    def test_loser_of_a_fork(self) -> None:
        """The early dialog with a phone that didn't get the call is over when another has answered."""
        second = self.world.phone("bob", host="192.0.2.201")
        second.register()
        invite = self.alice.send("INVITE", self.bob.aor)
        one, two = self.bob.got("INVITE"), second.got("INVITE")
        second.reply(two, 180)
        early = self.alice.response("INVITE", 180)
        self.bob.reply(one, 200)
        self.alice.ack(invite, self.alice.response("INVITE"))
        second.take()
        self.alice.within("INFO", invite, early, True)
        self.assertEqual(self.alice.statuses(), [481])
        self.nothing_at(second)
