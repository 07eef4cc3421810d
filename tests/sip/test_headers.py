"""Tests of header names, and of the identifiers that go into headers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.sip.headers import COMPACT, PRETTY, SINGLE, SPELLINGS, canonical, pretty
from sipnode.sip.ids import BRANCH_PREFIX, MAGIC_COOKIE, base36, new_branch, new_call_id, new_tag


class NameTests(SynchronousTestCase):
    """Canonical, compact and pretty."""

    def test_canonical(self) -> None:
        """Any spelling leads to the one name, known or not."""
        for spelling, name in (
            ("Via", "via"),
            ("VIA", "via"),
            ("vIa", "via"),
            ("v", "via"),
            ("V", "via"),
            ("v ", "via"),
            ("X-Foo", "x-foo"),
            ("call-ID", "call-id"),
            ("i", "call-id"),
        ):
            self.assertEqual(canonical(spelling), name)

    def test_pretty(self) -> None:
        """Written as the RFCs write it."""
        for name, spelling in (
            ("call-id", "Call-ID"),
            ("cseq", "CSeq"),
            ("www-authenticate", "WWW-Authenticate"),
            ("sip-etag", "SIP-ETag"),
            ("x-foo", "X-Foo"),
        ):
            self.assertEqual(pretty(name), spelling)

    def test_tables(self) -> None:
        """Every name of the tables is canonical, and every spelling leads to one."""
        for name in (*COMPACT.values(), *PRETTY, *SINGLE, *SPELLINGS.values()):
            self.assertEqual(canonical(name), name)
        for name, spelling in PRETTY.items():
            self.assertEqual(SPELLINGS[spelling], name)
        self.assertEqual(len(set(COMPACT.values())), len(COMPACT))


class IdTests(SynchronousTestCase):
    """Branches, tags and Call-IDs."""

    def test_different(self) -> None:
        """None is made twice."""
        for make in (new_branch, new_tag, new_call_id):
            self.assertEqual(len({make() for _ in range(1000)}), 1000)

    def test_branch(self) -> None:
        """A branch has the cookie of RFC 3261 and the mark of this run."""
        self.assertTrue(BRANCH_PREFIX.startswith(MAGIC_COOKIE) and len(BRANCH_PREFIX) > 12)
        self.assertTrue(new_branch().startswith(BRANCH_PREFIX))

    def test_base36(self) -> None:
        """Digits and lower-case letters."""
        for number in (0, 35, 36, 1295, 2**48 - 1):
            self.assertEqual(int(base36(number), 36), number)
