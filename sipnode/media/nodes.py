"""The media nodes: which there are, which one takes a call, which ones are up.

A call goes to the node that a weighted rendezvous hash of its Call-ID names among those that are up: every process that
knows the same nodes chooses the same one, and a node that comes or goes moves only the calls that have to move.

The one invariant: a node that doesn't answer is left out of the choice until it answers a ping or its time is over, and
nobody waits for it meanwhile, but where no other is left.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipnode.errors import ConfigError
from sipnode.media import ng
from sipnode.media.bencode import Value

_LINE = re.compile(
    r"\A(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^\s:\[\]]+)):(?P<port>[0-9]{1,5})(?:\s+weight\s+(?P<weight>[0-9]{1,6}))?"
    r"(?:\s+set\s+(?P<set>[0-9]{1,6}))?\Z"
)
_HOST_NAME = re.compile(r"\A(?=.{1,253}\Z)(?!-)[0-9A-Za-z_-]{1,63}(?:\.[0-9A-Za-z_-]{1,63})*\.?\Z")
_NUMERIC_HOST = re.compile(r"\A[0-9.]+\Z")

Send: TypeAlias = Callable[["Node", dict[str, Any], "Sequence[float] | None"], "Deferred[dict[bytes, Value]]"]
"""Sends a command to a node: (node, command, waits or None for the settings' own)."""

MOST_HELD_DOWN = 2
"""Nodes that are asked in vain at most where none is up."""

UNHURRIED = frozenset(("delete", "list", "query", "statistics"))
"""Commands whose silence says nothing of a node's health: nobody waits for a delete, and answers of the others may fit into no datagram."""

LARGE_SDP = 8192
"""Octets of SDP, sent in one datagram, over which silence says nothing of a node's health."""


class Ports(NamedTuple):
    """An interface of a node and its ports."""

    name: str
    address: str
    low: int
    high: int
    free: int
    total: int


@dataclass(slots=True)
class Node:
    """One rtpengine.

    ``name`` comes from host and port, so that it outlives a restart and a change in the order of the lines. ``address``
    is an IP literal, "" until the host name is resolved. ``down_until`` is the clock's second up to which the node isn't
    used, 0 when it is up. ``set`` is its number of Kamailio's ``set_rtpengine_set``: a call that the script sends to no other takes
    nodes of set 0. A ``draining`` node keeps its calls and gets no new ones. ``ports`` are those of its interfaces, as it
    said last; empty where it doesn't tell. ``silent_since`` is the clock's second at which it was first found silent, None where it
    answers; ``gone`` is set by a ping in vain, and ``lost`` once its silence is too long ago. ``heard`` is that of its last answer, 0 for
    none yet.
    """

    name: str
    host: str
    port: int
    weight: int = 1
    address: str = ""
    set: int = 0
    down_until: float = 0.0
    draining: bool = False
    pinging: bool = False
    ports: tuple[Ports, ...] = ()
    silent_since: float | None = None
    lost: bool = False
    gone: bool = False
    heard: float = 0.0

    @property
    def place(self) -> str:
        """``HOST:PORT``, as the configuration has it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def line_of(node: Node) -> str:
    """What :func:`parse_node` reads."""
    return f"{node.place} weight {node.weight} set {node.set}"


def parse_node(line: str) -> Node:
    """Read ``HOST:PORT [weight N] [set N]``; HOST is a name, an IPv4 literal, or an IPv6 literal in brackets.

    Raises:
        ConfigError: Anything else; ``key`` is media.nodes.
    """
    match = _LINE.match(line.strip())
    if match is None:
        raise ConfigError(f"{line!r} isn't 'HOST:PORT [weight N] [set N]' (IPv6 in brackets)", key="media.nodes")
    port = int(match["port"])
    if not 1 <= port <= 65535:
        raise ConfigError(f"port {port} of {line!r} isn't 1..65535", key="media.nodes")
    host, literal = _host(match["v6"] or match["host"], bool(match["v6"]), line)
    name = "n" + hashlib.sha256(f"{host}:{port}".encode()).hexdigest()[:8]
    return Node(name, host, port, int(match["weight"] or 1), host if literal else "", int(match["set"] or 0))


def _host(text: str, bracketed: bool, line: str) -> tuple[str, bool]:
    """The host in one form of several, and whether it is a literal."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        if bracketed or _NUMERIC_HOST.match(text) or not _HOST_NAME.match(text):
            raise ConfigError(f"{text!r} in {line!r} is neither an address nor a host name", key="media.nodes") from None
        return text.lower(), False
    if bracketed != (address.version == 6) or address.is_unspecified or address.is_multicast:
        raise ConfigError(f"{text!r} in {line!r} can't be the address of a node", key="media.nodes")
    return str(address), True


def parse_nodes(lines: Iterable[str]) -> list[Node]:
    """Read the lines of ``[media] nodes``; raises ConfigError, also for a node that stands twice, and where set 0 is left empty."""
    nodes: list[Node] = []
    for line in lines:
        node = parse_node(line)
        if any(other.name == node.name for other in nodes):
            raise ConfigError(f"{node.host}:{node.port} stands twice", key="media.nodes")
        nodes.append(node)
    if nodes and all(node.set for node in nodes):
        raise ConfigError("set 0 has no node: it serves the calls for which the script chooses no set", key="media.nodes")
    return nodes


def score(node: Node, call_id: str) -> float:
    """Weight of a node for a call; the highest takes it (weighted rendezvous hashing)."""
    digest = hashlib.blake2b(f"{node.name} {call_id}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
    fraction = (int.from_bytes(digest, "big") + 1) / (2**64 + 2)
    return -max(node.weight, 1) / math.log(fraction)


class NodeSet:
    """The nodes with their health.

    Args:
        nodes: As `parse_nodes` gives them.
        send: Sends a command to a node.
        clock: For health and pings.
        disable_seconds: How long a silent node isn't used.
        ping_seconds: Between two pings of a node.

    Attributes:
        ping_waits: Waits of a ping, None for the settings' own. They are shorter, for nobody is harmed by one that is lost.
        lost_seconds: A node that is silent for so long is lost, 0 for never.
        on_lost: Called with a node when it is lost; once, until it has answered again.
        on_down: Called with a node that doesn't answer a ping; once, until it has answered again.
        on_back: Called with one that answers after that.
        on_look: Called with each node at each interval, after its ping was sent.
    """

    _log = Logger(namespace="sipnode.media")

    def __init__(self, nodes: Sequence[Node], send: Send, clock: IReactorTime, disable_seconds: float, ping_seconds: float) -> None:
        self.nodes = list(nodes)
        self._by_name = {node.name: node for node in self.nodes}
        self._send = send
        self._clock = clock
        self._disable_seconds = disable_seconds
        self._ping_seconds = ping_seconds
        self._pings: LoopingCall | None = None
        self.ping_waits: Sequence[float] | None = None
        self.lost_seconds = 0.0
        self.on_lost: Callable[[Node], None] | None = None
        self.on_down: Callable[[Node], None] | None = None
        self.on_back: Callable[[Node], None] | None = None
        self.on_look: Callable[[Node], None] | None = None

    def named(self, name: str) -> Node | None:
        """The node of that name, up or not; None when the settings don't have it (any more)."""
        return self._by_name.get(name)

    def has_set(self, number: int) -> bool:
        """Whether a node is in that set."""
        return any(node.set == number for node in self.nodes)

    def held_down(self, call_id: str, number: int = 0) -> list[Node]:
        """Where no node of a set is up: those of it that a new call may try all the same, best first. One of them may have come back since,
        and to be refused at once is no better than to wait for an answer.
        """
        nodes = [node for node in self.nodes if node.address and not node.draining and node.set == number]
        nodes.sort(key=lambda node: (node.weight > 0, score(node, call_id)), reverse=True)
        return nodes[:MOST_HELD_DOWN]

    def is_up(self, node: Node) -> bool:
        """The node has an address and didn't fail lately."""
        return bool(node.address) and (node.down_until == 0.0 or self._clock.seconds() >= node.down_until)

    def ranked(self, call_id: str, number: int = 0) -> list[Node]:
        """The nodes of a set that may take a new call, best first; those of weight 0 come last."""
        free = [node for node in self.nodes if not node.draining and node.set == number and self.is_up(node)]
        if len(free) > 1:
            free.sort(key=lambda node: (node.weight > 0, score(node, call_id)), reverse=True)
        return free

    def choose(self, call_id: str, number: int = 0) -> Node | None:
        """The node of a set that a new call takes, None when there is none that could."""
        ranked = self.ranked(call_id, number) or self.held_down(call_id, number)
        return ranked[0] if ranked else None

    def drain(self, name: str, on: bool = True) -> bool:
        """Give a node no new calls, or give it some again; False for an unknown name."""
        node = self._by_name.get(name)
        if node is not None:
            node.draining = on
        return node is not None

    def ping(self, node: Node) -> Deferred[dict[bytes, Value]]:
        """Ask a node whether it is there, and learn of its health by that; fails with MediaError."""
        return self.command(node, ng.ping())

    def replace(self, nodes: Sequence[Node]) -> tuple[list[Node], list[Node]]:
        """Have other nodes; one that stays keeps its health, and its weight and set are as given now.

        A node that goes is asked no more for new calls. The calls that it has are still answered for as long as they name it.

        Returns:
            (nodes that are new, nodes that went).
        """
        wanted = {node.name: node for node in nodes}
        gone = [node for node in self.nodes if node.name not in wanted]
        came = [node for node in nodes if node.name not in self._by_name]
        kept = {node.name: node for node in self.nodes}
        for name, node in wanted.items():
            if name in kept:
                kept[name].weight, kept[name].set = node.weight, node.set
        self.nodes = [kept.get(node.name) or self._by_name.get(node.name) or node for node in nodes]
        self._by_name.update((node.name, node) for node in self.nodes)
        return came, gone

    def command(self, node: Node, command: dict[str, Any], waits: Sequence[float] | None = None) -> Deferred[dict[bytes, Value]]:
        """Send a command to a node and learn of its health by the result; fails with MediaError."""
        sent = self._clock.seconds()
        return self._send(node, command, waits).addCallbacks(self._answered, self._failed, (node,), {}, (node, command, sent))

    def _answered(self, reply: dict[bytes, Value], node: Node) -> dict[bytes, Value]:
        self._up(node)
        return reply

    def _failed(self, failure: Failure, node: Node, command: dict[str, Any], sent: float) -> Failure:
        if failure.check(ng.NoAnswer):
            if command["command"] == "ping" and node.heard > sent:
                # It was started meanwhile, and has said something since.
                return failure
            if command["command"] in UNHURRIED or len(command.get("sdp", b"")) > LARGE_SDP:
                # A ping tells more.
                self._ping(node)
            else:
                self._down(node, command["command"] == "ping")
        return failure

    def _up(self, node: Node) -> None:
        gone = node.gone
        node.silent_since, node.lost, node.gone, node.heard = None, False, False, self._clock.seconds()
        if node.down_until:
            node.down_until = 0.0
            self._log.info("media node {place} answers again", place=node.place)
        if gone and self.on_back is not None:
            self.on_back(node)

    def _down(self, node: Node, pinged: bool) -> None:
        now = self._clock.seconds()
        if node.silent_since is None:
            node.silent_since = now
        elif self.lost_seconds and not node.lost and now - node.silent_since >= self.lost_seconds:
            node.lost = True
            self._log.warn("media node {place} is lost: no answer for {seconds:.0f} s", place=node.place, seconds=now - node.silent_since)
            if self.on_lost is not None:
                self.on_lost(node)
        if not node.down_until:
            self._log.warn("media node {place} doesn't answer", place=node.place)
            node.down_until = self._clock.seconds() + self._disable_seconds
            self._ping(node)
        else:
            node.down_until = self._clock.seconds() + self._disable_seconds
        if pinged and not node.gone:
            # Any other command may have been lost by itself.
            node.gone = True
            if self.on_down is not None:
                self.on_down(node)

    def start(self) -> None:
        """Ping every node now and at each interval; doesn't wait for any."""
        self._pings = LoopingCall(self._ping_all)
        self._pings.clock = self._clock
        self._pings.start(self._ping_seconds)

    def stop(self) -> None:
        """End the pings."""
        if self._pings is not None and self._pings.running:
            self._pings.stop()

    def _ping_all(self) -> None:
        for node in self.nodes:
            self._ping(node)
            if self.on_look is not None:
                self.on_look(node)

    def _ping(self, node: Node) -> None:
        if not node.address or node.pinging:
            return
        node.pinging = True
        self.command(node, ng.ping(), self.ping_waits).addBoth(self._pinged, node)

    def _pinged(self, result: object, node: Node) -> None:
        node.pinging = False
