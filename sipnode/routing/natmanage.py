"""``route[NATMANAGE]``: how the media of a branch gets through the relay, what each end can take, and what becomes of a branch that the
relay refuses. Which calls take a relay is the script's to say (``bridging``).

The questions to the relay for each message, and the end of each, are :mod:`sipnode.media.control`'s; here branches and
replies meet it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipnode.errors import ConfigError, MediaError
from sipnode.interfaces import IMediaSets
from sipnode.media import manage
from sipnode.media.body import find_sdp, hides_sdp, is_webrtc
from sipnode.media.flags import for_answer, parse
from sipnode.media.manage import Operation
from sipnode.media.profiles import AVP, SAVPF_DTLS, Choice, choices
from sipnode.media.sdp import UNBUNDLED, SdpForm, form_of, left_out
from sipnode.nat.tests import SDP_PRIVATE, from_neighbour, nat_uac_test
from sipnode.proxy.core import MediaPolicy
from sipnode.proxy.forkpolicy import RECEIVED
from sipnode.records import MediaFlags, MediaForm, MediaProfile
from sipnode.routing.verdict import BranchFlag, Flag

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.base.flow import Flow
    from sipnode.media.calls import Exchange
    from sipnode.proxy.core import Branch, Fork, ProxyCore, Request
    from sipnode.proxy.seal import RouteState
    from sipnode.settings import MediaSettings
    from sipnode.sip.message import SipMessage, SipResponse

OTHER_FORM = frozenset((415, 488, 606))
"""Statuses of a callee that can't take the media of an offer (RFC 3261 §21.4.13, §21.4.26, §21.6.4)."""

MAX_TRIES: Final = 2
"""Other forms in which a callee is offered the media of a call."""


class NatManage(MediaPolicy):
    """The media of branches and replies. Made once; it outlives the routing script.

    Args:
        core: The server.
        settings: ``[media]``.
    """

    log: ClassVar[Logger] = Logger(namespace="sipnode.media")

    def __init__(self, core: ProxyCore, settings: MediaSettings) -> None:
        self._core = core
        self._relay = core.media
        self._control = core.media_control
        self._settings = settings

    # -- requests

    def branch(self, branch: Branch, bridging: Callable[[Branch], bool]) -> Deferred[None] | None:
        """Before a branch is sent: engage the relay, offer its SDP.

        Args:
            bridging: Asked whether the relay carries its media, where that is the policy's to say.

        Returns:
            None, or a Deferred that fires when the branch has its body; it fails with MediaError.
        """
        ctx = branch.fork.ctx
        request = ctx.request
        method = request.method
        if not self._relay.enabled or method not in manage.METHODS or method == "BYE":
            return None
        if not self._engaged(branch, bridging):
            return None
        route = ctx.route
        part = find_sdp(request)
        if part is None and method == "ACK":
            return None
        exchange: Exchange | None = branch.media
        if exchange is None:
            if route is None:
                try:
                    node = self._node(branch.media_set, request.call_id) if branch.media_set else ""
                except MediaError as error:
                    return fail(error)
                exchange = self._control.begin(self._name(branch.fork), request, node, branch.branch_id)
            else:
                exchange = self._control.within(route.call, request, route.node, route.from_caller)
            branch.media = exchange
        if part is None:
            if hides_sdp(request):
                self.log.warn("SDP of {method} {call_id} is encoded and passes as it is", method=method, call_id=request.call_id)
            manage.for_request(method, False, route is not None, exchange.state)
            return None
        sdp = part.of(request.body)
        late = self._control.late(request) if method == "PRACK" else None
        operation = manage.for_request(method, True, route is not None, exchange.state, invite=late)
        if operation is Operation.NONE:
            return None
        if method == "ACK" and self._control.is_stray(exchange, sdp):
            branch.body = part.replaced(request.body, b"")
            return None
        host = ctx.flow.remote[0]
        # Of who is not our neighbour we know no address to put in place of what the SDP says.
        near_nat = ctx.has(Flag.NATS) and not ctx.flow.websocket and from_neighbour(request)
        form = form_of(sdp)
        profile = self._profile(branch, exchange, form, operation)
        profile.nat_source = _source(request, host) if near_nat else ""
        if branch.words is not None:
            self._worded(branch, profile, branch.words[operation is Operation.ANSWER], form, host)

        def got(result: bytes) -> None:
            branch.body = part.replaced(request.body, result)

        if operation is Operation.ANSWER:
            asked = self._control.late_answer(exchange, sdp, profile, host)
            return asked.addCallbacks(got, self._unacknowledged, errbackArgs=(branch,))
        return self._control.offer(exchange, sdp, profile, host).addCallback(got)

    def _node(self, number: int, call_id: str) -> str:
        sets = IMediaSets(self._relay, None)
        if sets is None:
            raise ConfigError("this media relay has no sets", key="media.relay")
        node: str = sets.choose_in(call_id, number)
        if not node:
            raise MediaError(f"no media node of set {number} can take a call", 503)
        return node

    # -- words of the script

    def manage(self, branch: Branch, words: str, answer: str | None) -> Deferred[None] | None:
        """``rtpengine_manage("…")``: as `branch`, by what the script says and nothing else.

        Args:
            words: Of the offer; "" leaves all to be derived.
            answer: Of the answer; None for the words of the offer, but for those that are about the callee. "" leaves it to be derived.

        Raises:
            ConfigError: a word that is none.
        """
        offered, answered = _words(words), _words(answer or "")
        if answer is None and offered is not None:
            answered = for_answer(offered)
        branch.words = (offered, answered) if offered is not None or answered is not None else None
        return self.branch(branch, _always)

    def answer(self, branch: Branch, response: SipResponse, words: str) -> Deferred[SipResponse] | None:
        """``rtpengine_answer("…")``: as `reply`, by these words."""
        said = _words(words)
        if said is not None:
            branch.words = (branch.words[0] if branch.words is not None else said, said)
        return self.reply(branch, response)

    def delete(self, branch: Branch) -> None:
        """``rtpengine_delete()``: give back what a branch holds now; what it still says passes as it is."""
        exchange: Exchange | None = branch.media
        if exchange is None:
            return
        branch.media = None
        if exchange.via_branch:
            self._control.failed(exchange, 487)
        else:
            held = exchange.held
            self._control.dialog_over(held.name, held.call_id, exchange.node, exchange.pair(exchange.to_tag))

    def _worded(self, branch: Branch, profile: MediaProfile, flags: MediaFlags | None, form: SdpForm, source: str) -> None:
        """A derived profile as changed by words of the script."""
        profile.flags = flags
        if flags is None or not flags.alone:
            return
        profile.nat_source = source
        transport = flags.fields.get("transport-protocol")
        if isinstance(transport, str):
            carried = MediaForm.WEBRTC if "TLS" in transport else MediaForm.SDES if "SAVP" in transport else MediaForm.PLAIN
            if carried is MediaForm.WEBRTC and flags.fields.get("ICE") == "remove":
                carried = MediaForm.DTLS
            profile.form, profile.protocol = carried, transport
        else:
            profile.form, profile.protocol = form.form, ""
        # The script says how it is offered, so there is no other form to try.
        branch.forms = [(profile.form, profile.protocol)]

    # -- which calls

    def _engaged(self, branch: Branch, bridging: Callable[[Branch], bool]) -> bool:
        """Whether the relay carries the media of a branch."""
        ctx = branch.fork.ctx
        route = ctx.route
        if route is not None:
            if route.bridged:
                branch.set(BranchFlag.BRIDGE)
        else:
            if ctx.flags & Flag.PATH and self._settled(branch):
                return False
            if self._core.is_own(*branch.flow.remote):
                # It comes back to us, and knows then where it is really going.
                return False
            if "record-route" in ctx.request and self._core.signer.carried(ctx.request) and self._fits(branch):
                # It has come back to us.
                return False
            # Its binding says that it's a browser, which is only half of it.
            branch.flags &= ~BranchFlag.RTPWS
            if branch.near_websocket != branch.far_websocket:
                branch.flags |= BranchFlag.RTPWS
            if bridging(branch):
                branch.set(BranchFlag.BRIDGE)
        return branch.has(BranchFlag.BRIDGE)

    def _name(self, fork: Fork) -> str:
        """The relay's name of a new call, the same for all its branches."""
        if not fork.media_call and self._settings.call_key == "own":
            fork.media_call = self._control.names.new()
        name: str = fork.media_call
        return name

    def _settled(self, branch: Branch) -> bool:
        """Whether the node that sent a request by our Path has seen to its media: a sister always has, as she knows from the
        binding who will answer; of others we only know that a browser couldn't take plain SDP.
        """
        return self._core.signer.knows(branch.request) or not branch.far_websocket or self._fits(branch)

    @staticmethod
    def _fits(branch: Branch) -> bool:
        """Whether the callee can take the SDP of a request as it is, as far as its transport tells."""
        part = find_sdp(branch.request)
        return part is not None and is_webrtc(part.of(branch.request.body)) == branch.far_websocket

    # -- what the receiver of SDP takes

    def _profile(self, branch: Branch, exchange: Exchange, form: SdpForm, operation: Operation) -> MediaProfile:
        """How the callee, or the other end of a dialog, gets the SDP of a request."""
        dialog = self._control.dialog(exchange, exchange.to_tag) if exchange.to_tag else None
        theirs = dialog.forms.get(exchange.to_tag) if dialog is not None else None
        if operation is Operation.ANSWER:
            # It offered, in a response; after a restart we know but how it is reached.
            offered = dialog.late[1] if dialog is not None and dialog.late is not None else theirs
            if offered is None:
                return MediaProfile(MediaForm.WEBRTC if branch.far_websocket else MediaForm.PLAIN)
            return self._answering(offered, form)
        ctx = branch.fork.ctx
        if ctx.route is None:
            choice = self._first(branch, form)
        elif theirs is not None:
            choice = (theirs.form, theirs.protocol if form.protocols else "")
        elif branch.far_websocket:
            choice = SAVPF_DTLS
        else:
            choice = AVP if form.form is MediaForm.WEBRTC else (form.form, "")
        family = theirs.family if theirs is not None else "" if branch.target.beyond else _family(branch.flow)
        interfaces = self._control.interfaces.between(ctx.flow, branch.flow)
        wanted = "" if choice[0] is MediaForm.WEBRTC or family == form.family else family
        return MediaProfile(choice[0], "", choice[1], wanted, interfaces)

    def _first(self, branch: Branch, form: SdpForm) -> Choice:
        """The best of what wasn't refused yet."""
        abilities, ctx = self._control.abilities, branch.fork.ctx
        if not branch.forms:
            if form.protocols and not ctx.flags & Flag.PATH:
                abilities.offered(ctx.flow, form.form)
            branch.forms = choices(form, branch.far_websocket, abilities.known(branch.flow))
            if abilities.proven(branch.flow):
                known = abilities.known(branch.flow)
                branch.forms.sort(key=lambda choice: choice[0] is not known)
        first: Choice = branch.forms[0]
        return first

    @staticmethod
    def _answering(offer: SdpForm, answer: SdpForm) -> MediaProfile:
        """An answer has the form and the family of its offer (RFC 3264 §6)."""
        plain = offer.form is not MediaForm.WEBRTC and offer.family and offer.family != answer.family
        return MediaProfile(offer.form, family=offer.family if plain else "")

    # -- responses

    def reply(self, branch: Branch, response: SipResponse) -> Deferred[SipResponse] | None:
        """A 1xx or 2xx of a branch: answer its SDP (or offer it, where the request had none).

        Returns:
            None to pass it as it is, or a Deferred of the response to pass; it fails with MediaError.
        """
        exchange: Exchange | None = branch.media
        if exchange is None:
            return None
        if response.status >= 200:
            self._control.not_late(exchange)
            if branch.tries and branch.forms:
                self._control.abilities.took(branch.flow, branch.forms[0][0])
        part = find_sdp(response) if response.body else None
        if part is None:
            if response.status >= 200:
                self._control.answered(exchange, response)
            return None
        sdp = part.of(response.body)
        form = form_of(sdp)
        far = self._far_address(branch)
        if exchange.state.offered and exchange.offer is not None:
            profile = self._answering(exchange.offer[1], form)
        else:
            profile = self._late_profile(branch, exchange, response, form)
        profile.nat_source = _source(response, far) if far else ""
        if branch.words is not None:
            said = branch.words[exchange.state.offered]
            profile.flags = said
            if said is not None and said.alone:
                profile.nat_source = branch.flow.remote[0]

        def rewritten(result: bytes) -> SipResponse:
            if response.status >= 200:
                self._control.answered(exchange, response)
            copy = response.copy()
            copy.set_body(part.replaced(response.body, result))
            if exchange.offer is not None and exchange.state.offered and left_out(exchange.offer[1], result):
                copy.append("warning", UNBUNDLED)
            return copy

        return self._control.reply(exchange, response, sdp, profile, far or branch.flow.remote[0]).addCallback(rewritten)

    def _late_profile(self, branch: Branch, exchange: Exchange, response: SipResponse, form: SdpForm) -> MediaProfile:
        """How the one who asked without SDP gets the offer of a response."""
        flow = branch.fork.ctx.flow
        dialog = self._control.dialog(exchange, response.to.tag)
        theirs = dialog.forms.get(exchange.from_tag) if dialog is not None else None
        if theirs is not None:
            choice: Choice = (theirs.form, theirs.protocol)
        elif flow.websocket:
            choice = SAVPF_DTLS
        else:
            known = self._control.abilities.known(flow)
            choice = SAVPF_DTLS if known is MediaForm.WEBRTC else AVP if form.form is MediaForm.WEBRTC else (form.form, "")
        family = theirs.family if theirs is not None else _family(flow)
        wanted = "" if choice[0] is MediaForm.WEBRTC or family == form.family else family
        return MediaProfile(choice[0], "", choice[1] if form.protocols else "", wanted, self._control.interfaces.between(branch.flow, flow))

    def _far_address(self, branch: Branch) -> str:
        """The true address of the callee where its SDP can't be believed, "" else."""
        target, flow, route = branch.target, branch.flow, branch.fork.ctx.route
        if target.beyond:
            return target.source
        if flow.websocket or (route is not None and route.routes) or not (target.host or branch.has(BranchFlag.NATB)):
            return ""
        host: str = flow.remote[0]
        return host

    # -- ends

    def failure(self, branch: Branch, status: int) -> None:
        """A branch has ended with 300..699: give its ports back (``event_route[tm:branch-failure:rtpengine]``), and try once more
        where the callee can't take the media as it was offered.
        """
        exchange: Exchange | None = branch.media
        if exchange is None:
            return
        offered = exchange.state.offered and bool(exchange.via_branch)
        self._control.failed(exchange, status)
        if status in OTHER_FORM and offered and branch.source == RECEIVED and branch.forms:
            self._control.abilities.refused(branch.flow, branch.forms[0][0])
            # Traffic that a stranger's request draws to an unproved address is bounded, and announced before.
            may = branch.flow.proved or not branch.fork.ctx.stranger
            if len(branch.forms) > 1 and may and branch.retry(MAX_TRIES):
                del branch.forms[0]

    def bye(self, ctx: Request, route: RouteState) -> None:
        """A dialog ends: its media does, whether or not the BYE reaches anybody."""
        if self._relay.enabled and route.bridged:
            request = ctx.request
            pair = request.from_.tag, request.to.tag
            self._control.dialog_over(route.call, request.call_id, route.node, pair if route.from_caller else pair[::-1])

    def _unacknowledged(self, failure: Failure, branch: Branch) -> Failure:
        """The answer in an ACK can't be had: a call that one end believes to have is ended for both."""
        request = branch.request
        if failure.check(MediaError) is not None:
            reason = 'SIP;cause=488;text="No media"'
            self._core.reactor.callLater(0, self._core.hang_up, request.call_id, request.from_.tag, request.to.tag, reason)
        return failure


def _words(text: str) -> MediaFlags | None:
    return parse(text, True, "routing.script") if text.strip() else None


def _always(branch: Branch) -> bool:
    return True


def _family(flow: Flow) -> str:
    host = flow.remote[0]
    return "IP6" if ":" in host and not host.startswith("::ffff:") else "IP4"


def _source(message: SipMessage, host: str) -> str:
    """The sender's true address, where its SDP names one that nobody can reach."""
    return host if nat_uac_test(SDP_PRIVATE, message, host, 0, False) else ""
