"""Tests of what natted senders' messages get."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.nat.fixup import alias_contact, fix_nated_register, wants_alias
from sipnode.records import BindingFlag
from tests.nat.test_tests import request


class RegisterTests(SynchronousTestCase):
    """Flags of a binding."""

    def test_flags(self) -> None:
        """A WebSocket end is natted and web whatever was found; others are natted when something was; pings are for UDP."""
        natb, ping, web = BindingFlag.NATB, BindingFlag.NATSIPPING, BindingFlag.RTPWS
        for hits, transport, flags in (
            (0, "UDP", 0),
            (0, "TCP", 0),
            (0, "TLS", 0),
            (0, "WS", natb | web),
            (64, "WSS", natb | web),
            (1, "UDP", natb | ping),
            (2, "TCP", natb),
            (16, "TLS", natb),
        ):
            self.assertEqual(fix_nated_register(hits, transport), flags, (hits, transport))


class AliasTests(SynchronousTestCase):
    """Contact of a message that is forwarded."""

    def test_alias(self) -> None:
        """The copy gets the alias, once; the received message stays."""
        made = request(contact="<sip:a@h.invalid;transport=ws>")
        copy = made.copy()
        self.assertTrue(alias_contact(copy, "192.0.2.7", 9, "WSS"))
        self.assertFalse(alias_contact(copy, "192.0.2.7", 9, "WSS"))
        self.assertEqual(copy.get("contact"), "<sip:a@h.invalid;transport=ws;alias=192.0.2.7~9~6>")
        self.assertEqual(made.get("contact"), "<sip:a@h.invalid;transport=ws>")

    def test_no_contact(self) -> None:
        """A message without a Contact is left alone."""
        made = request(contact=None)
        self.assertFalse(alias_contact(made, "192.0.2.7", 9, "WS"))
        self.assertNotIn("contact", made)

    def test_wanted(self) -> None:
        """Pages always want one, others when their private contact isn't where the message came from."""
        self.assertTrue(wants_alias(request(contact="<sip:a@h.invalid>"), "192.0.2.7", 9, True))
        self.assertTrue(wants_alias(request(contact="<sip:a@10.0.0.1:5060>"), "192.0.2.7", 9, False))
        self.assertFalse(wants_alias(request(contact="<sip:a@10.0.0.1:5060>"), "10.0.0.1", 5060, False))
        self.assertTrue(wants_alias(request(contact="<sip:a@10.0.0.1:5060>"), "10.0.0.1", 5061, False))
        self.assertFalse(wants_alias(request(contact="<sip:a@203.0.113.5>"), "192.0.2.7", 9, False))
        self.assertFalse(wants_alias(request(contact=None), "192.0.2.7", 9, True))
        self.assertFalse(wants_alias(request(contact="<sip:a@10.0.0.1:x>"), "192.0.2.7", 9, False))
