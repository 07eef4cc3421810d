"""The four transaction machines as tables.

Implements: RFC 3261 §17.1.1, §17.1.2, §17.2.1, §17.2.2; RFC 6026 §7, §8 (Accepted); RFC 4320 (no 408 upstream for
non-INVITE is the transaction user's part). A pair of state and event that is in no row is in :data:`IGNORED`, with the
reason; a test holds the two together. The drawings in ``docs/states`` are made from these rows.
"""

from __future__ import annotations

from typing import Final, NamedTuple

# States
TRYING: Final = 0
CALLING: Final = 1
PROCEEDING: Final = 2
ACCEPTED: Final = 3
COMPLETED: Final = 4
CONFIRMED: Final = 5
TERMINATED: Final = 6

STATE_NAMES: Final = ("trying", "calling", "proceeding", "accepted", "completed", "confirmed", "terminated")

# Events
REQUEST: Final = 0
"""A retransmission of the request arrived."""
ACK: Final = 1
"""An ACK that matches arrived."""
TU_1XX: Final = 2
TU_2XX: Final = 3
TU_FINAL: Final = 4
"""The transaction user gives a final response of 300..699 (non-INVITE: any final one)."""
RECV_1XX: Final = 5
RECV_2XX: Final = 6
RECV_FINAL: Final = 7
"""A final response of 300..699 arrived (non-INVITE: any final one)."""
RETRANSMIT: Final = 8
"""Timer A, E or G."""
TIMEOUT: Final = 9
"""Timer B, C, D, F, H, I, J, K, L or M: the one that ends the state."""
TRANSPORT_ERROR: Final = 10

EVENT_NAMES: Final = (
    "request",
    "ack",
    "tu 1xx",
    "tu 2xx",
    "tu final",
    "1xx",
    "2xx",
    "final",
    "retransmit",
    "timeout",
    "transport error",
)

# Actions
SEND: Final = 0
"""Send the response that the event brings, and keep it."""
RESEND: Final = 1
"""Send what is kept once more."""
PASS_UP: Final = 2
"""Give the response to the transaction user."""
SEND_ACK: Final = 3
"""Build the ACK, keep it, send it."""
TELL_TIMEOUT: Final = 4
TELL_ERROR: Final = 5
PASS_ACK: Final = 6
"""Give the ACK to the transaction user (it is end to end)."""
START_G_H: Final = 7
START_I: Final = 8
START_J: Final = 9
START_L: Final = 10
START_D: Final = 11
START_K: Final = 12
START_M: Final = 13
START_C: Final = 14
"""Timer C in place of B, none of retransmission."""
BACK_OFF: Final = 15
"""Set the next retransmission."""
SLOW_DOWN: Final = 16
"""Set the next retransmission, from now on every T2."""
STOP_RETRANSMIT: Final = 17

ACTION_NAMES: Final = (
    "send",
    "resend",
    "pass up",
    "send ACK",
    "tell timeout",
    "tell error",
    "pass ACK",
    "start G, H",
    "start I",
    "start J",
    "start L",
    "start D",
    "start K",
    "start M",
    "start C",
    "back off",
    "slow down",
    "stop retransmit",
)


class Row(NamedTuple):
    """In ``state``, ``event`` leads to ``to`` and does ``actions``; ``rfc`` says who asks for it."""

    state: int
    event: int
    to: int
    actions: tuple[int, ...]
    rfc: str


INVITE_SERVER: Final = (
    Row(PROCEEDING, REQUEST, PROCEEDING, (RESEND,), "3261 §17.2.1"),
    Row(PROCEEDING, TU_1XX, PROCEEDING, (SEND,), "3261 §17.2.1"),
    Row(PROCEEDING, TU_2XX, ACCEPTED, (SEND, START_L), "6026 §7.1"),
    Row(PROCEEDING, TU_FINAL, COMPLETED, (SEND, START_G_H), "3261 §17.2.1"),
    Row(PROCEEDING, TRANSPORT_ERROR, PROCEEDING, (TELL_ERROR,), "6026 §7.1"),
    Row(ACCEPTED, TU_2XX, ACCEPTED, (SEND,), "6026 §7.1"),
    Row(ACCEPTED, ACK, ACCEPTED, (PASS_ACK,), "6026 §7.1"),
    Row(ACCEPTED, TIMEOUT, TERMINATED, (), "6026 §7.1 timer L"),
    Row(ACCEPTED, TRANSPORT_ERROR, ACCEPTED, (TELL_ERROR,), "6026 §7.1"),
    Row(COMPLETED, REQUEST, COMPLETED, (RESEND,), "3261 §17.2.1"),
    Row(COMPLETED, RETRANSMIT, COMPLETED, (RESEND, BACK_OFF), "3261 §17.2.1 timer G"),
    Row(COMPLETED, ACK, CONFIRMED, (STOP_RETRANSMIT, START_I), "3261 §17.2.1"),
    Row(COMPLETED, TIMEOUT, TERMINATED, (TELL_TIMEOUT,), "3261 §17.2.1 timer H"),
    Row(COMPLETED, TRANSPORT_ERROR, TERMINATED, (TELL_ERROR,), "3261 §17.2.4"),
    Row(CONFIRMED, TIMEOUT, TERMINATED, (), "3261 §17.2.1 timer I"),
)

NON_INVITE_SERVER: Final = (
    Row(TRYING, TU_1XX, PROCEEDING, (SEND,), "3261 §17.2.2"),
    Row(TRYING, TU_FINAL, COMPLETED, (SEND, START_J), "3261 §17.2.2"),
    Row(TRYING, TU_2XX, COMPLETED, (SEND, START_J), "3261 §17.2.2"),
    Row(PROCEEDING, REQUEST, PROCEEDING, (RESEND,), "3261 §17.2.2"),
    Row(PROCEEDING, TU_1XX, PROCEEDING, (SEND,), "3261 §17.2.2"),
    Row(PROCEEDING, TU_FINAL, COMPLETED, (SEND, START_J), "3261 §17.2.2"),
    Row(PROCEEDING, TU_2XX, COMPLETED, (SEND, START_J), "3261 §17.2.2"),
    Row(PROCEEDING, TRANSPORT_ERROR, TERMINATED, (TELL_ERROR,), "3261 §17.2.4"),
    Row(COMPLETED, REQUEST, COMPLETED, (RESEND,), "3261 §17.2.2"),
    Row(COMPLETED, TIMEOUT, TERMINATED, (), "3261 §17.2.2 timer J"),
    Row(COMPLETED, TRANSPORT_ERROR, TERMINATED, (TELL_ERROR,), "3261 §17.2.4"),
    Row(TRYING, TRANSPORT_ERROR, TERMINATED, (TELL_ERROR,), "3261 §17.2.4"),
)

INVITE_CLIENT: Final = (
    Row(CALLING, RETRANSMIT, CALLING, (RESEND, BACK_OFF), "3261 §17.1.1.2 timer A"),
    Row(CALLING, TIMEOUT, TERMINATED, (TELL_TIMEOUT,), "3261 §17.1.1.2 timer B"),
    Row(CALLING, RECV_1XX, PROCEEDING, (STOP_RETRANSMIT, START_C, PASS_UP), "3261 §17.1.1.2, §16.6 (11)"),
    Row(CALLING, RECV_2XX, ACCEPTED, (STOP_RETRANSMIT, START_M, PASS_UP), "6026 §7.2"),
    Row(CALLING, RECV_FINAL, COMPLETED, (STOP_RETRANSMIT, SEND_ACK, START_D, PASS_UP), "3261 §17.1.1.2"),
    Row(CALLING, TRANSPORT_ERROR, TERMINATED, (TELL_ERROR,), "3261 §17.1.4"),
    Row(PROCEEDING, RECV_1XX, PROCEEDING, (START_C, PASS_UP), "3261 §17.1.1.2, §16.7 (2)"),
    Row(PROCEEDING, RECV_2XX, ACCEPTED, (START_M, PASS_UP), "6026 §7.2"),
    Row(PROCEEDING, RECV_FINAL, COMPLETED, (SEND_ACK, START_D, PASS_UP), "3261 §17.1.1.2"),
    Row(PROCEEDING, TIMEOUT, PROCEEDING, (TELL_TIMEOUT,), "3261 §16.8 timer C: the user sends CANCEL"),
    Row(PROCEEDING, TRANSPORT_ERROR, TERMINATED, (TELL_ERROR,), "3261 §17.1.4"),
    Row(ACCEPTED, RECV_2XX, ACCEPTED, (PASS_UP,), "6026 §7.2"),
    Row(ACCEPTED, TIMEOUT, TERMINATED, (), "6026 §7.2 timer M"),
    Row(COMPLETED, RECV_FINAL, COMPLETED, (RESEND,), "3261 §17.1.1.2: the kept ACK"),
    Row(COMPLETED, TIMEOUT, TERMINATED, (), "3261 §17.1.1.2 timer D"),
    Row(COMPLETED, TRANSPORT_ERROR, TERMINATED, (TELL_ERROR,), "3261 §17.1.4"),
)

NON_INVITE_CLIENT: Final = (
    Row(TRYING, RETRANSMIT, TRYING, (RESEND, BACK_OFF), "3261 §17.1.2.2 timer E"),
    Row(TRYING, TIMEOUT, TERMINATED, (TELL_TIMEOUT,), "3261 §17.1.2.2 timer F"),
    Row(TRYING, RECV_1XX, PROCEEDING, (PASS_UP,), "3261 §17.1.2.2: timer E goes on"),
    Row(TRYING, RECV_2XX, COMPLETED, (STOP_RETRANSMIT, START_K, PASS_UP), "3261 §17.1.2.2"),
    Row(TRYING, RECV_FINAL, COMPLETED, (STOP_RETRANSMIT, START_K, PASS_UP), "3261 §17.1.2.2"),
    Row(TRYING, TRANSPORT_ERROR, TERMINATED, (TELL_ERROR,), "3261 §17.1.4"),
    Row(PROCEEDING, RETRANSMIT, PROCEEDING, (RESEND, SLOW_DOWN), "3261 §17.1.2.2 timer E"),
    Row(PROCEEDING, TIMEOUT, TERMINATED, (TELL_TIMEOUT,), "3261 §17.1.2.2 timer F"),
    Row(PROCEEDING, RECV_1XX, PROCEEDING, (PASS_UP,), "3261 §17.1.2.2"),
    Row(PROCEEDING, RECV_2XX, COMPLETED, (STOP_RETRANSMIT, START_K, PASS_UP), "3261 §17.1.2.2"),
    Row(PROCEEDING, RECV_FINAL, COMPLETED, (STOP_RETRANSMIT, START_K, PASS_UP), "3261 §17.1.2.2"),
    Row(PROCEEDING, TRANSPORT_ERROR, TERMINATED, (TELL_ERROR,), "3261 §17.1.4"),
    Row(COMPLETED, TIMEOUT, TERMINATED, (), "3261 §17.1.2.2 timer K"),
)

MACHINES: Final[dict[str, tuple[Row, ...]]] = {
    "INVITE server": INVITE_SERVER,
    "non-INVITE server": NON_INVITE_SERVER,
    "INVITE client": INVITE_CLIENT,
    "non-INVITE client": NON_INVITE_CLIENT,
}

_SERVER_EVENTS: Final = (REQUEST, ACK, TU_1XX, TU_2XX, TU_FINAL, RETRANSMIT, TIMEOUT, TRANSPORT_ERROR)
_CLIENT_EVENTS: Final = (RECV_1XX, RECV_2XX, RECV_FINAL, RETRANSMIT, TIMEOUT, TRANSPORT_ERROR)

EVENTS: Final[dict[str, tuple[int, ...]]] = {
    "INVITE server": _SERVER_EVENTS,
    "non-INVITE server": _SERVER_EVENTS,
    "INVITE client": _CLIENT_EVENTS,
    "non-INVITE client": _CLIENT_EVENTS,
}
"""The events that can reach each machine."""

STATES: Final[dict[str, tuple[int, ...]]] = {
    "INVITE server": (PROCEEDING, ACCEPTED, COMPLETED, CONFIRMED),
    "non-INVITE server": (TRYING, PROCEEDING, COMPLETED),
    "INVITE client": (CALLING, PROCEEDING, ACCEPTED, COMPLETED),
    "non-INVITE client": (TRYING, PROCEEDING, COMPLETED),
}
"""The living states of each machine; the first is where it begins."""

IGNORED: Final[dict[str, dict[tuple[int, int], str]]] = {
    "INVITE server": {
        (PROCEEDING, ACK): "an ACK before a final response acknowledges nothing",
        (PROCEEDING, RETRANSMIT): "no timer runs",
        (PROCEEDING, TIMEOUT): "no timer runs; the client side has timer C",
        (ACCEPTED, REQUEST): "6026 §7.1: absorbed, the far end repeats its 2xx",
        (ACCEPTED, TU_1XX): "a late provisional response isn't sent after a final one",
        (ACCEPTED, TU_FINAL): "a final response was sent",
        (ACCEPTED, RETRANSMIT): "the 2xx is repeated by the far end, not here",
        (COMPLETED, TU_1XX): "3261 §17.2.1: discarded",
        (COMPLETED, TU_2XX): "3261 §17.2.1: discarded",
        (COMPLETED, TU_FINAL): "3261 §17.2.1: discarded",
        (CONFIRMED, REQUEST): "a late retransmission",
        (CONFIRMED, ACK): "3261 §17.2.1: absorbed",
        (CONFIRMED, TU_1XX): "a final response was sent",
        (CONFIRMED, TU_2XX): "a final response was sent",
        (CONFIRMED, TU_FINAL): "a final response was sent",
        (CONFIRMED, RETRANSMIT): "stopped by the ACK",
        (CONFIRMED, TRANSPORT_ERROR): "nothing is sent any more",
    },
    "non-INVITE server": {
        (TRYING, REQUEST): "3261 §17.2.2: discarded, there is no response yet",
        (TRYING, ACK): "an ACK belongs to an INVITE",
        (TRYING, RETRANSMIT): "no timer runs",
        (TRYING, TIMEOUT): "no timer runs",
        (PROCEEDING, ACK): "an ACK belongs to an INVITE",
        (PROCEEDING, RETRANSMIT): "no timer runs",
        (PROCEEDING, TIMEOUT): "no timer runs",
        (COMPLETED, ACK): "an ACK belongs to an INVITE",
        (COMPLETED, TU_1XX): "3261 §17.2.2: discarded",
        (COMPLETED, TU_2XX): "3261 §17.2.2: discarded",
        (COMPLETED, TU_FINAL): "3261 §17.2.2: discarded",
        (COMPLETED, RETRANSMIT): "responses are repeated by retransmissions of the request only",
    },
    "INVITE client": {
        (PROCEEDING, RETRANSMIT): "stopped by the first 1xx",
        (ACCEPTED, RECV_1XX): "6026 §7.2: a late provisional response",
        (ACCEPTED, RECV_FINAL): "6026 §7.2: a late negative one",
        (ACCEPTED, RETRANSMIT): "stopped",
        (ACCEPTED, TRANSPORT_ERROR): "6026 §8.4: stays until timer M",
        (COMPLETED, RECV_1XX): "a late provisional response",
        (COMPLETED, RECV_2XX): "a server that answered twice; the first final response counts",
        (COMPLETED, RETRANSMIT): "stopped",
    },
    "non-INVITE client": {
        (COMPLETED, RECV_1XX): "a late response",
        (COMPLETED, RECV_2XX): "3261 §17.1.2.2: a retransmission, buffered by timer K",
        (COMPLETED, RECV_FINAL): "3261 §17.1.2.2: a retransmission, buffered by timer K",
        (COMPLETED, RETRANSMIT): "stopped",
        (COMPLETED, TRANSPORT_ERROR): "nothing is sent any more",
    },
}
"""Pairs that change nothing, and why."""

EVENT_BITS: Final = 4


def compiled(rows: tuple[Row, ...]) -> dict[int, tuple[int, tuple[int, ...]]]:
    """Rows as ``state << EVENT_BITS | event -> (next state, actions)``."""
    return {row.state << EVENT_BITS | row.event: (row.to, row.actions) for row in rows}
