"""The registrar as a service: REGISTER in, lookups out, and the table kept on disk and free of what has expired.

Implements: RFC 3261 §10.3, §16.5; RFC 7118 §6 (a binding ends with its WebSocket connection).

The invariant: with ``db_mode`` 1 a 200 goes out when its change is on disk, and a change whose client was told 503 isn't
in memory either. Lookups are synchronous and never wait for the store.

A binding that lived on a connection of an earlier run is kept until it expires. When nobody can connect to it (a
WebSocket end, a natted stream) it is *lost*: a lookup says 480, not 404, until its owner registers again.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from sipnode.errors import ParseError, StorageBusy, StorageError
from sipnode.records import BindingFlag, LocationChange
from sipnode.registrar import register
from sipnode.registrar.backlog import Backlog
from sipnode.registrar.direct import Direct
from sipnode.registrar.feed import Feed
from sipnode.registrar.gruu import Gruus, Instance
from sipnode.registrar.loading import Loading
from sipnode.registrar.location import LocationTable
from sipnode.registrar.lookup import LookupResult, chosen
from sipnode.registrar.ownership import adopt, is_ours, source_of, without_flow
from sipnode.registrar.register import ContactRefusal, RegisterPlan
from sipnode.registrar.watchers import Watchers
from sipnode.registrar.writethrough import RETRY_AFTER, WriteThrough
from sipnode.sip.ids import BOOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from sipnode.base.flow import Flow
    from sipnode.base.flows import FlowTable
    from sipnode.base.request import Request
    from sipnode.base.verdict import Verdict
    from sipnode.interfaces import ILocationBackend, ILocationWriter, INode
    from sipnode.records import Binding
    from sipnode.settings import LocationSettings
    from sipnode.sip.uri import SipUri

_NATB: Final = int(BindingFlag.NATB)
_TICK: Final = 1.0
_EXPIRE_AT_ONCE: Final = 1000
_PURGE_SECONDS: Final = 3600.0


class RegistrarService(Service):
    """Registrar and location service.

    Args:
        settings: ``[location]``.
        clock: Gives epoch seconds and delayed calls.
        backend: The location table on disk; None with ``db_mode`` 0.
        writer: The queue in front of it; None with ``db_mode`` 0.
        flows: Live connections; None counts every connection as live.
        write_seconds: A write that takes longer is answered with 503; less than the limit of the writer.
        degraded: Why the store takes no writes now, "" when it does.

    Attributes:
        ready: False until the table is loaded; so long an address is read by itself before a REGISTER or lookup of it.
        table: The table in memory.
        node: INode: this server among those that share the table; None when it is alone.
        contact_refusal: Judges new contacts; None takes all.
        gruus: Makes and reads GRUUs; None: there are none.
        settle: Called behind each page of rows that the load has brought, which stay.
    """

    name = "location"

    def __init__(
        self,
        settings: LocationSettings,
        clock: IReactorTime,
        backend: ILocationBackend | None = None,
        writer: ILocationWriter | None = None,
        flows: FlowTable | None = None,
        write_seconds: float = 8.0,
        degraded: Callable[[], str] = lambda: "",
    ) -> None:
        mode = settings.db_mode
        if mode and (backend is None or (mode != 4 and writer is None)):
            raise ValueError(f"db_mode {mode} needs a backend and a writer")
        self.ready, self.table = False, LocationTable()
        self._watchers = Watchers(self.table)
        self.contact_refusal: ContactRefusal | None = None
        self.gruus: Gruus | None = None
        self.node: INode | None = None
        self.settle: Callable[[], None] = lambda: None
        self._settings = settings
        self._clock = clock
        self._disk: WriteThrough | None = None
        self._direct: Direct | None = None
        self._loading: Loading | None = None
        self._feed: Feed | None = None
        if mode in (1, 2, 3) and writer is not None:
            backlog = None
            if mode != 3 and (mode == 2 or settings.on_outage == "accept"):
                backlog = Backlog(writer, settings.queue, degraded, settings.flush_seconds if mode == 2 else 0.0)
            live: Callable[[str], bool] = lambda token: flows is None or flows.by_token(token) is not None  # noqa: E731
            self._disk = WriteThrough(writer, self.table, live, clock, write_seconds, degraded, backlog, mode == 2)
            if mode == 3 and backend is not None:
                self._direct = Direct(backend, writer, self.table, clock, lambda binding: adopt(binding, self.node), _refuse)
        if mode in (1, 2, 4) and backend is not None:
            underway = self._disk.underway if self._disk is not None else lambda ruid: False
            self._feed = Feed(backend, self.table, clock, underway, lambda binding: adopt(binding, self.node), self._watchers.tell)
            self._loading = self._feed.loading = Loading(backend, clock, self._take, self._loaded)
            backend.watch(self._feed)
        self._on_ready: list[Deferred[None]] = []
        self._held = False
        self._backend = backend if mode else None
        self._purge_at = clock.seconds() + _PURGE_SECONDS
        self._later: IDelayedCall | None = None
        self._numbers = count(1)
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock
        self._log = Logger(namespace="sipnode.registrar")

    # -- life

    def startService(self) -> None:
        """Load the table and start to expire."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self._loop.start(_TICK, now=False)
        if self._loading is None:
            self._loaded()
        else:
            self._loading.start()

    def stopService(self) -> Deferred[None]:
        """Stop; fires when what was put to the writer is written, or after the time of one write."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self.ready = False
        if self._loop.running:
            self._loop.stop()
        for part in (self._loading, self._feed):
            if part is not None:
                part.stop()
        if self._later is not None and self._later.active():
            self._later.cancel()
        return self.flushed()

    def flushed(self) -> Deferred[None]:
        """Fires when what is known now is in the store, or after the time of one write."""
        return succeed(None) if self._disk is None else self._disk.drain()

    @property
    def unwritten(self) -> int:
        """Changes that were answered and aren't on disk: those of ``db_mode`` 2, or of an outage."""
        return 0 if self._disk is None else self._disk.unwritten

    def when_ready(self) -> Deferred[None]:
        """Fires when the table is loaded."""
        if self.ready:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._on_ready.append(waiter)
        return waiter

    def hold(self) -> None:
        """A planned stop begins: connections that close from now on leave their bindings, so that callers are told 480
        and not 404 until the owners are back."""
        self._held = True

    def _take(self, rows: Sequence[Binding]) -> None:
        """Rows that the load brings."""
        now = self._clock.seconds()
        stale = []
        for binding in rows:
            if binding.expires <= now:
                stale.append(binding)
                continue
            mine = self.table.get(binding.aor, binding.ruid)
            if mine is not None and mine.last_modified >= binding.last_modified:
                # News of it came faster.
                continue
            adopt(binding, self.node)
            self.table.save(binding.aor, binding)
            self._watchers.tell("registered", binding)
        if stale and self._disk is not None:
            self._disk.delete([binding for binding in stale if is_ours(binding, self.node)])
        self.settle()

    def _loaded(self) -> None:
        self.ready = True
        self._loading = None
        if self._feed is not None:
            self._feed.loaded()
        while self._on_ready:
            self._on_ready.pop(0).callback(None)

    def _unknown(self, aor: str) -> Deferred[None] | None:
        """While the table is being read: None when that address is known already, else fires when it is."""
        if self._loading is None or not self.running:
            return fail(StorageError("not running"))
        return self._loading.ask(aor)

    # -- REGISTER

    def save(self, context: Request, cflags: int = 0) -> Verdict | Deferred[Verdict]:
        """Process, and answer, a REGISTER whose sender has proved that the address-of-record is its own.

        Args:
            cflags: :class:`~sipnode.records.BindingFlag` bits that its bindings keep.
        """
        if context.flow.closed:
            return _refuse(context)
        try:
            aor = self.canonical(register.aor_of(context.request))
        except ParseError as error:
            return context.reply(error.status, error.reason)
        if not self.ready:
            waiting = self._unknown(aor)
            if waiting is not None:
                return waiting.addCallbacks(lambda _: self._save(context, aor, cflags), lambda _: _refuse(context))
        elif self._direct is not None:
            decide: Callable[[list[Binding]], RegisterPlan] = lambda bindings: self._plan(context, aor, bindings, cflags)  # noqa: E731
            return self._direct.register(context, aor, decide, lambda plan, before: self._watchers.tell_changes(plan.changes, before))
        return self._save(context, aor, cflags)

    def _plan(self, context: Request, aor: str, bindings: list[Binding], cflags: int) -> RegisterPlan:
        now = self._clock.seconds()
        source = source_of(context.flow, cflags, self.node, now + self._settings.max_expires)
        names, refusal = self._new_ruid, self.contact_refusal
        return register.plan(context.request, aor, bindings, now, self._settings, source, names, refusal, self.gruus)

    def _save(self, context: Request, aor: str, cflags: int) -> Verdict | Deferred[Verdict]:
        if context.flow.closed:
            return _refuse(context)
        plan = self._plan(context, aor, self.table.lookup(aor, self._clock.seconds()), cflags)
        changes = plan.changes
        if not changes:
            return context.reply(plan.status, plan.reason, plan.headers)
        before = self.table.apply(aor, changes)
        stored = True if self._disk is None else self._disk.write(changes, before)
        if isinstance(stored, Deferred):
            return stored.addCallback(self._answer, context, plan, before)
        return self._answer(stored, context, plan, before)

    def _answer(self, stored: bool, context: Request, plan: RegisterPlan, before: list[Binding | None]) -> Verdict:
        if not stored:
            return _refuse(context)
        self._watchers.tell_changes(plan.changes, before)
        return context.reply(plan.status, plan.reason, plan.headers)

    def admit(self, binding: Binding) -> Deferred[None]:
        """Put a binding in by hand, in the place of the one with its ``ruid``: it is in memory, in the store and known to the watchers, or
        nowhere. Fails with StorageBusy when it can't be stored.
        """
        if not self.ready:
            return fail(StorageBusy("the binding could not be stored"))
        changes = [LocationChange(binding)]
        before = self.table.apply(binding.aor, changes)
        stored = True if self._disk is None else self._disk.write(changes, before)
        return (stored if isinstance(stored, Deferred) else succeed(stored)).addCallback(self._admitted, changes, before)

    def _admitted(self, stored: bool, changes: list[LocationChange], before: list[Binding | None]) -> None:
        if not stored:
            raise StorageBusy("the binding could not be stored")
        self._watchers.tell_changes(changes, before)

    # -- lookups

    def canonical(self, aor: str) -> str:
        """An address-of-record as the table names it: without its domain where ``use_domain`` is off."""
        return aor if self._settings.use_domain else aor.rpartition("@")[0] + "@"

    def lookup(self, aor: str, method: str = "", one: Instance | None = None) -> LookupResult | Deferred[LookupResult]:
        """Where a request for an address-of-record can be sent.

        Args:
            aor: ``user@host``, canonical.
            method: Of the request; "" for any.
            one: The only device of it that is meant; None for all.

        Returns:
            At once what memory knows; a Deferred of it where the database has to be asked (``db_mode`` 3, or the table is
            still being read), which never fails.
        """
        aor = self.canonical(aor)
        if not self.ready:
            waiting = self._unknown(aor)
            if waiting is not None:
                return waiting.addCallbacks(lambda _: self._known(aor, method, one), lambda _: LookupResult(503, []))
        elif self._direct is not None:
            found = self._direct.bindings(aor)
            return found.addCallbacks(lambda bindings: self._of(bindings, method, one), lambda _: LookupResult(503, []))
        return self._known(aor, method, one)

    def lookup_gruu(self, uri: SipUri, method: str) -> LookupResult | Deferred[LookupResult]:
        """The same for a URI with ``gr`` (RFC 5627 §5.4): only that device; 404 for what we haven't made, or what is over."""
        one = self.gruus.read(uri) if self.gruus is not None else None
        return LookupResult(404, []) if one is None else self.lookup(f"{one.user}@{uri.host}", method, one)

    def _known(self, aor: str, method: str, one: Instance | None = None) -> LookupResult:
        return self._of(self.table.lookup(aor, self._clock.seconds()), method, one)

    def _of(self, bindings: list[Binding], method: str, one: Instance | None) -> LookupResult:
        if one is not None:
            bindings = one.of(bindings)
            if not bindings:
                return LookupResult(one.missing, [])
        return chosen(bindings, method if self._settings.method_filtering else "", self.node)

    def online(self, aor: str) -> bool:
        """Whether a request for that address-of-record would be sent anywhere, as far as memory knows."""
        return self._known(self.canonical(aor), "").status == 200

    def by_instance(self, aor: str, instance: str) -> Binding | None:
        """The newest binding of a device, lost or not."""
        return self.table.by_instance(self.canonical(aor), instance, self._clock.seconds())

    def by_key(self, key: str) -> Binding | None:
        """The binding of a device by its :func:`~sipnode.registrar.location.instance_key`, lost or not."""
        return self.table.by_key(key, self._clock.seconds())

    def by_source(self, received: str, contact: str) -> Binding | None:
        """The binding that came from there with that contact; see :meth:`LocationTable.by_source`."""
        return self.table.by_source(received, contact, self._clock.seconds())

    # -- changes

    def on_change(self, watcher: Callable[[str, Binding], None]) -> None:
        """Have a callable told of each change, after it is on disk.

        Args:
            watcher: Called with (kind, binding); kind is 'registered', 'refreshed', 'unregistered', 'expired', 'closed'
                (its connection is gone) or 'removed'. After loading it is told 'registered' of each row.
        """
        self._watchers.add(watcher)

    def flow_closed(self, flow: Flow) -> None:
        """A connection is gone: at once its bindings are too, but for those of phones that can be connected to."""
        if flow.token and self.running and not self._held:
            for left in filter(None, map(without_flow, self.table.on_flow(flow.token))):
                self.table.save(left.aor, left)
                if self._disk is not None and self.node is not None:
                    self._disk.bring(left)
            self._gone("closed", self.table.drop_flow(flow.token))

    def remove(self, binding: Binding, kind: str = "removed") -> None:
        """Take one binding out (a keepalive had no answer, an operator wants it)."""
        gone = self.table.remove(binding.aor, binding.ruid)
        if gone is not None:
            self._gone(kind, [gone])

    def _gone(self, kind: str, bindings: list[Binding]) -> None:
        disk = self._disk
        if disk is not None:
            for binding in bindings:
                disk.forget(binding)
            disk.delete(bindings if kind == "removed" else [one for one in bindings if is_ours(one, self.node)], kind == "removed")
        for binding in bindings:
            self._watchers.tell(kind, binding)

    def _purge(self) -> None:
        """Rows that nobody deletes, since their node never came back."""
        if self.running and self._backend is not None and self._disk is not None:
            purging = self._backend.purge(self._clock.seconds() - _PURGE_SECONDS)
            purging.addErrback(lambda failure: self._log.warn("old rows can't be deleted: {reason}", reason=failure.getErrorMessage()))

    def _tick(self) -> None:
        now = self._clock.seconds()
        if now >= self._purge_at:
            self._purge_at = now + _PURGE_SECONDS
            self._purge()
        if self._disk is not None:
            self._disk.tick()
        self._expire()

    def _expire(self) -> None:
        gone, more = self.table.expire(self._clock.seconds(), _EXPIRE_AT_ONCE)
        if gone:
            self._gone("expired", gone)
        if more and not (self._later is not None and self._later.active()):
            self._later = self._clock.callLater(0, self._expire)

    def _new_ruid(self) -> str:
        return f"uloc-{BOOT}-{next(self._numbers):x}"


def _refuse(context: Request) -> Verdict:
    return context.reply(503, "", RETRY_AFTER)
