"""The media service: opens the sockets to the nodes, resolves their names, closes all again.

The one invariant: starting and stopping wait for no node; one that can't be reached or resolved is down, not an error.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, fail, gatherResults, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IDelayedCall, IHostResolution, IListeningPort, IResolutionReceiver
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from zope.interface import implementer

from sipnode import extensions
from sipnode.errors import ConfigError, MediaError
from sipnode.interfaces import IMediaRelay
from sipnode.media.bencode import Value
from sipnode.media.bridge import NoRelay, RtpengineRelay
from sipnode.media.client import NgClient
from sipnode.media.nodes import Node, NodeSet, line_of, parse_nodes
from sipnode.media.ports import PortWatch
from sipnode.media.spool import UNSEEN, Seen, Spools
from sipnode.media.sweep import Owner, Sweep
from sipnode.settings import MediaSettings

MAX_PACKET = 65_535
"""Octets of a datagram that are read: a reply with SDP has to come whole."""

_INTERFACES = {(4, True): "127.0.0.1", (4, False): "", (6, True): "::1", (6, False): "::"}
"""Where the socket is bound, by IP version and whether the nodes are on this machine."""


@implementer(IResolutionReceiver)
class _FirstAddress:
    """Takes the first address that a host name resolves to, an IPv4 one if there is any."""

    def __init__(self, done: Any) -> None:
        self._done = done
        self._hosts: list[str] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Twisted: nothing to do."""

    def addressResolved(self, address: IAddress) -> None:
        """Twisted: one of the addresses."""
        self._hosts.append(str(getattr(address, "host", "")))

    def resolutionComplete(self) -> None:
        """Twisted: there are no more."""
        hosts = [host for host in self._hosts if host]
        self._done(min(hosts, key=lambda host: ":" in host) if hosts else "")


def other_relay(settings: MediaSettings, reactor: Any) -> IMediaRelay | None:
    """The relay of the plugin that ``[media] relay`` names; None for rtpengine.

    Raises:
        ConfigError: no such plugin, one that can't be used, or settings that it doesn't take.
    """
    if settings.relay == "rtpengine":
        return None
    return extensions.find(extensions.RELAYS, settings.relay).made(lambda relays: relays.make(settings, reactor), IMediaRelay)


def _service_of(relay: IMediaRelay) -> IService:
    """Where a relay has something to start and to stop; else something that does nothing."""
    nothing: IService = Service()
    return relay if IService.providedBy(relay) else nothing


class MediaService(Service):
    """The relay with its sockets, from start to stop.

    Attributes:
        relay: IMediaRelay, NoRelay where no node is configured.
        nodes: The NodeSet, empty where the relay is a plugin's.

    Args:
        settings: The section [media].
        reactor: For UDP, time and name resolution (IReactorUDP, IReactorTime, IReactorPluggableNameResolver).

    Raises:
        ConfigError: A node or a timeout that can't be, or a plugin that can't be used.
    """

    _log = Logger(namespace="sipnode.media")

    name = "media"

    def __init__(self, settings: MediaSettings, reactor: Any) -> None:
        if not settings.timeouts or min(settings.timeouts) <= 0:
            raise ConfigError("at least one wait, each of more than 0 seconds", key="media.timeouts")
        self._settings = settings
        self._reactor = reactor
        self._clients: dict[tuple[int, bool], tuple[NgClient, IListeningPort]] = {}
        self._client_for: dict[str, NgClient] = {}
        self._again: set[IDelayedCall] = set()
        other = other_relay(settings, reactor)
        nodes = [] if other is not None else parse_nodes(settings.nodes)
        self.nodes = NodeSet(nodes, self._send, reactor, settings.disable_seconds, settings.ping_seconds)
        self.nodes.ping_waits = settings.timeouts[:-1] or None
        self.nodes.lost_seconds = settings.lost_seconds
        ours = RtpengineRelay(self.nodes, settings, reactor) if nodes else NoRelay()
        self.relay: IMediaRelay = ours if other is None else other
        if isinstance(self.relay, RtpengineRelay):
            self.relay.spools = Spools(self._in_thread, reactor)
        self._ports = PortWatch(self.nodes, reactor)
        self._sweep: Sweep | None = None

    def sweep_for(self, owner: Owner) -> None:
        """From the start on, free what the nodes hold under our names and ``owner`` doesn't; before the start."""
        if self.nodes.nodes and self._settings.sweep_seconds and self._settings.call_key == "own":
            self._sweep = Sweep(self.nodes, owner, self._reactor, self._settings)

    @property
    def measures(self) -> bool:
        """Whether somebody wants the numbers of each call that a node ends."""
        return isinstance(self.relay, RtpengineRelay) and self.relay.measured is not None

    def measured_by(self, watcher: Callable[[str, Mapping[bytes, Any]], None]) -> None:
        """Have ``watcher(name of the call, reply)`` called with the numbers of each call that a node ends; a plugin's relay has none."""
        if not isinstance(self.relay, RtpengineRelay):
            return
        former = self.relay.measured
        if former is None:
            self.relay.measured = watcher
            return

        def both(name: str, reply: Mapping[bytes, Any]) -> None:
            former(name, reply)
            watcher(name, reply)

        self.relay.measured = both

    def unrecorded_by(self, watcher: Callable[[str, str], None]) -> None:
        """Have ``watcher(name of the call, sentence)`` called for each call that was to be recorded where its node can't."""
        if isinstance(self.relay, RtpengineRelay):
            self.relay.unrecorded = watcher

    def _in_thread(self, look: Callable[[str, int], Seen], host: str, port: int) -> Deferred[Seen]:
        if not host:
            # Its name isn't resolved yet.
            return succeed(UNSEEN)
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), look, host, port)

    @property
    def outstanding(self) -> int:
        """Commands that wait for a reply."""
        return sum(client.outstanding for client, _ in self._clients.values())

    def startService(self) -> None:
        """Twisted: begin to ping; names are resolved meanwhile."""
        Service.startService(self)
        for node in self.nodes.nodes:
            if not node.address:
                self._resolve(node)
        if self.nodes.nodes:
            self.nodes.start()
            self._ports.start()
        if isinstance(self.relay, RtpengineRelay) and self.relay.records and self.relay.spools is not None:
            # Said before the first call, not by it.
            for node in self.nodes.nodes:
                self.relay.spools.known(node)
        if self._sweep is not None:
            self._sweep.start()
        _service_of(self.relay).startService()

    def lines(self, without: Sequence[Node] = ()) -> list[str]:
        """Lines of ``[media] nodes`` that would give the nodes in force, but for some."""
        return [line_of(node) for node in self.nodes.nodes if node not in without]

    def reload(self, lines: Sequence[str]) -> tuple[list[str], list[str]]:
        """Have the nodes that these lines of ``[media] nodes`` name.

        Returns:
            (``HOST:PORT`` of the nodes that came, of those that went).

        Raises:
            ConfigError: a line that can't be, or none at all; nothing has changed.
        """
        if self._settings.relay != "rtpengine":
            raise ConfigError(f"the relay {self._settings.relay!r} takes its nodes at a start", key="media.nodes")
        nodes = parse_nodes(lines)
        if not nodes:
            raise ConfigError("no node is left; calls would have no media", key="media.nodes")
        came, gone = self.nodes.replace(nodes)
        for node in came:
            if not node.address:
                self._resolve(node)
        return [f"{node.host}:{node.port}" for node in came], [f"{node.host}:{node.port}" for node in gone]

    def stopService(self) -> Deferred[Any]:
        """Twisted: end all commands, then close the sockets."""
        Service.stopService(self)
        return self._stop()

    def _stop(self) -> Deferred[Any]:
        self.nodes.stop()
        self._ports.stop()
        if self._sweep is not None:
            self._sweep.stop()
        for call in self._again:
            call.cancel()
        self._again.clear()
        clients, self._clients = list(self._clients.values()), {}
        self._client_for.clear()
        for client, _ in clients:
            client.stop()
        ended = [maybeDeferred(port.stopListening) for _, port in clients]
        return gatherResults([*ended, maybeDeferred(_service_of(self.relay).stopService)])

    def _send(self, node: Node, command: dict[str, Any], waits: Sequence[float] | None) -> Deferred[dict[bytes, Value]]:
        if not self.running or not node.address:
            return fail(MediaError("the media client is stopped" if node.address else f"{node.host} has no address", 503))
        client = self._client_for.get(node.address)
        if client is None:
            try:
                client = self._client_for[node.address] = self._client(node.address)
            except CannotListenError as error:
                self._log.warn("no socket for media node {place}: {error}", place=node.place, error=error)
                return fail(MediaError("no socket to the media node", 503))
        return client.command((node.address, node.port), command, waits)

    def _client(self, address: str) -> NgClient:
        parsed = ipaddress.ip_address(address)
        kind = (parsed.version, parsed.is_loopback)
        found = self._clients.get(kind)
        if found is None:
            client = NgClient(self._reactor, self._settings.timeouts)
            port = self._reactor.listenUDP(0, client, interface=_INTERFACES[kind], maxPacketSize=MAX_PACKET)
            found = self._clients[kind] = (client, port)
        return found[0]

    def _resolve(self, node: Node) -> None:
        def done(address: str) -> None:
            if not self.running:
                return
            if address:
                node.address = address
                self._log.info("media node {place} is at {address}", place=node.place, address=address)
                return
            self._log.warn("media node {place}: its name has no address", place=node.place)
            call = self._reactor.callLater(self._settings.ping_seconds, again)
            self._again.add(call)

        def again() -> None:
            self._again = {call for call in self._again if call.active()}
            self._resolve(node)

        self._reactor.nameResolver.resolveHostName(_FirstAddress(done), node.host, node.port)
