"""Tests of the rules for phones that are otherwise."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.forms import FORMS
from sipnode.nat.rules import NatRules, is_natted, is_pinged
from sipnode.sip import build
from sipnode.sip.message import SipRequest


def from_agent(name: str) -> SipRequest:
    """A request of a User-Agent."""
    return build.request("OPTIONS", "sip:a@example.test", (("user-agent", name),) if name else ())


class RulesTests(SynchronousTestCase):
    """NatRules."""

    def test_first_that_fits(self) -> None:
        """Rules are looked at in their order: by the beginning of the User-Agent or the network of the source."""
        rules = NatRules(("agent Gate: direct", "network 192.0.2.0/24: natted no-ping", "agent Phone: no-ping"))
        for agent, host, natted, pinged in (
            ("Gate/1", "192.0.2.7", False, True),
            ("Other", "192.0.2.7", True, False),
            ("", "192.0.2.7", True, False),
            ("Phone 2", "198.51.100.1", None, False),
            ("A Phone", "198.51.100.1", None, True),
            ("", "not an address", None, True),
        ):
            request = from_agent(agent)
            for _ in range(2):
                self.assertEqual((is_natted(rules, request, host), is_pinged(rules, request, host)), (natted, pinged), agent)

    def test_bounded(self) -> None:
        """A crowd of invented names doesn't grow memory."""
        rules = NatRules(("agent x: natted",))
        for number in range(5000):
            rules.words(from_agent(f"agent {number}"), "192.0.2.1")
        self.assertLessEqual(len(rules._known), 4096)

    def test_form(self) -> None:
        """What is no rule is told with what one has to be like."""
        for good in ("agent Cisco-CP79: via-port", "network 192.0.2.0/24: natted no-ping", "network 2001:db8::/32: direct"):
            FORMS["natrule"](good)
            NatRules((good,))
        for bad in ("", "agent: via-port", "agent X via-port", "agent X: port", "agent X:", "network here: direct", "host X: direct"):
            self.assertRaises(ValueError, FORMS["natrule"], bad)
        self.assertRaises(ValueError, FORMS["natrule"], "network 10.0.0.1/8: direct")
        self.assertRaises(ConfigError, NatRules, ("network here: direct",))
