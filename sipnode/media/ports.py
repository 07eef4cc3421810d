"""How many ports each node has left: asked now and then, shown as a metric, and said aloud before calls are refused for it.

The invariant: a node that doesn't tell has no figures, and is used as ever.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipnode.errors import MediaError
from sipnode.media import ng
from sipnode.media.bencode import Value
from sipnode.media.nodes import Node, NodeSet, Ports

SECONDS: Final = 30.0
"""Between two questions."""
ALARM: Final = 0.8
"""Part of a node's ports in use from which it is said."""
CALM: Final = 0.7
"""Part below which it is over."""


class PortWatch:
    """Asks the nodes; their ``ports`` are the answers.

    Args:
        nodes: The nodes.
        clock: For the questions.
    """

    _log = Logger(namespace="sipnode.media")

    def __init__(self, nodes: NodeSet, clock: IReactorTime) -> None:
        self._nodes = nodes
        self._short: set[str] = set()
        self._looks = LoopingCall(self.look)
        self._looks.clock = clock

    def start(self) -> None:
        """Ask at each interval."""
        self._looks.start(SECONDS, now=False)

    def stop(self) -> None:
        """No more questions."""
        if self._looks.running:
            self._looks.stop()

    def look(self) -> None:
        """Ask each node that is up."""
        for node in self._nodes.nodes:
            if self._nodes.is_up(node):
                self._nodes.command(node, ng.statistics()).addCallbacks(self._told, _untold, (node,))
            else:
                node.ports = ()

    def _told(self, reply: dict[bytes, Value], node: Node) -> None:
        node.ports = tuple(interfaces_of(reply))
        # The interface with the least room refuses first.
        used = max(((1 - one.free / one.total, one) for one in node.ports if one.total), default=None)
        if used is None:
            return
        part, worst = used
        if part >= ALARM and node.name not in self._short:
            self._short.add(node.name)
            text = "media node {place}: {free} of {total} ports of {address} are free; calls are refused when none is"
            self._log.warn(text, place=node.place, free=worst.free, total=worst.total, address=worst.address)
        elif part < CALM and node.name in self._short:
            self._short.discard(node.name)
            self._log.info("media node {place} has ports enough again", place=node.place)


def _untold(failure: Failure) -> None:
    failure.trap(MediaError)


def interfaces_of(reply: dict[bytes, Value]) -> list[Ports]:
    """The interfaces that a reply to ``statistics`` tells of."""
    statistics = reply.get(b"statistics")
    interfaces = statistics.get(b"interfaces") if isinstance(statistics, dict) else None
    found = []
    for one in interfaces if isinstance(interfaces, list) else ():
        ports = one.get(b"ports") if isinstance(one, dict) else None
        if isinstance(one, dict) and isinstance(ports, dict):
            low, high, free, total = (_number(ports, name) for name in (b"min", b"max", b"free", b"totals"))
            found.append(Ports(_text(one, b"name"), _text(one, b"address"), low, high, free, total))
    return found


def _number(fields: dict[bytes, Value], name: bytes) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) else 0


def _text(fields: dict[bytes, Value], name: bytes) -> str:
    value = fields.get(name)
    return value.decode("ascii", "replace") if isinstance(value, bytes) else ""
