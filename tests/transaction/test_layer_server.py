"""Tests of server transactions: each timer at its second, what is absorbed, what is sent again."""

from __future__ import annotations

from sipnode.transaction.keys import server_key
from sipnode.transaction.states import ACCEPTED, COMPLETED, CONFIRMED, PROCEEDING, TERMINATED
from tests.transaction.kit import Flow, LayerCase, World, request

OLD_VIA = "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=1"


class InviteServerTests(LayerCase):
    """RFC 3261 §17.2.1, RFC 6026."""

    def test_repeat(self) -> None:
        """A repeat of the INVITE is absorbed, and answered with the last provisional response, if there is one."""
        transaction = self.world.server()
        self.assertTrue(self.world.arrives(request()))
        self.assertEqual(self.udp.sent, [])
        self.world.respond(transaction, 100)
        self.world.respond(transaction, 180)
        self.assertTrue(self.world.arrives(request()))
        self.assertEqual([line for _, line in self.udp.sent], ["100 x", "180 x", "180 x"])
        self.assertEqual((self.layer.absorbed, self.user.told), (2, []))

    def test_new(self) -> None:
        """A request of another branch is new."""
        self.world.server()
        self.assertFalse(self.world.arrives(request(branch="z9hG4bKtwo")))

    def test_timer_g(self) -> None:
        """G: over UDP a 300..699 is repeated after T1, doubling up to T2, until H."""
        self.world.respond(self.world.server(), 486)
        self.world.run_out()
        self.assert_times(self.udp.times("486"), [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5])
        self.assertTrue(self.world.empty())

    def test_timer_h(self) -> None:
        """H: without an ACK it ends after 64*T1, on TCP too, where nothing is repeated."""
        for flow in (self.udp, self.tcp):
            world = World()
            transaction = world.server(flow=Flow(flow.reliable, world))
            world.respond(transaction, 486)
            world.advance(31.9)
            self.assertEqual(transaction.state, COMPLETED)
            world.advance(0.2)
            self.assertEqual((transaction.state, world.empty()), (TERMINATED, True))
            self.assertEqual(len(world.tcp.sent), 0)

    def test_no_timer_g_on_tcp(self) -> None:
        """G: nothing is repeated on a reliable transport."""
        self.world.respond(self.world.server(flow=self.tcp), 486)
        self.world.run_out()
        self.assertEqual(len(self.tcp.sent), 1)

    def test_repeat_after_final(self) -> None:
        """A repeat of the INVITE brings the final response again."""
        self.world.respond(self.world.server(), 486)
        self.assertTrue(self.world.arrives(request()))
        self.assertEqual(self.udp.times("486"), [0, 0])

    def test_timer_i(self) -> None:
        """I: the ACK stops G; over UDP repeats are absorbed for T4, and answered no more."""
        transaction = self.world.server()
        self.world.respond(transaction, 486)
        self.assertTrue(self.world.arrives(request("ACK", to="<sip:b@c>;tag=t1")))
        self.assertEqual(transaction.state, CONFIRMED)
        self.assertTrue(self.world.arrives(request("ACK")))
        self.assertTrue(self.world.arrives(request()))
        self.assert_ends(self.layer.servers, transaction, 5)
        self.assertEqual((len(self.udp.sent), self.user.told), (1, []))
        self.world.run_out()
        self.assertTrue(self.world.empty())

    def test_no_timer_i_on_tcp(self) -> None:
        """I: on a reliable transport the ACK is the end."""
        transaction = self.world.server(flow=self.tcp)
        self.world.respond(transaction, 486)
        self.assertTrue(self.world.arrives(request("ACK")))
        self.assertEqual((transaction.state, len(self.layer)), (TERMINATED, 0))

    def test_timer_l(self) -> None:
        """L: after a 2xx, for 64*T1, repeats of the INVITE are absorbed in silence and further 2xx pass (RFC 6026 §7.1)."""
        for flow in (self.udp, self.tcp):
            world = World()
            transaction = world.server(flow=Flow(flow.reliable, world))
            flow = transaction.flow
            world.respond(transaction, 200)
            self.assertTrue(world.arrives(request()))
            world.respond(transaction, 200)
            for late in (180, 486):
                world.respond(transaction, late)
            self.assertEqual(([line for _, line in flow.sent], transaction.state), (["200 x", "200 x"], ACCEPTED))
            world.advance(31.9)
            self.assertTrue(world.arrives(request()))
            world.advance(0.2)
            self.assertFalse(world.arrives(request()))
            self.assertTrue(world.empty())

    def test_ack_of_2xx(self) -> None:
        """An ACK that matches after a 2xx goes up: it is end to end."""
        transaction = self.world.server()
        self.world.respond(transaction, 200)
        self.assertTrue(self.world.arrives(request("ACK")))
        self.assertEqual((self.user.news, transaction.state), (["ACK"], ACCEPTED))

    def test_ack_too_early(self) -> None:
        """An ACK before any final response changes nothing."""
        transaction = self.world.server()
        self.assertTrue(self.world.arrives(request("ACK")))
        self.assertEqual((transaction.state, self.user.told), (PROCEEDING, []))

    def test_ack_of_nothing(self) -> None:
        """An ACK without an INVITE belongs to nothing; one for another method neither."""
        self.world.server("OPTIONS")
        self.assertFalse(self.world.arrives(request("ACK")))

    def test_old_peer(self) -> None:
        """A peer of RFC 2543: repeats and the ACK, which has the To tag of the response, are matched without a branch."""
        came = request(via=OLD_VIA)
        self.assertFalse(self.world.arrives(came))
        transaction = self.layer.new_server(server_key(came, self.udp.remote[0]), "INVITE", self.udp, self.user)
        self.assertTrue(self.world.arrives(request(via=OLD_VIA)))
        self.world.respond(transaction, 404)
        self.assertFalse(self.world.arrives(request("ACK", via=OLD_VIA, cseq=2)))
        self.assertTrue(self.world.arrives(request("ACK", via=OLD_VIA, to="<sip:b@c>;tag=t1")))
        self.assertEqual(transaction.state, CONFIRMED)

    def test_finals_after_the_final(self) -> None:
        """Only the first final response is sent."""
        transaction = self.world.server()
        for status in (486, 200, 500, 180):
            self.world.respond(transaction, status)
        self.assertEqual([line for _, line in self.udp.sent], ["486 x"])


class NonInviteServerTests(LayerCase):
    """RFC 3261 §17.2.2."""

    def test_repeat(self) -> None:
        """A repeat is absorbed in silence before any response, then brings the last one again."""
        transaction = self.world.server("OPTIONS")
        for status, sent in ((0, 0), (100, 2), (200, 4)):
            if status:
                self.world.respond(transaction, status)
            self.assertTrue(self.world.arrives(request("OPTIONS")))
            self.assertEqual(len(self.udp.sent), sent)
        self.assertEqual([line for _, line in self.udp.sent], ["100 x", "100 x", "200 x", "200 x"])

    def test_timer_j(self) -> None:
        """J: over UDP the response is kept for 64*T1, from either state."""
        for provisional in (False, True):
            for status in (200, 404):
                world = World()
                transaction = world.server("OPTIONS")
                if provisional:
                    world.respond(transaction, 100)
                world.respond(transaction, status)
                world.advance(31.9)
                self.assertTrue(world.arrives(request("OPTIONS")))
                self.assertEqual(len(world.udp.times(str(status))), 2)
                world.advance(0.2)
                self.assertFalse(world.arrives(request("OPTIONS")))
                self.assertTrue(world.empty())

    def test_no_timer_j_on_tcp(self) -> None:
        """J: on a reliable transport the final response is the end."""
        transaction = self.world.server("OPTIONS", flow=self.tcp)
        self.world.respond(transaction, 200)
        self.assertEqual((transaction.state, len(self.layer)), (TERMINATED, 0))

    def test_second_final(self) -> None:
        """Only the first final response is sent."""
        transaction = self.world.server("OPTIONS")
        for status in (404, 200, 100):
            self.world.respond(transaction, status)
        self.assertEqual([line for _, line in self.udp.sent], ["404 x"])

    def test_unanswered(self) -> None:
        """A user that has no answer lets go of the transaction (RFC 4320: no 408)."""
        transaction = self.world.server("OPTIONS")
        self.layer.end(transaction)
        self.assertEqual((self.udp.sent, self.world.empty(), transaction.user), ([], True, None))
