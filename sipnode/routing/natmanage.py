"""``route[NATMANAGE]``: what the media relay is asked for each message of a call, and what becomes of its answer.

The table of what drives what is :mod:`sipnode.media.manage`; here it meets branches and replies. Nothing is asked twice for
a retransmission: results are kept with the branch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipnode.media import manage
from sipnode.media.body import find_sdp, hides_sdp, is_webrtc
from sipnode.media.manage import Operation, SdpState
from sipnode.media.names import media_key, new_name
from sipnode.nat.tests import SDP_PRIVATE, from_neighbour, nat_uac_test
from sipnode.records import MediaProfile
from sipnode.routing.verdict import BranchFlag, Flag

if TYPE_CHECKING:
    from sipnode.proxy.branch import Branch
    from sipnode.routing.core import Core
    from sipnode.sip.message import SipMessage, SipResponse


MAX_LATE: Final = 10_000
"""Early dialogs with an offer in a 1xx that are remembered until their PRACK; the oldest are forgotten first."""


class BranchMedia:
    """What a branch remembers of its media.

    Attributes:
        node: The relay's node that has the call.
        call: The relay's name of it, made here; "" where ``[media] call_key`` has it known by its Call-ID.
        via_branch: Tells forked branches apart; "" inside a dialog.
        state: Of the offer/answer exchange.
        results: ``(To tag, SDP received) -> SDP to send``, so that a repeated reply gets the same.
        late: Call-ID, From and To tag of the early dialog whose offer came in a 1xx, or None.
    """

    __slots__ = ("call", "late", "node", "results", "state", "via_branch")

    def __init__(self, node: str, via_branch: str, call: str) -> None:
        self.node = node
        self.call = call
        self.via_branch = via_branch
        self.state = SdpState()
        self.results: dict[tuple[str, bytes], bytes] = {}
        self.late: tuple[str, str, str] | None = None


class NatManage:
    """The media control of the script.

    Args:
        core: The services.
    """

    log = Logger(namespace="sipnode.media")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._relay = core.media
        self._settings = core.settings.media
        self._late: dict[tuple[str, str, str], SdpState] = {}

    def branch(self, branch: Branch) -> Deferred[Any] | None:
        """Before a branch is sent: engage the relay, offer its SDP.

        Returns:
            None, or a Deferred that fires when the branch has its body; it fails with MediaError.
        """
        ctx = branch.fork.ctx
        request = ctx.request
        method = request.method
        if not self._relay.enabled or method not in manage.METHODS or branch.flow is None:
            return None
        route = ctx.route
        if route is None:
            if ctx.flags & Flag.PATH and self._settled(branch):
                return None
            self._bridging(branch)
        elif route.bridged:
            branch.set(BranchFlag.BRIDGE)
        if not branch.has(BranchFlag.BRIDGE):
            return None
        media = branch.media
        if media is None:
            if route is None:
                media = BranchMedia(self._relay.choose(request.call_id), branch.branch_id, self._name(branch.fork))
            else:
                media = BranchMedia(route.node, "", route.call)
            branch.media = media
        part = find_sdp(request)
        if part is None and hides_sdp(request):
            self.log.warn("SDP of {method} {call_id} is encoded and passes as it is", method=method, call_id=request.call_id)
        late = None
        if method == "PRACK":
            late = self._late.get((request.call_id, request.from_.tag, request.to.tag))
        operation = manage.for_request(method, part is not None, route is not None, media.state, invite=late)
        if operation is Operation.DELETE:
            self._relay.delete(media_key(media.call, request.call_id, request.from_.tag, request.to.tag, "", media.node))
            return None
        if operation is Operation.NONE or part is None:
            return None
        sdp = part.of(request.body)
        # Of who is not our neighbour we know no address to put in place of what the SDP says.
        near_nat = ctx.has(Flag.NATS) and not ctx.flow.websocket and from_neighbour(request)
        profile = MediaProfile(branch.far_websocket, _source(request, ctx.flow.remote[0]) if near_nat else "")

        def got(result: bytes) -> None:
            branch.body = part.replaced(request.body, result)

        def refused(failure: Failure) -> Failure:
            # The relay holds nothing of it, so nothing has to be given back.
            media.state.offered = False
            return failure

        return self._ask(operation, media, request, False, sdp, profile).addCallbacks(got, refused)

    def _bridging(self, branch: Branch) -> None:
        """``route[BRIDGING]``: a browser and a phone can't talk but through the relay; nor can who is behind NAT, unless ICE
        finds the way as it does between browsers.
        """
        ctx = branch.fork.ctx
        browser = ctx.has(Flag.WS)
        if browser != branch.far_websocket:
            branch.flags |= BranchFlag.RTPWS
        else:
            # Its binding says that it's a browser, which is only half of it.
            branch.flags &= ~BranchFlag.RTPWS
        natted = (ctx.has(Flag.NATS) and not browser) or (branch.has(BranchFlag.NATB) and not branch.far_websocket)
        if natted or self._settings.engage == "always" or branch.has(BranchFlag.RTPWS):
            branch.set(BranchFlag.BRIDGE)

    def _name(self, fork: Any) -> str:
        """The relay's name of a new call, the same for all its branches."""
        if not fork.media_call and self._settings.call_key == "own":
            fork.media_call = new_name()
        name: str = fork.media_call
        return name

    def _settled(self, branch: Branch) -> bool:
        """Whether the node that sent a request by our Path has seen to its media: a sister always has, as she knows from the
        binding who will answer; of others we only know that a browser couldn't take plain SDP.
        """
        request = branch.request
        if self._core.signer.knows(request) or not branch.far_websocket:
            return True
        part = find_sdp(request)
        return part is not None and is_webrtc(part.of(request.body))

    def _ask(
        self, operation: Operation, media: BranchMedia, message: SipMessage, is_reply: bool, sdp: bytes, profile: MediaProfile
    ) -> Deferred[bytes]:
        offerer, other = manage.tags(operation, is_reply, message.from_.tag, message.to.tag)
        key = media_key(media.call, message.call_id, offerer, other, media.via_branch, media.node)
        asked: Deferred[bytes] = (self._relay.offer if operation is Operation.OFFER else self._relay.answer)(key, sdp, profile)

        life = self._core.life

        def moved(result: bytes) -> bytes:
            media.node = key.node
            if life is not None:
                place = self._relay.place(key.node) or "none"
                life.step(message.call_id, "media", "%s taken by %s as %s", operation.value, place, key.call_id)
            return result

        def lost(failure: Failure) -> Failure:
            if life is not None:
                blame = getattr(failure.value, "blame", failure.getErrorMessage())
                life.step(message.call_id, "media", "%s failed: %s", operation.value, blame)
            return failure

        return asked.addCallbacks(moved, lost)

    def reply(self, branch: Branch, response: SipResponse) -> Deferred[Any] | None:
        """A 1xx or 2xx of a branch: answer its SDP (or offer it, where the request had none).

        Returns:
            None to pass it as it is, or a Deferred of the response to pass.
        """
        media = branch.media
        if media is None:
            return None
        if media.late is not None and response.status >= 200:
            self._late.pop(media.late, None)
        if not response.body:
            return None
        part = find_sdp(response)
        operation = manage.for_reply(response.cseq_method, response.status, part is not None, media.state)
        if operation is Operation.NONE or part is None:
            return None
        if operation is Operation.OFFER and response.status < 200:
            self._expect_prack(media, response)
        ctx = branch.fork.ctx
        sdp = part.of(response.body)
        kept = (response.to.tag, sdp)

        def rewritten(result: bytes) -> SipResponse:
            media.results[kept] = result
            copy = response.copy()
            copy.set_body(part.replaced(response.body, result))
            return copy

        known = media.results.get(kept)
        if known is not None:
            return succeed(known).addCallback(rewritten)
        far = self._far_address(branch)
        profile = MediaProfile(ctx.flow.websocket, _source(response, far) if far else "")
        return self._ask(operation, media, response, True, sdp, profile).addCallback(rewritten)

    def _far_address(self, branch: Branch) -> str:
        """The true address of the callee where its SDP can't be believed, "" else."""
        target, flow, route = branch.target, branch.flow, branch.fork.ctx.route
        if target.beyond:
            return target.source
        if flow.websocket or (route is not None and route.routes) or not (target.host or branch.has(BranchFlag.NATB)):
            return ""
        host: str = flow.remote[0]
        return host

    def _expect_prack(self, media: BranchMedia, response: SipResponse) -> None:
        """A reliable 1xx made the offer: the PRACK, a transaction of its own, brings the answer (RFC 3262 §5)."""
        media.late = (response.call_id, response.from_.tag, response.to.tag)
        self._late[media.late] = media.state
        if len(self._late) > MAX_LATE:
            del self._late[next(iter(self._late))]

    def failure(self, branch: Branch, status: int) -> None:
        """A branch has ended with 300..699: give its ports back (``event_route[tm:branch-failure:rtpengine]``)."""
        media = branch.media
        if media is None:
            return
        if media.late is not None:
            self._late.pop(media.late, None)
        request = branch.request
        operation = manage.for_reply(request.method, status, False, media.state)
        if operation is Operation.DELETE:
            self._relay.delete(media_key(media.call, request.call_id, request.from_.tag, "", media.via_branch, media.node))


def _source(message: SipMessage, host: str) -> str:
    """The sender's true address, where its SDP names one that nobody can reach."""
    return host if nat_uac_test(SDP_PRIVATE, message, host, 0, False) else ""
