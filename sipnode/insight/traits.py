"""Words that say what a recorded call was like, for lists and filters: ``problems``, ``one-way``, ``slow-setup``, ``nat``. Pure.

Nothing is parsed but the call's first message, so that thousands of records can be looked through.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sipnode.acc.quality import least_mos
from sipnode.errors import ParseError
from sipnode.insight.recorder import GOOD
from sipnode.insight.ring import BROKEN, ENDED, HANDSHAKE, MEASURED, MESSAGES, RECEIVED, RESENT, SENT
from sipnode.insight.rules.media import LEAST_TALK
from sipnode.insight.story import message_of
from sipnode.tables import clean

if TYPE_CHECKING:
    from sipnode.insight.ring import Event, Record
    from sipnode.sip.message import SipRequest, SipResponse

PROBLEMS: Final = "problems"
LIVE: Final = "live"
FAILED: Final = "failed"
ONE_WAY: Final = "one-way"
NO_AUDIO: Final = "no-audio"
BAD_SOUND: Final = "bad-sound"
SLOW: Final = "slow-setup"
NAT: Final = "nat"
REPEATS: Final = "repeats"
BROKEN_WORD: Final = "unreadable"
WORDS: Final = (PROBLEMS, LIVE, FAILED, ONE_WAY, NO_AUDIO, BAD_SOUND, SLOW, NAT, REPEATS, BROKEN_WORD)
"""In the order in which they are shown."""
SLOW_SECONDS: Final = 3.0
"""Until a caller hears that it rings; ITU-T E.721 has 3 s as the mean for a local call."""
POOR_MOS: Final = 3.1
"""Below it nearly all users are dissatisfied (ITU-T G.107 annex B)."""
_ADDRESS: Final = re.compile(r"\[?[0-9a-fA-F:.]+\]?")
_BAD: Final = frozenset((FAILED, ONE_WAY, NO_AUDIO))


class Opening(NamedTuple):
    """What the first message of a record says, which never changes.

    Attributes:
        method, caller, callee: "" where it can't be read.
        transport, place: How it came, and from where.
        natted: It names another address than it came from.
    """

    method: str
    caller: str
    callee: str
    transport: str
    place: str
    natted: bool


def opening_of(record: Record) -> Opening:
    """Of a record that has events."""
    first = next((event for event in record.events if event[1] in MESSAGES), None)
    if first is None:
        return _without(record)
    host, port = first[5]
    transport, place = str(first[3]).lower(), f"{f'[{host}]' if ':' in host else host}:{port}"
    message = message_of(first[2])
    if message is None:
        return Opening("", "", "", transport, place, False)
    try:
        caller, callee, method = clean(message.from_.uri.aor), clean(message.to.uri.aor), clean(message.cseq_method)
    except ParseError:
        caller = callee = method = ""
    return Opening(method, caller, callee, transport, place, first[1] == RECEIVED and _natted(message, host))


def _without(record: Record) -> Opening:
    """Of a record without any message: of its first event only the flow is known, if that."""
    event = record.events[0] if record.events else ()
    if len(event) > 4 and isinstance(event[4], tuple):
        host, port = event[4]
        # A WebSocket that was refused: what is asked for is the Host.
        kind, asked = ("WEBSOCKET", clean(str(event[5]))) if event[1] == HANDSHAKE else ("", "")
        return Opening(kind, "", asked, clean(str(event[2])).lower(), f"{host}:{port}", False)
    return Opening("", "", "", "", "", False)


def _natted(message: SipRequest | SipResponse, host: str) -> bool:
    """Whether a message names an address as its own that it didn't come from; names, as browsers have, tell nothing."""
    try:
        named = message.via.host.strip("[]")
    except ParseError:
        return False
    return bool(_ADDRESS.fullmatch(named)) and named != host.strip("[]")


def setup_seconds(record: Record) -> float:
    """Seconds from the first message until the caller was told that it rings, or a final answer; -1 while that isn't so."""
    events = record.events
    if not events or record.left_out or events[0][1] != RECEIVED:
        return -1.0
    for event in events:
        if event[1] == SENT and event[2].startswith(b"SIP/2.0 ") and event[5] == events[0][5]:
            status = event[2][8:11]
            if status.isdigit() and int(status) >= 180 and status not in (b"401", b"407"):
                return float(event[0] - events[0][0])
    return -1.0


def traits(record: Record, opening: Opening, setup: float) -> list[str]:
    """The words that fit a record."""
    found: set[str] = set()
    if record.live:
        found.add(LIVE)
    if record.outcome and record.outcome not in GOOD:
        found.add(FAILED)
    if setup > SLOW_SECONDS:
        found.add(SLOW)
    if opening.natted:
        found.add(NAT)
    heard: Event = ()
    talk = 0.0
    for event in record.events:
        kind = event[1]
        if kind == MEASURED:
            heard = event
        elif kind == ENDED:
            talk = event[0] - event[7] if event[7] else 0.0
        elif kind == RESENT:
            found.add(REPEATS)
        elif kind == BROKEN:
            found.add(BROKEN_WORD)
    if heard and talk >= LEAST_TALK:
        found.update(_heard(heard))
    if found & _BAD:
        found.add(PROBLEMS)
    return [word for word in WORDS if word in found]


def _heard(event: Event) -> list[str]:
    legs = list(event[2])
    silent = sum(not leg.packets for leg in legs)
    words = []
    if len(legs) > 1 and silent == len(legs):
        words.append(NO_AUDIO)
    elif silent:
        words.append(ONE_WAY)
    if 0 < least_mos(legs) < POOR_MOS:
        words.append(BAD_SOUND)
    return words


