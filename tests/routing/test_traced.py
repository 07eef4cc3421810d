"""A script that asks services: which trace they are told, and which one of theirs the call refers to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sipnode.base.tap import TRACED
from sipnode.base.trace import Tracing
from sipnode.routing.script import RoutingScript
from sipnode.settings import NodeSettings, OtelSettings, Settings
from tests.insight.kit import SDP, RecordedCase

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


class Asking(RoutingScript):
    """Has seen each trace that it would send, and names one."""

    REQUEST_ROUTE = ("ask", *RoutingScript.REQUEST_ROUTE)
    seen: list[str] = []

    def ask(self, r: Any) -> Any:
        """Ask."""
        self.seen.append(r.traceparent)
        r.traced(PARENT)
        r.traced("nonsense")
        return None


class TracedTests(RecordedCase):
    """A script."""

    script = Asking
    settings = replace(Settings(), node=NodeSettings(id=3), otel=OtelSettings(endpoint="http://127.0.0.1:1/", share=1.0))

    def test_traceparent(self) -> None:
        """It is the trace of the call, and the span of this server; a trace that the script names is noted, nonsense isn't."""
        Asking.seen.clear()
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        self.assertEqual(Asking.seen[0], Tracing(3, 1.0).parent(invite.call_id))
        self.assertEqual([entry.parts[1] for entry in self.story(invite.call_id).facts(TRACED)], [(PARENT,)])

    def test_off(self) -> None:
        """Where nothing is traced there is none."""
        Asking.seen.clear()
        world = self.recorded(Settings())
        world.phone("alice").send("INVITE", self.bob.aor, (), SDP)
        self.assertEqual(Asking.seen, [""])
