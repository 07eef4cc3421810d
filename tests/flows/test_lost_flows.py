"""A request that has to go by a connection which is gone: one line says which, whose, since when and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from sipnode.base.tap import LOST, Watcher
from sipnode.observe.sentences import step
from sipnode.settings import DialogSettings, Settings
from sipnode.testing import Phone, World

INSTANCE = ';+sip.instance="<urn:uuid:0f2d0a33-7c5b-4f32-9d0e-%s>"'


class LostFlowTests(SynchronousTestCase):
    """A page and its phones."""

    def setUp(self) -> None:
        self.world = World(Settings(dialog=replace(DialogSettings(), lost_flow_seconds=4.0)))
        self.tab, self.bob = self.end("tab", "WS"), self.end("bob", "UDP")
        self.events: list[Any] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def end(self, user: str, transport: str) -> Phone:
        """A registered end."""
        phone = self.world.phone(user, transport)
        if phone.flow.websocket:
            phone.params = INSTANCE % user.ljust(12, "0")
        phone.register()
        phone.take()
        return phone

    def lines(self) -> list[str]:
        """What the log has of lost flows."""
        return [str(formatEvent(event)) for event in self.events if event.get("log_namespace") == "sipnode.flow"]

    def test_while_it_rings(self) -> None:
        """A page that leaves while it rings: its branch is over at once, the other phone rings on."""
        desk = self.end("tab", "UDP")
        self.bob.send("INVITE", self.tab.aor)
        self.tab.reply(self.tab.got("INVITE"), 180)
        ringing = desk.got("INVITE")
        self.world.close(self.tab, "1001 page left")
        (line,) = self.lines()
        said = r"^INVITE sip:tab@example.test can't go on: flow ws-\S+ of tab@example.test closed 0 s ago \(1001 page left\)$"
        self.assertRegex(line, said)
        self.assertEqual(self.bob.statuses(), [100, 180])
        desk.reply(ringing, 200)
        self.assertEqual(self.bob.statuses(), [200])

    def test_within_a_call(self) -> None:
        """A request inside a call waits for the page to come back, and the log says why; with nobody back it is 481."""
        call = self.world.call(self.bob, self.tab)
        self.world.close(self.tab, "1006 no answer to pings")
        self.world.advance(2)
        call.from_caller("INFO")
        (line,) = self.lines()
        self.assertRegex(line, r"^INFO .* flow ws-\S+ of tab@example.test closed 2 s ago \(1006 no answer to pings\)$")
        self.assertEqual(self.bob.statuses(), [])
        self.world.connect(self.tab, 45678)
        self.tab.register()
        self.tab.reply(self.tab.got("INFO"), 200)
        self.assertEqual(self.bob.statuses(), [200])
        self.assertEqual((len(self.lines()), self.world.core.counters["lost_flow_requests"]), (1, 1))

    def test_facts_of_a_call(self) -> None:
        """The account of a call has it too, and nobody back is 481."""
        facts: list[str] = []

        class Noting(Watcher):
            def noted(self, now: float, call_id: str, fact: str, parts: tuple[object, ...]) -> None:
                if fact == LOST:
                    facts.append(step((now, fact, parts)).text)

        self.world.core.tap.subscribe(Noting())
        call = self.world.call(self.bob, self.tab)
        self.world.close(self.tab, "lost")
        call.from_caller("BYE")
        self.world.advance(5)
        self.assertEqual(self.bob.statuses(), [481])
        (fact,) = facts
        self.assertRegex(fact, r"^branch 0: flow ws-\S+ of tab@example.test closed 0 s ago \(lost\)$")
        self.assertIn("isn't known any more", step((0.0, LOST, (1, "", "", 0.0, ""))).text)
