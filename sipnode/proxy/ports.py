"""What the proxy asks of the rest of the server, as protocols: it imports none of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from sipnode.base.flow import Flow
    from sipnode.base.outbox import Outbox, Why
    from sipnode.base.tap import Tap
    from sipnode.proxy.record_route import RouteSigner
    from sipnode.proxy.seal import RouteState
    from sipnode.proxy.target import Target
    from sipnode.proxy.viaseal import ViaSeal
    from sipnode.records import Reach
    from sipnode.sip.message import SipRequest
    from sipnode.transaction.layer import TransactionLayer
    from sipnode.transaction.machine import ServerTransaction


class ProxyCore(Protocol):
    """The server, as the proxy sees it."""

    transactions: TransactionLayer
    flows: Any
    """IFlowTable"""
    resolver: Any
    """IResolver"""
    script: Any
    """IRoutingScript"""
    signer: RouteSigner
    via_seal: ViaSeal
    pending: Any
    """Bounds on what waits for an answer: ``enter(ctx)`` raises Reject, ``leave(ctx)``."""
    outbox: Outbox
    tap: Tap
    history: Any
    """None, or what takes the steps of each call."""
    clock: Callable[[], float]
    max_forwards: int
    max_branches: int
    serial: bool
    udp_mtu: int
    node_seconds: float
    """How long a sister node may take to say 100."""
    counters: dict[str, int]

    dialog_seconds: float
    """How long a token of a dialog that isn't known any more opens it."""

    def is_local(self, host: str) -> bool:
        """Whether a host is a domain or an address of ours."""

    def near_side(self, ctx: Any) -> Reach:
        """How the sender of a request is reached later."""

    def flow_by_key(self, key: str) -> Any:
        """The live connection of the binding with that instance key, or None."""

    def wait_for_key(self, key: str) -> Deferred[Any]:
        """Fires with the connection of that instance as soon as it has registered again; fails with NoRoute."""

    def calling(self, fork: Any) -> None:
        """An INVITE is about to be sent on."""

    def call_early(self, fork: Any, response: Any) -> None:
        """A 101..199 to an INVITE went to the caller."""

    def call_established(self, fork: Any, branch: Any, response: Any) -> None:
        """A 2xx to an initial INVITE went to the caller."""

    def failed(self, where: str, error: Any) -> None:
        """Log an exception of policy code."""


class ProxyContext(Protocol):
    """A request context, as the proxy sees it."""

    core: Any
    script: Any
    """IRoutingScript that the request began with."""
    request: SipRequest
    flow: Flow
    key: str
    now: float
    flags: int
    identity: str
    pending: Any
    transaction: ServerTransaction | None
    targets: list[Target]
    route: RouteState | None
    dropped: list[int]
    record_route: bool
    extra: list[tuple[str, str]]
    fork: Any
    rule: str

    @property
    def stranger(self) -> bool:
        """Whether nobody answers for it: no user of ours, no trusted source."""

    @property
    def natted(self) -> bool:
        """Whether its sender isn't where it says."""

    @property
    def initial(self) -> bool:
        """Whether the request is outside of any dialog."""

    def has(self, flag: int) -> bool:
        """Whether any of these bits is set."""

    def blame(self, rule: str) -> None:
        """Name the rule by which it is refused."""

    def done(self) -> None:
        """It has its final response: what only routing needed can go."""

    def begin(self) -> None:
        """Make the server transaction."""

    def reply(self, status: int, reason: str = "", headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> Any:
        """Answer."""

    def send_response(self, status: int, data: bytes, why: Why) -> None:
        """Send a response's octets."""
