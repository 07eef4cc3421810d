"""The two ends of a call as the proxy saw it set up: enough to send a request inside its dialog to either.

Pure. Implements: RFC 3261 §12.1 (route set, remote target, CSeq of each side, as seen from the middle).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from sipnode.records import Reach
from sipnode.sip import build
from sipnode.sip.address import NameAddr
from sipnode.sip.message import SipRequest, SipResponse


@dataclass(slots=True)
class Party:
    """One end of a call.

    Attributes:
        address: Its From or To value, with tag.
        tag: The tag.
        target: URI of its Contact, the remote target.
        routes: Route values between this server and it, nearest first.
        cseq: The highest number that the other end has seen of it.
        side: How this server reaches it .
        own: The highest number that it has used itself, -1 where it has used none.
    """

    address: str
    tag: str
    target: str
    routes: list[str]
    cseq: int
    side: Reach
    own: int = -1

    def used(self, number: int, seen: int) -> None:
        """It has sent a request.

        Args:
            number: Its own of it. seen: The one that the other end gets.
        """
        self.own = max(self.own, number)
        self.cseq = max(self.cseq, seen)


@dataclass(slots=True)
class Ends:
    """Both ends of a dialog."""

    call_id: str
    caller: Party
    callee: Party

    def party(self, tag: str) -> Party | None:
        """The end that has this tag."""
        if tag == self.caller.tag:
            return self.caller
        return self.callee if tag == self.callee.tag else None

    def other(self, party: Party) -> Party:
        """The other end."""
        return self.callee if party is self.caller else self.caller

    def bye_to(self, party: Party, via: str, reason: str) -> SipRequest:
        """A BYE to one end, as if from the other.

        Args:
            via: ``SIP/2.0/UDP host:port;branch=…``.
            reason: Value of Reason (RFC 3326).
        """
        sender = self.other(party)
        sender.cseq += 1
        return self.request_to(party, "BYE", sender.cseq, via, (("reason", reason),))

    def request_to(
        self, party: Party, method: str, number: int, via: str, more: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> SipRequest:
        """A request to one end, as if from the other.

        Args:
            number: Of its CSeq. via: As above. more: Further ``(canonical name, value)``.
        """
        headers = [("via", via), *(("route", route) for route in party.routes)]
        headers += [
            ("max-forwards", "70"),
            ("from", self.other(party).address),
            ("to", party.address),
            ("call-id", self.call_id),
            ("cseq", f"{number} {method}"),
            *more,
        ]
        return build.request(method, party.target, headers, body)


CSEQ_GAP: Final = 20
"""Left above the INVITE's number: what the caller sent before the answer (PRACK, UPDATE) wasn't counted, and a number may be
skipped but not used twice (RFC 3261 §12.2.2)."""


def ends_of(request: SipRequest, response: SipResponse, caller_side: Reach, callee_side: Reach, own: Callable[[str], bool]) -> Ends | None:
    """The ends of the dialog that a 2xx to an initial INVITE sets up; None where a Contact is missing.

    Args:
        request: The INVITE as received, or what is kept of it.
        response: The 2xx as received, with our Record-Route in it, or what is kept of it.
        own: Whether a Record-Route value is ours.

    Raises:
        ParseError: a header that it takes can't be read.
    """
    if "contact" not in request or "contact" not in response:
        return None
    recorded = response.values("record-route")
    ours = [i for i, value in enumerate(recorded) if own(value)]
    beyond = recorded[: ours[0]][::-1] if ours else []
    before = request.values("record-route")
    target = NameAddr.parse(request.values("contact")[0]).uri_text
    caller = Party(request.get("from") or "", request.from_.tag, target, before, request.cseq + CSEQ_GAP, caller_side, request.cseq)
    # The callee's own numbers are unknown until it sends a request; any first one will do (RFC 3261 §12.2.1.1).
    callee = Party(
        response.get("to") or "", response.to.tag, NameAddr.parse(response.values("contact")[0]).uri_text, beyond, 0, callee_side
    )
    return Ends(request.call_id, caller, callee)
