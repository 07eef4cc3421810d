"""One way out, one tap: whatever of SIP leaves goes through the outbox, and nobody but the tap's watchers is told what happened."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import sipnode
from sipnode.base.tap import EVENTS

TOP = Path(sipnode.__file__).parent
TRANSPORTS = {"base.outbox", "base.flow"}
"""What gives octets to a flow, and what a flow is."""
NO_SIP = {
    "demo.probes",
    "check.asking",
    "check.relay",
    "check.health.place",
    "check.health.reach",
    "transport.udp",
    "transport.advertise",
    "insight.mirror",
    "transport.nodelay",
    "transport.sounding",
    "transport.tls.wire",
    "lifecycle.notify",
}
"""Plain sockets, and STUN: keepalives of UDP and their answers, the question for our own address, and the copies of HEP."""
NO_SERVER = {"testing", "replay.play"}
"""Phones in memory, which are the other end."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Dotted name without ``sipnode.`` and tree of every module."""
    for path in sorted(TOP.rglob("*.py")):
        if "node_modules" not in path.parts:
            name = ".".join(path.relative_to(TOP).with_suffix("").parts)
            yield name, ast.parse(path.read_text("utf-8"), str(path))


def sends(tree: ast.AST) -> list[int]:
    """Lines on which something has a ``send`` that is neither the outbox's nor the object's own method."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("send", "sendto", "sendMessage") and isinstance(node.ctx, ast.Load):
            value = node.value
            owner = value.attr if isinstance(value, ast.Attribute) else value.id if isinstance(value, ast.Name) else ""
            if owner.lstrip("_") not in ("outbox", "self"):
                found.append(node.lineno)
    return found


OBSERVERS = ("observe.", "insight.", "wiring.observe", "wiring.insight", "manhole.", "rpc.", "log")
"""Rooms that watch, or that ask those who do."""
WATCHERS = {"trace", "history", "wire_trace", "recorder"}


def asides(tree: ast.AST) -> list[int]:
    """Lines that speak to a watcher by name, past the tap; a method of the module's own is none."""
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.lstrip("_") in WATCHERS]
    # A section of the settings that has its name is no watcher.
    found = [node for node in found if not ast.unparse(node.value).endswith("settings")]
    return [node.lineno for node in found if node.attr not in own]


class OneWayOutTests(SynchronousTestCase):
    """Nobody sends past the outbox."""

    def test_outbox(self) -> None:
        """No module but the transports gives octets to a flow."""
        allowed = TRANSPORTS | NO_SIP | NO_SERVER
        wrong = [f"{name}:{line}" for name, tree in modules() if name not in allowed for line in sends(tree)]
        self.assertEqual(wrong, [])
        needless = [name for name, tree in modules() if name in NO_SIP | NO_SERVER | {"base.outbox"} and not sends(tree)]
        self.assertEqual(needless, [])

    def test_it_would_be_seen(self) -> None:
        """Whatever the flow is called, and where its method only changes hands."""
        for line in ("flow.send(data)", "self.flow.send(data)", "branch._flow.send(data)", "found().send(data)", "out = flow.send"):
            self.assertEqual(sends(ast.parse(line)), [1], line)
        for line in ("core.outbox.send(now, data)", "self._outbox.send(now, data)", "self.send(request)", "self._send(request)"):
            self.assertEqual(sends(ast.parse(line)), [], line)


class OneTapTests(SynchronousTestCase):
    """Nobody is told what happened but by the tap."""

    def test_tap(self) -> None:
        """No room knows the trace or the history of calls."""
        wrong = [f"{name}:{line}" for name, tree in modules() if not name.startswith(OBSERVERS) for line in asides(tree)]
        self.assertEqual(wrong, [])

    def test_it_would_be_seen(self) -> None:
        """Whether they are called, set or only looked at."""
        for line in ("core.trace.sent(data)", "if self.core.history is not None: pass", "core.trace = None", "self._history.step('x')"):
            self.assertEqual(asides(ast.parse(line)), [1], line)
        for line in ("watcher = core.tap.on_sent", "if settings.recorder.enabled: pass", "self.settings.recorder"):
            self.assertEqual(asides(ast.parse(line)), [], line)

    def test_every_event_happens(self) -> None:
        """Each event that can be subscribed to is told by somebody, as it is called on the tap."""
        told = {node.attr for name, tree in modules() for node in ast.walk(tree) if isinstance(node, ast.Attribute) and name != "base.tap"}
        self.assertEqual({f"on_{event}" for event in EVENTS} - told, set())
