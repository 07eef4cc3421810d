"""Answers for a branch that couldn't be sent: one place that turns errors into final responses.

Pure. Implements: RFC 3261 §16.6 (a branch that fails counts as its response), §20.43 (Warning).
"""

from __future__ import annotations

from typing import Final

from sipnode.errors import MediaError, NoRoute, ParseError, Reject

SILENT: Final = "callee, who gave no answer in time"


def blame_of(error: BaseException | None) -> str:
    """The party behind such an answer, and why: for the log, where names of ours may stand."""
    if isinstance(error, MediaError):
        return error.blame
    if isinstance(error, (NoRoute, ParseError, Reject)):
        return f"server, {error.reason or error.status}"
    return "server, by an error of its own"


def answer_to(error: BaseException | None) -> tuple[int, str, tuple[tuple[str, str], ...]] | None:
    """``(status, reason phrase, headers)`` of the response that an error stands for; None where the code itself is at fault.

    The reason of a NoRoute stays inside: it may name addresses of ours.
    """
    if isinstance(error, Reject):
        return error.status, error.reason, error.headers
    if isinstance(error, MediaError):
        text = error.reason.replace("\\", "").replace('"', "'")
        headers = (("warning", f'399 sipnode "{text}"'),)
        return error.status, "", (*headers, ("retry-after", "5")) if error.status == 503 else headers
    if isinstance(error, NoRoute):
        return error.status, error.told, ()
    if isinstance(error, ParseError):
        return error.status, "", ()
    return None
