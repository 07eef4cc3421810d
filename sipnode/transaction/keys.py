"""Which transaction a message belongs to.

Implements: RFC 3261 §17.1.3, §17.2.3, with the rule for peers of RFC 2543.
"""

from __future__ import annotations

from sipnode.sip.ids import MAGIC_COOKIE
from sipnode.sip.message import SipRequest, SipResponse


def server_key(request: SipRequest, method: str = "") -> str:
    """Key of the server transaction that a request belongs to.

    Args:
        method: In place of the request's own: "INVITE" to find what a CANCEL cancels. An ACK finds its INVITE.

    Raises:
        ParseError: the headers that it takes can't be read.
    """
    method = method or request.method
    if method == "ACK":
        method = "INVITE"
    via = request.via
    if via.branch[:7] == MAGIC_COOKIE and len(via.branch) > 7:
        return f"{via.branch}\n{via.host}:{via.port}\n{method}"
    # RFC 2543 peers: no usable branch. An ACK has the To tag of the response, so To isn't part of the key.
    return f"{request.uri}\n{request.from_.tag}\n{request.call_id}\n{request.cseq}\n{via.host}:{via.port}{via.param_text}\n{method}"


def client_key(response: SipResponse) -> str:
    """Key of the client transaction that a response belongs to.

    Raises:
        ParseError: the headers that it takes can't be read.
    """
    return f"{response.via.branch}\n{response.cseq_method}"
