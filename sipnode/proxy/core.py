"""The proxy core, classes that know each other: the server, a request, its fork and the fork's branches.

Here is what they hold and what they can be asked; :mod:`sipnode.proxy.fork` and :mod:`sipnode.proxy.branch` are how forks and branches do
it, and ``sipnode.routing`` has the server's and the request's other half. Native classes, so that the compiler calls them directly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sipnode.base.flow import NOWHERE
from sipnode.base.lostflows import LostFlows
from sipnode.base.native import mypyc_attr
from sipnode.base.request import Request as BaseRequest
from sipnode.base.server import Server
from sipnode.media.control import MediaControl
from sipnode.media.names import Names
from sipnode.media.ongoing import OngoingMedia, ongoing_of
from sipnode.proxy.forkpolicy import LOCAL, best
from sipnode.proxy.pending import PendingRequests
from sipnode.proxy.record_route import RouteSigner
from sipnode.proxy.renumber import Renumbering
from sipnode.proxy.viaseal import ViaSeal
from sipnode.records import BindingFlag, Hop, MediaFlags, Reach
from sipnode.transaction.machine import TransactionUser

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from sipnode.auth.authenticator import Authenticator
    from sipnode.base.flow import Flow
    from sipnode.base.flows import FlowTable, Resolver
    from sipnode.interfaces import IMediaRelay
    from sipnode.media.calls import Exchange
    from sipnode.media.profiles import Choice
    from sipnode.proxy.destinations import Destinations
    from sipnode.proxy.seal import RouteState
    from sipnode.proxy.target import Target
    from sipnode.settings import MediaSettings, Settings
    from sipnode.sip.message import SipRequest, SipResponse
    from sipnode.transaction.budget import Budget
    from sipnode.transaction.layer import TransactionLayer


@mypyc_attr(allow_interpreted_subclasses=True)
class ProxyCore(Server):
    """The server, as the proxy sees it.

    Args:
        settings: All sections, of the start.
        reactor: Clock and delayed calls.
        secret: Of what is sealed.
        canonical: An address-of-record as it is looked up.
        media_policy: Makes what the relay is asked for.

    Attributes:
        flows: Live flows. lost_flows: Those that are gone. resolver: Names to addresses.
        authenticator: Whose source is trusted.
        signer: Of our Record-Route. via_seal: Of our Via.
        destinations: What a message may make us send to. is_own: ``(host, port) -> bool``: an address that we listen on or advertise.
        media: The relay. media_control: What it holds. rtpengine: What is asked of it, in a script's words.
        pending: What waits for an answer, and how much of it may.
        renumbering: CSeq numbers of dialogs in which this server has spoken itself.
        dialog_seconds: How long a token of a dialog that isn't known any more opens it.
        node_seconds: How long a sister node may take to say 100. next_host_seconds: The same of one of several hosts of a domain.
        serial: Whether targets of unequal q are tried one after the other.
        aliases: Whether a Contact goes on with the true address of its sender (``set_contact_alias()``).
        udp_mtu: Octets of a datagram that a request fits in (RFC 3261 §18.1.1), 0 for any.
    """

    __slots__ = (
        "aliases", "authenticator", "destinations", "dialog_seconds", "flows", "is_own", "lost_flows", "max_branches", "max_forwards",
        "media", "media_control", "next_host_seconds", "node_seconds", "pending", "reactor", "renumbering", "resolver", "rtpengine",
        "serial", "signer", "udp_mtu", "via_seal",
    )  # fmt: skip

    def __init__(
        self, settings: Settings, reactor: IReactorTime, transactions: TransactionLayer, secret: bytes, *, flows: FlowTable,
        resolver: Resolver, authenticator: Authenticator, destinations: Destinations, is_own: Callable[[str, int], bool],
        media: IMediaRelay, canonical: Callable[[str], str], media_policy: Callable[[ProxyCore, MediaSettings], MediaPolicy],
    ) -> None:  # fmt: skip
        super().__init__(transactions, reactor.seconds, settings.core.server)
        self.reactor: Final = reactor
        self.flows: Final = flows
        self.lost_flows: Final = LostFlows(self.tap, transactions.counters)
        self.resolver: Final = resolver
        self.authenticator: Final = authenticator
        self.signer: Final = RouteSigner(secret)
        self.via_seal: Final = ViaSeal(secret)
        self.destinations: Final = destinations
        self.is_own: Final = is_own
        self.pending: Final = PendingRequests(settings.limits, transactions.counters, canonical)
        self.renumbering: Final = Renumbering()
        self.max_forwards: Final = settings.core.max_forwards
        self.max_branches: Final = settings.proxy.max_branches
        self.serial: Final = settings.proxy.fork == "serial"
        self.udp_mtu: Final = settings.proxy.udp_mtu
        self.aliases: Final = settings.nat.contact_alias
        self.node_seconds: Final = settings.node.lost_seconds
        self.next_host_seconds: Final = settings.proxy.next_host_seconds
        self.dialog_seconds: Final = settings.dialog.max_seconds
        # Made here, so that a script that is replaced takes nothing of the relay's calls with it.
        calls = Names(self.signer.media_secret, settings.node.id)
        self.media: Final = media
        self.media_control: Final = MediaControl(media, settings.media, self.tap, self.clock, self.counters, calls)
        self.rtpengine: Final = media_policy(self, settings.media)

    def near_side(self, ctx: Request) -> Reach:
        """How the sender of a request is reached later."""
        raise NotImplementedError

    def contact_seal(self, request: SipRequest, where: Reach, tag: str) -> str:
        """The parameter that a Contact inside a dialog goes on with.

        Args:
            where: How its owner is reached. tag: Its owner's.
        """
        return self.signer.contact_seal(where, self.clock() + self.dialog_seconds, request.call_id, tag)

    def flow_by_key(self, key: str) -> Flow | None:
        """The live connection of the binding with that instance key, or None."""
        raise NotImplementedError

    def wait_for_key(self, key: str) -> Deferred[Flow]:
        """Fires with the connection of that instance as soon as it has registered again; fails with NoRoute."""
        raise NotImplementedError

    def calling(self, fork: Fork) -> None:
        """An INVITE is about to be sent on."""
        raise NotImplementedError

    def call_early(self, fork: Fork, response: SipResponse) -> None:
        """A 101..199 to an INVITE went to the caller."""
        raise NotImplementedError

    def call_established(self, fork: Fork, branch: Branch, response: SipResponse) -> None:
        """A 2xx to an initial INVITE went to the caller."""
        raise NotImplementedError

    def hang_up(self, call_id: str, from_tag: str, to_tag: str, reason: str) -> None:
        """End a call that can have no media: BYE to both ends.

        Args:
            reason: Value of Reason (RFC 3326).
        """
        raise NotImplementedError

    def failed(self, where: str, failure: Failure) -> None:
        """Log an exception of policy code."""
        raise NotImplementedError


class MediaPolicy:
    """Orders to the relay for branches and replies; by the server's own lights, or in the words of Kamailio's rtpengine module."""

    def branch(self, branch: Branch, bridging: Callable[[Branch], bool]) -> Deferred[None] | None:
        """Before a branch is sent: engage the relay where ``bridging`` says so, and offer its SDP. Fails with MediaError."""
        raise NotImplementedError

    def reply(self, branch: Branch, response: SipResponse) -> Deferred[SipResponse] | None:
        """A 1xx or 2xx of a branch: None to pass it as it is, or the response to pass. Fails with MediaError."""
        raise NotImplementedError

    def failure(self, branch: Branch, status: int) -> None:
        """A branch has ended with 300..699: give its ports back, and try once more where the callee can't take the media as offered."""
        raise NotImplementedError

    def bye(self, ctx: Request, route: RouteState) -> None:
        """A dialog ends: its media does, whether or not the BYE reaches anybody."""
        raise NotImplementedError

    def manage(self, branch: Branch, words: str, answer: str | None) -> Deferred[None] | None:
        """See :meth:`Branch.rtpengine_manage`."""
        raise NotImplementedError

    def answer(self, branch: Branch, response: SipResponse, words: str) -> Deferred[SipResponse] | None:
        """See :meth:`Branch.rtpengine_answer`."""
        raise NotImplementedError

    def delete(self, branch: Branch) -> None:
        """See :meth:`Branch.rtpengine_delete`."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class ProxyScript:
    """The routing script as the proxy knows it."""

    def manage_branch(self, branch: Branch) -> Awaitable[object] | None:
        """Before a branch is sent, once for each; it is sent when this is done. A Reject or MediaError fails this branch alone."""
        return None

    def manage_reply(self, branch: Branch, response: SipResponse) -> SipResponse | Awaitable[SipResponse | None] | None:
        """Each 1xx and 2xx of a branch, in their order; later ones wait (``onreply_route``)."""
        return None

    def branch_failure(self, branch: Branch, response: SipResponse) -> None:
        """A branch has ended with 300 or more, also by time-out; ``branch.retry()`` sends it once more (``tm:branch-failure``)."""

    def manage_failure(self, fork: Fork) -> Awaitable[object] | None:
        """All branches have failed: ``fork.add_targets([Target("sip:…")])`` tries more, a Reject is the answer."""
        return None


@mypyc_attr(allow_interpreted_subclasses=True)
class Request(BaseRequest):
    """A request that may be sent on.

    Attributes:
        proxy: The server, as far as it takes to send a request on.
        script: The routing script that it began with.
        targets: Where to send it; filled by LOCATION, SIPOUT or WITHINDLG.
        route: What our own Route said, inside a dialog.
        record_route: Whether to stay in the path of the dialog.
        extra: ``(name, value)`` of headers to add when it goes on.
        fork: Its branches, once it is sent on and until it has its final response.
        reach: How its sender is reached later, when somebody has asked.
    """

    __slots__ = ("extra", "fork", "proxy", "reach", "record_route", "route", "script", "targets")

    def __init__(self, proxy: ProxyCore, script: ProxyScript, request: SipRequest, flow: Flow, key: str, now: float) -> None:
        super().__init__(proxy, request, flow, key, now)
        self.proxy = proxy
        self.script = script
        self.targets: list[Target] = []
        self.route: RouteState | None = None
        self.record_route = False
        self.extra: list[tuple[str, str]] = []
        self.fork: Fork | None = None
        self.reach: Reach | None = None

    def done(self) -> None:
        """It has its final response: what only routing needed can go."""
        raise NotImplementedError


class Fork:
    """The branches of one request.

    Attributes:
        core: The server.
        ctx: The request.
        branches: All of them, ended or not.
        contact_line: The Contact header line to send in place of the request's, "" for none.
        extra: ``(name, value)`` of headers that only this fork adds (Max-Breadth).
        loop_mark: End of the branch parameter of its branches, by which a loop is told from a spiral.
        media_call: What the media relay calls it, "" where it isn't asked; owned by the media control of the script.
        invite: The request is an INVITE.
        finished: A final response went to the caller. cancelled: The caller has given up.
        blame: Who is behind a refusal, and why, once it is decided; "" where it never was a branch's.
    """

    __slots__ = (
        "blame", "branches", "cancelled", "contact_line", "core", "ctx", "extra", "finished", "invite", "loop_mark", "media_call",
    )  # fmt: skip

    def __init__(self, ctx: Request) -> None:
        self.core = ctx.proxy
        self.ctx = ctx
        self.branches: list[Branch] = []
        self.contact_line = ""
        self.extra: tuple[tuple[str, str], ...] = ()
        self.loop_mark = ""
        self.media_call = ""
        self.invite = ctx.request.method == "INVITE"
        self.finished = False
        self.cancelled = False
        self.blame = ""

    @property
    def status(self) -> int:
        """The status that is the best of its branches so far (RFC 3261 §16.7 (6)); 0 while none has one."""
        known = [(branch.status, branch.source) for branch in self.branches if branch.ended and not branch.followed]
        return known[best(known)][0] if known else 0

    def add_targets(self, targets: list[Target]) -> None:
        """Try these when what runs has failed (serial forking; also from ``manage_failure``)."""
        raise NotImplementedError

    def ring(self, targets: list[Target], after: float = 0.0, seconds: float = 0.0) -> int:
        """Ring these, too, beside what rings; from ``manage_failure`` in its place. Gives how many of them.

        Args:
            targets: As many as ``[proxy] max_branches`` leaves room for; where it has been tried already nobody is rung again.
            after: Seconds from now. Nobody waits for it in vain: when all else has failed, they ring at once; when somebody has answered,
                or the caller has given up, they don't.
            seconds: For how long at most; then they are cancelled and count as 408. 0 for ``[transaction] invite_timeout``.
        """
        raise NotImplementedError

    def budget_at(self, host: str, octets: int) -> Budget | None:
        """The rest that a stranger's request may draw at an unproved host, over all branches there.

        Args:
            octets: Of the copy that is to be sent now; they are taken off. One copy may go to each host.

        Returns:
            None where it mayn't be sent.
        """
        raise NotImplementedError

    def on_response(self, branch: Branch, response: SipResponse, repeated: bool) -> None:
        """A provisional or 2xx response of a branch.

        Args:
            repeated: It's a 2xx that the branch gave before.
        """
        raise NotImplementedError

    def on_ended(self, branch: Branch, response: SipResponse) -> None:
        """A branch has ended with 300..699, received or made here."""
        raise NotImplementedError

    def turn_away(self, status: int, headers: tuple[tuple[str, str], ...], reason: tuple[tuple[str, str], ...]) -> None:
        """Have the caller try elsewhere: a final response of ours at once, and CANCEL for what was begun.

        Args:
            headers: ``(name, value)`` of the response.
            reason: The same for the CANCEL.
        """
        raise NotImplementedError

    def cancel(self, reason: tuple[tuple[str, str], ...]) -> None:
        """The caller gave up (RFC 3261 §16.10)."""
        raise NotImplementedError


class Answered(NamedTuple):
    """The caller's token of a dialog, and what it was made from.

    Attributes:
        tag: The callee's.
        contact: Value of its Contact.
        token: The ``sn`` for the caller.
        far: How the callee is reached.
    """

    tag: str
    contact: str | None
    token: str
    far: Reach


class Unanswered:
    """A 2xx of a branch that nobody takes, and that is acknowledged whenever it comes."""

    __slots__ = ()

    def takes(self, response: SipResponse) -> bool:
        """Whether a response is a repeat of it; then it has its ACK."""
        raise NotImplementedError


class Branch(TransactionUser):
    """A copy of a request on its way to one target.

    Attributes:
        core: The server.
        fork: The fork that it belongs to.
        target: Where it goes.
        index: 0 for the first branch of the fork.
        branch_id: The ``branch`` of our Via: the transaction's, and what tells the media relay the branches apart.
        flags: Bits of BranchFlag.
        flow: By which it goes; ``NOWHERE`` until a way was found.
        body: Sent in place of the request's body, or None.
        response: The best that it got: the last provisional or the final response.
        status: Of ``response``; 0 before anything came.
        source: Whether the final response was received or made here; ``blame`` says who is behind one that was made here.
        ended: A final response is known. cancelled: Nobody wants its answer any more.
        media: What the relay holds of it, None where it isn't asked; owned by the media control of the script.
        forms: How its SDP may be offered still, alike; it outlives a retry.
        media_set: Set of the relay's nodes that its media is to take.
        words: Flag words of the script for the relay, for offer and answer, or None; owned by the media control too.
        tries: How often it was sent again with other flags.
        contact_line: The Contact header line that its replies go back with, "" for their own.
        token: Of our Record-Route on it, "" where we don't stay in the path.
        answered: What stands for ``token`` in its replies, or None.
        hops: Other addresses of its target, where one is being tried. hop: That one, where the target was found by its name.
        unwanted: Its 2xx that nobody takes, or None.
        proof: The header that answers the challenge of a trunk; empty where it hasn't asked.
        followed: It ended in a redirection that is tried here, and is no answer for the caller any more.
    """

    __slots__ = (
        "answered", "blame", "body", "branch_id", "cancelled", "contact_line", "core", "ended", "flags", "flow", "followed", "fork",
        "forms", "hop", "hops", "index", "media", "media_set", "proof", "response", "source", "status", "target", "token", "tries",
        "unwanted", "words",
    )  # fmt: skip

    def __init__(self, fork: Fork, target: Target, index: int, branch_id: str) -> None:
        self.core = fork.core
        self.fork = fork
        self.target = target
        self.index = index
        self.branch_id = branch_id
        self.flags = target.flags
        self.flow = NOWHERE
        self.body: bytes | None = None
        self.response: SipResponse | None = None
        self.status = 0
        self.source, self.blame = LOCAL, ""
        self.ended = False
        self.cancelled = False
        self.media: Exchange | None = None
        self.forms: list[Choice] = []
        self.words: tuple[MediaFlags | None, MediaFlags | None] | None = None
        self.media_set = 0
        self.tries = 0
        self.contact_line = ""
        self.token = ""
        self.answered: Answered | None = None
        self.hop: Hop | None = None
        self.hops: list[Hop] = []
        self.unwanted: Unanswered | None = None
        self.proof: tuple[tuple[str, str], ...] = ()
        self.followed = False

    def set(self, flag: int) -> None:
        """Set bits of BranchFlag (``setbflag``)."""
        self.flags |= flag

    def has(self, flag: int) -> bool:
        """Whether any of these bits is set (``isbflagset``)."""
        return bool(self.flags & flag)

    @property
    def request(self) -> SipRequest:
        """The request that the fork is about, as received."""
        return self.fork.ctx.request

    @property
    def near_websocket(self) -> bool:
        """Whether the sender of the request is a browser."""
        return self.fork.ctx.flow.websocket

    @property
    def natted_phone(self) -> bool:
        """Whether one of the two ends is a phone behind NAT."""
        near = self.fork.ctx.natted and not self.near_websocket
        return near or bool(self.flags & BindingFlag.NATB and not self.target.websocket)

    @property
    def far_websocket(self) -> bool:
        """Whether the callee of this request is a browser."""
        return self.target.websocket

    @property
    def pending(self) -> bool:
        """No final response yet."""
        return not self.ended

    def retry(self, most: int = 1) -> bool:
        """Send the branch once more with other flags (``t_next…`` after a 415 or 488).

        Args:
            most: How often in all.

        Returns:
            Whether it will be.
        """
        if self.tries >= most or self.cancelled or self.fork.finished:
            return False
        self.tries += 1
        return True

    def rtpengine_manage(self, words: str = "", answer: str | None = None) -> Deferred[None] | None:
        """Have the relay carry the media of this branch, asked in the words of Kamailio's module; to be returned by ``manage_branch``.

        Args:
            words: As ``"trust-address replace-origin ICE=force"``: these and nothing else; "" asks for what the server derives.
            answer: Words of the answers; None for those of the offer but for what is about the callee.

        Raises:
            ConfigError: a word that is none; those that a script writes out are looked at when it is loaded.
        """
        return self.core.rtpengine.manage(self, words, answer)

    def set_rtpengine_set(self, number: int) -> None:
        """Have the media of this branch carried by a node of a set (``[media] nodes``, ``set N``); before it is managed. A dialog stays in
        the set of its branch.
        """
        self.media_set = number

    def rtpengine_offer(self, words: str = "") -> Deferred[None] | None:
        """The same: a request of a branch makes an offer, but for the SDP of an ACK or PRACK that answers one."""
        return self.rtpengine_manage(words)

    def rtpengine_answer(self, response: SipResponse, words: str = "") -> Deferred[SipResponse] | None:
        """Have the relay answer with the SDP of a reply, by these words; to be returned by ``manage_reply``."""
        return self.core.rtpengine.answer(self, response, words)

    def rtpengine_delete(self) -> None:
        """Give back what the relay holds for this branch, which goes on without it."""
        self.core.rtpengine.delete(self)

    def ongoing_media(self, response: SipResponse) -> OngoingMedia | None:
        """The media of the dialog that a reply belongs to, once its SDP has been managed: to record it, or to play to it.

        Returns:
            None where no relay carries it.
        """
        return ongoing_of(self.core.media, self.media, response.to.tag) if self.media is not None else None

    def fail(self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = (), blame: str = "") -> None:
        """End the branch with a final response of our own."""
        raise NotImplementedError

    def release(self) -> None:
        """It has ended, and so has its fork: nobody asks it for its transaction any more."""
        raise NotImplementedError

    def cancel(self, reason: tuple[tuple[str, str], ...]) -> None:
        """End a pending branch: by CANCEL as soon as it has seen a 1xx (RFC 3261 §9.1), at once where nothing was sent."""
        raise NotImplementedError
