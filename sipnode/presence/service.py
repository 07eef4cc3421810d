"""Presence as a service: PUBLISH and SUBSCRIBE in, NOTIFYs out, and both tables kept on disk and free of what has expired.

Implements: RFC 3903 §6, RFC 6665 §4. The invariant: what a 200 promised is on disk; after a restart subscriptions go on, and
each of their subscribers hears the state as it is then.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from sipnode.presence import judging, publish, subscribe
from sipnode.presence.calls import EVENT as CALLS
from sipnode.presence.calls import CallStates
from sipnode.presence.documents import Documents
from sipnode.presence.feed import PresenceFeed
from sipnode.presence.mailboxes import Mailboxes
from sipnode.presence.notifier import Notifier
from sipnode.presence.policy import Policy
from sipnode.presence.proving import Proving
from sipnode.presence.serialqueue import SerialQueue
from sipnode.presence.store import PresenceStore
from sipnode.presence.table import Decisions, Publications, Subscriptions
from sipnode.records import PresenceChange, Publication, Subscription, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from twisted.internet.interfaces import IReactorTime

    from sipnode.base.request import Request
    from sipnode.interfaces import IEventPackage, IPresenceBackend
    from sipnode.presence.outgoing import Outgoing
    from sipnode.presence.subscription import Origin
    from sipnode.settings import PresenceSettings

_TICK: Final = 1.0
_AT_ONCE: Final = 500
_PURGE_SECONDS: Final = 3600.0
_AGAIN_SECONDS: Final = 5.0

REFUSALS: Final = ("refused_full", "refused_per_watcher", "refused_unanswered", "refused_silent", "refused_not_watcher")
"""Events counted in :attr:`PresenceService.counters`."""


class PresenceService(Service):
    """Presence agent of the domains.

    Args:
        settings: ``[presence]``.
        clock: Epoch seconds and delayed calls.
        packages: IEventPackage of all that are served, started.
        reach: See :class:`~sipnode.presence.notifier.Notifier`. transmit: Alike.
        origin: Where a request came from: ``(ctx) -> Origin``.
        is_watcher: ``(ctx, subscription)``: whether a SUBSCRIBE comes from who has that subscription.
        backend: The tables on disk; None to keep all in memory.
        writer: The queue in front of them; None likewise.
        node: Number of this node; the NOTIFYs of others' subscriptions are theirs to send.
        settled: Gives a Deferred that fires when what states are made of (registrations) is read too; None where it is there.

    Attributes:
        packages: By name.
        calls: Of parties, for the packages that follow them. mailboxes: Of users, for ``message-summary``.
        publications: Of all nodes. subscriptions: Alike. decisions: Alike.
        ready: False until the tables are read.
        counters: What was refused, by reason: ``refused_full``, ``refused_per_watcher``, ``refused_unanswered``, ``refused_silent``,
            ``refused_not_watcher``.
        proving: UDP addresses that have answered, and what waits at those that haven't.
    """

    name = "presence"

    def __init__(
        self,
        settings: PresenceSettings,
        clock: IReactorTime,
        packages: Iterable[IEventPackage],
        reach: Callable[[Subscription], Any],
        transmit: Callable[..., Any],
        origin: Callable[[Any], Origin],
        is_watcher: Callable[[Any, Subscription], bool],
        backend: IPresenceBackend | None = None,
        writer: Any = None,
        node: int = 0,
        settled: Callable[[], Deferred[None]] | None = None,
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
        self.calls = CallStates(self)
        self.mailboxes = Mailboxes(self)
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
        self._backend = backend
        self._writer = writer
        self._settled = settled
        self._feed = PresenceFeed(self)
        if backend is not None:
            backend.watch(self._feed)
        self._to_greet: deque[str] = deque()
        self._purge_at = clock.seconds() + _PURGE_SECONDS
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock
        self._log = Logger()

    @property
    def unwritten(self) -> int:
        """Changes that aren't on disk yet."""
        return 0 if self._writer is None else int(self._writer.waiting)

    # -- life

    def startService(self) -> None:
        """Read the tables and start to expire."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self._loop.start(_TICK, now=False)
        if self._backend is None:
            self.ready = True
        else:
            self.load()

    def stopService(self) -> Any:
        """Stop; fires when what was put to the writer is written. Subscriptions stay: they go on after the start."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self.ready = False
        if self._loop.running:
            self._loop.stop()
        self.notifier.stop()
        return succeed(None) if self._writer is None else self._writer.drain()

    @inlineCallbacks
    def _load(self) -> Generator[Deferred[Any], Any, None]:
        backend = self._backend
        assert backend is not None
        seen = self._feed.begin()
        yield backend.load_watchers(seen.watchers.extend)
        yield backend.load_publications(seen.publications.extend)
        yield backend.load_subscriptions(seen.subscriptions.extend)
        self._feed.loaded(seen)
        if not self.ready:
            # Nobody is told that all have left while their registrations are being read.
            if self._settled is not None:
                yield self._settled()
            self.calls.loaded()
            self._to_greet.extend(tag for tag, one in self.subscriptions.by_tag.items() if one.node == self.node)
        self.ready = True
        self._greet()

    def load(self) -> None:
        """Read all tables; when that fails, again after some seconds."""
        self._load().addErrback(self._not_loaded)

    def _not_loaded(self, failure: Any) -> None:
        self._log.warn("the tables of presence can't be read: {reason}", reason=failure.getErrorMessage())
        self._clock.callLater(_AGAIN_SECONDS, lambda: self.load() if self.running else None)

    def _greet(self) -> None:
        """After a start everybody hears how things are now; many of them not all in the same second."""
        for _ in range(min(_AT_ONCE, len(self._to_greet))):
            one = self.subscriptions.by_tag.get(self._to_greet.popleft())
            if one is not None and judging.is_as_judged(self, one):
                self.notifier.changed([one])

    def now(self) -> float:
        """Epoch seconds."""
        return self._clock.seconds()

    # -- requests

    def publish(self, ctx: Request, trusted: bool = False) -> Any:
        """Process a PUBLISH; see :func:`sipnode.presence.publish.handle`."""
        return publish.handle(self, ctx, trusted)

    def subscribe(self, ctx: Request) -> Any:
        """Process a SUBSCRIBE; see :func:`sipnode.presence.subscribe.handle`."""
        return subscribe.handle(self, ctx)

    def is_at_home(self, ctx: Request) -> bool:
        """Whether a SUBSCRIBE inside a dialog needs no password; see :func:`sipnode.presence.subscribe.is_at_home`."""
        return subscribe.is_at_home(self, ctx)

    def allow_events(self, to_publish: bool) -> tuple[tuple[str, str], ...]:
        """The header of a 489 (RFC 6665 §8.2.2)."""
        names = [name for name, package in self.packages.items() if package.publish_types or not to_publish]
        return (("allow-events", ", ".join(names)),)

    # -- state

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
        ruid = ruid or publish.new_ruid()
        row = Publication(resource, event, publish.new_etag(), now + seconds, now, body, sender, ruid, int(now))
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

    def binding_changed(self, kind: str, binding: Any) -> None:
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

    def decide(self, resource: str, watcher: str, event: str, allowed: bool | None, pickup: bool = False) -> Deferred[None]:
        """A presentity's word on a watcher: it may watch, it may not, or (None) the settings say.

        Args:
            pickup: It may see the private part of a state, too.

        Returns:
            A Deferred that fires when it is on disk and the watcher's subscriptions are as decided.
        """
        return judging.decide(self, resource, watcher, event, allowed, pickup)

    def judge_again(self, resource: str, watcher: str, event: str) -> None:
        """Have the subscriptions of a watcher of this node be as policy says now."""
        judging.again(self, resource, watcher, event)

    def end(self, subscription: Subscription, reason: str) -> None:
        """End a subscription with a last NOTIFY that tells no state."""
        self.subscriptions.remove(subscription.to_tag)
        self.store.delete([subscription])
        self.notifier.finish(subscription, reason, True)
        self.watched(subscription)

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

    # -- time

    def _tick(self) -> None:
        now = self.now()
        self.store.tick()
        if not self.ready:
            return
        if self._to_greet:
            self._greet()
        self.calls.tick(now)
        self._expire_publications(now)
        self._expire_subscriptions(now)
        if now >= self._purge_at and self._backend is not None:
            self._purge_at = now + _PURGE_SECONDS
            self._backend.purge(now - _PURGE_SECONDS).addErrback(
                lambda failure: self._log.warn("old rows of presence can't be deleted: {reason}", reason=failure.getErrorMessage())
            )

    def _expire_publications(self, now: float) -> None:
        gone = []
        for ruid in self.publications.ends.due(now, _AT_ONCE):
            row = self.publications.get(ruid)
            if row is None:
                continue
            if row.expires > now:
                self.publications.ends.add(ruid, row.expires)
            else:
                self.publications.remove(ruid)
                gone.append(row)
        if gone:
            self.store.delete(gone)
            for row in gone:
                self.changed(row.event, row.resource)

    def _expire_subscriptions(self, now: float) -> None:
        for tag in self.subscriptions.ends.due(now, _AT_ONCE):
            row = self.subscriptions.by_tag.get(tag)
            if row is None:
                continue
            if row.expires > now:
                self.subscriptions.ends.add(tag, row.expires)
            elif row.node == self.node:
                self.end(row, "timeout")
            else:
                self.subscriptions.remove(tag)
                self.watched(row)
