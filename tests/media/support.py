"""Helpers of the media tests: a datagram transport and a node that live in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from sipnode.errors import MediaError
from sipnode.media import ng
from sipnode.media.bencode import Value
from sipnode.media.nodes import Node

Reply = dict[bytes, Value] | MediaError | None


class DatagramTransport:
    """Keeps what is written; ``error`` is raised instead when it is set."""

    def __init__(self) -> None:
        self.written: list[tuple[bytes, tuple[str, int]]] = []
        self.error: OSError | None = None

    def write(self, data: bytes, address: tuple[str, int]) -> None:
        if self.error is not None:
            raise self.error
        self.written.append((data, address))


class Nodes:
    """Stands for the client and the nodes behind it: ``answer[host]`` says what a node replies to a command.

    A node that isn't in ``answer`` says ok to all; None is silence, which ends in NoAnswer after the waits.
    """

    def __init__(self, clock: Clock, timeouts: Sequence[float] = (0.3, 0.6, 1.2)) -> None:
        self.clock = clock
        self.timeouts = timeouts
        self.answer: dict[str, Callable[[dict[str, Any]], Reply]] = {}
        self.log: list[tuple[str, str]] = []
        self.commands: list[dict[str, Any]] = []

    def send(self, node: Node, command: dict[str, Any], waits: Sequence[float] | None) -> Deferred[dict[bytes, Value]]:
        self.log.append((node.host, command["command"]))
        self.commands.append(command)
        reply = self.answer.get(node.host, self.ok)(command)
        if reply is None:
            silent: Deferred[dict[bytes, Value]] = Deferred()
            self.clock.callLater(sum(waits if waits is not None else self.timeouts), silent.errback, ng.NoAnswer())
            return silent
        return fail(reply) if isinstance(reply, MediaError) else succeed(reply)

    @staticmethod
    def ok(command: dict[str, Any]) -> Reply:
        """A node that does what it is told; its SDP is that of the command with a mark."""
        return {b"result": b"ok", b"sdp": b"relayed " + command.get("sdp", b"")}

    @staticmethod
    def silent(command: dict[str, Any]) -> Reply:
        """A dead node."""
        return None

    @staticmethod
    def refusing(error: type[MediaError], reason: str, status: int) -> Callable[[dict[str, Any]], Reply]:
        """A node that answers pings and refuses all else."""
        return lambda command: Nodes.ok(command) if command["command"] in ("ping", "delete") else error(reason, status)

    def took(self, command: str) -> list[str]:
        """Hosts that got that command, in order."""
        return [host for host, name in self.log if name == command]
