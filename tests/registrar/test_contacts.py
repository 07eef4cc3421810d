from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.records import BindingFlag
from sipnode.registrar.contacts import LEADS_BACK, NOT_REACHED, ContactPolicy
from sipnode.registrar.register import Source
from sipnode.sip.hosts import normal_host
from sipnode.sip.uri import SipUri

OWN = {("192.0.2.1", 5060), ("192.0.2.1", 0), ("192.0.2.1", 5061), ("pbx.test", 5070)}


def refusal(contact: str, source: Source | None = None) -> str:
    policy = ContactPolicy(
        lambda host: normal_host(host) == "example.test",
        lambda host, port: (host, port) in OWN,
        lambda host, port, peer: "loopback" if host.startswith("127.") and not peer.startswith("127.") else "",
        lambda host: host in ("192.0.2.1", "pbx.test"),
    )
    return policy(SipUri.parse(contact), source or Source(socket="udp:192.0.2.1:5060", peer="198.51.100.1"))


class ContactPolicyTests(SynchronousTestCase):
    """Which contacts no REGISTER gets in."""

    def test_leads_back(self) -> None:
        """A contact that leads back here by its host, its port, maddr or alias is refused, in any spelling."""
        for contact in (
            "sip:m@example.test",
            "sip:m@EXAMPLE.test.:9999",
            "sip:m@192.0.2.1",
            "sip:m@192.0.2.1:5060;transport=tcp",
            "sips:m@192.0.2.1",
            "sip:m@192.0.2.1;transport=tls",
            "sip:m@192.0.513:5060",
            "sip:m@[::ffff:192.0.2.1]:5060",
            "sip:m@pbx.test:5070",
            "sip:m@pbx.test",
            "sip:m@198.51.100.1;maddr=192.0.2.1",
            "sip:m@198.51.100.1:5060;maddr=example%2etest",
            "sip:m@198.51.100.1;alias=192.0.2.1~5060~1",
        ):
            self.assertEqual(refusal(contact), LEADS_BACK, contact)
        self.assertRaises(ParseError, refusal, "sip:m@198.51.100.1;alias=192.0.2.1~x~1")

    def test_others(self) -> None:
        """A phone beside the server, at another port of the same address, and any other host are taken."""
        aliased = "sip:m@10.0.0.1;alias=198.51.100.1~9~1"
        for contact in ("sip:m@192.0.2.1:5090", "sip:m@pbx.test:5090", "sip:m@198.51.100.1", "sip:m@phone.example.test", aliased):
            self.assertEqual(refusal(contact), "", contact)

    def test_browser(self) -> None:
        """What a browser calls itself leads nowhere but down its connection."""
        source = Source("sip:198.51.100.1:4000;transport=ws", "ws:192.0.2.1:80", "token", int(BindingFlag.RTPWS | BindingFlag.NATB))
        self.assertEqual(refusal("sip:m@example.test;transport=ws", source), "")

    def test_not_reached(self) -> None:
        """An address that wouldn't be sent to is refused at once, but for who is reached where it was seen or is on loopback itself."""
        self.assertEqual(refusal("sip:m@127.0.0.9:5070"), NOT_REACHED)
        natted = Source("sip:198.51.100.1:9", cflags=int(BindingFlag.NATB), peer="198.51.100.1")
        self.assertEqual(refusal("sip:m@127.0.0.9:5070", natted), "")
        self.assertEqual(refusal("sip:m@127.0.0.9:5070", Source(peer="127.0.0.1")), "")
        stream = Source("sip:198.51.100.1:9;transport=tcp", connection_id="t", peer="198.51.100.1")
        self.assertEqual(refusal("sip:m@127.0.0.9:5070", stream), NOT_REACHED)
