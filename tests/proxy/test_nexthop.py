"""Promises of ``sipnode.proxy.nexthop``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.fakes import FakeFlow
from sipnode.proxy.nexthop import cause_of


class CauseTests(SynchronousTestCase):
    """On whose behalf a connection is opened."""

    def test_cause(self) -> None:
        """The user's that is proved, else the source's by its kind of transport; nobody's where the source is trusted."""
        core = SimpleNamespace(
            authenticator=SimpleNamespace(trusts=lambda flow: flow.remote[0] == "10.0.0.1"),
            transactions=SimpleNamespace(place_of=lambda flow: f"{flow.transport} {flow.remote[0]}"),
        )

        def cause(host: str, identity: str = "") -> str:
            ctx: Any = SimpleNamespace(core=core, identity=identity, flow=FakeFlow("UDP", (host, 5060)))
            return cause_of(ctx)

        self.assertEqual(cause("203.0.113.9", "alice@example.test"), "alice@example.test")
        self.assertEqual(cause("203.0.113.9"), "UDP 203.0.113.9")
        self.assertEqual(cause("10.0.0.1", "alice@example.test"), "")
