"""This server as the edge of another registrar: REGISTER goes on with a Path, and calls come back by it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.settings import EdgeSettings, Settings
from sipnode.sip.address import NameAddr
from sipnode.sip.message import SipRequest
from sipnode.testing import DOMAIN, Phone, World

SETTINGS = Settings(edge=EdgeSettings(domains=("pbx.test",), registrar="192.0.2.50:5060"))


class EdgeTests(SynchronousTestCase):
    """A PBX at 192.0.2.50, and users of pbx.test at this server; its own users have passwords."""

    def setUp(self) -> None:
        self.world = World(SETTINGS, users={"carol": "secret"})
        self.pbx = self.world.phone("pbx", host="192.0.2.50", domain="pbx.test")

    def user(self, transport: str = "WS", host: str = "") -> Phone:
        """A phone or page of a user of the PBX."""
        return self.world.phone("bob", transport, host, domain="pbx.test")

    def register(self, phone: Phone, supported: str = "path, outbound") -> SipRequest:
        """Its REGISTER as the PBX gets it, answered there."""
        phone.send("REGISTER", "sip:pbx.test", [("expires", "300"), ("supported", supported)], to=f"<{phone.aor}>")
        got = self.pbx.got("REGISTER")
        self.pbx.reply(got, 200, headers=[("path", got.get("path") or "")])
        self.assertEqual(phone.statuses(), [200])
        return got

    def test_register(self) -> None:
        """REGISTER goes on with our Path on it, whose ob says that the flow is kept; our Via alone is new."""
        got = self.register(self.user())
        path = NameAddr.parse(got.values("path")[0]).uri
        self.assertEqual((path.host, path.params.get("ob"), "lr" in path.params, len(got.values("via"))), ("192.0.2.1", "", True, 2))
        self.assertNotIn("record-route", got)

    def test_no_outbound(self) -> None:
        """Without outbound, or behind another proxy, there is no ob: we can't speak for the flow."""
        self.assertNotIn("ob", NameAddr.parse(self.register(self.user(), "path").values("path")[0]).uri.params)
        phone = self.user("TCP")
        more = [("supported", "outbound"), ("via", "SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKq"), ("path", "<sip:10.0.0.1;lr;ob>")]
        phone.send("REGISTER", "sip:pbx.test", more, to=f"<{phone.aor}>")
        values = self.pbx.got("REGISTER").values("path")
        self.assertEqual((len(values), values[1]), (2, "<sip:10.0.0.1;lr;ob>"))
        self.assertNotIn("ob", NameAddr.parse(values[0]).uri.params)

    def test_speaks_for_a_device(self) -> None:
        """A registrar may refuse a Path without Supported: path (RFC 3327 §5.3): we say it for a device that doesn't."""
        for supported, expected in (("outbound", ["outbound", "path"]), ("", ["path"]), ("gruu, Path", ["gruu", "Path"])):
            phone = self.user()
            more = [("supported", supported)] if supported else []
            phone.send("REGISTER", "sip:pbx.test", more, to=f"<{phone.aor}>")
            self.assertEqual(self.pbx.got("REGISTER").values("supported"), expected)
        phone.send("MESSAGE", "sip:dave@pbx.test")
        self.assertNotIn("supported", self.pbx.got("MESSAGE"))

    def test_challenge_passes(self) -> None:
        """Whom the PBX asks for a password is asked, with its own challenge."""
        phone = self.user()
        phone.send("REGISTER", "sip:pbx.test", to=f"<{phone.aor}>")
        asked = [("www-authenticate", 'Digest realm="pbx.test", nonce="n1", algorithm=MD5')]
        self.pbx.reply(self.pbx.got("REGISTER"), 401, headers=asked)
        self.assertIn('realm="pbx.test"', phone.response("REGISTER").get("www-authenticate") or "")

    def test_called(self) -> None:
        """A call by the Path goes down the connection that the REGISTER came by, and its dialog goes through us, both ways."""
        for transport in ("WS", "TCP", "UDP"):
            self.setUp()
            phone = self.user(transport)
            path = self.register(phone).get("path") or ""
            invite = self.pbx.send("INVITE", phone.contact, [("route", path)], to=f"<{phone.aor}>")
            received = phone.got("INVITE")
            self.assertEqual((received.uri, received.get("route")), (phone.contact, None))
            answered = phone.reply(received, 200)
            answer = self.pbx.response("INVITE")
            self.pbx.ack(invite, answer)
            phone.got("ACK")
            phone.within("BYE", received, answered, False)
            self.pbx.got("BYE")

    def test_calls(self) -> None:
        """A call of such a user goes to the PBX, which says whom it knows; the callee's dialog finds its way back."""
        phone = self.user()
        self.register(phone)
        invite = phone.send("INVITE", "sip:dave@pbx.test")
        received = self.pbx.got("INVITE")
        self.assertEqual(received.uri, "sip:dave@pbx.test")
        answered = self.pbx.reply(received, 200)
        phone.ack(invite, phone.response("INVITE"))
        self.pbx.got("ACK")
        self.pbx.within("BYE", received, answered, False)
        phone.got("BYE")

    def test_flow_gone(self) -> None:
        """The connection is gone: 430, so that the registrar tries the next flow of the device."""
        phone = self.user()
        path = self.register(phone).get("path") or ""
        self.world.close(phone)
        self.pbx.send("INVITE", phone.contact, [("route", path)])
        self.assertEqual(self.pbx.statuses(), [430])

    def test_forged(self) -> None:
        """A Path that was touched, or made by another server, opens nothing: 403. One of yesterday doesn't either."""
        phone = self.user()
        path = self.register(phone).get("path") or ""
        token = path.partition("!")[2].partition("@")[0]
        for wrong in (token[:-4] + "AAAA", "", "F", "A" + token[1:], token + "A", "F" + "é" * 8):
            self.pbx.send("INVITE", phone.contact, [("route", path.replace(token, wrong) if wrong else path.replace(token, ""))])
            self.assertEqual(self.pbx.statuses(), [403], wrong)
        self.world.clock.advance(90_000)
        self.pbx.send("MESSAGE", phone.contact, [("route", path)])
        self.assertEqual(self.pbx.statuses(), [403])
        self.assertNotIn("INVITE", [message.method for message in phone.take() if isinstance(message, SipRequest)])

    def test_nobody_elses(self) -> None:
        """It is an edge for those domains only: other foreign domains are refused as before, and our own users sign in here."""
        stranger = self.world.phone("eve", domain="elsewhere.test")
        stranger.send("REGISTER", "sip:elsewhere.test", to="<sip:eve@elsewhere.test>")
        stranger.send("INVITE", "sip:dave@elsewhere.test")
        self.assertEqual([status for status in stranger.statuses() if status > 100], [403, 403])
        carol = self.world.phone("carol")
        self.assertEqual(carol.register().status, 200)
        self.assertEqual(self.pbx.take(), [])

    def test_one_way_out(self) -> None:
        """What is for those domains goes to their registrar, whatever Route or maddr its sender writes: nobody is relayed elsewhere."""
        phone = self.user()
        phone.send("MESSAGE", "sip:dave@pbx.test;maddr=198.51.100.66", [("route", "<sip:198.51.100.66;lr>")])
        self.assertNotIn("route", self.pbx.got("MESSAGE"))
        self.assertEqual([flow.remote for flow in self.world.flows.flows if flow.remote[0] == "198.51.100.66"], [])

    def test_wrong(self) -> None:
        """A registrar's address that can't be read, and a domain that is ours, too, stop the start by the setting's name."""
        for edge, key in (
            (EdgeSettings(("pbx.test",), "192.0.2.50"), "registrar"),
            (EdgeSettings((DOMAIN,), "192.0.2.50:5060"), "domains"),
        ):
            error = self.assertRaises(ConfigError, World, Settings(edge=edge))
            self.assertEqual(error.key, f"edge.{key}")
