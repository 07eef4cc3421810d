"""The samples of the manual run."""

from __future__ import annotations

import importlib.util
import unittest
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

SAMPLES = Path(__file__).parents[2] / "docs" / "samples"


class SampleTests(SynchronousTestCase):
    """docs/samples"""

    def test_tests_of_a_site(self) -> None:
        """The tests that the manual shows pass, all of them."""
        spec = importlib.util.spec_from_file_location("sample_test_routing", SAMPLES / "test_routing.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(module.SiteTests).run(result)
        self.assertEqual([text for _, text in result.failures + result.errors], [])
        self.assertEqual(result.testsRun, 5)
