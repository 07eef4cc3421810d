"""Tests of :mod:`sipnode.trunk.trunks` and what it is made of: order, sources, numbers, health."""

from __future__ import annotations

import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.settings import TrunkSettings
from sipnode.sip.uri import SipUri
from sipnode.testing import FakeFlow
from sipnode.trunk.health import Health
from sipnode.trunk.numbers import Rewriting
from sipnode.trunk.trunk import Trunk
from sipnode.trunk.trunks import Trunks


def flow(host: str, *domains: str) -> FakeFlow:
    """A flow from there."""
    return FakeFlow("TLS", (host, 5061), "t", peer_domains=domains)


def made(**settings: Any) -> Trunk:
    """One trunk."""
    return Trunk("one", TrunkSettings(**settings))


class TrunkTests(SynchronousTestCase):
    """One trunk."""

    def test_faults(self) -> None:
        """What can't be together is refused with the key of the setting."""
        cases: list[tuple[dict[str, Any], str]] = [
            ({}, "trunk.one"), ({"address": "192.0.2.9", "register": True}, "trunk.one.user"),
            ({"address": "192.0.2.9", "trust": "tls"}, "trunk.one.domain"),
        ]  # fmt: skip
        for settings, key in cases:
            self.assertEqual(self.assertRaises(ConfigError, made, **settings).key, key)

    def test_where(self) -> None:
        """Host, port and realm come of address and domain, IPv6 too."""
        cases: list[tuple[dict[str, Any], tuple[Any, ...]]] = [
            ({"domain": "p.test"}, ("p.test", 0, "p.test", "p.test")),
            ({"domain": "P.test", "address": "192.0.2.9:5080", "realm": "r"}, ("192.0.2.9", 5080, "P.test", "r")),
            ({"address": "[2001:db8::1]:5080"}, ("[2001:db8::1]", 5080, "[2001:db8::1]", "2001:db8::1")),
            ({"domain": "2001:db8::1"}, ("[2001:db8::1]", 0, "[2001:db8::1]", "2001:db8::1")),
        ]
        for settings, wanted in cases:
            trunk = made(**settings)
            self.assertEqual((trunk.host, trunk.port, trunk.domain, trunk.realm), wanted)

    def test_target(self) -> None:
        """A number goes to the trunk's domain, rewritten; a foreign URI that it serves stays; both go to its address and nowhere else."""
        trunk = made(domain="p.test", address="192.0.2.9", domains=("else.test",), rewrite=("00>+", "0>+49", ">9"))
        texts = ("sip:0049123@x.test;transport=ws", "sip:030@x.test", "tel:+1", "sip:joe@else.test", "sips:joe@else.test")
        targets = [trunk.target(SipUri.parse(text)) for text in texts]
        uris = ["sip:+49123@p.test", "sip:+4930@p.test", "sip:9+1@p.test", "", ""]
        self.assertEqual([target.uri for target in targets], uris)
        self.assertEqual({target.reach.host for target in targets if target.reach}, {"192.0.2.9"})

    def test_rewriting(self) -> None:
        """The longest beginning counts and no other; nothing is left empty."""
        rewriting = Rewriting(("0>+49", "00>+", "112>"))
        numbers = ("030", "0044", "112", "1125", "7")
        self.assertEqual([rewriting(number) for number in numbers], ["+4930", "+44", "112", "5", "7"])

    def test_health(self) -> None:
        """Out after so many misses in a row, back with one answer; a 503 is a miss, a 404 is none."""
        health = Health(2)
        told = [health.silent("no answer"), health.heard(404, ""), health.silent(""), health.heard(503, "Full"), health.silent("")]
        self.assertEqual((told, health.up), ([False, False, False, True, False], False))
        self.assertEqual((health.heard(200, "OK"), health.up, health.reason, health.missed), (True, True, "200 OK", 0))

    def test_addresses(self) -> None:
        """Each address that the name had lately is its own, no other is."""
        trunk = made(domain="p.test")
        self.assertTrue(trunk.found(["192.0.2.9"], 0.0))
        self.assertFalse(trunk.found(["192.0.2.9"], 1.0))
        self.assertTrue(trunk.found(["192.0.2.8"], 2.0))
        self.assertEqual(trunk.addresses, {"192.0.2.9", "192.0.2.8"})
        trunk.found(["192.0.2.8"], 602.5)
        self.assertEqual(trunk.addresses, {"192.0.2.8"})


class TrunksTests(SynchronousTestCase):
    """Several."""

    def test_sources(self) -> None:
        """By address, by networks, by certificate, or never; an address says nothing where a certificate is wanted."""
        trunks = Trunks(
            {
                "a": TrunkSettings(address="192.0.2.9", sources=("198.51.100.0/24",)),
                "b": TrunkSettings(domain="b.test", address="192.0.2.10", trust="tls"),
                "c": TrunkSettings(address="192.0.2.11", trust="none"),
            }
        )
        cases = {
            flow("192.0.2.9"): ["a"], flow("198.51.100.7"): ["a"], flow("192.0.2.10"): [], flow("203.0.113.1", "b.test"): ["b"],
            flow("203.0.113.1", "x.test"): [], flow("192.0.2.11"): [], flow("192.0.2.90"): [],
        }  # fmt: skip
        for where, names in cases.items():
            for _ in range(2):
                self.assertEqual([trunk.name for trunk in trunks.at(where)], names, where)

    def test_accounts(self) -> None:
        """Of two accounts at one provider the one whose user is called."""
        trunks = Trunks({name: TrunkSettings(address="192.0.2.9", user=name) for name in ("one", "two")})
        found = [trunks.of(flow("192.0.2.9"), user) for user in ("two", "one", "else")]
        self.assertEqual([trunk.name for trunk in found if trunk], ["two", "one", "one"])

    def test_order(self) -> None:
        """Priority first; among equals as often as the weight says; those that are out don't come."""
        shares = {"far": TrunkSettings(address="192.0.2.1", priority=9), "big": TrunkSettings(address="192.0.2.2", weight=3)}
        trunks = Trunks({**shares, "small": TrunkSettings(address="192.0.2.3")}, random.Random(14).random)
        every = list(trunks)
        orders = [[trunk.name for trunk in trunks.ordered(every)] for _ in range(1000)]
        self.assertEqual({order[-1] for order in orders}, {"far"})
        self.assertGreater(sum(order[0] == "big" for order in orders), 600)
        self.assertGreater(sum(order[0] == "small" for order in orders), 100)
        every[1].health.up = False
        self.assertEqual([trunk.name for trunk in trunks.ordered(every)], ["small", "far"])

    def test_keys(self) -> None:
        """What a token names is that trunk; a device's key is none."""
        trunks = Trunks({"one": TrunkSettings(address="192.0.2.9")})
        one = trunks.get("one")
        assert one is not None
        self.assertIs(trunks.of_key(one.key), one)
        self.assertEqual([trunks.of_key(key) for key in ("", "one", "alice@example.test\n<urn:x>", "trunk:two")], [None] * 4)
