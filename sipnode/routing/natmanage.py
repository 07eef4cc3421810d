"""``route[NATMANAGE]``: what the media relay is asked for each message of a call, and what becomes of its answer.

The table of what drives what is :mod:`sipnode.media.manage`; here it meets branches and replies. Nothing is asked twice for
a retransmission: results are kept with the branch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipnode.errors import MediaError
from sipnode.media import manage
from sipnode.media.body import find_sdp, hides_sdp
from sipnode.media.manage import Operation, SdpState
from sipnode.nat.tests import SDP_PRIVATE, nat_uac_test
from sipnode.records import MediaKey, MediaProfile
from sipnode.routing.verdict import BranchFlag, Flag

if TYPE_CHECKING:
    from sipnode.proxy.branch import Branch
    from sipnode.routing.core import Core
    from sipnode.sip.message import SipMessage, SipResponse


class BranchMedia:
    """What a branch remembers of its media.

    Attributes:
        node: The relay's node that has the call.
        via_branch: Tells forked branches apart; "" inside a dialog.
        state: Of the offer/answer exchange.
        results: ``(To tag, SDP received) -> SDP to send``, so that a repeated reply gets the same.
    """

    __slots__ = ("node", "results", "state", "via_branch")

    def __init__(self, node: str, via_branch: str) -> None:
        self.node = node
        self.via_branch = via_branch
        self.state = SdpState()
        self.results: dict[tuple[str, bytes], bytes] = {}


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
            if ctx.has(Flag.WS) != branch.far_websocket:
                branch.set(BranchFlag.RTPWS)
            if self._settings.engage == "always" or branch.has(BranchFlag.RTPWS | BranchFlag.NATB) or ctx.has(Flag.NATS):
                branch.set(BranchFlag.BRIDGE)
        elif route.bridged:
            branch.set(BranchFlag.BRIDGE)
        if not branch.has(BranchFlag.BRIDGE):
            return None
        media = branch.media
        if media is None:
            node = self._relay.choose(request.call_id) if route is None else route.node
            media = branch.media = BranchMedia(node, branch.branch_id if route is None else "")
        part = find_sdp(request)
        if part is None and hides_sdp(request):
            self.log.warn("SDP of {method} {call_id} is encoded and passes as it is", method=method, call_id=request.call_id)
        operation = manage.for_request(method, part is not None, route is not None, media.state)
        if operation is Operation.DELETE:
            self._relay.delete(MediaKey(request.call_id, request.from_.tag, request.to.tag, "", media.node))
            return None
        if operation is Operation.NONE or part is None:
            return None
        sdp = part.of(request.body)
        near_nat = ctx.has(Flag.NATS) and not ctx.flow.websocket
        profile = MediaProfile(branch.far_websocket, _source(request, ctx.flow) if near_nat else "")

        def got(result: bytes) -> None:
            branch.body = part.replaced(request.body, result)

        return self._ask(operation, media, request, False, sdp, profile).addCallbacks(got, self._failed, errbackArgs=(ctx,))

    def _ask(
        self, operation: Operation, media: BranchMedia, message: SipMessage, is_reply: bool, sdp: bytes, profile: MediaProfile
    ) -> Deferred[bytes]:
        offerer, other = manage.tags(operation, is_reply, message.from_.tag, message.to.tag)
        key = MediaKey(message.call_id, offerer, other, media.via_branch, media.node)
        asked: Deferred[bytes] = (self._relay.offer if operation is Operation.OFFER else self._relay.answer)(key, sdp, profile)

        def moved(result: bytes) -> bytes:
            media.node = key.node
            return result

        return asked.addCallback(moved)

    def _failed(self, failure: Failure, ctx: Any) -> Any:
        """No node serves the call: by default it fails with a named reason, never with the untouched private SDP."""
        error = failure.trap(MediaError) and failure.value
        if self._settings.on_error == "bypass":
            self.log.warn("media relay: {reason}; {call_id} goes on without", reason=error, call_id=ctx.request.call_id)
            return None
        return failure

    def reply(self, branch: Branch, response: SipResponse) -> Deferred[Any] | None:
        """A 1xx or 2xx of a branch: answer its SDP (or offer it, where the request had none).

        Returns:
            None to pass it as it is, or a Deferred of the response to pass.
        """
        media = branch.media
        if media is None or not response.body:
            return None
        part = find_sdp(response)
        operation = manage.for_reply(response.cseq_method, response.status, part is not None, media.state)
        if operation is Operation.NONE or part is None:
            return None
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
            done: Deferred[Any] = Deferred()
            done.callback(known)
            return done.addCallback(rewritten)
        flow = branch.flow
        natted = bool(branch.target.host) or branch.has(BranchFlag.NATB)
        profile = MediaProfile(ctx.flow.websocket, _source(response, flow) if natted and not flow.websocket else "")
        return self._ask(operation, media, response, True, sdp, profile).addCallback(rewritten).addErrback(self._reply_failed, ctx, response)

    def _reply_failed(self, failure: Failure, ctx: Any, response: SipResponse) -> Any:
        failed = self._failed(failure, ctx)
        return response if failed is None else failed

    def failure(self, branch: Branch, status: int) -> None:
        """A branch has ended with 300..699: give its ports back (``event_route[tm:branch-failure:rtpengine]``)."""
        media = branch.media
        if media is None:
            return
        request = branch.request
        operation = manage.for_reply(request.method, status, False, media.state)
        if operation is Operation.DELETE:
            self._relay.delete(MediaKey(request.call_id, request.from_.tag, "", media.via_branch, media.node))


def _source(message: SipMessage, flow: Any) -> str:
    """The sender's true address, where its SDP names one that nobody can reach."""
    host: str = flow.remote[0]
    return host if nat_uac_test(SDP_PRIVATE, message, host, flow.remote[1], False) else ""
