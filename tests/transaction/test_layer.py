"""Tests of the layer as a whole: connections that go, users with faults, and that nothing stays."""

from __future__ import annotations

import gc
import weakref

from sipnode.sip.message import SipResponse
from sipnode.transaction import states
from sipnode.transaction.states import ACCEPTED, CALLING, COMPLETED, PROCEEDING, TERMINATED, TRYING
from sipnode.transaction.timers import TICK, Timings
from tests.transaction.kit import START, Flow, LayerCase, User, World, answer, request


class FlowTests(LayerCase):
    """Connections that go."""

    def test_closed_before(self) -> None:
        """A request on a closed flow fails at once, and leaves nothing."""
        for flow in (self.udp, self.tcp):
            flow.closed = True
            for method in ("INVITE", "OPTIONS"):
                transaction = self.world.client(method, flow=flow)
                self.assertEqual((self.user.news, transaction.state), (["failed"], TERMINATED))
                self.user.told.clear()
        self.assertEqual((len(self.layer), self.layer._by_flow), (0, {}))
        self.world.run_out()
        self.assertTrue(self.world.empty())

    def test_closes(self) -> None:
        """When a connection goes, what waits for an answer on it has failed; what is on others hasn't."""
        other = Flow(True, self.world)
        transactions = [
            self.world.client("INVITE", self.tcp, "z9hG4bK1"),
            self.world.client("OPTIONS", self.tcp, "z9hG4bK2"),
            self.world.client("INVITE", self.tcp, "z9hG4bK3"),
        ]
        self.world.receive(transactions[2], 180)
        kept = [self.world.client("INVITE", other, "z9hG4bK4"), self.world.client("INVITE", self.udp, "z9hG4bK5")]
        self.layer.flow_closed(self.tcp, self.world.now)
        self.assertEqual(self.user.news, ["180", "failed", "failed", "failed"])
        self.assertTrue(all(one.terminated for one in transactions) and not any(one.terminated for one in kept))
        self.layer.flow_closed(self.tcp, self.world.now)
        self.assertEqual((len(self.user.told), list(self.layer._by_flow)), (4, [other]))

    def test_closes_after_the_answer(self) -> None:
        """A call that was answered outlives the connection that the answer came by."""
        transaction = self.world.client(flow=self.tcp)
        self.world.receive(transaction, 200)
        self.layer.flow_closed(self.tcp, self.world.now)
        self.assertEqual((self.user.news, transaction.state), (["200"], ACCEPTED))
        self.world.run_out()
        self.assertTrue(self.world.empty())

    def test_users_that_go_on(self) -> None:
        """A user that tries again while it is told, even on the flow that is gone, ends where it should."""
        layer, tcp, udp = self.layer, self.tcp, self.udp
        world = self.world

        class Again(User):
            def send_failed(self) -> None:
                super().send_failed()
                if len(self.told) < 3:
                    world.client("OPTIONS", tcp if len(self.told) < 2 else udp, f"z9hG4bK{len(self.told)}", self)

        user = Again(world)
        for branch in ("z9hG4bKa", "z9hG4bKb"):
            world.client("OPTIONS", tcp, branch, user)
        tcp.closed = True
        layer.flow_closed(tcp, world.now)
        self.assertEqual((user.news, len(layer), layer._by_flow), (["failed"] * 3, 1, {}))

    def test_response_that_cannot_be_sent(self) -> None:
        """A final response whose connection is gone ends its transaction, but not an INVITE that was accepted."""
        for method, status, state in (
            ("OPTIONS", 200, TERMINATED),
            ("INVITE", 486, TERMINATED),
            ("INVITE", 200, ACCEPTED),
            ("INVITE", 180, PROCEEDING),
            ("OPTIONS", 100, TERMINATED),
        ):
            world = World()
            transaction = world.server(method, world.tcp)
            world.tcp.closed = True
            world.respond(transaction, status)
            self.assertEqual((transaction.state, world.layer.outbox.unsent, world.user.told), (state, 1, []), f"{method} {status}")

    def test_repeat_that_cannot_be_sent(self) -> None:
        """A repeat whose socket is gone is an error for the user (RFC 3261 §17.1.4), at once and not after 32 seconds."""
        transaction = self.world.client()
        self.udp.closed = True
        self.world.advance(1)
        self.assertEqual((self.user.news, transaction.state), (["failed"], TERMINATED))

    def test_ack_that_cannot_be_sent(self) -> None:
        """The final response goes up even where its ACK can't go out."""
        transaction = self.world.client()
        self.udp.closed = True
        self.world.receive(transaction, 486)
        self.assertEqual((self.user.news, transaction.state), (["486"], TERMINATED))


class FaultyUser(User):
    """A user with a fault."""

    def timed_out(self) -> None:
        super().timed_out()
        raise KeyError("a fault of the user")

    send_failed = timed_out


class RobustnessTests(LayerCase):
    """Faults of one don't reach others."""

    def test_timers_of_others(self) -> None:
        """A user that raises when its timer fires stops nobody else's timer; what it raised comes out at the end."""
        faulty = FaultyUser(self.world)
        for branch, user in (("1", faulty), ("2", self.user), ("3", faulty), ("4", self.user)):
            self.world.client("OPTIONS", branch=branch, user=user)
        self.world.now += 33
        self.assertRaises(KeyError, self.layer.advance, self.world.now)
        self.assertEqual((faulty.news, self.user.news), (["timed out"] * 2, ["timed out"] * 2))
        self.assertTrue(self.world.empty())

    def test_flows_of_others(self) -> None:
        """The same when a connection goes."""
        faulty = FaultyUser(self.world)
        for branch, user in (("1", faulty), ("2", self.user), ("3", faulty), ("4", self.user)):
            self.world.client("OPTIONS", self.tcp, branch=branch, user=user)
        self.assertRaises(KeyError, self.layer.flow_closed, self.tcp, self.world.now)
        self.assertEqual((len(faulty.news), self.user.news, len(self.layer)), (2, ["failed"] * 2, 0))

    def test_late(self) -> None:
        """A clock that stood still gives each transaction one step, not all that it missed."""
        self.world.client()
        self.world.now += 20
        self.layer.advance(self.world.now)
        self.assertEqual(len(self.udp.sent), 2)

    def test_other_timings(self) -> None:
        """All timers follow the settings."""
        world = World(Timings(t1=0.1, t2=0.4, t4=0.5, timeout=6.4, invite_timeout=20))
        world.client("OPTIONS")
        world.advance(1.2)
        self.assertEqual(len(world.udp.sent), 5)
        world.run_out()
        self.assert_times([world.user.told[-1][0]], [6.4])


class SizeTests(LayerCase):
    """Nothing grows."""

    def test_limit(self) -> None:
        """From the limit on the layer is full, until something ends."""
        world = World(limit=3)
        self.assertFalse(world.layer.full)
        transactions = [world.client(branch=f"z9hG4bK{n}") for n in range(2)]
        self.assertFalse(world.layer.full)
        world.server()
        self.assertEqual((world.layer.full, len(world.layer)), (True, 3))
        world.layer.end(transactions[0])
        self.assertFalse(world.layer.full)

    def test_thousands(self) -> None:
        """After thousands of transactions of every kind and fate, nothing is left."""
        world = self.world
        fates = (0, 100, 180, 200, 404, 486, 603)
        for number in range(3000):
            flow = (world.udp, world.tcp)[number % 2]
            method = ("INVITE", "OPTIONS", "BYE")[number % 3]
            branch = f"z9hG4bK{number}"
            sent = world.client(method, flow, branch)
            came = world.server(method, flow, branch)
            status = fates[number % len(fates)]
            if status:
                world.receive(sent, status)
                world.respond(came, status)
            if method == "INVITE" and number % 5 == 0:
                world.arrives(request("ACK", branch))
            world.advance(0.03)
        world.run_out()
        waiting = [*world.layer.servers.values(), *world.layer.clients.values()]
        # What no final response came for, or was given to, is the user's to end.
        self.assertTrue(all(one.state in (TRYING, PROCEEDING) for one in waiting))
        for one in waiting:
            world.layer.end(one)
        world.run_out()
        self.assertTrue(world.empty())

    def test_what_is_let_go_of(self) -> None:
        """A transaction that only absorbs repeats holds neither its user nor its request."""
        for method, status, server in (("OPTIONS", 200, False), ("INVITE", 486, False), ("OPTIONS", 200, True), ("INVITE", 486, True)):
            world = World()
            user = User(world)
            alive = weakref.ref(user)
            if server:
                transaction = world.layer.new_server("k", method, world.udp, user)
                world.respond(transaction, status)
            else:
                sent = world.client(method, user=user)
                world.receive(sent, status)
                self.assertIsNone(sent.request)
                transaction = sent
            del user
            gc.collect()
            self.assertEqual((transaction.state, transaction.user, alive()), (COMPLETED, None, None))

    def test_accepted(self) -> None:
        """An answered INVITE keeps its user, who hears of further 2xx, but neither request nor octets."""
        sent = self.world.client()
        self.world.receive(sent, 200)
        self.assertEqual((sent.request, sent.kept, sent.user), (None, b"", self.user))

    def test_wakes(self) -> None:
        """The clock is asked for when something is due earlier than before, and only then."""
        self.world.client("OPTIONS", branch="1")
        self.world.client("OPTIONS", branch="2")
        self.world.client("OPTIONS", flow=self.tcp, branch="3")
        self.assertEqual(len(self.world.wakes), 1)
        self.assertTrue(START + 0.5 <= self.world.wakes[0] <= START + 0.5 + TICK + 1e-3)


class ActionTests(LayerCase):
    """The hand and the tables fit."""

    def test_every_action_is_done(self) -> None:
        """No action of the tables falls through to the user as news that it doesn't know."""
        told = {states.PASS_UP, states.PASS_ACK, states.TELL_TIMEOUT, states.TELL_ERROR}
        for rows in states.MACHINES.values():
            for row in rows:
                for action in set(row.actions) - told:
                    world = World()
                    transaction = world.client("INVITE" if row.state in (CALLING, ACCEPTED) else "OPTIONS")
                    message = answer(request(), 200)
                    assert isinstance(message, SipResponse)
                    world.layer._run(transaction, (action,), world.now, b"SIP/2.0 200 x\r\n\r\n", message)
                    self.assertEqual(world.user.told, [], states.ACTION_NAMES[action])
