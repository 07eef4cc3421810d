"""Stand-ins for the network, the resolver, the media relay and the authenticator: each writes down what it is asked."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from sipnode.auth.authenticator import Authenticator
from sipnode.base.flow import Flow, Listener
from sipnode.base.flows import FlowTable, Resolver
from sipnode.base.request import Request
from sipnode.errors import ConfigError, FlowClosed, MediaError, NoRoute
from sipnode.interfaces import IMediaRelay, IMediaSets
from sipnode.records import Hop, MediaKey, MediaProfile
from sipnode.routing.http import HttpAnswer, HttpClient, HttpError


class FakeHttp(HttpClient):
    """HTTP services of a site that answer what a test says.

    Attributes:
        answers: By address: a status and what is written as JSON, or the error that the request fails with. Others answer 404.
        requests: ``(method, address, JSON that was sent)``, oldest first.
    """

    def __init__(self) -> None:
        super().__init__(Clock())
        self.answers: dict[str, tuple[int, Any] | HttpError] = {}
        self.requests: list[tuple[str, str, Any]] = []

    def request(self, method: str, url: str, body: bytes | None, headers: dict[str, str] | None = None) -> Deferred[HttpAnswer]:
        """Answer at once."""
        self.requests.append((method, url, None if body is None else json.loads(body)))
        answer = self.answers.get(url, (404, None))
        return fail(answer) if isinstance(answer, HttpError) else succeed(HttpAnswer(answer[0], json.dumps(answer[1]).encode()))


class FakeListener(Listener):
    """A listener that nobody listens on."""

    def __init__(
        self,
        transport: str = "UDP",
        host: str = "192.0.2.1",
        port: int = 5060,
        via_host: str = "192.0.2.1",
        via_port: int = 5060,
        websocket_port: bool = False,
    ) -> None:
        super().__init__(transport, host, port, via_host, via_port, websocket_port)


class FakeFlow(Flow):
    """One peer.

    Attributes:
        sent: What was sent to it.
        rested: For how many seconds nothing was to be read.
    """

    def __init__(
        self,
        transport: str = "UDP",
        remote: tuple[str, int] = ("192.0.2.10", 5060),
        token: str = "",
        listener: Listener | None = None,
        peer_domains: tuple[str, ...] = (),
        signed_in: str = "",
    ) -> None:
        listener = listener or listener_of(transport)
        super().__init__(transport, listener, (listener.host, listener.port), remote, token)
        self.sent: list[bytes] = []
        self.rested = 0.0
        self._peer_domains = peer_domains
        self._signed_in = signed_in

    @property
    def peer_domains(self) -> tuple[str, ...]:
        """As given."""
        return self._peer_domains

    @property
    def signed_in(self) -> str:
        """As given."""
        return self._signed_in

    def send(self, data: bytes) -> None:
        """Keep what is sent."""
        if self.closed:
            raise FlowClosed("closed")
        self.sent.append(data)

    def close(self, reason: str) -> None:
        """Be closed."""
        self.closed = self.reliable

    def rest(self, seconds: float) -> None:
        """Add up for how long nothing is read."""
        self.rested += seconds


PORTS = {"UDP": 5060, "TCP": 5060, "TLS": 5061, "WS": 8080, "WSS": 8443}
_LISTENERS: dict[str, FakeListener] = {}


def listener_of(transport: str) -> FakeListener:
    """The one listener of a transport."""
    if transport not in _LISTENERS:
        port = PORTS[transport]
        _LISTENERS[transport] = FakeListener(transport, port=port, via_port=port, websocket_port=transport in ("WS", "WSS"))
    return _LISTENERS[transport]


class FakeFlows(FlowTable):
    """Flows by token and address; a UDP flow to any address exists."""

    def __init__(self) -> None:
        self.flows: list[FakeFlow] = []
        self.aliases: list[tuple[Flow, int]] = []

    def by_token(self, token: str) -> FakeFlow | None:
        """A live connection."""
        return next((f for f in self.flows if token and f.token == token and not f.closed), None)

    def by_address(self, transport: str, host: str, port: int) -> FakeFlow | None:
        """A live flow to that address."""
        return next((f for f in self.flows if f.transport == transport and f.remote == (host, port) and not f.closed), None)

    def connections(self) -> list[FakeFlow]:
        """All live connections."""
        return [flow for flow in self.flows if flow.token and not flow.closed]

    def counts(self) -> dict[str, int]:
        """Live connections by transport."""
        return dict(Counter(flow.transport for flow in self.connections()))

    def alias(self, flow: Flow, port: int) -> None:
        """Keep what was offered."""
        self.aliases.append((flow, port))

    def udp(self, hop: Hop, listener_name: str = "") -> FakeFlow:
        """The UDP flow to that address."""
        found = self.by_address("UDP", hop.host, hop.port)
        if found is None:
            found = FakeFlow(remote=(hop.host, hop.port))
            self.flows.append(found)
        return found

    def connect(self, hop: Hop, cause: str = "") -> Deferred[Flow]:
        """A live connection; nothing is opened."""
        flow = self.udp(hop) if hop.transport == "UDP" else self.by_address(hop.transport, hop.host, hop.port)
        if flow is None:
            return fail(NoRoute("nobody listens there"))
        return succeed(flow)


class FakeResolver(Resolver):
    """Literals only, and what ``names`` says."""

    def __init__(self) -> None:
        self.names: dict[str, list[Hop]] = {}
        self.rested: list[Hop] = []

    def numeric(self, host: str, port: int, transport: str, secure: bool) -> list[Hop] | None:
        """Hops of an IP literal."""
        if host.replace(".", "").isdigit() or host.startswith("["):
            transport = transport or ("TLS" if secure else "UDP")
            return [Hop(transport, host.strip("[]"), port or (5061 if transport == "TLS" else 5060))]
        return None

    def resolve(self, host: str, port: int, transport: str, secure: bool) -> Deferred[list[Hop]]:
        """Hops of a known name."""
        if host in self.names:
            return succeed(list(self.names[host]))
        return fail(NoRoute(f"{host} has no address"))

    def failed(self, hop: Hop, seconds: float = 0.0) -> None:
        """Remember it."""
        self.rested.append(hop)


@implementer(IMediaRelay, IMediaSets)
class RecordingMediaRelay:
    """A media relay that writes down what it is asked, and gives SDP that says who made it.

    Attributes:
        log: ``("offer", key)`` … with a copy of each key.
        profiles, sdps: Of each offer and answer.
        hold: Deferreds instead of answers, until :meth:`release`.
        error: What offers and answers fail with, or None.
        sets: Number of a set of nodes to the node of it that calls take.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self.log: list[tuple[str, MediaKey]] = []
        self.profiles: list[MediaProfile] = []
        self.sdps: list[bytes] = []
        self.error: MediaError | None = None
        self.hold = False
        self.sets: dict[int, str] = {}
        self._held: list[tuple[Deferred[bytes], bytes]] = []

    @property
    def operations(self) -> list[str]:
        """The names of what was asked, in order."""
        return [name for name, _ in self.log]

    def choose(self, call_id: str) -> str:
        """One node."""
        return "n0"

    def choose_in(self, call_id: str, number: int) -> str:
        """The node of that set."""
        if number not in self.sets:
            raise ConfigError(f"no media node is in set {number}", key="media.nodes")
        return self.sets[number]

    def place(self, name: str) -> str:
        """Its name is all there is."""
        return name

    def offer(self, key: MediaKey, sdp: bytes, profile: MediaProfile) -> Deferred[bytes]:
        """SDP that names the branch."""
        return self._ask("offer", key, sdp, profile, b"v=0\r\ns=offer " + key.via_branch.encode() + b"\r\n")

    def answer(self, key: MediaKey, sdp: bytes, profile: MediaProfile) -> Deferred[bytes]:
        """SDP that names the To tag."""
        return self._ask("answer", key, sdp, profile, b"v=0\r\ns=answer " + key.to_tag.encode() + b"\r\n")

    def delete(self, key: MediaKey) -> Deferred[None]:
        """Noted."""
        self.log.append(("delete", replace(key)))
        return succeed(None)

    def _ask(self, name: str, key: MediaKey, asked: bytes, profile: MediaProfile, sdp: bytes) -> Deferred[bytes]:
        self.log.append((name, replace(key)))
        self.profiles.append(profile)
        self.sdps.append(asked)
        if self.error is not None:
            return fail(self.error)
        if not self.hold:
            return succeed(sdp)
        waiting: Deferred[bytes] = Deferred()
        self._held.append((waiting, sdp))
        return waiting

    def release(self) -> None:
        """Answer everything that is held."""
        held, self._held = self._held, []
        for waiting, sdp in held:
            waiting.callback(sdp)


class OpenAuthenticator(Authenticator):
    """Believes everybody: the identity is what From says."""

    def __init__(self) -> None:
        self.unplaced = 0
        self.guard = None

    def check(self, ctx: Request, proxy: bool) -> None:
        """Let it pass."""
        if ctx.domain_is_local(ctx.request.from_.uri.host):
            ctx.identity = ctx.request.from_.uri.aor

    def needs_auth(self, ctx: Request) -> bool:
        """Whether it says to be one of ours."""
        return ctx.domain_is_local(ctx.request.from_.uri.host)

    def is_stranger(self, ctx: Request) -> bool:
        """Whether its From isn't ours."""
        return not ctx.identity and not self.trusts(ctx.flow)

    def trusts(self, flow: Flow) -> bool:
        """No address is trusted."""
        return False
