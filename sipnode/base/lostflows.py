"""Connections that are gone, of those who had signed in: which, whose, since when, why. Pure.

Implements: RFC 5626 §5.3 (a flow that has failed is a state that a request meets, and no fault of the server's).

The invariant: at most :data:`MOST` of them are remembered, the last; and a line of the log is written for each at most once in
:data:`AGAIN_SECONDS`, whatever is sent to it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from twisted.logger import Logger

from sipnode.base.flow import Flow
from sipnode.base.tap import LOST, Tap
from sipnode.sip.message import SipRequest

MOST = 2000
AGAIN_SECONDS: Final = 10.0
_LONGEST: Final = 80


class LostFlow:
    """One of them.

    Attributes:
        name: ``ws-17``: its transport, and its number since the start.
        user: ``user@domain`` that was signed in or registered on it.
        since: Epoch seconds. why: In words, from whoever closed it.
    """

    __slots__ = ("name", "since", "told", "user", "why")

    def __init__(self, name: str, user: str, since: float, why: str) -> None:
        self.name = name
        self.user = user
        self.since = since
        self.why = why
        self.told = -AGAIN_SECONDS


class LostFlows:
    """The memory of connections that are gone.

    Args:
        tap: Told of requests that meet one.
        counters: Counts those: ``lost_flow_requests``.
    """

    __slots__ = ("_counters", "_log", "_lost", "_tap", "_told_of_unknown")

    def __init__(self, tap: Tap, counters: dict[str, int]) -> None:
        self._tap = tap
        self._counters = counters
        self._lost: OrderedDict[str, LostFlow] = OrderedDict()
        self._told_of_unknown = -AGAIN_SECONDS
        self._log = Logger(namespace="sipnode.flow")

    def __len__(self) -> int:
        return len(self._lost)

    def closed(self, flow: Flow, users: list[str], now: float, why: str) -> None:
        """A connection is gone.

        Args:
            flow: It; its token is still there.
            users: ``user@domain`` of the bindings on it. One that nobody has signed in on isn't remembered.
            why: In words.
        """
        user = flow.signed_in or flow.shown or (users[0] if users else "")
        if user and flow.token:
            self._lost[flow.token] = LostFlow(name_of(flow), user, now, why[:_LONGEST])
            if len(self._lost) > MOST:
                self._lost.popitem(last=False)

    def find(self, token: str) -> LostFlow | None:
        """What is remembered of one."""
        return self._lost.get(token)

    def newest(self, most: int) -> list[LostFlow]:
        """The last ones, the newest first."""
        return list(self._lost.values())[: -most - 1 : -1]

    def met(self, request: SipRequest, token: str, index: int, now: float) -> None:
        """A request can't go by a connection, as that is gone: count and tell it.

        Args:
            index: Of its branch.
            token: Of the connection; one that isn't remembered has closed long ago, or in an earlier run, or nobody had signed in.
        """
        self._counters["lost_flow_requests"] += 1
        lost = self._lost.get(token)
        watcher = self._tap.on_noted
        if watcher is not None:
            parts = (index, lost.name, lost.user, now - lost.since, lost.why) if lost is not None else (index, "", "", 0.0, "")
            watcher.noted(now, request.get("call-id") or "", LOST, parts)
        text = "{method} {uri} can't go on: "
        if lost is None:
            if now - self._told_of_unknown >= AGAIN_SECONDS:
                self._told_of_unknown = now
                text += "its flow is gone, and isn't known any more"
                self._log.info(text, method=request.method, uri=request.uri)
        elif now - lost.told >= AGAIN_SECONDS:
            lost.told = now
            self._log.info(
                text + "flow {name} of {user} closed {seconds:.0f} s ago ({why})",
                method=request.method, uri=request.uri, name=lost.name, user=lost.user, seconds=now - lost.since, why=lost.why,
            )  # fmt: skip


def name_of(flow: Flow) -> str:
    """``ws-17``: the transport of a connection and its number since the start, which is the end of its token."""
    digits = flow.token.rpartition("-")[2]
    try:
        return f"{flow.transport.lower()}-{int(digits, 36)}"
    except ValueError:
        return f"{flow.transport.lower()}-{digits}"
