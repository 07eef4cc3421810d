"""Awaitable results of a hook or a stage: a Deferred, a coroutine, or whatever else can be awaited."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from twisted.internet.defer import Deferred, ensureDeferred

T = TypeVar("T")


async def _value(waited: Awaitable[T]) -> T:
    return await waited


def deferred(waited: Awaitable[T]) -> Deferred[T]:
    """It as a Deferred."""
    return waited if isinstance(waited, Deferred) else ensureDeferred(_value(waited))
