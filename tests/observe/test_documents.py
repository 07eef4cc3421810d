"""The dashboard and the page against the metrics that there are."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import sipnode
from sipnode.testing import World

from .kit import Watched

DOCS = Path(sipnode.__file__).parent.parent / "docs"
_NAME = re.compile(r"\b((?:sipnode|process)_[a-z_]+)")
_LABEL = re.compile(r"(\w+) ?(?:=~|!=|!~|=)\s*[\"']|by \(([\w, ]+)\)|\{\{(\w+)\}\}")


def metric_names() -> set[str]:
    """Every name that a sample can have."""
    readings = Watched(World()).read()
    kinds = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
    return {family.name + suffix for family in readings.families.values() for suffix in kinds.get(family.type, ("",))}


class DocumentTests(SynchronousTestCase):
    """What is named is there, and what is there is named."""

    def setUp(self) -> None:
        self.board: dict[str, Any] = json.loads((DOCS / "grafana" / "sipnode.json").read_text())
        self.expressions = [target["expr"] for panel in self.board["panels"] for target in panel.get("targets", ())]
        self.names = metric_names()

    def test_dashboard_names(self) -> None:
        """Each metric of the dashboard exists."""
        named = {name for text in self.expressions for name in _NAME.findall(text)}
        self.assertEqual(named - self.names, set())
        self.assertIn("sipnode_build_info", self.names)

    def test_dashboard_is_whole(self) -> None:
        """Each of the server's own metrics stands in it."""
        text = " ".join(self.expressions) + json.dumps(self.board["templating"])
        families = {family for family in Watched(World()).read().families if family.startswith("sipnode_")}
        self.assertEqual({family for family in families if family not in text}, set())

    def test_dashboard_labels(self) -> None:
        """Each label that a panel asks for is one that some metric has."""
        spec = importlib.util.spec_from_file_location("metrics_list", DOCS / "metrics_list.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        known = {label for family in module.metric_families() for label in re.findall(r"\w+", family.shown.partition("{")[2])}
        for panel in self.board["panels"]:
            for target in panel.get("targets", ()):
                text = target["expr"] + target["legendFormat"]
                used = {label for groups in _LABEL.findall(text) for each in groups for label in each.replace(",", " ").split()}
                self.assertEqual(used - known - {"instance", "le"}, set(), panel["title"])

    def test_dashboard_layout(self) -> None:
        """Numbers of panels are their own, and no panel lies on another."""
        panels = self.board["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        cells: set[tuple[int, int]] = set()
        for panel in panels:
            place = panel["gridPos"]
            covered = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
            self.assertEqual((cells & covered, place["x"] + place["w"] <= 24), (set(), True), panel["title"])
            cells |= covered

    def test_page(self) -> None:
        """Each metric that the page names exists."""
        text = (DOCS / "howto" / "observe.rst").read_text()
        self.assertEqual(set(_NAME.findall(text)) - self.names - {"process_open_fds"}, set())
