"""Tests of GRUUs: made and read without keeping any."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.records import Binding
from sipnode.registrar.gruu import Gruus
from sipnode.registrar.register import RegisterPlan, Source, plan
from sipnode.settings import LocationSettings
from sipnode.sip.address import NameAddr
from sipnode.sip.uri import SipUri
from tests.registrar.kit import AOR, NOW, binding, register

INSTANCE = "<urn:uuid:F81D4FAE-7dec-11d0-a765-00a0c91e6bf6>"
OTHER = "<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"
HOST = "example.com"


class GruuCase(SynchronousTestCase):
    """Has what makes and reads them."""

    def setUp(self) -> None:
        self.counters = Counter[str]()
        self.gruus = Gruus(bytes(range(32)), self.counters)

    def device(self, instance: str = INSTANCE, **fields: Any) -> Binding:
        """A binding of a device."""
        return binding(instance=instance, **fields)

    def found(self, uri: str, *bindings: Binding) -> list[str] | int | None:
        """The ruids that a URI leads to, else the status where it has none; None for what nobody has made."""
        one = self.gruus.read(SipUri.parse(uri))
        if one is None:
            return None
        return [each.ruid for each in one.of(list(bindings))] or one.missing


class GruusTests(GruuCase):
    """Public and temporary ones."""

    def test_public(self) -> None:
        """It is the address-of-record with the instance in gr, always the same, and leads to that device alone: 480 when it isn't there."""
        uri = self.gruus.public("alice", HOST, INSTANCE)
        self.assertTrue(uri.startswith("sip:alice@example.com;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6."), uri)
        self.assertEqual(uri, self.gruus.public("alice", HOST, INSTANCE.lower()))
        mine, other = self.device(), self.device(OTHER, ruid="r2")
        self.assertEqual(self.found(uri, other, mine, binding(ruid="r3")), ["r1"])
        self.assertEqual(self.found(uri.upper().replace("SIP:ALICE", "sip:alice"), mine), ["r1"])
        self.assertEqual(self.found(uri, replace(mine, call_id="another")), ["r1"])
        self.assertEqual(self.found(uri, other), 480)
        self.assertEqual(self.counters["forged_gruus"], 0)

    def test_temporary(self) -> None:
        """It shows neither user nor device, each is another one, and all of them lead there while the registration has its Call-ID."""
        mine = self.device(call_id="c1")
        uris = [self.gruus.temporary("alice", HOST, mine) for _ in range(3)]
        self.assertEqual(len(set(uris)), 3)
        for uri in uris:
            self.assertNotIn("alice", uri)
            self.assertNotIn("f81d4fae", uri.lower())
            self.assertEqual(SipUri.parse(uri).params, {"gr": ""})
            self.assertEqual(self.found(uri, mine, self.device(OTHER, ruid="r2", call_id="c1")), ["r1"])
            self.assertEqual(self.found(uri, replace(mine, call_id="c2")), 404)
            self.assertEqual(self.found(uri), 404)
        one = self.gruus.read(SipUri.parse(uris[0]))
        assert one is not None
        self.assertEqual(one.user, "alice")

    def test_flows(self) -> None:
        """All flows of a device are meant, whichever of their registrations a temporary one is of."""
        flows = [self.device(ruid=f"r{number}", reg_id=number, call_id=f"c{number}") for number in (1, 2)]
        self.assertEqual(self.found(self.gruus.temporary("alice", HOST, flows[1]), *flows), ["r1", "r2"])

    def test_odd_names(self) -> None:
        """Users, instances and Call-IDs of any characters come through whole."""
        odd = self.device('<urn:odd:a b";>,é\udcff.x>', call_id="c é\udcfe")
        for user in ("alice smith", "a;b?c", "%41\udcff", 'q"\\'):
            for uri in (self.gruus.public(user, "[2001:db8::1]", odd.instance), self.gruus.temporary(user, "[2001:db8::1]", odd)):
                read = NameAddr.parse(f"<{uri}>").uri
                one = self.gruus.read(read)
                assert one is not None, uri
                self.assertEqual((one.user, len(one.of([odd]))), (user, 1))
                self.assertIn("gr", read.params)

    def test_forged(self) -> None:
        """A text that we haven't made is nobody's, and is counted: each letter of it matters, and so do user, host and key."""
        mine = self.device()
        public, temporary = self.gruus.public("alice", HOST, INSTANCE), self.gruus.temporary("alice", HOST, mine)
        forged = [
            "sip:alice@example.com;gr", "sip:alice@example.com;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "sip:a@example.com;gr=.",
            "sip:tgruu.@example.com;gr", "sip:tgruu.AAAA@example.com;gr", "sip:tgruu.%41%41%41%41@example.com;gr",
            public.replace("alice", "bob"), public.replace(HOST, "example.org"), temporary.replace(HOST, "example.org"),
            Gruus(bytes(32), self.counters).public("alice", HOST, INSTANCE), f"sip:tgruu.{'A' * 5000}@example.com;gr",
            public.rpartition(".")[0] + ".é",
        ]  # fmt: skip
        begin = len("sip:tgruu.")
        for at in range(begin, temporary.index("@")):
            letter = "B" if temporary[at] == "A" else "A"
            forged.append(temporary[:at] + letter + temporary[at + 1 :])
        for number, uri in enumerate(forged, 1):
            self.assertIsNone(self.gruus.read(SipUri.parse(uri)), uri)
            self.assertEqual(self.counters["forged_gruus"], number)


class RegisterTests(GruuCase):
    """REGISTER of those who know GRUUs."""

    def plan(self, *contacts: str, extra: list[str] | None = None, gruus: Gruus | None = None, bindings: Any = ()) -> RegisterPlan:
        """What is decided."""
        request = register(*contacts, extra=extra or [])
        return plan(request, AOR, bindings, NOW, LocationSettings(), Source(socket="udp:192.0.2.100:5060"), lambda: "r1", None, gruus)

    def contacts(self, done: RegisterPlan) -> list[dict[str, str]]:
        """The parameters of each Contact of the 200."""
        self.assertEqual(done.status, 200, done.reason)
        return [NameAddr.parse(value).params for name, value in done.headers if name == "contact"]

    def test_given(self) -> None:
        """Each contact with an instance gets both in a 200 to a client that says gruu in Supported, and they lead to it."""
        done = self.plan(f'<sip:a@192.0.2.1>;+sip.instance="{INSTANCE}"', extra=["Supported: path, GRUU"], gruus=self.gruus)
        (params,) = self.contacts(done)
        (change,) = done.changes
        for name in ("pub-gruu", "temp-gruu"):
            self.assertEqual(self.found(params[name], change.binding), ["r1"])
        self.assertEqual(params["pub-gruu"], self.gruus.public("alice", HOST, INSTANCE))

    def test_not_given(self) -> None:
        """Nobody else gets one: no option tag, no instance, or the setting is off."""
        with_instance = f'<sip:a@192.0.2.1>;+sip.instance="{INSTANCE}"'
        for contact, extra, gruus in (
            (with_instance, ["Supported: path"], self.gruus),
            ("<sip:a@192.0.2.1>", ["Supported: gruu"], self.gruus),
            (with_instance, ["Supported: gruu"], None),
        ):
            (params,) = self.contacts(self.plan(contact, extra=extra, gruus=gruus))
            self.assertFalse(params.keys() & {"pub-gruu", "temp-gruu"})

    def test_required(self) -> None:
        """Require: gruu is understood where GRUUs are made, else it is 420."""
        self.assertEqual(self.plan("<sip:a@192.0.2.1>", extra=["Require: gruu"], gruus=self.gruus).status, 200)
        self.assertEqual(self.plan("<sip:a@192.0.2.1>", extra=["Require: gruu"]).headers, [("unsupported", "gruu")])
