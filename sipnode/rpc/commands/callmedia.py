"""rtpengine.*, of calls that are up: their numbers, recording, playing, digits, blocking, copies.

Kamailio has these for its script; here an operator has them too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sipnode.errors import ConfigError, MediaError, RpcError
from sipnode.rpc.registry import rpc

if TYPE_CHECKING:
    from sipnode.rpc.parts import Parts


class Leg(TypedDict):
    party: str
    address: str
    packets: int
    octets: int
    lost: float
    jitter: float
    mos: float


class Done(TypedDict):
    call_id: str


class Playing(TypedDict):
    call_id: str
    duration: int


class Copy(TypedDict):
    call_id: str
    to_tag: str
    sdp: str
    parties: list[str]


class CallMediaCommands:
    """rtpengine.*, of calls

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @rpc("rtpengine.query")
    def query(self, call_id: str, from_tag: str = "") -> Deferred[list[Leg]]:
        """The quality of what each end of a call sends.

        ``lost`` is in percent and ``jitter`` in milliseconds, as the receivers report; ``mos`` is the mean opinion score, 0 where nobody
        has reported yet. ``party`` is ``caller`` or ``callee``.

        Args:
            from_tag: Of either end, where several calls have the Call-ID.
        """
        media = self._media(call_id, from_tag)

        def told(reply: Any) -> list[Leg]:
            return [_leg(leg, media.party(leg["tag"])) for leg in self._parts.quality(reply)]

        asked: Deferred[Any] = media.query()
        return asked.addCallbacks(told, _refused)

    @rpc("rtpengine.start_recording", changes=True)
    def start_recording(self, call_id: str, metadata: str = "", from_tag: str = "") -> Deferred[Done]:
        """Record a call, or go on after a pause.

        501 where rtpengine runs on this machine and has no ``--recording-dir``: the call goes on unrecorded, and its record says so. On
        another machine it says yes all the same, and only its own log tells.

        Args:
            metadata: ``key:value|key:value`` for the recording's metadata.
            from_tag: Of either end, where several calls have the Call-ID.
        """
        return self._done(call_id, self._media(call_id, from_tag).start_recording(metadata))

    @rpc("rtpengine.stop_recording", changes=True)
    def stop_recording(self, call_id: str, from_tag: str = "") -> Deferred[Done]:
        """End the recording of a call."""
        return self._done(call_id, self._media(call_id, from_tag).stop_recording())

    @rpc("rtpengine.pause_recording", changes=True)
    def pause_recording(self, call_id: str, from_tag: str = "") -> Deferred[Done]:
        """Leave out what is said until the next ``rtpengine.start_recording``.

        An rtpengine before 11.3 can't, which is a 501, and goes on recording.
        """
        return self._done(call_id, self._media(call_id, from_tag).pause_recording())

    @rpc("rtpengine.play_media", changes=True)
    def play_media(self, call_id: str, file: str, to: str = "both", times: int = 1, from_tag: str = "") -> Deferred[Playing]:
        """Play a file to an end of a call, or both; ``duration`` is in milliseconds, 0 where it isn't known.

        What the other end says goes on beside it, and a phone can't tell the two apart: ``rtpengine.block_media`` that first.

        Args:
            file: Path on rtpengine's machine.
            to: ``caller``, ``callee`` or ``both``.
        """
        asked: Deferred[Any] = self._media(call_id, from_tag).play_media(file, to, times)
        return asked.addCallbacks(lambda duration: Playing(call_id=call_id, duration=duration), _refused)

    @rpc("rtpengine.stop_media", changes=True)
    def stop_media(self, call_id: str, to: str = "both", from_tag: str = "") -> Deferred[Done]:
        """End what is played."""
        return self._done(call_id, self._media(call_id, from_tag).stop_media(to))

    @rpc("rtpengine.play_dtmf", changes=True, logged=lambda params: [*params[:1], "***", *params[2:]])
    def play_dtmf(self, call_id: str, digits: str, sender: str, from_tag: str = "") -> Deferred[Done]:
        """Have an end hear digits as if the other one had pressed them; the call's offer and answer need the flag word ``inject-DTMF``.

        Args:
            sender: Who seems to press them: ``caller``, ``callee`` or ``both``.
        """
        return self._done(call_id, self._media(call_id, from_tag).play_dtmf(digits, sender))

    @rpc("rtpengine.block_dtmf", changes=True)
    def block_dtmf(self, call_id: str, sender: str = "both", from_tag: str = "") -> Deferred[Done]:
        """Keep the digits that an end sends (RFC 4733 events) from the other."""
        return self._done(call_id, self._media(call_id, from_tag).block_dtmf(sender))

    @rpc("rtpengine.unblock_dtmf", changes=True)
    def unblock_dtmf(self, call_id: str, sender: str = "both", from_tag: str = "") -> Deferred[Done]:
        """Let them pass again."""
        return self._done(call_id, self._media(call_id, from_tag).unblock_dtmf(sender))

    @rpc("rtpengine.block_media", changes=True)
    def block_media(self, call_id: str, sender: str = "both", from_tag: str = "") -> Deferred[Done]:
        """Let nothing pass that an end sends, but for its digits."""
        return self._done(call_id, self._media(call_id, from_tag).block_media(sender))

    @rpc("rtpengine.unblock_media", changes=True)
    def unblock_media(self, call_id: str, sender: str = "both", from_tag: str = "") -> Deferred[Done]:
        """Let it pass again."""
        return self._done(call_id, self._media(call_id, from_tag).unblock_media(sender))

    @rpc("rtpengine.silence_media", changes=True)
    def silence_media(self, call_id: str, sender: str = "both", from_tag: str = "") -> Deferred[Done]:
        """Pass silence in place of what an end sends; G.711 and G.722 alone."""
        return self._done(call_id, self._media(call_id, from_tag).silence_media(sender))

    @rpc("rtpengine.unsilence_media", changes=True)
    def unsilence_media(self, call_id: str, sender: str = "both", from_tag: str = "") -> Deferred[Done]:
        """Let it be heard again."""
        return self._done(call_id, self._media(call_id, from_tag).unsilence_media(sender))

    @rpc("rtpengine.subscribe_request", changes=True)
    def subscribe_request(self, call_id: str, of: str = "both", flags: str = "", from_tag: str = "") -> Deferred[Copy]:
        """Offer a copy of what ends of a call send, to be answered with ``rtpengine.subscribe_answer``.

        Args:
            of: Whose media: ``caller``, ``callee`` or ``both``, each an m-line of ``sdp``.
            flags: Flag words for the offer, as ``ICE=remove RTP/AVP``.
        """
        asked: Deferred[Any] = self._ordered(lambda: self._media(call_id, from_tag).subscribe_request(of, flags))

        def offered(copy: Any) -> Copy:
            return Copy(call_id=call_id, to_tag=copy.to_tag, sdp=copy.sdp.decode("utf-8", "replace"), parties=copy.parties)

        return asked.addCallbacks(offered, _refused)

    @rpc("rtpengine.subscribe_answer", changes=True)
    def subscribe_answer(self, call_id: str, to_tag: str, sdp: str, flags: str = "", from_tag: str = "") -> Deferred[Done]:
        """Have the copy sent to where an answer says.

        Args:
            to_tag: As ``rtpengine.subscribe_request`` says.
            sdp: The answer, of the one who gets the copy.
            flags: ``allow-transcoding`` where it takes fewer codecs than were offered.
        """
        media = self._media(call_id, from_tag)
        return self._done(call_id, self._ordered(lambda: media.subscribe_answer(to_tag, sdp.encode(), flags)))

    @rpc("rtpengine.unsubscribe", changes=True)
    def unsubscribe(self, call_id: str, to_tag: str, from_tag: str = "") -> Deferred[Done]:
        """End a copy."""
        return self._done(call_id, self._media(call_id, from_tag).unsubscribe(to_tag))

    # --

    def _media(self, call_id: str, from_tag: str) -> Any:
        found = [call for call in self._parts.core.dialogs.find(call_id, from_tag) if call.state == "confirmed"]
        if not found:
            raise RpcError(404, "No such call is up")
        if len(found) > 1:
            raise RpcError(400, "Several calls have this Call-ID: give a tag too")
        if not found[0].bridged:
            raise RpcError(404, "No media relay carries this call")
        return self._parts.ongoing_media(found[0])

    @staticmethod
    def _ordered(order: Any) -> Any:
        try:
            return order()
        except ConfigError as error:
            raise RpcError(400, error.reason) from None

    @staticmethod
    def _done(call_id: str, asked: Deferred[Any]) -> Deferred[Done]:
        return asked.addCallbacks(lambda _: Done(call_id=call_id), _refused)


def _leg(leg: dict[str, Any], party: str) -> Leg:
    return Leg(
        party=party, address=leg["address"], packets=leg["packets"], octets=leg["octets"], lost=leg["lost"], jitter=leg["jitter"],
        mos=leg["mos"],
    )  # fmt: skip


def _refused(failure: Failure) -> Any:
    """A node that can't, by its name and in its words."""
    failure.trap(MediaError)
    error = failure.value
    assert isinstance(error, MediaError)
    raise RpcError(error.status, error.words if error.status == 400 else error.blame)
