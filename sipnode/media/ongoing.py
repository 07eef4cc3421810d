"""The media of a call that is up, as a script or an operator works on it: recording, playing, digits, blocking, copies.

The invariant: an order goes to the node that has the call, under the relay's own name for it; nobody else's call can be meant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import urandom
from typing import TYPE_CHECKING, Final, NamedTuple

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from sipnode.errors import MediaError
from sipnode.interfaces import IMediaCommands
from sipnode.media import flags, incall, ng
from sipnode.media.names import media_key

if TYPE_CHECKING:
    from sipnode.interfaces import IMediaRelay
    from sipnode.media.bencode import Command, Value
    from sipnode.media.calls import Exchange

CALLER: Final = "caller"
CALLEE: Final = "callee"
BOTH: Final = "both"
PARTIES: Final = (CALLER, CALLEE, BOTH)


class Subscription(NamedTuple):
    """A copy of a call's media that waits for its answer.

    Attributes:
        to_tag: Names it.
        sdp: The offer, ``sendonly``, for the one who gets it.
        parties: Whose media it is, in the order of their m-lines.
    """

    to_tag: str
    sdp: bytes
    parties: list[str]


class OngoingMedia:
    """One call.

    Each method is an order whose Deferred fires when the node has done it and fails with MediaError: 400 for what can't be, 404 for a call
    that the node doesn't have, 501 for a relay that can't, 503 for a node that is silent.

    Args:
        relay: Who carries it.
        name: The relay's name of the call, "" where that is the Call-ID.
        call_id: Its Call-ID.
        node: Of the relay.
        tags: Of caller and callee.
    """

    def __init__(self, relay: IMediaRelay, name: str, call_id: str, node: str, tags: tuple[str, str]) -> None:
        self._commands: IMediaCommands | None = IMediaCommands(relay, None)
        self._tags = tags
        self._key = media_key(name, call_id, *tags, "", node)

    # -- recording

    def start_recording(self, metadata: str = "") -> Deferred[None]:
        """Record the call, or go on after a pause.

        A daemon without ``--recording-dir`` says yes, and records nothing. Where it runs on this machine that is seen, and fails with 501
        and a sentence; the call goes on, and its record says so. Elsewhere its own log has it.

        Args:
            metadata: ``key:value|key:value`` that the recording's metadata gets.
        """
        return self._done(lambda call: incall.start_recording(call, metadata))

    def stop_recording(self) -> Deferred[None]:
        """End the recording; a later one makes files of its own."""
        return self._done(incall.stop_recording)

    def pause_recording(self) -> Deferred[None]:
        """Leave out what is said until ``start_recording()``; 501 from a daemon before 11.3, which goes on recording."""
        return self._done(incall.pause_recording)

    # -- playing

    def play_media(self, file: str, to: str = BOTH, times: int = 1) -> Deferred[int]:
        """Play a file, beside what the other end says: ``block_media()`` that first, since a phone can't tell the two apart.

        Args:
            file: Path on the daemon's machine; never let a caller choose it.
            to: Who hears it: ``caller``, ``callee`` or ``both``.
            times: How often.

        Returns:
            Milliseconds that it takes once, 0 where the daemon can't tell.
        """
        asked = self._ask(lambda call: incall.play_media(call, self._tag(to), file, times))

        def lasting(reply: dict[bytes, Value]) -> int:
            duration = reply.get(b"duration")
            return duration if isinstance(duration, int) else 0

        return asked.addCallback(lasting)

    def stop_media(self, to: str = BOTH) -> Deferred[None]:
        """End what is played."""
        return self._done(lambda call: incall.stop_media(call, self._tag(to)))

    # -- digits, silence

    def play_dtmf(self, digits: str, sender: str, milliseconds: int = 250, pause: int = 100) -> Deferred[None]:
        """Have the other end hear digits.

        Offer and answer need the flag word ``inject-DTMF``.

        Args:
            digits: One after the other, at most 64.
            sender: Who seems to press them: ``caller`` or ``callee``.
            milliseconds: Length of each. pause: After each.
        """
        if not 0 < len(digits) <= incall.MOST_DIGITS:
            return fail(MediaError(f"from 1 to {incall.MOST_DIGITS} digits", 400))
        try:
            tag = self._tag(sender)
            orders = [incall.play_dtmf(self._key.call_id, tag, digit, milliseconds, pause) for digit in digits.upper()]
        except MediaError as error:
            return fail(error)
        return self._in_turn(orders)

    def block_dtmf(self, sender: str = BOTH) -> Deferred[None]:
        """Keep the digits of an end from the other (RFC 4733 events; digits as tones are media)."""
        return self._blocking("block DTMF", sender)

    def unblock_dtmf(self, sender: str = BOTH) -> Deferred[None]:
        """Let them pass again."""
        return self._blocking("unblock DTMF", sender)

    def block_media(self, sender: str = BOTH) -> Deferred[None]:
        """Let nothing pass that an end sends, but for its digits."""
        return self._blocking("block media", sender)

    def unblock_media(self, sender: str = BOTH) -> Deferred[None]:
        """Let it pass again."""
        return self._blocking("unblock media", sender)

    def silence_media(self, sender: str = BOTH) -> Deferred[None]:
        """Pass silence in place of what an end sends; G.711 and G.722 alone."""
        return self._blocking("silence media", sender)

    def unsilence_media(self, sender: str = BOTH) -> Deferred[None]:
        """Let it be heard again."""
        return self._blocking("unsilence media", sender)

    # -- copies

    def subscribe_request(self, of: str = BOTH, words: str = "") -> Deferred[Subscription]:
        """Offer a copy of what ends send.

        Args:
            of: Whose media: ``caller``, ``callee`` or ``both``, each an m-line of its own.
            words: Flag words for the offer, as ``"ICE=remove RTP/AVP"``.

        Raises:
            ConfigError: a word that is none.
        """
        fields, to_tag = flags.parse(words, True).fields, urandom(8).hex()

        def command(call: str) -> Command:
            tag = self._tag(of)
            return incall.subscribe_request(call, [tag] if tag else [self._key.from_tag, self._key.to_tag], to_tag, fields)

        def offered(reply: dict[bytes, Value]) -> Subscription:
            sdp, tags = reply.get(b"sdp"), reply.get(b"from-tags")
            if not isinstance(sdp, bytes) or not sdp:
                raise MediaError("the media node gave no SDP back", 500)
            return Subscription(to_tag, sdp, [self.party(tag) for tag in tags] if isinstance(tags, list) else [])

        return self._ask(command).addCallback(offered)

    def subscribe_answer(self, to_tag: str, sdp: bytes, words: str = "") -> Deferred[None]:
        """Have the copy sent to where an answer says.

        Args:
            to_tag: Of the subscription.
            sdp: Of the one who gets it; the copy goes to whatever address it says.
            words: Flag words; ``allow-transcoding`` where it takes fewer codecs than were offered.

        Raises:
            ConfigError: a word that is none.
        """
        fields = flags.parse(words, True).fields
        return self._done(lambda call: incall.subscribe_answer(call, to_tag, sdp, fields))

    def unsubscribe(self, to_tag: str) -> Deferred[None]:
        """End a copy."""
        return self._done(lambda call: incall.unsubscribe(call, to_tag))

    # -- numbers

    def query(self) -> Deferred[dict[bytes, Value]]:
        """All that the node knows of it, as decoded; `sipnode.acc.quality` reads it."""
        return self._ask(ng.query)

    def party(self, tag: object) -> str:
        """Name of an end by its tag, in SIP or at the relay: ``caller``, ``callee``, or "" for another one."""
        text = tag.decode("utf-8", "replace") if isinstance(tag, bytes) else tag
        if text in (self._key.from_tag, self._tags[0]):
            return CALLER
        return CALLEE if text in (self._key.to_tag, self._tags[1]) else ""

    # --

    def _tag(self, party: str) -> str:
        if party not in PARTIES:
            raise MediaError("an end is caller, callee or both", 400)
        return self._key.from_tag if party == CALLER else self._key.to_tag if party == CALLEE else ""

    def _blocking(self, command: str, sender: str) -> Deferred[None]:
        return self._done(lambda call: incall.blocking(command, call, self._tag(sender)))

    def _in_turn(self, orders: Sequence[Command]) -> Deferred[None]:
        """Orders that have to arrive in this order."""
        first, rest = self._send(orders[0]), orders[1:]
        return first.addCallback(lambda _: self._in_turn(rest) if rest else None)

    def _done(self, command: Callable[[str], Command]) -> Deferred[None]:
        return self._ask(command).addCallback(lambda _: None)

    def _ask(self, command: Callable[[str], Command]) -> Deferred[dict[bytes, Value]]:
        try:
            return self._send(command(self._key.call_id))
        except MediaError as error:
            return fail(error)

    def _send(self, command: Command) -> Deferred[dict[bytes, Value]]:
        if self._commands is None:
            return fail(MediaError("this media relay does nothing with a call but carry it", 501))
        asked: Deferred[dict[bytes, Value]] = self._commands.command(self._key, command)
        return asked.addErrback(_in_words, str(command["command"]))


def ongoing_of(relay: IMediaRelay, exchange: Exchange, to_tag: str) -> OngoingMedia:
    """The dialog that a message of an exchange with the relay belongs to.

    Args:
        to_tag: Of its To.
    """
    held = exchange.held
    return OngoingMedia(relay, held.name, held.call_id, exchange.node, exchange.pair(to_tag))


def _in_words(failure: Failure, command: str) -> Failure:
    """A daemon that is too old, or that has lost the call, says so in a way that can be told from a fault."""
    if isinstance(failure.value, ng.UnknownCall):
        failure.value.status = 404
    elif isinstance(failure.value, MediaError) and failure.value.words.startswith("Unrecognized command"):
        failure.value.status = 501
        failure.value.words = f"this rtpengine has no {command!r}" + (": it came with 11.3" if command == "pause recording" else "")
    return failure
