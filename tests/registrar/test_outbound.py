"""Tests of reg-id: when it counts, and which bindings are flows of one device."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.registrar import register
from sipnode.registrar.outbound import MAX_REG_ID, grouped, reg_id_of
from sipnode.registrar.register import RegisterPlan, Source
from sipnode.settings import LocationSettings
from tests.registrar.kit import AOR, NOW, binding
from tests.registrar.kit import register as request

SUPPORTED = "Supported: path, outbound"
SECOND_VIA = "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKp"
CONTACT = '<sip:a@192.0.2.1>;+sip.instance="<urn:uuid:1>";reg-id={}'
SOURCE = Source("", "udp:192.0.2.100:5060", peer="192.0.2.9", port=4711)


def plan(*extra: str, reg_id: object = 1, expires: str = "600", contacts: tuple[str, ...] = (), **settings: object) -> RegisterPlan:
    """The plan of a REGISTER."""
    conf = LocationSettings(**settings)  # type: ignore[arg-type]  # values of single settings
    message = request(CONTACT.format(reg_id), *contacts, extra=extra, expires=expires)
    ruids = iter(("r1", "r2", "r3"))
    return register.plan(message, AOR, [], NOW, conf, SOURCE, lambda: next(ruids))


class CountsTests(SynchronousTestCase):
    """RFC 5626 §6."""

    def test_direct(self) -> None:
        """Straight from the device it counts: 200 with Require and Flow-Timer, and requests go back to where the datagram came from."""
        made = plan(SUPPORTED)
        self.assertEqual((made.changes[0].binding.reg_id, made.changes[0].binding.received), (1, "sip:192.0.2.9:4711;transport=udp"))
        self.assertTrue({("require", "outbound"), ("flow-timer", "120")} <= set(made.headers))
        self.assertNotIn("flow-timer", dict(plan(SUPPORTED, flow_timer=0).headers))

    def test_not_asked_for(self) -> None:
        """Without the option tag reg-id says nothing (§6), and the contact is reached as any other."""
        made = plan("Supported: path, outbound-ish")
        self.assertEqual((made.changes[0].binding.reg_id, made.changes[0].binding.received), (0, ""))
        self.assertNotIn("require", dict(made.headers))

    def test_required(self) -> None:
        """A device that requires outbound isn't refused for it."""
        self.assertEqual(plan(SUPPORTED, "Require: outbound").status, 200)

    def test_range(self) -> None:
        """1 to 2^31-1; anything else counts as none."""
        message = request(extra=[SUPPORTED])
        numbers = {text: reg_id_of(text, message, False) for text in ("1", str(MAX_REG_ID), str(MAX_REG_ID + 1), "0", "", "-1", "\u0661")}
        self.assertEqual(list(numbers.values()), [1, 2147483647, 0, 0, 0, 0, 0])

    def test_edges(self) -> None:
        """Behind a proxy its ob has to stand in the last value of Path, which is the first hop's: else 439, or no reg-id where settings
        are lenient."""
        for path, status in (
            ((), 439),
            (("Path: <sip:192.0.2.30;lr>",), 439),
            (("Path: <sip:192.0.2.30;lr;ob>, <sip:192.0.2.31;lr>",), 439),
            (("Path: <sip:192.0.2.30;lr>, <sip:192.0.2.31;lr;ob>",), 200),
        ):
            made = plan(SUPPORTED, SECOND_VIA, *path)
            self.assertEqual(made.status, status, path)
            self.assertEqual(len(made.changes), 1 if status == 200 else 0)
        made = plan(SUPPORTED, SECOND_VIA, outbound="lenient")
        self.assertEqual((made.status, made.changes[0].binding.reg_id), (200, 0))
        self.assertEqual(plan(SUPPORTED, SECOND_VIA).reason, "First Hop Lacks Outbound Support")

    def test_one_contact(self) -> None:
        """A flow has one contact: with another one beside it the REGISTER is 400 and changes nothing."""
        made = plan(SUPPORTED, contacts=("<sip:b@192.0.2.2>",))
        self.assertEqual((made.status, made.changes), (400, []))

    def test_forged_path(self) -> None:
        """A Path that can't be read is 400, whatever comes after it."""
        self.assertRaises(ParseError, reg_id_of, "1", request(extra=[SUPPORTED, "Path: <sip:[x;ob>"]), False)


class GroupTests(SynchronousTestCase):
    """Flows of one device."""

    def test_newest_first(self) -> None:
        """Its flows stand together, the newest first, where the best of them stands; others keep their order and their place."""
        phone = binding("sip:p@192.0.2.7", "r0")
        old = binding(ruid="r1", instance="i1", reg_id=1, last_modified=NOW - 9)
        page = binding(ruid="r2", instance="i1")
        new = binding(ruid="r3", instance="i1", reg_id=2, last_modified=NOW - 5)
        found = [[one.ruid for one in group] for group in grouped([phone, old, page, new])]
        self.assertEqual(found, [["r0"], ["r3", "r1"], ["r2"]])
