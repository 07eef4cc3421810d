"""Questions and answers, as the tap is told of them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from sipnode.base.asking import told
from sipnode.base.tap import DATABASE, DNS, Tap, Watcher
from sipnode.errors import MediaError, NoRoute, Reject


class Heard(Watcher):
    """Writes down questions and answers."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def asked(self, now: float, call_id: str, whom: str, what: str) -> None:
        """Write down."""
        self.events.append((now, call_id, whom, what))

    def answered(self, now: float, call_id: str, whom: str, what: str, fault: str, parts: tuple[Any, ...]) -> None:
        """Write down."""
        self.events.append((now, call_id, whom, what, fault, parts))


class ToldTests(SynchronousTestCase):
    """Whoever asked gets what was answered, whoever watches or not."""

    def setUp(self) -> None:
        self.tap, self.heard, self.now = Tap(), Heard(), 1.0
        self.tap.subscribe(self.heard)

    def ask(self, whom: str = DNS) -> Deferred[str]:
        """A question that is told of."""
        self.asked: Deferred[str] = Deferred()
        return told(self.tap, lambda: self.now, "id", whom, "x.example", self.asked, lambda result: (result.upper(),))

    def test_good(self) -> None:
        """The question at once, the answer when it comes, each with its time."""
        asking = self.ask()
        self.now = 3.0
        self.asked.callback("there")
        self.assertEqual(self.successResultOf(asking), "there")
        self.assertEqual(self.heard.events, [(1.0, "id", DNS, "x.example"), (3.0, "id", DNS, "x.example", "", ("THERE",))])

    def test_faults(self) -> None:
        """What was wrong, and who is to blame where the error knows; a refusal that an answer leads to is no fault of the one asked."""
        blamed = MediaError("no answer", 503)
        blamed.node = "a"
        for error, fault in ((NoRoute("no such name"), "no such name"), (blamed, "media node a, no answer"), (Reject(407), ""),
                             (ValueError(), "ValueError")):  # fmt: skip
            asking = self.ask(DATABASE)
            self.asked.errback(error)
            self.assertIs(self.failureResultOf(asking).value, error)
            self.assertEqual(self.heard.events[-1][4:], (fault, ()))

    def test_nobody(self) -> None:
        """While nobody watches nothing is added to the question; a watcher that leaves before the answer hears nothing of it."""
        asking = self.ask()
        self.tap.unsubscribe(self.heard)
        self.asked.callback("there")
        self.assertEqual((self.successResultOf(asking), len(self.heard.events)), ("there", 1))
        self.assertIs(self.ask(), self.asked)
