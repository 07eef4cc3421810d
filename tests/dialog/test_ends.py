"""A call as the proxy saw it set up, pure."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.dialog.ends import CSEQ_GAP, Ends, ends_of
from sipnode.records import Reach
from sipnode.sip import build
from sipnode.sip.message import SipRequest, SipResponse


def invite(*extra: tuple[str, str], contact: str = "<sip:a@192.0.2.11>") -> SipRequest:
    """An INVITE as it was received."""
    lines = [("via", "SIP/2.0/UDP a;branch=z9hG4bKa"), ("from", '"A" <sip:a@x>;tag=ft'), ("to", "<sip:b@x>"), ("call-id", "c")]
    lines += [("cseq", "7 INVITE"), *([("contact", contact)] if contact else []), *extra]
    return build.request("INVITE", "sip:b@x", lines)


def answer(request: SipRequest, *extra: tuple[str, str]) -> SipResponse:
    """Its 200 as it was received."""
    return build.response_to(request, 200, "", "tt", (("contact", "<sip:b@192.0.2.12>"), *extra))


def call(request: SipRequest, response: SipResponse) -> Ends | None:
    """The call of both; our Record-Routes have ``ours`` in them."""
    return ends_of(request, response, Reach(), Reach(), lambda value: "ours" in value)


class CallTests(SynchronousTestCase):
    """Route sets, tags and numbers of both ends."""

    def test_parties(self) -> None:
        """Each end has its address with tag, its Contact, and its number."""
        found = call(invite(), answer(invite()))
        assert found is not None
        self.assertEqual((found.caller.address, found.caller.tag, found.caller.target), ('"A" <sip:a@x>;tag=ft', "ft", "sip:a@192.0.2.11"))
        self.assertEqual((found.callee.address, found.callee.tag, found.callee.target), ("<sip:b@x>;tag=tt", "tt", "sip:b@192.0.2.12"))
        self.assertEqual((found.caller.cseq, found.callee.cseq), (7 + CSEQ_GAP, 0))
        self.assertIs(found.party("ft"), found.caller)
        self.assertIs(found.party("tt"), found.callee)
        self.assertIsNone(found.party("x"))
        self.assertIs(found.other(found.caller), found.callee)

    def test_routes(self) -> None:
        """Proxies before us are the way to the caller, those behind us the way to the callee, nearest first on both."""
        request = invite(("record-route", "<sip:p2;lr>, <sip:p1;lr>"))
        recorded = ("record-route", "<sip:q2;lr>, <sip:q1;lr>, <sip:ours;r2>, <sip:ours>, <sip:p2;lr>, <sip:p1;lr>")
        found = call(request, answer(request, recorded))
        assert found is not None
        self.assertEqual(found.caller.routes, ["<sip:p2;lr>", "<sip:p1;lr>"])
        self.assertEqual(found.callee.routes, ["<sip:q1;lr>", "<sip:q2;lr>"])

    def test_bye(self) -> None:
        """A BYE to an end is as if the other end had sent it, each with a number of its own that grows."""
        found = call(invite(), answer(invite()))
        assert found is not None
        bye = found.bye_to(found.callee, "SIP/2.0/UDP us;branch=z9hG4bKb", "SIP;cause=480")
        self.assertEqual((bye.uri, bye.from_.tag, bye.to.tag, bye.cseq), ("sip:b@192.0.2.12", "ft", "tt", 8 + CSEQ_GAP))
        self.assertEqual(bye.get("reason"), "SIP;cause=480")
        back = found.bye_to(found.caller, "SIP/2.0/UDP us;branch=z9hG4bKc", "")
        self.assertEqual((back.uri, back.from_.tag, back.to.tag, back.cseq), ("sip:a@192.0.2.11", "tt", "ft", 1))

    def test_no_contact(self) -> None:
        """Where an end says no Contact no call is kept: nothing could be sent to it."""
        self.assertIsNone(call(invite(contact=""), answer(invite())))
