"""A 2xx that nobody takes: the one who gave it is acknowledged, and told that there is no call.

Implements: RFC 3261 §13.2.2.4 (ACK, then BYE, for a dialog that isn't wanted), as the UAC that the proxy is for it. The invariant: each
repeat of the 2xx draws the ACK again, and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.base.outbox import UNWANTED
from sipnode.errors import ParseError
from sipnode.proxy.core import Branch, Unanswered
from sipnode.proxy.faults import answer_to, blame_of
from sipnode.proxy.record_route import beyond_us
from sipnode.sip import build, ids
from sipnode.sip.address import NameAddr

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from sipnode.sip.message import SipRequest, SipResponse


def refused(branch: Branch, failure: Failure, response: SipResponse) -> SipResponse | None:
    """The fate of a reply whose SDP the relay, or a script, couldn't take.

    A provisional one goes on without its SDP, and says why: the addresses inside stay hidden. A 2xx would begin a call without media:
    the one who gave it gets ACK and BYE, and the branch has failed.

    Returns:
        The response to pass, or None.
    """
    answer = answer_to(failure.value)
    if answer is None:
        branch.core.failed("reply route", failure)
        answer = (500, "", ())
    if branch.media is None or not response.body:
        return response
    if response.status < 200:
        response = response.copy()
        response.set_body(b"")
        response.remove("content-type")
        for name, value in answer[2]:
            if name == "warning":
                response.append(name, value)
        return response
    if branch.fork.invite:
        # One more end of a branch that was answered before is ended alike.
        found = Unwanted(branch, response)
        if not branch.ended:
            branch.unwanted = found
    branch.fail(*answer, blame=blame_of(failure.value))
    return None


class Unwanted(Unanswered):
    """Sends ACK, and for a new call BYE.

    Args:
        branch: That got the answer.
        response: The 2xx, as it came.
    """

    __slots__ = ("_ack", "_branch", "_to")

    def __init__(self, branch: Branch, response: SipResponse) -> None:
        self._branch = branch
        self._to = response.get("to")
        self._ack: SipRequest | None = None
        try:
            self._ack = self._request(response, "ACK", response.cseq)
            self._send(self._ack)
            if branch.fork.ctx.route is None:
                core = branch.core
                bye = self._request(response, "BYE", response.cseq + 1)
                core.transactions.send_request(bye, bye.via.branch, branch.flow, None, core.clock(), why=UNWANTED)
        except ParseError:
            # Without a Contact that can be read it has no dialog to end.
            return

    def takes(self, response: SipResponse) -> bool:
        """Whether a response is a repeat of the unwanted one; then it has its ACK."""
        if not 200 <= response.status < 300 or response.get("to") != self._to:
            return False
        if self._ack is not None:
            self._send(self._ack)
        return True

    def _send(self, ack: SipRequest) -> None:
        core = self._branch.core
        core.outbox.send(core.clock(), ack.to_bytes(), self._branch.flow, UNWANTED, "ACK")

    def _request(self, response: SipResponse, method: str, number: int) -> SipRequest:
        branch = self._branch
        ctx, flow = branch.fork.ctx, branch.flow
        contacts = response.values("contact") if "contact" in response else []
        if not contacts:
            raise ParseError("a 2xx without Contact")
        if ctx.route is not None:
            routes = ctx.route.routes
        else:
            recorded = response.values("record-route") if "record-route" in response else []
            routes = beyond_us(recorded, branch.token) if branch.token else []
        via = f"SIP/2.0/{flow.transport} {flow.listener.via_host}:{flow.listener.via_port};branch={ids.new_branch()}"
        headers = [("via", via), *(("route", route) for route in routes), ("max-forwards", "70")]
        headers += [("from", response.get("from") or ""), ("to", self._to or ""), ("call-id", response.call_id)]
        headers.append(("cseq", f"{number} {method}"))
        if method == "BYE":
            headers.append(("reason", 'SIP;cause=488;text="No media"'))
        return build.request(method, NameAddr.parse(contacts[0]).uri_text, headers)
