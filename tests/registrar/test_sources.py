"""Tests of the index by source."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.records import BindingFlag
from sipnode.registrar.location import LocationTable
from sipnode.registrar.sources import Sources
from tests.registrar.kit import AOR, NOW, binding

NATTED = int(BindingFlag.NATB)
HERE, THERE = "sip:192.0.2.7:40000;transport=udp", "sip:192.0.2.8:40000;transport=udp"


class SourcesTests(SynchronousTestCase):
    """Sources."""

    def test_several(self) -> None:
        """Several accounts may be behind one source; each comes and goes by itself."""
        sources = Sources()
        for aor in ("a", "ab", "b", "a"):
            sources.add(HERE, aor)
        self.assertEqual(sources.of(HERE), ("a", "ab", "b"))
        for aor, left in (("ab", ("a", "b")), ("x", ("a", "b")), ("a", ("b",)), ("b", ()), ("b", ())):
            sources.drop(HERE, aor)
            self.assertEqual(sources.of(HERE), left)
        self.assertEqual(len(sources), 0)


class BySourceTests(SynchronousTestCase):
    """LocationTable.by_source."""

    def setUp(self) -> None:
        self.table = LocationTable()

    def found(self, received: str = HERE, contact: str = "sip:a@10.0.0.1", now: float = NOW) -> str:
        """The contact that was found, "" for none."""
        found = self.table.by_source(received, contact, now)
        return "" if found is None else found.contact

    def save(self, ruid: str = "r1", contact: str = "sip:a@10.0.0.1", received: str = HERE, cflags: int = NATTED) -> None:
        """A binding."""
        self.table.save(AOR, binding(contact, ruid, received=received, cflags=cflags))

    def test_moves(self) -> None:
        """A binding is found at its newest source alone, and not at all when it isn't natted any more, expired or gone."""
        self.save()
        self.assertEqual((self.found(), self.found(THERE)), ("sip:a@10.0.0.1", ""))
        self.save(received=THERE)
        self.assertEqual((self.found(), self.found(THERE)), ("", "sip:a@10.0.0.1"))
        self.assertEqual(self.found(THERE, now=NOW + 1e6), "")
        self.save(received=THERE, cflags=0)
        self.assertEqual(self.found(THERE), "")
        self.save()
        self.table.remove(AOR, "r1")
        self.assertEqual((self.found(), len(self.table._sources)), ("", 0))

    def test_two_of_one_source(self) -> None:
        """Of two bindings behind one source the one with the equal contact is meant, else one with the user; one leaves, one stays."""
        self.save()
        self.save("r2", "sip:a@10.0.0.1:5090")
        self.assertEqual((self.found(), self.found(contact="sip:a@10.0.0.1:5090;ob")), ("sip:a@10.0.0.1", "sip:a@10.0.0.1:5090"))
        self.assertEqual((self.found(contact="sip:b@10.0.0.1"), self.found(contact="sip:a@10.0.0.1:7") != ""), ("", True))
        self.table.remove(AOR, "r1")
        self.assertEqual(self.found(), "sip:a@10.0.0.1:5090")
