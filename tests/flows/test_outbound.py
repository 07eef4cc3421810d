"""A device with several flows: one target, whose flows are tried one after the other (RFC 5626)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.testing import Phone, World

SUPPORTED = [("supported", "path, outbound")]


class OutboundTests(SynchronousTestCase):
    """Bob's phone registers over two connections."""

    def setUp(self) -> None:
        self.world = World()
        self.alice = self.world.phone("alice")

    def flow(self, number: int, transport: str = "TCP", instance: str = "one") -> Phone:
        """A flow of an instance, registered; each a second after the one before."""
        phone = self.world.phone("bob", transport)
        phone.params = f';+sip.instance="<urn:uuid:{instance}>";reg-id={number}'
        self.assertEqual(phone.register(headers=SUPPORTED).get("require"), "outbound")
        self.world.advance(1)
        return phone

    def test_one_at_a_time(self) -> None:
        """A call goes to the newest flow alone, and the device rings once."""
        first, second = self.flow(1), self.flow(2)
        self.world.call(self.alice, second)
        self.assertEqual(first.take(), [])

    def test_two_devices(self) -> None:
        """Another instance is another target: both ring."""
        first, other = self.flow(1), self.flow(1, instance="two")
        self.alice.send("INVITE", first.aor)
        first.got("INVITE")
        other.got("INVITE")

    def test_first_flow_dies_while_it_rings(self) -> None:
        """The flow that was asked goes before it answers: the call comes by the other one, with a branch of its own."""
        first, second = self.flow(1), self.flow(2)
        self.alice.send("INVITE", first.aor)
        asked = second.got("INVITE")
        self.world.close(second)
        again = first.got("INVITE")
        self.assertNotEqual(again.via.branch, asked.via.branch)
        first.reply(again, 200)
        self.assertEqual(self.alice.statuses(), [100, 200])

    def test_edge_has_lost_it(self) -> None:
        """430 of an edge proxy: the next flow is asked, and the caller hears nothing of it."""
        edges = []
        for number in (1, 2):
            edge = self.world.phone("bob", host=f"192.0.2.{30 + number}", contact="sip:bob@10.0.0.9")
            edge.params = f';+sip.instance="<urn:uuid:one>";reg-id={number}'
            path = f"<sip:t{number}@192.0.2.{30 + number};lr;ob>"
            self.assertEqual(edge.register(headers=[*SUPPORTED, ("path", path)]).status, 200)
            self.world.advance(1)
            edges.append(edge)
        self.alice.send("INVITE", edges[0].aor)
        edges[1].reply(edges[1].got("INVITE"), 430)
        asked = edges[0].got("INVITE")
        self.assertEqual(asked.get("route"), "<sip:t1@192.0.2.31;lr;ob>")
        edges[0].reply(asked, 430)
        self.assertEqual(self.alice.statuses(), [100, 480])

    def test_busy_is_final(self) -> None:
        """An answer of the device is its answer: no other flow is asked (§7)."""
        first, second = self.flow(1), self.flow(2)
        self.alice.send("INVITE", first.aor)
        second.reply(second.got("INVITE"), 486)
        self.assertEqual((first.take(), self.alice.statuses()), ([], [100, 486]))

    def test_silence(self) -> None:
        """A datagram flow that says nothing at all is passed over after [proxy] next_host_seconds, not after half a minute."""
        first, second = self.flow(1, "UDP"), self.flow(2, "UDP")
        self.alice.send("INVITE", first.aor)
        second.got("INVITE")
        self.world.advance(self.world.settings.proxy.next_host_seconds + 1)
        first.reply(first.got("INVITE"), 200)
        self.assertEqual(self.alice.statuses(), [100, 200])

    def test_cancel(self) -> None:
        """Who has hung up isn't rung at another flow."""
        first, second = self.flow(1), self.flow(2)
        invite = self.alice.send("INVITE", first.aor)
        second.reply(second.got("INVITE"), 180)
        self.alice.send("CANCEL", first.aor, to=invite.get("to") or "", from_tag=invite.from_.tag, call_id=invite.call_id,
                        cseq=invite.cseq, branch=invite.via.branch)  # fmt: skip
        self.world.close(second)
        self.assertEqual(first.take(), [])
        self.assertEqual(self.alice.statuses()[-1], 487)

    def test_datagram_flow(self) -> None:
        """Over UDP a flow is the address that the REGISTER came from, whatever its Contact says."""
        phone = self.world.phone("bob", "UDP", "192.0.2.77", 40000, contact="sip:bob@192.0.2.77:5060")
        phone.params = ';+sip.instance="<urn:uuid:one>";reg-id=1'
        self.assertEqual(phone.register(headers=SUPPORTED).status, 200)
        self.world.call(self.alice, phone)
