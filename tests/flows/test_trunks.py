"""Calls by trunks, from the first INVITE to the last failure, in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.proxy.destinations import Destinations
from sipnode.records import Hop
from sipnode.routing import Fork, Managed, Request, RoutingScript, Step
from sipnode.settings import AuthSettings, Settings, TrunkSettings
from sipnode.sip.digest import MD5, ha1, matches, parse_credentials
from sipnode.sip.message import SipRequest, SipResponse
from sipnode.testing import DOMAIN, Phone, World

HOST = "203.0.113.9"
OTHER = "203.0.113.10"
OFFER = 'Digest realm="provider.test", nonce="{}", algorithm=MD5, qop="auth"{}'
MAIN = TrunkSettings(
    domain="provider.test", address=HOST, user="us", password="secret", prefixes=("+", "00"), rewrite=("00>+",), domains=("served.test",),
    ping_seconds=0.0,
)  # fmt: skip


class Provider(Phone):
    """The other end of a trunk."""

    def challenge(self, request: SipRequest, nonce: str = "n", more: str = "", status: int = 407, realm: str = "") -> None:
        """Ask who we are."""
        name = "proxy-authenticate" if status == 407 else "www-authenticate"
        value = OFFER.format(nonce, more)
        self.reply(request, status, headers=((name, value.replace("provider.test", realm) if realm else value),))


class TrunkCase(SynchronousTestCase):
    """Alice is registered; a provider is at the trunk ``main``."""

    def made(self, script: type[RoutingScript] | None = None, destinations: Destinations | None = None, **trunks: TrunkSettings) -> None:
        settings = replace(Settings(), trunk=trunks or {"main": MAIN}, auth=AuthSettings(enabled=True))
        self.world = World(settings, script=script, destinations=destinations)
        self.alice = self.world.phone("alice")
        self.alice.register()
        self.alice.take()
        self.provider = self.at(HOST)
        self.addCleanup(self.world.trunks.stopService)

    def at(self, host: str) -> Provider:
        phone = self.world.phone("provider", host=host, domain="provider.test")
        phone.__class__ = Provider
        assert isinstance(phone, Provider)
        return phone

    def setUp(self) -> None:
        self.made()

    def silent(self, *phones: Phone) -> None:
        for phone in phones:
            self.assertEqual(phone.take(), [])


class OutTests(TrunkCase):
    """Calls to a trunk."""

    def test_number(self) -> None:
        """A number that a trunk serves, dialled at our domain or as tel URI, goes to its domain and address as its rules want it."""
        for uri in (f"sip:0049123@{DOMAIN}", f"sip:+49123@{DOMAIN}", "tel:+49123", "sip:+49123@192.0.2.1"):
            self.alice.send("INVITE", uri)
            invite = self.provider.got("INVITE")
            self.assertEqual(invite.uri, "sip:+49123@provider.test")
            self.assertNotIn("secret", invite.to_bytes().decode())
            self.provider.reply(invite, 486)
            self.assertEqual(self.alice.statuses()[-1], 486)

    def test_domain(self) -> None:
        """A foreign domain that it serves goes by it, with its URI as it is; a number at another foreign domain doesn't."""
        self.alice.send("INVITE", "sip:joe@served.test")
        self.assertEqual(self.provider.got("INVITE").uri, "sip:joe@served.test")
        self.alice.send("INVITE", "sip:+49123@elsewhere.test")
        self.silent(self.provider)

    def test_own_number(self) -> None:
        """A number that a user of ours has registered rings there."""
        bob = self.world.phone("+49123")
        bob.register()
        self.alice.send("INVITE", f"sip:+49123@{DOMAIN}")
        bob.got("INVITE")
        self.silent(self.provider)

    def test_strangers(self) -> None:
        """Nobody from outside calls through us: neither numbers, nor domains, nor by a Route or maddr of its own."""
        eve = self.world.phone("eve", domain="else.test")
        for uri in (f"sip:+49123@{DOMAIN}", "tel:+49123", "sip:joe@served.test", f"sip:+49123@{HOST}", f"sip:x@{DOMAIN};maddr={HOST}"):
            for headers in ((), (("route", f"<sip:{HOST};lr>"),)):
                eve.send("INVITE", uri, headers)
                self.assertGreaterEqual(eve.statuses()[-1], 400, uri)
                self.silent(self.provider)

    def test_nobody_calls_out(self) -> None:
        """Where foreign domains are for nobody, trunks aren't either."""
        settings = self.world.core.settings
        self.world.core.renew(replace(settings, proxy=replace(settings.proxy, foreign="none")))
        self.world.reload()
        self.alice.send("INVITE", f"sip:+49123@{DOMAIN}")
        self.assertEqual(self.alice.statuses()[-1], 403)
        self.silent(self.provider)

    def test_call(self) -> None:
        """A call is up, and each end hangs up."""
        for by_alice in (True, False):
            call = self.alice.send("INVITE", f"sip:+49123@{DOMAIN}", body=b"v=0")
            invite = self.provider.got("INVITE")
            answered = self.provider.reply(invite, 200, b"v=0")
            answer = self.alice.response("INVITE")
            self.alice.within("ACK", call, answer, True)
            self.provider.got("ACK")
            if by_alice:
                self.alice.within("BYE", call, answer, True)
                self.provider.reply(self.provider.got("BYE"), 200)
                self.assertEqual(self.alice.statuses(), [200])
            else:
                self.provider.within("BYE", invite, answered, False)
                self.alice.reply(self.alice.got("BYE"), 200)
                self.assertEqual(self.provider.statuses(), [200])


class DigestTests(TrunkCase):
    """The trunk wants to know who we are."""

    def invited(self) -> SipRequest:
        self.call = self.alice.send("INVITE", f"sip:+49123@{DOMAIN}", body=b"v=0\r\n")
        return self.provider.got("INVITE")

    def test_answered(self) -> None:
        """401 and 407 are answered in a new transaction with the same body; the caller hears nothing of it, and the call goes on."""
        for status, name in ((401, "authorization"), (407, "proxy-authorization")):
            first = self.invited()
            self.alice.take()
            self.provider.challenge(first, status=status)
            self.assertEqual(self.provider.got("ACK").via.branch, first.via.branch)
            second = self.provider.got("INVITE")
            self.assertNotEqual(second.via.branch, first.via.branch)
            self.assertEqual((second.uri, second.body, second.call_id), (first.uri, first.body, first.call_id))
            sent = parse_credentials(second.get(name) or "")
            self.assertTrue(matches(sent, ha1(MD5, "us", "provider.test", "secret"), "INVITE"))
            self.assertEqual(sent.uri, second.uri)
            self.silent(self.alice)
            self.provider.reply(second, 200)
            self.assertEqual(self.alice.statuses(), [200])

    def test_for_ever(self) -> None:
        """A provider that challenges for ever gets one answer, or two where it says that the nonce was too old; the caller gets 502, not
        a challenge that its phone would answer with a password of its own.
        """
        for more, most in (("", 2), (", stale=true", 3)):
            request, sent = self.invited(), 0
            while request is not None:
                sent += 1
                self.provider.challenge(request, f"n{sent}", more)
                waiting = [one for one in self.provider.take() if isinstance(one, SipRequest) and one.method == "INVITE"]
                request = waiting[0] if waiting else None  # type: ignore[assignment]  # the last one
            self.assertEqual(sent, most)
            self.assertEqual(self.alice.statuses()[-1], 502)

    def test_not_for_others(self) -> None:
        """No other realm is answered, nor anybody but the trunk: a foreign server that challenges alice is alice's affair."""
        self.provider.challenge(self.invited(), realm="else.test")
        self.assertEqual((self.alice.statuses()[-1], self.provider.methods()), (502, ["ACK"]))
        for uri in ("sip:x@198.51.100.77", f"sip:x@{HOST}"):
            other = self.provider if uri.endswith(HOST) else self.at(uri.partition("@")[2])
            self.alice.send("INVITE", uri)
            other.challenge(other.got("INVITE"))
            self.assertEqual(self.alice.statuses()[-1], 407)
            self.assertEqual([one.method for one in other.take() if isinstance(one, SipRequest)], ["ACK"])

    def test_forged(self) -> None:
        """A challenge that somebody else sends for the trunk, with the right branch, is dropped."""
        invite = self.invited()
        self.provider.take()
        mallory = self.at("198.51.100.66")
        mallory.challenge(invite)
        self.silent(self.provider, mallory)

    def test_within_dialog(self) -> None:
        """BYE and re-INVITE inside a call by the trunk are answered for, too; the trunk asks and nobody else."""
        first = self.invited()
        self.provider.challenge(first)
        invite = self.provider.got("INVITE")
        self.provider.reply(invite, 200)
        answer = self.alice.response("INVITE")
        self.alice.within("ACK", self.call, answer, True)
        self.provider.take()
        self.alice.within("BYE", self.call, answer, True)
        bye = self.provider.got("BYE")
        self.provider.challenge(bye, "later")
        again = self.provider.got("BYE")
        self.assertIn('nonce="later"', again.get("proxy-authorization") or "")
        self.provider.reply(again, 200)
        self.assertEqual(self.alice.statuses(), [200])

    def test_cancelled(self) -> None:
        """A caller that gave up before the challenge gets 487, and the trunk no second INVITE."""
        first = self.invited()
        self.alice.cancel(self.call)
        self.provider.challenge(first)
        self.assertEqual([one.method for one in self.provider.take() if isinstance(one, SipRequest)], ["ACK"])
        self.assertIn(487, self.alice.statuses())


class SeveralTests(TrunkCase):
    """More than one trunk."""

    def setUp(self) -> None:
        second = replace(MAIN, address=OTHER, priority=1)
        self.made(main=MAIN, second=second)
        self.backup = self.at(OTHER)

    def test_next(self) -> None:
        """Where the first fails by its own fault the second is tried; if both fail the caller gets the better answer."""
        for status in (503, 500, 408):
            self.alice.send("INVITE", f"sip:+49123@{DOMAIN}")
            self.provider.reply(self.provider.got("INVITE"), status)
            self.backup.reply(self.backup.got("INVITE"), 404)
            self.assertEqual(self.alice.statuses()[-1], 404)

    def test_callee(self) -> None:
        """A callee that is busy, or isn't there, is so by any trunk."""
        for status in (486, 404, 603):
            self.alice.send("INVITE", f"sip:+49123@{DOMAIN}")
            self.provider.reply(self.provider.got("INVITE"), status)
            self.assertEqual(self.alice.statuses()[-1], status)
            self.silent(self.backup)

    def test_refused_password(self) -> None:
        """A trunk that doesn't take our password is passed over."""
        self.alice.send("INVITE", f"sip:+49123@{DOMAIN}")
        self.provider.challenge(self.provider.got("INVITE"))
        self.provider.challenge(self.provider.got("INVITE"), "again")
        self.backup.got("INVITE")

    def test_all_out(self) -> None:
        """Those that are out aren't tried; where all are, the caller gets 503 at once."""
        trunks = list(self.world.core.trunks or ())
        trunks[0].health.up = False
        self.alice.send("INVITE", f"sip:+49123@{DOMAIN}")
        self.backup.reply(self.backup.got("INVITE"), 486)
        self.alice.take()
        trunks[1].health.up = False
        self.alice.send("INVITE", f"sip:+49123@{DOMAIN}")
        self.assertEqual(self.alice.statuses(), [503])
        self.silent(self.provider)


class Sent(RoutingScript):
    """A site that says itself what goes by a trunk."""

    def location(self, r: Request) -> Step:
        """By the name that is called."""
        if r.ruri.user == "unknown":
            r.route_to("nobody")
        if r.ruri.user[:1] == "9":
            r.rewrite(user=r.ruri.user[1:])
            r.route_to("main")
            return self.relay(r)
        return r.lookup(then=self.relay)

    def manage_failure(self, fork: Fork) -> Managed:
        """One more trunk, by name."""
        self.next_trunk(fork, "second")
        return None


class ScriptTests(TrunkCase):
    """``route_to`` in a script."""

    def test_route_to(self) -> None:
        """It goes there, also for those who are strangers if the script wants it, and a failure to the next that is named."""
        self.made(Sent, main=replace(MAIN, prefixes=()), second=replace(MAIN, address=OTHER, prefixes=()))
        backup = self.at(OTHER)
        eve = self.world.phone("eve", domain="else.test")
        eve.send("INVITE", f"sip:9123@{DOMAIN}")
        invite = self.provider.got("INVITE")
        self.assertEqual(invite.uri, "sip:123@provider.test")
        self.provider.reply(invite, 503)
        backup.reply(backup.got("INVITE"), 503)
        self.assertEqual(eve.statuses()[-1], 500)

    def test_unknown(self) -> None:
        """A trunk that isn't there is a fault of the script: 500, and a line in the log."""
        self.made(Sent)
        self.alice.send("INVITE", f"sip:unknown@{DOMAIN}")
        self.assertEqual(self.alice.statuses()[-1], 500)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class InTests(TrunkCase):
    """Calls from a trunk."""

    def setUp(self) -> None:
        self.made(main=replace(MAIN, incoming="alice"))

    def test_rings(self) -> None:
        """Its calls ring without a password: at our address, our domain, its own domain; its own user is whom ``incoming`` names."""
        for uri in (f"sip:alice@{DOMAIN}", "sip:alice@192.0.2.1", "sip:us@192.0.2.1", "sip:us@provider.test", f"sip:us@{DOMAIN}"):
            self.provider.send("INVITE", uri, (("p-asserted-identity", "<sip:+49@provider.test>"),))
            invite = self.alice.got("INVITE")
            self.assertIn("p-asserted-identity", invite)
            self.alice.reply(invite, 486)
            self.assertEqual(self.provider.statuses()[-1], 486)

    def test_no_way_out(self) -> None:
        """It calls nobody but users of ours: no foreign domain, no other trunk, not itself."""
        for uri in ("sip:x@else.test", f"sip:+49123@{DOMAIN}", "sip:joe@served.test", "tel:+49123"):
            self.provider.send("INVITE", uri)
            messages = self.provider.take()
            self.assertEqual([one.method for one in messages if isinstance(one, SipRequest)], [], uri)
            self.assertGreaterEqual([one.status for one in messages if isinstance(one, SipResponse)][-1], 403, uri)

    def test_no_more_rights(self) -> None:
        """It registers nobody, makes no phone answer by itself, and isn't taken for the user that its From names."""
        core = self.world.core
        for method in ("REGISTER", "SUBSCRIBE", "PUBLISH", "REFER"):
            request = Request(core, self.provider.send(method, f"sip:alice@{DOMAIN}"), self.provider.flow, "", 0.0)
            self.assertIsNone(request.from_trunk)
        self.provider.aor = self.alice.aor
        self.provider.take()
        sent = self.provider.send("INVITE", self.alice.aor, (("alert-info", "<http://x.test>;info=alert-autoanswer"),))
        self.assertNotIn("alert-info", self.alice.got("INVITE"))
        self.assertEqual(Request(core, sent, self.provider.flow, "", 0.0).caller, "")

    def test_others(self) -> None:
        """What says to be from the trunk and comes from elsewhere isn't."""
        eve = self.world.phone("us", host="198.51.100.9", domain="provider.test")
        request = Request(self.world.core, eve.send("INVITE", self.alice.aor), eve.flow, "", 0.0)
        self.assertEqual((request.from_trunk, request.stranger), (None, True))


class DestinationTests(TrunkCase):
    """A trunk's address is permitted because the configuration names it, and nothing else is by that."""

    def test_private(self) -> None:
        """A PBX at a private address is called by its trunk; what a message says reaches it no more than before."""
        strict = Destinations((), (), lambda host, port: host == "192.0.2.1", lambda host: host == "192.0.2.1")
        self.made(destinations=strict, pbx=replace(MAIN, domain="pbx.test", address="10.1.2.3"))
        pbx = self.at("10.1.2.3")
        self.alice.send("INVITE", f"sip:+49123@{DOMAIN}")
        pbx.reply(pbx.got("INVITE"), 486)
        self.alice.take()
        for uri in ("sip:x@10.1.2.3", "sip:x@10.1.2.4"):
            self.alice.send("INVITE", uri)
            self.assertEqual(self.alice.statuses()[-1], 403)

    def test_rebound(self) -> None:
        """A provider's name that turns into an address of this machine is nowhere to send to."""
        self.made(main=replace(MAIN, address=""))
        self.world.resolver.names["provider.test"] = [Hop("TCP", "127.0.0.1", 6379)]
        self.alice.send("INVITE", f"sip:+49123@{DOMAIN}")
        self.assertEqual(self.alice.statuses()[-1], 403)


class ServiceTests(TrunkCase):
    """OPTIONS and REGISTER."""

    def started(self, **settings: Any) -> None:
        self.made(main=replace(MAIN, **settings))
        self.world.trunks.startService()

    @property
    def trunk(self) -> Any:
        return next(iter(self.world.core.trunks or ()))

    def test_pings(self) -> None:
        """Out after two questions without an answer, back with the next answer, whatever it is; each told once."""
        self.started(ping_seconds=10.0)
        self.provider.reply(self.provider.got("OPTIONS"), 404)
        for _ in range(2):
            self.assertTrue(self.trunk.up)
            self.world.clock.advance(10)
            self.provider.got("OPTIONS")
            self.world.clock.advance(0)
        self.world.clock.advance(10)
        self.assertFalse(self.trunk.up)
        self.provider.take()
        self.world.clock.advance(10)
        self.provider.reply(self.provider.got("OPTIONS"), 200)
        self.assertTrue(self.trunk.up)

    def test_registers(self) -> None:
        """It registers with digest, comes back in time with a higher CSeq and the same Call-ID, and takes it back at the end."""
        self.started(register=True)
        first = self.provider.got("REGISTER")
        self.assertEqual((first.uri, first.to.uri_text), ("sip:provider.test", "sip:us@provider.test"))
        self.provider.challenge(first, status=401)
        second = self.provider.got("REGISTER")
        sent = parse_credentials(second.get("authorization") or "")
        self.assertTrue(matches(sent, ha1(MD5, "us", "provider.test", "secret"), "REGISTER"))
        self.provider.reply(second, 200, headers=(("expires", "100"),))
        self.assertEqual(self.trunk.registered, self.world.clock.seconds() + 100)
        self.world.clock.advance(79)
        self.silent(self.provider)
        self.world.clock.advance(2)
        third = self.provider.got("REGISTER")
        self.assertEqual(third.call_id, first.call_id)
        self.assertGreater(third.cseq, second.cseq)
        self.assertIn("nc=00000002", third.get("authorization") or "")
        self.provider.reply(third, 200)
        self.world.trunks.stopService()
        self.assertEqual(self.provider.got("REGISTER").get("expires"), "0")

    def test_refused(self) -> None:
        """Whatever a registrar answers, for ever, an hour of it costs a bounded number of requests."""
        answers: list[tuple[int, tuple[tuple[str, str], ...]]] = [
            (401, (("www-authenticate", OFFER.format("n", "")),)),
            (401, (("www-authenticate", OFFER.format("n", ", stale=true")),)),
            (401, (("www-authenticate", OFFER.format("n", "").replace("provider.test", "else.test")),)),
            (401, (("www-authenticate", "Digest " + "x" * 30000),)),
            (302, (("contact", f"<sip:us@{HOST}>"),)),
            (423, (("min-expires", "99999"),)),
            (503, ()),
            (200, (("expires", "0"),)),
            (200, (("expires", "1"),)),
        ]
        for status, headers in answers:
            self.started(register=True)
            sent = 0
            for _ in range(360):
                while any(isinstance(message, SipRequest) for message in self.provider.inbox):
                    self.provider.reply(self.provider.got("REGISTER"), status, headers=headers)
                    sent += 1
                self.world.clock.advance(10)
            self.assertLess(sent, 400 if status == 200 else 60, (status, headers))
            self.assertNotIn("secret", str(self.trunk.trouble))
            self.world.trunks.stopService()

    def test_silence(self) -> None:
        """A registrar that doesn't answer is asked again, less and less often."""
        self.started(register=True)
        seen: set[int] = set()
        for _ in range(720):
            self.world.clock.advance(5)
            seen |= {message.cseq for message in self.provider.take() if isinstance(message, SipRequest)}
        self.assertGreater(len(seen), 3)
        self.assertLess(len(seen), 20)

    def test_named(self) -> None:
        """A name is looked up now and then; what it resolves to is believed as the trunk's, and no other address."""
        self.started(address="", ping_seconds=30.0)
        self.world.resolver.names["provider.test"] = [Hop("UDP", HOST, 5060)]
        core = self.world.core
        request = self.provider.send("INVITE", self.alice.aor)
        self.assertIsNone(Request(core, request, self.provider.flow, "", 0.0).from_trunk)
        self.world.clock.advance(30)
        self.assertIs(Request(core, request, self.provider.flow, "", 0.0).from_trunk, self.trunk)
