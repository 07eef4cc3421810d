"""Questions to others on behalf of a call, told to the tap: the question, and the answer when it comes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from sipnode.errors import Reject

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from sipnode.base.tap import Tap

Answer = TypeVar("Answer")


def told(
    tap: Tap,
    seconds: Callable[[], float],
    call_id: str,
    whom: str,
    what: str,
    asked: Deferred[Answer],
    parts: Callable[[Answer], tuple[object, ...]],
) -> Deferred[Answer]:
    """Tell the tap of a question that was just asked, and of its answer.

    Args:
        whom, what: See :meth:`sipnode.base.tap.Watcher.asked`.
        asked: Fires with the answer, or fails.
        parts: What to tell of a good answer.

    Returns:
        The same Deferred, with the same result.
    """
    watcher = tap.on_asked
    if watcher is not None:
        watcher.asked(seconds(), call_id, whom, what)
    if tap.on_answered is None:
        return asked

    def good(result: Answer) -> Answer:
        watcher = tap.on_answered
        if watcher is not None:
            watcher.answered(seconds(), call_id, whom, what, "", parts(result))
        return result

    def bad(failure: Failure) -> Failure:
        watcher = tap.on_answered
        if watcher is not None:
            if failure.check(Reject):
                # The answer refuses the request; nothing is wrong with whom was asked.
                watcher.answered(seconds(), call_id, whom, what, "", ())
                return failure
            # The party to blame, where the error names it, tells more than what the caller is told.
            fault = getattr(failure.value, "blame", "") or failure.getErrorMessage() or type(failure.value).__name__
            watcher.answered(seconds(), call_id, whom, what, fault, ())
        return failure

    return asked.addCallbacks(good, bad)
