"""The engine: one verdict a request, whatever stages do."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError, Reject
from sipnode.routing.engine import Engine
from sipnode.routing.verdict import Verdict
from sipnode.testing import World


class EngineTests(SynchronousTestCase):
    """Stages of a test in place of the script's."""

    def run_stages(self, *stages: Any, method: str = "MESSAGE") -> list[int]:
        """The statuses that a request draws from these stages."""
        self.world = World()
        self.alice = self.world.phone("alice")
        self.world.core.engine = Engine([(f"stage{i}", stage) for i, stage in enumerate(stages)])
        self.request = self.alice.send(method, "sip:bob@example.test")
        return self.alice.statuses()

    def test_order(self) -> None:
        """Stages run in order until one gives a verdict."""
        seen: list[int] = []

        def passing(ctx: Any) -> None:
            seen.append(ctx.stage)

        def deciding(ctx: Any) -> Verdict:
            seen.append(ctx.stage)
            return ctx.reply(202)

        self.assertEqual(self.run_stages(passing, passing, deciding, passing), [202])
        self.assertEqual(seen, [0, 1, 2])

    def test_each_verdict_stops(self) -> None:
        """Every verdict ends the walk, without an answer of the engine's own."""
        for verdict in Verdict:
            self.assertEqual(self.run_stages(lambda ctx, v=verdict: v, lambda ctx: ctx.reply(500)), [])

    def test_reject(self) -> None:
        """A Reject is answered with its status, reason and headers."""

        def refuse(ctx: Any) -> None:
            raise Reject(480, "Not Today", (("retry-after", "60"),))

        self.world = World()
        alice = self.world.phone("alice")
        self.world.core.engine = Engine([("refuse", refuse)])
        alice.send("MESSAGE", "sip:bob@example.test")
        answer = alice.response()
        self.assertEqual((answer.status, answer.reason, answer.get("retry-after")), (480, "Not Today", "60"))

    def test_parse_error(self) -> None:
        """A ParseError is the sender's fault, and is answered with its status."""

        def unreadable(ctx: Any) -> None:
            raise ParseError("odd", 416)

        self.assertEqual(self.run_stages(unreadable), [416])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_exception(self) -> None:
        """Any other exception is 500, logged with the stage and the Call-ID."""

        def broken(ctx: Any) -> None:
            raise KeyError("oops")

        self.assertEqual(self.run_stages(lambda ctx: None, broken), [500])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_falling_off(self) -> None:
        """A request that no stage decides on is 500, never silence."""
        self.assertEqual(self.run_stages(lambda ctx: None), [500])
        self.assertEqual(self.run_stages(lambda ctx: succeed(None)), [500])
        self.assertEqual(self.run_stages(), [500])

    def test_no_verdict_at_all(self) -> None:
        """A stage that gives what is neither verdict nor awaitable is a fault of the stage: 500."""
        self.assertEqual(self.run_stages(lambda ctx: True), [500])
        self.assertEqual(self.run_stages(lambda ctx: succeed(None), lambda ctx: "no"), [500])
        self.assertEqual(len(self.flushLoggedErrors()), 2)

    def test_waiting(self) -> None:
        """A stage may wait; the walk goes on behind it, and repeats of the request meanwhile go no further."""
        waiting: Deferred[None] = Deferred()
        runs: list[str] = []

        def slow(ctx: Any) -> Deferred[None]:
            runs.append("slow")
            return waiting

        self.assertEqual(self.run_stages(slow, lambda ctx: ctx.reply(202)), [])
        self.alice.send_again(self.request)
        self.assertEqual(runs, ["slow"])
        waiting.callback(None)
        self.assertEqual(self.alice.statuses(), [202])
        self.alice.send_again(self.request)
        self.assertEqual(self.alice.statuses(), [202])
        self.assertEqual(runs, ["slow"])

    def test_waiting_invite_gets_100(self) -> None:
        """The sender of an INVITE hears 100 while a stage waits, and again when it repeats; one that needn't wait hears none."""
        waiting: Deferred[None] = Deferred()
        self.assertEqual(self.run_stages(lambda ctx: waiting, lambda ctx: ctx.reply(404), method="INVITE"), [100])
        self.alice.send_again(self.request)
        self.assertEqual(self.alice.statuses(), [100])
        waiting.callback(None)
        self.assertEqual(self.alice.statuses(), [404])
        self.assertEqual(self.run_stages(lambda ctx: succeed(None), lambda ctx: ctx.reply(404), method="INVITE"), [404])

    def test_coroutine(self) -> None:
        """``async def`` stages are stages: they may pass, decide, reject and raise, after having waited."""
        gate: Deferred[None] = Deferred()

        async def passing(ctx: Any) -> None:
            await gate

        async def deciding(ctx: Any) -> Verdict:
            return ctx.reply(202)

        self.assertEqual(self.run_stages(passing, deciding), [])
        gate.callback(None)
        self.assertEqual(self.alice.statuses(), [202])

        async def refusing(ctx: Any) -> None:
            raise Reject(488)

        self.assertEqual(self.run_stages(refusing), [488])

        async def broken(ctx: Any) -> None:
            raise KeyError("oops")

        self.assertEqual(self.run_stages(broken), [500])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_fault_behind_a_wait(self) -> None:
        """An exception of a stage behind one that waited is answered and logged like any other."""

        def broken(ctx: Any) -> None:
            raise KeyError("oops")

        waiting: Deferred[None] = Deferred()
        self.run_stages(lambda ctx: waiting, broken)
        waiting.callback(None)
        self.assertEqual(self.alice.statuses(), [500])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_ack(self) -> None:
        """Whatever happens to an ACK, it gets no answer."""

        def broken(ctx: Any) -> None:
            raise KeyError("oops")

        self.assertEqual(self.run_stages(broken, method="ACK"), [])
        self.assertEqual(self.run_stages(lambda ctx: None, method="ACK"), [])
        self.flushLoggedErrors(KeyError)

    def test_sender_gone(self) -> None:
        """An answer for a sender whose connection is gone is counted, not raised."""
        waiting: Deferred[None] = Deferred()
        self.run_stages(lambda ctx: waiting, lambda ctx: ctx.reply(202))
        self.alice.flow.closed = True
        waiting.callback(None)
        self.assertEqual(self.flushLoggedErrors(), [])
