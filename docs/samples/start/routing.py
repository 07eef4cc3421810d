"""The callers of a busy phone get a mailbox; nobody calls 0900."""

from __future__ import annotations

from typing import Any

from sipnode.errors import Reject
from sipnode.proxy.target import Target
from sipnode.routing.script import RoutingScript


class SiteRouting(RoutingScript):
    """What is different at our site."""

    def sipout(self, ctx: Any) -> Any:
        """A call that leaves our domains."""
        if ctx.request.ruri.user.startswith("0900"):
            raise Reject(403, "Number Barred")
        return super().sipout(ctx)

    def manage_failure(self, fork: Any) -> Any:
        """Every phone has failed: if it was busy, try the mailbox."""
        if fork.branches[-1].status != 486:
            return super().manage_failure(fork)
        fork.add_targets([Target("sip:mailbox@192.0.2.99")])
        return None
