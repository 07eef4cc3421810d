"""Facts about a request: its headers, the stage that it is in, whom it is from; and the way of its answers.

Nothing here changes where it goes; :mod:`sipnode.routing.changes` and :mod:`sipnode.routing.request` have the verbs that do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipnode.auth.claims import is_anonymous
from sipnode.base.native import mypyc_attr
from sipnode.base.tap import REFUSED, TRACED
from sipnode.base.trace import Tracing, parsed
from sipnode.dialog.request import Request as DialogRequest
from sipnode.media.ongoing import OngoingMedia
from sipnode.routing.edge import is_for
from sipnode.routing.verdict import Flag
from sipnode.sip import sanity
from sipnode.sip.message import SipRequest

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.base.why import Why
    from sipnode.routing.core import Core
    from sipnode.sip.address import NameAddr
    from sipnode.sip.uri import SipUri
    from sipnode.trunk.trunk import Trunk

_VOUCHED: Final = int(Flag.TRUSTED | Flag.PATH)
_DONE: Final = SipRequest("DONE", "", [], [])
"""In the place of a request that nobody asks for any more."""
NO_TRUNKS: Final = frozenset(("REGISTER", "SUBSCRIBE", "PUBLISH", "REFER"))
"""Methods that a trunk has no more right to than anybody."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Facts(DialogRequest):
    """A request as a stage may ask about it.

    Attributes:
        core: The services.
        engine: What runs the script that it began with.
        stage: Position of the stage that it is in.
    """

    __slots__ = ("core", "engine", "stage")

    def __init__(self, core: Core, request: SipRequest, flow: Flow, key: str, now: float) -> None:
        # A reload replaces script and engine; what has begun goes on by what it began with.
        super().__init__(core, core.script, request, flow, key, now)
        self.core = core
        self.engine = core.engine
        self.stage = 0

    @property
    def traceparent(self) -> str:
        """What a service that is asked about it gets as the header ``traceparent`` (W3C Trace Context), "" where nothing is traced."""
        settings = self.core.settings
        if not settings.otel.endpoint:
            return ""
        return Tracing(settings.node.id, settings.otel.share).parent(self.request.get("call-id") or "")

    def traced(self, parent: str) -> None:
        """Name a trace that the call belongs to, by its ``traceparent``: the call's own trace refers to it."""
        watcher = self.core.tap.on_noted
        if watcher is not None and parsed(parent) is not None:
            watcher.noted(self.core.clock(), self.request.get("call-id") or "", TRACED, (parent,))

    def done(self) -> None:
        """It has its final response: the request and what was decided about it needn't wait for the last timer of its
        transaction, half a minute later. The rest can pass further 2xx on.
        """
        if self.pending is not None:
            self.core.pending.leave(self)
        self.fork = None
        self.request = _DONE
        self.targets = []
        self.dropped = []

    def send_response(self, status: int, data: bytes, why: Why) -> None:
        """Send a response's octets the way this request's answers go."""
        core, method = self.core, self.request.method
        if status >= 300 and method in ("INVITE", "BYE", "CANCEL") and (watcher := core.tap.on_noted) is not None:
            parts = (status, method, self.flow.transport, self.flow.remote, "" if self.fork is not None else self.decided_by())
            watcher.noted(core.clock(), self.request.get("call-id") or "", REFUSED, parts)
        if self.pending is not None and status >= 200:
            core.pending.leave(self)
        if status >= 300 and self.flags & Flag.INITIAL and self.request.method == "INVITE":
            core.dialogs.refused(self, status, "" if status == 487 else self.refused_by())
        if self.transaction is not None:
            core.transactions.respond(self.transaction, status, data, core.clock(), why)
            return
        core.outbox.send(core.clock(), data, self.flow, why, method, status)

    def decided_by(self) -> str:
        """The stage of the script that it is in."""
        return self.engine.stage_at(self.request.method, self.stage)

    def refused_by(self) -> str:
        """The part of this server that refused, for the line about the call; "" where it came from elsewhere."""
        if self.rule:
            return f"rule {self.rule}"
        return f"stage {self.decided_by()}" if self.fork is None else ""

    # -- what the transaction layer tells

    def ack_received(self, request: SipRequest) -> None:
        """An ACK that has the INVITE's own branch, for a 2xx: it is end to end, so it takes the way of any ACK."""
        self.core.engine.begin(self.core, request, self.flow, "", self.core.clock())

    # -- what it says

    def __contains__(self, name: str) -> bool:
        """Whether it has a header of that canonical name, in small letters."""
        return name in self.request

    def get(self, name: str) -> str | None:
        """The first value of a header, None where there is none."""
        return self.request.get(name)

    def values(self, name: str) -> list[str]:
        """The values of a header that is a list, from all its lines."""
        return self.request.values(name)

    @property
    def ruri(self) -> SipUri:
        """The Request-URI."""
        return self.request.ruri

    @property
    def from_(self) -> NameAddr:
        """From: name, URI, tag."""
        return self.request.from_

    @property
    def to(self) -> NameAddr:
        """To: name, URI, tag."""
        return self.request.to

    @property
    def call_id(self) -> str:
        """Its Call-ID."""
        return self.request.call_id

    @property
    def event(self) -> str:
        """The event package that it is about, in small letters, "" for none."""
        return (self.request.get("event") or "").partition(";")[0].strip().lower()

    @property
    def max_forwards(self) -> int:
        """How many hops it may go on, -1 where it doesn't say.

        Raises:
            ParseError: it can't be read.
        """
        return sanity.max_forwards(self.request)

    # -- what it is

    @property
    def to_myself(self) -> bool:
        """Whether its Request-URI is at a domain or address of ours (``uri == myself``)."""
        return self.core.is_local(self.request.ruri.host)

    @property
    def to_gruu(self) -> bool:
        """Whether its Request-URI is a GRUU of ours, and so means one device (RFC 5627)."""
        request = self.request
        return ";gr" in request.uri and "gr" in request.ruri.params and self.core.registrar.gruus is not None

    @property
    def trusted(self) -> bool:
        """Whether its source needs no password: an address of ``[auth] trusted``, or a proved peer domain."""
        trusted: bool = self.core.authenticator.trusts(self.flow)
        return trusted

    @property
    def caller(self) -> str:
        """``user@domain`` of ours that sends it: as it has proved, or as From says where nobody has to prove anything. "" for others."""
        uri = self.request.from_.uri
        return self.identity or (uri.aor if self.core.is_local(uri.host) and self.from_trunk is None else "")

    @property
    def from_trunk(self) -> Trunk | None:
        """The trunk that it comes from, by its address or certificate as ``[trunk.NAME] trust`` says; None where it comes from none, or is
        of a method that a trunk has no more right to than anybody (REGISTER, SUBSCRIBE, PUBLISH, REFER).
        """
        trunks = self.core.trunks
        if trunks is None or self.request.method in NO_TRUNKS:
            return None
        return trunks.of(self.flow, self.request.ruri.user)

    @property
    def ongoing_media(self) -> OngoingMedia | None:
        """The media of the call that a request inside a dialog belongs to; None where no relay carries it."""
        route, request = self.route, self.request
        if route is None or not route.bridged:
            return None
        tags = (request.from_.tag, request.to.tag) if route.from_caller else (request.to.tag, request.from_.tag)
        return OngoingMedia(self.core.media, route.call, request.call_id, route.node, tags)

    @property
    def anonymous(self) -> bool:
        """Whether its From names nobody (RFC 3323 §4.1.1.3)."""
        return is_anonymous(self.request.from_.uri)

    @property
    def unproved(self) -> bool:
        """Whether ``auth`` let it pass though it comes from nobody that we know: what anybody may send is policy then."""
        if self.identity or not self.core.authenticator.is_stranger(self) or self.from_trunk is not None:
            return False
        # Who may call there is the registrar's to say.
        return not is_for(self.core.edge, self)

    @property
    def stranger(self) -> bool:
        """Whether nobody answers for the request: no user of ours has proved to have sent it, and nothing makes its source trusted.

        A request that another node sends on was asked there; where nobody has to prove anything, nobody is a stranger.
        """
        if self.identity or self.flags & _VOUCHED or not self.core.settings.auth.enabled:
            return False
        return not self.core.authenticator.trusts(self.flow) and self.from_trunk is None
