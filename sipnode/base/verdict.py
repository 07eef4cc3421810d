"""Verdicts of routing stages, and the flags that stages leave each other (the seed's FLT_* and FLB_*).

Flags are plain integers: they are set and tested for every message.
"""

from __future__ import annotations

from collections.abc import Awaitable
from enum import Enum
from typing import Final, TypeAlias


class Verdict(Enum):
    """How a request ended. Every request ends in exactly one."""

    REPLIED = "answered here"
    RELAYED = "sent on; its transaction or the next hop answers"
    ABSORBED = "taken without an answer (CANCEL's INVITE, an ACK that ends here)"
    DROPPED = "thrown away"


DROP: Final = Verdict.DROPPED
"""Result of a stage that throws a request away."""

Step: TypeAlias = "Verdict | Awaitable[Step] | None"
"""Result of a stage: None to go on, a Verdict to stop, or an awaitable of either. So a stage may be an ``async def``."""


class Flag:
    """Flags of a request (``setflag``)."""

    NATS: Final = 1 << 5
    """FLT_NATS: the sender is behind NAT."""
    WS: Final = 1 << 6
    """The request came over a WebSocket."""
    INITIAL: Final = 1 << 7
    """Not inside a dialog."""
    TRUSTED: Final = 1 << 8
    """The sender proved itself, or its address is trusted."""
    PATH: Final = 1 << 9
    """Another node sent it through here by the Path of a binding: what is policy has been decided there."""


class BranchFlag:
    """Flags of a branch (``setbflag``); the first three are kept with a binding."""

    NATB: Final = 1 << 6
    """FLB_NATB: the callee is behind NAT."""
    NATSIPPING: Final = 1 << 7
    """FLB_NATSIPPING: its binding is kept alive by OPTIONS."""
    RTPWS: Final = 1 << 8
    """FLB_RTPWS: one side is a browser and the other isn't."""
    BRIDGE: Final = 1 << 9
    """FLB_BRIDGE: media goes through the relay."""
