"""Tests of the REGISTER decision: every rule of RFC 3261 §10.3 and the policies around it."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.records import Binding, BindingFlag
from sipnode.registrar.register import RegisterPlan, Source, aor_of, is_lost, plan
from sipnode.settings import LocationSettings
from sipnode.sip.message import SipRequest
from tests.registrar.kit import AOR, NOW, binding, register

UA = "<sip:a@192.0.2.1>"
OTHER = "<sip:b@192.0.2.2>"
INSTANCE = '+sip.instance="<urn:uuid:1111>"'
OUTBOUND = ("Supported: path, outbound",)


class _PlanCase(SynchronousTestCase):
    settings = LocationSettings(min_expires=60, max_expires=3600, default_expires=1800, max_contacts=3)

    def plan(self, request: SipRequest, *bindings: Binding, source: Source | None = None, **settings: Any) -> RegisterPlan:
        ruids = (f"new-{n}" for n in count(1))
        conf = replace(self.settings, **settings) if settings else self.settings
        return plan(request, AOR, bindings, NOW, conf, source or Source(socket="udp:192.0.2.100:5060"), lambda: next(ruids))

    def saved(self, done: RegisterPlan) -> list[Binding]:
        self.assertEqual(done.status, 200, done.reason)
        return [change.binding for change in done.changes if not change.delete]

    def deleted(self, done: RegisterPlan) -> list[str]:
        self.assertEqual(done.status, 200, done.reason)
        return [change.binding.ruid for change in done.changes if change.delete]

    def contacts(self, done: RegisterPlan) -> list[str]:
        return [value for name, value in done.headers if name == "contact"]

    def refused(self, done: RegisterPlan, status: int) -> RegisterPlan:
        self.assertEqual((done.status, done.changes), (status, []))
        return done


class AorTests(SynchronousTestCase):
    """The address-of-record of a REGISTER."""

    def test_canonical(self) -> None:
        """User decoded and case kept, host in lower case, port and parameters dropped."""
        self.assertEqual(aor_of(register(to="<sip:%61Lice@EXAMPLE.com:5070;transport=tcp>")), "aLice@example.com")

    def test_not_sip(self) -> None:
        """A To that isn't sip or sips is 400."""
        error = self.assertRaises(ParseError, aor_of, register(to="<tel:+15551234>"))
        self.assertEqual(error.status, 400)

    def test_no_user(self) -> None:
        """A To without a user names nobody: 404."""
        error = self.assertRaises(ParseError, aor_of, register(to="<sip:example.com>"))
        self.assertEqual(error.status, 404)

    def test_unprintable(self) -> None:
        """A user with a NUL or with octets that aren't UTF-8 can't be stored: 400."""
        for user in ("a%00b", "a%FFb", "a%0Ab"):
            error = self.assertRaises(ParseError, aor_of, register(to=f"<sip:{user}@example.com>"))
            self.assertEqual(error.status, 400)


class ExpiresTests(_PlanCase):
    """How long a binding lives."""

    def lifetime(self, done: RegisterPlan) -> float:
        (saved,) = self.saved(done)
        return saved.expires - NOW

    def test_order(self) -> None:
        """The contact's parameter goes before the header, the header before the default."""
        self.assertEqual(self.lifetime(self.plan(register(UA + ";expires=100", expires="200"))), 100)
        self.assertEqual(self.lifetime(self.plan(register(UA, expires="200"))), 200)
        self.assertEqual(self.lifetime(self.plan(register(UA))), 1800)

    def test_maximum(self) -> None:
        """A longer one is cut, a number over 2**32-1 too."""
        for text in ("3601", "4294967295", "4294967296", "9" * 40):
            self.assertEqual(self.lifetime(self.plan(register(UA, expires=text))), 3600)

    def test_leading_zeros(self) -> None:
        """Zeros in front don't count."""
        self.assertEqual(self.lifetime(self.plan(register(UA, expires="00000000000000100"))), 100)
        self.assertEqual(self.deleted(self.plan(register(UA, cseq=2, expires="0" * 20), binding())), ["r1"])

    def test_too_brief(self) -> None:
        """Under the minimum draws 423 with Min-Expires, the minimum itself is taken."""
        done = self.refused(self.plan(register(UA, expires="59")), 423)
        self.assertIn(("min-expires", "60"), done.headers)
        self.assertEqual(self.lifetime(self.plan(register(UA, expires="60"))), 60)

    def test_raised(self) -> None:
        """With the mode 'raise' a shorter one is raised silently."""
        self.assertEqual(self.lifetime(self.plan(register(UA, expires="5"), min_expires_mode="raise")), 60)

    def test_malformed_header(self) -> None:
        """An Expires header that isn't a number is 400."""
        for text in ("soon", "-1", "1.5", "", "10 20", "\u0661"):
            self.refused(self.plan(register(UA, expires=text)), 400)

    def test_malformed_parameter(self) -> None:
        """A contact parameter that isn't a number counts as 3600 (RFC 3261 §20.10)."""
        self.assertEqual(self.lifetime(self.plan(register(UA + ";expires=soon"), max_expires=7200)), 3600)

    def test_zero_removes(self) -> None:
        """0 removes the binding, and isn't too brief."""
        done = self.plan(register(UA + ";expires=0", cseq=2), binding())
        self.assertEqual(self.deleted(done), ["r1"])
        self.assertEqual(self.contacts(done), [])

    def test_zero_of_unknown(self) -> None:
        """Removing what isn't there is fine and changes nothing."""
        done = self.plan(register(OTHER, expires="0", cseq=2), binding())
        self.assertEqual((done.status, done.changes), (200, []))


class StarTests(_PlanCase):
    """``Contact: *``"""

    def test_removes_all(self) -> None:
        """Alone and with Expires 0 it removes every binding."""
        done = self.plan(register("*", expires="0", cseq=2), binding(), binding(OTHER, "r2", call_id="another", cseq=900))
        self.assertEqual(self.deleted(done), ["r1", "r2"])
        self.assertEqual(self.contacts(done), [])

    def test_needs_zero(self) -> None:
        """With another Expires, or none, it is 400."""
        for expires in ("3600", None):
            self.refused(self.plan(register("*", expires=expires, cseq=2), binding()), 400)

    def test_alone(self) -> None:
        """With another contact beside it, or parameters, it is 400."""
        self.refused(self.plan(register("*", UA, expires="0", cseq=2), binding()), 400)
        self.refused(self.plan(register("*, " + UA, expires="0", cseq=2), binding()), 400)
        self.refused(self.plan(register("*;expires=0", expires="0", cseq=2), binding()), 400)

    def test_order(self) -> None:
        """One binding of the same Call-ID with a higher CSeq fails it whole."""
        self.refused(self.plan(register("*", expires="0", cseq=2), binding(OTHER, "r2", call_id="x"), binding(cseq=3)), 400)


class QueryTests(_PlanCase):
    """No Contact."""

    def test_lists(self) -> None:
        """All bindings come back with what is left of their time, and nothing changes."""
        done = self.plan(register(), binding(expires=NOW + 100), binding(OTHER, "r2", expires=NOW + 7.4, q=0.25))
        self.assertEqual(self.contacts(done), ["<sip:a@192.0.2.1>;expires=100", "<sip:b@192.0.2.2>;expires=7;q=0.25"])
        self.assertEqual((done.status, done.changes), (200, []))

    def test_date(self) -> None:
        """The 200 says what time it is, in GMT."""
        self.assertIn(("date", "Tue, 14 Nov 2023 22:13:20 GMT"), self.plan(register()).headers)


class OrderTests(_PlanCase):
    """Call-ID and CSeq (RFC 3261 §10.3 step 7)."""

    def test_higher(self) -> None:
        """A higher CSeq of the same Call-ID refreshes: same ruid, new values."""
        (saved,) = self.saved(self.plan(register(UA, cseq=2, expires="600"), binding()))
        self.assertEqual((saved.ruid, saved.cseq, saved.expires, saved.last_modified), ("r1", 2, NOW + 600, NOW))

    def test_other_call_id(self) -> None:
        """Another Call-ID replaces whatever the numbers say."""
        (saved,) = self.saved(self.plan(register(UA, call_id="call-2", cseq=1), binding(cseq=500)))
        self.assertEqual((saved.ruid, saved.call_id, saved.cseq), ("r1", "call-2", 1))

    def test_lower(self) -> None:
        """A lower CSeq is 400."""
        self.refused(self.plan(register(UA, cseq=4), binding(cseq=5)), 400)

    def test_repeat(self) -> None:
        """An equal CSeq shortly after is the same request again; later it is a fault."""
        (saved,) = self.saved(self.plan(register(UA, cseq=5), binding(cseq=5, last_modified=NOW - 20)))
        self.assertEqual(saved.ruid, "r1")
        self.refused(self.plan(register(UA, cseq=5), binding(cseq=5, last_modified=NOW - 20.5)), 400)

    def test_removal_is_ordered_too(self) -> None:
        """An old request removes nothing."""
        self.refused(self.plan(register(UA, cseq=4, expires="0"), binding(cseq=5)), 400)

    def test_atomic(self) -> None:
        """One contact that is refused leaves the other unsaved."""
        self.refused(self.plan(register("<sip:new@192.0.2.7>", UA, cseq=4), binding(cseq=5)), 400)
        self.refused(self.plan(register("<sip:new@192.0.2.7>", "<tel:+1555>")), 400)
        self.refused(self.plan(register("<sip:new@192.0.2.7>", OTHER + ";expires=1")), 423)


class IdentityTests(_PlanCase):
    """Which binding a contact is about."""

    def test_uri_equality(self) -> None:
        """URIs are compared by RFC 3261 §19.1.4 and not as texts."""
        (saved,) = self.saved(self.plan(register("<sip:%61@HOST.example;x=1>", cseq=2), binding("sip:a@host.example")))
        self.assertEqual(saved.ruid, "r1")
        self.assertEqual(saved.contact, "sip:%61@HOST.example;x=1")

    def test_different_uris(self) -> None:
        """User in another case, another port, another transport: another binding."""
        for contact in ("<sip:A@192.0.2.1>", "<sip:a@192.0.2.1:5060>", "<sip:a@192.0.2.1;transport=tcp>", "<sips:a@192.0.2.1>"):
            done = self.plan(register(contact, cseq=2), binding())
            self.assertEqual([b.ruid for b in self.saved(done)], ["new-1"])
            self.assertEqual(len(self.contacts(done)), 2)

    def test_page_comes_back(self) -> None:
        """The same instance with a new contact on a new connection replaces its binding and keeps its ruid."""
        old = binding("sip:x1@a.invalid;transport=ws", instance="<urn:uuid:1111>", reg_id=1, connection_id="t1", call_id="old")
        source = Source("sip:192.0.2.1:40001;transport=ws", "ws:192.0.2.100:80", "t2", 320)
        done = self.plan(register(f"<sip:x2@b.invalid;transport=ws>;{INSTANCE};reg-id=1"), old, source=source)
        (saved,) = self.saved(done)
        self.assertEqual((saved.ruid, saved.contact, saved.connection_id), ("r1", "sip:x2@b.invalid;transport=ws", "t2"))
        self.assertEqual(self.deleted(done), [])
        self.assertEqual(len(self.contacts(done)), 1)

    def test_instance_without_reg_id(self) -> None:
        """A reg-id that comes or goes doesn't make another device."""
        old = binding(OTHER, instance="<urn:uuid:1111>", reg_id=1, call_id="old")
        self.assertEqual([b.ruid for b in self.saved(self.plan(register(f"{UA};{INSTANCE}"), old))], ["r1"])

    def test_two_flows_of_a_device(self) -> None:
        """Another reg-id of the same instance is another binding, even with the same contact."""
        old = binding(UA, instance="<urn:uuid:1111>", reg_id=1, call_id="old")
        self.assertEqual([b.ruid for b in self.saved(self.plan(register(f"{UA};{INSTANCE};reg-id=2", extra=OUTBOUND), old))], ["new-1"])

    def test_two_devices_behind_translators(self) -> None:
        """Two outbound devices with the same private contact are told apart by their instances."""
        old = binding("sip:a@192.168.1.5", instance="<urn:uuid:2222>", reg_id=1, call_id="old")
        done = self.plan(register(f"<sip:a@192.168.1.5>;{INSTANCE};reg-id=1", extra=OUTBOUND), old)
        self.assertEqual([b.ruid for b in self.saved(done)], ["new-1"])

    def test_new_instance_same_contact(self) -> None:
        """A phone that invents an instance at each start, without reg-id, still has one binding."""
        old = binding(UA, instance="<urn:uuid:2222>", call_id="old")
        self.assertEqual([b.ruid for b in self.saved(self.plan(register(f"{UA};{INSTANCE}"), old))], ["r1"])

    def test_removal_by_contact_alone(self) -> None:
        """A removal that names the contact without its instance finds the binding."""
        old = binding(UA, instance="<urn:uuid:1111>", reg_id=1)
        self.assertEqual(self.deleted(self.plan(register(UA, expires="0", cseq=2), old)), ["r1"])

    def test_removal_with_instance_alone(self) -> None:
        """Who shows an instance without reg-id takes out the URI that it names, and no other binding of that instance."""
        old = binding(OTHER, instance="<urn:uuid:1111>", call_id="old")
        self.assertEqual(self.deleted(self.plan(register(f"{UA};{INSTANCE}", expires="0"), old)), [])
        self.assertEqual(self.deleted(self.plan(register(f"{OTHER};{INSTANCE}", expires="0"), old)), ["r1"])

    def test_two_contacts_of_an_instance(self) -> None:
        """Two contacts in one request that name one instance are two bindings and don't replace each other."""
        done = self.plan(register(f"{UA};{INSTANCE}", f"{OTHER};{INSTANCE}"))
        self.assertEqual([b.contact for b in self.saved(done)], ["sip:a@192.0.2.1", "sip:b@192.0.2.2"])

    def test_contact_given_twice(self) -> None:
        """The same contact twice in one request is one binding with the later values."""
        done = self.plan(register(f"{UA};q=0.1, {UA};q=0.7", f"{UA};{INSTANCE};reg-id=1", f"{UA};{INSTANCE};reg-id=1"))
        self.assertEqual(len(self.saved(done)), 1)
        self.assertEqual(len(self.contacts(done)), 1)


class ValueTests(_PlanCase):
    """What a binding keeps."""

    def saved_one(self, request: SipRequest, source: Source | None = None) -> Binding:
        (saved,) = self.saved(self.plan(request, source=source))
        return saved

    def test_source(self) -> None:
        """Received address, socket, connection and flags come from the source."""
        source = Source("sip:192.0.2.1:999;transport=tls", "tls:192.0.2.100:5061", "tok", int(BindingFlag.NATB))
        saved = self.saved_one(register(UA), source)
        self.assertEqual(
            (saved.received, saved.socket, saved.connection_id, saved.cflags),
            ("sip:192.0.2.1:999;transport=tls", "tls:192.0.2.100:5061", "tok", 64),
        )

    def test_q(self) -> None:
        """q is kept and echoed; absent counts as 1 and isn't."""
        for text, number, echo in (("0.5", 0.5, ";q=0.5"), ("0", 0.0, ";q=0"), ("0.125", 0.125, ";q=0.125"), ("1.0", 1.0, "")):
            done = self.plan(register(f"{UA};q={text}"))
            self.assertEqual(self.saved(done)[0].q, number)
            self.assertEqual(self.contacts(done), [f"{UA};expires=1800{echo}"])
        self.assertEqual(self.saved_one(register(UA)).q, 1.0)

    def test_bad_q(self) -> None:
        """Anything but 0..1 with three decimals is 400."""
        for text in ("1.1", "2", "-0.5", "0.1234", "high", "nan", "1e-1"):
            self.refused(self.plan(register(f"{UA};q={text}")), 400)

    def test_methods(self) -> None:
        """Allow becomes the bit mask of Kamailio's column; without it all bits are set."""
        self.assertEqual(self.saved_one(register(UA, extra=["Allow: INVITE, ACK,BYE"])).methods, 1 + 4 + 8)
        self.assertEqual(self.saved_one(register(UA, extra=["Allow: INVITE", "Allow: PUBLISH"])).methods, 1 + 8192)
        self.assertEqual(self.saved_one(register(UA, extra=["Allow: OPTIONS, FOO"])).methods, 512 + 524288)
        self.assertEqual(self.saved_one(register(UA, extra=["Allow:"])).methods, 0)
        self.assertEqual(self.saved_one(register(UA)).methods, 0xFFFFFFFF)

    def test_methods_of_contact(self) -> None:
        """The contact's own methods parameter goes before Allow."""
        request = register(f'{UA};methods="MESSAGE,REFER"', extra=["Allow: INVITE"])
        self.assertEqual(self.saved_one(request).methods, 256 + 4096)

    def test_instance(self) -> None:
        """The instance is stored without quotes and echoed in them, its reg-id beside it; the 200 says that it counts (RFC 5626 §6)."""
        done = self.plan(register(f"{UA};{INSTANCE};reg-id=7", extra=["Supported: path, outbound"]))
        (saved,) = self.saved(done)
        self.assertEqual((saved.instance, saved.reg_id), ("<urn:uuid:1111>", 7))
        self.assertEqual(self.contacts(done), [f"{UA};expires=1800;{INSTANCE};reg-id=7"])
        self.assertEqual(done.headers[1:-1], [("require", "outbound"), ("supported", "outbound"), ("flow-timer", "120")])

    def test_quotes_of_instance(self) -> None:
        """An instance with quotes in it comes back escaped, and can't add parameters to the answer."""
        done = self.plan(register(UA + r';+sip.instance="a\";expires=1\\"'))
        self.assertEqual(self.contacts(done), [UA + r';expires=1800;+sip.instance="a\";expires=1\\"'])

    def test_reg_id_range(self) -> None:
        """A reg-id beyond 2^31-1 (RFC 5626 §4.2), or that isn't a number, counts as none."""
        for text, number in (("1000000000", 1000000000), ("2147483647", 2147483647), ("2147483648", 0), ("9" * 40, 0), ("x", 0), ("-1", 0)):
            self.assertEqual(self.saved_one(register(f"{UA};{INSTANCE};reg-id={text}", extra=OUTBOUND)).reg_id, number)

    def test_reg_id_alone(self) -> None:
        """A reg-id without an instance is nothing."""
        done = self.plan(register(UA + ";reg-id=1"))
        self.assertEqual(self.saved(done)[0].reg_id, 0)
        self.assertEqual(self.contacts(done), [UA + ";expires=1800"])

    def test_agent(self) -> None:
        """User-Agent is kept, cut to its column, and what can't be stored in it becomes question marks."""
        self.assertEqual(self.saved_one(register(UA, extra=["User-Agent: Phone/1.0"])).user_agent, "Phone/1.0")
        self.assertEqual(self.saved_one(register(UA, extra=["User-Agent: " + "x" * 300])).user_agent, "x" * 255)
        self.assertEqual(self.saved_one(register(UA, extra=["User-Agent: a\udcffb"])).user_agent, "a?b")

    def test_contact_as_given(self) -> None:
        """Contact comes back letter for letter, from the form without brackets too."""
        done = self.plan(register('"A <B>" <sip:Al%41@HOST.invalid;transport=ws;ob>;expires=99'))
        self.assertEqual(self.contacts(done), ["<sip:Al%41@HOST.invalid;transport=ws;ob>;expires=99"])
        self.assertEqual(self.contacts(self.plan(register("sip:a@192.0.2.1;expires=70"))), [UA + ";expires=70"])

    def test_aor(self) -> None:
        """A binding is of the address-of-record that was asked for."""
        self.assertEqual(self.saved_one(register(UA)).aor, AOR)


class LimitTests(_PlanCase):
    """What is refused before it costs anything."""

    def test_contact_length(self) -> None:
        """512 characters of URI are taken, one more is 400."""
        for length, status in ((512, 200), (513, 400)):
            contact = "sip:" + "x" * (length - 14) + "@192.0.2.1"[:10]
            self.assertEqual(len(contact), length)
            self.assertEqual(self.plan(register(f"<{contact}>")).status, status)

    def test_unreadable(self) -> None:
        """A contact that isn't a URI, or a header that can't be taken apart, is 400."""
        for contact in ("<a@b>", "<sip:>", "<http://x/>", "<mailto:a@b>", "<sip:a@b", "", "<sip:a@b>, ", '"x <sip:a@b>', "<sip:a@b\udcff>"):
            self.refused(self.plan(register(contact)), 400)

    def test_storable(self) -> None:
        """Texts that would break the store are 400: too long, or not text."""
        self.saved(self.plan(register(UA, call_id="x" * 255)))
        self.refused(self.plan(register(UA, call_id="x" * 256)), 400)
        self.refused(self.plan(register(UA, call_id="x\udcff")), 400)
        self.refused(self.plan(register(UA + ';+sip.instance="' + "x" * 256 + '"')), 400)
        self.refused(self.plan(register(UA + ';+sip.instance="x\udcff"')), 400)

    def test_require(self) -> None:
        """An extension that is required and not understood is 420 with its name."""
        done = self.refused(self.plan(register(UA, extra=["Require: gruu, foo"])), 420)
        self.assertEqual(done.headers, [("unsupported", "gruu, foo")])

    def test_max_contacts(self) -> None:
        """One contact too many is 503, and a refresh at the limit is not."""
        have = [binding(f"sip:{n}@192.0.2.1", f"r{n}") for n in range(3)]
        self.refused(self.plan(register("<sip:new@192.0.2.1>", cseq=2), *have), 503)
        self.assertEqual([b.ruid for b in self.saved(self.plan(register("<sip:1@192.0.2.1>", cseq=2), *have))], ["r1"])

    def test_refresh_over_the_limit(self) -> None:
        """Bindings from before the limit was lowered may be refreshed."""
        have = [binding(f"sip:{n}@192.0.2.1", f"r{n}") for n in range(3)]
        self.saved(self.plan(register("<sip:1@192.0.2.1>", cseq=2), *have, max_contacts=2))

    def test_replace_at_the_limit(self) -> None:
        """A request that removes as many as it adds passes."""
        have = [binding(f"sip:{n}@192.0.2.1", f"r{n}") for n in range(3)]
        done = self.plan(register("<sip:0@192.0.2.1>;expires=0", "<sip:new@192.0.2.1>", cseq=2), *have)
        self.assertEqual(self.deleted(done), ["r0"])

    def test_drop_oldest(self) -> None:
        """With that policy the binding that was quiet for longest gives way."""
        have = [binding(f"sip:{n}@192.0.2.1", f"r{n}", last_modified=NOW - n) for n in range(3)]
        done = self.plan(register("<sip:new@192.0.2.1>", cseq=2), *have, max_contacts_mode="drop_oldest")
        self.assertEqual(self.deleted(done), ["r2"])
        self.assertEqual(len(self.contacts(done)), 3)

    def test_lost_give_way(self) -> None:
        """Bindings of pages that are gone give way first, whatever the policy."""
        have = [binding(f"sip:{n}@192.0.2.1", f"r{n}", last_modified=NOW - n) for n in range(2)]
        lost = binding("sip:x@a.invalid", "lost", socket="wss:192.0.2.100:443", last_modified=NOW)
        self.assertEqual(self.deleted(self.plan(register("<sip:new@192.0.2.1>", cseq=2), lost, *have)), ["lost"])

    def test_too_many_at_once(self) -> None:
        """A request with more contacts than could ever be kept is 503, with either policy."""
        many = [f"<sip:{n}@192.0.2.1>" for n in range(4)]
        for mode in ("reject", "drop_oldest"):
            self.refused(self.plan(register(*many), max_contacts_mode=mode), 503)
        self.refused(self.plan(register(*(f"<sip:{n}@192.0.2.1>;expires=0" for n in range(7)))), 503)


class LostTests(SynchronousTestCase):
    """Bindings that nobody can reach."""

    def test_is_lost(self) -> None:
        """A WebSocket end and a natted stream need their connection; UDP and a phone that listens don't."""
        natted = int(BindingFlag.NATB)
        for socket, cflags, token, lost in (
            ("ws:1.2.3.4:80", 0, "", True),
            ("wss:1.2.3.4:443", 0, "", True),
            ("wss:1.2.3.4:443", 0, "tok", False),
            ("tcp:1.2.3.4:5060", natted, "", True),
            ("tls:1.2.3.4:5061", 0, "", False),
            ("udp:1.2.3.4:5060", natted, "", False),
            ("", natted, "", False),
        ):
            self.assertIs(is_lost(binding(socket=socket, cflags=cflags, connection_id=token)), lost, (socket, cflags))
