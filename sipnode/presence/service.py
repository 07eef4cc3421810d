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
from sipnode.presence.calls import CallStates
from sipnode.presence.feed import PresenceFeed
from sipnode.presence.mailboxes import Mailboxes
from sipnode.presence.state import PresenceState
from sipnode.records import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from twisted.internet.interfaces import IReactorTime

    from sipnode.base.flow import Flow
    from sipnode.base.request import Request
    from sipnode.interfaces import IEventPackage, IPresenceBackend
    from sipnode.presence.subscription import Origin
    from sipnode.settings import PresenceSettings
    from sipnode.sip.message import SipRequest
    from sipnode.transaction.machine import ClientTransaction, TransactionUser

_TICK: Final = 1.0
_AT_ONCE: Final = 500
_PURGE_SECONDS: Final = 3600.0
_AGAIN_SECONDS: Final = 5.0


class PresenceService(PresenceState, Service):
    """Presence agent of the domains.

    Args:
        backend: The tables on disk; None to keep all in memory. The others are those of :class:`~sipnode.presence.state.PresenceState`.
        settled: Gives a Deferred that fires when the registrations that states are made of are read too; None where they are there.

    Attributes:
        calls: Of parties, for the packages that follow them. mailboxes: Of users, for ``message-summary``.
    """

    name = "presence"

    def __init__(
        self,
        settings: PresenceSettings,
        clock: IReactorTime,
        packages: Iterable[IEventPackage],
        reach: Callable[[Subscription], Flow | Deferred[Flow] | None],
        transmit: Callable[[SipRequest, str, Flow, TransactionUser | None], ClientTransaction],
        origin: Callable[[Request], Origin],
        is_watcher: Callable[[Request, Subscription], bool],
        backend: IPresenceBackend | None = None,
        writer: Any = None,
        node: int = 0,
        settled: Callable[[], Deferred[None]] | None = None,
    ) -> None:
        super().__init__(settings, clock, packages, reach, transmit, origin, is_watcher, writer, node)
        self.calls = CallStates(self)
        self.mailboxes = Mailboxes(self)
        self._backend = backend
        self._settled = settled
        self._feed = PresenceFeed(self, self._reread)
        if backend is not None:
            backend.watch(self._feed)
        self._to_greet: deque[str] = deque()
        self._purge_at = clock.seconds() + _PURGE_SECONDS
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock
        self._log = Logger()

    # -- life

    def startService(self) -> None:
        """Read the tables and start to expire."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self._loop.start(_TICK, now=False)
        if self._backend is None:
            self.ready = True
        else:
            self._read()

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

    def _read(self) -> None:
        """Read all tables; when that fails, again after some seconds."""
        self._load().addErrback(self._not_loaded)

    def _reread(self) -> None:
        if self.running:
            self._read()

    def _not_loaded(self, failure: Any) -> None:
        self._log.warn("the tables of presence can't be read: {reason}", reason=failure.getErrorMessage())
        self._clock.callLater(_AGAIN_SECONDS, lambda: self._read() if self.running else None)

    def _greet(self) -> None:
        """After a start everybody hears how things are now; many of them not all in the same second."""
        for _ in range(min(_AT_ONCE, len(self._to_greet))):
            one = self.subscriptions.by_tag.get(self._to_greet.popleft())
            if one is not None and judging.is_as_judged(self, one):
                self.notifier.changed([one])

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

    def watched_anew(self, resource: str) -> None:
        """A subscription has begun: calls of the resource that are up have rows from now on."""
        self.calls.watched(resource)

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
