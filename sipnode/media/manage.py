"""Which SIP message makes which command to the media relay: one table.

Pure. Implements: RFC 3264 §4 (offer/answer), RFC 3261 §13.2.1, RFC 3262 §5, RFC 3311 §5.1, RFC 6337 §2.

The caller keeps one `SdpState` for each client transaction (each branch of a fork has its own, for each makes an offer
of its own) and asks `for_request` once for the request and `for_reply` for each response. A retransmission asks
nothing: what was sent the first time is sent again.

===================================================  =========================================================
message                                              operation
===================================================  =========================================================
INVITE, re-INVITE, UPDATE with SDP                   offer
PRACK with SDP                                       answer if a response carried the offer, else offer
ACK with SDP                                         answer (the offer was in the 2xx, RFC 3261 §13.2.1); where the 2xx
                                                     had the answer, :mod:`sipnode.media.control` drops it
1xx, 2xx with SDP, its request made an offer         answer
1xx, 2xx with SDP, its request made none             offer (late offer; the ACK or PRACK brings the answer)
BYE                                                  delete the dialog, and with the last one the call
3xx..6xx, timeout or dead branch of a first INVITE   delete the branch, if an offer was made on it
3xx..6xx of a re-INVITE, an UPDATE, a PRACK          nothing of its own: the session goes on as it was (RFC 3261 §14.1),
                                                     and what its offer changed is set back by the control
CANCEL                                               nothing: each branch it ends does so by its own final response
                                                     or timeout, and a 2xx that crosses it still needs its ports
any other method, no SDP, SDP in a failure           nothing
===================================================  =========================================================

The one invariant: SDP in a message that sets up media is never NONE, whatever order the messages come in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Operation(Enum):
    """A command to the relay, or none."""

    NONE = "none"
    OFFER = "offer"
    ANSWER = "answer"
    DELETE = "delete"


@dataclass(slots=True)
class SdpState:
    """Memory of one transaction between its request and its responses.

    ``offered``: the request itself made an offer. ``offered_by_reply``: one of its responses did, so that a PRACK
    with SDP for it is an answer. ``in_dialog``: the request had a To tag.
    """

    offered: bool = False
    offered_by_reply: bool = False
    in_dialog: bool = False


_REQUEST_WITH_SDP = {
    "INVITE": Operation.OFFER,
    "UPDATE": Operation.OFFER,
    "PRACK": Operation.OFFER,
    "ACK": Operation.ANSWER,
}

_REQUEST_ALWAYS = {"BYE": Operation.DELETE}

_REPLY_WITH_SDP = {
    # (method of CSeq, its request made an offer)
    ("INVITE", True): Operation.ANSWER,
    ("INVITE", False): Operation.OFFER,
    ("UPDATE", True): Operation.ANSWER,
    ("UPDATE", False): Operation.OFFER,
    ("PRACK", True): Operation.ANSWER,
    ("PRACK", False): Operation.OFFER,
}

METHODS = frozenset(_REQUEST_WITH_SDP) | frozenset(_REQUEST_ALWAYS)
"""Methods that can make an operation at all; for any other the caller needs neither state nor a look at the body."""


def for_request(method: str, has_sdp: bool, in_dialog: bool, state: SdpState, *, invite: SdpState | None = None) -> Operation:
    """The operation of a request, noted in its state.

    Args:
        method: Of the request line.
        has_sdp: Its body holds SDP that can be read (`sipnode.media.body.find_sdp`).
        in_dialog: Its To has a tag.
        state: A fresh one, also for an ACK for a 2xx, which has no transaction.
        invite: For PRACK the state of the INVITE it belongs to, None where that isn't known.
    """
    state.in_dialog = in_dialog
    always = _REQUEST_ALWAYS.get(method)
    if always is not None:
        return always
    if not has_sdp:
        return Operation.NONE
    if method == "PRACK" and invite is not None and invite.offered_by_reply:
        return Operation.ANSWER
    operation = _REQUEST_WITH_SDP.get(method, Operation.NONE)
    state.offered = operation is Operation.OFFER
    return operation


def for_reply(method: str, status: int, has_sdp: bool, state: SdpState) -> Operation:
    """The operation of a response, noted in the state of its transaction.

    Args:
        method: Of its CSeq.
        status: 100..699; 408 stands for a timeout and 503 for a branch that could not be sent.
        has_sdp: Its body holds SDP that can be read.
        state: As `for_request` left it.
    """
    if status >= 300:
        engaged = state.offered or state.offered_by_reply
        return Operation.DELETE if engaged and method == "INVITE" and not state.in_dialog else Operation.NONE
    if not has_sdp or status == 100:
        return Operation.NONE
    operation = _REPLY_WITH_SDP.get((method, state.offered), Operation.NONE)
    if operation is Operation.OFFER:
        state.offered_by_reply = True
    return operation


def tags(operation: Operation, is_reply: bool, from_tag: str, to_tag: str) -> tuple[str, str]:
    """The tags of a MediaKey: the offerer's first, then the other's.

    From and To of a message name who sent the *request*. An offer in a response, and an answer in an ACK or PRACK, come
    the other way about: there the offerer is the one in To.

    Args:
        operation: What `for_request` or `for_reply` gave.
        is_reply: The message is a response.
        from_tag: Tag of its From.
        to_tag: Tag of its To, "" for none.

    Returns:
        ``(MediaKey.from_tag, MediaKey.to_tag)``.
    """
    swapped = operation is Operation.OFFER if is_reply else operation is Operation.ANSWER
    return (to_tag, from_tag) if swapped else (from_tag, to_tag)
