"""A server that is killed in mid-call and started again with the same secret."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.testing import Phone, RecordingMediaRelay, World

SDP = b"v=0\r\no=- 1 1 IN IP4 10.1.1.1\r\ns=-\r\nc=IN IP4 10.1.1.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
INSTANCE = ';+sip.instance="<urn:uuid:0f2d0a33-7c5b-4f32-9d0e-111111111111>";reg-id=1'


class Another(World):
    """A server with a secret of its own."""

    def _secret(self) -> bytes:
        return b"another secret of thirty-two octe"


class RestartTests(SynchronousTestCase):
    """Nothing but the secret is left of the first server."""

    def setUp(self) -> None:
        self.relay = RecordingMediaRelay()
        self.world = World(media=self.relay)

    def end(self, user: str, transport: str) -> Phone:
        """A registered end."""
        phone = self.world.phone(user, transport)
        if transport == "WS":
            phone.params = INSTANCE
        phone.register()
        return phone

    def restart(self, *phones: Phone, world: World | None = None) -> World:
        """Kill, start, and let the ends come back, browsers from another port.

        Args:
            world: What is started; None for the same.
        """
        self.relay.log.clear()
        world = world or self.world.restart()
        for phone in phones:
            world.connect(phone, 0 if phone.flow.transport == "UDP" else 45678)
            if phone.flow.websocket:
                phone.register()
            phone.take()
        return world

    def test_phones(self) -> None:
        """Between phones re-INVITE passes both ways, rewritten by the relay that had the call; so does BYE."""
        call = self.world.call(self.end("alice", "UDP"), self.end("bob", "UDP"), SDP, SDP)
        self.restart(call.caller, call.callee)
        for send, far, near in ((call.from_caller, call.callee, call.caller), (call.from_callee, call.caller, call.callee)):
            send("INVITE", SDP)
            received = far.got("INVITE")
            self.assertTrue(received.body.startswith(b"v=0\r\ns=offer"))
            far.reply(received, 200, SDP)
            self.assertTrue(near.response("INVITE").body.startswith(b"v=0\r\ns=answer"))
        self.assertEqual(self.relay.operations, ["offer", "answer"] * 2)
        self.assertEqual({key.node for _, key in self.relay.log}, {"n0"})
        call.from_callee("BYE")
        call.caller.got("BYE")
        self.assertEqual(self.relay.operations[-1], "delete")

    def test_browser_is_found_by_its_instance(self) -> None:
        """A browser with a new connection of the same instance gets what the phone sends in the old call, and sends itself."""
        call = self.world.call(self.end("tab", "WS"), self.end("bob", "UDP"), SDP, SDP)
        self.restart(call.caller, call.callee)
        call.from_callee("INVITE", SDP)
        received = call.caller.got("INVITE")
        self.assertTrue(received.body.startswith(b"v=0\r\ns=offer"))
        call.caller.reply(received, 200, SDP)
        self.assertTrue(call.callee.response("INVITE").body.startswith(b"v=0\r\ns=answer"))
        self.assertEqual([profile.to_browser for profile in self.relay.profiles[-2:]], [True, False])
        call.from_caller("BYE")
        call.callee.got("BYE")

    def test_callee_browser(self) -> None:
        """So does a browser that was called."""
        call = self.world.call(self.end("alice", "UDP"), self.end("tab", "WS"), SDP, SDP)
        self.restart(call.caller, call.callee)
        call.from_caller("BYE")
        call.callee.got("BYE")

    def test_adopted_within_the_grace(self) -> None:
        """A request for a browser that isn't back yet waits, and is sent when it has registered."""
        call = self.world.call(self.end("alice", "UDP"), self.end("tab", "WS"), SDP, SDP)
        tab = call.callee
        world = self.restart(call.caller)
        call.from_caller("INVITE", SDP)
        world.advance(3)
        self.assertEqual(call.caller.statuses(), [100])
        world.connect(tab, 45678)
        tab.register()
        tab.reply(tab.got("INVITE"), 200, SDP)
        self.assertEqual(call.caller.statuses(), [200])

    def test_481_after_the_grace(self) -> None:
        """A browser that doesn't come back within lost_flow_seconds: 481, once, and nothing keeps waiting."""
        call = self.world.call(self.end("alice", "UDP"), self.end("tab", "WS"), SDP, SDP)
        world = self.restart(call.caller)
        call.from_caller("BYE")
        self.assertEqual(call.caller.statuses(), [])
        world.advance(4.2)
        self.assertEqual(call.caller.statuses(), [481])
        world.advance(60)
        self.assertEqual(len(world.core.transactions), 0)
        self.assertEqual(world.core._waiting, {})

    def test_another_instance_is_not_it(self) -> None:
        """Another tab of the same user doesn't get the call's requests."""
        call = self.world.call(self.end("alice", "UDP"), self.end("tab", "WS"), SDP, SDP)
        world = self.restart(call.caller)
        other = world.phone("tab", "WS")
        other.params = INSTANCE.replace("1111", "2222")
        other.register()
        other.take()
        call.from_caller("BYE")
        world.advance(5)
        self.assertEqual(other.inbox, [])
        self.assertEqual(call.caller.statuses(), [481])

    def test_another_secret(self) -> None:
        """A server with another secret carries none of it on."""
        call = self.world.call(self.end("alice", "UDP"), self.end("bob", "UDP"))
        self.restart(call.caller, call.callee, world=Another(self.world.settings, clock=self.world.clock))
        call.from_caller("BYE")
        self.assertEqual(call.caller.statuses(), [404])
