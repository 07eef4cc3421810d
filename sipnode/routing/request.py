"""One request on its way through the script: what it is, where it came from, what was decided.

The invariant: ``request`` is as it was received; every change goes to a branch's copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from sipnode.errors import FlowClosed
from sipnode.routing.verdict import Flag, Verdict
from sipnode.sip import build
from sipnode.sip.message import SipRequest, line_value
from sipnode.transaction.budget import Budget

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.proxy.seal import RouteState
    from sipnode.proxy.target import Target
    from sipnode.records import Reach
    from sipnode.routing.core import Core
    from sipnode.routing.engine import Engine
    from sipnode.routing.script import RoutingScript
    from sipnode.transaction.machine import ServerTransaction

_VOUCHED: Final = int(Flag.TRUSTED | Flag.PATH)
_DONE: Final = SipRequest("DONE", "", [], [])
"""In the place of a request that nobody asks for any more."""


class Request:
    """What a stage works with.

    Attributes:
        request: As received.
        flow: The Flow that it came by.
        key: Its transaction key.
        now: Epoch seconds at arrival.
        flags: Bits of :class:`Flag`.
        identity: ``user@domain`` that proved itself, or "".
        transaction: The server transaction; None while none is needed.
        targets: Where to send it; filled by LOCATION, SIPOUT or WITHINDLG.
        route: What our own Route said, inside a dialog.
        dropped: Positions of header lines that don't go on (consumed credentials, our Route).
        record_route: Whether to stay in the path of the dialog.
        extra: ``(name, value)`` of headers to add when it goes on.
        call: What is known of the call, for an INVITE outside of any dialog that was sent on, or None.
        pending: What it takes of the bounds on unanswered requests until it is answered, or None.
        reach: How its sender is reached later, when somebody has asked.
        script: The routing script that it began with. engine: What runs that.
        rule: Name of the rule that refuses it, "" for none; see :meth:`blame`.
        vars: For site scripts and plugins; made when first asked for.
    """

    __slots__ = (
        "_vars",
        "call",
        "core",
        "dropped",
        "engine",
        "extra",
        "flags",
        "flow",
        "fork",
        "identity",
        "key",
        "now",
        "pending",
        "reach",
        "record_route",
        "request",
        "route",
        "rule",
        "script",
        "stage",
        "targets",
        "to_tag",
        "transaction",
    )

    def __init__(self, core: Core, request: SipRequest, flow: Flow, key: str, now: float) -> None:
        self.core = core
        # A reload replaces both; what has begun goes on by what it began with.
        self.engine: Engine = core.engine
        self.script: RoutingScript = core.script
        self.request = request
        self.flow = flow
        self.key = key
        self.now = now
        self.flags = 0
        self.identity = ""
        self.transaction: ServerTransaction | None = None
        self.targets: list[Target] = []
        self.route: RouteState | None = None
        self.dropped: list[int] = []
        self.record_route = False
        self.extra: list[tuple[str, str]] = []
        self.fork: Any = None
        self.call: Any = None
        self.pending: Any = None
        self.reach: Reach | None = None
        self.stage = 0
        self.to_tag = ""
        self.rule = ""
        self._vars: dict[str, Any] | None = None

    @property
    def vars(self) -> dict[str, Any]:
        """Anything that policy wants to keep with the request."""
        if self._vars is None:
            self._vars = {}
        return self._vars

    def set(self, flag: int) -> None:
        """Set bits of :class:`Flag` (``setflag``)."""
        self.flags |= flag

    def has(self, flag: int) -> bool:
        """Whether any of these bits is set (``isflagset``)."""
        return bool(self.flags & flag)

    @property
    def method(self) -> str:
        """The request's method."""
        return self.request.method

    def domain_is_local(self, host: str) -> bool:
        """Whether a host is a domain or address of ours (``uri == myself``)."""
        return self.core.is_local(host)

    def drop(self, name: str, values: Iterable[str]) -> None:
        """Have the header lines of a name that hold one of these values not go on (``consume_credentials``)."""
        wanted = tuple(values)
        if wanted:
            for position, other in enumerate(self.request.names):
                if other == name and line_value(self.request.lines[position]) in wanted:
                    self.dropped.append(position)

    def blame(self, rule: str) -> None:
        """Name the rule by which the request is about to be refused, for the line about its call and for the counter ``refused_RULE``.

        Args:
            rule: One word, as ``strangers``.
        """
        self.rule = rule
        self.core.counters[f"refused_{rule}"] += 1

    def done(self) -> None:
        """It has its final response: the request and what was decided about it needn't wait for the last timer of its
        transaction, half a minute later. What is left can pass further 2xx on.
        """
        if self.pending is not None:
            self.core.pending.leave(self)
        self.fork = None
        self.request = _DONE
        self.targets = []
        self.dropped = []

    def begin(self) -> None:
        """Make the server transaction, so that repeats are absorbed from now on (``t_newtran``)."""
        if self.transaction is None and self.request.method != "ACK":
            flow = self.flow
            self.transaction = self.core.transactions.new_server(self.key, self.request.method == "INVITE", flow, self)
            if not flow.proved and self.stranger:
                self.transaction.budget = Budget(build.octets_of(self.request))

    def reply(self, status: int, reason: str = "", headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Verdict:
        """Answer: statelessly while no transaction exists, through it afterwards (``send_reply``). An ACK gets nothing.

        Args:
            status: 100..699.
            reason: "" for the standard phrase.
            headers: ``(canonical name, value)``.
        """
        if self.request.method == "ACK":
            return Verdict.DROPPED
        if not self.to_tag and status > 100:
            # The same for a repeat of the request, as a stateless answer has to be (RFC 3261 §8.2.7).
            self.to_tag = f"{hash(self.key) & 0xFFFFFFFFFFFF:x}"
        if self.core.server:
            headers = (*headers, ("server", self.core.server))
        response = build.response_to(self.request, status, reason, self.to_tag, headers, body)
        self.core.traffic.generated += 1
        self.send_response(status, response.to_bytes())
        return Verdict.REPLIED

    def send_response(self, status: int, data: bytes) -> None:
        """Send a response's octets the way this request's answers go."""
        core = self.core
        if core.trace is not None:
            core.trace.sent(data, self.flow)
        method = self.request.method
        # What comes after the final response is a 2xx of another phone.
        core.traffic.answered(method if self.request is not _DONE else "INVITE", status)
        history = core.history
        # A good answer that is only passed on was noted when it came.
        if history is not None and status > 100 and method in ("INVITE", "BYE", "CANCEL") and (history.whole or status >= 300):
            host, port = self.flow.remote
            decided = "" if self.fork is not None else f", decided by {self.engine.stage_of(self)}"
            call_id = self.request.get("call-id") or ""
            history.step(call_id, "wire", "%s to %s for %s:%s:%s%s", status, method, self.flow.transport.lower(), host, port, decided)
        if self.pending is not None and status >= 200:
            core.pending.leave(self)
        if status >= 300 and self.flags & Flag.INITIAL and self.request.method == "INVITE":
            core.dialogs.refused(self, status, "" if status == 487 else self.refused_by())
        if self.transaction is not None:
            core.transactions.respond(self.transaction, status, data, core.clock())
            return
        try:
            self.flow.send(data)
        except FlowClosed:
            core.counters["unsent_responses"] += 1

    def refused_by(self) -> str:
        """What of this server a refusal comes from, for the line about the call; "" where it came from elsewhere."""
        if self.rule:
            return f"rule {self.rule}"
        return f"stage {self.engine.stage_of(self)}" if self.fork is None else ""

    # -- what the transaction layer tells

    def ack_received(self, request: SipRequest) -> None:
        """An ACK that has the INVITE's own branch, for a 2xx: it is end to end, so it takes the way of any ACK."""
        self.core.engine.run(Request(self.core, request, self.flow, "", self.core.clock()))

    @property
    def stranger(self) -> bool:
        """Whether nobody answers for the request: no user of ours has proved to have sent it, and nothing makes its source trusted.

        What another node sends on was asked there; where nobody has to prove anything, nobody is a stranger.
        """
        if self.identity or self.flags & _VOUCHED or not self.core.settings.auth.enabled:
            return False
        return not self.core.authenticator.trusts(self.flow)

    @property
    def initial(self) -> bool:
        """Whether the request is outside of any dialog."""
        return bool(self.flags & Flag.INITIAL)
