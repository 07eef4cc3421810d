"""Which transaction a message belongs to.

Implements: RFC 3261 §17.1.3, §17.2.3, with the rule for peers of RFC 2543. For proofs beyond the key see
:mod:`sipnode.transaction.proof`.
"""

from __future__ import annotations

import re
from typing import Final

from sipnode.sip.ids import BRANCH_PREFIX, MAGIC_COOKIE
from sipnode.sip.message import SipRequest, SipResponse

_OURS: Final = re.compile(r"[Vv][Ii][Aa]: SIP/2\.0/[A-Z]+ [^\s,;]+;branch=(" + re.escape(BRANCH_PREFIX) + r"[0-9a-z.\-]+)(?=[;,\s]|$)")


def server_key(request: SipRequest, source: str, method: str = "") -> str:
    """Key of the server transaction that a request belongs to.

    A party of a call has seen the branch of the other end, so the address that a request really came from is part of the key:
    an ACK, a CANCEL or a repeat from anywhere else belongs to nothing (§17.2.3 matches on sent-by alone, which its sender writes).

    Args:
        source: Address that it came from.
        method: In place of the request's own: "INVITE" to find what a CANCEL cancels. An ACK finds its INVITE.

    Raises:
        ParseError: the headers that it takes can't be read.
    """
    method = method or request.method
    if method == "ACK":
        method = "INVITE"
    via = request.via
    if via.branch[:7] == MAGIC_COOKIE and len(via.branch) > 7:
        return f"{via.branch}\n{via.host}:{via.port}\n{source}\n{method}"
    # RFC 2543 peers: no usable branch. An ACK has the To tag of the response, so To isn't part of the key.
    sender = f"{via.host}:{via.port}{via.param_text}\n{source}"
    return f"{request.uri}\n{request.from_.tag}\n{request.call_id}\n{request.cseq}\n{sender}\n{method}"


def client_key(response: SipResponse) -> str:
    """Key of the client transaction that a response belongs to.

    Raises:
        ParseError: the headers that it takes can't be read.
    """
    position = response.index().get("via", -1)
    if position >= 0:
        # Nearly every response has our own Via on top, and we know how we write it.
        match = _OURS.match(response.lines[position])
        if match is not None:
            return f"{match.group(1)}\n{response.cseq_method}"
    return f"{response.via.branch}\n{response.cseq_method}"
