"""Tests of which message belongs to which transaction (RFC 3261 §17.1.3, §17.2.3)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.sip.ids import new_branch
from sipnode.sip.message import SipRequest
from sipnode.sip.parser import parse_message
from sipnode.transaction import keys
from sipnode.transaction.keys import client_key
from tests.transaction.kit import answer, request

OLD = "Via: SIP/2.0/UDP 192.0.2.1:5060"


def server_key(one: SipRequest, source: str = "192.0.2.1", method: str = "") -> str:
    """The key of a request that came from there."""
    return keys.server_key(one, source, method)


class ServerTests(SynchronousTestCase):
    """Requests."""

    def test_repeat(self) -> None:
        """The same request has the same key, whatever else in it differs."""
        self.assertEqual(server_key(request()), server_key(request("INVITE", "z9hG4bKone", "Subject: x", to="<sip:other@d>;tag=1")))

    def test_parts(self) -> None:
        """Branch, sent-by and method each make another transaction."""
        keys = {
            server_key(one)
            for one in (
                request(),
                request("OPTIONS"),
                request(branch="z9hG4bKONE"),
                request(via="Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKone"),
                request(via="Via: SIP/2.0/UDP 192.0.2.1:5061;branch=z9hG4bKone"),
                request(via="Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKone"),
            )
        }
        self.assertEqual(len(keys), 6)

    def test_sent_by_in_any_case(self) -> None:
        """A host name is the same in any case."""
        one, two = (request(via=f"Via: SIP/2.0/UDP {host};branch=z9hG4bKx") for host in ("Host.Example", "host.example"))
        self.assertEqual(server_key(one), server_key(two))

    def test_ack(self) -> None:
        """An ACK finds the INVITE that it acknowledges."""
        self.assertEqual(server_key(request("ACK")), server_key(request()))

    def test_cancel(self) -> None:
        """A CANCEL is a transaction of its own, and finds the INVITE when asked for it."""
        self.assertNotEqual(server_key(request("CANCEL")), server_key(request()))
        self.assertEqual(server_key(request("CANCEL"), method="INVITE"), server_key(request()))

    def test_without_cookie(self) -> None:
        """Peers of RFC 2543, and a bare cookie (RFC 4475 §3.2.1): Request-URI, From tag, Call-ID, CSeq and the top Via."""
        for via in (OLD, OLD + ";branch=1", OLD + ";branch=z9hG4bK"):
            invite = server_key(request(via=via))
            self.assertEqual(server_key(request(via=via)), invite)
            self.assertEqual(server_key(request("ACK", via=via, to="<sip:b@c>;tag=ours")), invite)
            self.assertEqual(server_key(request("CANCEL", via=via), method="INVITE"), invite)
            others = [
                request(via=via, cseq=2),
                request("OPTIONS", via=via),
                request(via=via.replace("192.0.2.1", "192.0.2.2")),
                request(via=via + ";x=1"),
                changed(via, "Call-ID: c1", "Call-ID: c2"),
                changed(via, "tag=f1", "tag=f2"),
                changed(via, "INVITE sip:b@c SIP", "INVITE sip:b@d SIP"),
            ]
            self.assertEqual(len({server_key(other) for other in others} | {invite}), 8)

    def test_stamped(self) -> None:
        """received and rport that the transport fills in don't make another transaction."""
        for via in (OLD, OLD + ";rport", OLD + ";branch=z9hG4bK1;rport"):
            before, after = request(via=via), request(via=via)
            self.assertIsNotNone(after.via)
            after.stamp_via("192.0.2.77", 7)
            self.assertEqual(server_key(after), server_key(before))

    def test_faults(self) -> None:
        """What a key takes and can't be read is a fault, not a key."""
        self.assertRaises(ParseError, server_key, request(via="Via: nonsense"))
        self.assertRaises(ParseError, server_key, request(via="X: y"))
        self.assertRaises(ParseError, server_key, changed(OLD, "CSeq: 1", "CSeq: x"))


def changed(via: str, old: str, new: str) -> SipRequest:
    """An INVITE with another text in it."""
    message = parse_message(request(via=via).to_bytes().replace(old.encode(), new.encode()))
    assert isinstance(message, SipRequest)
    return message


class ClientTests(SynchronousTestCase):
    """Responses."""

    def test_parts(self) -> None:
        """Branch of the top Via and method of CSeq."""
        self.assertEqual(client_key(answer(request(), 200)), "z9hG4bKone\nINVITE")
        self.assertEqual(client_key(answer(request("CANCEL"), 200)), "z9hG4bKone\nCANCEL")

    def test_our_own_branches(self) -> None:
        """Branches made here are found by a shorter way, to the same key, however the far end spells our Via."""
        branch = new_branch()
        for via in (
            f"Via: SIP/2.0/UDP h:5060;branch={branch}",
            f"Via: SIP/2.0/WSS h;branch={branch};received=192.0.2.1;rport=5",
            f"VIA: SIP/2.0/UDP h;branch={branch}, SIP/2.0/UDP two;branch={branch}x",
            f"v:SIP/2.0/UDP h;rport=5;branch={branch}",
            f"via : SIP / 2.0 / UDP h ; branch = {branch}",
            f"Via: SIP/2.0/UDP h\r\n ;branch={branch}",
            f"Via: SIP/2.0/UDP [::1]:5060;branch={branch}",
        ):
            self.assertEqual(client_key(answer(request(via=via), 200)), f"{branch}\nINVITE", via)
        for more in ("x", "_", "+1", "/", "="):
            self.assertEqual(client_key(answer(request(via=f"Via: SIP/2.0/UDP h;branch={branch}{more}"), 200)), f"{branch}{more}\nINVITE")

    def test_faults(self) -> None:
        """A response whose Via or CSeq can't be read belongs to nothing."""
        self.assertRaises(ParseError, client_key, answer(request(via="Via: nonsense"), 200))
        self.assertRaises(ParseError, client_key, answer(request(via="X: y"), 200))
        self.assertRaises(ParseError, client_key, answer(changed(f"Via: SIP/2.0/UDP h;branch={new_branch()}", "CSeq: 1", "CSeq: x"), 200))
