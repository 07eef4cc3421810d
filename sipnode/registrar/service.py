"""The registrar as a service: REGISTER in, lookups out, and the table kept on disk and free of what has expired.

Implements: RFC 3261 §10.3, §16.5; RFC 7118 §6 (a binding ends with its WebSocket connection).

The invariant: with ``db_mode`` 1 a 200 goes out when its change is on disk, and a change whose client was told 503 isn't
in memory either. Lookups are synchronous and never wait for the store.

A binding that lived on a connection of an earlier run is kept until it expires. When nobody can connect to it (a
WebSocket end, a natted stream) it is *lost*: a lookup says 480, not 404, until its owner registers again.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from sipnode.errors import ParseError
from sipnode.records import BindingFlag
from sipnode.registrar import register
from sipnode.registrar.columns import ALL_METHODS, METHOD_BITS, OTHER_METHOD
from sipnode.registrar.location import LocationTable, interned
from sipnode.registrar.register import Source, is_lost
from sipnode.registrar.writethrough import RETRY_AFTER, WriteThrough
from sipnode.sip.ids import BOOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from sipnode.interfaces import IFlow, IFlowTable, ILocationBackend, ILocationWriter, INode, IRequestContext
    from sipnode.records import Binding, LocationChange
    from sipnode.settings import LocationSettings

_NATB: Final = int(BindingFlag.NATB)
_TICK: Final = 1.0
_EXPIRE_AT_ONCE: Final = 1000
_LOAD_AT_ONCE: Final = 2000


class LookupResult(NamedTuple):
    """What is known of an address-of-record.

    Attributes:
        status: 200; 404 no binding; 405 none takes the method; 480 known, but none can be reached now; 503 still loading.
        bindings: Best first; empty unless status is 200.
    """

    status: int
    bindings: list[Binding]


class RegistrarService(Service):
    """Registrar and location service.

    Args:
        settings: ``[location]``.
        clock: Gives epoch seconds and delayed calls.
        backend: The location table on disk; None with ``db_mode`` 0.
        writer: The queue in front of it; None with ``db_mode`` 0.
        flows: Live connections; None counts every connection as live.
        write_seconds: A write that takes longer is answered with 503; less than the limit of the writer.

    Attributes:
        ready: False until the table is loaded; REGISTER and lookups get 503 so long.
        table: The table in memory.
        node: INode: this server among those that share the table; None when it is alone.
    """

    name = "location"

    def __init__(
        self,
        settings: LocationSettings,
        clock: IReactorTime,
        backend: ILocationBackend | None = None,
        writer: ILocationWriter | None = None,
        flows: IFlowTable | None = None,
        write_seconds: float = 8.0,
    ) -> None:
        if settings.db_mode and (backend is None or writer is None):
            raise ValueError("db_mode 1 needs a backend and a writer")
        self.ready = False
        self.table = LocationTable()
        self.node: INode | None = None
        self._settings = settings
        self._clock = clock
        self._backend = backend if settings.db_mode else None
        self._disk: WriteThrough | None = None
        if settings.db_mode and writer is not None:
            self._disk = WriteThrough(
                writer, self.table, lambda token: flows is None or flows.by_token(token) is not None, clock, write_seconds
            )
        self._watchers: list[Callable[[str, Binding], None]] = []
        self._on_ready: list[Deferred[None]] = []
        self._held = False
        self._later: IDelayedCall | None = None
        self._numbers = count(1)
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock
        self._log = Logger()

    # -- life

    def startService(self) -> None:
        """Load the table and start to expire."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self._loop.start(_TICK, now=False)
        if self._backend is None:
            self._loaded()
        else:
            self._load(1.0)

    def stopService(self) -> Deferred[None]:
        """Stop; fires when what was put to the writer is written, or after the time of one write."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        return self._stop()

    def _stop(self) -> Deferred[None]:
        self.ready = False
        if self._loop.running:
            self._loop.stop()
        if self._later is not None and self._later.active():
            self._later.cancel()
        return succeed(None) if self._disk is None else self._disk.drain()

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

    def _load(self, delay: float) -> None:
        assert self._backend is not None
        stale: list[Binding] = []
        loading = self._backend.load(lambda rows: self._take(interned(rows), stale))
        loading.addCallbacks(lambda _: self._taken(stale), self._load_failed, errbackArgs=(delay,))
        loading.addErrback(lambda failure: self._log.failure("location table", failure))

    def _load_failed(self, failure: Failure, delay: float) -> None:
        self._log.error("the location table can't be read, next try in {delay} s: {reason}", delay=delay, reason=failure.value)
        if self.running:
            self._later = self._clock.callLater(delay, self._load, min(delay * 2, 30.0))

    def _take(self, rows: Sequence[Binding], stale: list[Binding]) -> Deferred[None]:
        """Take some rows in and let the reactor breathe."""
        now = self._clock.seconds()
        breath: Deferred[None] = Deferred()
        if not self.running:
            return breath
        for binding in rows:
            if binding.expires <= now:
                stale.append(binding)
                continue
            binding.connection_id = ""
            if self.node is None or binding.server_id == self.node.id:
                # It led through this node to a connection of an earlier run.
                binding.path = ""
            if binding.socket[:1] == "t" and not binding.cflags & _NATB:
                # The source port of a connection that is gone; the phone listens at its contact.
                binding.received = ""
            self.table.save(binding.aor, binding)
        if len(rows) < _LOAD_AT_ONCE:
            return succeed(None)
        self._later = self._clock.callLater(0, breath.callback, None)
        return breath

    def _taken(self, stale: list[Binding]) -> None:
        if not self.running:
            return
        if self._disk is not None:
            self._disk.delete(stale)
        self._loaded()

    def _loaded(self) -> None:
        self.ready = True
        for binding in self.table if self._watchers else ():
            self._tell("registered", binding)
        waiters, self._on_ready = self._on_ready, []
        for waiter in waiters:
            waiter.callback(None)

    # -- REGISTER

    def save(self, context: IRequestContext, cflags: int = 0) -> Any:
        """Process a REGISTER whose sender has proved that the address-of-record is its own.

        Args:
            context: The request; it is answered.
            cflags: :class:`~sipnode.records.BindingFlag` bits that its bindings keep.

        Returns:
            What ``context.reply`` returned, or a Deferred of it.
        """
        flow = context.flow
        if not self.ready or flow.closed:
            return context.reply(503, "", RETRY_AFTER)
        try:
            aor = self.canonical(register.aor_of(context.request))
        except ParseError as error:
            return context.reply(error.status, error.reason)
        now = self._clock.seconds()
        plan = register.plan(
            context.request,
            aor,
            self.table.lookup(aor, now),
            now,
            self._settings,
            self._source(flow, cflags, now),
            self._new_ruid,
        )
        changes = plan.changes
        if not changes:
            return context.reply(plan.status, plan.reason, plan.headers)
        before = self.table.apply(aor, changes)
        if self._disk is None:
            self._tell_changes(changes, before)
            return context.reply(plan.status, plan.reason, plan.headers)
        return self._disk.register(context, plan, before, lambda: self._tell_changes(changes, before))

    # -- lookups

    def canonical(self, aor: str) -> str:
        """An address-of-record as the table names it: without its domain where ``use_domain`` is off."""
        return aor if self._settings.use_domain else aor.rpartition("@")[0] + "@"

    def lookup(self, aor: str, method: str = "") -> LookupResult:
        """Where a request for an address-of-record can be sent.

        Args:
            aor: ``user@host``, canonical.
            method: Of the request; "" for any.
        """
        if not self.ready:
            return LookupResult(503, [])
        bindings = self.table.lookup(self.canonical(aor), self._clock.seconds())
        if not bindings:
            return LookupResult(404, bindings)
        bit = METHOD_BITS.get(method, OTHER_METHOD) if method and self._settings.method_filtering else ALL_METHODS
        if len(bindings) == 1 and bindings[0].connection_id and bindings[0].methods & bit:
            return LookupResult(200, bindings)
        reachable = [binding for binding in bindings if self._is_reachable(binding)]
        if not reachable:
            return LookupResult(480, reachable)
        fit = [binding for binding in reachable if binding.methods & bit]
        return LookupResult(200 if fit else 405, fit)

    def _is_reachable(self, binding: Binding) -> bool:
        node = self.node
        if node is not None and binding.path and binding.server_id != node.id:
            return node.reaches(binding)
        return not is_lost(binding)

    def online(self, aor: str) -> bool:
        """Whether a request for that address-of-record would be sent anywhere."""
        return self.lookup(aor).status == 200

    def by_instance(self, aor: str, instance: str) -> Binding | None:
        """The newest binding of a device, lost or not."""
        return self.table.by_instance(self.canonical(aor), instance, self._clock.seconds())

    def by_key(self, key: str) -> Binding | None:
        """The binding of a device by its :func:`~sipnode.registrar.location.instance_key`, lost or not."""
        return self.table.by_key(key, self._clock.seconds())

    # -- changes

    def on_change(self, watcher: Callable[[str, Binding], None]) -> None:
        """Have a callable told of each change, after it is on disk.

        Args:
            watcher: Called with (kind, binding); kind is 'registered', 'refreshed', 'unregistered', 'expired', 'closed'
                (its connection is gone) or 'removed'. After loading it is told 'registered' of each row.
        """
        self._watchers.append(watcher)

    def flow_closed(self, flow: IFlow) -> None:
        """A connection is gone: its bindings are too, at once."""
        if flow.token and self.running and not self._held:
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
            disk.delete(bindings)
        if self._watchers:
            for binding in bindings:
                self._tell(kind, binding)

    def _tick(self) -> None:
        if self._disk is not None:
            self._disk.overdue()
        self._expire()

    def _expire(self) -> None:
        gone, more = self.table.expire(self._clock.seconds(), _EXPIRE_AT_ONCE)
        if gone:
            self._gone("expired", gone)
        if more and not (self._later is not None and self._later.active()):
            self._later = self._clock.callLater(0, self._expire)

    def _tell_changes(self, changes: list[LocationChange], before: list[Binding | None]) -> None:
        if not self._watchers:
            return
        for change, old in zip(changes, before, strict=True):
            binding = change.binding
            # By now its connection may have closed, and that has been told already.
            if change.delete:
                self._tell("unregistered", binding)
            elif self.table.get(binding.aor, binding.ruid) is not None:
                self._tell("registered" if old is None else "refreshed", binding)

    def _tell(self, kind: str, binding: Binding) -> None:
        for watcher in self._watchers:
            try:
                watcher(kind, binding)
            except Exception:
                self._log.failure("a watcher of the location table failed")

    def _source(self, flow: IFlow, cflags: int, now: float) -> Source:
        """What a binding keeps of the flow that its REGISTER came by."""
        source = _source(flow, cflags)
        node = self.node
        if node is not None:
            source.server_id = node.id
            source.path = node.path(flow, source.cflags, now + self._settings.max_expires)
        return source

    def _new_ruid(self) -> str:
        return f"uloc-{BOOT}-{next(self._numbers):x}"


def _source(flow: IFlow, cflags: int) -> Source:
    """What a binding keeps of the flow that its REGISTER came by."""
    received = ""
    cflags = int(cflags)
    if flow.reliable or cflags & _NATB:
        host, port = flow.remote
        if ":" in host:
            host = f"[{host}]"
        # In a URI the token of both kinds of WebSocket is ws (RFC 7118 §5.2).
        received = f"sip:{host}:{port};transport={'ws' if flow.websocket else flow.transport.lower()}"
    return Source(received, flow.listener.name, flow.token, cflags)
