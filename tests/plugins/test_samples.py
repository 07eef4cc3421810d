"""The samples of the manual run."""

from __future__ import annotations

import importlib.util
import sys
import unittest
from pathlib import Path
from types import ModuleType
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

SAMPLES = Path(__file__).parents[2] / "docs" / "samples"


def loaded(name: str, file: Path) -> ModuleType:
    """A file as a module."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class SampleTests(SynchronousTestCase):
    """docs/samples"""

    def test_tests_of_a_site(self) -> None:
        """The tests that the manual shows pass, all of them."""
        self.assertEqual(self.passed(SAMPLES / "test_routing.py"), 5)

    def test_tutorial(self) -> None:
        """So do those of the tutorial, beside the script that they test."""
        script = loaded("routing", SAMPLES / "start" / "routing.py")
        with mock.patch.dict(sys.modules, {"routing": script}):
            self.assertEqual(self.passed(SAMPLES / "start" / "test_routing.py"), 2)

    def passed(self, file: Path) -> int:
        """How many tests of a file pass; all have to."""
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(loaded("sample_test_routing", file).SiteTests).run(result)
        self.assertEqual([text for _, text in result.failures + result.errors], [])
        return result.testsRun
