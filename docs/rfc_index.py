"""``python docs/rfc_index.py`` writes ``docs/reference/rfc-index.rst``: which module implements which part of which RFC.

It reads the ``Implements:`` paragraphs of the modules' docstrings; ``--check`` only says whether the page is up to date.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
PAGE = DOCS / "reference" / "rfc-index.rst"
PACKAGE = DOCS.parent / "sipnode"
HEAD = """RFC index
=========

.. This page is made by docs/rfc_index.py from the docstrings of the modules. Change those.

Which module implements which part of which RFC, as the modules say themselves.

"""
_RFC = re.compile(r"RFC (\d+)")
_SECTION = re.compile(r"§([A-Z]?\d*(?:\.\d+)*)")
_END = re.compile(r"\bInvariant:|\bNot built:|(?<=\.)\s+(?=[A-Z])")


def implements(docstring: str) -> str:
    """The words after ``Implements:``, to the end of what lists RFCs; "" when there are none."""
    _, found, rest = docstring.partition("Implements:")
    if not found:
        return ""
    words = " ".join(rest.partition("\n\n")[0].split())
    parts = _END.split(words)
    kept = [parts[0]]
    for part in parts[1:]:
        if not _RFC.match(part.strip()):
            break
        kept.append(part)
    return " ".join(kept)


def claims(words: str) -> dict[int, list[str]]:
    """RFC number -> sections, in order, from the words of one docstring."""
    found: dict[int, list[str]] = {}
    marks = list(_RFC.finditer(words))
    ends = [mark.start() for mark in marks[1:]] + [len(words)]
    for mark, end in zip(marks, ends, strict=False):
        text = words[mark.end() : end]
        sections = found.setdefault(int(mark.group(1)), [])
        sections += [s for s in _SECTION.findall(text) if s and s not in sections]
    return found


def page(package: Path = PACKAGE) -> str:
    """The page's text."""
    index: dict[int, dict[str, list[str]]] = {}
    for path in sorted(package.rglob("*.py")):
        if "node_modules" in path.parts:
            continue
        docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        name = ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
        for number, sections in claims(implements(docstring)).items():
            index.setdefault(number, {})[name] = sections
    lines = [HEAD, ".. list-table::", "   :header-rows: 1", "", "   * - RFC", "     - modules"]
    for number, modules in sorted(index.items()):
        lines.append(f"   * - `{number} <https://www.rfc-editor.org/rfc/rfc{number}>`__")
        cell = [f"``{name}``{' §' + ', §'.join(sections) if sections else ''}" for name, sections in modules.items()]
        lines.append("     - " + "\n       ".join(f"| {one}" for one in cell))
    return "\n".join([*lines, ""])


def main() -> int:
    """Write the page, or check it."""
    text = page()
    if "--check" in sys.argv[1:]:
        same = PAGE.is_file() and PAGE.read_text("utf-8") == text
        print("up to date" if same else "out of date: run python docs/rfc_index.py")
        return 0 if same else 1
    PAGE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
