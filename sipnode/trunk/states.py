"""Our registration at a trunk as a machine: a table, how long to wait, and what a 200 grants. Pure.

Implements: RFC 3261 §10.2 (a client's REGISTER), RFC 5626 §4.5 (waiting longer after each failure).
The invariant: whatever a registrar answers, there is a wait between two attempts, and an attempt is at most three REGISTERs.
"""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sipnode.errors import ParseError
from sipnode.sip.address import NameAddr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sipnode.sip.message import SipResponse


class State(IntEnum):
    """Where a registration stands."""

    IDLE = 0
    ASKING = 1
    """A REGISTER is under way."""
    PROVING = 2
    """One with our credentials is."""
    PROVING_ANEW = 3
    """One more, since the nonce was too old."""
    REGISTERED = 4
    WAITING = 5
    """It failed, and is tried again later."""
    ENDED = 6


class Event(IntEnum):
    """Events of a trunk."""

    START = 0
    CHALLENGED = 1
    """401 or 407 that we can answer."""
    STALE = 2
    """The same, as the nonce was too old."""
    GRANTED = 3
    REFUSED = 4
    """Any other final answer."""
    LOST = 5
    """There was no answer, or no way to ask."""
    DUE = 6
    STOP = 7


class Action(IntEnum):
    """Actions that follow."""

    SEND = 0
    PROVE = 1
    KEEP = 2
    """Note it, and come back before it ends."""
    BACK_OFF = 3
    LEAVE = 4
    """Take the binding back."""


Step = tuple[State, tuple[Action, ...]]
_FAILED: Final[Step] = (State.WAITING, (Action.BACK_OFF,))
_KEPT: Final[Step] = (State.REGISTERED, (Action.KEEP,))
_ASKED: Final[Step] = (State.ASKING, (Action.SEND,))

TABLE: Final[Mapping[tuple[State, Event], Step]] = MappingProxyType(
    {
        (State.IDLE, Event.START): _ASKED,
        (State.IDLE, Event.STOP): (State.ENDED, ()),
        (State.ASKING, Event.CHALLENGED): (State.PROVING, (Action.PROVE,)),
        (State.ASKING, Event.STALE): (State.PROVING, (Action.PROVE,)),
        (State.ASKING, Event.GRANTED): _KEPT,
        (State.ASKING, Event.REFUSED): _FAILED,
        (State.ASKING, Event.LOST): _FAILED,
        (State.PROVING, Event.CHALLENGED): _FAILED,
        (State.PROVING, Event.STALE): (State.PROVING_ANEW, (Action.PROVE,)),
        (State.PROVING, Event.GRANTED): _KEPT,
        (State.PROVING, Event.REFUSED): _FAILED,
        (State.PROVING, Event.LOST): _FAILED,
        (State.PROVING_ANEW, Event.CHALLENGED): _FAILED,
        (State.PROVING_ANEW, Event.STALE): _FAILED,
        (State.PROVING_ANEW, Event.GRANTED): _KEPT,
        (State.PROVING_ANEW, Event.REFUSED): _FAILED,
        (State.PROVING_ANEW, Event.LOST): _FAILED,
        (State.REGISTERED, Event.DUE): _ASKED,
        (State.REGISTERED, Event.STOP): (State.ENDED, (Action.LEAVE,)),
        (State.WAITING, Event.DUE): _ASKED,
        (State.WAITING, Event.STOP): (State.ENDED, ()),
        (State.ASKING, Event.STOP): (State.ENDED, (Action.LEAVE,)),
        (State.PROVING, Event.STOP): (State.ENDED, (Action.LEAVE,)),
        (State.PROVING_ANEW, Event.STOP): (State.ENDED, (Action.LEAVE,)),
    }
)
"""``(state, event)`` to the next state and what is to be done; what isn't here is ignored: an answer that comes too late, mostly."""

FIRST_WAIT: Final = 5.0
REFUSED_WAIT: Final = 60.0
"""After a refusal: a wrong password isn't tried so often that an account is locked for it."""
LONGEST_WAIT: Final = 1800.0
MOST_RETRY_AFTER: Final = 3600
LEAST_REFRESH: Final = 10.0


def wait_seconds(failures: int, refused: bool, retry_after: int, chance: float) -> float:
    """How long to wait before the next attempt.

    Args:
        failures: In a row, from 1. refused: By an answer.
        retry_after: Seconds of Retry-After, 0 for none.
        chance: 0..1, so that many don't come back at the same time.
    """
    first = REFUSED_WAIT if refused else FIRST_WAIT
    most = min(LONGEST_WAIT, first * 2.0 ** min(failures - 1, 20))
    return max(most * (0.5 + chance / 2), float(min(retry_after, MOST_RETRY_AFTER)))


def refresh_seconds(granted: int) -> float:
    """When to come back, in seconds: before it ends, with time for some attempts."""
    return max(LEAST_REFRESH, granted * 0.8)


def granted_seconds(response: SipResponse, contact: str, asked: int) -> int:
    """For how long a 200 registers us, at most what was asked for; 0 where it doesn't.

    Args:
        contact: The URI that was registered.
    """
    general = _seconds(response.get("expires"), asked)
    try:
        for value in response.values("contact")[:100]:
            one = NameAddr.parse(value)
            if one.uri_text == contact:
                return min(asked, _seconds(one.params.get("expires"), general))
    except ParseError:
        pass
    return min(asked, general)


def brief_seconds(response: SipResponse, asked: int, most: int = 86400) -> int:
    """For how long to ask after a 423: what Min-Expires says, if that can be."""
    return min(max(asked, _seconds(response.get("min-expires"), asked)), most)


def retry_after(response: SipResponse) -> int:
    """Seconds of Retry-After, 0 for none that can be read."""
    return _seconds((response.get("retry-after") or "").partition(";")[0].partition("(")[0], 0)


def _seconds(text: str | None, otherwise: int) -> int:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else otherwise
