"""The log: its level, its form, and whether messages are traced.

All of it can be changed while the server runs. The invariant: what is below the level is neither formatted nor written.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import FilteringLogObserver, LogEvent, LogLevel, PredicateResult, formatEvent, formatTime, globalLogPublisher

from sipnode.observe.wiretrace import WireTrace

if TYPE_CHECKING:
    from sipnode.base.tap import Tap
    from sipnode.settings import LogSettings

LEVELS: Final = ("debug", "info", "warn", "error")
_RANK: Final = {LogLevel.debug: 0, LogLevel.info: 1, LogLevel.warn: 2, LogLevel.error: 3, LogLevel.critical: 4}
_CHATTER: Final = ("twisted.", "autobahn", "txaio")
_OLD_CHATTER: Final = re.compile(r"\([A-Z]+ Port .* Closed\)|\S+ starting on |(Starting|Stopping) (protocol|factory) ")
"""Sayings of Twisted's ports and factories by its old log, which has no namespaces."""
_WARN: Final = 2


class Threshold:
    """A predicate for twisted.logger: what is below the level, and the libraries' own chatter about factories and ports, is left out.

    Args:
        level: 'debug', 'info', 'warn' or 'error'.
    """

    def __init__(self, level: str) -> None:
        self.level = level
        self._rank = LEVELS.index(level)

    def __call__(self, event: LogEvent) -> Any:
        """twisted.logger: whether the event is to be seen."""
        return PredicateResult.maybe if self.passes(event) else PredicateResult.no

    def passes(self, event: LogEvent) -> bool:
        """Whether the event is to be seen."""
        rank = _RANK.get(event.get("log_level"), _WARN)
        if rank < self._rank:
            return False
        if rank >= _WARN or not self._rank:
            return True
        namespace = str(event.get("log_namespace"))
        return not (namespace.startswith(_CHATTER) or (namespace == "log_legacy" and _OLD_CHATTER.match(formatEvent(event))))


def json_line(event: LogEvent) -> str:
    """One event as one line of JSON: ``time`` (RFC 3339, UTC), ``level``, ``room``, ``text``, ``call_id`` where it is about a call, and
    ``traceback`` where there is one.
    """
    level = event.get("log_level")
    line: dict[str, Any] = {
        "time": datetime.fromtimestamp(event.get("log_time", 0.0), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level.name if level is not None else "info",
        "room": event.get("log_namespace") or "-",
        "text": formatEvent(event),
    }
    if isinstance(event.get("call_id"), str):
        line["call_id"] = event["call_id"]
    if isinstance(event.get("outcome"), dict):
        line.update(event["outcome"])
    failure = event.get("log_failure")
    if failure is not None:
        line["traceback"] = failure.getTraceback()
    return json.dumps(line, ensure_ascii=False, default=str) + "\n"


def apart(event: LogEvent) -> Iterator[LogEvent]:
    """The events of one that stands for several (:class:`sipnode.observe.callhistory.Together`); any other is its own."""
    if "together" not in event:
        yield event
        return
    for one in event["together"]:
        yield {
            "log_time": one.when, "log_level": event["log_level"], "log_namespace": event["log_namespace"], "log_source": None,
            "log_format": "{call_id}: {text}", "call_id": one.call_id, "text": one.text, "outcome": one.facts,
        }  # fmt: skip


@functools.lru_cache(8)
def _stamp(second: int) -> str:
    return formatTime(second)


def text_lines(event: LogEvent) -> str:
    """Each of these as Twisted writes an event, without its general way of doing so, which costs several times as much."""
    head = f"[{event['log_namespace']}#{event['log_level'].name}]"
    return "".join([f"{_stamp(int(one.when))} {head} {one.call_id}: {one.text}\n" for one in event["together"]])


def json_lines(event: LogEvent) -> str:
    """Each of these as :func:`json_line` writes an event."""
    return "".join(map(json_line, apart(event)))


class LogControl:
    """Level, form and wire trace of the running server.

    Args:
        settings: ``[log]``.
        tap: What the wire trace watches.
        publisher: Where events are published.

    Attributes:
        trace: The wire trace, None while there is none.
    """

    def __init__(self, settings: LogSettings, tap: Tap, publisher: Any = globalLogPublisher) -> None:
        self._threshold = Threshold(settings.level)
        self._json = settings.format == "json"
        self._tap = tap
        self._publisher = publisher
        self._undo: list[Callable[[], None]] = []
        self.trace: WireTrace | None = None
        if settings.wire:
            self.trace_on()

    @property
    def level(self) -> str:
        """The level in force."""
        return self._threshold.level

    @property
    def form(self) -> str:
        """``text`` or ``json``."""
        return "json" if self._json else "text"

    def set_level(self, level: str) -> None:
        """Another level from now on.

        Raises:
            ValueError: it is none.
        """
        if level not in LEVELS:
            raise ValueError(f"a level is one of {', '.join(LEVELS)}")
        self._threshold = Threshold(level)

    def apply(self, settings: LogSettings) -> str:
        """Take other settings; a trace that was switched on by hand stays unless ``wire`` has changed."""
        self.set_level(settings.level)
        self._json = settings.format == "json"
        if settings.wire and self.trace is None:
            self.trace_on()
        return f"{self.level}, {self.form}"

    def trace_on(self, user: str = "", address: str = "", call_id: str = "", method: str = "") -> None:
        """Write messages to the log from now on; see :class:`WireTrace` for the conditions."""
        self.trace_off()
        self.trace = WireTrace(user, address, call_id, method)
        self._tap.subscribe(self.trace)

    def trace_off(self) -> None:
        """No more of that."""
        if self.trace is not None:
            self._tap.unsubscribe(self.trace)
        self.trace = None

    def install(self) -> None:
        """Put level and form between the log and its observers, as ``twistd`` has made them."""
        # Twisted names no way to ask who observes.
        for observer in list(getattr(self._publisher, "_observers", ())):
            if hasattr(observer, "formatEvent"):
                self._hook(observer)
            else:
                self._filter(observer)

    def remove(self) -> None:
        """Take it out again."""
        for undo in self._undo:
            undo()
        self._undo.clear()

    def _hook(self, observer: Any) -> None:
        as_text = observer.formatEvent

        def formatted(event: LogEvent) -> str | None:
            if not self._threshold.passes(event):
                return None
            if "together" in event:
                return json_lines(event) if self._json else text_lines(event)
            text: str | None = json_line(event) if self._json else as_text(event)
            return text

        observer.formatEvent = formatted
        self._undo.append(lambda: setattr(observer, "formatEvent", as_text))

    def _filter(self, observer: Any) -> None:
        # Not the threshold itself: there may be another one by then.
        passes: Any = lambda event: self._threshold(event)  # noqa: E731  # a lambda, as mypy takes no def for the interface

        def each(event: LogEvent) -> None:
            for one in apart(event):
                observer(one)

        filtered = FilteringLogObserver(each, [passes])  # type: ignore[arg-type]  # a function is an observer
        self._publisher.removeObserver(observer)
        self._publisher.addObserver(filtered)

        def undo() -> None:
            self._publisher.removeObserver(filtered)
            self._publisher.addObserver(observer)

        self._undo.append(undo)
