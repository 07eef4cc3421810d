"""What stands beside the package for those who run it: the image, compose, Kubernetes, the README's recipe."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sipnode import config

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

import image
import recipe

TOP = Path(__file__).resolve().parent.parent

_VARIABLE = re.compile(r"(SIPNODE_[A-Z]+__[A-Z_]+)(?:: ?|=)('[^']*'|\\S+)")


class SettingsTests(SynchronousTestCase):
    """Variables that these files set."""

    def test_known(self) -> None:
        """Each variable is a setting with a value that can be read."""
        for name in ("Containerfile", "compose.yaml", "sipnode/files/kubernetes.yaml", "README.rst"):
            found = {variable: value.strip("'") for variable, value in _VARIABLE.findall((TOP / name).read_text("utf-8"))}
            self.assertTrue(found, name)
            self.assertEqual([str(error) for error in config.read("", "", found)[1]], [], name)


class ImageTests(SynchronousTestCase):
    """The Containerfile, as the test of its steps reads it."""

    def test_stages(self) -> None:
        """The last stage is the server, and every instruction is one that the test of the steps knows."""
        stages = image.stages((TOP / "Containerfile").read_text("utf-8"))
        self.assertEqual(list(stages), ["build", "rtpengine", "sipnode"])
        for name in ("build", "sipnode"):
            for step in stages[name]:
                self.assertIn(step.word, image.KNOWN)

    def test_user(self) -> None:
        """It doesn't run as root."""
        steps = image.stages((TOP / "Containerfile").read_text("utf-8"))["sipnode"]
        self.assertEqual([step.rest for step in steps if step.word == "USER"], ["10001:10001"])


class RecipeTests(SynchronousTestCase):
    """The README."""

    def test_lines(self) -> None:
        """Its recipe is found, makes a user, and ends with the server."""
        lines = recipe.recipe((TOP / "README.rst").read_text("utf-8"))
        self.assertEqual(len(lines), 5)
        self.assertEqual(lines[-1], "twistd -n sipnode -c conf")
        self.assertIn(f"sipnode user add {recipe.USER}@{recipe.DOMAIN} -c conf", lines)
        self.assertEqual(recipe.recipe("no recipe\n"), [])

    def test_what_is_said_last(self) -> None:
        """The prompt and the name of the environment aren't what a line of the recipe has said."""
        self.assertEqual(recipe.last_line("pip install x\nSuccess\n\n(venv) recipe> "), "Success")

    def test_picture(self) -> None:
        """The picture is there, and small."""
        self.assertLess((TOP / "docs" / "images" / "call.png").stat().st_size, 150 * 1024)
