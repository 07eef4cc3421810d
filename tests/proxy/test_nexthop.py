"""Promises of ``sipnode.proxy.nexthop``."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.base.flow import Flow
from sipnode.fakes import FakeFlow, OpenAuthenticator
from sipnode.proxy.nexthop import cause_of
from sipnode.routing.request import Request
from sipnode.sip import build
from sipnode.testing import World

ASKED = build.request("OPTIONS", "sip:bob@example.test", ())


class Trusting(OpenAuthenticator):
    """Trusts one address."""

    def trusts(self, flow: Flow) -> bool:
        """Whether it is that one."""
        return flow.remote[0] == "10.0.0.1"


class CauseTests(SynchronousTestCase):
    """On whose behalf a connection is opened."""

    def test_cause(self) -> None:
        """The user's that is proved, else the source's by its kind of transport; nobody's where the source is trusted."""
        world = World(authenticator=Trusting())
        world.core.transactions.place_of = lambda flow: f"{flow.transport} {flow.remote[0]}"

        def cause(host: str, identity: str = "") -> str:
            ctx = Request(world.core, ASKED, FakeFlow("UDP", (host, 5060)), "", 0.0)
            ctx.identity = identity
            return cause_of(ctx)

        self.assertEqual(cause("203.0.113.9", "alice@example.test"), "alice@example.test")
        self.assertEqual(cause("203.0.113.9"), "UDP 203.0.113.9")
        self.assertEqual(cause("10.0.0.1", "alice@example.test"), "")
