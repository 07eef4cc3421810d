"""Phones that register over TCP, close the connection and listen at their Contact."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.testing import FakeFlow, Phone, World


class ShortTcpTests(SynchronousTestCase):
    """RFC 3261 §10.3, §18.1.1: the binding lasts, and the server connects."""

    def setUp(self) -> None:
        self.world = World()
        self.alice = self.world.phone("alice")
        self.alice.register()

    def phone(self, host: str) -> Phone:
        """One that has registered over TCP from a port that it doesn't listen at."""
        phone = self.world.phone("bob", "TCP", host, 40000, f"sip:bob@{host}:5070;transport=tcp")
        phone.register()
        phone.take()
        return phone

    def listen(self, phone: Phone) -> None:
        """Its connection closes; another one will be found at its Contact."""
        self.world.close(phone)
        phone.flow = FakeFlow("TCP", (phone.flow.remote[0], 5070), token=f"later{len(self.world.flows.flows)}")
        self.world.flows.flows.append(phone.flow)

    def test_called(self) -> None:
        """A call goes over a connection to the Contact, whether its address is a private one or not."""
        for host in ("192.0.2.50", "10.0.0.50"):
            phone = self.phone(host)
            self.listen(phone)
            self.world.call(self.alice, phone)
            phone.register(expires=0)

    def test_in_a_call(self) -> None:
        """Whoever closes its connection in mid-call gets the BYE at its Contact at once, caller or callee."""
        for host in ("192.0.2.50", "10.0.0.50"):
            for caller in (True, False):
                self.setUp()
                phone = self.phone(host)
                call = self.world.call(phone, self.alice) if caller else self.world.call(self.alice, phone)
                self.listen(phone)
                (call.from_callee if caller else call.from_caller)("BYE")
                self.assertEqual(phone.got("BYE").call_id, call.invite.call_id)

    def test_nobody_listens(self) -> None:
        """Where nobody takes the connection the caller is told at once."""
        phone = self.phone("10.0.0.50")
        self.world.close(phone)
        self.alice.take()
        self.alice.send("INVITE", phone.aor)
        self.assertEqual(self.alice.statuses(), [100, 503])

    def test_elsewhere(self) -> None:
        """A Contact that names another address than a private phone came from is no place to connect to."""
        phone = self.world.phone("bob", "TCP", "192.0.2.50", 40000, "sip:bob@10.9.9.9:5070;transport=tcp")
        phone.register()
        self.world.close(phone)
        self.alice.take()
        self.alice.send("INVITE", phone.aor)
        self.assertEqual(self.alice.statuses(), [404])
