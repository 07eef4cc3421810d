"""The callers of a busy phone get a mailbox; nobody calls 0900."""

from __future__ import annotations

from sipnode.routing import Fork, Managed, Reject, Request, RoutingScript, Step, Target


class SiteRouting(RoutingScript):
    """What is different at our site."""

    def sipout(self, r: Request) -> Step:
        """A call that leaves our domains."""
        if r.ruri.user.startswith("0900"):
            raise Reject(403, "Number Barred")
        return super().sipout(r)

    def manage_failure(self, fork: Fork) -> Managed:
        """Every phone has failed: if it was busy, try the mailbox."""
        if fork.status == 486:
            fork.ring([Target("sip:mailbox@192.0.2.99")])
        return super().manage_failure(fork)
