"""Requests that were sent on and wait for their answers, and how many may.

A phone that only ever says 180 keeps a call for minutes, and a contact that leads back to this server makes many requests of one.
So the requests of one Call-ID are counted, and the calls that ring: at each callee, and of those for whom nobody answers also from
each source and in all. What strangers hold takes nothing from users: whatever they fill, a user's call rings.

Pure. The invariant: a request stands in the counts from :meth:`PendingRequests.enter` to its final answer and no longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.errors import Reject

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.base.request import Request
    from sipnode.settings import LimitSettings

_LATER = (("retry-after", "30"),)


class PendingRequests:
    """Requests that wait for their final answer.

    Args:
        limits: ``[limits]``.
        counters: Counts refusals: ``refused_call_id``, ``refused_callee``, ``refused_callee_strangers``, ``refused_source`` and
            ``refused_strangers``.
        canonical: An address-of-record as it is looked up.

    Attributes:
        limits: Those in force.
        strangers: Calls that ring for strangers now.
    """

    def __init__(self, limits: LimitSettings, counters: dict[str, int], canonical: Callable[[str], str]) -> None:
        self.limits = limits
        self.strangers = 0
        self._counters = counters
        self._canonical = canonical
        self._of_call: dict[str, int] = {}
        self._at_callee: dict[str, int] = {}
        self._of_strangers: dict[str, int] = {}
        self._of_source: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(self._of_call.values())

    @property
    def calls(self) -> int:
        """Calls that ring."""
        return sum(self._at_callee.values())

    def enter(self, ctx: Request) -> None:
        """A request is about to be sent on; once for each.

        Args:
            ctx: Its ``pending`` is set.

        Raises:
            Reject: 503 or 486, too much of its kind waits.
        """
        if ctx.pending is not None:
            return
        limits = self.limits
        request = ctx.request
        call_id = request.call_id
        of_call = self._of_call.get(call_id, 0)
        if of_call >= limits.pending_per_call_id:
            self._refuse("call_id", 503)
        callee = source = ""
        if request.method == "INVITE" and ctx.initial:
            callee = self._canonical(request.ruri.aor)
            at_callee = self._at_callee.get(callee, 0)
            if at_callee >= limits.pending_per_callee:
                self._refuse("callee", 486)
            if ctx.stranger:
                source = self._enter_stranger(callee, source_of(ctx.flow.remote[0]))
            self._at_callee[callee] = at_callee + 1
        self._of_call[call_id] = of_call + 1
        ctx.pending = (call_id, callee, source)

    def _enter_stranger(self, callee: str, source: str) -> str:
        limits = self.limits
        at_callee, of_source = self._of_strangers.get(callee, 0), self._of_source.get(source, 0)
        if at_callee >= limits.strangers_per_callee:
            self._refuse("callee_strangers", 486)
        if of_source >= limits.strangers_per_source:
            self._refuse("source", 503)
        if self.strangers >= limits.strangers:
            self._refuse("strangers", 503)
        self._of_strangers[callee] = at_callee + 1
        self._of_source[source] = of_source + 1
        self.strangers += 1
        return source

    def leave(self, ctx: Request) -> None:
        """It has its final answer, or never gets one."""
        held, ctx.pending = ctx.pending, None
        if held is None:
            return
        call_id, callee, source = held
        _less(self._of_call, call_id)
        if callee:
            _less(self._at_callee, callee)
        if source:
            _less(self._of_strangers, callee)
            _less(self._of_source, source)
            self.strangers -= 1

    def _refuse(self, kind: str, status: int) -> None:
        self._counters[f"refused_{kind}"] += 1
        raise Reject(status, "", _LATER if status == 503 else ())


def source_of(host: str) -> str:
    """The key of a sender, which counts once whatever it has many of: an IPv6 address by its /64 (RFC 6177)."""
    if ":" not in host:
        return host
    head, _, tail = host.partition("::")
    groups = head.split(":") if head else []
    if "::" in host:
        behind = tail.split(":") if tail else []
        groups += ["0"] * (8 - len(groups) - len(behind)) + behind
    return ":".join(groups[:4]) + "::/64"


def _less(counts: dict[str, int], key: str) -> None:
    left = counts[key] - 1
    if left:
        counts[key] = left
    else:
        del counts[key]
