"""The party behind the refusal of a call, and its reason, for the log. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipnode.dialog.request import Request


def blame(ctx: Request, status: int, by: str) -> tuple[str, str]:
    """``caller``, ``callee``, ``media node NAME`` or ``server``; and which rule or stage, or the reason, "" for none.

    Args:
        ctx: The INVITE. A branch of its fork decided, or the stage of the script that it is in.
        status: Of the refusal.
        by: Which rule or stage of ours refused it, "" where that isn't known.
    """
    if by:
        return "server", by
    if ctx.fork is not None and ctx.fork.blame:
        who, _, why = ctx.fork.blame.partition(", ")
        return who, why
    return ("caller", "") if status == 487 else ("server", f"stage {ctx.decided_by()}")
