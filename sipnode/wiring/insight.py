"""Wiring of the recorder, and of those who explain what it has."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.endpoints import HostnameEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.ssl import optionsForClientTLS

from sipnode.insight.finding import Around
from sipnode.insight.hep import Framer
from sipnode.insight.mirror import Mirror
from sipnode.insight.recorder import Recorder, call_id_of
from sipnode.insight.ring import Ring
from sipnode.insight.service import Insight
from sipnode.insight.source import SourceLines

if TYPE_CHECKING:
    from twisted.web.server import Request

    from sipnode.base.tap import Tap
    from sipnode.media.service import MediaService
    from sipnode.observe.callhistory import CallHistory
    from sipnode.records import Binding
    from sipnode.routing.core import Core
    from sipnode.settings import RecorderSettings, Settings
    from sipnode.transport.handshake import Handshake, Refusal
    from sipnode.transport.http import Refused

HEP: Final = "sipnode"
MOST_GONE: Final = 10_000
_GOING: Final = frozenset(("closed", "expired", "unregistered", "removed"))


class Departures:
    """The last registrations that ended, of the addresses that none is left of. The oldest are forgotten first.

    Args:
        core: Has the table and the clock. recorder: Knows why connections went.
    """

    def __init__(self, core: Core, recorder: Recorder) -> None:
        self._core = core
        self._recorder = recorder
        self._gone: OrderedDict[str, tuple[float, str, str]] = OrderedDict()

    def changed(self, kind: str, binding: Binding) -> None:
        """A binding has changed."""
        if kind not in _GOING:
            return
        closing = self._recorder.closings.get(binding.connection_id)
        gone = self._gone
        gone[binding.aor] = (self._core.clock(), kind, str(closing[6]) if closing is not None else "")
        gone.move_to_end(binding.aor)
        if len(gone) > MOST_GONE:
            gone.popitem(last=False)

    def of(self, aor: str) -> tuple[float, str, str] | None:
        """When an address lost its last registration, how, and why; None where that isn't known."""
        return self._gone.get(self._core.registrar.canonical(aor))


def recorder_of(settings: RecorderSettings) -> Recorder | None:
    """The recorder, None where nothing is to be recorded."""
    if not settings.enabled:
        return None
    ring = Ring(settings.megabytes * 1048576, settings.calls, settings.seconds, settings.failed_seconds)
    return Recorder(ring, settings.everything)


def insight_of(settings: Settings, tap: Tap) -> Insight:
    """Knowledge of calls; the recorder watches from now on, where there is one."""
    recorder = recorder_of(settings.recorder)
    if recorder is not None:
        tap.subscribe(recorder)
    return Insight(recorder)


def connect_insight(insight: Insight, core: Core, calls: CallHistory | None = None, media: MediaService | None = None) -> None:
    """Tell those who explain calls of what is around: registrations that went, trunks, the lines of the script.

    Args:
        calls: Writes the reason of calls that failed. media: Counts their packets.
    """
    recorder = insight.keeper
    if recorder is None:
        return
    departures = Departures(core, recorder)
    core.registrar.on_change(departures.changed)
    lines = SourceLines(lambda: type(core.script))
    insight.around = Around(departures.of, lambda host: _trunk_at(core, host), lines.of, lambda host: not core.is_local(host))
    if calls is not None:
        calls.explained = insight.sentence
        calls.recorded_by(insight)
    if media is not None:
        media.measured_by(lambda name, reply: recorder.measured(core.clock(), name, reply))


def handshakes_of(insight: Insight, core: Core) -> Refused | None:
    """What keeps WebSocket handshakes that weren't let in, None where nothing is recorded."""
    recorder = insight.keeper
    if recorder is None:
        return None

    def refused(request: Request, shake: Handshake, refusal: Refusal) -> None:
        """One wasn't."""
        local: Any = request.getHost()
        remote: Any = request.getClientAddress()
        transport = "WSS" if request.isSecure() else "WS"
        there = (str(remote.host), int(remote.port))
        recorder.handshake_refused(
            core.clock(), transport, (str(local.host), int(local.port)), there, shake.host, shake.origin, refusal.status, refusal.reason
        )

    return refused


def mirror_of(settings: Settings, tap: Tap, reactor: Any) -> Mirror | None:
    """The copy of all messages for a receiver of HEP, None where none is wanted."""
    if not settings.hep.receiver:
        return None
    kind, _, place = settings.hep.receiver.partition(":")
    host, _, port = place.rpartition(":")
    host = host.strip("[]")
    framer = Framer(settings.hep.capture_id, HEP, settings.hep.key)
    if kind == "udp":
        return Mirror(reactor, tap, framer, call_id_of, host, int(port), None)
    endpoint: Any = HostnameEndpoint(reactor, host, int(port))
    if kind == "tls":
        endpoint = wrapClientTLS(optionsForClientTLS(host), endpoint)
    return Mirror(reactor, tap, framer, call_id_of, host, int(port), lambda made: connectProtocol(endpoint, made))


def _trunk_at(core: Core, host: str) -> str:
    for trunk in core.trunks or ():
        if host == trunk.host or host in trunk.addresses:
            return str(trunk.name)
    return ""
