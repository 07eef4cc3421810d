"""Calls whose browser vanishes: the dialog service."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import fail
from twisted.trial.unittest import SynchronousTestCase

from sipnode.dialog.ends import CSEQ_GAP
from sipnode.errors import NoRoute
from sipnode.records import Hop
from sipnode.settings import DialogSettings, Settings
from sipnode.testing import Phone, RecordingMediaRelay, World

SDP = b"v=0\r\ns=-\r\n"
INSTANCE = ';+sip.instance="<urn:uuid:0f2d0a33-7c5b-4f32-9d0e-%s>"'


class VanishedTests(SynchronousTestCase):
    """A tab is killed in mid-call."""

    def setUp(self) -> None:
        self.relay = RecordingMediaRelay()
        self.world = World(Settings(dialog=replace(DialogSettings(), lost_flow_seconds=4.0)), media=self.relay)
        self.tab, self.bob = self.end("tab", "WS"), self.end("bob", "UDP")

    def end(self, user: str, transport: str) -> Phone:
        """A registered end."""
        phone = self.world.phone(user, transport)
        if phone.flow.websocket:
            phone.params = INSTANCE % user.ljust(12, "0")
        phone.register()
        phone.take()
        return phone

    def test_caller_killed(self) -> None:
        """The other end gets one BYE after the grace, as if from the browser: tags, Call-ID, a higher CSeq, its Contact, no Route
        of ours; the relay gives the ports back."""
        call = self.world.call(self.tab, self.bob, SDP, SDP)
        self.world.close(self.tab)
        self.world.advance(3.9)
        self.assertEqual(self.bob.inbox, [])
        self.world.advance(0.3)
        bye = self.bob.got("BYE")
        self.assertEqual((bye.uri, bye.call_id), (self.bob.contact, call.invite.call_id))
        self.assertEqual((bye.from_.tag, bye.to.tag), (call.invite.from_.tag, self.bob.tag))
        self.assertGreater(bye.cseq, call.invite.cseq + CSEQ_GAP)
        self.assertNotIn("route", bye)
        self.assertIn("Connection lost", bye.get("reason") or "")
        self.assertEqual(self.relay.operations, ["offer", "answer", "delete"])
        self.bob.reply(bye, 200)
        self.assertEqual(len(self.world.core.dialogs), 0)
        self.world.advance(60)
        self.assertEqual(len(self.world.core.transactions), 0)

    def test_callee_killed(self) -> None:
        """So it is where the browser was called."""
        call = self.world.call(self.bob, self.tab, SDP, SDP)
        self.world.close(self.tab)
        self.world.advance(5)
        bye = self.bob.got("BYE")
        self.assertEqual((bye.from_.tag, bye.to.tag), (self.tab.tag, call.invite.from_.tag))
        self.assertEqual(bye.get("from"), call.answer.get("to"))

    def test_between_browsers(self) -> None:
        """The other browser gets its BYE on its own connection."""
        other = self.end("other", "WSS")
        self.world.call(self.tab, other, SDP, SDP)
        self.world.close(self.tab)
        self.world.advance(5)
        self.assertEqual(other.got("BYE").uri, other.contact)

    def test_cseq_follows_what_was_seen(self) -> None:
        """The number of the BYE is above all that the browser used in the dialog."""
        call = self.world.call(self.bob, self.tab, SDP, SDP)
        self.tab.cseq = 500
        call.from_callee("INFO")
        self.world.close(self.tab)
        self.world.advance(5)
        self.assertEqual(self.bob.got("BYE").cseq, 502)

    def test_natted_phone(self) -> None:
        """A phone behind NAT gets its BYE at its source."""
        natted = self.world.phone("natted", host="203.0.113.9", port=41000, contact="sip:natted@10.0.0.9")
        natted.register()
        self.world.call(self.tab, natted)
        self.world.close(self.tab)
        self.world.advance(5)
        natted.got("BYE")

    def test_phone_by_name(self) -> None:
        """A far end whose Contact is a name gets its BYE by DNS; where that fails, nothing else suffers."""
        for reachable in (True, False):
            self.setUp()
            pbx = self.world.phone("pbx", contact="sip:pbx@pbx.test")
            self.world.resolver.names["pbx.test"] = [Hop("UDP", pbx.flow.remote[0], 5060)]
            pbx.register()
            self.world.call(self.tab, pbx)
            if not reachable:
                self.world.resolver.resolve = lambda *a: fail(NoRoute("gone"))  # type: ignore[method-assign]
            self.world.close(self.tab)
            self.world.advance(5)
            self.assertEqual(set(pbx.methods()), {"BYE"} if reachable else set())
            self.assertEqual(len(self.world.core.dialogs), 0)

    def test_behind_another_proxy(self) -> None:
        """The BYE takes the Route that proxies beyond us recorded."""
        invite = self.tab.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        recorded = [f"<sip:{self.bob.flow.remote[0]};lr;sn=theirs>", *received.values("record-route")]
        bare = received.copy()
        bare.remove("record-route")
        self.bob.contact = "sip:bob@10.8.8.8"
        self.bob.reply(bare, 200, headers=[("record-route", value) for value in recorded])
        self.tab.ack(invite, self.tab.response("INVITE"))
        self.bob.got("ACK")
        self.world.close(self.tab)
        self.world.advance(5)
        bye = self.bob.got("BYE")
        self.assertEqual((bye.uri, bye.values("route")), ("sip:bob@10.8.8.8", recorded[:1]))

    def test_adopted(self) -> None:
        """The same instance back in time keeps the call, and gets what the other end sends in it."""
        call = self.world.call(self.bob, self.tab, SDP, SDP)
        self.world.close(self.tab)
        self.world.advance(2)
        self.world.connect(self.tab, 45678)
        self.tab.register()
        self.world.advance(20)
        self.assertEqual(self.bob.inbox, [])
        call.from_caller("INFO")
        self.tab.got("INFO")
        self.world.close(self.tab)
        self.world.advance(5)
        self.bob.got("BYE")

    def test_adopted_by_its_own_request(self) -> None:
        """A request of the browser over a new connection, without a REGISTER before, keeps the call too."""
        call = self.world.call(self.tab, self.bob, SDP, SDP)
        self.world.close(self.tab)
        self.world.connect(self.tab, 45678)
        call.from_caller("INVITE", SDP)
        self.bob.reply(self.bob.got("INVITE"), 200, SDP)
        self.world.advance(20)
        self.assertEqual(self.bob.inbox, [])
        self.world.close(self.tab)
        self.world.advance(5)
        self.bob.got("BYE")

    def test_another_tab(self) -> None:
        """Another tab of the same user doesn't keep the call."""
        self.world.call(self.bob, self.tab, SDP, SDP)
        self.world.close(self.tab)
        other = self.world.phone("tab", "WS")
        other.params = INSTANCE % "999999999999"
        other.register()
        self.world.advance(5)
        self.bob.got("BYE")

    def test_hung_up(self) -> None:
        """After BYE of either side nothing is kept, and a connection that closes later sends none."""
        for side in ("from_caller", "from_callee"):
            self.setUp()
            call = self.world.call(self.tab, self.bob, SDP, SDP)
            self.assertEqual(len(self.world.core.dialogs), 1)
            getattr(call, side)("BYE")
            self.assertEqual(len(self.world.core.dialogs), 0)
            self.assertEqual(self.world.core.dialogs._table._by_flow, {})
            far = self.bob if side == "from_caller" else self.tab
            far.reply(far.got("BYE"), 200)
            self.bob.take()
            self.world.close(self.tab)
            self.world.advance(10)
            self.assertEqual(self.bob.inbox, [])
            self.assertEqual(self.world.core.dialogs._timers, set())

    def test_repeated_200_after_bye(self) -> None:
        """A 200 that is repeated after the BYE doesn't bring the call back."""
        call = self.world.call(self.tab, self.bob)
        call.from_caller("BYE")
        self.bob.reply(call.received, 200)
        self.assertEqual(len(self.world.core.dialogs), 0)

    def test_phones_alone(self) -> None:
        """A connection that closes ends no call between phones."""
        alice, carol = self.end("alice", "TCP"), self.end("carol", "UDP")
        self.world.call(alice, carol)
        self.world.close(alice)
        self.world.advance(10)
        self.assertEqual((len(self.world.core.dialogs), carol.inbox), (1, []))

    def test_phone_closes_its_connection(self) -> None:
        """A phone on TCP may close its connection in a call with a browser: that ends nothing."""
        alice = self.end("alice", "TCP")
        call = self.world.call(self.tab, alice)
        self.world.close(alice)
        self.world.advance(10)
        self.assertEqual(self.tab.inbox, [])
        self.world.connect(alice)
        call.from_caller("BYE")
        alice.got("BYE")

    def test_refused_calls(self) -> None:
        """Calls that were never answered are never kept."""
        self.tab.send("INVITE", self.bob.aor)
        self.bob.reply(self.bob.got("INVITE"), 486)
        self.assertEqual(len(self.world.core.dialogs), 0)

    def test_both_gone(self) -> None:
        """Both browsers gone: the call is forgotten and its ports given back, once."""
        other = self.end("other", "WS")
        self.world.call(self.tab, other, SDP, SDP)
        self.world.close(self.tab)
        self.world.close(other)
        self.world.advance(10)
        self.assertEqual(len(self.world.core.dialogs), 0)
        self.assertEqual(self.relay.operations.count("delete"), 1)

    def test_stop(self) -> None:
        """A server that stops ends no calls."""
        self.world.call(self.tab, self.bob)
        self.world.close(self.tab)
        self.world.core.dialogs.stopService()
        self.assertEqual(self.world.core.dialogs._timers, set())
        self.world.advance(10)
        self.assertEqual(self.bob.inbox, [])

    def test_phone_hangs_up_meanwhile(self) -> None:
        """A BYE of the phone within the grace waits for the browser and ends with 481; no BYE comes back at the phone."""
        call = self.world.call(self.tab, self.bob)
        self.world.close(self.tab)
        call.from_callee("BYE")
        self.world.advance(6)
        self.assertEqual([type(m).__name__ for m in self.bob.inbox], ["SipResponse"])
        self.assertEqual(self.bob.statuses(), [481])
