"""Who is told of what."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from sipnode.base.outbox import PASSED
from sipnode.base.tap import EVENTS, Tap, Watcher
from sipnode.fakes import FakeFlow
from sipnode.sip.message import SipRequest, SipResponse

VALUES: dict[str, Any] = {
    "now": 1.5, "data": b"octets", "flow": FakeFlow(), "why": PASSED, "method": "INVITE", "status": 200, "transaction": object(),
    "request": SipRequest("INVITE", "sip:x", [], []), "response": SipResponse(200, "OK", [], []), "stage": "auth", "verdict": "REPLIED",
    "call_id": "id", "fact": "proved", "parts": ("a", 1), "whom": "dns", "what": "name", "fault": "", "call": object(), "reason": "gone",
}  # fmt: skip
"""One of each kind of argument."""


class Notes(Watcher):
    """Wants to know what is noted, and writes it down."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def noted(self, now: float, call_id: str, fact: str, parts: tuple[Any, ...]) -> None:
        """Write down."""
        self.heard.append(fact)


class Quiet(Notes):
    """Needs no net."""

    never_raises: ClassVar[bool] = True


class Broken(Watcher):
    """Raises whatever happens."""

    def noted(self, now: float, call_id: str, fact: str, parts: tuple[Any, ...]) -> None:
        """Fail."""
        raise ValueError(fact)


class Everything(Watcher):
    """Wants to know all, and writes down the name of each event."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []


def _listener(event: str) -> Any:
    def heard(self: Everything, *values: Any) -> None:
        self.heard.append((event, *values))

    return heard


for _event in EVENTS:
    setattr(Everything, _event, _listener(_event))


class TapTests(SynchronousTestCase):
    """Subscriptions."""

    def test_nobody(self) -> None:
        """Without a watcher there is nothing to be told, of any event."""
        tap = Tap()
        self.assertEqual([event for event in EVENTS if getattr(tap, f"on_{event}") is not None], [])

    def test_what_is_overridden(self) -> None:
        """A watcher is told of the events whose methods it has, and of no other; one that needs no net is called directly."""
        tap, notes, quiet = Tap(), Notes(), Quiet()
        tap.subscribe(quiet)
        self.assertIs(tap.on_noted, quiet)
        self.assertEqual([event for event in EVENTS if getattr(tap, f"on_{event}") is not None], ["noted"])
        tap.subscribe(notes)
        tap.subscribe(notes)
        assert tap.on_noted is not None
        tap.on_noted.noted(0.0, "id", "one", ())
        tap.unsubscribe(notes)
        tap.unsubscribe(notes)
        assert tap.on_noted is not None
        tap.on_noted.noted(0.0, "id", "two", ())
        tap.unsubscribe(quiet)
        self.assertEqual((notes.heard, quiet.heard, tap.on_noted), (["one"], ["one", "two"], None))

    def test_one_that_raises(self) -> None:
        """It costs the others nothing, nor those by whom it happened; somebody is told of it."""
        tap, notes, broken = Tap(), Notes(), Broken()
        failed: list[Watcher] = []
        tap.failed = failed.append
        for watcher in (broken, notes):
            tap.subscribe(watcher)
            assert tap.on_noted is not None
            tap.on_noted.noted(0.0, "id", "one", ())
        self.assertEqual((notes.heard, failed), (["one"], [broken, broken]))

    def test_all_events(self) -> None:
        """Several watchers are told of each event alike, with all that it holds, in the order in which they came."""
        tap, first, second = Tap(), Everything(), Everything()
        tap.subscribe(first)
        tap.subscribe(second)
        for event in EVENTS:
            values = [VALUES[name] for name in list(inspect.signature(getattr(Watcher, event)).parameters)[1:]]
            getattr(getattr(tap, f"on_{event}"), event)(*values)
            self.assertEqual(first.heard[-1], (event, *values))
        self.assertEqual(first.heard, second.heard)
        methods = {name for name, value in vars(Watcher).items() if callable(value) and not name.startswith("_")}
        self.assertEqual(methods, set(EVENTS))
