"""Who may watch whom.

Implements: RFC 3856 §6.6 (authorization), RFC 3857 §4.7.1 (states of a watcher). Pure. The invariant: what a presentity decided counts
more than any setting, and nobody but its owner sees a package that is its owner's alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sipnode.presence.fields import Refused
from sipnode.records import SubscriptionStatus

if TYPE_CHECKING:
    from sipnode.presence.table import Decisions

Hook = Callable[[str, str, str], "str | None"]
"""``(watcher, resource, event)`` -> 'active', 'pending', 'rejected', or None to leave it to the settings."""

_STATUS: Final = {
    "active": SubscriptionStatus.ACTIVE,
    "pending": SubscriptionStatus.PENDING,
    "rejected": SubscriptionStatus.TERMINATED,
}


class Policy:
    """Decides about watchers.

    Args:
        name: ``all``, ``domain`` (users of the same domain) or ``contacts`` (whom the presentity approved; others wait).
        decisions: What presentities decided.
        hook: A site's own word.
    """

    def __init__(self, name: str, decisions: Decisions, hook: Hook | None = None) -> None:
        self._name = name
        self._decisions = decisions
        self.hook = hook

    def status(self, watcher: str, resource: str, package: Any) -> int:
        """ACTIVE, PENDING or TERMINATED (:class:`~sipnode.records.SubscriptionStatus`) for a watcher of a package."""
        if watcher == resource:
            return SubscriptionStatus.ACTIVE
        if package.own_only:
            return SubscriptionStatus.TERMINATED
        decided = self._decisions.get(resource, watcher, package.name)
        if decided is not None and decided.status in (SubscriptionStatus.ACTIVE, SubscriptionStatus.TERMINATED):
            # Kamailio keeps who waits in the same table.
            return decided.status
        said = self.hook(watcher, resource, package.name) if self.hook is not None else None
        if said is not None:
            if said not in _STATUS:
                raise ValueError(f"presence_policy gave {said!r}: it gives 'active', 'pending', 'rejected' or None")
            return _STATUS[said]
        if self._name == "contacts":
            return SubscriptionStatus.PENDING
        if self._name == "domain" and watcher.rpartition("@")[2] != resource.rpartition("@")[2]:
            return SubscriptionStatus.TERMINATED
        return SubscriptionStatus.ACTIVE

    def admit(self, watcher: str, resource: str, package: Any) -> int:
        """ACTIVE or PENDING.

        Raises:
            Refused: 403.
        """
        status = self.status(watcher, resource, package)
        if status not in (SubscriptionStatus.ACTIVE, SubscriptionStatus.PENDING):
            raise Refused(403)
        return status
