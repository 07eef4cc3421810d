"""Metrics for Prometheus: every number is fetched when it is asked for, so that counting costs the calls nothing more.

Invariant: a label's values come from a closed set (methods, known statuses, configured nodes and files), never from a message; and
each family is there from the first scrape on, whatever the server has.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from sipnode.observe.health import unready
from sipnode.observe.pulse import Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUSY = ("drain", "overload")

Metric = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily | InfoMetricFamily


@dataclass(slots=True)
class Sources:
    """Where the numbers come from; what a server doesn't have is None or empty.

    Attributes:
        core: The services.
        version: Of the program.
        started: Epoch seconds.
        pulse: ``sipnode.observe.pulse.Pulse``.
        calls: ``sipnode.observe.callhistory.CallHistory``.
        by_code: Makes responses by method and code of those by method and status.
        admission: Counts of connections. outgoing: Counts of those that we open.
        media: ``MediaService``.
        storage: IStorage.
        tls: Has ``files()``: certificates and lists with their ends.
        sisters: The nodes that this one knows of.
        acc: ``sipnode.acc.service.Accounting``. hep: ``sipnode.insight.mirror.Mirror``.
        insight: ``sipnode.insight.service.Insight``. console: ``sipnode.console.service.ConsoleService``.
        queues: Names and what says how many wait.
    """

    core: Any
    version: str
    started: float
    pulse: Any
    calls: Any
    by_code: Callable[[Any], dict[tuple[str, str], int]]
    admission: Any = None
    outgoing: Any = None
    media: Any = None
    storage: Any = None
    tls: Any = None
    sisters: Callable[[], Iterable[Any]] = tuple
    acc: Any = None
    hep: Any = None
    insight: Any = None
    console: Any = None
    queues: dict[str, Callable[[], int]] = field(default_factory=dict)


class ServerCollector(Collector):
    """All metrics of a server.

    Args:
        sources: Where they come from.
    """

    def __init__(self, sources: Sources) -> None:
        self._from = sources

    def collect(self) -> Iterator[Metric]:
        """prometheus_client: all families."""
        yield from self._process()
        yield from self._messages()
        yield from self._transactions()
        yield from self._connections()
        yield from self._registrar()
        yield from self._calls()
        yield from self._presence()
        yield from self._outside()
        yield from self._tls()
        yield from self._defence()
        yield from self._pulse()

    def _process(self) -> Iterator[Metric]:
        it = self._from
        info = {"version": it.version, "python": platform.python_version(), "node": str(it.core.settings.node.id)}
        yield InfoMetricFamily("sipnode_build", "The program.", info)
        yield _gauge("sipnode_start_time_seconds", "When it was started, epoch seconds.", it.started)
        yield _gauge("sipnode_ready", "1 while new calls are welcome, as /readyz says.", not unready(it.core, it.storage))
        busy = {reason: reason in it.core.busy for reason in BUSY}
        yield _gauges("sipnode_busy", "1 while new calls get 503 for this reason.", "reason", busy)

    def _messages(self) -> Iterator[Metric]:
        traffic = self._from.core.traffic
        requests = CounterMetricFamily(
            "sipnode_requests", "Requests; those that came in with their repeats.", labels=("direction", "method")
        )
        for direction, counts in (("in", traffic.requests_in), ("out", traffic.requests_out)):
            for method, count in counts.items():
                requests.add_metric((direction, method), count)
        yield requests
        responses = CounterMetricFamily(
            "sipnode_responses", "Responses; those that came in with their repeats.", labels=("direction", "method", "code")
        )
        for direction, by_status in (("in", traffic.responses_in), ("out", traffic.responses_out)):
            for (method, code), count in self._from.by_code(by_status).items():
                responses.add_metric((direction, method, code), count)
        yield responses
        yield _counters("sipnode_events", "What happened how often, by the server's own names.", "event", self._from.core.counters)

    def _transactions(self) -> Iterator[Metric]:
        layer = self._from.core.transactions
        sides = {"server": len(layer.servers), "client": len(layer.clients)}
        yield _gauges("sipnode_transactions", "Live transactions.", "side", sides)
        yield _gauge("sipnode_transactions_limit", "Over it new requests get 503.", layer.limit)
        yield _counter("sipnode_transactions_absorbed", "Repeated requests that went no further.", layer.absorbed)
        yield _counter("sipnode_transactions_unmatched", "Responses that belonged to no transaction.", layer.dropped)
        yield _counter("sipnode_transactions_repeated", "Messages that were sent once more.", layer.repeated)

    def _connections(self) -> Iterator[Metric]:
        it = self._from
        by_transport = {**dict.fromkeys(("TCP", "TLS", "WS", "WSS"), 0), **it.core.flows.counts()}
        yield _gauges("sipnode_connections", "Open connections.", "transport", by_transport)
        held, refused = (it.admission.open, it.admission.refused) if it.admission is not None else (0, 0)
        yield _gauge("sipnode_connections_held", "Connections that hold a place, also before they are usable.", held)
        yield _counter("sipnode_connections_refused", "Connections that found no place.", refused)
        stages = it.admission.stages() if it.admission is not None else {}
        yield _gauges("sipnode_connections_by_stage", "Connections that others brought, by what came by them.", "stage", stages)
        events = it.admission.counts if it.admission is not None else {}
        yield _counters("sipnode_connections_events", "What happened to connections for their limits how often.", "event", dict(events))
        limits = {"all": it.admission.limit, "outgoing": it.outgoing.limit} if it.outgoing is not None else {}
        yield _gauges("sipnode_connections_limit", "Connections for which there is room and a descriptor.", "which", limits)
        opened = len(it.outgoing) if it.outgoing is not None else 0
        yield _gauge("sipnode_connections_outgoing", "Connections that we opened or are opening.", opened)
        ends = it.admission.ends if it.admission is not None else {}
        yield _counters("sipnode_connections_speechless", "Connections that ended before their first line.", "how", ends)

    def _registrar(self) -> Iterator[Metric]:
        it = self._from
        table = it.core.registrar.table
        yield _gauge("sipnode_registrations", "Bindings in memory.", table.count())
        yield _gauge("sipnode_registered_addresses", "Addresses-of-record that have one.", table.addresses())
        yield _gauges("sipnode_queue_length", "What waits.", "queue", {name: count() for name, count in it.queues.items()})
        degraded = it.storage is not None and bool(it.storage.degraded)
        yield _gauge("sipnode_storage_degraded", "1 while the store takes no writes.", degraded)
        users = None if it.storage is None else it.storage.credentials
        # A store of a plugin that was written before this was counted has no such number.
        outdated, unserved = (0, 0) if users is None else (users.outdated, getattr(users, "unserved", 0))
        yield _counter("sipnode_outdated_credentials", "Times somebody was believed by what was known before the store was away.", outdated)
        yield _counter("sipnode_unserved_users", "Times somebody unknown was refused, since the store of users was away.", unserved)

    def _calls(self) -> Iterator[Metric]:
        it = self._from
        dialogs = it.core.dialogs
        up = dialogs.answered
        yield _gauges("sipnode_calls", "Calls that are known.", "state", {"ringing": len(dialogs) - up, "up": up})
        yield _counter("sipnode_calls_untracked", "Calls that passed unseen, since too many were there.", dialogs.untracked)
        yield _counters("sipnode_call_outcomes", "Calls that ended, by outcome.", "outcome", it.calls.outcomes)
        yield _counter("sipnode_call_talking_seconds", "Seconds that answered calls lasted, together.", it.calls.talked)
        timings = it.calls.timings
        rung = [(("ringing",), timings.rung), (("refused",), timings.failed)]
        yield _histogram("sipnode_call_setup_seconds", "From the INVITE until it rang, was answered or refused.", ("until",), rung)
        ring = [(("answered",), timings.answered), (("given up",), timings.unanswered)]
        yield _histogram("sipnode_call_ring_seconds", "How long calls rang.", ("until",), ring)
        yield _histogram("sipnode_call_mos", "The worst score of a call that the media relay measured.", (), [((), timings.scores)])

    def _presence(self) -> Iterator[Metric]:
        presence = self._from.core.presence
        subscriptions, publications = (len(presence.subscriptions), len(presence.publications)) if presence is not None else (0, 0)
        yield _gauge("sipnode_presence_subscriptions", "Live subscriptions.", subscriptions)
        yield _gauge("sipnode_presence_publications", "Live publications.", publications)
        refused = {name.removeprefix("refused_"): count for name, count in presence.counters.items()} if presence is not None else {}
        yield _counters("sipnode_presence_refused", "SUBSCRIBEs that were refused, by limit.", "limit", refused)
        held, shortened, silenced, waiting = 0, 0, 0, 0
        if presence is not None:
            proving = presence.proving
            held, shortened, silenced, waiting = proving.held, presence.notifier.shortened, proving.silenced, len(proving)
        limited = {"held": held, "shortened": shortened, "silenced": silenced}
        yield _counters("sipnode_presence_notify_limited", "NOTIFYs to unanswered addresses, by what was done.", "how", limited)
        yield _gauge("sipnode_presence_unanswered", "Subscriptions that wait for a first answer over UDP.", waiting)

    def _outside(self) -> Iterator[Metric]:
        it = self._from
        nodes = it.media.nodes.nodes if it.media is not None else []
        up = {f"{node.host}:{node.port}": it.media.nodes.is_up(node) for node in nodes}
        yield _gauges("sipnode_media_node_up", "1 while an rtpengine is used.", "node", up)
        told = {f"{node.host}:{node.port}": node.ports for node in nodes if node.ports}
        total = {place: sum(one.total for one in ports) for place, ports in told.items()}
        free = {place: sum(one.free for one in ports) for place, ports in told.items()}
        yield _gauges("sipnode_media_node_ports", "Ports of an rtpengine.", "node", total)
        yield _gauges("sipnode_media_node_ports_free", "Those of them that are free.", "node", free)
        sisters = {sister.address.hostport: not sister.down for sister in it.sisters()}
        yield _gauges("sipnode_sister_node_up", "1 while another node answers.", "node", sisters)
        trunks = list(it.core.trunks or ())
        yield _gauges("sipnode_trunk_up", "1 while a trunk gets new calls.", "trunk", {trunk.name: trunk.up for trunk in trunks})
        registered = {trunk.name: trunk.registered > it.core.clock() for trunk in trunks if trunk.settings.register}
        yield _gauges("sipnode_trunk_registered", "1 while we are registered at a trunk that wants it.", "trunk", registered)
        yield _counters("sipnode_trunk_requests", "Requests that went to a trunk.", "trunk", {each.name: each.requests for each in trunks})
        failures = {trunk.name: trunk.failures for trunk in trunks}
        yield _counters("sipnode_trunk_failures", "Those of them that it failed to answer (408, 5xx).", "trunk", failures)
        acc = it.acc
        yield CounterMetricFamily("sipnode_acc_records", "Records of calls that were made.", value=acc.records if acc else 0)
        yield CounterMetricFamily("sipnode_acc_given_up", "Records of calls for which there was no room.", value=acc.given_up if acc else 0)
        hep = it.hep
        yield CounterMetricFamily("sipnode_hep_sent", "Copies of messages that went to the receiver of HEP.", value=hep.sent if hep else 0)
        yield CounterMetricFamily("sipnode_hep_dropped", "Those for which there was no room.", value=hep.dropped if hep else 0)
        state = it.insight.state() if it.insight is not None else {}
        yield _gauge("sipnode_recorder_records", "Calls that are recorded, in memory.", state.get("records", 0))
        yield _gauge("sipnode_recorder_octets", "Memory that their records take.", state.get("octets", 0))
        yield _gauge("sipnode_recorder_kept", "Records of calls that failed, on the disk.", state.get("kept", 0))
        given_up = state.get("given_up", 0)
        yield _counter("sipnode_recorder_given_up", "Those that the disk didn't take, or for which there was no time.", given_up)
        traces = it.insight.exporter if it.insight is not None else None
        yield _counter("sipnode_otel_sent", "Calls whose traces the collector has.", traces.sent if traces else 0)
        yield _counter("sipnode_otel_dropped", "Those that found no room, or that it refused.", traces.dropped if traces else 0)
        console = it.console
        signed_in = len(console.door.sessions) if console else 0
        yield _gauge("sipnode_console_sessions", "Browsers that are signed in to the console.", signed_in)
        yield _gauge("sipnode_console_pages", "Pages of the console that are shown live.", len(console.feed) if console else 0)
        yield _counter("sipnode_console_refused", "Sign-ins to the console that were refused.", console.door.refused if console else 0)
        yield _counter("sipnode_console_cut", "Pages of it that were cut off, as they were slow.", console.feed.cut if console else 0)
        waiting = {name: count for name, count, _ in acc.sinks} if acc else {}
        yield _gauges("sipnode_acc_waiting", "Records that wait for their taker.", "sink", waiting)

    def _tls(self) -> Iterator[Metric]:
        labels = ("section", "key", "path", "subject")
        expiry = GaugeMetricFamily("sipnode_tls_expiry_timestamp_seconds", "When a TLS file ends, epoch seconds.", labels=labels)
        for each in self._from.tls.files() if self._from.tls is not None else ():
            expiry.add_metric((each.section, each.key, each.path, each.subject), each.until)
        yield expiry

    def _defence(self) -> Iterator[Metric]:
        defence = self._from.core.defence
        counts = dict(defence.counts()) if defence is not None else {}
        yield _gauge("sipnode_defence_banned", "Sources that are shut out.", counts.pop("banned_now", 0))
        yield _gauge("sipnode_defence_sources", "Sources that are remembered.", counts.pop("sources", 0))
        yield _counters("sipnode_defence_events", "What the defence did how often.", "event", counts)

    def _pulse(self) -> Iterator[Metric]:
        pulse = self._from.pulse
        yield _histogram("sipnode_reactor_lag_seconds", "How late the reactor was, looked at all the time.", (), [((), pulse.lag)])
        pauses = [((str(number),), histogram) for number, histogram in enumerate(pulse.pauses)]
        yield _histogram("sipnode_gc_pause_seconds", "How long the garbage collector stopped everything.", ("generation",), pauses)


def registry_of(sources: Sources) -> CollectorRegistry:
    """A registry of its own: the server's metrics, and those of the process."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(ServerCollector(sources))
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """All of it in Prometheus' text format."""
    return generate_latest(registry)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=float(value))


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, value=float(value))


def _gauges(name: str, text: str, label: str, values: dict[str, Any]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), float(value))
    return family


def _counters(name: str, text: str, label: str, values: Any) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=(label,))
    for key, value in sorted(values.items()):
        family.add_metric((key,), float(value))
    return family


def _histogram(name: str, text: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], Histogram]]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=labels)
    for key, histogram in values:
        family.add_metric(key, histogram.buckets(), histogram.total)
    return family
