"""A site's own routing: name it in sipnode.toml as ``[routing] script = "routing.SiteRouting"``.

Every stage of :class:`sipnode.routing.RoutingScript` can be overridden, and ``super()`` still does what the package does. A stage
returns None to go on, a Verdict to stop, or raises Reject.
"""

from __future__ import annotations

from sipnode.routing import Reject, Request, RoutingScript, Step

DIRECTORY_NUMBERS = {"100": "alice", "101": "john"}
BARRED = ("00", "0190", "0900")


class SiteRouting(RoutingScript):
    """Short numbers for people, and no expensive ones for anybody."""

    def sipout(self, r: Request) -> Step:
        """Requests that leave our domains: no calls to numbers that cost."""
        if r.method == "INVITE" and r.ruri.user.startswith(BARRED):
            raise Reject(403, "Number Barred")
        return super().sipout(r)

    def location(self, r: Request) -> Step:
        """People are called by number, too, and looked up by name."""
        name = DIRECTORY_NUMBERS.get(r.ruri.user)
        if name:
            r.rewrite(name)
        return super().location(r)
