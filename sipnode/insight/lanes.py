"""The lanes of a ladder: who took part in a call, by user and device, and between which of them each event goes. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sipnode.base.tap import DATABASE, DNS, MEDIA
from sipnode.errors import ParseError
from sipnode.insight.ring import ANSWERED, ASKED, BROKEN, CLOSED, DECIDED, ENDED, FACT, HANDSHAKE, MEASURED, RESENT, UNSENT
from sipnode.observe.sentences import DECIDED as DECIDED_STEP
from sipnode.observe.sentences import step
from sipnode.tables import clean

if TYPE_CHECKING:
    from sipnode.acc.quality import Quality
    from sipnode.insight.story import Entry, Story

SERVER: Final = "sipnode"
PEER: Final = "peer"
OUTSIDE: Final = {MEDIA: "rtpengine", DNS: "DNS", DATABASE: "database"}
MOST_LABEL: Final = 160
_PRODUCT: Final = re.compile(r"[^\s/(]+")


@dataclass(slots=True)
class Lane:
    """One who takes part.

    Attributes:
        id: Its number, from the left.
        kind: ``peer``, ``sipnode``, ``media``, ``dns`` or ``database``.
        name: The user, or what it is.
        device: What its messages say that it is (User-Agent, Server), "" for nothing.
        places: ``udp:192.0.2.1:5060`` where it was, in turn.
    """

    id: int
    kind: str
    name: str
    device: str
    places: list[str]

    @property
    def title(self) -> str:
        """Name and device."""
        return f"{self.name} ({self.device})" if self.device else self.name


@dataclass(slots=True)
class Arrow:
    """One event between lanes, or at one.

    Attributes:
        entry: It.
        start, end: Numbers of lanes; the same for what is no message.
        label: What it says, one line.
        room: ``wire``, ``routing``, ``media``, ``dns``, ``database`` and so on.
        lost: It didn't get there.
    """

    entry: Entry
    start: int
    end: int
    label: str
    room: str
    lost: bool


def lanes_of(story: Story) -> tuple[list[Lane], list[Arrow]]:
    """The lanes from left to right, whoever began it first, and every event."""
    peers: dict[str, Lane] = {}
    gone: set[str] = set()
    order: list[Lane] = []
    for entry in story.entries:
        if entry.kind == CLOSED:
            gone.add(entry.place)
        elif entry.is_message or entry.kind == HANDSHAKE:
            _place(entry, peers, order, gone)
    server = Lane(0, SERVER, SERVER, "", [])
    lanes = [*order[:1], server, *order[1:]]
    outside: dict[str, Lane] = {}
    for entry in story.entries:
        if entry.kind in (ASKED, ANSWERED) and entry.parts[0] not in outside:
            whom = entry.parts[0]
            outside[whom] = Lane(0, whom, OUTSIDE.get(whom, clean(whom)), "", [])
    lanes += outside.values()
    for number, lane in enumerate(lanes):
        lane.id = number
    return lanes, [_arrow(entry, peers, outside, server) for entry in story.entries]


def _place(entry: Entry, peers: dict[str, Lane], order: list[Lane], gone: set[str]) -> None:
    lane = peers.get(entry.place)
    device = _device(entry) if entry.incoming else ""
    if lane is not None:
        lane.device = lane.device or device
        lane.name = lane.name or _user(entry)
        return
    user, host = _user(entry), entry.remote[0]
    for other in order:
        if user and other.name == user and other.places[-1] in gone and (other.device == device or f":{host}:" in other.places[-1]):
            # It has come back by another connection.
            other.places.append(entry.place)
            peers[entry.place] = other
            return
    lane = peers[entry.place] = Lane(0, PEER, user, device, [entry.place])
    order.append(lane)


def _user(entry: Entry) -> str:
    """Who is at the other end of a message, as it says."""
    message = entry.message
    if message is None:
        return ""
    # Requests that come and responses that go are for the end that From names, but inside a dialog it may be either.
    try:
        theirs = message.from_ if entry.is_request is entry.incoming else message.to
        uri = theirs.uri
        return clean(uri.user or uri.host)[:60]
    except ParseError:
        return ""


def _device(entry: Entry) -> str:
    found = _PRODUCT.match(entry.header("user-agent") or entry.header("server"))
    return clean(found[0])[:24] if found else ""


def _arrow(entry: Entry, peers: dict[str, Lane], outside: dict[str, Lane], server: Lane) -> Arrow:
    kind = entry.kind
    if entry.is_message:
        peer = peers[entry.place].id
        start, end = (peer, server.id) if entry.incoming else (server.id, peer)
        return Arrow(entry, start, end, message_label(entry), "wire", kind == UNSENT)
    if kind == CLOSED:
        lane = peers[entry.place].id if entry.place in peers else server.id
        return Arrow(entry, lane, lane, _short(f"connection closed: {entry.parts[0]}"), "wire", False)
    if kind == HANDSHAKE:
        host, origin, status, reason = entry.parts
        label = f"WebSocket refused: {status} {reason} (Host {host or 'none'}, Origin {origin or 'none'})"
        return Arrow(entry, peers[entry.place].id, server.id, _short(label), "wire", True)
    if kind == ASKED:
        whom, what = entry.parts
        return Arrow(entry, server.id, outside[whom].id, _short(what), whom, False)
    if kind == ANSWERED:
        whom, what, fault, parts = entry.parts
        said = fault or f"{what}: {', '.join(map(_word, parts)) or 'ok'}"
        return Arrow(entry, outside[whom].id, server.id, _short(f"{what} failed: {fault}" if fault else said), whom, bool(fault))
    room, text = sentence_of(entry)
    return Arrow(entry, server.id, server.id, _short(text), room, False)


def _word(value: object) -> str:
    return str(value)


def sentence_of(entry: Entry) -> tuple[str, str]:
    """Room and sentence of what is no message."""
    if entry.kind == DECIDED:
        method, stage, verdict = entry.parts[:3]
        said = step((entry.when, DECIDED_STEP, (method, stage, verdict)))
        return said.room, said.text
    if entry.kind == FACT:
        fact, parts = entry.parts
        said = step((entry.when, fact, parts))
        return said.room, said.text
    if entry.kind == MEASURED:
        return "media", "; ".join(measured_text(leg) for leg in entry.parts[0])
    if entry.kind == ENDED:
        outcome, status, by, rule = entry.parts[:4]
        return "dialog", f"{outcome}{f', {status}' if status else ''}, ended by {by or '?'}{f', {rule}' if rule else ''}"
    return "", entry.kind


def measured_text(leg: Quality) -> str:
    """``480 packets from 192.0.2.8:4000, MOS 4.3``."""
    score = f", MOS {leg.mos:.1f}" if leg.mos else ""
    return f"{leg.packets} packets from {leg.address or 'nowhere'}{score}"


def message_label(entry: Entry) -> str:
    """``INVITE sip:bob@example.com``, ``180 Ringing (INVITE)``; SDP is named."""
    message = entry.message
    if entry.kind == BROKEN or message is None:
        return _short(f"can't be read: {_start(entry.data)}")
    sdp = " [SDP]" if entry.body and "sdp" in entry.header("content-type").lower() else ""
    again = ", once more" if entry.repeat or entry.kind == RESENT else ""
    lost = ", not sent: the connection is gone" if entry.kind == UNSENT else ""
    if entry.status:
        return _short(f"{entry.status} {getattr(message, 'reason', '')} ({entry.method}){sdp}{again}{lost}")
    return _short(f"{entry.method} {getattr(message, 'uri', '')}{sdp}{again}{lost}")


def _short(text: str) -> str:
    text = clean(text)
    return text if len(text) <= MOST_LABEL else text[: MOST_LABEL - 1] + "…"


def _start(data: bytes) -> str:
    return data[:60].partition(b"\r")[0].decode("utf-8", "replace")
