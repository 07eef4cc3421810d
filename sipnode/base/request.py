"""One request as the services meet it: what it is, where it came from, who sent it, and how it is answered.

The services below the policy (auth, registrar, presence) know it by this class; ``sipnode.proxy.core`` adds where it goes, and
``sipnode.routing.request`` the verbs of the page. The invariant: ``request`` is as it was received.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sipnode.base.native import mypyc_attr
from sipnode.base.outbox import REPLY
from sipnode.base.verdict import Flag, Verdict
from sipnode.base.why import Why
from sipnode.sip import build
from sipnode.sip.grammar import line_value
from sipnode.sip.headers import check_header
from sipnode.transaction.budget import Budget
from sipnode.transaction.machine import TransactionUser

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.base.server import Server
    from sipnode.sip.message import SipRequest
    from sipnode.transaction.machine import ServerTransaction


@mypyc_attr(allow_interpreted_subclasses=True)
class Request(TransactionUser):
    """The request that a service works with.

    Attributes:
        server: The server, as far as every request needs it.
        request: As received.
        flow: That it came by.
        key: Its transaction key.
        now: Epoch seconds at arrival.
        flags: Bits of :class:`~sipnode.base.verdict.Flag`.
        identity: ``user@domain`` that proved itself, or "".
        transaction: The server transaction; None while none is needed.
        to_tag: Of its answers, "" before the first.
        dropped: Positions of header lines that don't go on (consumed credentials, our Route).
        pending: What it takes of the bounds on unanswered requests until it is answered, or None.
        rule: Name of the rule that refuses it, "" for none; see :meth:`blame`.
        vars: For site scripts and plugins; made when first asked for.
    """

    __slots__ = (
        "_vars", "dropped", "flags", "flow", "identity", "key", "now", "pending", "request", "rule", "server", "to_tag", "transaction",
    )  # fmt: skip

    def __init__(self, server: Server, request: SipRequest, flow: Flow, key: str, now: float) -> None:
        self.server = server
        self.request = request
        self.flow = flow
        self.key = key
        self.now = now
        self.flags = 0
        self.identity = ""
        self.transaction: ServerTransaction | None = None
        self.to_tag = ""
        self.dropped: list[int] = []
        self.pending: tuple[str, str, str] | None = None
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

    @property
    def initial(self) -> bool:
        """Whether the request is outside of any dialog, as ``reqinit`` found."""
        return bool(self.flags & Flag.INITIAL)

    @property
    def natted(self) -> bool:
        """Whether its sender isn't where it says, as ``natdetect`` found; a browser never is."""
        return bool(self.flags & Flag.NATS)

    @property
    def stranger(self) -> bool:
        """Whether nobody answers for the request: no user of ours has proved to have sent it, and nothing makes its source trusted."""
        raise NotImplementedError

    def domain_is_local(self, host: str) -> bool:
        """Whether a host is a domain or address of ours (``uri == myself``)."""
        return self.server.is_local(host)

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
        self.server.counters[f"refused_{rule}"] += 1

    def begin(self) -> None:
        """Make the server transaction, so that repeats are absorbed from now on (``t_newtran``)."""
        if self.transaction is None and self.request.method != "ACK":
            flow = self.flow
            self.transaction = self.server.transactions.new_server(self.key, self.request.method, flow, self)
            if not flow.proved and self.stranger:
                self.transaction.budget = Budget(build.octets_of(self.request))

    def reply(self, status: int, reason: str = "", headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> Verdict:
        """Answer: statelessly while no transaction exists, through it afterwards (``send_reply``). An ACK gets nothing.

        Args:
            status: 100..699.
            reason: "" for the standard phrase.
            headers: ``(canonical name, value)``.

        Raises:
            ValueError: a header, or the reason, isn't one line.
        """
        if self.request.method == "ACK":
            return Verdict.DROPPED
        if reason:
            check_header("reason", reason)
        for name, value in headers:
            check_header(name, value)
        if not self.to_tag and status > 100:
            # The same for a repeat of the request, as a stateless answer has to be (RFC 3261 §8.2.7).
            self.to_tag = f"{hash(self.key) & 0xFFFFFFFFFFFF:x}"
        if self.server.software:
            headers = (*headers, ("server", self.server.software))
        response = build.response_to(self.request, status, reason, self.to_tag, headers, body)
        self.send_response(status, response.to_bytes(), REPLY)
        return Verdict.REPLIED

    def send_response(self, status: int, data: bytes, why: Why) -> None:
        """Send a response's octets the way this request's answers go."""
        raise NotImplementedError
