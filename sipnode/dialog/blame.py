"""Who is behind the refusal of a call, for the log. Pure."""

from __future__ import annotations

from typing import Any


def blame(core: Any, ctx: Any, status: int) -> str:
    """``caller``, ``callee``, ``media node NAME, REASON`` or ``server, stage NAME``.

    Args:
        core: ``engine`` is used.
        ctx: The INVITE. A branch of its fork decided, or the stage of the script that it is in.
        status: Of the refusal.
    """
    if ctx.fork is not None and ctx.fork.blame:
        decided: str = ctx.fork.blame
        return decided
    return "caller" if status == 487 else f"server, stage {core.engine.stage_of(ctx)}"
