"""Users behind an edge proxy: REGISTER with Path, and calls that go its way."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from sipnode.settings import LocationSettings, Settings
from sipnode.testing import Phone, World

EDGE = "192.0.2.30"
PATH = f"<sip:e1@{EDGE}:5070;lr;ob>"


class PathTests(SynchronousTestCase):
    """The edge is a proxy in front; its users have addresses that mean nothing here."""

    def setUp(self) -> None:
        self.world = World()
        self.alice = self.world.phone("alice")
        self.alice.register()
        self.alice.take()

    def behind_edge(self, transport: str = "UDP", world: World | None = None) -> Phone:
        """A phone whose messages come by the edge; what goes to it arrives at the edge's port."""
        phone = (world or self.world).phone("bob", transport, EDGE, 5070, "sip:bob@10.20.30.40:5060")
        phone.aor = "sip:bob@example.test"
        return phone

    def register(self, phone: Phone, path: str = PATH) -> int:
        """Its REGISTER."""
        status = phone.register(headers=(("path", path), ("supported", "path"))).status
        phone.take()
        return status

    def test_called(self) -> None:
        """The INVITE goes to the edge with the Path as its Route and the contact as its Request-URI; the call is a call."""
        for transport in ("UDP", "TCP"):
            self.setUp()
            phone = self.behind_edge(transport)
            path = PATH if transport == "UDP" else PATH.replace(";lr", ";transport=tcp;lr")
            self.assertEqual(self.register(phone, path), 200)
            call = self.world.call(self.alice, phone)
            self.assertEqual((call.received.uri, call.received.get("route")), (phone.contact, path))

    def test_connection_of_the_edge(self) -> None:
        """The connection that the REGISTER came by may go: the binding isn't its."""
        phone = self.behind_edge("TCP")
        self.register(phone)
        self.world.close(phone)
        self.assertEqual(self.world.core.registrar.lookup("bob@example.test").status, 200)

    def test_no_one_there(self) -> None:
        """Where the edge can't be reached the caller is told at once."""
        phone = self.behind_edge()
        self.register(phone, "<sip:e1@192.0.2.31;transport=tcp;lr>")
        self.alice.send("INVITE", phone.aor)
        self.assertEqual(self.alice.statuses(), [100, 503])

    def test_who_may(self) -> None:
        """With 'trusted' or 'none' a REGISTER with Path is refused, not half believed."""
        for who, trusted, status in (("users", False, 200), ("trusted", False, 403), ("trusted", True, 200), ("none", True, 403)):
            world = World(Settings(location=replace(LocationSettings(), path=who)))
            world.core.authenticator.trusts = lambda flow, trusted=trusted: trusted
            phone = self.behind_edge(world=world)
            self.assertEqual(self.register(phone), status, who)

    def test_own(self) -> None:
        """A Path that names this server is none."""
        self.world.core.registrar.contact_refusal = lambda uri, source: "Contact Leads Back Here" if uri.host == "192.0.2.1" else ""
        self.assertEqual(self.register(self.behind_edge(), "<sip:192.0.2.1;lr>"), 403)

    def test_private_edge(self) -> None:
        """An edge at a private address is asked there where it named itself."""
        phone = self.world.phone("bob", "UDP", "10.0.0.30", 5070, "sip:bob@10.20.30.40:5060")
        self.assertEqual(self.register(phone, "<sip:e1@10.0.0.30:5070;lr>"), 200)
        self.world.call(self.alice, phone)
