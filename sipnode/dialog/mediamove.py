"""Calls whose media relay is lost, or has been started anew and knows them no more: their ends are offered media once more, by this server.

Two phones would hear nothing until one of them makes an offer by itself, which they have no reason to do. So each call that is up is moved
to another node, or made anew at its own: :mod:`sipnode.media.reoffer` says what each end is offered, :mod:`sipnode.dialog.reinvite` sends
it. Implements: RFC 3261 §14.1 (glare: 491, and another try later), RFC 3725 §4 as far as a proxy can be the controller.

The one invariant: a call is moved by one hand at a time, so many begin in a second and no more, and one that can't be moved is left to
:mod:`sipnode.dialog.medialost`, or ended as it ends them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipnode.dialog.bye import NO_MEDIA
from sipnode.dialog.call import CONFIRMED, LOST
from sipnode.dialog.reinvite import Reinvite
from sipnode.errors import MediaError
from sipnode.media import ng
from sipnode.media.body import find_sdp
from sipnode.media.names import media_key
from sipnode.media.reoffer import Reoffer
from sipnode.records import MediaForm

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from twisted.internet.interfaces import IReactorTime

    from sipnode.dialog.call import Call
    from sipnode.dialog.ends import Ends, Party
    from sipnode.dialog.service import DialogService
    from sipnode.interfaces import IMediaCommands
    from sipnode.media.bencode import Value
    from sipnode.media.nodes import Node, NodeSet
    from sipnode.proxy.core import ProxyCore
    from sipnode.proxy.provider import Provider
    from sipnode.sip.message import SipResponse

PER_TURN: Final = 5
PAUSE: Final = 0.1
"""Calls that are begun in one go, and seconds between two: 50 calls a second."""
MOST_TRIES: Final = 5
AGAIN: Final = frozenset((430, 491, 500))
"""Statuses of an end that is making an offer itself, or whose answer to one is due (RFC 3261 §14.2), and of one to whom there is no way
just now."""
GONE: Final = frozenset((408, 481))
"""Statuses that end the dialog (RFC 3261 §12.2.1.2)."""
ICE_SECONDS: Final = 10.0
"""A browser sends the first words of new keys by its former way until it has given that up, and at a node that was started anew that way
belongs to somebody else by now, who would take them for an attack. Our own page mends the call itself before.
"""
LOOK_AGAIN: Final = 10.0
"""Seconds until a node whose calls were looked at is looked at again."""

_log = Logger(namespace="sipnode.dialog")


class MediaMoves:
    """Moves calls.

    Args:
        core: Knows what the relay holds.
        dialogs: The calls.
        nodes: The relay's nodes.
        commands: Asks a node for a call.
        clock: For the pauses.
        random: For the waits after 491.
        lost_seconds: Seconds after which a call that couldn't be moved ends, 0 for never.
        provider_of: The trunk of an end, by the key of its side; None for none.

    Attributes:
        seconds: How long the last one took.
    """

    def __init__(
        self, core: ProxyCore, dialogs: DialogService, nodes: NodeSet, commands: IMediaCommands, clock: IReactorTime, random: Random,
        lost_seconds: float, provider_of: Callable[[str], Provider | None] = lambda key: None,
    ) -> None:  # fmt: skip
        self.core = core
        self.dialogs = dialogs
        self.clock = clock
        self.random = random
        self.lost_seconds = lost_seconds
        self.provider_of = provider_of
        self.seconds = 0.0
        self._nodes = nodes
        self._commands = commands
        self._waiting: deque[tuple[Call, str]] = deque()
        self._moving: dict[Call, float] = {}
        self._samples: dict[str, Call] = {}
        self._due: dict[str, float] = {}
        self._turning = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._moving)

    @property
    def busy(self) -> bool:
        """Whether calls wait for their turn, or are on their way."""
        return bool(self._waiting or self._moving)

    # -- what is known of nodes

    def down(self, node: Node) -> None:
        """A node doesn't answer: its calls go to others, where there is one."""
        others = [other for other in self._nodes.nodes if other is not node and other.set == node.set and not other.draining]
        if any(self._nodes.is_up(other) for other in others):
            self._enter(node)

    def back(self, node: Node) -> None:
        """A node answers again: what it has forgotten is made anew."""
        self._enter(node)

    def look(self, node: Node) -> None:
        """Ask a node that is up for one of its calls; one that was started anew, and quickly, knows it no more."""
        call = self._sample(node)
        if call is None:
            return

        def unknown(failure: Failure) -> None:
            if failure.check(ng.UnknownCall):
                self._due[node.name] = self.clock.seconds() + LOOK_AGAIN
                self._enter(node)
            else:
                failure.trap(MediaError)

        self._query(call, node.name).addErrback(unknown)

    def _sample(self, node: Node) -> Call | None:
        if not self._nodes.is_up(node) or self.clock.seconds() < self._due.get(node.name, 0.0):
            return None
        call = self._samples.get(node.name)
        if call is None or not self._is_at(call, node.name):
            call = next((call for call in self.dialogs.list() if self._is_at(call, node.name)), None)
            if call is None:
                # The more calls were looked through in vain, the later.
                self._due[node.name] = self.clock.seconds() + min(LOOK_AGAIN, len(self.dialogs) / 1000)
                self._samples.pop(node.name, None)
                return None
            self._samples[node.name] = call
        return call

    def _query(self, call: Call, node: str) -> Deferred[dict[bytes, Value]]:
        key = media_key(call.media_call, call.call_id, call.from_tag, call.to_tag, "", node)
        asked: Deferred[dict[bytes, Value]] = self._commands.command(key, ng.query(key.call_id))
        return asked

    def _is_at(self, call: Call, node: str) -> bool:
        if not call.bridged or call.state is not CONFIRMED:
            return False
        held = self.core.media_control.held.get(call.media_call or call.call_id)
        dialog = held.dialogs.get((call.from_tag, call.to_tag)) if held is not None else None
        return dialog is not None and dialog.up and dialog.agreed is not None and dialog.agreed.node == node

    # -- a call after the other

    def _enter(self, node: Node) -> None:
        waiting = {call for call, _ in self._waiting}
        found = [call for call in self.dialogs.list() if call not in waiting and call not in self._moving and self._is_at(call, node.name)]
        if found:
            _log.warn("calls at media node {place} that may have lost their sound: {count}", count=len(found), place=node.place)
            self._waiting.extend((call, node.name) for call in found)
            self._turn_soon()

    def _turn_soon(self) -> None:
        if not self._turning:
            self._turning = True
            self._turn()

    def _turn(self) -> None:
        for _ in range(min(PER_TURN, len(self._waiting))):
            call, name = self._waiting.popleft()
            self._judge(call, name)
        if self._waiting and self.dialogs.running:
            self.clock.callLater(PAUSE, self._turn)
        else:
            self._waiting.clear()
            self._turning = False

    def _judge(self, call: Call, name: str) -> None:
        """Move a call, unless its node is there and knows it."""
        node = self._nodes.named(name)
        if node is None or call in self._moving or not self._is_at(call, name):
            return
        self._moving[call] = self.clock.seconds()
        if self._nodes.is_up(node):
            asked = self._query(call, name)
            asked.addCallbacks(lambda _: self.over(call), self._unknown, errbackArgs=(call, name)).addErrback(self.broken, call)
        else:
            self._begin(call)

    def _unknown(self, failure: Failure, call: Call, name: str) -> None:
        if not failure.check(ng.UnknownCall, ng.NoAnswer) or not self._is_at(call, name):
            self.over(call)
            return
        held = self.core.media_control.held.get(call.media_call or call.call_id)
        dialog = held.dialogs.get((call.from_tag, call.to_tag)) if held is not None else None
        if dialog is None or not any(form.form is MediaForm.WEBRTC for form in dialog.forms.values()):
            self._begin(call, True)
            return
        agreed = dialog.agreed

        def waited() -> None:
            if dialog.agreed is agreed and self._is_at(call, name):
                self._begin(call, True)
            else:
                # The page has mended it itself.
                self.over(call)

        self.clock.callLater(ICE_SECONDS, waited)

    def _begin(self, call: Call, anew: bool = False) -> None:
        Move(self, call, self._moving[call], anew).begin()

    def broken(self, failure: Failure, call: Call) -> None:
        """An error of this code."""
        self.over(call)
        _log.failure("moving the media of {call_id}", failure, call_id=call.call_id)

    def over(self, call: Call) -> None:
        """Nothing is under way with a call any more."""
        self._moving.pop(call, None)

    def running(self, call: Call) -> bool:
        """Whether a call is up still, and this server too."""
        return bool(self.dialogs.running) and call.state is CONFIRMED


class Move:
    """One call on its way.

    Args:
        moves: All of them.
        call: The call.
        since: The clock's second at which it was known to be without media.
        anew: Its node is there, and has forgotten it.
    """

    def __init__(self, moves: MediaMoves, call: Call, since: float, anew: bool) -> None:
        self._moves = moves
        self._call = call
        self._since = since
        self._anew = anew
        self._tries = 0
        self._media: Reoffer | None = None

    def begin(self) -> None:
        """Offer it to its ends; once more after a while, where one is making an offer itself."""
        call, core = self._call, self._moves.core
        ends = call.ends
        held = core.media_control.held.get(call.media_call or call.call_id)
        if not self._moves.running(call):
            self._moves.over(call)
            return
        if ends is None or held is None:
            self._fail("its ends aren't known")
            return
        try:
            media = Reoffer(core.media_control, held, (call.from_tag, call.to_tag), self._anew)
        except MediaError as error:
            if error.status == 491:
                self._again(error.words)
            else:
                self._fail(error.words)
            return
        first, second = ends.party(media.first), ends.party(media.second)
        if first is None or second is None:
            self._fail("its ends aren't known")
            return
        self._media = media
        offered = media.begin()
        offered.addCallback(lambda body: self._invite(ends, first, body))
        offered.addCallback(lambda said: media.answered(*said))
        offered.addCallback(lambda body: self._invite(ends, second, body))
        offered.addCallback(lambda said: media.settled(*said))
        offered.addCallbacks(lambda _: self._moved(media), self._refused, errbackArgs=(media,))
        offered.addErrback(self._moves.broken, call)

    def _invite(self, ends: Ends, party: Party, body: bytes) -> Deferred[tuple[bytes, str]]:
        """Offer it to one end.

        Returns:
            SDP of its answer, and where that came from; fails with _Refusal.
        """
        if not self._moves.running(self._call):
            raise _Refusal(0, "the call has ended")
        answered: Deferred[tuple[bytes, str]] = Deferred()

        def done(response: SipResponse | None) -> None:
            part = find_sdp(response) if response is not None and response.status < 300 and response.body else None
            if response is None:
                way = "doesn't answer" if invite.sent else "can't be reached"
                answered.errback(_Refusal(480 if invite.sent else 430, f"{party.address} {way}"))
            elif part is None:
                answered.errback(_Refusal(response.status, f"{party.address} says {response.status}"))
            else:
                if "session-expires" in response:
                    self._moves.dialogs.refreshed(self._call, response)
                answered.callback((part.of(response.body), invite.source))

        invite = Reinvite(self._moves.core, self._call, ends, party, done, self._moves.provider_of(party.side.key))
        invite.offer(body)
        return answered

    def _moved(self, media: Reoffer) -> None:
        media.end()
        call, moves = self._call, self._moves
        moves.over(call)
        moves.seconds = moves.clock.seconds() - self._since
        moves.core.counters["moved_media"] += 1
        call.moves += 1
        call.node, call.media_place = media.node, moves.core.media.place(media.node)
        _log.info(
            "{call_id}: its media was at {old} and is at {new}, {seconds:.1f} s later", call_id=call.call_id, old=media.place,
            new=call.media_place, seconds=moves.seconds,
        )  # fmt: skip

    def _refused(self, failure: Failure, media: Reoffer) -> None:
        media.end()
        error = failure.value
        if media.changed or not self._moves.running(self._call):
            # The ends have mended it themselves, or hung up.
            self._moves.over(self._call)
        elif isinstance(error, MediaError):
            self._moves.over(self._call)
            _log.warn("{call_id}: its media can't be moved: {why}", call_id=self._call.call_id, why=error.blame)
        elif not isinstance(error, _Refusal):
            self._moves.broken(failure, self._call)
        elif error.status in AGAIN:
            self._again(str(error))
        else:
            self._fail(str(error), error.status in GONE)

    def _again(self, why: str) -> None:
        """RFC 3261 §14.1: who doesn't own the Call-ID tries again within 2 s, who does later; this server is neither."""
        self._tries += 1
        if self._tries >= MOST_TRIES:
            self._fail(why)
            return
        self._moves.clock.callLater(0.5 + 2.0 * self._moves.random.random(), self._once_more)

    def _once_more(self) -> None:
        if self._media is not None and self._media.changed:
            self._moves.over(self._call)
        else:
            self.begin()

    def _fail(self, why: str, at_once: bool = False) -> None:
        """It can't be: an end that has heard nothing for so long is told so."""
        moves, call, media = self._moves, self._call, self._media
        moves.core.counters["unmoved_media"] += 1
        _log.warn("{call_id}: its media can't be moved: {why}", call_id=call.call_id, why=why)
        if media is None or not (moves.lost_seconds or at_once):
            moves.over(call)
            return

        def end() -> None:
            moves.over(call)
            if moves.running(call) and not media.changed:
                moves.dialogs.lost += 1
                moves.dialogs.end(call.call_id, call.from_tag, call.to_tag, NO_MEDIA, LOST)

        left = 0.0 if at_once else max(0.0, self._since + moves.lost_seconds - moves.clock.seconds())
        moves.clock.callLater(left, end)


class _Refusal(Exception):
    """An end took no offer; a status of 0 is none."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
