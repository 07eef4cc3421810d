"""What stands in for the network, the resolver, the media relay and the authenticator: each writes down what it is asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from sipnode.errors import FlowClosed, MediaError, NoRoute
from sipnode.interfaces import IFlow, IFlowTable, IListener, IMediaRelay, IResolver
from sipnode.records import Hop, MediaKey, MediaProfile


@implementer(IListener)
@dataclass(slots=True)
class FakeListener:
    """A listener that nobody listens on."""

    transport: str = "UDP"
    host: str = "192.0.2.1"
    port: int = 5060
    via_host: str = "192.0.2.1"
    via_port: int = 5060
    websocket_port: bool = False

    @property
    def name(self) -> str:
        """As Kamailio's ``socket``."""
        return f"{self.transport.lower()}:{self.host}:{self.port}"


@implementer(IFlow)
@dataclass(slots=True, eq=False)
class FakeFlow:
    """One peer. What is sent to it stands in ``sent``."""

    transport: str = "UDP"
    remote: tuple[str, int] = ("192.0.2.10", 5060)
    token: str = ""
    listener: Any = None
    closed: bool = False
    sent: list[bytes] = field(default_factory=list)
    vars: dict[str, Any] = field(default_factory=dict)
    peer_domains: tuple[str, ...] = ()
    offers_alias: bool = False
    rested: float = 0.0
    signed_in: str = ""
    proved: bool = False
    offered: str = ""
    shown: str = ""

    def __post_init__(self) -> None:
        self.proved = self.proved or self.reliable
        if self.listener is None:
            self.listener = listener_of(self.transport)

    @property
    def reliable(self) -> bool:
        """False for UDP only."""
        return self.transport != "UDP"

    @property
    def websocket(self) -> bool:
        """True for WS and WSS."""
        return self.transport in ("WS", "WSS")

    @property
    def local(self) -> tuple[str, int]:
        """Our end."""
        return (self.listener.host, self.listener.port)

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

    def prove(self, user: str) -> bool:
        """Nobody counts connections here."""
        return False

    def unsaid(self) -> None:
        """Nobody waits for something to be said."""


PORTS = {"UDP": 5060, "TCP": 5060, "TLS": 5061, "WS": 8080, "WSS": 8443}
_LISTENERS: dict[str, FakeListener] = {}


def listener_of(transport: str) -> FakeListener:
    """The one listener of a transport."""
    if transport not in _LISTENERS:
        port = PORTS[transport]
        _LISTENERS[transport] = FakeListener(transport, port=port, via_port=port, websocket_port=transport in ("WS", "WSS"))
    return _LISTENERS[transport]


@implementer(IFlowTable)
class FakeFlows:
    """Flows by token and address; a UDP flow to any address exists."""

    def __init__(self) -> None:
        self.flows: list[FakeFlow] = []
        self.aliases: list[tuple[Any, int]] = []

    def by_token(self, token: str) -> Any:
        """A live connection."""
        return next((f for f in self.flows if token and f.token == token and not f.closed), None)

    def by_address(self, transport: str, host: str, port: int) -> Any:
        """A live flow to that address."""
        return next((f for f in self.flows if f.transport == transport and f.remote == (host, port) and not f.closed), None)

    def connections(self) -> list[FakeFlow]:
        """All live connections."""
        return [flow for flow in self.flows if flow.token and not flow.closed]

    def counts(self) -> dict[str, int]:
        """Live connections by transport."""
        return dict(Counter(flow.transport for flow in self.connections()))

    def alias(self, flow: Any, port: int) -> None:
        """Keep what was offered."""
        self.aliases.append((flow, port))

    def udp(self, hop: Hop, socket: str = "") -> Any:
        """The UDP flow to that address."""
        found = self.by_address("UDP", hop.host, hop.port)
        if found is None:
            found = FakeFlow(remote=(hop.host, hop.port))
            self.flows.append(found)
        return found

    def connect(self, hop: Hop, cause: str = "") -> Deferred[Any]:
        """A live connection; nothing is opened."""
        flow = self.udp(hop) if hop.transport == "UDP" else self.by_address(hop.transport, hop.host, hop.port)
        if flow is None:
            return fail(NoRoute("nobody listens there"))
        return succeed(flow)


@implementer(IResolver)
class FakeResolver:
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


@implementer(IMediaRelay)
class RecordingMediaRelay:
    """A media relay that writes down what it is asked, and gives SDP that says who made it.

    Attributes:
        log: ``("offer", key)`` … with a copy of each key.
        profiles, sdps: Of each offer and answer.
        hold: Deferreds instead of answers, until :meth:`release`.
        error: What offers and answers fail with, or None.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self.log: list[tuple[str, MediaKey]] = []
        self.profiles: list[MediaProfile] = []
        self.sdps: list[bytes] = []
        self.error: MediaError | None = None
        self.hold = False
        self._held: list[tuple[Deferred[bytes], bytes]] = []

    @property
    def operations(self) -> list[str]:
        """The names of what was asked, in order."""
        return [name for name, _ in self.log]

    def choose(self, call_id: str) -> str:
        """One node."""
        return "n0"

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


class OpenAuthenticator:
    """Believes everybody: the identity is what From says."""

    unplaced = 0

    def check(self, ctx: Any, proxy: bool) -> None:
        """Let it pass."""
        if ctx.domain_is_local(ctx.request.from_.uri.host):
            ctx.identity = ctx.request.from_.uri.aor

    def needs_auth(self, ctx: Any) -> bool:
        """Whether it says to be one of ours."""
        local: bool = ctx.domain_is_local(ctx.request.from_.uri.host)
        return local

    def is_stranger(self, ctx: Any) -> bool:
        """Whether its From isn't ours."""
        return not ctx.identity and not self.trusts(ctx.flow)

    def trusts(self, flow: Any) -> bool:
        """No address is trusted."""
        return False
