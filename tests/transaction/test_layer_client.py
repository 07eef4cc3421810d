"""Tests of client transactions: each timer at its second, what goes out, what the user is told."""

from __future__ import annotations

from sipnode.transaction.states import ACCEPTED, CALLING, COMPLETED, PROCEEDING, TERMINATED, TRYING
from tests.transaction.kit import Flow, LayerCase, User, World, answer, request


class InviteClientTests(LayerCase):
    """RFC 3261 §17.1.1, RFC 6026."""

    def test_timer_a(self) -> None:
        """A: over UDP the INVITE is repeated after T1, then after twice the time before, without a cap, until B."""
        self.world.client()
        self.world.run_out()
        self.assert_times(self.udp.times("INVITE"), [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5])

    def test_timer_b(self) -> None:
        """B: after 64*T1 without an answer the user is told, and the transaction is gone; on UDP and on TCP."""
        for flow in (self.udp, self.tcp):
            world = World()
            transaction = world.client(flow=Flow(flow.reliable, world))
            self.assertEqual(transaction.state, CALLING)
            world.run_out()
            self.assert_times([when for when, _ in world.user.told], [32])
            self.assertEqual((world.user.news, transaction.terminated, world.empty()), (["timed out"], True, True))

    def test_no_timer_a_on_tcp(self) -> None:
        """A: nothing is repeated on a reliable transport."""
        self.world.client(flow=self.tcp)
        self.world.run_out()
        self.assertEqual(self.tcp.times("INVITE"), [0])

    def test_provisional(self) -> None:
        """A 1xx goes up and stops A and B."""
        transaction = self.world.client()
        self.world.advance(0.6)
        self.world.receive(transaction, 100)
        self.world.receive(transaction, 180)
        self.world.advance(100)
        self.assertEqual((self.user.news, transaction.state, len(self.udp.sent)), (["100", "180"], PROCEEDING, 2))

    def test_timer_c(self) -> None:
        """C: each 1xx gives it its full time anew; on fire the user is told, who sends the CANCEL (RFC 3261 §16.8)."""
        transaction = self.world.client()
        for _ in range(3):
            self.world.advance(0 if self.user.told == [] else 179)
            self.world.receive(transaction, 180)
        self.assertEqual(self.user.news, ["180"] * 3)
        self.world.advance(179.9)
        self.assertEqual(self.user.news, ["180"] * 3)
        self.world.advance(0.2)
        self.assertEqual((self.user.news, transaction.state), (["180"] * 3 + ["timed out"], PROCEEDING))
        self.world.run_out()
        self.assertEqual(len(self.user.told), 4)

    def test_after_timer_c(self) -> None:
        """C: the user gives the branch what time it wants for the CANCEL to work, and is told once more when that is over."""
        transaction = self.world.client()
        self.world.receive(transaction, 180)
        self.world.advance(181)
        transaction.expires_at = self.world.now + 32
        self.layer.reschedule(transaction)
        self.world.advance(31.9)
        self.assertEqual(self.user.news, ["180", "timed out"])
        self.world.advance(0.2)
        self.assertEqual(self.user.news, ["180", "timed out", "timed out"])
        self.layer.end(transaction)
        self.assertTrue(self.world.empty())

    def test_shorter_timer(self) -> None:
        """A timer that is set to an earlier time than the one before comes up at the earlier one."""
        transaction = self.world.client()
        self.world.receive(transaction, 180)
        self.world.advance(1)
        transaction.expires_at = self.world.now + 5
        self.layer.reschedule(transaction)
        self.world.advance(5.1)
        self.assertEqual(self.user.news, ["180", "timed out"])

    def test_timer_m(self) -> None:
        """M: for 64*T1 after the first 2xx every further one goes up, and nothing else does (RFC 6026 §7.2)."""
        for flow in (self.udp, self.tcp):
            world = World()
            transaction = world.client(flow=Flow(flow.reliable, world))
            for status in (180, 200, 200, 183, 486, 200):
                self.assertTrue(world.receive(transaction, status))
            self.assertEqual((world.user.news, transaction.state), (["180", "200", "200", "200"], ACCEPTED))
            world.advance(31.9)
            self.assertTrue(world.receive(transaction, 200))
            world.advance(0.2)
            self.assertFalse(world.receive(transaction, 200))
            self.assertEqual(len(world.user.told), 5)
            world.run_out()
            self.assertTrue(world.empty())

    def test_no_ack_for_2xx(self) -> None:
        """The ACK of a 2xx is the far end's."""
        self.world.receive(self.world.client(), 200)
        self.assertEqual(self.udp.times("ACK"), [])

    def test_timer_d(self) -> None:
        """D: over UDP each repeat of a 300..699 is acknowledged again for 32 seconds, and not told again."""
        for first in (True, False):
            world = World()
            transaction = world.client()
            if not first:
                world.receive(transaction, 180)
            for _ in range(3):
                world.receive(transaction, 486)
            self.assertEqual((world.user.news[-1], world.user.news.count("486"), transaction.state), ("486", 1, COMPLETED))
            self.assertEqual(world.udp.times("ACK sip:b@c"), [0, 0, 0])
            world.advance(31.9)
            self.assertTrue(world.receive(transaction, 486))
            world.advance(0.2)
            self.assertFalse(world.receive(transaction, 486))
            self.assertEqual((len(world.udp.times("ACK")), len(world.udp.times("INVITE"))), (4, 1))
            world.run_out()
            self.assertTrue(world.empty())

    def test_no_timer_d_on_tcp(self) -> None:
        """D: on a reliable transport one ACK, and that's the end."""
        transaction = self.world.client(flow=self.tcp)
        self.world.receive(transaction, 603)
        self.assertEqual((self.tcp.times("ACK"), self.user.news, transaction.state), ([0], ["603"], TERMINATED))
        self.assertEqual((len(self.layer), self.layer._by_flow), (0, {}))

    def test_2xx_after_another_final(self) -> None:
        """The first final response counts."""
        transaction = self.world.client()
        self.world.receive(transaction, 486)
        self.world.receive(transaction, 200)
        self.assertEqual(self.user.news, ["486"])

    def test_stray(self) -> None:
        """A response that belongs to nothing is counted and not taken."""
        self.assertFalse(self.layer.response_received(answer(request(), 200), self.udp, self.world.now))
        self.assertEqual(self.layer.dropped, 1)

    def test_cancel_beside_the_invite(self) -> None:
        """INVITE and CANCEL have one branch and two transactions."""
        invite = self.world.client()
        self.world.receive(invite, 180)
        other = User(self.world)
        cancel = self.world.client("CANCEL", user=other)
        self.world.receive(cancel, 200)
        self.world.receive(invite, 487)
        self.assertEqual((self.user.news, other.news), (["180", "487"], ["200"]))


class NonInviteClientTests(LayerCase):
    """RFC 3261 §17.1.2."""

    def test_timer_e(self) -> None:
        """E: over UDP repeated after T1, doubling up to T2, until F."""
        self.world.client("OPTIONS")
        self.world.run_out()
        self.assert_times(self.udp.times("OPTIONS"), [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5])

    def test_timer_e_after_provisional(self) -> None:
        """E: it goes on after a 1xx, and from when it next fires it's every T2."""
        transaction = self.world.client("OPTIONS")
        self.world.advance(0.7)
        self.world.receive(transaction, 100)
        self.assertEqual(transaction.state, PROCEEDING)
        self.world.run_out()
        self.assert_times(self.udp.times("OPTIONS"), [0, 0.5, 1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5])

    def test_timer_f(self) -> None:
        """F: after 64*T1 without a final answer the user is told; after a 1xx too, and on TCP too."""
        for reliable in (False, True):
            for provisional in (False, True):
                world = World()
                transaction = world.client("OPTIONS", flow=Flow(reliable, world))
                self.assertEqual(transaction.state, TRYING)
                if provisional:
                    world.receive(transaction, 100)
                world.run_out()
                self.assertEqual((world.user.news[-1], len(world.user.told), world.empty()), ("timed out", 1 + provisional, True))
                self.assert_times([world.user.told[-1][0]], [32])

    def test_no_timer_e_on_tcp(self) -> None:
        """E: nothing is repeated on a reliable transport, after a 1xx neither."""
        self.world.receive(self.world.client("OPTIONS", flow=self.tcp), 100)
        self.world.run_out()
        self.assertEqual(self.tcp.times("OPTIONS"), [0])

    def test_timer_k(self) -> None:
        """K: over UDP repeats of the final answer are absorbed for T4."""
        for status in (200, 404):
            for provisional in (False, True):
                world = World()
                transaction = world.client("OPTIONS")
                if provisional:
                    world.receive(transaction, 100)
                world.receive(transaction, status)
                world.receive(transaction, status)
                self.assertEqual((world.user.news[-1], len(world.user.told), transaction.state), (str(status), 1 + provisional, COMPLETED))
                world.advance(4.9)
                self.assertTrue(world.receive(transaction, status))
                world.advance(0.2)
                self.assertFalse(world.receive(transaction, status))
                world.run_out()
                self.assertEqual((len(world.udp.sent), world.empty()), (1, True))

    def test_no_timer_k_on_tcp(self) -> None:
        """K: on a reliable transport the final answer is the end."""
        transaction = self.world.client("OPTIONS", flow=self.tcp)
        self.world.receive(transaction, 200)
        self.assertEqual((transaction.state, len(self.layer), self.layer._by_flow), (TERMINATED, 0, {}))
