"""One way out, one tap: whatever of SIP leaves goes through the outbox, and nobody but the tap's watchers is told what happened."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import sipnode

TOP = Path(sipnode.__file__).parent
TRANSPORTS = {"base.outbox", "base.flow"}
"""What gives octets to a flow, and what a flow is."""
NO_SIP = {"demo.probes", "check.asking", "transport.udp", "transport.nodelay", "transport.tls.wire", "lifecycle.notify"}
"""Plain sockets, and UDP's answer to a STUN keepalive."""
NO_SERVER = {"testing"}
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
