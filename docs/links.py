"""``:doc:`page``` finds a page by its own name, in whatever folder it stands: pages move without their links.

The invariant: no two pages have one name, so a name means one page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment


def names(pages: set[str]) -> dict[str, str]:
    """Page names to where they stand; each folder's ``index`` is left out.

    Raises:
        ExtensionError: two pages have one name.
    """
    found: dict[str, str] = {}
    for page in sorted(pages):
        name = page.rpartition("/")[2]
        if name == "index":
            continue
        if name in found:
            raise ExtensionError(f"two pages have the name {name}: {found[name]} and {page}")
        found[name] = page
    return found


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, contents: nodes.TextElement) -> nodes.reference | None:
    """Answer a ``:doc:`` of which no page is where it points: the page of that name, wherever it stands."""
    if node.get("reftype") != "doc":
        return None
    page = names(env.found_docs).get(node["reftarget"].rpartition("/")[2])
    if page is None:
        return None
    title = contents if node["refexplicit"] else nodes.inline("", env.titles[page].astext(), classes=["doc"])
    return make_refnode(app.builder, node["refdoc"], page, "", title)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
