"""Mailboxes whose content is told from inside: by RPC, or by a plugin that knows a voicemail server.

A mailbox is a publication of event ``message-summary`` that doesn't expire, so it is as durable as any, and every node knows it.
Implements: RFC 3842 §3.8 (what makes a NOTIFY). The invariant: a user has at most one mailbox of this kind.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from sipnode.presence.packages.mwi import Mailbox, compose

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from sipnode.presence.state import PresenceState
    from sipnode.records import Publication

EVENT: Final = "message-summary"
_FOR_EVER: Final = (1 << 31) - 1
"""Epoch seconds; the largest that the table's column holds."""


class Mailboxes:
    """Those of all users.

    Args:
        state: Where their states are published.
    """

    def __init__(self, state: PresenceState) -> None:
        self._state = state

    def set(self, resource: str, new: int, old: int = 0, urgent_new: int = 0, urgent_old: int = 0) -> Deferred[str]:
        """Say what is in a mailbox; one that wasn't there is there from now on.

        Returns:
            A Deferred that fires when it is on disk; it fails with StorageError.
        """
        body = compose(resource, Mailbox(new, old, urgent_new, urgent_old))
        return self._state.state_published(EVENT, resource, body, _FOR_EVER - self._state.now(), _ruid(resource))

    def remove(self, resource: str) -> Deferred[None] | None:
        """Take a mailbox away: its lamp goes out, its subscriptions end. None where there is none of this kind."""
        state = self._state
        if state.publications.get(_ruid(resource)) is None:
            return None

        def removed(_ruid: str) -> None:
            if not state.publications.at(EVENT, resource, state.now()):
                for one in state.subscriptions.at(EVENT, resource):
                    if one.node == state.node:
                        state.end(one, "noresource")

        return state.state_published(EVENT, resource, b"", 0, _ruid(resource)).addCallback(removed)

    def all(self) -> list[Publication]:
        """The state of every mailbox, also of those that a voicemail server publishes."""
        return [row for row in self._state.publications if row.event == EVENT]


def _ruid(resource: str) -> str:
    return "mwi-" + blake2b(resource.encode("utf-8", "replace"), digest_size=12).hexdigest()
