"""Each fault, staged in a world of its own, has its one sentence: which rule finds it, whom it blames, and what proves it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sipnode.auth.authenticator import Authenticator
from sipnode.errors import MediaError, NoRoute, Reject, StorageError
from sipnode.insight.explain import RULES, text
from sipnode.interfaces import ICredentialStore
from sipnode.observe.callhistory import CallHistory
from sipnode.proxy.destinations import Destinations
from sipnode.proxy.faults import blame_of
from sipnode.records import Credential, Hop
from sipnode.routing.script import RoutingScript
from sipnode.settings import AuthSettings, DialogSettings, ProxySettings, Settings, TrunkSettings
from sipnode.sip import digest
from sipnode.sip.message import SipRequest
from sipnode.testing import DOMAIN, Phone
from sipnode.transport.handshake import HandshakeRules
from sipnode.transport.http import WebPort, XHTTPRoot
from sipnode.transport.sniff import StreamPort
from sipnode.transport.websocket import websocket_factory
from sipnode.wiring.insight import handshakes_of
from tests.insight.kit import SDP, RecordedCase
from tests.observe.test_callhistory import Lines
from tests.transport.kit import Bench, listener
from tests.transport.test_http import UPGRADE, request

SECURE = (
    b"v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n"
    b"a=ice-ufrag:x\r\na=ice-pwd:y\r\na=fingerprint:sha-256 AA\r\n"
    b"m=audio 4000 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n"
)
PUBLIC = SDP.replace(b"10.1.1.1", b"198.51.100.7")


KINDS = {
    "connection for WebSocket not found": "stale_contacts",
    "ran out of ports": "relay_ports",
    "unknown call-id": "relay_unknown_call",
    "recording without a directory": "relay_recording",
    "cannot assign requested address": "relay_interface",
    "no media node is up": "relay_down",
    "the media node is silent": "relay_silent",
    "not registered": "not_registered",
    "gone some seconds before": "gone",
    "wrong password": "wrong_password",
    "a stage refused": "stage",
    "the phone never answered": "silent_phone",
    "488 and what was offered": "not_acceptable",
    "private address in SDP": "private_address",
    "one-way audio": "one_way_packets",
    "no audio": "no_audio",
    "wrong advertised address": "advertise",
    "certificate expired": "certificate_expired",
    "certificate of another name": "certificate_name",
    "Host of a WebSocket": "websocket_host",
    "Origin of a WebSocket": "websocket_origin",
    "DNS": "dns",
    "a trunk rejected": "trunk",
    "session timer": "session_timer",
    "CANCEL raced": "cancel_raced",
    "loop": "loop",
    "overload": "overload",
    "database away": "database",
    "clock skew of a nonce": "stale_nonce",
}
"""Faults that have to be explained, and the rule that does."""


class KindTests(SynchronousTestCase):
    """What is promised is staged."""

    def test_each_is_staged(self) -> None:
        """Each fault of the list has a test here."""
        source = Path(sys.modules[__name__].__file__ or "").read_text("utf-8")
        tests = source.partition("class ExplainCase")[2]
        self.assertEqual([kind for kind, rule in KINDS.items() if f'"{rule}"' not in tests], [])


class ExplainCase(RecordedCase):
    """Ways to see what is explained."""

    def invite(self, to: str = "", body: bytes = SDP, **options: Any) -> SipRequest:
        """Alice calls bob, or somebody else."""
        return self.alice.send("INVITE", to or self.bob.aor, (), body, **options)

    def blames(self, call_id: str, rule: str, *words: str) -> str:
        """The sentence about a call, which has to come from that rule and to have these words, and proof that there is."""
        why = self.why(call_id)
        self.assertEqual(why["rule"], rule, why)
        for word in words:
            self.assertIn(word, f"{why['sentence']} {why['mend']}")
        self.assertTrue(why["proof"], why)
        self.assertTrue(all(each["label"] for each in why["proof"]), why)
        self.assertIn(why["sentence"], text(why))
        self.assertTrue(why["sentence"].endswith("."), why["sentence"])
        return why["sentence"]


class GoodTests(ExplainCase):
    """Nothing is found where nothing is wrong."""

    def test_completed(self) -> None:
        """No rule finds anything in a call that went well, also with media by the relay."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        self.assertEqual(self.why(call.invite.call_id)["rule"], "nothing")
        call.from_caller("BYE")
        self.bob.reply(self.bob.got("BYE"), 200)
        why = self.why(call.invite.call_id)
        self.assertEqual((why["rule"], why["fault"], why["also"]), ("nothing", False, []))

    def test_not_recorded(self) -> None:
        """Of what isn't known nothing is made up."""
        why = self.why("nobody")
        self.assertFalse(why["recorded"])
        self.assertIn("not recorded", why["sentence"].lower())

    def test_ringing(self) -> None:
        """A call that rings has no fault yet."""
        invite = self.invite()
        self.bob.reply(self.bob.got("INVITE"), 180)
        self.assertEqual(self.why(invite.call_id)["rule"], "nothing")

    def test_every_rule_is_named_once(self) -> None:
        """No rule is asked twice."""
        self.assertEqual(len(RULES), len(set(RULES)))


class LogTests(ExplainCase):
    """The log has the sentence."""

    def setUp(self) -> None:
        super().setUp()
        self.calls = CallHistory(self.world.clock, "failed", self.world.core.tap)
        self.calls.log = self.said = Lines(self.calls.write_settled)
        self.calls.explained = self.insight.sentence

    def test_failed(self) -> None:
        """Behind the line about a call that failed stands why, and what to do."""
        assert self.relay is not None
        self.relay.error = MediaError("Ran out of ports", 503)
        invite = self.invite()
        self.assertNotIn("why:", " ".join(self.said.lines))
        self.world.clock.advance(2)
        self.assertTrue(self.said.lines[-1].startswith(f"{invite.call_id}: why: The media relay has no ports left"), self.said.lines)
        self.assertIn("port-min", self.said.lines[-1])

    def test_a_flood(self) -> None:
        """No more reasons a second than the lives of calls have lines."""
        assert self.relay is not None
        self.relay.error = MediaError("Ran out of ports", 503)
        for _ in range(30):
            self.invite()
        self.world.clock.advance(2)
        self.assertEqual(sum(": why: " in line for line in self.said.lines), 5)


class ReachTests(ExplainCase):
    """The callee can't be reached."""

    def test_not_registered(self) -> None:
        """A name that nobody has registered."""
        invite = self.invite(f"sip:carol@{DOMAIN}")
        self.blames(invite.call_id, "not_registered", "carol@example.test isn't registered")

    def test_stranger(self) -> None:
        """The call of somebody who has proved nothing is a failed one, too, and its sentence is the only one."""
        eve = self.world.phone("eve", domain="elsewhere.test")
        invite = eve.send("INVITE", f"sip:carol@{DOMAIN}", (), SDP)
        self.blames(invite.call_id, "not_registered", "carol@example.test isn't registered")
        self.assertEqual(self.why(invite.call_id)["also"], [])
        self.assertEqual([row["call_id"] for row in self.insight.rows(1, "problems")], [invite.call_id])

    def test_gone(self) -> None:
        """A browser whose connection went some seconds before, with the reason."""
        self.world.close(self.bob, "no pong in time")
        self.world.clock.advance(12)
        invite = self.invite()
        self.blames(invite.call_id, "gone", "until 12 s before the call", "its connection was lost", "no pong in time")

    def test_signed_out(self) -> None:
        """A phone that has signed out itself."""
        self.bob.register(0)
        self.world.clock.advance(3)
        self.blames(self.invite().call_id, "gone", "until 3 s before the call", "signed out")

    def test_silent_phone(self) -> None:
        """A phone over UDP that never says anything: how often the INVITE went there, and where."""
        carol = self.world.phone("carol")
        carol.register()
        carol.take()
        invite = self.invite(carol.aor)
        self.world.advance(40)
        self.blames(invite.call_id, "silent_phone", "carol@example.test", f"udp:{carol.flow.remote[0]}:5060", "7 times in 32 s")

    def test_nobody_answered(self) -> None:
        """It rang, and nobody took it."""
        invite = self.invite()
        self.bob.reply(self.bob.got("INVITE"), 180)
        self.world.advance(181)
        self.bob.reply(self.bob.got("CANCEL"), 200)
        self.world.advance(40)
        self.blames(invite.call_id, "nobody_answered", "bob@example.test")

    def test_caller_gave_up(self) -> None:
        """The caller hung up while it rang, which is no fault."""
        invite = self.invite()
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.world.advance(7)
        self.alice.cancel(invite)
        self.bob.reply(received, 487)
        self.blames(invite.call_id, "caller_gave_up", "for 7 s")
        self.assertFalse(self.why(invite.call_id)["fault"])

    def test_abandoned(self) -> None:
        """The caller's browser went while it rang."""
        carol = self.world.phone("carol", "WS")
        carol.register()
        invite = carol.send("INVITE", self.bob.aor, (), SDP)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.world.close(carol, "closed by the peer")
        self.bob.reply(received, 487)
        self.blames(invite.call_id, "abandoned", "was lost while it rang (closed by the peer)")

    def test_contacts_stale(self) -> None:
        """The callee is registered, but its connection is gone without anybody having noticed."""
        self.bob.flow.closed = True
        invite = self.invite()
        self.blames(invite.call_id, "stale_contacts", "bob@example.test is registered")

    def test_dns(self) -> None:
        """A foreign domain whose name has no address."""
        invite = self.invite("sip:dave@nowhere.test")
        self.blames(invite.call_id, "dns", "no address of nowhere.test", "dig SRV _sip._udp.nowhere.test")

    def test_barred_destination(self) -> None:
        """A name that leads where nobody may be sent to."""
        self.world.resolver.names["inside.test"] = [Hop("UDP", "127.0.0.1", 5060)]
        invite = self.invite("sip:dave@inside.test")
        self.blames(invite.call_id, "barred_destination", "[proxy] destinations")

    def test_certificate(self) -> None:
        """The certificate of the next hop: expired, of another name, of an unknown authority."""
        for words, rule in (
            ("CN=peer.test: a certificate has expired", "certificate_expired"),
            ("CN=other.test: the certificate has other names than peer.test", "certificate_name"),
            ("CN=peer.test: the issuer is not trusted, or an intermediate certificate is not sent", "certificate"),
        ):
            self.setUp()
            self.world.resolver.names["peer.test"] = [Hop("TLS", "203.0.113.5", 5061)]
            error = NoRoute(f"TLS to 203.0.113.5:5061: {words}")
            self.patch(self.world.flows, "connect", lambda *arguments, error=error, **options: fail(error))
            invite = self.invite("sip:dave@peer.test")
            self.blames(invite.call_id, rule, words)
            self.assertIn(words, blame_of(error))

    def test_no_connection(self) -> None:
        """Nobody listens there."""
        self.world.resolver.names["peer.test"] = [Hop("TCP", "203.0.113.5", 5060)]
        error = NoRoute("TCP to 203.0.113.5:5060: Connection was refused by other side")
        self.patch(self.world.flows, "connect", lambda *arguments, **options: fail(error))
        invite = self.invite("sip:dave@peer.test")
        self.blames(invite.call_id, "no_connection", "TCP to 203.0.113.5:5060")


class CalleeTests(ExplainCase):
    """The callee refuses."""

    def refuse(self, status: int, body: bytes = SDP, headers: Any = (), to: Phone | None = None) -> str:
        """Bob, or another phone, refuses a call; its Call-ID."""
        invite = self.invite((to or self.bob).aor, body)
        (to or self.bob).reply((to or self.bob).got("INVITE"), status, headers=headers)
        return invite.call_id

    def test_busy_and_declined(self) -> None:
        """Which are no faults."""
        for status, rule in ((486, "busy"), (603, "declined")):
            call_id = self.refuse(status)
            self.blames(call_id, rule, "bob@example.test")
            self.assertFalse(self.why(call_id)["fault"])

    def test_words(self) -> None:
        """Any other refusal is told in the words of its Reason and Warning headers."""
        call_id = self.refuse(500, headers=(("reason", 'Q.850;cause=16;text="Card failed"'), ("warning", '399 pbx "line 3"')))
        self.blames(call_id, "callee_refused", "Card failed", "line 3")

    def test_not_acceptable(self) -> None:
        """488: which codec and profile it was offered."""
        self.relay = None
        self.world = self.recorded()
        self.insight = self.world.insight
        self.alice, phone = self.world.phone("alice", "WS"), self.world.phone("bob")
        for each in (self.alice, phone):
            each.register()
            each.take()
        call_id = self.refuse(488, SECURE, (("warning", '304 phone "Media type not available"'),), phone)
        self.blames(call_id, "not_acceptable", "audio as UDP/TLS/RTP/SAVPF with opus", "Media type not available", "SRTP")


class OwnScript(RoutingScript):
    """A site's script that lets bob alone on Sundays."""

    REQUEST_ROUTE = (*RoutingScript.REQUEST_ROUTE[:-1], "sunday", "location")

    def sunday(self, r: Any) -> Any:
        """Refuse."""
        if r.method == "INVITE":
            raise Reject(403, "Not On Sundays", rule="sunday")
        return None


class StageTests(ExplainCase):
    """A stage of the script refuses."""

    script = OwnScript

    def test_stage(self) -> None:
        """A site's own stage, with file and line and rule."""
        invite = self.invite()
        line = OwnScript.sunday.__code__.co_firstlineno
        self.blames(invite.call_id, "stage", "403 Not On Sundays", f"stage sunday (test_explain.py:{line})", "rule sunday")


class ServerTests(ExplainCase):
    """This server refuses."""

    def test_relaying(self) -> None:
        """A stranger calls a foreign domain."""
        eve = self.world.phone("eve", domain="elsewhere.test")
        invite = eve.send("INVITE", "sip:x@other.test", (), SDP)
        self.blames(invite.call_id, "relaying", "403 Relaying Denied", "stage sipout (script.py:")

    def test_strangers(self) -> None:
        """A stranger calls, where none may."""
        self.world = self.recorded(Settings(proxy=ProxySettings(strangers=())))
        self.insight = self.world.insight
        eve = self.world.phone("eve", domain="elsewhere.test")
        invite = eve.send("INVITE", self.bob.aor, (), SDP)
        self.blames(invite.call_id, "strangers", "stranger")

    def test_overload(self) -> None:
        """New calls get 503 while there is no time for them."""
        self.world.core.busy["overload"] = lambda: 7
        self.blames(self.invite().call_id, "overload", "overloaded")

    def test_loop(self) -> None:
        """A call that comes back to us by itself."""
        self.world = self.recorded(destinations=Destinations())
        self.insight, self.alice = self.world.insight, self.world.phone("alice")
        us = self.world.phone("us", host="192.0.2.1")
        self.world.resolver.names[DOMAIN] = [Hop("UDP", "192.0.2.1", 5060)]
        self.world.core.registrar.contact_refusal = None
        carol = self.world.phone("carol", contact=f"sip:carol@{DOMAIN}")
        carol.register()
        invite = self.invite(carol.aor)
        for _ in range(5):
            for data in us.flow.sent[:]:
                us.flow.sent.remove(data)
                self.world.sink.received(data, us.flow)
        self.blames(invite.call_id, "loop", "circle", "482")

    def test_unreadable(self) -> None:
        """A message of the call that can't be read."""
        invite = self.invite()
        broken = invite.to_bytes().replace(b"Max-Forwards", b"Max-\x01Forwards", 1)
        self.world.sink.received(broken, self.alice.flow)
        self.blames(invite.call_id, "unreadable", self.alice.flow.remote[0], "SIP ALG")

    def test_cancel_raced(self) -> None:
        """The callee answers when the caller has hung up."""
        invite = self.invite()
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.alice.cancel(invite)
        self.bob.reply(received, 200, SDP)
        self.blames(invite.call_id, "cancel_raced", "at the same time")

    def test_session_timer(self) -> None:
        """A call that nobody refreshed."""
        invite = self.alice.send("INVITE", self.bob.aor, (("session-expires", "90;refresher=uac"), ("supported", "timer")), SDP)
        self.bob.reply(self.bob.got("INVITE"), 200, SDP, headers=(("session-expires", "90;refresher=uac"),))
        self.alice.ack(invite, self.alice.response("INVITE"))
        self.world.advance(300)
        self.blames(invite.call_id, "session_timer", "session timer")

    def test_vanished(self) -> None:
        """A browser that went in the middle of the call and didn't come back."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        self.world.close(self.bob, "no pong in time")
        self.world.advance(DialogSettings().lost_flow_seconds + 60)
        self.blames(call.invite.call_id, "vanished", "no pong in time")

    def answered_without_ack(self) -> str:
        """Bob answers again and again, as alice's ACK doesn't come, then gives up."""
        phone = self.world.phone("carol")
        phone.register()
        phone.take()
        invite = self.invite(phone.aor)
        received = phone.got("INVITE")
        answer = phone.reply(received, 200, SDP)
        for _ in range(3):
            self.world.advance(4)
            self.world.sink.received(answer.to_bytes(), phone.flow)
        phone.within("BYE", received, answer, False)
        self.alice.reply(self.alice.got("BYE"), 200)
        return invite.call_id

    def test_no_ack(self) -> None:
        """A caller who can't reach the address that it was told."""
        self.blames(self.answered_without_ack(), "no_ack", "192.0.2.1", "advertise")

    def test_advertise(self) -> None:
        """The same, where that address is one that only its own network knows."""
        for flow in (self.alice.flow, *self.world.flows.flows):
            self.patch(flow.listener, "via_host", "10.0.0.5")
        self.blames(self.answered_without_ack(), "advertise", "10.0.0.5", "advertise PUBLIC")


class HandshakeTests(ExplainCase):
    """A browser gets no WebSocket, so it can't even register."""

    def knock(self, require_origin: bool = False, source: str = "203.0.113.9", **changes: str) -> int:
        """The status of a handshake with these headers, by the HTTP that listens in a server."""
        bench = Bench()
        rules = HandshakeRules({"sip.example.com"}.__contains__, ("self",), require_origin)
        web = listener("WS", 8080, websocket_port=True)
        refused = handshakes_of(self.insight, self.world.core)
        root = XHTTPRoot(rules, websocket_factory(bench.hub, web, bench.clock), None, None, "", refused)
        port = StreamPort(bench.hub, listener("TCP", 8080, websocket_port=True), WebPort(bench.hub, root, bench.clock).channel)
        wire = bench.connect(port.buildProtocol(IPv4Address("TCP", source, 40000)), source)
        wire.protocol.dataReceived(request(UPGRADE | {name.replace("_", "-"): value for name, value in changes.items()}))
        return int(wire.take().split(b" ")[1])

    def test_host(self) -> None:
        """A name that isn't ours: which, from where, and the line that lets it in."""
        self.assertEqual(self.knock(Host="voice.example.org:8080"), 403)
        words = ("203.0.113.9", "the Host voice.example.org,", "[transport] hosts = ['voice.example.org']")
        self.blames("websocket:203.0.113.9", "websocket_host", *words)

    def test_origin(self) -> None:
        """A page of another site: which, and the line that lets it in; how often, too."""
        for _ in range(3):
            self.assertEqual(self.knock(Origin="https://app.example.org"), 403)
        words = ("3 times", "the Origin https://app.example.org,", "[transport] origins = ['self', 'https://app.example.org']")
        self.blames("websocket:203.0.113.9", "websocket_origin", *words)

    def test_nothing_to_copy(self) -> None:
        """What a stranger writes gets into no line that is there to be copied, unless it looks like a name."""
        self.knock(Origin="https://x']\thosts=['evil")
        self.knock(Host="x']y", source="203.0.113.10")
        for address in ("203.0.113.9", "203.0.113.10"):
            mend = self.why(f"websocket:{address}")["mend"]
            self.assertNotIn("x']", mend)
            self.assertIn("'…'", mend)

    def test_no_origin(self) -> None:
        """None at all, where one is wanted."""
        self.assertEqual(self.knock(True, Origin=""), 403)
        self.blames("websocket:203.0.113.9", "websocket_origin", "no Origin", "require_origin")

    def test_other_faults(self) -> None:
        """Any other refusal is told in its own words."""
        self.assertEqual(self.knock(Sec_WebSocket_Protocol="chat"), 400)
        self.blames("websocket:203.0.113.9", "websocket_refused", "Sec-WebSocket-Protocol has no sip")

    def test_good(self) -> None:
        """A handshake that is let in leaves nothing."""
        self.assertEqual(self.knock(), 101)
        self.assertEqual(self.insight.rows(10, ""), [])

    def test_listed(self) -> None:
        """It is among the problems, and has a ladder; what a stranger wrote into it does no harm."""
        self.knock(Host="x\x1b[2J" + "y" * 5000)
        (row,) = self.insight.rows(1, "problems")
        self.assertEqual((row["call_id"], row["method"], row["place"]), ("websocket:203.0.113.9", "WEBSOCKET", "203.0.113.9:40000"))
        self.assertLess(row["octets"], 10_000)
        for form in ("text", "markdown", "mermaid", "json"):
            export = self.insight.export(row["call_id"], form)["text"]
            self.assertIn("403", export)
            self.assertNotIn("\x1b", export)

    def test_flood(self) -> None:
        """Whoever knocks from everywhere drives out no call of a user."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        refused = self.recorder.handshake_refused
        for number in range(5000):
            refused(self.world.clock.seconds(), "WS", ("192.0.2.1", 80), (f"2001:db8::{number:x}", 1), "h" * 1000, "o" * 1000, 403, "Host")
        self.assertIsNotNone(self.insight.story(call.invite.call_id))
        self.assertLessEqual(self.ring.size, self.ring.most_octets)
        self.assertLessEqual(len(self.ring.records), self.ring.most_calls)


class MediaTests(ExplainCase):
    """The media relay refuses, or SDP can't work."""

    def test_relay(self) -> None:
        """What rtpengine says, in a sentence with the line of its configuration."""
        for words, rule, mend in (
            ("Ran out of ports", "relay_ports", "port-min"),
            ("Failed to get 2 consecutive ports on all locals of logical 'default'", "relay_ports", "port-max"),
            (
                "Failed to get 2 consecutive ports on interface x (Cannot assign requested address)",
                "relay_interface",
                "interface",
            ),
            ("Unknown call-id", "relay_unknown_call", "restarted"),
            ("Call recording requested, but no spool directory configured", "relay_recording", "recording-dir"),
            ("no media node is up", "relay_down", "[media] nodes"),
            ("no answer", "relay_silent", "listen-ng"),
            ("Something else", "relay", "log of rtpengine"),
        ):
            self.setUp()
            assert self.relay is not None
            self.relay.error = MediaError(words, 503)
            self.blames(self.invite().call_id, rule, words, mend)

    def between(self, transport: str, offer: bytes, answer: bytes) -> str:
        """A call that is answered, without media relay; its Call-ID."""
        self.relay = None
        self.world = self.recorded()
        self.insight = self.world.insight
        self.alice, self.bob = self.world.phone("alice", host="198.51.100.20"), self.world.phone("bob", transport, host="203.0.113.30")
        for each in (self.alice, self.bob):
            each.register()
            each.take()
        return self.world.call(self.alice, self.bob, offer, answer).invite.call_id

    def measured(self, first: int, second: int) -> str:
        """A call by the relay whose ends sent so many packets; its Call-ID."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        self.world.advance(5)
        call.from_caller("BYE")
        self.bob.reply(self.bob.got("BYE"), 200)
        stream = {b"flags": [b"RTP"], b"endpoint": {b"address": b"198.51.100.7", b"port": 4000}}
        tags = {
            tag: {b"medias": [{b"streams": [{**stream, b"stats": {b"packets": count}}]}]} for tag, count in ((b"a", first), (b"b", second))
        }
        self.recorder.measured(self.world.clock.seconds(), call.invite.call_id, {b"tags": tags})
        self.recorder.measured(self.world.clock.seconds(), "another call", {b"tags": tags})
        return call.invite.call_id

    def test_one_way_packets(self) -> None:
        """The relay counted the packets of one end only."""
        self.blames(self.measured(250, 0), "one_way_packets", "250 packets of one end", "198.51.100.7:4000")

    def test_no_audio(self) -> None:
        """It counted none at all, with a browser on an end."""
        self.blames(self.measured(0, 0), "no_audio", "ICE or DTLS failed", "port-min")

    def test_both_ways(self) -> None:
        """Packets of both ends are no fault, and stand in the ladder."""
        call_id = self.measured(250, 248)
        self.assertEqual(self.why(call_id)["rule"], "nothing")
        self.assertIn("250 packets from 198.51.100.7:4000; 248 packets", self.insight.export(call_id, "text")["text"])

    def test_private_address(self) -> None:
        """A phone behind NAT that asks for its media at its own address."""
        self.blames(self.between("UDP", SDP, PUBLIC), "private_address", "10.1.1.1", "203.0.113.30")

    def test_no_dtls(self) -> None:
        """A browser that gets the plain SDP of a phone."""
        self.blames(self.between("WS", PUBLIC, SECURE), "no_dtls", "a DTLS fingerprint and ICE", "[media] nodes")

    def test_one_way(self) -> None:
        """An answer that only listens."""
        self.blames(self.between("UDP", PUBLIC, PUBLIC + b"a=recvonly\r\n"), "one_way", "only listens", "203.0.113.30")

    def test_no_common_codec(self) -> None:
        """An answer that takes no stream."""
        sentence = self.blames(self.between("UDP", PUBLIC, PUBLIC.replace(b"audio 4000", b"audio 0")), "no_common_codec")
        self.assertIn("PCMU", sentence)

    def test_no_answer_sdp(self) -> None:
        """An answer without SDP."""
        self.blames(self.between("UDP", PUBLIC, b""), "no_answer_sdp")

    def test_audio_is_fine(self) -> None:
        """Public addresses, both ways: nothing is found."""
        self.assertEqual(self.why(self.between("UDP", PUBLIC, PUBLIC))["rule"], "nothing")


@implementer(ICredentialStore)
class NoUsers:
    """A database that is away."""

    outage_seconds = 0.0
    outdated = unserved = 0

    def cached(self, username: str, domain: str) -> Credential | None:
        """Nothing is known without asking."""
        raise KeyError(username)

    def fetch(self, username: str, domain: str) -> Deferred[Credential | None]:
        """Nobody answers."""
        return fail(StorageError("connection to server was lost"))


class PasswordTests(ExplainCase):
    """Who signs in wrongly."""

    everything = True

    def setUp(self) -> None:
        super().setUp()
        self.world = self.recorded(users={"alice": "right", "bob": "too"})
        self.insight = self.world.insight
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob", "WS")
        # It answers no challenge by itself.
        self.alice.password = ""

    def answer(self, request: SipRequest, challenge: Any, password: str, user: str = "alice") -> SipRequest:
        """The same request once more, with credentials."""
        proxy = challenge.status == 407
        offer = digest.parse_challenge(challenge.get("proxy-authenticate" if proxy else "www-authenticate"))
        value = digest.authorization(offer, request.method, request.uri, user, password, "cn")
        header = ("proxy-authorization" if proxy else "authorization", value)
        return self.alice.send(request.method, request.uri, (header,), request.body, to=request.get("to") or "", call_id=request.call_id)

    def test_wrong_password(self) -> None:
        """A phone whose password is another: whose, where it is, and how to give it a new one; a REGISTER and a call alike."""
        for method, uri in (("REGISTER", f"sip:{DOMAIN}"), ("INVITE", self.bob.aor)):
            first = self.alice.send(method, uri, (), b"", to=f"<{self.alice.aor}>" if method == "REGISTER" else "")
            self.answer(first, self.alice.response(method), "wrong")
            self.alice.response(method)
            self.blames(first.call_id, "wrong_password", "alice", "192.0.2.11", "sipnode user passwd alice@example.test")

    def test_no_credentials(self) -> None:
        """A phone that doesn't answer the challenge."""
        first = self.alice.send("INVITE", self.bob.aor, (), SDP)
        self.blames(first.call_id, "no_credentials", "never gave one")

    def test_database(self) -> None:
        """The database is away when a password is looked for."""
        clock = self.world.clock
        self.world = self.recorded(authenticator=Authenticator(AuthSettings(), NoUsers(), b"s" * 32, clock), clock=clock)
        self.insight, self.alice = self.world.insight, self.world.phone("alice")
        first = self.invite()
        self.answer(first, self.alice.response("INVITE"), "right")
        self.blames(first.call_id, "database", "the password couldn't be looked up", "[storage] url")

    def test_not_your_address(self) -> None:
        """A user who says to be another."""
        first = self.alice.send("REGISTER", f"sip:{DOMAIN}", to=f"<{self.bob.aor}>")
        self.answer(first, self.alice.response("REGISTER"), "right")
        self.blames(first.call_id, "not_your_address", "alice", "bob@example.test")

    def test_stale_nonce(self) -> None:
        """A phone whose nonces are always too old."""
        first = self.alice.send("REGISTER", f"sip:{DOMAIN}", to=f"<{self.alice.aor}>")
        challenge = self.alice.response("REGISTER")
        for _ in range(2):
            self.world.clock.advance(10_000)
            self.answer(first, challenge, "right")
            challenge = self.alice.response("REGISTER")
        self.blames(first.call_id, "stale_nonce", "alice", "clock")


class TrunkTests(ExplainCase):
    """A trunk rejects."""

    settings = replace(Settings(), trunk={"provider": TrunkSettings(address="203.0.113.9", prefixes=("00",))})

    def test_trunk(self) -> None:
        """In its words, with the name of the section."""
        trunk = self.world.phone("trunk", host="203.0.113.9", contact="sip:x@203.0.113.9")
        invite = self.invite(f"sip:0049301234@{DOMAIN}")
        trunk.reply(self._at(trunk), 403, headers=(("reason", 'Q.850;cause=21;text="Call barred"'),))
        self.blames(invite.call_id, "trunk", "The trunk provider rejected the call: 403", "Call barred", "[trunk.provider]")

    def _at(self, phone: Phone) -> SipRequest:
        """The INVITE that went to that host, by whatever flow."""
        for flow in self.world.flows.flows:
            if flow.remote == phone.flow.remote and flow.sent:
                phone.flow = flow
        return phone.got("INVITE")
