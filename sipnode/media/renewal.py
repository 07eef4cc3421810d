"""The relay set back to what two ends have agreed on: after an offer that was refused, or when one of several answers has gone.

Implements: RFC 3261 §14.1, RFC 3264 §8. The invariant: nobody waits for it, and a call that ends meanwhile leaves nothing there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from sipnode.errors import MediaError
from sipnode.media.names import media_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from sipnode.interfaces import IMediaRelay
    from sipnode.media.calls import DialogMedia, HeldCall, Pair, Round
    from sipnode.records import MediaKey, MediaProfile

_log: Final = Logger(namespace="sipnode.media")


def whole(held: HeldCall) -> MediaKey:
    """All of a call."""
    return media_key(held.name, held.call_id, "", "", "", held.node)


def again(relay: IMediaRelay, held: HeldCall, pair: Pair) -> None:
    """The caller talks to this dialog alone: what another answered has gone."""
    agreed = held.dialogs[pair].agreed
    held.latest = None
    if agreed is not None:
        _renew(relay, held, agreed, relay.answer, agreed.answer, agreed.answer_profile, agreed.via_branch)


def undo(relay: IMediaRelay, held: HeldCall, dialog: DialogMedia) -> None:
    """An offer inside a dialog was refused: the relay goes back to what was agreed (RFC 3261 §14.1)."""
    agreed, dialog.shaken = dialog.agreed, False
    if held.over:
        return
    if agreed is None:
        _log.info("{call_id}: a refused offer stays at the relay, what was agreed before isn't known", call_id=held.call_id)
        return
    renewed = _renew(relay, held, agreed, relay.offer, agreed.offer, agreed.offer_profile, "")

    def answer(done: bool) -> None:
        if done and not held.over and not dialog.open:
            _renew(relay, held, agreed, relay.answer, agreed.answer, agreed.answer_profile, "")

    renewed.addCallback(answer)


def _renew(
    relay: IMediaRelay, held: HeldCall, agreed: Round, ask: Callable[[MediaKey, bytes, MediaProfile], Deferred[bytes]], body: bytes,
    profile: MediaProfile, via_branch: str,
) -> Deferred[bool]:  # fmt: skip
    key = media_key(held.name, held.call_id, agreed.offerer, agreed.answerer, via_branch, agreed.node)

    def lost(failure: Failure) -> bool:
        failure.trap(MediaError)
        why = failure.value.blame if isinstance(failure.value, MediaError) else ""
        _log.warn("{call_id}: media can't be set back: {why}", call_id=held.call_id, why=why)
        return False

    def done(_: bytes) -> bool:
        if held.over:
            relay.delete(whole(held))
        return True

    return ask(key, body, profile).addCallbacks(done, lost)
