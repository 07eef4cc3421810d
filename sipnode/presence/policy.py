"""The policy on watchers: which of them may watch whom.

Implements: RFC 3856 §6.6 (authorization), RFC 3857 §4.7.1 (states of a watcher). Pure. The invariant: what a presentity decided counts
more than any setting, nobody but its owner sees a package that is its owner's alone, and the private part of a state is seen by those
alone who were let see it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sipnode.presence.fields import Refused
from sipnode.records import SubscriptionStatus

if TYPE_CHECKING:
    from sipnode.presence.table import Decisions

Hook = Callable[[str, str, str], "str | None"]
"""``(watcher, resource, event)`` -> 'active', 'pickup', 'pending', 'rejected', or None to leave it to the settings."""

PICKUP: Final = "pickup"
"""``reason`` of a decision, and word of a hook, for who may see everything, as one needs it to pick up a call."""

_STATUS: Final = {
    "active": SubscriptionStatus.ACTIVE,
    PICKUP: SubscriptionStatus.ACTIVE,
    "pending": SubscriptionStatus.PENDING,
    "rejected": SubscriptionStatus.TERMINATED,
}


class Policy:
    """Decides about watchers.

    Args:
        name: ``all``, ``domain`` (users of the same domain) or ``contacts`` (whom the presentity approved; others wait).
        decisions: What presentities decided.
        hook: A site's own word.
        private: Of packages that tell some watchers more than others: ``state`` (whom ``name`` lets watch sees the part for everybody),
            ``approved`` (whom nobody approved waits), ``full`` (whom ``name`` lets watch sees everything).
    """

    def __init__(self, name: str, decisions: Decisions, hook: Hook | None = None, private: str = "state") -> None:
        self._name = name
        self._private = private
        self._decisions = decisions
        self.hook = hook

    def status(self, watcher: str, resource: str, package: Any) -> int:
        """ACTIVE, PENDING or TERMINATED (:class:`~sipnode.records.SubscriptionStatus`) for a watcher of a package."""
        return self._judge(watcher, resource, package)[0]

    def sees_all(self, watcher: str, resource: str, package: Any) -> bool:
        """Whether a watcher of a package with a private part is told that too."""
        try:
            return self._judge(watcher, resource, package)[1]
        except Exception:
            # A site's fault, which the SUBSCRIBE has told of; it must not keep a NOTIFY from going out.
            return False

    def _judge(self, watcher: str, resource: str, package: Any) -> tuple[int, bool]:
        if watcher == resource:
            return SubscriptionStatus.ACTIVE, True
        if package.own_only:
            return SubscriptionStatus.TERMINATED, False
        private = getattr(package, "private", False)
        full = not private or self._private == "full"
        decided = self._decisions.get(resource, watcher, package.name)
        if decided is not None and decided.status in (SubscriptionStatus.ACTIVE, SubscriptionStatus.TERMINATED):
            # Kamailio keeps who waits in the same table.
            return decided.status, full or decided.reason == PICKUP
        said = self.hook(watcher, resource, package.name) if self.hook is not None else None
        if said is not None:
            if said not in _STATUS:
                raise ValueError(f"presence_policy gave {said!r}: it gives 'active', 'pickup', 'pending', 'rejected' or None")
            return _STATUS[said], full or said == PICKUP
        if self._name == "domain" and watcher.rpartition("@")[2] != resource.rpartition("@")[2]:
            return SubscriptionStatus.TERMINATED, False
        if self._name == "contacts" or (private and self._private == "approved"):
            return SubscriptionStatus.PENDING, False
        return SubscriptionStatus.ACTIVE, full

    def admit(self, watcher: str, resource: str, package: Any) -> int:
        """ACTIVE or PENDING.

        Raises:
            Refused: 403.
        """
        status = self.status(watcher, resource, package)
        if status not in (SubscriptionStatus.ACTIVE, SubscriptionStatus.PENDING):
            raise Refused(403)
        return status
