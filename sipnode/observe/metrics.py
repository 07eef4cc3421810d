"""What Prometheus reads: every number is fetched when it is asked for, so that counting costs the calls nothing more.

Invariant: a label's values come from a closed set (methods, statuses, configured nodes and files), never from a message.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from sipnode.observe.pulse import Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Metric = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily | InfoMetricFamily


@dataclass(slots=True)
class Sources:
    """Where the numbers come from; what a server doesn't have is None or empty.

    Attributes:
        core: The services.
        version: Of the program.
        started: Epoch seconds.
        pulse: ``sipnode.observe.pulse.Pulse``.
        calls: ``sipnode.observe.life.CallLog``.
        admission: Counts of connections.
        media: ``MediaService``.
        storage: IStorage.
        tls: Has ``files()``: certificates and lists with their ends.
        queues: Names and what says how many wait.
    """

    core: Any
    version: str
    started: float
    pulse: Any
    calls: Any
    admission: Any = None
    media: Any = None
    storage: Any = None
    tls: Any = None
    queues: dict[str, Any] = field(default_factory=dict)


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
        yield from self._state()
        yield from self._calls()
        yield from self._outside()
        yield from self._pulse()

    def _process(self) -> Iterator[Metric]:
        it = self._from
        info = {"version": it.version, "python": platform.python_version(), "node": str(it.core.settings.node.id)}
        yield InfoMetricFamily("sipnode_build", "The program.", info)
        yield _gauge("sipnode_start_time_seconds", "When it was started, epoch seconds.", it.started)
        lifecycle = it.core.lifecycle
        ready = it.core.registrar.ready if lifecycle is None else lifecycle.ready
        yield _gauge("sipnode_ready", "1 while new calls are welcome.", ready)
        busy = GaugeMetricFamily("sipnode_busy", "1 while new calls get 503 for this reason.", labels=("reason",))
        for reason in ("drain", "overload"):
            busy.add_metric((reason,), reason in it.core.busy)
        yield busy

    def _messages(self) -> Iterator[Metric]:
        traffic = self._from.core.traffic
        requests = CounterMetricFamily("sipnode_requests", "Requests, repeats included.", labels=("direction", "method"))
        for direction, counts in (("in", traffic.requests_in), ("out", traffic.requests_out)):
            for method, count in counts.items():
                requests.add_metric((direction, method), count)
        yield requests
        responses = CounterMetricFamily("sipnode_responses", "Responses, repeats included.", labels=("direction", "method", "code"))
        for direction, by_code in (("in", traffic.responses_in), ("out", traffic.responses_out)):
            for (method, status), count in sorted(by_code.items()):
                responses.add_metric((direction, method, str(status)), count)
        yield responses
        yield _counters("sipnode_events", "What happened how often, by the server's own names.", "event", self._from.core.counters)

    def _state(self) -> Iterator[Metric]:
        it = self._from
        layer = it.core.transactions
        yield _gauges("sipnode_transactions", "Live transactions.", "side", {"server": len(layer.servers), "client": len(layer.clients)})
        yield _gauge("sipnode_transactions_limit", "Over it new requests get 503.", layer.limit)
        yield _counter("sipnode_transactions_absorbed", "Repeated requests that went no further.", layer.absorbed)
        yield _counter("sipnode_transactions_unmatched", "Responses that belonged to no transaction.", layer.dropped)
        by_transport = dict.fromkeys(("TCP", "TLS", "WS", "WSS"), 0)
        for flow in it.core.flows.connections():
            by_transport[flow.transport] = by_transport.get(flow.transport, 0) + 1
        yield _gauges("sipnode_connections", "Open connections.", "transport", by_transport)
        if it.admission is not None:
            yield _gauge("sipnode_connections_held", "Connections that hold a place, also before they are usable.", it.admission.open)
            yield _counter("sipnode_connections_refused", "Connections that found no place.", it.admission.refused)
        table = it.core.registrar.table
        yield _gauge("sipnode_registrations", "Bindings in memory.", table.count())
        yield _gauge("sipnode_registered_addresses", "Addresses-of-record that have one.", table.addresses())
        yield _gauges("sipnode_queue_length", "What waits.", "queue", {name: int(count()) for name, count in it.queues.items()})
        if it.storage is not None:
            yield _gauge("sipnode_storage_degraded", "1 while the store takes no writes.", bool(it.storage.degraded))

    def _calls(self) -> Iterator[Metric]:
        it = self._from
        dialogs = it.core.dialogs
        up = dialogs.answered
        yield _gauges("sipnode_calls", "Calls that are known.", "state", {"ringing": len(dialogs) - up, "up": up})
        yield _counter("sipnode_calls_untracked", "Calls that passed unseen, since too many were there.", dialogs.untracked)
        yield _counters("sipnode_call_outcomes", "Calls that ended, by outcome.", "outcome", it.calls.outcomes)
        yield _counter("sipnode_call_talking_seconds", "Seconds that answered calls lasted, together.", it.calls.talked)

    def _outside(self) -> Iterator[Metric]:
        it = self._from
        nodes = it.media.nodes.nodes if it.media is not None else []
        up = {f"{node.host}:{node.port}": it.media.nodes.is_up(node) for node in nodes}
        yield _gauges("sipnode_media_node_up", "1 while an rtpengine is used.", "node", up)
        labels = ("section", "key", "path", "subject")
        expiry = GaugeMetricFamily("sipnode_tls_expiry_timestamp_seconds", "When a TLS file ends.", labels=labels)
        for each in it.tls.files() if it.tls is not None else ():
            expiry.add_metric((each.section, each.key, each.path, each.subject), each.until)
        yield expiry
        if it.core.defence is not None:
            counts = dict(it.core.defence.counts())
            yield _gauge("sipnode_defence_banned", "Sources that are shut out.", counts.pop("banned_now", 0))
            yield _gauge("sipnode_defence_sources", "Sources that are remembered.", counts.pop("sources", 0))
            yield _counters("sipnode_defence_events", "What the defence did how often.", "event", counts)

    def _pulse(self) -> Iterator[Metric]:
        pulse = self._from.pulse
        yield _histogram("sipnode_reactor_lag_seconds", "How late the reactor was.", (), [((), pulse.lag)])
        yield _gauge("sipnode_reactor_lag_worst_seconds", "The largest since the last scrape.", pulse.lag.take_worst())
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
