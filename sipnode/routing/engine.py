"""Runs the stages of the request route over a request.

The loop is plain and synchronous; it is left only when a stage really waits, and taken up again where it was.
The invariant: every request ends in exactly one verdict, and falling off the end is an error that is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipnode.errors import ParseError, Reject
from sipnode.routing.request import Request
from sipnode.routing.verdict import Verdict
from sipnode.transaction.states import ACCEPTED

Stage = Callable[[Request], Any]

Method = TypeVar("Method", bound=Callable[..., Any])


def only(*methods: str) -> Callable[[Method], Method]:
    """Mark a stage as one for these methods; others don't meet it."""

    def mark(stage: Method) -> Method:
        stage.methods = frozenset(methods)  # type: ignore[attr-defined]  # functions take attributes
        return stage

    return mark


def _route(stages: Sequence[tuple[str, Stage]], method: str) -> tuple[tuple[str, Stage], ...]:
    """The stages that a method meets; "" stands for one that no stage names."""
    wanted = []
    for name, stage in stages:
        methods = getattr(stage, "methods", None)
        if methods is None or method in methods:
            wanted.append((name, stage))
    return tuple(wanted)


class Engine:
    """The request route.

    Args:
        stages: ``(name, callable)`` in order; each gives None (go on), a Verdict (stop) or an awaitable of either,
            and may raise Reject or ParseError. One that has an attribute ``methods`` (see :func:`only`) is asked for these
            methods only.

    Attributes:
        names: Of the stages, in order.
        methods: Those that a stage is for, by its name; empty for all.
    """

    log = Logger()

    def __init__(self, stages: Sequence[tuple[str, Stage]]) -> None:
        self.names = tuple(name for name, _ in stages)
        self.methods: dict[str, frozenset[str]] = {name: getattr(stage, "methods", None) or frozenset() for name, stage in stages}
        every = frozenset[str]().union(*(getattr(stage, "methods", None) or () for _, stage in stages))
        self._routes = {method: _route(stages, method) for method in every}
        self._other = _route(stages, "")

    def run(self, ctx: Request) -> None:
        """Take a request through all stages; never raises."""
        try:
            for _, stage in self._routes.get(ctx.request.method, self._other):
                result = stage(ctx)
                if result is None:
                    ctx.stage += 1
                    continue
                if isinstance(result, Verdict):
                    return
                self._wait(ctx, result)
                return
            self._fell_off(ctx)
        except Exception:
            self._failed(ctx, Failure())

    def stage_of(self, ctx: Request) -> str:
        """Name of the stage that a request is in."""
        route = self._routes.get(ctx.request.method, self._other)
        return route[ctx.stage][0] if ctx.stage < len(route) else "?"

    def _go_on(self, result: Any, ctx: Request) -> None:
        route = self._routes.get(ctx.request.method, self._other)
        while True:
            if isinstance(result, Verdict):
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

    def _wait(self, ctx: Request, result: Any) -> None:
        """A stage waits: repeats of the request have to be absorbed until it has decided."""
        waiting: Deferred[Any] = result if isinstance(result, Deferred) else ensureDeferred(result)
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
            ctx.reply(error.status, error.reason, error.headers)
            return
        if isinstance(error, ParseError):
            ctx.reply(error.status, _phrase(error))
            return
        name = self.stage_of(ctx)
        call_id = ctx.request.get("call-id") or "-"
        self.log.failure("stage {stage} failed on {method} {call_id}", failure, stage=name, method=ctx.method, call_id=call_id)
        ctx.reply(500)


def _phrase(error: ParseError) -> str:
    """A reason phrase that says what is wrong, for the statuses that are about syntax."""
    return f"Bad Request - {error.reason}" if error.status == 400 else ""
