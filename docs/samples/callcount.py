"""A plugin: an event package of one's own, which tells how many calls somebody is in.

Put it into a folder ``sipnode/plugins/`` on the path (no ``__init__.py``) and name it in sipnode.toml::

    [presence]
    packages = ["presence", "x-callcount"]
"""

from __future__ import annotations

from typing import ClassVar

from twisted.plugin import IPlugin
from zope.interface import implementer

from sipnode.presence.packages.base import EventPackage
from sipnode.records import Publication


@implementer(IPlugin)
class CallCount(EventPackage):
    """A number as text."""

    name: ClassVar[str] = "x-callcount"
    content_types: ClassVar[tuple[str, ...]] = ("text/plain",)
    follows: ClassVar[frozenset[str]] = frozenset(("calls",))

    def state(self, resource: str, watcher: str, publications: list[Publication], version: int, content_type: str) -> bytes:
        """Calls that are up."""
        return b"%d" % len([call for call in self.sources.calls(resource) if call.state == "confirmed"])


callcount = CallCount()
