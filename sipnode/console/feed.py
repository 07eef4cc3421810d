"""What happens, as it happens: Server-Sent Events to the pages that are open.

Implements: HTML Living Standard §9.2 (text/event-stream). The invariant: a call never waits for a page. An event costs a look-up in a
dictionary; everything else is done later, in at most a twentieth of the server's time; and a page that doesn't take what it is sent gets
nothing more until it does, is told to load anew, and is cut off where it takes too long.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

from sipnode.console.callview import call_view

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall
    from twisted.web.server import Request

    from sipnode.console.listing import Listing
    from sipnode.console.sessions import Session
    from sipnode.insight.ring import Record
    from sipnode.insight.service import Insight

FLUSH_SECONDS: Final = 0.1
"""From an event until it is sent; what comes meanwhile goes with it."""
SHARE: Final = 20.0
"""The time between two rounds is so many times that which the last one took."""
MOST_CHANGED: Final = 200
"""Calls whose lines are sent in one round; where more have changed, pages ask for the list anew."""
FLOOD_SECONDS: Final = 10.0
BEAT_SECONDS: Final = 15.0
STUCK_SECONDS: Final = 10.0


@implementer(IPushProducer)
class Viewer:
    """An open page.

    Args:
        request: Its HTTP request, which stays open.
        call_id: The call that it shows, "" for none.
        session: Its session; the page is closed when that is over.
        gone: Called once when it is closed.
        seconds: Monotonic clock.

    Attributes:
        behind: Something wasn't sent to it, as it was slow.
    """

    def __init__(
        self, request: Request, call_id: str, session: Session, gone: Callable[[Viewer], None], seconds: Callable[[], float]
    ) -> None:
        self.call_id = call_id
        self.behind = False
        self._request = request
        self._session = session
        self._gone = gone
        self._seconds = seconds
        self._stuck_since = -1.0
        self._over = False

    def begin(self) -> None:
        """Answer, and wait for events."""
        self._session.endings.add(self.close)
        self._request.notifyFinish().addBoth(lambda _: self._end())
        self._request.registerProducer(self, True)

    def tell(self, event: str, data: str) -> None:
        """Send an event; a page that hasn't taken the last ones yet misses it, and will be told."""
        if self._over:
            return
        if self._stuck_since >= 0:
            self.behind = True
            return
        self._request.write(f"event: {event}\ndata: {data}\n\n".encode())

    def beat(self) -> None:
        """Say that the server is there; cut a page off that has taken nothing for long."""
        if self._stuck_since >= 0 and self._seconds() - self._stuck_since >= STUCK_SECONDS:
            self.cut()
        elif not self._over and self._stuck_since < 0:
            self._request.write(b": \n\n")

    def cut(self) -> None:
        """Close at once, whatever hasn't been sent."""
        self._end()
        channel: Any = self._request.channel
        if channel is not None:
            channel.forceAbortClient()

    def close(self) -> None:
        """The session is over, or the server stops."""
        if not self._over:
            self._end()
            self._request.unregisterProducer()
            self._request.finish()

    def pauseProducing(self) -> None:
        """Twisted: what was sent waits in the kernel or before it."""
        if self._stuck_since < 0:
            self._stuck_since = self._seconds()

    def resumeProducing(self) -> None:
        """Twisted: it has gone."""
        self._stuck_since = -1.0
        if self.behind:
            self.behind = False
            self.tell("behind", "{}")

    def stopProducing(self) -> None:
        """Twisted: the connection is gone."""
        self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._session.endings.discard(self.close)
            self._gone(self)


class Feed:
    """Tells open pages what has changed.

    Args:
        insight: Whose recorder is watched while a page is open, and only then.
        listing: Makes lines of the list.
        reactor: IReactorTime.
        most: Pages at a time.
        state: What the pages show at their head, as JSON has it; ``calls`` is the number of calls.

    Attributes:
        cut: Pages that were cut off. rounds: So often something was sent.
    """

    log = Logger(namespace="sipnode.console")

    def __init__(self, insight: Insight, listing: Listing, reactor: Any, most: int, state: Callable[[], dict[str, Any]]) -> None:
        self.most = most
        self.cut = 0
        self.rounds = 0
        self._insight = insight
        self._listing = listing
        self._reactor = reactor
        self._state = state
        self._viewers: set[Viewer] = set()
        self._changed: dict[str, Record] = {}
        self._many = False
        self._watched: set[str] = set()
        self._round: IDelayedCall | None = None
        self._beat: IDelayedCall | None = None
        self._next = 0.0
        self._said = -1
        self._flood = float("-inf")

    def __len__(self) -> int:
        return len(self._viewers)

    @property
    def flooded(self) -> bool:
        """Lately more calls have changed than are sent, so that pages ask for the list instead."""
        return bool(self._reactor.seconds() - self._flood < FLOOD_SECONDS)

    def open(self, request: Request, call_id: str, session: Session) -> bool:
        """A page wants to be told; False where there are too many."""
        if len(self._viewers) >= self.most:
            return False
        viewer = Viewer(request, call_id, session, self._closed, self._reactor.seconds)
        self._viewers.add(viewer)
        self._watch()
        viewer.begin()
        viewer.tell("state", _json(self._state()))
        if call_id:
            viewer.tell("call", _json(call_view(self._insight, call_id)))
        if self._beat is None:
            self._beat = self._reactor.callLater(BEAT_SECONDS, self._beats)
        return True

    def stop(self) -> None:
        """Close all pages."""
        for viewer in list(self._viewers):
            viewer.close()
        for call in (self._round, self._beat):
            if call is not None and call.active():
                call.cancel()
        self._round = self._beat = None

    def told(self, record: Record) -> None:
        """The recorder: a record has a new event. This runs for each of them."""
        if len(self._changed) < MOST_CHANGED or record.call_id in self._watched:
            self._changed[record.call_id] = record
        else:
            self._many = True
        if self._round is None:
            wait = max(FLUSH_SECONDS, self._next - self._reactor.seconds())
            self._round = self._reactor.callLater(wait, self._flush)

    def _watch(self) -> None:
        """Be told by the recorder while anybody looks."""
        self._watched = {viewer.call_id for viewer in self._viewers if viewer.call_id}
        keeper = self._insight.keeper
        if keeper is not None:
            keeper.told = self.told if self._viewers else None
        if not self._viewers:
            self._changed, self._many = {}, False
            self._listing.forget()

    def _closed(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        self._watch()

    def _flush(self) -> None:
        self._round = None
        began = time.perf_counter()
        changed, self._changed = self._changed, {}
        many, self._many = self._many, False
        if many:
            self._flood = self._reactor.seconds()
        try:
            self._send(changed, many)
        except Exception:
            # One record that can't be drawn doesn't end what the others are shown.
            self.log.failure("the console's pages can't be told")
        self.rounds += 1
        self._next = self._reactor.seconds() + SHARE * (time.perf_counter() - began)

    def _send(self, changed: dict[str, Record], many: bool) -> None:
        lines = _json([self._listing.line(record) for record in changed.values() if record.events])
        calls = {call_id: _json(call_view(self._insight, call_id)) for call_id in self._watched if call_id in changed}
        state = self._state()
        news = state["calls"] != self._said
        self._said = state["calls"]
        for viewer in list(self._viewers):
            if news:
                viewer.tell("state", _json(state))
            if many:
                viewer.tell("many", "{}")
            else:
                viewer.tell("lines", lines)
            if viewer.call_id in calls:
                viewer.tell("call", calls[viewer.call_id])

    def _beats(self) -> None:
        self._beat = None
        state = _json(self._state())
        for viewer in list(self._viewers):
            before = len(self._viewers)
            viewer.beat()
            self.cut += len(self._viewers) < before
            viewer.tell("state", state)
        if self._viewers:
            self._beat = self._reactor.callLater(BEAT_SECONDS, self._beats)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
