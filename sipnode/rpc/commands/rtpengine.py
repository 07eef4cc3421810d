"""rtpengine.*: the media nodes, in the names and fields of Kamailio's module."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypedDict

from twisted.internet.defer import Deferred, inlineCallbacks

from sipnode.errors import ConfigError, MediaError, RpcError
from sipnode.rpc.registry import rpc

if TYPE_CHECKING:
    from sipnode.rpc.parts import Parts


class NodeState(TypedDict):
    url: str
    set: int
    index: int
    weight: int
    disabled: int
    recheck_ticks: int


class Answer(TypedDict):
    url: str
    status: str


class Reloaded(TypedDict):
    added: list[str]
    removed: list[str]


class MediaCommands:
    """rtpengine.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @rpc("rtpengine.show")
    def show(self, url: str = "all") -> list[NodeState]:
        """The media nodes: ``all``, or one by its url.

        ``disabled`` is 1 where a node gets no new calls, since it doesn't answer or was taken out; ``recheck_ticks`` are the seconds
        until one that didn't answer is tried again.
        """
        nodes = self._set.nodes
        return [self._state(node, nodes.index(node)) for node in self._named(url)]

    @rpc("rtpengine.ping")
    @inlineCallbacks
    def ping(self, url: str) -> Generator[Deferred[Any], Any, Answer]:
        """Ask a node, or ``all``, whether it is there; ``status`` is ``success`` when every one answered."""
        alive = True
        for node in self._named(url):
            alive = bool((yield self._ping(node))) and alive
        return Answer(url=url, status="success" if alive else "fail")

    @rpc("rtpengine.enable", changes=True)
    @inlineCallbacks
    def enable(self, url: str, flag: int) -> Generator[Deferred[Any], Any, Answer]:
        """Give a node, or ``all``, new calls again (1) or no more (0); the calls that it has go on.

        ``status`` is ``enable``, ``disable``, or ``fail`` when a node that is wanted again doesn't answer.
        """
        nodes = self._named(url)
        if flag not in (0, 1):
            raise RpcError(400, "flag is 0 or 1")
        status = "disable"
        for node in nodes:
            self._set.drain(node.name, not flag)
        if flag:
            status = "enable"
            for node in nodes:
                if not (yield self._ping(node)):
                    status = "fail"
        return Answer(url=url, status=status)

    @rpc("rtpengine.reload", changes=True)
    def reload(self) -> Reloaded:
        """Read ``[media] nodes`` again: new nodes get calls, one that is gone keeps those that it has.

        Kamailio reads its database here, and answers with nothing.
        """
        if self._parts.media is None or not self._parts.media.nodes.nodes:
            raise RpcError(500, "No media nodes at the start: they need a restart")
        try:
            added, removed = self._parts.reload_media()
        except ConfigError as error:
            raise RpcError(500, str(error)) from None
        return Reloaded(added=added, removed=removed)

    @rpc("rtpengine.add", changes=True)
    def add(self, node: str) -> Reloaded:
        """Add a node, ``HOST:PORT [weight N] [set N]``, until the next start or reload; to keep it write it into the configuration too."""
        return self._other([*self._parts.media.lines(), node])

    @rpc("rtpengine.remove", changes=True)
    def remove(self, url: str) -> Reloaded:
        """Give a node no new calls and forget it, until the next start or reload; the calls that it has go on."""
        gone = self._named(url)
        return self._other(self._parts.media.lines(gone))

    def _other(self, lines: list[str]) -> Reloaded:
        try:
            added, removed = self._parts.media.reload(lines)
        except ConfigError as error:
            raise RpcError(400, str(error)) from None
        return Reloaded(added=added, removed=removed)

    @rpc("rtpengine.get_hash_total")
    def get_hash_total(self) -> int:
        """How many calls have media on some node."""
        return sum(1 for call in self._parts.core.dialogs.list() if call.bridged)

    # --

    @property
    def _set(self) -> Any:
        if self._parts.media is None:
            raise RpcError(404, "Instance not found")
        return self._parts.media.nodes

    def _named(self, url: str) -> list[Any]:
        nodes: list[Any] = self._set.nodes
        found = nodes if url == "all" else [node for node in nodes if _url(node) == url or node.name == url]
        if not found and url != "all":
            raise RpcError(404, "Instance not found")
        return list(found)

    def _state(self, node: Any, index: int) -> NodeState:
        down = not self._set.is_up(node)
        left = max(0, int(node.down_until - self._parts.clock())) if down else 0
        disabled = int(down or node.draining)
        return NodeState(url=_url(node), set=node.set, index=index, weight=node.weight, disabled=disabled, recheck_ticks=left)

    def _ping(self, node: Any) -> Deferred[bool]:
        def failed(failure: Any) -> bool:
            failure.trap(MediaError)
            return False

        asking: Deferred[Any] = self._set.ping(node)
        return asking.addCallbacks(lambda _: True, failed)


def _url(node: Any) -> str:
    host = f"[{node.host}]" if ":" in node.host else node.host
    return f"udp:{host}:{node.port}"
