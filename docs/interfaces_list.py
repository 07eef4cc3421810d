"""``.. interfaces:: sipnode.interfaces`` lists every interface of a module with its attributes and methods.

autodoc sees objects of zope.interface as data, so their own description is asked.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.util.nodes import nested_parse_with_titles
from zope.interface import Attribute
from zope.interface.interface import InterfaceClass, Method


def interfaces(module: str) -> list[InterfaceClass]:
    """Those that a module defines, in its order."""
    found = importlib.import_module(module)
    return [each for each in vars(found).values() if isinstance(each, InterfaceClass) and each.__module__ == module]


def described(interface: InterfaceClass) -> Iterator[str]:
    """The lines of one: a title, what it is for, then what it has."""
    name = interface.__name__
    yield from (name, "-" * len(name), "", f".. py:class:: {interface.__module__}.{name}", "")
    yield from (f"   {line}" for line in plain(interface.__doc__))
    yield ""
    for base in interface.__bases__:
        if base.__module__ == interface.__module__:
            yield from (f"   Has all of :py:class:`~{base.__module__}.{base.__name__}`, and:", "")
    for attribute, what in interface.namesAndDescriptions():
        if isinstance(what, Method):
            yield f"   .. py:method:: {attribute}{what.getSignatureString()}"
        elif isinstance(what, Attribute):
            yield f"   .. py:attribute:: {attribute}"
        yield ""
        yield from (f"      {line}" for line in plain(what.getDoc()))
        yield ""


def plain(text: str | None) -> list[str]:
    """The lines of a docstring, its sections (Args, Raises …) as fields; an underscore outside of literals is no link."""
    parts = re.split(r"(``.*?``)", str(GoogleDocstring(inspect.cleandoc(text or ""))))
    return "".join(part if part.startswith("``") else re.sub(r"(?<!\\)_", r"\\_", part) for part in parts).splitlines()


class Interfaces(Directive):
    """The directive."""

    required_arguments = 1

    def run(self) -> list[Any]:
        text = StringList()
        for interface in interfaces(self.arguments[0]):
            for line in described(interface):
                text.append(line, "interfaces")
        node = nodes.section()
        node.document = self.state.document
        nested_parse_with_titles(self.state, text, node)
        return node.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("interfaces", Interfaces)
    app.connect("env-get-outdated", lambda *_: ["reference/api-interfaces"])
    return {"parallel_read_safe": True, "parallel_write_safe": True}
