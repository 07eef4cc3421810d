"""Runs the stages of the request route over a request.

The loop is plain and synchronous; it is left only when a stage really waits, and taken up again where it was.
The invariant: every request ends in exactly one verdict, and falling off the end is an error that is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipnode.errors import ParseError, Reject
from sipnode.routing.context import RequestContext
from sipnode.routing.verdict import Verdict
from sipnode.transaction.states import ACCEPTED

Stage = Callable[[RequestContext], Any]


class Engine:
    """The request route.

    Args:
        stages: ``(name, callable)`` in order; each gives None (go on), a Verdict (stop) or an awaitable of either,
            and may raise Reject or ParseError.
    """

    log = Logger()

    def __init__(self, stages: Sequence[tuple[str, Stage]]) -> None:
        self.names = tuple(name for name, _ in stages)
        self._stages = tuple(stage for _, stage in stages)

    def run(self, ctx: RequestContext) -> None:
        """Take a request through all stages; never raises."""
        try:
            for stage in self._stages:
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

    def _go_on(self, result: Any, ctx: RequestContext) -> None:
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
            if ctx.stage >= len(self._stages):
                self._fell_off(ctx)
                return
            result = self._stages[ctx.stage](ctx)

    def _wait(self, ctx: RequestContext, result: Any) -> None:
        """A stage waits: repeats of the request have to be absorbed until it has decided."""
        waiting: Deferred[Any] = result if isinstance(result, Deferred) else ensureDeferred(result)
        if not waiting.called or waiting.paused:
            ctx.begin()
            if ctx.transaction is not None and ctx.transaction.invite and not ctx.transaction.kept:
                ctx.reply(100)
        waiting.addCallback(self._go_on, ctx)
        waiting.addErrback(lambda failure: self._failed(ctx, failure))

    def _fell_off(self, ctx: RequestContext) -> None:
        self.log.error("no stage decided on {method} {call_id}", method=ctx.method, call_id=ctx.request.get("call-id"))
        ctx.reply(500, "Routing Undecided")

    def _failed(self, ctx: RequestContext, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, Reject):
            ctx.reply(error.status, error.reason, error.headers)
            return
        if isinstance(error, ParseError):
            ctx.reply(error.status, _phrase(error))
            return
        name = self.names[ctx.stage] if ctx.stage < len(self.names) else "?"
        call_id = ctx.request.get("call-id")
        self.log.failure("stage {stage} failed on {method} {call_id}", failure, stage=name, method=ctx.method, call_id=call_id)
        ctx.reply(500)


def _phrase(error: ParseError) -> str:
    """A reason phrase that says what is wrong, for the statuses that are about syntax."""
    return f"Bad Request - {error.reason}" if error.status == 400 else ""
