"""The state that all of presence works on: the tables, what is made of them, the NOTIFYs that tell of it, and whom a change concerns.

Requests (:mod:`~sipnode.presence.publish`, :mod:`~sipnode.presence.subscribe`), calls, mailboxes, decisions and news of the tables know
this class; :class:`~sipnode.presence.service.PresenceService` is it with a life. The invariant: a change is told to those who watch it,
and to those who watch them, once it is in memory, and not before all is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, succeed

from sipnode.presence.documents import Documents
from sipnode.presence.names import new_etag, new_ruid
from sipnode.presence.notifier import Notifier
from sipnode.presence.policy import Policy
from sipnode.presence.proving import Proving
from sipnode.presence.serialqueue import SerialQueue
from sipnode.presence.store import PresenceStore
from sipnode.presence.table import Decisions, Publications, Subscriptions
from sipnode.records import PresenceChange, Publication, Subscription, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.interfaces import IReactorTime

    from sipnode.base.flow import Flow
    from sipnode.base.request import Request
    from sipnode.interfaces import IEventPackage
    from sipnode.presence.outgoing import Outgoing
    from sipnode.presence.subscription import Origin
    from sipnode.records import Binding
    from sipnode.settings import PresenceSettings
    from sipnode.sip.message import SipRequest
    from sipnode.transaction.machine import ClientTransaction, TransactionUser

CALLS: Final = "dialog"
"""The event whose rows are calls."""
REFUSALS: Final = ("refused_full", "refused_per_watcher", "refused_unanswered", "refused_silent", "refused_not_watcher")
"""Names in :attr:`PresenceState.counters`."""


class PresenceState:
    """Tables, documents and NOTIFYs of the domains.

    Args:
        settings: ``[presence]``.
        clock: Epoch seconds and delayed calls.
        packages: IEventPackage of all that are served, started.
        reach: See :class:`~sipnode.presence.notifier.Notifier`. transmit: Alike.
        origin: Where a request came from: ``(ctx) -> Origin``.
        is_watcher: ``(ctx, subscription)``: whether a SUBSCRIBE comes from the one who has that subscription.
        writer: The queue in front of the tables on disk; None to keep all in memory.
        node: Number of this node; the NOTIFYs of others' subscriptions are theirs to send.

    Attributes:
        packages: By name.
        publications: Of all nodes. subscriptions: Alike. decisions: Alike.
        ready: False until the tables are read.
        counters: Refusals by reason: ``refused_full``, ``refused_per_watcher``, ``refused_unanswered``, ``refused_silent``,
            ``refused_not_watcher``.
        proving: UDP addresses that have answered, and what waits at those that haven't.
    """

    def __init__(
        self,
        settings: PresenceSettings,
        clock: IReactorTime,
        packages: Iterable[IEventPackage],
        reach: Callable[[Subscription], Flow | Deferred[Flow] | None],
        transmit: Callable[[SipRequest, str, Flow, TransactionUser | None], ClientTransaction],
        origin: Callable[[Request], Origin],
        is_watcher: Callable[[Request, Subscription], bool],
        writer: Any = None,
        node: int = 0,
    ) -> None:
        self.settings = settings
        self.origin = origin
        self.is_watcher = is_watcher
        self.counters: dict[str, int] = dict.fromkeys(REFUSALS, 0)
        self.node = node
        self.ready = False
        self.packages: dict[str, Any] = {package.name: package for package in packages}
        self.publications = Publications()
        self.subscriptions = Subscriptions()
        self.decisions = Decisions()
        self.policy = Policy(settings.policy, self.decisions, private=settings.dialog_policy)
        self.queue = SerialQueue()
        self.store = PresenceStore(writer, self.subscriptions.by_tag.__contains__)
        self.documents = Documents(self.packages, self.publications, self.subscriptions.is_watched, self.policy.sees_all, self.now)
        self.proving: Proving[Outgoing] = Proving(settings.unanswered_per_watcher, settings.unanswered_per_address)
        self.notifier = Notifier(
            clock, self.documents.of, reach, transmit, self.store.number, self._dead, self._seconds, self.proving, self._keep_proof,
            settings.notify_burst,
        )  # fmt: skip
        self._winfo = {name.removesuffix(".winfo"): name for name, package in self.packages.items() if "watchers" in package.follows}
        self._follow = {
            what: tuple(name for name, package in self.packages.items() if what in package.follows) for what in ("bindings", "calls")
        }
        self._clock = clock
        self._writer = writer

    def now(self) -> float:
        """Epoch seconds."""
        return self._clock.seconds()

    @property
    def unwritten(self) -> int:
        """Changes that aren't on disk yet."""
        return 0 if self._writer is None else int(self._writer.waiting)

    def allow_events(self, to_publish: bool) -> tuple[tuple[str, str], ...]:
        """The header of a 489 (RFC 6665 §8.2.2)."""
        names = [name for name, package in self.packages.items() if package.publish_types or not to_publish]
        return (("allow-events", ", ".join(names)),)

    def apply(self, changes: list[PresenceChange]) -> None:
        """Take changes of publications into memory, after they are on disk."""
        for change in changes:
            row = change.row
            if isinstance(row, Publication):
                if change.delete:
                    self.publications.remove(row.ruid)
                else:
                    self.publications.save(row)

    def keep(self, changes: list[PresenceChange]) -> None:
        """Take changes of rows that this server makes for itself; they are written behind."""
        self.apply(changes)
        self.store.behind(changes)

    @property
    def durable(self) -> bool:
        """Whether rows outlive the process."""
        return self._writer is not None

    def is_followed(self, resource: str, what: str = "calls", elsewhere: bool = False) -> bool:
        """Whether somebody watches a resource by a package that follows that (registrations, calls).

        Args:
            elsewhere: Only subscriptions of other nodes count.
        """
        for event in self._follow[what]:
            if self.subscriptions.is_watched(event, resource):
                return not elsewhere or any(one.node != self.node for one in self.subscriptions.at(event, resource))
        return False

    def state_published(
        self, event: str, resource: str, body: bytes, seconds: float, ruid: str = "", sender: str = "server"
    ) -> Deferred[str]:
        """Publish for a resource from inside the server (a mailbox's count, a call's state), as durable as a PUBLISH.

        Args:
            body: b"" takes the publication back.
            seconds: From now on.
            ruid: Of the publication to replace, "" for a new one.

        Returns:
            A Deferred of its ``ruid``; it fails with StorageError.
        """
        now = self.now()
        ruid = ruid or new_ruid()
        row = Publication(resource, event, new_etag(), now + seconds, now, body, sender, ruid, int(now))
        old = self.publications.get(ruid)
        change = PresenceChange(row if body or old is None else old, not body)

        def stored(_result: object) -> str:
            self.apply([change])
            self.changed(event, resource)
            return ruid

        waiting = self.store.put([change])
        return (waiting if waiting is not None else succeed(None)).addCallback(stored)

    def changed(self, event: str, resource: str) -> None:
        """The state of a resource may be another one: tell its watchers; after a start they hear how things are when all is read."""
        if not self.ready:
            return
        self.documents.changed(event, resource)
        there = self.subscriptions.at(event, resource)
        if there:
            self.notifier.changed([one for one in there if one.node == self.node])
        if event == CALLS:
            # Other packages than that of the rows tell of calls too.
            for other in self._follow["calls"]:
                if other != event:
                    self._maybe_changed(other, resource)

    def binding_changed(self, kind: str, binding: Binding) -> None:
        """News of the registrar."""
        for event in self._follow["bindings"]:
            self._maybe_changed(event, binding.aor)

    def call_changed(self, resource: str) -> None:
        """A call that a resource takes part in has changed."""
        for event in self._follow["calls"]:
            self._maybe_changed(event, resource)

    def _maybe_changed(self, event: str, resource: str) -> None:
        """Something that the state is made of has changed: tell the watchers, unless their document says the same as before."""
        if self.subscriptions.is_watched(event, resource) and self.documents.differs(event, resource):
            self.changed(event, resource)

    def watched(self, subscription: Subscription) -> None:
        """A subscription began, ended or changed its status: who watches the watchers hears of it (RFC 3857)."""
        if not self.subscriptions.at(subscription.event, subscription.resource):
            self.documents.unwatched(subscription.event, subscription.resource)
        name = self._winfo.get(subscription.event)
        if name is not None:
            self.changed(name, subscription.resource)

    def watchers(self, resource: str, event: str) -> list[Watcher]:
        """Watchers of a resource."""
        now = self.now()
        return [
            Watcher(one.resource, one.watcher, one.event, one.status, one.reason, one.updated, one.expires, one.to_tag)
            for one in self.subscriptions.at(event, resource)
            if one.expires > now
        ]

    def end(self, subscription: Subscription, reason: str) -> None:
        """End a subscription with a last NOTIFY that tells no state."""
        self.subscriptions.remove(subscription.to_tag)
        self.store.delete([subscription])
        self.notifier.finish(subscription, reason, True)
        self.watched(subscription)

    def watched_anew(self, resource: str) -> None:
        """A subscription has begun: calls of the resource that are up have rows from now on."""
        raise NotImplementedError

    # -- what the notifier asks

    def _seconds(self, subscription: Subscription) -> float:
        package = self.packages.get(subscription.event)
        own = -1.0 if package is None else package.hold_seconds
        return self.settings.notify_seconds if own < 0 else own

    def _dead(self, subscription: Subscription, reason: str) -> None:
        if self.subscriptions.remove(subscription.to_tag) is not None:
            self.store.delete([subscription])
            self.watched(subscription)

    def _keep_proof(self, subscription: Subscription) -> None:
        if subscription.to_tag in self.subscriptions.by_tag:
            self.store.behind([PresenceChange(subscription)])
