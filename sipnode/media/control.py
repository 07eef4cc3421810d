"""Media control: what is asked of the relay for each call, and what is given back to it, from the first offer to the last BYE.

It knows dialogs and branches, not how their messages travel; :mod:`sipnode.routing.natmanage` brings it the messages and decides which
calls take a relay at all. Made once; it outlives the routing script.
Implements: RFC 3261 §13.2.2.4, §14.1; RFC 3262 §5; RFC 3264 §6, §8; RFC 6337 §3.

The one invariant: whatever a branch or a dialog holds at the relay ends with it, and what it shares with others goes on as agreed.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipnode.base.asking import told
from sipnode.base.tap import MEDIA
from sipnode.errors import MediaError
from sipnode.media import flags as words
from sipnode.media import manage, sdp
from sipnode.media.abilities import Abilities
from sipnode.media.calls import MOST_KEPT, DialogMedia, Exchange, HeldCall, HeldCalls, Pair, Round
from sipnode.media.interfaces import Interfaces
from sipnode.media.manage import Operation, SdpState
from sipnode.media.names import Names, media_key
from sipnode.media.renewal import again, undo, whole

if TYPE_CHECKING:
    from sipnode.base.tap import Tap
    from sipnode.interfaces import IMediaRelay
    from sipnode.records import MediaProfile
    from sipnode.settings import MediaSettings
    from sipnode.sip.message import SipMessage, SipResponse

MAX_LATE: Final = 10_000
"""Early dialogs with an offer in a 1xx that are remembered until their PRACK; the oldest are forgotten first."""


class MediaControl:
    """Offers, answers and ends.

    Args:
        relay: Who carries media.
        settings: ``[media]``.
        tap: Told of each exchange. seconds: Epoch seconds.
        counters: Of what happened how often.
        names: What calls are called at the relay.

    Attributes:
        held: What the relay holds.
        abilities: What ends take.
        interfaces: Which interface of the relay each end talks to.

    Raises:
        ConfigError: interfaces that can't be.
    """

    log = Logger(namespace="sipnode.media")

    def __init__(
        self, relay: IMediaRelay, settings: MediaSettings, tap: Tap, seconds: Callable[[], float], counters: MutableMapping[str, int],
        names: Names,
    ) -> None:  # fmt: skip
        self.relay = relay
        self.names = names
        self.counters = counters
        self.held = HeldCalls(counters)
        self.abilities = Abilities()
        self.interfaces = Interfaces(settings.interfaces)
        fields = words.parse(settings.flags).fields
        said = fields.get("media-address", "")
        self._bundles = "bundle" in fields
        self._address = settings.media_address or (said if isinstance(said, str) else "")
        self._tap = tap
        self._seconds = seconds
        self._late: dict[tuple[str, str, str], SdpState] = {}

    # -- beginning

    def begin(self, name: str, message: SipMessage, node: str, via_branch: str) -> Exchange:
        """A branch of a new call.

        Args:
            name: The relay's name of the call, the same for all its branches.
            node: Of the relay, "" to let it choose.
        """
        held = self.held.enter(name, message.call_id, node or self.relay.choose(message.call_id), True)
        exchange = Exchange(held, message.cseq_method, message.call_id, (message.from_.tag, ""), via_branch, True)
        exchange.node = node or exchange.node
        held.branches[via_branch] = exchange.from_tag
        return exchange

    def within(self, name: str, message: SipMessage, node: str, from_caller: bool) -> Exchange:
        """A request inside a dialog whose Route says how the relay knows it."""
        tags = message.from_.tag, message.to.tag
        held = self.held.enter(name, message.call_id, node, False)
        exchange = Exchange(held, message.cseq_method, message.call_id, tags, "", from_caller)
        exchange.node = node
        return exchange

    def late(self, message: SipMessage) -> SdpState | None:
        """State of the INVITE whose reliable 1xx made the offer that this PRACK belongs to."""
        return self._late.get((message.call_id, message.from_.tag, message.to.tag))

    def asked(self, name: str, call_id: str) -> dict[str, str]:
        """Flag words of the last offer and answer of a call, by ``offer`` and ``answer``."""
        held = self.held.get(name or call_id)
        return {} if held is None else {operation: words.spoken(fields) for operation, fields in held.asked.items()}

    def dialog(self, exchange: Exchange, to_tag: str) -> DialogMedia | None:
        """The media of the dialog that a message of an exchange is in."""
        return exchange.held.dialogs.get(exchange.pair(to_tag))

    # -- offers and answers

    def offer(self, exchange: Exchange, body: bytes, profile: MediaProfile, host: str) -> Deferred[bytes]:
        """The SDP of a request is an offer.

        Args:
            host: True address of its sender.

        Returns:
            SDP for the other end; fails with MediaError.
        """
        form = sdp.form_of(body)
        text = sdp.readable(body, form.form, host)
        if form.bundled and not self._bundles and (profile.flags is None or "bundle" not in profile.flags.fields):
            text = sdp.unbundled(text)
        exchange.offer = (text, form, profile)
        held = exchange.held
        dialog: DialogMedia | None = None
        if exchange.to_tag:
            dialog = held.dialog(exchange.pair(exchange.to_tag))
            dialog.open += 1
            dialog.shaken = True
        asked = self.ask(Operation.OFFER, exchange, exchange.from_tag, exchange.to_tag, text, profile)

        def refused(failure: Failure) -> Failure:
            # The relay holds nothing of it, so nothing has to be given back.
            exchange.state.offered = False
            if dialog is not None:
                dialog.open -= 1
            return failure

        return asked.addErrback(refused)

    def late_answer(self, exchange: Exchange, body: bytes, profile: MediaProfile, host: str) -> Deferred[bytes]:
        """The SDP of an ACK or a PRACK answers the offer of a response.

        Returns:
            SDP for the one who offered; fails with MediaError.
        """
        dialog = exchange.held.dialog(exchange.pair(exchange.to_tag))
        if dialog.acked is not None and dialog.acked[0] == body:
            return succeed(dialog.acked[1])
        exchange.offer = dialog.late
        text = sdp.readable(body, sdp.form_of(body).form, host)
        asked = self.ask(Operation.ANSWER, exchange, exchange.to_tag, exchange.from_tag, text, profile)

        def answered(result: bytes) -> bytes:
            if len(body) + len(result) <= MOST_KEPT:
                # Else its repeat is asked again.
                dialog.late, dialog.acked = None, (body, result)
            self.agree(dialog, exchange, exchange.to_tag, exchange.from_tag, text, profile)
            return result

        return asked.addCallback(answered)

    def reply(self, exchange: Exchange, response: SipResponse, body: bytes, profile: MediaProfile, host: str) -> Deferred[bytes]:
        """The SDP of a 1xx or 2xx.

        Returns:
            SDP for the one who asked; fails with MediaError.
        """
        operation = manage.for_reply(exchange.method, response.status, True, exchange.state)
        to_tag, held = response.to.tag, exchange.held
        pair = exchange.pair(to_tag)
        if operation is Operation.OFFER and response.status < 200:
            self._expect_prack(exchange, response)
        kept = (to_tag, body)
        known = exchange.results.get(kept)
        if known is not None and (not exchange.via_branch or to_tag in exchange.answered or held.latest == (pair, body)):
            return succeed(known)
        dialog = held.dialog(pair)
        if exchange.via_branch:
            dialog.via_branch = exchange.via_branch
        form = sdp.form_of(body)
        text = sdp.readable(body, form.form, host)
        if operation is Operation.OFFER:
            offerer, other = to_tag, exchange.from_tag
            exchange.offer = dialog.late = (text, form, profile)
            dialog.acked = None
        else:
            offerer, other = exchange.from_tag, to_tag
        asked = self.ask(operation, exchange, offerer, other, text, profile)

        def taken(result: bytes) -> bytes:
            exchange.results[kept] = result
            if operation is Operation.ANSWER:
                if exchange.via_branch:
                    held.latest = (pair, body)
                self.agree(dialog, exchange, offerer, other, text, profile)
            return result

        return asked.addCallback(taken)

    def answered(self, exchange: Exchange, response: SipResponse) -> None:
        """A 2xx, with SDP or without, is about to go back."""
        to_tag = response.to.tag
        if to_tag in exchange.answered:
            return
        exchange.answered.add(to_tag)
        if exchange.via_branch:
            held = exchange.held
            held.branches.pop(exchange.via_branch, None)
            dialog = held.dialog((exchange.from_tag, to_tag))
            dialog.via_branch = exchange.via_branch
            dialog.up = True
        else:
            self._settle(exchange, response.status)

    def _settle(self, exchange: Exchange, status: int) -> None:
        """A transaction inside a dialog has its final response."""
        if exchange.ended:
            return
        exchange.ended = True
        dialog = self.dialog(exchange, exchange.to_tag)
        if dialog is None or not (exchange.state.offered or exchange.state.offered_by_reply):
            return
        if exchange.state.offered:
            dialog.open -= 1
        held = exchange.held
        if status == 481 and not held.complete and not dialog.settled:
            # Nobody knows the dialog: it was over before this server heard of it.
            self.dialog_over(held.name, held.call_id, exchange.node, exchange.pair(exchange.to_tag))
        elif status >= 300 and dialog.shaken and not dialog.open:
            undo(self.relay, held, dialog)

    def agree(self, dialog: DialogMedia, exchange: Exchange, offerer: str, answerer: str, body: bytes, profile: MediaProfile) -> None:
        """Both ends of a dialog have agreed on the offer of an exchange and this answer."""
        if exchange.offer is not None:
            offer, form, offer_profile = exchange.offer
            kept = len(offer) + len(body) <= MOST_KEPT
            round_ = Round(offerer, answerer, exchange.via_branch, exchange.node, offer, offer_profile, body, profile)
            dialog.agreed = round_ if kept else None
            if form.protocols:
                dialog.forms[offerer] = form
        answer_form = sdp.form_of(body)
        if answer_form.protocols:
            dialog.forms[answerer] = answer_form
        dialog.settled, dialog.shaken = True, False

    def ask(
        self, operation: Operation, exchange: Exchange, offerer: str, other: str, text: bytes, profile: MediaProfile
    ) -> Deferred[bytes]:
        """Ask the relay.

        Args:
            offerer: Tag of the end whose offer it is. other: Of the other one, "" where nobody has answered yet.
            text: SDP that the relay can read. profile: Of who gets the result.

        Returns:
            The SDP to pass on; fails with MediaError.
        """
        held = exchange.held
        if held.over:
            return fail(MediaError("the call has ended", 481))
        profile.moved = held.moves > 0
        key = media_key(held.name, held.call_id, offerer, other, exchange.via_branch, exchange.node)
        offer = exchange.offer[1] if exchange.offer is not None else None
        bundle = operation is Operation.OFFER or offer is None or offer.bundle
        asked: Deferred[bytes] = (self.relay.offer if operation is Operation.OFFER else self.relay.answer)(key, text, profile)
        told(
            self._tap, self._seconds, exchange.call_id, MEDIA, operation.value, asked,
            lambda result: (self.relay.place(key.node), key.call_id, words.Spoken(key.asked or {})),
        )  # fmt: skip

        def taken(result: bytes) -> bytes:
            exchange.node = held.node = key.node
            if held.over:
                # A BYE has passed it by.
                self.relay.delete(whole(held))
                raise MediaError("the call has ended", 481)
            asked = held.asked[operation.value] = key.asked or {}
            address = asked.get("media-address") if profile.flags is not None else self._address
            return sdp.finished(result, profile.form, bundle, address if isinstance(address, str) else "")

        return asked.addCallback(taken)

    def _expect_prack(self, exchange: Exchange, response: SipResponse) -> None:
        """A reliable 1xx made the offer: the PRACK, a transaction of its own, brings the answer (RFC 3262 §5)."""
        exchange.late = (response.call_id, response.from_.tag, response.to.tag)
        self._late[exchange.late] = exchange.state
        if len(self._late) > MAX_LATE:
            del self._late[next(iter(self._late))]

    def not_late(self, exchange: Exchange) -> None:
        """The INVITE has its final response: no PRACK comes any more."""
        if exchange.late is not None:
            self._late.pop(exchange.late, None)

    def is_stray(self, exchange: Exchange, body: bytes) -> bool:
        """Whether the SDP of an ACK answers nothing: the INVITE of the dialog had its answer in the 2xx."""
        dialog = self.dialog(exchange, exchange.to_tag)
        if dialog is None or not dialog.up or not dialog.settled:
            return False
        return dialog.late is None and (dialog.acked is None or dialog.acked[0] != body)

    # -- ends

    def failed(self, exchange: Exchange, status: int) -> None:
        """A branch, or a request inside a dialog, has ended with 300..699."""
        self.not_late(exchange)
        if exchange.to_tag:
            self._settle(exchange, status)
            return
        exchange.held.branches.pop(exchange.via_branch, None)
        if manage.for_reply(exchange.method, status, False, exchange.state) is Operation.DELETE:
            self._branch_over(exchange)
        self._drop_if_empty(exchange.held)

    def _branch_over(self, exchange: Exchange) -> None:
        held, via_branch = exchange.held, exchange.via_branch
        early = [pair for pair, dialog in held.dialogs.items() if dialog.via_branch == via_branch and not dialog.up]
        for pair in early:
            del held.dialogs[pair]
        if held.over:
            return
        self.relay.delete(media_key(held.name, held.call_id, exchange.from_tag, "", via_branch, exchange.node))
        # A proxy behind us that forked made more ends of this one branch.
        for _, to_tag in early[1:]:
            self.relay.delete(media_key(held.name, held.call_id, exchange.from_tag, to_tag, "", exchange.node))

    def _drop_if_empty(self, held: HeldCall) -> None:
        if not held.branches and not held.dialogs:
            self.held.forget(held)

    def dialog_over(self, name: str, call_id: str, node: str, pair: Pair) -> None:
        """A dialog has ended: by its BYE, whether or not that reaches anybody, by its session timer, or since an end is gone."""
        held = self.held.get(name or call_id)
        if held is None:
            self.relay.delete(media_key(name, call_id, *pair, "", node))
            return
        held.dialogs.pop(pair, None)
        left = held.up
        if not left and held.complete and all(tag == pair[0] for tag in held.branches.values()):
            # A branch that still rings can't be answered any more.
            held.over = True
            self.held.forget(held)
            self.relay.delete(whole(held))
            return
        self.relay.delete(media_key(name, call_id, *pair, "", node))
        if not left and not held.branches:
            held.over = True
            self.held.forget(held)
        elif left and held.latest is not None and held.latest[0] == pair:
            again(self.relay, held, left[0])
