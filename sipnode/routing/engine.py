"""Runs the stages of the request route over a request.

The loop is plain and synchronous; it is left only when a stage really waits, and taken up again where it was.
The invariant: every request ends in exactly one verdict, and falling off the end is an error that is answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipnode.base.flow import Flow
from sipnode.errors import ParseError, Reject
from sipnode.routing.core import Core, Runner
from sipnode.routing.order import methods_of
from sipnode.routing.request import Request
from sipnode.routing.verdict import Step, Verdict
from sipnode.sip.message import SipRequest
from sipnode.transaction.states import ACCEPTED

Stage = Callable[[Request], Step]


def _route(stages: Sequence[tuple[str, Stage]], method: str) -> tuple[tuple[str, Stage], ...]:
    """The stages that a method meets; "" stands for one that no stage names."""
    wanted = []
    for name, stage in stages:
        methods = methods_of(name)
        if not methods or method in methods:
            wanted.append((name, stage))
    return tuple(wanted)


class Engine(Runner):
    """The request route.

    Args:
        stages: ``(name, callable)`` in order; each gives None (go on), a Verdict (stop) or an awaitable of either,
            and may raise Reject or ParseError. One whose name is an :class:`~sipnode.routing.order.on` is asked for its methods only.

    Attributes:
        names: Of the stages, in order.
        methods: Those that a stage is for, by its name; empty for all.
    """

    log: ClassVar[Logger] = Logger(namespace="sipnode.routing")

    def __init__(self, stages: Sequence[tuple[str, Stage]]) -> None:
        self.names = tuple(str(name) for name, _ in stages)
        self.methods = {str(name): methods_of(name) for name, _ in stages}
        every = frozenset[str]().union(*self.methods.values())
        self._routes = {method: _route(stages, method) for method in every}
        self._other = _route(stages, "")

    def begin(self, core: Core, request: SipRequest, flow: Flow, key: str, now: float) -> None:
        """Take a request that is new through all stages; never raises."""
        self.run(Request(core, request, flow, key, now))

    def run(self, ctx: Request) -> None:
        """Take a request through all stages; never raises."""
        request = ctx.request
        try:
            for name, stage in self._routes.get(request.method, self._other):
                result = stage(ctx)
                if result is None:
                    ctx.stage += 1
                    continue
                if not isinstance(result, Verdict):
                    self._wait(ctx, result)
                elif (watcher := ctx.core.tap.on_decided) is not None:
                    # Its name, which Enum looks up by code in Python.
                    watcher.decided(ctx.core.clock(), request, name, result._name_)
                return
            self._fell_off(ctx)
        except Exception:
            self._failed(ctx, Failure())

    def stage_of(self, ctx: Request) -> str:
        """Name of the stage that a request is in."""
        return self.stage_at(ctx.request.method, ctx.stage)

    def stage_at(self, method: str, position: int) -> str:
        """Name of a stage of those that a method meets."""
        route = self._routes.get(method, self._other)
        return str(route[position][0]) if position < len(route) else "?"

    def _go_on(self, result: Step, ctx: Request) -> None:
        request = ctx.request
        route = self._routes.get(request.method, self._other)
        while True:
            if isinstance(result, Verdict):
                if (watcher := ctx.core.tap.on_decided) is not None:
                    watcher.decided(ctx.core.clock(), request, str(route[ctx.stage][0]), result.name)
                return
            if result is not None:
                self._wait(ctx, result)
                return
            if ctx.transaction is not None and ctx.transaction.state >= ACCEPTED:
                # Answered while it waited: a CANCEL came.
                return
            ctx.stage += 1
            if ctx.stage >= len(route):
                self._fell_off(ctx)
                return
            result = route[ctx.stage][1](ctx)

    def _wait(self, ctx: Request, result: Awaitable[Step]) -> None:
        """A stage waits: repeats of the request have to be absorbed until it has decided.

        Raises:
            TypeError: it is nothing that can be waited for.
        """
        if isinstance(result, Deferred):
            waiting: Deferred[Step] = result
        elif isinstance(result, Awaitable):
            waiting = ensureDeferred(_settled(result))
        else:
            raise TypeError(f"gave {result!r}, which is no Verdict")
        if not waiting.called or waiting.paused:
            ctx.begin()
            if ctx.transaction is not None and ctx.transaction.invite and not ctx.transaction.kept:
                ctx.reply(100)
        waiting.addCallback(self._go_on, ctx)
        waiting.addErrback(lambda failure: self._failed(ctx, failure))

    def _fell_off(self, ctx: Request) -> None:
        self.log.error("no stage decided on {method} {call_id}", method=ctx.method, call_id=ctx.request.get("call-id") or "-")
        ctx.reply(500, "Routing Undecided")

    def _failed(self, ctx: Request, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, Reject):
            if error.rule:
                ctx.blame(error.rule)
            if (watcher := ctx.core.tap.on_decided) is not None:
                watcher.decided(ctx.core.clock(), ctx.request, self.stage_of(ctx), str(error.status))
            ctx.reply(error.status, error.reason, error.headers)
            return
        if isinstance(error, ParseError):
            ctx.reply(error.status, _phrase(error))
            return
        name = self.stage_of(ctx)
        call_id = ctx.request.get("call-id") or "-"
        self.log.failure("stage {stage} failed on {method} {call_id}", failure, stage=name, method=ctx.method, call_id=call_id)
        ctx.reply(500)


async def _settled(step: Step) -> Step:
    """The final result of a stage: an ``async def`` may hand on what ``super()`` gave, awaitable or not."""
    while isinstance(step, Awaitable):
        step = await step
    return step


def _phrase(error: ParseError) -> str:
    """A reason phrase that says what is wrong, for the statuses that are about syntax."""
    if error.status != 400:
        return ""
    reason = f"Bad Request - {error.reason}"
    return reason if reason.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in reason)
