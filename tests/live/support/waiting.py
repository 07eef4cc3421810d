"""Waiting for a condition of the outside world: asked again and again, with a bound that ends it by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater

reactor: Any = _reactor
PAUSE = 0.05
PATIENCE = 20.0


async def until(ask: Callable[[], Any], what: str | Callable[[], str], seconds: float = PATIENCE) -> Any:
    """Ask until the answer is true, and give it back.

    Args:
        ask: Returns the answer, or an awaitable of it.
        what: What is waited for, for the error; a callable is asked when it comes to that.
        seconds: The bound. It is generous, for a test asserts what happens and not how fast.

    Raises:
        AssertionError: The time is over.
    """
    end = reactor.seconds() + seconds
    while True:
        answer = ask()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if reactor.seconds() > end:
            raise AssertionError(f"not within {seconds:g} s: {what() if callable(what) else what}")
        await deferLater(reactor, PAUSE)
