"""Calls between nodes that share a location table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.settings import MediaSettings, Settings
from sipnode.sip.address import NameAddr
from sipnode.sip.message import SipRequest
from sipnode.testing import DOMAIN, Phone

from .kit import Net, Node

BOB = f"sip:bob@{DOMAIN}"
SDP = b"v=0\r\no=- 1 1 IN IP4 203.0.113.7\r\ns=-\r\nc=IN IP4 203.0.113.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
WEBRTC = SDP.replace(b"RTP/AVP 0", b"UDP/TLS/RTP/SAVPF 111") + b"a=ice-ufrag:abcd\r\na=fingerprint:sha-256 AA\r\n"


class AcrossCase(SynchronousTestCase):
    """Node 1 with Alice's phone, node 2 with Bob's browser."""

    settings = Settings()

    def setUp(self) -> None:
        self.net = Net()
        self.one = Node(self.net, 1, self.settings)
        self.two = Node(self.net, 2, self.settings)
        self.alice = self.one.phone("alice")
        self.bob = self.two.phone("bob", "WS")
        self.assertEqual(self.bob.register().status, 200)

    def row(self, node: Node) -> Any:
        """Bob's binding as a node knows it."""
        (binding,) = node.core.registrar.table.lookup(f"bob@{DOMAIN}", self.net.clock.seconds())
        return binding

    def invite(self, body: bytes = SDP) -> tuple[SipRequest, SipRequest]:
        """Alice calls: the INVITE as sent, and as Bob got it."""
        sent = self.alice.send("INVITE", BOB, (), body)
        self.net.run()
        return sent, self.bob.got("INVITE")

    def by_route(self, path: str, phone: Phone | None = None, method: str = "INVITE", body: bytes = b"") -> int:
        """The answer of node 2 to a stranger's request with a Route."""
        stranger = phone or self.two.phone("stranger", host="203.0.113.66")
        stranger.send(method, self.row(self.two).contact, (("route", path),), body)
        self.net.run()
        statuses = [status for status in stranger.statuses() if status >= 200]
        return statuses[-1] if statuses else 0


class CallTests(AcrossCase):
    """The way there and back."""

    def test_row(self) -> None:
        """A row says which node wrote it and which way leads to its browser; only its own node has the connection."""
        mine, other = self.row(self.two), self.row(self.one)
        self.assertEqual((mine.server_id, other.server_id), (2, 2))
        self.assertRegex(other.path, r"^<sip:n1![0-9a-f]+!c[^!@]+![0-9a-f]{20}@198\.51\.100\.2:5060;lr>$")
        self.assertEqual((mine.connection_id, other.connection_id), (self.bob.flow.token, ""))

    def test_call(self) -> None:
        """An INVITE goes through both nodes to the browser, both stay in the dialog, and BYE goes the same way from either end."""
        invite, got = self.invite()
        self.assertEqual(got.uri, self.bob.contact)
        self.assertNotIn("route", got)
        hosts = [value.partition(":5060")[0].partition(":8080")[0] for value in got.values("record-route")]
        self.assertEqual(hosts, ["<sip:198.51.100.2", "<sip:198.51.100.2", "<sip:198.51.100.1"])
        answer = self.bob.reply(got, 200, SDP)
        self.net.run()
        received = self.alice.response("INVITE")
        self.assertEqual(received.status, 200)
        self.alice.ack(invite, received)
        self.net.run()
        self.assertEqual(self.bob.got("ACK").uri, self.bob.contact)
        self.bob.within("BYE", got, answer, False)
        self.net.run()
        self.assertEqual(self.alice.methods(), ["BYE"])

    def test_cancel(self) -> None:
        """A CANCEL follows its INVITE through both nodes."""
        invite, got = self.invite()
        self.bob.reply(got, 180)
        self.net.run()
        self.alice.cancel(invite)
        self.net.run()
        self.assertEqual(self.bob.methods(), ["CANCEL"])

    def test_credentials(self) -> None:
        """The second node asks nobody for a password: the first one has."""
        asked: list[Any] = []
        self.two.core.authenticator.check = lambda ctx, proxy: asked.append(ctx)
        self.invite()
        self.assertEqual(asked, [])

    def test_message(self) -> None:
        """A request outside of dialogs goes the same way."""
        self.alice.send("MESSAGE", BOB, (), b"hello", content_type="text/plain")
        self.net.run()
        got = self.bob.got("MESSAGE")
        self.bob.reply(got, 200)
        self.net.run()
        self.assertEqual(self.alice.statuses(), [200])

    def test_gruu(self) -> None:
        """A GRUU that one node gave leads to the device through any other, and as a Contact back to it, inside the call and outside."""
        self.bob.params = ';+sip.instance="<urn:uuid:0f2d0a33-7c5b-4f32-9d0e-000000000001>"'
        response = self.bob.register(headers=(("supported", "gruu"),))
        own = self.bob.contact
        (params,) = (NameAddr.parse(value).params for value in response.values("contact"))
        for uri in (params["pub-gruu"], params["temp-gruu"]):
            invite = self.alice.send("INVITE", uri, (), SDP)
            self.net.run()
            got = self.bob.got("INVITE")
            self.assertEqual(got.uri, own)
            self.bob.contact = uri
            self.bob.reply(got, 200, SDP)
            self.net.run()
            received = self.alice.response("INVITE")
            self.alice.ack(invite, received)
            self.net.run()
            self.assertEqual(self.bob.got("ACK").uri, own)
            self.alice.send("REFER", uri, (("refer-to", BOB),))
            self.net.run()
            self.assertEqual(self.bob.got("REFER").uri, own)
            self.bob.contact = own

    def test_own_one_is_direct(self) -> None:
        """The browser's own node uses no path."""
        carol = self.two.phone("carol")
        carol.send("INVITE", BOB, (), SDP)
        self.assertEqual(len(self.bob.got("INVITE").values("record-route")), 2)

    def test_moved(self) -> None:
        """A browser that comes to another node takes its binding along, and is called there directly."""
        ruid = self.row(self.two).ruid
        self.bob.params = ';+sip.instance="<urn:uuid:1>"'
        moved = self.one.phone("bob", "WS", contact="sip:new@bob.invalid;transport=ws")
        moved.params = self.bob.params
        self.bob.register()
        ruid = self.row(self.two).ruid
        self.assertEqual(moved.register().status, 200)
        mine = self.row(self.one)
        self.assertEqual((mine.ruid, mine.server_id), (ruid, 1))
        self.assertEqual(self.row(self.two).path.partition("@")[2], "198.51.100.1:5060;lr>")
        self.alice.send("INVITE", BOB, (), SDP)
        self.assertEqual(len(moved.got("INVITE").values("record-route")), 2)


class MediaTests(AcrossCase):
    """One relay, once."""

    def test_first_node(self) -> None:
        """The first node bridges for a browser at the second, which leaves the media alone, to the BYE."""
        invite, got = self.invite()
        self.assertEqual((self.one.media.operations, self.two.media.operations), (["offer"], []))
        self.assertTrue(self.one.media.profiles[0].to_browser)
        answer = self.bob.reply(got, 200, WEBRTC)
        self.net.run()
        self.alice.ack(invite, self.alice.response("INVITE"))
        self.net.run()
        self.assertEqual(self.one.media.operations, ["offer", "answer"])
        self.assertFalse(self.one.media.profiles[1].to_browser)
        self.bob.within("BYE", got, answer, False)
        self.net.run()
        self.assertEqual((self.one.media.operations, self.two.media.operations), (["offer", "answer", "delete"], []))

    def test_stranger_with_plain_sdp(self) -> None:
        """A Kamailio that knows nothing of WebRTC sends plain SDP by our path: then the browser's node bridges."""
        self.by_route(self.row(self.one).path, body=SDP)
        self.assertEqual(self.two.media.operations, ["offer"])
        self.assertTrue(self.two.media.profiles[0].to_browser)

    def test_stranger_with_webrtc(self) -> None:
        """One that has bridged already, as the seed's does, is believed."""
        self.by_route(self.row(self.one).path, body=WEBRTC)
        self.assertEqual(self.two.media.operations, [])

    def test_natted_phone(self) -> None:
        """The true address of a phone behind NAT at the other node stands in for the private one of its SDP."""
        carol = self.two.phone("carol", host="203.0.113.50", port=4711, contact="sip:carol@10.0.0.7:5060")
        carol.register()
        self.alice.send("INVITE", carol.aor, (), SDP)
        self.net.run()
        got = carol.got("INVITE")
        self.assertEqual(got.uri, "sip:carol@10.0.0.7:5060")
        carol.reply(got, 200, SDP.replace(b"203.0.113.7", b"10.0.0.7"))
        self.net.run()
        self.assertEqual(self.one.media.profiles[1].nat_source, "203.0.113.50")
        self.assertEqual(self.two.media.operations, [])


class MixedTests(AcrossCase):
    """``engage = mixed``."""

    settings = Settings(media=MediaSettings(engage="mixed"))

    def test_two_browsers(self) -> None:
        """Two browsers at two nodes need no relay, and the second node knows that the first has thought of it."""
        dora = self.one.phone("dora", "WS")
        dora.send("INVITE", BOB, (), WEBRTC)
        self.net.run()
        self.assertEqual(self.bob.got("INVITE").body, WEBRTC)
        self.assertEqual((self.one.media.operations, self.two.media.operations), ([], []))


class TokenTests(AcrossCase):
    """Who may send by a path."""

    def test_forged(self) -> None:
        """A path that nobody signed, or whose signature is another's, is 403; nothing reaches the browser."""
        path = self.row(self.one).path
        signature = path.partition("@")[0].rpartition("!")[2]
        self.assertEqual(self.by_route(path.replace(signature, "0" * 20)), 403)
        self.assertEqual(self.by_route(path.replace(signature, "")), 403)
        self.assertEqual(self.by_route(path.replace("!c", "!u")), 403)
        self.assertEqual(self.by_route("<sip:n1!@198.51.100.2:5060;lr>"), 403)
        self.assertEqual(self.bob.methods(), [])

    def test_too_old(self) -> None:
        """A path ends with the longest life of its binding, and a minute."""
        path = self.row(self.one).path
        self.net.clock.advance(3600 + 59)
        self.bob.register()
        self.assertEqual(self.by_route(path, method="MESSAGE"), 0)
        self.net.clock.advance(2)
        self.assertEqual(self.by_route(path, method="MESSAGE"), 403)

    def test_connection_gone(self) -> None:
        """A path to a connection that has gone is 480."""
        path = self.row(self.one).path
        stranger = self.two.phone("stranger")
        contact = self.row(self.two).contact
        self.two.close(self.bob)
        stranger.send("INVITE", contact, (("route", path),))
        self.assertEqual(stranger.statuses()[-1], 480)

    def test_of_another_node(self) -> None:
        """A path of one node means nothing to another, though they share the secret."""
        path = self.row(self.one).path.replace("198.51.100.2", "198.51.100.1")
        stranger = self.one.phone("stranger")
        stranger.send("INVITE", self.bob.contact, (("route", path),))
        self.assertEqual(stranger.statuses(), [403])

    def test_no_relay(self) -> None:
        """Whatever else stands in the Route, the request goes down the flow that the path names."""
        path = self.row(self.one).path
        self.by_route(f"{path}, <sip:203.0.113.99;lr>")
        got = self.bob.got("INVITE")
        self.assertNotIn("route", got)
        self.assertEqual([flow for flow in self.two.flows.flows if flow.remote[0] == "203.0.113.99"], [])


class GoneTests(AcrossCase):
    """A node that isn't there any more."""

    def setUp(self) -> None:
        super().setUp()
        self.net.run(2)
        self.alice.take()
        self.net.dead.add(self.two.host)

    def statuses(self) -> list[int]:
        """What Alice was told, repeats left out."""
        return list(dict.fromkeys(self.alice.statuses()))

    def test_first_call(self) -> None:
        """Who calls right after its end is told 480 within ``lost_seconds`` and one question, not after 32 s."""
        self.alice.send("INVITE", BOB, (), SDP)
        self.net.run(4.2)
        self.assertEqual(self.statuses(), [100, 480])

    def test_message(self) -> None:
        """So is who sends what has no 100."""
        self.alice.send("MESSAGE", BOB, (), b"hello", content_type="text/plain")
        self.net.run(4.2)
        self.assertEqual(self.alice.statuses(), [480])

    def test_later_calls(self) -> None:
        """Once it is known to be gone 480 comes at once."""
        self.net.run(4.2)
        self.alice.send("INVITE", BOB, (), SDP)
        self.assertEqual(self.alice.statuses(), [480])
        self.assertFalse(self.one.core.registrar.online(f"bob@{DOMAIN}"))

    def test_ringing(self) -> None:
        """A call that rings there ends when the node does."""
        self.net.dead.clear()
        _, got = self.invite()
        self.bob.reply(got, 180)
        self.net.run()
        self.assertEqual(self.alice.statuses(), [100, 180])
        self.net.dead.add(self.two.host)
        self.net.run(4.2)
        self.assertEqual(self.statuses(), [480])

    def test_next_branch(self) -> None:
        """A binding at a node that lives is called meanwhile."""
        other = self.one.phone("bob", "WS")
        other.register()
        self.alice.send("INVITE", BOB, (), SDP)
        other.reply(other.got("INVITE"), 200, WEBRTC)
        self.net.run(4.2)
        self.assertEqual(self.alice.statuses(), [100, 200])

    def test_came_over_meanwhile(self) -> None:
        """A browser that comes to this node while a call waits for the dead one is called."""
        self.alice.send("INVITE", BOB, (), SDP)
        self.net.run(1)
        moved = self.one.phone("bob", "WS")
        moved.register()
        self.net.run(3.2)
        moved.reply(moved.got("INVITE"), 200, WEBRTC)
        self.assertEqual(self.alice.statuses(), [100, 200])

    def test_back(self) -> None:
        """A node that answers again is used again."""
        self.net.run(4.2)
        self.assertTrue(self.one.watch.sisters()[0].down)
        self.net.dead.clear()
        self.net.run(1.2)
        self.assertFalse(self.one.watch.sisters()[0].down)
        self.invite()

    def test_forgotten(self) -> None:
        """When the last of its bindings has expired it is asked no more."""
        self.net.run(4)
        self.net.clock.advance(400)
        self.net.run(1.2)
        self.assertEqual(self.one.watch.sisters(), [])


class TakenOverTests(AcrossCase):
    """A call that is up when the node of its browser dies, and the browser comes to the other node."""

    def setUp(self) -> None:
        super().setUp()
        self.bob.params = ';+sip.instance="<urn:uuid:1>"'
        self.bob.register()
        invite, self.got = self.invite()
        self.answered = self.bob.reply(self.got, 200, WEBRTC)
        self.net.run()
        self.sent, self.answer = invite, self.alice.response("INVITE")
        self.alice.ack(invite, self.answer)
        self.net.run()
        self.net.dead.add(self.two.host)
        self.bob.take()
        self.one.connect(self.bob, 4711)
        self.assertEqual(self.bob.register().status, 200)
        self.one.media.log.clear()

    def test_bye_of_the_phone(self) -> None:
        """The phone's BYE reaches the browser at its new node; the relay gives the ports back."""
        self.alice.within("BYE", self.sent, self.answer, True)
        got = self.bob.got("BYE")
        self.assertNotIn("route", got)
        self.assertEqual(got.uri, self.bob.contact)
        self.bob.reply(got, 200)
        self.assertEqual(self.alice.statuses(), [200])
        self.assertEqual(self.one.media.operations, ["delete"])

    def test_bye_of_the_browser(self) -> None:
        """So does the browser's the phone, though its first Route is the dead node's."""
        self.bob.within("BYE", self.got, self.answered, False)
        self.assertEqual(self.alice.methods(), ["BYE"])
        self.assertEqual(self.one.media.operations, ["delete"])

    def test_new_offer(self) -> None:
        """A re-INVITE goes both ways, through the same relay."""
        self.bob.within("INVITE", self.got, self.answered, False, WEBRTC)
        self.alice.reply(self.alice.got("INVITE"), 200, SDP)
        self.assertEqual(self.bob.statuses()[-1], 200)
        self.assertEqual(self.one.media.operations, ["offer", "answer"])

    def test_of_nobody_here(self) -> None:
        """As long as the browser isn't here, the Route of its node is followed."""
        self.one.close(self.bob)
        self.alice.within("BYE", self.sent, self.answer, True)
        link = self.one.flows.by_address("UDP", self.two.host, 5060)
        self.assertTrue(any(data.startswith(b"BYE ") for data in link.sent))

    def test_forged(self) -> None:
        """A Route with a signature that isn't ours is none of a sister's: 404."""
        routes = [value.replace(";sn=", ";sn=b") for value in self.got.values("record-route")]
        received = self.got.copy()
        received.remove("record-route")
        for value in routes:
            received.append("record-route", value)
        self.bob.within("BYE", received, self.answered, False)
        self.assertEqual(self.bob.statuses(), [404])


class FirstNodeTests(AcrossCase):
    """A call of two browsers when the first node dies, which had bridged it, and the caller comes to the second."""

    def setUp(self) -> None:
        super().setUp()
        self.dora = self.one.phone("dora", "WS")
        self.dora.params = ';+sip.instance="<urn:uuid:2>"'
        self.dora.register()
        self.sent = self.dora.send("INVITE", BOB, (), WEBRTC)
        self.net.run()
        self.got = self.bob.got("INVITE")
        self.answered = self.bob.reply(self.got, 200, WEBRTC)
        self.net.run()
        self.answer = self.dora.response("INVITE")
        self.dora.ack(self.sent, self.answer)
        self.net.run()
        self.bob.got("ACK")
        self.assertEqual((self.one.media.operations, self.two.media.operations), (["offer", "answer"], []))
        self.net.dead.add(self.one.host)
        self.two.connect(self.dora, 4711)
        self.assertEqual(self.dora.register().status, 200)
        self.dora.take()

    def test_caller_hangs_up(self) -> None:
        """Its BYE reaches the callee, and the second node gives the ports back."""
        self.dora.within("BYE", self.sent, self.answer, True)
        self.assertEqual(self.bob.methods(), ["BYE"])
        self.assertEqual(self.two.media.operations, ["delete"])

    def test_callee_hangs_up(self) -> None:
        """So does the callee's."""
        self.bob.within("BYE", self.got, self.answered, False)
        self.assertEqual(self.dora.methods(), ["BYE"])
        self.assertEqual(self.two.media.operations, ["delete"])


class KamailioRowTests(AcrossCase):
    """Rows that a Kamailio wrote: server_id 9, no path of ours."""

    def save(self, **changes: Any) -> None:
        """Put Kamailio's row of Kim into node 1."""
        made = replace(self.row(self.one), aor=f"kim@{DOMAIN}", ruid="uloc-9-1", path="", socket="udp:203.0.113.9:5060", server_id=9)
        row = replace(made, **{"contact": "sip:kim@203.0.113.40:5062", "received": "", "cflags": 0, **changes})
        self.one.core.registrar.table.save(row.aor, row)

    def called(self) -> list[tuple[str, int]]:
        """Where a call to Kim goes."""
        before = list(self.one.flows.flows)
        self.alice.send("INVITE", f"sip:kim@{DOMAIN}", (), SDP)
        return [flow.remote for flow in self.one.flows.flows if flow not in before]

    def test_contact(self) -> None:
        """It is called at its contact."""
        self.save()
        self.assertEqual(self.called(), [("203.0.113.40", 5062)])

    def test_received(self) -> None:
        """Behind NAT at its true address."""
        self.save(contact="sip:kim@10.0.0.5:5062", received="sip:203.0.113.41:1024")
        self.assertEqual(self.called(), [("203.0.113.41", 1024)])

    def test_path_of_an_edge_proxy(self) -> None:
        """A path that isn't ours is followed, and nobody asks that proxy whether it lives."""
        self.save(path="<sip:203.0.113.80;lr>")
        self.assertEqual(self.called(), [("203.0.113.80", 5060)])
        self.assertEqual([sister.address.host for sister in self.one.watch.sisters()], ["198.51.100.2"])

    def test_its_browser(self) -> None:
        """A browser on Kamailio's own WebSocket can't be reached from here: 480."""
        self.save(contact="sip:x@kim.invalid;transport=ws", received="sip:203.0.113.42:4000;transport=ws", socket="ws:203.0.113.9:80")
        self.assertEqual(self.called(), [])
        self.assertEqual(self.alice.statuses(), [480])
