"""Tests of what is believed of a response, a repeat and an ACK: only what comes from where it has to come from."""

from __future__ import annotations

from sipnode.sip.build import octets_of
from sipnode.sip.message import SipRequest, SipResponse
from sipnode.sip.parser import parse_message
from sipnode.transaction.budget import Budget
from sipnode.transaction.proof import from_same, is_about, same_address
from sipnode.transaction.states import ACCEPTED, CALLING, COMPLETED, CONFIRMED, PROCEEDING
from tests.transaction.kit import Flow, LayerCase, World, answer, request


def elsewhere(world: World, host: str = "203.0.113.66", reliable: bool = False) -> Flow:
    """A flow to somebody else."""
    flow = Flow(reliable, world)
    flow.remote = (host, 5060)
    return flow


def changed(response: SipResponse, name: str, value: str) -> SipResponse:
    """The response with another value of one header, read anew."""
    response = response.copy()
    if value:
        response.set(name, value)
    else:
        response.remove(name)
    message = parse_message(response.to_bytes())
    assert isinstance(message, SipResponse)
    return message


class ResponseTests(LayerCase):
    """Who may answer."""

    def give(self, response: SipResponse, flow: Flow) -> None:
        """A response arrives."""
        self.assertTrue(self.layer.response_received(response, flow, self.world.now))

    def test_from_elsewhere(self) -> None:
        """A response from another host, or by a connection where UDP was asked or the other way round, is dropped and counted: final
        and provisional ones, of any method.
        """
        other_connection = elsewhere(self.world, self.tcp.remote[0], True)
        wrong = {
            self.udp: (elsewhere(self.world), self.tcp, other_connection),
            self.tcp: (elsewhere(self.world), self.udp, other_connection, elsewhere(self.world, reliable=True)),
        }
        count = 0
        for asked, sources in wrong.items():
            for method in ("INVITE", "MESSAGE", "NOTIFY"):
                sent = self.world.client(method, asked)
                for status in (100, 180, 200, 481, 603):
                    for flow in sources:
                        self.give(answer(request(method), status), flow)
                        count += 1
                        self.assertEqual(self.layer.counters["forged_responses"], count)
                self.assertLess(sent.state, ACCEPTED)
                self.layer.end(sent)
        self.assertEqual(self.user.news, [])

    def test_names_another_call(self) -> None:
        """A response with the right branch has to have Call-ID, From tag and CSeq number of its request, in whatever spelling."""
        sent = self.world.client()
        right = answer(request(), 180)
        wrong = [
            changed(right, "call-id", "c2"),
            changed(right, "call-id", ""),
            changed(right, "from", "<sip:a@c>;tag=f2"),
            changed(right, "from", "<sip:a@c>"),
            changed(right, "from", "<sip:a@c"),
            changed(right, "cseq", "2 INVITE"),
        ]
        for response in wrong:
            self.give(response, self.udp)
        self.assertEqual((self.user.news, self.layer.counters["forged_responses"], sent.state), ([], 6, CALLING))
        self.give(changed(changed(right, "from", '"A" <sip:a@c> ; x=y;tag=f1'), "cseq", "001   INVITE"), self.udp)
        self.assertEqual(self.user.news, ["180"])

    def test_after_the_first_2xx(self) -> None:
        """A repeated 2xx is looked at as the first one was, though its request is no longer kept."""
        sent = self.world.client()
        self.world.receive(sent, 200)
        self.assertIsNone(sent.request)
        right = answer(request(), 200)
        self.give(changed(right, "call-id", "c2"), self.udp)
        self.give(changed(right, "from", "<sip:a@c>;tag=f2"), self.udp)
        self.give(changed(right, "from", "<sip:a@c"), self.udp)
        self.give(right, elsewhere(self.world))
        self.assertEqual((self.user.news, self.layer.counters["forged_responses"]), (["200"], 4))
        self.give(right, self.udp)
        self.assertEqual(self.user.news, ["200", "200"])

    def test_another_port(self) -> None:
        """A phone may answer from another port than it was asked at; by that the address that was asked is proved."""
        self.world.client()
        port = elsewhere(self.world, self.udp.remote[0])
        port.remote = (self.udp.remote[0], 40000)
        self.give(answer(request(), 180), port)
        self.assertEqual((self.user.news, self.udp.proved, port.proved), (["180"], True, False))

    def test_another_connection_after_one_is_gone(self) -> None:
        """RFC 3261 §18.2.2: who lost its connection may open another one to repeat a 2xx; a browser's is its own."""
        for websocket, expected in ((False, ["200", "200"]), (True, ["200"])):
            world = World()
            world.tcp.websocket = websocket
            sent = world.client(flow=world.tcp)
            world.receive(sent, 200)
            world.tcp.closed = True
            again = Flow(True, world)
            world.layer.response_received(answer(request(), 200), again, world.now)
            self.assertEqual(world.user.news, expected)


class ServerTests(LayerCase):
    """Who may repeat, acknowledge and cancel."""

    def test_ack_from_elsewhere(self) -> None:
        """An ACK from another host, or by a connection, doesn't stop the repeating of a final response."""
        transaction = self.world.server()
        self.world.respond(transaction, 486)
        self.assertFalse(self.world.arrives(request("ACK"), elsewhere(self.world)))
        self.assertTrue(self.world.arrives(request("ACK"), elsewhere(self.world, self.udp.remote[0], True)))
        self.assertEqual((transaction.state, self.layer.counters["foreign_repeats"]), (COMPLETED, 1))
        self.assertTrue(self.world.arrives(request("ACK")))
        self.assertEqual(transaction.state, CONFIRMED)

    def test_ack_of_a_2xx_by_another_flow(self) -> None:
        """An ACK of a 2xx is taken for the caller's own only by the caller's own flow; else it is judged as any other message."""
        transaction = self.world.server()
        self.world.respond(transaction, 200)
        port = elsewhere(self.world, self.udp.remote[0])
        self.assertFalse(self.world.arrives(request("ACK"), port))
        self.assertEqual(self.user.news, [])
        self.assertTrue(self.world.arrives(request("ACK")))
        self.assertEqual(self.user.news, ["ACK"])

    def test_repeat_from_elsewhere(self) -> None:
        """A repeat by another connection of the same host draws nothing; one from another host is another request."""
        transaction = self.world.server(flow=self.tcp)
        self.world.respond(transaction, 180)
        self.assertTrue(self.world.arrives(request(), elsewhere(self.world, self.tcp.remote[0], True)))
        self.assertFalse(self.world.arrives(request(), elsewhere(self.world)))
        self.assertEqual((len(self.tcp.sent), transaction.state), (1, PROCEEDING))

    def test_cancel(self) -> None:
        """A CANCEL comes from the very address of its INVITE, or from another port where the INVITE says that its sender has several."""
        port = elsewhere(self.world, self.udp.remote[0])
        port.remote = (self.udp.remote[0], 40000)
        usual = request(via="Via: SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bK1;rport")
        other = request(via="Via: SIP/2.0/UDP 192.0.2.5:5070;branch=z9hG4bK1")
        self.assertTrue(same_address(usual, self.udp, self.udp))
        self.assertFalse(same_address(usual, self.udp, port))
        self.assertTrue(same_address(other, self.udp, port))
        self.assertFalse(same_address(other, self.udp, elsewhere(self.world)))
        self.assertFalse(same_address(usual, self.tcp, elsewhere(self.world, self.tcp.remote[0], True)))
        self.assertFalse(from_same(self.tcp, self.udp))

    def test_about(self) -> None:
        """What can't be read is about nothing."""
        broken = request()
        broken.remove("call-id")
        self.assertFalse(is_about(answer(request(), 200), broken))


class BudgetTests(LayerCase):
    """What an address gets where nobody has proved to be."""

    def unproved(self, octets: int) -> Flow:
        """The INVITE of a stranger is sent on; its repeats have what is left of five times so many octets."""
        budget = Budget(octets)
        sent = request()
        self.assertTrue(budget.take(len(sent.to_bytes())))
        self.layer.send_request(sent, "z9hG4bKone", self.udp, self.user, self.world.now, budget)
        return self.udp

    def test_repeats(self) -> None:
        """Copies and repeats together are at most five times what came in; when it is used up the request just ends by its timer."""
        size = len(request().to_bytes())
        flow = self.unproved(size)
        self.world.run_out()
        self.assertEqual((len(flow.times("INVITE")), self.user.news), (5, ["timed out"]))
        self.assertEqual(self.layer.counters["unsent_unproved"], 2)

    def test_proved(self) -> None:
        """Who answers, even with a 100, gets all that follows."""
        world = self.world
        flow = self.unproved(len(request().to_bytes()))
        world.advance(20)
        self.assertTrue(world.layer.response_received(answer(request(), 100), flow, world.now))
        self.assertTrue(flow.proved)

    def test_responses(self) -> None:
        """What a request draws at its own source is bounded alike, with room left for the final response; each repeat adds to it."""
        transaction = self.world.server()
        transaction.budget = Budget(20)
        for _ in range(10):
            self.world.respond(transaction, 180)
        self.assertEqual(len(self.udp.times("180")), 2)
        self.world.respond(transaction, 486)
        self.world.advance(31)
        self.assertEqual(len(self.udp.times("486")), 3)
        self.assertTrue(self.world.arrives(request()))
        self.assertGreater(len(self.udp.times("486")), 3)

    def test_octets(self) -> None:
        """A message knows its size without being made."""
        message: SipRequest = request()
        size = len(message.to_bytes())
        self.assertEqual((octets_of(message), octets_of(message.copy())), (size, size))
        message.stamp_via("203.0.113.1", 4711)
        self.assertEqual(octets_of(message), size)
