"""Tests of the page that says which module implements which RFC."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SkipTest, SynchronousTestCase

SCRIPT = Path(__file__).parent.parent / "docs" / "rfc_index.py"


def script() -> ModuleType:
    """docs/rfc_index.py as a module."""
    if not SCRIPT.is_file():
        raise SkipTest("docs aren't part of this copy")
    spec = importlib.util.spec_from_file_location("rfc_index", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class RfcIndexTests(SynchronousTestCase):
    """``docs/reference/rfc-index.rst``."""

    def test_up_to_date(self) -> None:
        """The page is what the modules say today."""
        module = script()
        self.assertEqual(module.PAGE.read_text("utf-8"), module.page(), "run: python docs/rfc_index.py")

    def test_words(self) -> None:
        """The words after ``Implements:`` end with the list of RFCs, not with the paragraph."""
        implements = script().implements
        self.assertEqual(
            implements("One.\n\nImplements: RFC 1 §2 (three),\nRFC 4. RFC 5 too. Whatever else RFC 6.\n\nRFC 7"),
            "RFC 1 §2 (three), RFC 4. RFC 5 too.",
        )
        self.assertEqual(implements("Implements: RFC 1. Invariant: not RFC 2."), "RFC 1.")
        self.assertEqual(implements("Nothing of RFC 1."), "")

    def test_claims(self) -> None:
        """RFC numbers with the sections that follow each."""
        claims = script().claims
        self.assertEqual(claims("RFC 3261 §17.1.1, §8 (x); RFC 6026, and RFC 3261 §9."), {3261: ["17.1.1", "8", "9"], 6026: []})
        self.assertEqual(claims("bencode"), {})

    def test_page(self) -> None:
        """A package of one's own."""
        folder = Path(self.mktemp()) / "some"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text('"""Implements: RFC 9 §1."""')
        (folder / "two.py").write_text('"""Two.\n\nImplements: RFC 9, RFC 8 §2."""')
        (folder / "three.py").write_text("")
        lines = script().page(folder).splitlines()
        self.assertEqual(
            [line for line in lines if "``some" in line], ["     - | ``some.two`` §2", "     - | ``some`` §1", "       | ``some.two``"]
        )
