"""What open pages are told, and that nobody waits for them."""

from __future__ import annotations

import json
from typing import Any

from sipnode.console.feed import BEAT_SECONDS, FLUSH_SECONDS, MOST_CHANGED, STUCK_SECONDS
from sipnode.settings import ConsoleSettings
from tests.console.kit import USERS, ConsoleCase, Exchange
from tests.insight.kit import SDP


class FeedTests(ConsoleCase):
    """Server-Sent Events."""

    console_settings = ConsoleSettings(enabled=True, users=USERS, viewers=3)

    def setUp(self) -> None:
        super().setUp()
        self.sign_in()

    def opened(self, call_id: str = "") -> Exchange:
        """A page that is open."""
        exchange = self.ask(f"/api/feed?call={call_id}" if call_id else "/api/feed")
        answer = exchange.answer()
        assert answer is not None
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/event-stream"))
        return exchange

    def test_lines(self) -> None:
        """A call is told within a tenth of a second, a line for all that has happened meanwhile."""
        page = self.opened()
        self.assertEqual([name for name, _ in page.events()], ["state"])
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        self.assertEqual(len(page.events()), 1)
        self.world.clock.advance(FLUSH_SECONDS)
        told = [lines for name, lines in page.events() if name == "lines"]
        self.assertEqual([line["id"] for line in told[0]].count(invite.call_id), 1)
        line = next(line for line in told[0] if line["id"] == invite.call_id)
        self.assertEqual((line["caller"], line["callee"], line["method"]), ("alice@example.test", "bob@example.test", "INVITE"))

    def test_call(self) -> None:
        """Who looks at a call gets it at once, and again when something happens to it; others' calls aren't sent whole."""
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        self.world.clock.advance(1)
        page, other = self.opened(invite.call_id), self.opened()
        first = [view for name, view in page.events() if name == "call"]
        self.assertEqual((len(first), first[0]["id"]), (1, invite.call_id))
        self.bob.reply(self.bob.got("INVITE"), 180)
        self.world.clock.advance(FLUSH_SECONDS)
        calls = [view for name, view in page.events() if name == "call"]
        self.assertIn("180 Ringing", [event["short"] for event in calls[-1]["events"]])
        self.assertEqual([name for name, _ in other.events() if name == "call"], [])

    def test_nobody_looks(self) -> None:
        """While no page is open the recorder tells nobody, and nothing is kept for one."""
        keeper = self.insight.keeper
        assert keeper is not None
        self.assertIsNone(keeper.told)
        page = self.opened()
        self.assertIsNotNone(keeper.told)
        self.alice.send("INVITE", self.bob.aor, (), SDP)
        page.channel.connectionLost(_gone())
        self.assertIsNone(keeper.told)
        self.assertEqual((len(self.console.service.feed), self.console.service.feed._changed), (0, {}))

    def test_slow(self) -> None:
        """A page that takes nothing is sent nothing more, is told to load anew when it takes again, and is cut off after ten seconds."""
        page = self.opened()
        producer: Any = page.channel._channel
        producer.pauseProducing()
        before = len(page.wire.value())
        for _ in range(50):
            self.alice.send("INVITE", self.bob.aor, (), SDP)
            self.world.clock.advance(FLUSH_SECONDS)
        self.assertEqual(len(page.wire.value()), before)
        producer.resumeProducing()
        self.assertEqual(page.events()[-1], ("behind", {}))
        producer.pauseProducing()
        self.world.clock.advance(STUCK_SECONDS + BEAT_SECONDS)
        self.world.clock.advance(BEAT_SECONDS)
        self.assertTrue(page.wire.disconnecting)
        self.assertEqual(self.console.service.feed.cut, 1)
        self.assertEqual(len(self.console.service.feed), 0)

    def test_bounds(self) -> None:
        """There are at most so many pages; where more calls have changed than are sent at once, pages are told to ask for the list."""
        pages = [self.opened() for _ in range(3)]
        refused = self.ask("/api/feed").answer()
        assert refused is not None
        self.assertEqual(refused.status, 503)
        self.assertIn("[console] viewers", json.loads(refused.body)["error"])
        self.assertEqual(refused.headers["content-type"], "application/json")
        for _ in range(MOST_CHANGED + 5):
            self.alice.send("INVITE", "sip:nobody@example.test", (), SDP)
        self.assertLessEqual(len(self.console.service.feed._changed), MOST_CHANGED)
        self.world.clock.advance(FLUSH_SECONDS)
        self.assertIn("many", [name for name, _ in pages[0].events()])

    def test_signed_out(self) -> None:
        """With its session a page ends."""
        page = self.opened()
        self.post("/api/signout", {})
        self.assertTrue(page.wire.value().endswith(b"0\r\n\r\n"))
        self.assertEqual(len(self.console.service.feed), 0)

    def test_a_share(self) -> None:
        """However long a round takes, the next one waits twenty times as long: pages never get more than that of the server's time."""
        feed, clock = self.console.service.feed, self.world.clock
        self.opened()
        self.alice.send("INVITE", self.bob.aor, (), SDP)
        clock.advance(FLUSH_SECONDS)
        rounds = feed.rounds
        feed._next = clock.seconds() + 5.0
        self.alice.send("INVITE", self.bob.aor, (), SDP)
        clock.advance(4.9)
        self.assertEqual(feed.rounds, rounds)
        clock.advance(0.2)
        self.assertEqual(feed.rounds, rounds + 1)


def _gone() -> Any:
    from twisted.internet.error import ConnectionDone
    from twisted.python.failure import Failure

    return Failure(ConnectionDone())
