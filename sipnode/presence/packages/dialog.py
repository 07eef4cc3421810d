"""Event package ``dialog``: the lamps of desk phones, lit by the calls that go through this server.

A watcher sees that there is a call, its direction and its state. The parties, and the Call-ID and tags with which a call can be
picked up (Replaces, RFC 3891), are for the user and for those who were let pick up its calls (RFC 4235 §5, §6).

Implements: RFC 4235 §3. Nothing can be published: a lamp shows what the server saw, not what somebody says. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sipnode.presence.packages.base import EventPackage
from sipnode.presence.packages.dialoginfo import CONTENT_TYPE, compose, public
from sipnode.presence.packages.xmlbody import uri

if TYPE_CHECKING:
    from sipnode.records import Publication


class DialogPackage(EventPackage):
    """See the module."""

    name: ClassVar[str] = "dialog"
    content_types: ClassVar[tuple[str, ...]] = (CONTENT_TYPE,)
    follows: ClassVar[frozenset[str]] = frozenset(("calls",))
    private: ClassVar[bool] = True
    versioned: ClassVar[bool] = True
    hold_seconds: ClassVar[float] = 1.0
    """RFC 4235 §3.8."""

    def state(self, resource: str, watcher: str, publications: list[Publication], version: int, content_type: str) -> bytes:
        """All calls of the resource, also those that ended just now."""
        calls = self.sources.calls(resource)
        return compose(uri(resource), calls if watcher == resource else public(resource, calls), version)
