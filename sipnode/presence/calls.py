"""The calls of each party, for lamps and "on the phone": what this process carries, and what is in the table of others.

A call is in memory alone. So that lamps are right after ``kill -9``, and at other nodes, a call whose party is watched has a row in
``presentity`` (event ``dialog``) while it is up, written behind its news. After a restart such a row is the call, until it is heard
to end: by the BYE that passes, because a browser in it has gone and didn't register again, or because nothing was heard of it, neither
a session refresh in time (RFC 4028 §9) nor anything else for :data:`KEPT` seconds. So no lamp stays lit for good.

Implements: RFC 4235 §3.7.1 (states and events). The invariant: a party's call is told once, by the process that carries it where that
is this one, else by its row.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from sipnode.errors import ParseError
from sipnode.presence.names import new_etag
from sipnode.presence.packages.dialoginfo import compose, parse
from sipnode.presence.packages.xmlbody import uri
from sipnode.presence.recent import Recent
from sipnode.presence.state import CALLS as EVENT
from sipnode.presence.table import Ends
from sipnode.records import PartyCall, PresenceChange, Publication

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.presence.state import PresenceState

KEPT: Final = 3600
"""Seconds that a row lasts; it is written again after half of them while its call is up."""
GRACE: Final = 32
"""Seconds beyond a session interval, as the calls themselves have."""

CHECK: Final = 30
"""Seconds between two looks whether the browsers of such a call are there; one that is missed twice has gone."""

_AT_ONCE: Final = 500
_BROWSER: Final = frozenset(("WS", "WSS"))
_EVENTS: Final = {"cancelled": "cancelled", "busy": "rejected", "declined": "rejected", "no answer": "rejected", "lost": "timeout"}
"""How a call ended -> event of ``terminated``; of one that was completed it says whose BYE it was."""


class CallStates:
    """Calls by their parties, ``user@host``.

    Args:
        state: Whose watchers hear of them, and whose table has their rows.

    Attributes:
        reachable: Whether a user has a registration that a call would reach.
    """

    def __init__(self, state: PresenceState) -> None:
        self._state = state
        self._live: dict[str, dict[int, Any]] = {}
        self._parties: dict[int, tuple[str, ...]] = {}
        self._written: set[tuple[int, str]] = set()
        self._ended: Recent[PartyCall] = Recent()
        self._renewals = Ends()
        self._checks = Ends()
        self._missed: set[str] = set()
        self.reachable: Callable[[str], bool] = lambda aor: True

    # -- what is asked

    def of(self, aor: str) -> list[PartyCall]:
        """Calls of a party, oldest first, then those that ended just now."""
        state = self._state
        found = [view for call in self._live.get(aor, {}).values() for view in self._views(call, aor)]
        rows = state.publications.at(EVENT, aor, state.now()) if state.publications else ()
        ended = self._ended.of(aor, state.now()) if self._ended else []
        if rows or ended:
            known = {view.id for view in found}
            found += [view for row in rows for view in _read(row) if view.id not in known and view.state != "terminated"]
            known = {view.id for view in found}
            found += [view for view in ended if view.id not in known]
        return found

    def _views(self, call: Any, aor: str) -> list[PartyCall]:
        node = self._state.node
        return [view_of(call, is_caller, node) for is_caller, party in ((True, call.caller), (False, call.callee)) if party == aor]

    # -- what happens

    def changed(self, kind: str, call: Any) -> None:
        """A step of a call of this process."""
        number = call.id
        parties = self._parties.get(number)
        if kind == "terminated":
            if parties is None:
                # Refused before anybody was asked: no lamp was ever lit.
                return
            del self._parties[number]
            for party in parties:
                calls = self._live[party]
                del calls[number]
                if not calls:
                    del self._live[party]
        elif parties is None:
            caller, callee = call.caller, call.callee
            parties = tuple(party for party in ((caller, callee) if caller != callee else (caller,)) if party)
            self._parties[number] = parties
            for party in parties:
                self._live.setdefault(party, {})[number] = call
        state, watched = self._state, self._state.subscriptions.of_resource
        for party in parties:
            if party in watched and state.is_followed(party):
                self._write(kind, call, party)
                state.call_changed(party)
            elif kind == "terminated" and (number, party) in self._written:
                self._write(kind, call, party)

    def watched(self, resource: str) -> None:
        """Somebody new watches: the calls that are up have rows from now on."""
        for call in self._live.get(resource, {}).values():
            if call.state == "confirmed":
                self._write("confirmed", call, resource)

    def passed(self, method: str, call_id: str, from_tag: str, to_tag: str) -> None:
        """A request inside a dialog passed, of a call that isn't of this process: one that was up before a restart."""
        publications = self._state.publications
        if not publications:
            return
        for tag in (from_tag, to_tag):
            for is_caller in (True, False):
                row = publications.get(_ruid(name_of(call_id, tag), is_caller))
                if row is not None:
                    self._heard(row, method, (tag == from_tag) == is_caller)

    def _heard(self, row: Publication, method: str, by_itself: bool) -> None:
        views = _read(row)
        if method == "BYE":
            self._over(row, "local-bye" if by_itself else "remote-bye")
        elif method in ("INVITE", "UPDATE") and views and views[0].node == self._state.node:
            self._write_row(row.ruid, row.resource, views[0], _patience(views[0]))

    def _over(self, row: Publication, event: str) -> None:
        """A call of before a restart has ended."""
        for view in _read(row):
            view.state, view.event = "terminated", event
            self._ended.add(row.resource, view, self._state.now())
        self._missed.discard(row.ruid)
        self._state.keep([PresenceChange(row, True)])
        self._state.call_changed(row.resource)

    # -- rows

    def _write(self, kind: str, call: Any, party: str) -> None:
        state = self._state
        for view in self._views(call, party):
            ruid = _ruid_of(view)
            if kind == "terminated":
                self._ended.add(party, view, state.now())
                row = state.publications.get(ruid)
                if row is None and (call.id, party) in self._written:
                    # News of another node that was older than our row has taken it out of memory, not out of the table.
                    row = Publication(party, EVENT, "", 0.0, 0.0, b"", party, ruid)
                if row is not None and not any(other.id == view.id for other in self._of_process(party)):
                    state.keep([PresenceChange(row, True)])
                self._written.discard((call.id, party))
            elif state.durable and (kind == "confirmed" or state.is_followed(party, elsewhere=True)):
                self._written.add((call.id, party))
                self._write_row(ruid, party, view, KEPT)
                self._renewals.add(ruid, state.now() + KEPT / 2)

    def _of_process(self, party: str) -> list[PartyCall]:
        return [view for call in self._live.get(party, {}).values() for view in self._views(call, party)]

    def _write_row(self, ruid: str, party: str, view: PartyCall, seconds: float) -> None:
        now = self._state.now()
        body = compose(uri(party), [view], 0, True)
        self._state.keep([PresenceChange(Publication(party, EVENT, new_etag(), now + seconds, now, body, party, ruid, int(now), (view,)))])

    def loaded(self) -> None:
        """The table was read at the start: calls of this node's earlier run are believed as long as they are heard of."""
        state = self._state
        now = state.now()
        for party in self._live:
            if state.is_followed(party):
                self.watched(party)
        for row in [row for row in state.publications if row.event == EVENT]:
            views = _read(row)
            if views and views[0].node == state.node and not any(one.id == views[0].id for one in self._of_process(row.resource)):
                row.expires = min(row.expires, now + _patience(views[0]))
                state.publications.ends.add(row.ruid, row.expires)
                if views[0].browsers:
                    self._checks.add(row.ruid, now + CHECK)

    def tick(self, now: float) -> None:
        """Write the rows of long calls again; look after the browsers of calls of before a restart."""
        for ruid in self._checks.due(now, _AT_ONCE):
            row = self._state.publications.get(ruid)
            if row is None or all(self.reachable(aor) for view in _read(row) for aor in view.browsers):
                self._missed.discard(ruid)
            elif ruid in self._missed:
                self._over(row, "timeout")
                row = None
            else:
                self._missed.add(ruid)
            if row is not None:
                self._checks.add(ruid, now + CHECK)
        for ruid in self._renewals.due(now, _AT_ONCE):
            row = self._state.publications.get(ruid)
            if row is None:
                continue
            for view in self._of_process(row.resource):
                if _ruid_of(view) == ruid:
                    self._write_row(ruid, row.resource, view, KEPT)
                    self._renewals.add(ruid, now + KEPT / 2)
                    break


def view_of(call: Any, is_caller: bool, node: int) -> PartyCall:
    """One side's view of a call (``sipnode.dialog.call.Call``)."""
    other = uri(call.callee) if call.callee else call.uri.partition(";")[0]
    view = PartyCall(f"{name_of(call.call_id, call.from_tag)}-{'i' if is_caller else 'r'}", call.call_id)
    if is_caller:
        view.local_tag, view.remote_tag, view.direction = call.from_tag, call.to_tag, "initiator"
        view.local, view.remote = uri(call.caller) if call.caller else call.from_uri, other
    else:
        view.local_tag, view.remote_tag, view.direction = call.to_tag, call.from_tag, "recipient"
        view.local, view.remote, view.remote_name = other, call.from_uri, call.from_name
    view.state, view.session, view.node = call.state, call.interval, node
    ends = ((call.caller, call.caller_flow), (call.callee, call.callee_flow))
    view.browsers = tuple(aor for aor, flow in ends if aor and flow[0] in _BROWSER)
    if call.state == "terminated":
        if call.outcome == "completed":
            view.event = "local-bye" if (call.ended_by == "caller") == is_caller else "remote-bye"
        else:
            view.event = _EVENTS.get(call.outcome, "rejected" if call.status >= 300 else "error")
            view.code = call.status if call.status >= 300 else 0
    return view


def name_of(call_id: str, caller_tag: str) -> str:
    """A short name of a call that is the same in every run and on every node."""
    return blake2b(f"{call_id} {caller_tag}".encode("utf-8", "replace"), digest_size=8).hexdigest()


def _ruid(name: str, is_caller: bool) -> str:
    return f"dlg-{name}-{'i' if is_caller else 'r'}"


def _ruid_of(view: PartyCall) -> str:
    return f"dlg-{view.id}"


def _patience(view: PartyCall) -> float:
    return min(KEPT, view.session + GRACE) if view.session > 0 else KEPT


def _read(row: Publication) -> tuple[PartyCall, ...]:
    if row.parsed is None:
        try:
            row.parsed = parse(row.body)
        except ParseError:
            row.parsed = ()
    found: tuple[PartyCall, ...] = row.parsed
    return found
