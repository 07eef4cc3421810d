"""Another proxy between a phone and us, or behind us (a Kamailio): its Routes and its contacts stay its own."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.sip.message import SipRequest
from sipnode.testing import World

EDGE = "<sip:198.51.100.7;lr;ftag=x>"


class EdgeTests(SynchronousTestCase):
    """An edge in front of us that records itself."""

    def setUp(self) -> None:
        self.world = World()
        self.edge = self.world.phone("edge", host="198.51.100.7")
        self.bob = self.world.phone("bob")
        self.bob.register()
        self.edge.aor = "sip:alice@elsewhere.test"
        self.edge.contact = "sip:alice@10.1.2.3:5062;alias=203.0.113.4~4711~1"

    def invite(self) -> SipRequest:
        """A phone's INVITE as the edge sends it on; as Bob gets it."""
        request = self.edge.send("INVITE", self.bob.aor, [("record-route", EDGE), ("via", "SIP/2.0/UDP 10.1.2.3:5062;branch=z9hG4bKphone")])
        self.sent = request
        return self.bob.got("INVITE")

    def test_its_alias_stays(self) -> None:
        """The alias that the edge wrote is the one that it reads: ours doesn't take its place."""
        self.assertEqual(self.invite().get("contact"), f"<{self.edge.contact}>")

    def test_callee_speaks(self) -> None:
        """What the callee sends goes to the edge, with its Route and the phone's own Contact as Request-URI."""
        received = self.invite()
        answered = self.bob.reply(received, 200)
        self.bob.within("BYE", received, answered, False)
        got = self.edge.got("BYE")
        self.assertEqual((got.uri, got.values("route")), (self.edge.contact, [EDGE]))

    def test_not_another_target(self) -> None:
        """With the edge's Route behind ours another Request-URI is refused: the edge would send it anywhere."""
        received = self.invite()
        answered = self.bob.reply(received, 200)
        self.edge.take()
        first = received.copy()
        first.set("contact", "<sip:+1900@pstn.test>")
        self.bob.within("INVITE", first, answered, False)
        self.assertEqual(self.bob.statuses(), [403])
        self.assertEqual(self.edge.take(), [])

    def test_caller_speaks(self) -> None:
        """What the caller sends through the edge, without the edge's own Route, reaches the callee."""
        received = self.invite()
        self.bob.reply(received, 200)
        answer = self.edge.response("INVITE")
        routes = [value for value in answer.values("record-route")[::-1] if "198.51.100.7" not in value]
        self.edge.send(
            "INFO",
            self.bob.contact,
            [("route", ", ".join(routes))],
            to=answer.get("to") or "",
            from_tag=self.sent.from_.tag,
            call_id=self.sent.call_id,
        )
        self.bob.got("INFO")

    def test_rewritten_by_the_proxy_behind(self) -> None:
        """A proxy behind us may write its Record-Route anew in the response (RFC 3261 §16.7): what the caller got is what counts."""
        carol = self.world.phone("carol")
        invite = carol.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        behind = ["<sip:192.0.2.12;lr;out=2>", *received.values("record-route")]
        bare = received.copy()
        bare.remove("record-route")
        self.bob.reply(bare, 200, headers=[("record-route", ", ".join(behind))])
        answer = carol.response("INVITE")
        carol.ack(invite, answer)
        self.assertEqual(self.bob.got("ACK").values("route"), ["<sip:192.0.2.12;lr;out=2>"])


class RegisterTests(SynchronousTestCase):
    """REGISTER is in no dialog."""

    def test_to_tag(self) -> None:
        """A To tag that a phone kept from an earlier answer changes nothing."""
        world = World()
        phone = world.phone("alice")
        phone.send("REGISTER", "sip:example.test", [("expires", "60")], to=f"<{phone.aor}>;tag=kept")
        self.assertEqual(phone.statuses(), [200])
