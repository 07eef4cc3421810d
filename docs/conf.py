"""Sphinx: the manual of sipnode. ``make docs`` builds it with warnings as errors."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.nodes import nested_parse_with_titles

from sipnode import __version__
from sipnode.config import bounds_text, toml_value
from sipnode.settings import NAMED, sections

sys.path.insert(0, str(Path(__file__).parent))
from metrics_list import metric_families  # beside this file, as walk
from walk import lines as walk_lines

project = "sipnode"
author = "the sipnode developers"
copyright = "the sipnode developers"
version = release = __version__
extensions = ["links", "interfaces_list", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# What others include is no page of its own.
exclude_patterns = ["_build", "security/*", "examples/*"]
html_theme = "furo"
# Quotes of settings and commands are copied as they are.
smartquotes = False
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_title = f"sipnode {version}"
# Only what is typed is copied: no prompt, no output.
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"


class SettingsTable(Directive):
    """``.. settings::`` lists every section and setting as the server knows them."""

    def run(self) -> list[Any]:
        text = StringList()
        for section, kind in {**sections(), **{f"{group}.NAME": kind for group, kind in NAMED.items()}}.items():
            for line in (
                f"[{section}]",
                "-" * (len(section) + 2),
                "",
                ".. list-table::",
                "   :class: stacked",
                "   :widths: 22 20 58",
                "   :header-rows: 1",
                "",
            ):
                text.append(line, "settings")
            for number, cell in enumerate(("setting", "default", "meaning")):
                text.append(f"   {'  ' if number else '* '}- {cell}", "settings")
            for field in dataclasses.fields(kind):
                # Literal text: meanings speak of ``*`` and ``|``.
                cells = (f"``{field.name}``", f"``{toml_value(field.default)}``", escape(field.metadata["meaning"]) + bounds_text(field))
                for number, cell in enumerate(cells):
                    text.append(f"   {'  ' if number else '* '}- {cell}", "settings")
            text.append("", "settings")
        node = nodes.section()
        node.document = self.state.document
        nested_parse_with_titles(self.state, text, node)
        return node.children


class MetricsTable(Directive):
    """``.. metrics::`` lists every family of /metrics as the server gives them."""

    def run(self) -> list[Any]:
        text = StringList()
        for line in (".. list-table::", "   :class: stacked", "   :widths: 46 12 42", "   :header-rows: 1", ""):
            text.append(line, "metrics")
        for number, cell in enumerate(("metric", "kind", "what")):
            text.append(f"   {'  ' if number else '* '}- {cell}", "metrics")
        for family in metric_families():
            for number, cell in enumerate((f"``{family.shown}``", family.kind, escape(family.text))):
                text.append(f"   {'  ' if number else '* '}- {cell}", "metrics")
        node = nodes.section()
        node.document = self.state.document
        nested_parse_with_titles(self.state, text, node)
        return node.children


class WalkText(Directive):
    """``.. walk:: METHOD`` shows the way of such a request through the server's functions, as they are."""

    required_arguments = 1

    def run(self) -> list[Any]:
        text = "\n".join(walk_lines(self.arguments[0]))
        return [nodes.literal_block(text, text, language="text")]


def escape(text: str) -> str:
    """Plain words for reStructuredText."""
    for mark in "\\*`|_":
        text = text.replace(mark, f"\\{mark}")
    return text


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("settings", SettingsTable)
    app.add_directive("metrics", MetricsTable)
    app.add_directive("walk", WalkText)
    # The tables change with the server, not with the page.
    app.connect("env-get-outdated", lambda *_: ["reference/configuration", "howto/observe", "understand/walk"])
    return {"parallel_read_safe": True}
