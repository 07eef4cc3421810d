"""Coroutines of asyncio in a routing script: what is written for asyncio (database drivers, HTTP clients) needs its event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from twisted.internet.defer import Deferred

from sipnode.errors import SipnodeError

T = TypeVar("T")


class WrongReactor(SipnodeError):
    """The server runs without asyncio."""


def from_asyncio(awaitable: Awaitable[T]) -> Deferred[T]:
    """Wait for a coroutine, future or task of asyncio: ``row = await from_asyncio(pool.fetchrow(…))``.

    Args:
        awaitable: It starts at once; when nobody waits any more, it is cancelled.

    Raises:
        WrongReactor: the reactor isn't asyncio's; ``twistd --reactor=asyncio sipnode -c conf`` starts the server with it.
    """
    from twisted.internet import reactor

    loop: asyncio.AbstractEventLoop | None = getattr(reactor, "_asyncioEventloop", None)
    if loop is None:
        if asyncio.iscoroutine(awaitable):
            awaitable.close()
        raise WrongReactor(f"asyncio needs its own reactor, and {type(reactor).__name__} runs: twistd --reactor=asyncio sipnode -c conf")
    return Deferred.fromFuture(asyncio.ensure_future(awaitable, loop=loop))
