"""A re-INVITE from the middle: to an end of a call, as if from the other, with an offer of the media relay.

Implements: RFC 3261 §14.1 (re-INVITE), §12.2.1.1 (route set, remote target, CSeq), §13.2.2.4 (each 2xx has its ACK), RFC 4028 §7.4 (a
re-INVITE refreshes the session, and would end its timer if it didn't say so). The invariant: it ends, with an answer or without one, and
from its sending on the numbers of the end in whose name it is go on above its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred

from sipnode.base.outbox import CANCEL, REOFFER
from sipnode.base.via import new_via
from sipnode.dialog.bye import flow_to
from sipnode.errors import ParseError
from sipnode.proxy.forkpolicy import CHALLENGES
from sipnode.sip import build
from sipnode.sip.address import NameAddr
from sipnode.transaction.machine import TransactionUser
from sipnode.transaction.states import PROCEEDING

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from sipnode.base.flow import Flow
    from sipnode.dialog.call import Call
    from sipnode.dialog.ends import Ends, Party
    from sipnode.proxy.core import ProxyCore
    from sipnode.proxy.provider import Provider
    from sipnode.sip.message import SipRequest, SipResponse
    from sipnode.transaction.machine import ClientTransaction

SECONDS: Final = 20.0
"""An end has so long for its answer: it may ring for a re-INVITE, but nobody waits for sound for longer."""
LARGEST: Final = 2**31 - 2
"""A number of CSeq is below 2**31 (RFC 3261 §8.1.1.5)."""


class Reinvite(TransactionUser):
    """One of them.

    Args:
        core: The server.
        call: That it belongs to. ends: Of the call. party: Who gets it.
        done: Called with the final response, or None for none, once.
        provider: The trunk that the party is, whose challenge is answered; None for anybody else.

    Attributes:
        source: Address that it was sent to, for what its answer says of media.
        sent: It has been sent.
    """

    def __init__(
        self, core: ProxyCore, call: Call, ends: Ends, party: Party, done: Callable[[SipResponse | None], None],
        provider: Provider | None = None,
    ) -> None:  # fmt: skip
        self._core = core
        self._call = call
        self._ends = ends
        self._party = party
        self._done = done
        self._provider = provider
        self._asked = 0
        self._body = b""
        self._over = False
        self._flow: Flow | None = None
        self._transaction: ClientTransaction | None = None
        self._ack: SipRequest | None = None
        self._timer = core.reactor.callLater(SECONDS, self._waited)
        self.source = party.side.host
        self.sent = False

    def offer(self, body: bytes) -> None:
        """Find the way, and send it with this offer."""
        self._body = body
        flow = flow_to(self._core, self._party)
        if isinstance(flow, Deferred):
            flow.addCallbacks(self._send, self._unreached).addErrback(self._unreached)
        elif flow is None:
            self._finish(None)
        else:
            self._send(flow)

    def _send(self, flow: Flow, *proof: tuple[str, str]) -> None:
        if self._over:
            return
        core, ends, party = self._core, self._ends, self._party
        sender = ends.other(party)
        number = sender.cseq + 1
        if number > LARGEST or core.renumbering.full:
            self._finish(None)
            return
        now = core.clock()
        # Before it is sent, so that a server that is killed in between knows of it.
        core.renumbering.shift((ends.call_id, sender.tag, party.tag), sender.own, number, now + core.dialog_seconds)
        sender.cseq = number
        branch, via = new_via(flow)
        self._flow, self.source = flow, flow.remote[0]
        invite = ends.request_to(party, "INVITE", number, via, [*proof, *self._headers(sender)], self._body)
        self.sent = True
        self._transaction = core.transactions.send_request(invite, branch, flow, self, now, why=REOFFER)

    def _headers(self, sender: Party) -> list[tuple[str, str]]:
        core, ends = self._core, self._ends
        uri, _ = core.signer.unsealed(sender.target)
        seal = core.signer.contact_seal(sender.side, core.clock() + core.dialog_seconds, ends.call_id, sender.tag)
        headers = [("contact", f"<{uri}>" if "?" in uri else f"<{uri}{seal}>")]
        call = self._call
        if call.interval:
            refresher = ""
            if call.refresher:
                refresher = f";refresher={'uac' if call.refresher == sender.tag else 'uas'}"
            headers += [("supported", "timer"), ("session-expires", f"{call.interval}{refresher}")]
        return [*headers, ("content-type", "application/sdp")]

    # -- what the transaction layer tells

    def response_received(self, response: SipResponse) -> None:
        """A response of the end."""
        if response.status < 200:
            if self._over:
                self._cancel()
            return
        if response.status < 300:
            self._acknowledge(response)
        elif response.status in CHALLENGES and self._proved(response):
            return
        self._finish(response)

    def _proved(self, response: SipResponse) -> bool:
        """Whether a trunk that wants to know who we are is told, in a new transaction (RFC 3261 §22.3)."""
        flow = self._flow
        if self._provider is None or self._over or flow is None:
            return False
        proof = self._provider.proof("INVITE", self._party.target, response, flow, self._asked)
        if proof is None:
            return False
        self._asked += 1
        self._send(flow, proof)
        return True

    def timed_out(self) -> None:
        """It said nothing."""
        self._finish(None)

    def send_failed(self) -> None:
        """Its connection is gone."""
        self.sent = False
        self._finish(None)

    def _unreached(self, failure: Failure) -> None:
        self._finish(None)

    def _waited(self) -> None:
        self._cancel()
        self._finish(None)

    def _cancel(self) -> None:
        transaction = self._transaction
        if transaction is not None and transaction.state == PROCEEDING and transaction.request is not None and self._flow is not None:
            cancel = build.cancel_for(transaction.request)
            self._core.transactions.send_request(cancel, cancel.via.branch, self._flow, None, self._core.clock(), why=CANCEL)

    def _acknowledge(self, response: SipResponse) -> None:
        """ACK, again for each repeat of the 2xx (RFC 3261 §13.2.2.4)."""
        flow = self._flow
        if flow is None:
            return
        if self._ack is None:
            try:
                if "contact" in response:
                    self._party.target = NameAddr.parse(response.values("contact")[0]).uri_text
                self._ack = self._ends.request_to(self._party, "ACK", response.cseq, new_via(flow)[1])
            except ParseError:
                return
        self._core.outbox.send(self._core.clock(), self._ack.to_bytes(), flow, REOFFER, "ACK")

    def _finish(self, response: SipResponse | None) -> None:
        if self._over:
            return
        self._over = True
        if self._timer.active():
            self._timer.cancel()
        self._done(response)
