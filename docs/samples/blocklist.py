"""A plugin stage: some callers are declined. Goes into a folder ``sipnode/plugins/`` (without ``__init__.py``) on the path."""

from __future__ import annotations

from twisted.plugin import IPlugin
from zope.interface import implementer

from sipnode.interfaces import IRequestStage
from sipnode.routing import Reject, Request, Step


@implementer(IPlugin, IRequestStage)
class Blocklist:
    """Who is on the list is answered with 603, for calls and messages alone.

    Args:
        callers: ``user@domain`` of each.
    """

    name = "blocklist"
    after = ("auth",)
    before = ("location",)
    methods = frozenset(("INVITE", "MESSAGE"))

    def __init__(self, callers: frozenset[str]) -> None:
        self.callers = callers

    def process(self, r: Request) -> Step:
        """Refuse, or let the next stage have it."""
        if r.from_.uri.aor in self.callers:
            raise Reject(603, "Not Wanted Here")
        return None


blocklist = Blocklist(frozenset(("spam@example.test",)))
