"""The state of one call: who calls whom, how far it is, how it ended.

Pure. The invariant: a call goes trying -> early -> confirmed -> terminated, may leave steps out, and never goes back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from sipnode.base.flow import Flow
from sipnode.dialog.ends import Ends, Party, ends_of
from sipnode.errors import ParseError
from sipnode.proxy.core import Fork
from sipnode.records import Reach
from sipnode.sip.address import NameAddr
from sipnode.sip.message import SipMessage, SipRequest, SipResponse
from sipnode.sip.uri import SipUri

TRYING: Final = "trying"
EARLY: Final = "early"
CONFIRMED: Final = "confirmed"
TERMINATED: Final = "terminated"
KINDS: Final = (TRYING, EARLY, CONFIRMED, TERMINATED)

COMPLETED: Final = "completed"
"""Answered, and ended by the BYE of an end."""
LOST: Final = "lost"
"""Answered, and neither BYE nor session refresh came in time, or a browser vanished."""
ENDED: Final = "ended"
"""Ended by this server's operator."""

LEAST_INTERVAL: Final = 90
"""Seconds; no session timer is shorter (RFC 4028 §4)."""

GRACE: Final = 32
"""Seconds after which a session that wasn't refreshed is lost, beyond its interval: what a BYE may take (RFC 3261 64*T1)."""

_OUTCOMES: Final = {
    404: "not found",
    408: "no answer",
    480: "no answer",
    486: "busy",
    487: "cancelled",
    600: "busy",
    603: "declined",
}
Source: TypeAlias = tuple[str, tuple[str, int]]
"""Transport, and ``(host, port)``."""
_NOWHERE: Final[Source] = ("", ("", 0))
_Kept: TypeAlias = tuple[list[str], list[str], Reach, Reach, Callable[[str], bool]]
_OF_REQUEST: Final = ["from", "call-id", "cseq", "contact"]
_OF_RESPONSE: Final = ["to", "contact"]


def outcome_of(status: int) -> str:
    """The word for a final status of an INVITE that set nothing up."""
    return _OUTCOMES.get(status, "failed")


class Call:
    """One call.

    Attributes:
        id: Number of the call in this process.
        call_id: Call-ID.
        from_tag: The caller's tag.
        to_tag: The callee's; of the last early dialog while it rings, "" before.
        uri: Request-URI that the caller asked for.
        state: ``trying``, ``early``, ``confirmed`` or ``terminated``.
        started: Epoch seconds of the INVITE.
        rang: Of the first 180 to 199 that went to the caller; 0 before.
        answered: Of the 2xx; 0 before.
        ended: Of the end; 0 before.
        status: Status of the last response to the INVITE; 0 before any.
        outcome: "" while it lives; then ``completed``, ``cancelled``, ``busy``, ``no answer``, ``declined``, ``not found``,
            ``failed``, ``lost`` or ``ended``.
        ended_by: ``caller``, ``callee``, ``server`` or ``media node NAME``; "" while it lives.
        rule: Which rule or stage of the server refused it, as ``stage sipout`` or ``rule strangers``, or why the other did; "" for none.
        caller_flow: Where the INVITE came from: transport and ``(host, port)``.
        callee_flow: Where the answering branch went, alike; ``("", ("", 0))`` before the answer.
        node: The media relay's node, "" where media doesn't go through it.
        media_call: What the relay calls it, "" where that is its Call-ID.
        moved: Addresses from where an end of it has proved itself since it began.
        media_place: The same as the configuration has it, for people.
        bridged: Media goes through the relay.
        pending: The fork of the INVITE until it has its final response.
        interval: Seconds of the session timer (RFC 4028), 0 for none.
        refresher: Tag of the end that refreshes the session, "" where that isn't known.
        moves: How often this server has moved its media.
        slot: Where the table keeps it by the time at which it counts as lost.
    """

    __slots__ = (
        "_caller", "_ends", "_from", "_is_local", "_kept", "_ruri", "answered", "bridged", "call_id", "callee_flow", "caller_flow",
        "ended", "ended_by", "from_tag", "id", "interval", "key", "media_call", "media_place", "moved", "moves", "node", "outcome",
        "pending", "rang", "refresher", "rule", "slot", "started", "state", "status", "to_tag", "uri",
    )  # fmt: skip

    def __init__(
        self, number: int, call_id: str, sender: NameAddr, uri: str, ruri: SipUri, identity: str, source: Source, now: float,
        is_local: Callable[[str], bool],
    ) -> None:  # fmt: skip
        self.id = number
        self.call_id = call_id
        self.from_tag = sender.tag
        self.to_tag = ""
        self.key = (self.call_id, self.from_tag, "")
        self.uri = uri
        self.state = TRYING
        self.started = now
        self.rang = 0.0
        self.answered = 0.0
        self.ended = 0.0
        self.status = 0
        self.outcome = ""
        self.ended_by = ""
        self.rule = ""
        self.caller_flow = source
        self.callee_flow: Source = _NOWHERE
        self.node = self.media_place = ""
        self.bridged = False
        self.media_call = ""
        self.moved: frozenset[str] = frozenset()
        self.pending: Fork | None = None
        self.interval = self.moves = 0
        self.refresher = ""
        self.slot = 0
        self._caller = identity
        self._from = sender
        self._ruri = ruri
        self._is_local = is_local
        self._kept: _Kept | None = None
        self._ends: Ends | None = None

    @property
    def caller(self) -> str:
        """``user@domain`` that calls, "" where it isn't ours."""
        return self._caller or self._ours(self._from.uri)

    @property
    def proved(self) -> bool:
        """Whether the caller is a user of ours who has proved so."""
        return self._caller != ""

    @property
    def from_uri(self) -> str:
        """URI of the caller's From."""
        return self._from.uri_text

    @property
    def from_name(self) -> str:
        """Display name of the caller's From, "" for none."""
        return self._from.display

    @property
    def callee(self) -> str:
        """``user@domain`` that was called, "" where it isn't ours."""
        return self._ours(self._ruri)

    def _ours(self, uri: SipUri) -> str:
        return uri.aor if self._is_local(uri.host) else ""

    @property
    def duration(self) -> float:
        """Seconds from the answer to the end; 0 for a call that lives or wasn't answered."""
        return self.ended - self.answered if self.ended and self.answered else 0.0

    def answer(self, request: SipRequest | None, response: SipResponse, sides: tuple[Reach, Reach], own: Callable[[str], bool]) -> None:
        """Keep what a BYE to its ends will need; it is read when one is sent.

        Args:
            request: The INVITE; None where what was kept for another answer to it serves.
            sides: How the caller and the callee are reached.
            own: Whether a Record-Route value is ours.
        """
        if request is not None:
            kept = _kept_lines(request, _OF_REQUEST)
        else:
            kept = self._kept[0] if self._kept is not None else None
        answer = _kept_lines(response, _OF_RESPONSE)
        self._kept = (kept, answer, *sides, own) if kept is not None and answer is not None else None

    def progress(self, status: int, clock: Callable[[], float]) -> None:
        """A provisional response went to the caller; from 180 on, or 183, there is something to hear (RFC 6076 §4.3)."""
        self.status = status
        if status >= 180 and not self.rang:
            self.rang = clock()

    def answered_too(self, number: int, to_tag: str) -> Call:
        """The call with another phone that answered the same INVITE (RFC 3261 §13.2.2.4), not answered yet."""
        other = Call(
            number, self.call_id, self._from, self.uri, self._ruri, self._caller, self.caller_flow, self.started, self._is_local
        )
        other.to_tag = to_tag
        other.key = (self.call_id, self.from_tag, to_tag)
        other.state = EARLY
        other.status, other.rang, other.answered, other.rule = self.status, self.rang, self.answered, self.rule
        other.bridged, other.node, other.media_call, other.media_place = self.bridged, self.node, self.media_call, self.media_place
        other.moved, other.interval, other.refresher, other.slot = self.moved, self.interval, self.refresher, self.slot
        other.callee_flow, other.pending, other._kept = self.callee_flow, self.pending, self._kept
        return other

    def timed(self, message: SipMessage) -> int:
        """Take the interval of a session refresh, or of its 2xx, where it has one that can be read.

        Args:
            message: INVITE or UPDATE, or a 2xx to an INVITE: without Session-Expires this one ends the timer (RFC 4028 §7.2).

        Returns:
            The interval that holds now, 0 for none.
        """
        value = message.get("session-expires")
        text = (value or "").partition(";")[0].strip()
        if text.isascii() and text.isdigit() and len(text) < 10:
            self.interval = max(LEAST_INTERVAL, int(text))
        elif value is None and isinstance(message, SipResponse):
            self.interval = 0
        if value is not None and "refresher=" in value:
            self.refresher = message.from_.tag if "=uac" in value else message.to.tag
        return self.interval

    @property
    def parties(self) -> tuple[Party, ...]:
        """Both ends; () where they aren't known."""
        ends = self.ends
        return (ends.caller, ends.callee) if ends is not None else ()

    @property
    def ends(self) -> Ends | None:
        """Both ends of its dialog; None before the answer, or where one gave no address to be reached at."""
        if self._ends is None and self._kept is not None:
            request, response, caller_side, callee_side, own = self._kept
            invite = SipRequest("INVITE", self.uri, _names(request, _OF_REQUEST), request)
            answer = SipResponse(200, "", _names(response, _OF_RESPONSE), response)
            try:
                self._ends = ends_of(invite, answer, caller_side, callee_side, own)
            except ParseError:
                return None
        return self._ends

    def __repr__(self) -> str:
        return f"<Call {self.call_id} {self.caller or '?'} -> {self.callee or self.uri} {self.state}>"


def _kept_lines(message: SipMessage, wanted: list[str]) -> list[str] | None:
    """The header lines of these names, then all of Record-Route; None where one is missing."""
    index, lines = message.index(), message.lines
    try:
        kept = [lines[index[name]] for name in wanted]
    except KeyError:
        return None
    if "record-route" in index:
        kept += [line for line, name in zip(lines, message.names, strict=True) if name == "record-route"]
    return kept


def _names(lines: list[str], first: list[str]) -> list[str]:
    return first + ["record-route"] * (len(lines) - len(first))


def begun(number: int, request: SipRequest, identity: str, flow: Flow, now: float, is_local: Callable[[str], bool]) -> Call:
    """The call that an INVITE begins.

    Args:
        number: Of the call in this process. identity: ``user@domain`` that proved itself, or "". now: Epoch seconds.

    Raises:
        ParseError: its From or Request-URI can't be read.
    """
    source = (flow.transport, flow.remote)
    return Call(number, request.call_id, request.from_, request.uri, request.ruri, identity, source, now, is_local)
