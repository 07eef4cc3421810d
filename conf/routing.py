"""A site's own routing: name it in sipnode.toml as ``[routing] script = "routing.SiteRouting"``.

Every stage of :class:`sipnode.routing.script.RoutingScript` can be overridden, and ``super()`` still does what the package does. A stage
returns None to go on, a Verdict to stop, or raises Reject.
"""

from __future__ import annotations

from typing import Any

from sipnode.errors import Reject
from sipnode.routing.script import RoutingScript

DIRECTORY_NUMBERS = {"100": "alice", "101": "john"}
BARRED = ("00", "0190", "0900")


class SiteRouting(RoutingScript):
    """Short numbers for people, and no expensive ones for anybody."""

    def sipout(self, ctx: Any) -> Any:
        """What leaves our domains: no calls to numbers that cost."""
        if ctx.request.method == "INVITE" and ctx.request.ruri.user.startswith(BARRED):
            raise Reject(403, "Number Barred")
        return super().sipout(ctx)

    def location(self, ctx: Any) -> Any:
        """Who is called by number is looked up by name."""
        uri = ctx.request.ruri
        name = DIRECTORY_NUMBERS.get(uri.user)
        if name:
            request = ctx.request.copy()
            request.set_uri(f"sip:{name}@{uri.host}")
            ctx.request = request
        return super().location(ctx)
