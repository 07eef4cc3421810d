"""Event package ``presence.winfo``: who watches a presentity, for its own user, so that it can decide about who waits.

Implements: RFC 3857 §4, RFC 3858 §4 (documents, always a full state). Pure.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, ClassVar, Final

from sipnode.presence.packages.base import EventPackage
from sipnode.presence.packages.xmlbody import HEAD, text, uri
from sipnode.records import SubscriptionStatus

if TYPE_CHECKING:
    from sipnode.records import Publication, Watcher

WATCHERINFO: Final = "urn:ietf:params:xml:ns:watcherinfo"
MOST: Final = 200
"""Watchers of a document, which has to fit into a datagram; who waits for a decision comes first."""

_STATUS: Final = {
    SubscriptionStatus.ACTIVE: "active",
    SubscriptionStatus.PENDING: "pending",
    SubscriptionStatus.TERMINATED: "terminated",
    SubscriptionStatus.WAITING: "waiting",
}
_EVENTS: Final = frozenset(
    ("subscribe", "approved", "deactivated", "probation", "rejected", "timeout", "giveup", "noresource")  # RFC 3857 §4.7.1
)


class WinfoPackage(EventPackage):
    """See the module."""

    name: ClassVar[str] = "presence.winfo"
    content_types: ClassVar[tuple[str, ...]] = ("application/watcherinfo+xml",)
    follows: ClassVar[frozenset[str]] = frozenset(("watchers",))
    own_only: ClassVar[bool] = True
    versioned: ClassVar[bool] = True

    def state(self, resource: str, watcher: str, publications: list[Publication], version: int, content_type: str) -> bytes:
        """All that watch the resource, who waits first."""
        now = self.sources.now()
        watched = self.name.removesuffix(".winfo")
        there = sorted(self.sources.watchers(resource, watched), key=lambda one: one.status == SubscriptionStatus.ACTIVE)
        parts = [
            f'{HEAD}<watcherinfo xmlns="{WATCHERINFO}" version="{version}" state="full">',
            f'<watcher-list resource="{text(uri(resource))}" package="{watched}">',
            *[_watcher(one, now) for one in there[:MOST]],
            "</watcher-list></watcherinfo>\n",
        ]
        return "".join(parts).encode("utf-8", "replace")


def _watcher(one: Watcher, now: float) -> str:
    # The tag would let its reader speak in the watcher's dialog.
    name = "w" + blake2b(one.id.encode("utf-8", "replace"), digest_size=6).hexdigest()
    event = one.reason if one.reason in _EVENTS else one.cause
    times = f' expiration="{max(0, round(one.expires - now))}"' if one.expires else ""
    since = f' duration-subscribed="{max(0, round(now - one.since))}"' if one.since else ""
    return f'<watcher id="{name}" status="{_STATUS[one.status]}" event="{event}"{times}{since}>{text(uri(one.watcher))}</watcher>'
