from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.proxy.identity import NOTHING, judge, remove_claims
from sipnode.sip.hosts import normal_host
from sipnode.sip.message import SipRequest, SipResponse
from sipnode.sip.parser import parse_message

ALICE = "alice@example.test"
CLAIMS = (
    "P-Asserted-Identity: <sip:ceo@example.test>",
    "p-asserted-identity : <sip:ceo@example.test>",
    "P-ASSERTED-IDENTITY:\r\n <sip:ceo@example.test>",
    'P-Asserted-Identity: "alice@example.test" <sip:ceo@example.test>',
    "P-Asserted-Identity: <sip:alice@example.test>, <tel:+15550100>",
    "P-Preferred-Identity: <sip:ceo@example.test>",
    "Remote-Party-ID: <sip:ceo@example.test>;party=calling;screen=yes",
    "P-Asserted-Service: urn:urn-7:3gpp-service.ims.icsi.mmtel",
    "Identity: e30.e30.x;info=<https://cert.test/a>;alg=ES256",
    "y: e30.e30.x;info=<https://cert.test/a>",
    "n: <https://cert.test/a>",
    "X-Asserted-Identity: ceo",
    "P-Served-User: <sip:ceo@example.test>",
    "Attestation-Info: A",
    "Diversion: <sip:ceo@example.test>;reason=unconditional",
    "History-Info: <sip:ceo@example.test>;index=1, <sip:bob@example.test>;index=1.1",
)
ANSWERS = (
    "Alert-Info: <http://x.test>;info=alert-autoanswer;delay=0",
    "alert-info: info=ring-answer",
    "Alert-Info: Intercom",
    "Alert-Info: <http://127.0.0.1/ring.wav>",
    "Alert-Info: <urn:alert:source:internal>, <x>;info=alert-autoanswer",
    "Answer-Mode: Auto",
    "Priv-Answer-Mode: Auto;require",
    "Call-Info: <sip:x.test>;answer-after=0",
    "call-info: <http://x.test/a>;purpose=icon, <sip:x>;Answer-After=0",
    "P-Auto-Answer: normal",
    "X-AutoAnswer: TRUE",
    "Auto-Answer: on",
    "X-Intercom: 1",
    "P-Alerting-Mode: MAO",
)
HARMLESS = (
    "Alert-Info: <urn:alert:service:call-waiting>",
    "Alert-Info: <http://127.0.0.1/Bellcore-dr2>",
    "Alert-Info: ;info=alert-internal",
    "Call-Info: <http://x.test/a.png>;purpose=icon",
    "Privacy: none",
    "Referred-By: <sip:bob@example.test>",
    "X-Account: 7",
)


def is_local(host: str) -> bool:
    return normal_host(host) in ("example.test", "192.0.2.1")


def request(*lines: str, method: str = "INVITE") -> SipRequest:
    head = [
        f"{method} sip:bob@example.test SIP/2.0",
        "Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKabc",
        "From: <sip:alice@example.test>;tag=1",
        "To: <sip:bob@example.test>",
        "Call-ID: x",
        f"CSeq: 1 {method}",
        *lines,
    ]
    made = parse_message("\r\n".join([*head, "", ""]).encode())
    assert isinstance(made, SipRequest)
    return made


def left(sender: str, *lines: str, trusted: bool = False, may_answer: bool = False) -> list[str]:
    """Those of the lines that go on, and what goes on in place of others."""
    asked = request(*lines)
    gone, added, _ = judge(asked, sender, trusted, may_answer, is_local)
    kept = [line for position, line in enumerate(asked.lines) if position not in gone]
    return [line for line in kept if line in lines] + [f"{name}: {value}" for name, value in added]


class JudgeTests(SynchronousTestCase):
    """Which header lines of a request go on."""

    def test_nothing_there(self) -> None:
        """A request without any of them is let alone."""
        self.assertIs(judge(request(), "", False, False, is_local), NOTHING)

    def test_claims(self) -> None:
        """What says who somebody is goes on from trusted addresses alone, in whatever spelling, beside whatever else."""
        for line in CLAIMS:
            for sender in ("", ALICE):
                self.assertEqual(left(sender, line), [], line)
                self.assertEqual(left(sender, "Subject: a", line, CLAIMS[0]), ["Subject: a"], line)
            self.assertEqual(left("", line, trusted=True), [line])

    def test_own_identity(self) -> None:
        """What a user says of itself goes on as our own assertion, without what else stood there; with Privacy it doesn't go on."""
        ours = ["p-asserted-identity: <sip:alice@example.test>"]
        for line in (
            "P-Preferred-Identity: <sip:alice@example.test>",
            'P-Asserted-Identity: "The CEO" <sip:alice@EXAMPLE.test.>;x=y',
            "Remote-Party-ID: <sips:alice@example.test:5061>;screen=yes",
        ):
            self.assertEqual(left(ALICE, line), ours, line)
            self.assertEqual(left(ALICE, line, "Privacy: none;id"), ["Privacy: none;id"])
            self.assertEqual(left("", line), [])
        own = "Diversion: <sip:alice@example.test>;reason=no-answer"
        self.assertEqual(left(ALICE, own), [own])
        self.assertEqual(left("", own), [])

    def test_private_trunk(self) -> None:
        """What a trunk asserts of a caller that wants to be private doesn't reach a phone (RFC 3325 §7)."""
        lines = ("P-Asserted-Identity: <sip:+15550100@carrier.test>", "Privacy: id")
        self.assertEqual(left("", *lines, trusted=True), ["Privacy: id"])

    def test_answers(self) -> None:
        """What makes a phone answer by itself goes on from trusted addresses, and from users where the setting says so."""
        for line in ANSWERS:
            for sender in ("", ALICE):
                self.assertEqual(left(sender, line), [], line)
                self.assertEqual(left(sender, line, may_answer=True), [line])

    def test_harmless(self) -> None:
        """Rings that are standard, pictures, and what nobody is known by go on."""
        for line in HARMLESS:
            self.assertEqual(left("", line), [line])

    def test_credentials(self) -> None:
        """Credentials for a realm of ours end here, whoever sends them, however they are written; those for others go on."""
        for realm in ('"example.test"', '"EXAMPLE.test."', '"example\\.test"', "example.test", '"192.0.2.1"', '"example.test'):
            for name in ("Proxy-Authorization", "Authorization"):
                line = f'{name}: Digest username="alice", nonce="x", realm={realm}'
                self.assertEqual(left("", line, trusted=True), [], line)
                self.assertEqual(left(ALICE, "Subject: x", line), ["Subject: x"])
        for line in ('Proxy-Authorization: Digest realm="else.test", username="a"', "Authorization: Bearer x"):
            self.assertEqual(left(ALICE, line), [line])

    def test_count(self) -> None:
        """Claims are counted; credentials, and what became our own assertion, aren't."""
        lines = (CLAIMS[0], ANSWERS[0], "P-Preferred-Identity: <sip:alice@example.test>", 'Authorization: Digest realm="example.test"')
        self.assertEqual(judge(request(*lines), ALICE, False, False, is_local).claims, 2)


class ResponseTests(SynchronousTestCase):
    """What a callee asserts."""

    def test_claims(self) -> None:
        """Claims of a callee are taken out; nothing else is."""
        text = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nCall-Info: <x>;answer-after=0\r\n" + "".join(
            f"{line}\r\n" for line in CLAIMS[:3]
        )
        response = parse_message((text + "\r\n").encode())
        assert isinstance(response, SipResponse)
        self.assertEqual((remove_claims(response), remove_claims(response)), (1, 0))
        self.assertNotIn("p-asserted-identity", response)
        self.assertIn("call-info", response)
