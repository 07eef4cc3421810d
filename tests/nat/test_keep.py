"""RFC 6223: a sender that asks may send keepalives, and is told how often."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from sipnode.settings import NatSettings, Settings
from sipnode.testing import Phone, World


class KeepTests(SynchronousTestCase):
    """A phone whose Via has keep."""

    def setUp(self) -> None:
        self.world = World()
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.bob.register()
        self.bob.take()

    def ask(self, method: str, parameters: str, phone: Phone | None = None) -> list[str]:
        """The Vias of the final response to a request whose Via has these parameters, as far as they stand behind rport."""
        phone = phone or self.alice
        host, port = phone.flow.remote
        uri = "sip:example.test" if method == "REGISTER" else self.bob.aor
        data = (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{id(parameters)}{method}{parameters}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:alice@example.test>;tag=1\r\nTo: <{phone.aor if method == 'REGISTER' else uri}>\r\n"
            f"Call-ID: {method}{hash(parameters)}\r\nCSeq: 1 {method}\r\nContact: <{phone.contact}>\r\nContent-Length: 0\r\n\r\n"
        )
        phone.world.sink.received(data.encode(), phone.flow)
        if method != "REGISTER":
            received = self.bob.got(method)
            self.bob.reply(received, 200)
        return phone.response(method).get_all("via")

    def test_told(self) -> None:
        """A request that registers or begins a dialog has the value in each response, be it ours or the callee's."""
        for method in ("REGISTER", "INVITE", "REFER"):
            for parameters in (";keep", ";rport;keep", ";keep;rport", ";KEEP "):
                (via,) = self.ask(method, parameters)
                self.assertIn(";keep=30", via)
                self.assertEqual(via.lower().count("keep"), 1)

    def test_as_it_is(self) -> None:
        """One with a value, another parameter, another method, or with a quote around it stays as it is."""
        for method, parameters in (
            ("REGISTER", ";keep=120"), ("REGISTER", ";keeper"), ("REGISTER", ""), ("MESSAGE", ";keep"), ("REGISTER", ';x="a;keep"'),
        ):  # fmt: skip
            (via,) = self.ask(method, parameters)
            self.assertNotIn("keep=30", via)

    def test_only_the_next_hop(self) -> None:
        """Keep of somebody behind another proxy isn't ours to answer."""
        (via, behind) = self.ask("REGISTER", ";rport\r\nVia: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKx;keep")
        self.assertNotIn("keep", via)
        self.assertTrue(behind.endswith(";keep"))

    def test_setting(self) -> None:
        """The value is a setting, 0 for none."""
        for seconds, expected in ((0, ";keep"), (95, ";keep=95")):
            self.world = World(Settings(nat=replace(NatSettings(), keep_seconds=seconds)))
            phone = self.world.phone("alice")
            (via,) = self.ask("REGISTER", ";rport;keep", phone)
            self.assertTrue(via.endswith(expected), via)
