"""The calls that go through this server: who watches them hears of each step, who vanished is noticed, an operator ends them.

A browser tab that is closed sends no BYE; its socket just goes. When the connection of one end is gone and the same instance
doesn't come back within ``dialog.lost_flow_seconds``, the other end gets BYE and the media relay gives the ports back.
Implements: RFC 4028 §9 (a session that nobody refreshes is over), RFC 3326 (Reason).

The invariant: a call stands in the table exactly while both ends believe in it. The code for each call makes no Deferred, no
timer and no log line.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from twisted.application.service import Service
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipnode.dialog import call as stages
from sipnode.dialog.access import DialogAccess
from sipnode.dialog.blame import blame
from sipnode.dialog.bye import BY_OPERATOR, UNREFRESHED, VANISHED, say_bye
from sipnode.dialog.call import Call, begun, outcome_of
from sipnode.dialog.ends import Ends, Party
from sipnode.dialog.table import SLOT_SECONDS, CallTable
from sipnode.errors import ParseError, Reject
from sipnode.proxy.sides import callee_side
from sipnode.sip.address import NameAddr

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from sipnode.base.flow import Flow
    from sipnode.dialog.request import Request
    from sipnode.proxy.core import Branch, Fork, ProxyCore
    from sipnode.settings import DialogSettings
    from sipnode.sip.message import SipMessage, SipResponse

Calls: TypeAlias = list[Call]
"""The class has a method of the type's own name."""


class DialogService(Service):
    """Calls from their INVITE to their end.

    Args:
        settings: ``[dialog]``.

    Attributes:
        answered: Calls that are up now.
        access: Who may speak in which dialog.
        lost: Calls that ended without a word, since the start.
        on_unknown: Called with ``(method, Call-ID, From tag, To tag)`` when a request passes inside a dialog that isn't known, as
            after a restart; None for nobody.
    """

    name = "dialogs"
    log: ClassVar[Logger] = Logger(namespace="sipnode.dialog")

    def __init__(self, settings: DialogSettings, reactor: IReactorTime, core: ProxyCore) -> None:
        self._settings = settings
        self._reactor = reactor
        self._core = core
        self._all = settings.track == "all"
        self._lifetime = settings.max_seconds
        self._table = CallTable(settings.max_calls)
        self.access = DialogAccess(self._table, core.counters)
        self._watchers: dict[str, list[Callable[[str, Call], object]]] = {kind: [] for kind in stages.KINDS}
        self._timers: set[IDelayedCall] = set()
        self._sweeping: IDelayedCall | None = None
        self._number = 0
        self._most_of_user = settings.calls_per_user
        self.on_unknown: Callable[[str, str, str, str], None] | None = None
        self.answered = self.lost = 0

    def __len__(self) -> int:
        return len(self._table)

    @property
    def untracked(self) -> int:
        """Calls that were let through unseen, since ``dialog.max_calls`` were there."""
        return self._table.untracked

    def list(self) -> list[Call]:
        """All calls, oldest first as a rule."""
        return list(self._table)

    def find(self, call_id: str, from_tag: str = "", to_tag: str = "") -> Calls:
        """The calls with that Call-ID, and with these tags where they are given (either of an end's may come first)."""
        wanted = {tag for tag in (from_tag, to_tag) if tag}
        return [call for call in self._table.of(call_id) if wanted <= {call.from_tag, call.to_tag}]

    def calls_of(self, user: str) -> int:
        """Calls that ``user@domain`` has begun and that haven't ended."""
        return self._table.calls_of(user)

    def on_change(self, watcher: Callable[[str, Call], object], *kinds: str) -> Callable[[], None]:
        """Have ``watcher(kind, call)`` called at each step of each call.

        Args:
            kinds: Only at these steps.
            watcher: ``kind`` is ``trying``, ``early``, ``confirmed`` or ``terminated``; it must be quick, and what it raises is
                logged. A call that was refused before it was sent on has a ``terminated`` alone.

        Returns:
            The cause of its end.
        """
        watched = [self._watchers[kind] for kind in kinds or stages.KINDS]
        for watchers in watched:
            watchers.append(watcher)

        def end() -> None:
            for watchers in watched:
                if watcher in watchers:
                    watchers.remove(watcher)

        return end

    def startService(self) -> None:
        """Look for lost calls now and then."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self._sweeping = self._reactor.callLater(SLOT_SECONDS, self._sweep)

    def stopService(self) -> object:
        """Stop waiting for anybody."""
        for timer in (*self._timers, self._sweeping):
            if timer is not None and timer.active():
                timer.cancel()
        self._timers.clear()
        return super().stopService()  # type: ignore[no-untyped-call]  # as above

    # -- what the proxy sees

    def trying(self, ctx: Request, fork: Fork) -> None:
        """An INVITE outside of any dialog is about to be sent on.

        Raises:
            Reject: its user has as many calls as may be.
        """
        if self._all and ctx.route is None:
            call = self._new(ctx)
            self.access.over.discard(call.call_id, call.from_tag)
            if self._most_of_user and self._table.calls_of(call.caller) >= self._most_of_user:
                ctx.blame("calls_per_user")
                raise Reject(403, "Too Many Calls")
            if self._table.add(call, ctx.now + self._lifetime):
                ctx.call = call
                call.pending = fork
                if self._watchers[stages.TRYING]:
                    self._tell(stages.TRYING, call)

    def _new(self, ctx: Request) -> Call:
        self._number += 1
        return begun(self._number, ctx.request, ctx.identity, ctx.flow, ctx.now, self._core.is_local)

    def early(self, ctx: Request, response: SipResponse) -> None:
        """A 101..199 went to the caller."""
        call = ctx.call
        if call is None:
            return
        call.progress(response.status, self._core.clock)
        if call.state is stages.TRYING:
            try:
                call.to_tag = response.to.tag
            except ParseError:
                return
            call.state = stages.EARLY
            if self._watchers[stages.EARLY]:
                self._tell(stages.EARLY, call)

    def refused(self, ctx: Request, status: int, by: str = "") -> None:
        """An INVITE outside of any dialog got its 3xx..6xx; ``by`` says which rule or stage of ours refused it, "" for none."""
        call, ctx.call = ctx.call, None
        if call is None:
            if status in (401, 407) or not (self._watchers[stages.TERMINATED] or self._core.tap.on_ended):
                return
            try:
                call = self._new(ctx)
            except ParseError:
                return
        call.status, (who, call.rule) = status, blame(ctx, status, by)
        self._end(call, outcome_of(status), who)

    def established(self, ctx: Request, branch: Branch, response: SipResponse) -> None:
        """A 2xx to an INVITE went to the caller."""
        try:
            if ctx.route is None:
                self._established(ctx, branch, response)
            elif (call := self._table.between(response.call_id, response.from_.tag, response.to.tag)) is not None:
                self.refreshed(call, response)
        except ParseError:
            return

    def _established(self, ctx: Request, branch: Branch, response: SipResponse) -> None:
        call, table = ctx.call, self._table
        now = self._core.clock()
        to_tag = response.to.tag
        first = True
        if call is None:
            if not (ctx.flow.websocket or branch.flow.websocket):
                return
            call = self._new(ctx)
            if not table.add(call, now + self._lifetime):
                return
            ctx.call = call
        elif call.state not in (stages.TRYING, stages.EARLY):
            first = False
            self._number += 1
            call = call.answered_too(self._number, to_tag)
            if not table.add(call, now + self._lifetime):
                return
        call.pending = None
        if call.key[2] != to_tag and not table.rename(call, to_tag):
            return
        caller, callee = self._core.near_side(ctx), callee_side(branch, response)
        call.answer(ctx.request if first else None, response, (caller, callee), self._is_ours)
        media = branch.media
        if media is not None:
            call.bridged, call.node, call.media_call, call.media_place = True, media.node, media.call, self._core.media.place(media.node)
        call.callee_flow = (branch.flow.transport, branch.flow.remote)
        call.status = response.status
        call.answered = now
        call.state = stages.CONFIRMED
        self.answered += 1
        if caller.websocket or callee.websocket:
            self._enter_flows(call)
        self.refreshed(call, response)
        if self._watchers[stages.CONFIRMED]:
            self._tell(stages.CONFIRMED, call)

    def _is_ours(self, record_route: str) -> bool:
        if "sn=" not in record_route:
            return False
        uri = NameAddr.parse(record_route).uri
        return self._core.is_own(uri.host, uri.port)

    def request(self, ctx: Request) -> None:
        """A request inside some dialog passes: note its CSeq; BYE ends the call."""
        request = ctx.request
        from_tag, to_tag, call_id = request.from_.tag, request.to.tag, request.call_id
        call = self._table.between(call_id, from_tag, to_tag)
        if call is None:
            if self.on_unknown is not None:
                self.on_unknown(request.method, call_id, from_tag, to_tag)
            return
        method = request.method
        if method == "BYE":
            self._end(call, stages.COMPLETED, "caller" if from_tag == call.from_tag else "callee")
            return
        if method == "ACK" and not ctx.flow.reliable:
            return
        ends = call.ends
        party = ends.party(from_tag) if ends is not None else None
        if party is None:
            return
        party.used(request.cseq, self._core.renumbering.number((call_id, from_tag, to_tag), request.cseq))
        if ctx.flow.reliable and party.side.flow != ctx.flow.token:
            # The same instance over a new connection: the signed Route let it in.
            self._move(call, party, ctx.flow.token)
        if method in ("INVITE", "UPDATE"):
            if "contact" in request:
                self._refreshed_target(call, party, ctx)
            self.refreshed(call, request)

    def _refreshed_target(self, call: Call, party: Party, ctx: Request) -> None:
        """An end says anew where it is (RFC 3261 §12.2.2)."""
        party.target = NameAddr.parse(ctx.request.values("contact")[0]).uri_text
        near = self._core.near_side(ctx)
        self._table.leave_flow(call, party)
        party.side = replace(near, key=near.key or party.side.key)
        self._table.enter_flow(call, party)

    def flow_closed(self, flow: Flow) -> None:
        """A connection is gone: its calls have so long to be taken up again."""
        if self.running:
            for call in self._table.flow_gone(flow.token):
                self._later(self._settings.lost_flow_seconds, self._check, call, flow.token)

    def refreshed(self, call: Call, message: SipMessage) -> None:
        """A session refresh: the call counts as lost when the next one doesn't come (RFC 4028 §9)."""
        if call.interval or "session-expires" in message:
            interval = call.timed(message)
            lasting = min(interval + stages.GRACE, self._lifetime) if interval else self._lifetime
            self._table.put_off(call, self._core.clock() + lasting)

    # -- ending

    def end(self, call_id: str, from_tag: str = "", to_tag: str = "", reason: str = BY_OPERATOR, outcome: str = stages.ENDED) -> Calls:
        """End calls: BYE to both ends of one that is up, CANCEL and 487 for one that rings.

        Args:
            from_tag: "" for any call with that Call-ID. to_tag: Alike.
            reason: Value of Reason (RFC 3326). outcome: Of one that is up.

        Returns:
            The calls that it ended.
        """
        found = self.find(call_id, from_tag, to_tag)
        for call in found:
            fork = call.pending
            if fork is not None:
                fork.cancel((("reason", reason),))
            elif call.ends is not None:
                self._hang_up(call, reason, call.parties, outcome)
            else:
                self._end(call, outcome, "server")
        return found

    def _end(self, call: Call, outcome: str, by: str) -> None:
        """It has ended: leave the table, tell who watches."""
        if self._table.remove(call) and not any(other.from_tag == call.from_tag for other in self._table.of(call.call_id)):
            self.access.over.add(call.call_id, call.from_tag, call.answered > 0)
        if call.state is stages.CONFIRMED:
            self.answered -= 1
        if call._ends is not None:
            self._leave_flows(call, call._ends)
        if call.bridged and outcome != stages.COMPLETED:
            # A BYE that passes through gives its ports back itself.
            self._core.media_control.dialog_over(call.media_call, call.call_id, call.node, (call.from_tag, call.to_tag))
        call.pending, call.state = None, stages.TERMINATED
        call.ended = self._core.clock()
        call.outcome, call.ended_by = outcome, by
        self._tell(stages.TERMINATED, call)
        watcher = self._core.tap.on_ended
        if watcher is not None:
            watcher.ended(call)

    def _hang_up(self, call: Call, reason: str, parties: tuple[Party, ...], outcome: str) -> None:
        """BYE to these ends."""
        ends = call.ends
        self._end(call, outcome, "server")
        if ends is not None:
            for party in parties:
                say_bye(self._core, ends, party, reason)

    # -- time

    def _later(self, seconds: float, what: Callable[..., None], *arguments: object) -> None:
        def due() -> None:
            self._timers.discard(timer)
            what(*arguments)

        timer = self._reactor.callLater(seconds, due)
        self._timers.add(timer)

    def _sweep(self) -> None:
        """A session that nobody refreshed is over, and both ends are told (RFC 4028 §10); one without a timer is only forgotten."""
        self._sweeping = self._reactor.callLater(SLOT_SECONDS, self._sweep)
        self._core.renumbering.expire(self._core.clock())
        for call in self._table.lost(self._core.clock()):
            self.lost += 1
            self.log.info("{call_id}: nothing was heard of the call any more", call_id=call.call_id)
            if call.interval:
                self._hang_up(call, UNREFRESHED, call.parties, stages.LOST)
            else:
                self._end(call, stages.LOST, "server")

    def _check(self, call: Call, token: str) -> None:
        """End the calls of those who haven't come back."""
        ends = call.ends
        if ends is None or not self._table.holds(call):
            return
        for party in (ends.caller, ends.callee):
            if party.side.flow != token:
                continue
            flow = self._core.flow_by_key(party.side.key) if party.side.key else None
            if flow is not None:
                self._move(call, party, flow.token)
                continue
            self.lost += 1
            self.log.info("{call_id}: the browser of {who} is gone, the call ends", call_id=call.call_id, who=party.address)
            self._hang_up(call, VANISHED, (ends.other(party),), stages.LOST)
            return

    # -- table

    def _tell(self, kind: str, call: Call) -> None:
        for watcher in self._watchers[kind]:
            try:
                watcher(kind, call)
            except Exception:
                self._core.failed("a watcher of calls", Failure())

    def _enter_flows(self, call: Call) -> None:
        ends = call.ends
        if ends is not None:
            for party in (ends.caller, ends.callee):
                self._table.enter_flow(call, party)

    def _leave_flows(self, call: Call, ends: Ends) -> None:
        for party in (ends.caller, ends.callee):
            self._table.leave_flow(call, party)

    def _move(self, call: Call, party: Party, token: str) -> None:
        self._table.leave_flow(call, party)
        party.side.flow = token
        self._table.enter_flow(call, party)
