"""Whether a message comes from where it has to come from, and is about the request that it names.

Implements: RFC 3261 §17.1.3, §17.2.3, §9.2, each as strictly as honest peers allow. Pure.

A party of a call has seen its Call-ID, its tags and the branches below, and a UDP source is written by its sender. So a response is
believed from where its request went, and an ACK or a CANCEL from where its INVITE came from: the very connection, or over UDP the
host, whatever port of it (there are phones that send from another one than they listen at).
"""

from __future__ import annotations

from sipnode.base.flow import Flow
from sipnode.errors import ParseError
from sipnode.sip.message import SipMessage, SipRequest


def from_same(known: Flow, came: Flow) -> bool:
    """Whether what came by one flow comes from the peer of another one that isn't the same.

    Args:
        known: Flow of the transaction.
        came: Flow that the message came by.
    """
    if known.remote[0] != came.remote[0]:
        return False
    if known.reliable or came.reliable:
        # RFC 3261 §18.2.2: when its connection is gone, a peer opens another one for what it still has to say.
        return bool(known.closed and known.transport == came.transport and not known.websocket)
    return True


def same_address(request: SipRequest, known: Flow, came: Flow) -> bool:
    """Whether a CANCEL comes from the sender of an INVITE, where others share its host: the same port, too, unless the INVITE
    shows that its sender uses several.

    Args:
        request: The INVITE.
        known: Flow that it came by.
        came: Flow of the CANCEL.
    """
    if came is known:
        return True
    if not from_same(known, came):
        return False
    via = request.via
    return bool(known.reliable or came.remote == known.remote or (via.rport is None and (via.port or 5060) != known.remote[1]))


def is_about(response: SipMessage, request: SipRequest) -> bool:
    """Whether a message has the Call-ID, the From tag and the CSeq number of a request.

    Most peers give these lines back as they came, so that nothing has to be read.
    """
    lines, index = response.lines, response.index()
    asked, names = request.lines, request.names
    try:
        if (
            lines[index["call-id"]] == asked[names.index("call-id")]
            and lines[index["from"]] == asked[names.index("from")]
            and lines[index["cseq"]] == asked[names.index("cseq")]
        ):
            return True
        return names_of(response) == names_of(request)
    except (KeyError, ValueError, ParseError):
        return False


def names_of(message: SipMessage) -> tuple[str, str, int]:
    """Call-ID, From tag and CSeq number.

    Raises:
        ParseError: one is missing, or can't be read.
    """
    return message.call_id, message.from_.tag, message.cseq


def hash_of(message: SipMessage) -> int:
    """A number that two messages with the same :func:`names_of` share, and nobody can aim at; 0 where they can't be read.

    It stands for them where the request itself needn't be kept any longer.
    """
    try:
        return hash(names_of(message)) or 1
    except ParseError:
        return 0
