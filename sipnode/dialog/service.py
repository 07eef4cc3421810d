"""Ends calls whose browser has vanished.

A browser tab that is closed sends no BYE; its socket just goes. Calls with a WebSocket end are remembered from their 2xx to
their BYE; when the connection of one end is gone and the same instance doesn't come back within
``dialog.lost_flow_seconds``, the other end gets BYE and the media relay gives the ports back.

The invariant: a call stands in the table exactly while both ends believe in it; nothing is kept for calls between phones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from sipnode.dialog.call import Call, Party, call_of, new_via
from sipnode.errors import ParseError
from sipnode.records import Hop, MediaKey
from sipnode.sip.address import NameAddr
from sipnode.sip.uri import SipUri

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from sipnode.settings import DialogSettings
    from sipnode.sip.message import SipResponse


class DialogService(Service):
    """The calls that have a browser on an end.

    Args:
        settings: ``[dialog]``.
        reactor: Clock and delayed calls.
        core: What :class:`sipnode.proxy.ports.ProxyCore` says, and ``media``, ``near_side``.
    """

    name = "dialogs"
    log = Logger(namespace="sipnode.dialog")

    def __init__(self, settings: DialogSettings, reactor: Any, core: Any) -> None:
        self._settings = settings
        self._reactor = reactor
        self._core = core
        self._calls: dict[tuple[str, str, str], Call] = {}
        self._by_flow: dict[str, set[tuple[str, str, str]]] = {}
        self._timers: set[IDelayedCall] = set()

    def __len__(self) -> int:
        return len(self._calls)

    def calls(self) -> list[Call]:
        """All of them."""
        return list(self._calls.values())

    def stopService(self) -> Any:
        """Stop waiting for anybody."""
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        self._timers.clear()
        return super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated

    # -- what the proxy sees

    def established(self, ctx: Any, branch: Any, response: SipResponse) -> None:
        """A 2xx to an INVITE went to the caller."""
        if ctx.route is not None or not (ctx.flow.websocket or branch.flow.websocket):
            return
        caller = self._core.near_side(ctx)
        callee = branch.callee_side()
        media = branch.media
        try:
            call = call_of(
                ctx.request, response, caller, callee, self._is_ours, media is not None, media.node if media is not None else "", ctx.now
            )
        except ParseError:
            return
        if call is None or call.key in self._calls:
            return
        self._calls[call.key] = call
        for party in (call.caller, call.callee):
            self._index(call, party)

    def _is_ours(self, record_route: str) -> bool:
        if "sn=" not in record_route:
            return False
        uri = NameAddr.parse(record_route).uri
        own: bool = self._core.is_own(uri.host, uri.port)
        return own

    def request(self, ctx: Any) -> None:
        """A request inside some dialog passes: note its CSeq; BYE ends the call."""
        if not self._calls:
            return
        request = ctx.request
        from_tag, to_tag, call_id = request.from_.tag, request.to.tag, request.call_id
        call = self._calls.get((call_id, from_tag, to_tag)) or self._calls.get((call_id, to_tag, from_tag))
        if call is None:
            return
        if request.method == "BYE":
            self._forget(call)
            return
        party = call.party(from_tag)
        if party is None:
            return
        party.cseq = max(party.cseq, request.cseq)
        if ctx.flow.reliable and party.side.flow != ctx.flow.token:
            # The same instance over a new connection: the signed Route let it in.
            self._move(call, party, ctx.flow.token)

    def flow_closed(self, flow: Any) -> None:
        """A connection is gone: its calls have so long to be taken up again."""
        keys = self._by_flow.pop(flow.token, None)
        if not keys or not self.running:
            return
        for key in keys:
            call = self._calls.get(key)
            if call is not None:
                self._later(self._settings.lost_flow_seconds, call, flow.token)

    # -- ending

    def _later(self, seconds: float, call: Call, token: str) -> None:
        def check() -> None:
            self._timers.discard(timer)
            self._check(call, token)

        timer = self._reactor.callLater(seconds, check)
        self._timers.add(timer)

    def _check(self, call: Call, token: str) -> None:
        """Who hasn't come back has left."""
        if self._calls.get(call.key) is not call:
            return
        for party in (call.caller, call.callee):
            if party.side.flow != token:
                continue
            flow = self._core.flow_by_key(party.side.key) if party.side.key else None
            if flow is not None:
                self._move(call, party, flow.token)
                continue
            self.log.info("{call_id}: the browser of {who} is gone, the call ends", call_id=call.call_id, who=party.address)
            self.end(call, 'SIP;cause=480;text="Connection lost"', (call.other(party),))
            return

    def end(self, call: Call, reason: str, parties: tuple[Party, ...]) -> None:
        """End a call: BYE to these ends, ports back.

        Args:
            reason: Value of the Reason header (RFC 3326).
        """
        self._forget(call)
        for party in parties:
            flow = self._flow_to(party)
            if isinstance(flow, Deferred):
                flow.addCallback(self._bye, call, party, reason)
                flow.addErrback(self._unreached, call, party)
            elif flow is not None:
                self._bye(flow, call, party, reason)
        if call.bridged:
            self._core.media.delete(MediaKey(call.call_id, call.caller.tag, call.callee.tag, "", call.node))

    def _bye(self, flow: Any, call: Call, party: Party, reason: str) -> None:
        core = self._core
        branch, via = new_via(flow)
        bye = call.bye_to(party, via, reason)
        if core.trace is not None:
            core.trace.sent(bye.to_bytes(), flow)
        core.transactions.send_request(bye, branch, flow, None, core.clock())

    def _unreached(self, failure: Failure, call: Call, party: Party) -> None:
        error = failure.getErrorMessage()
        self.log.info("{call_id}: no BYE reaches {who}: {reason}", call_id=call.call_id, who=party.address, reason=error)

    def _flow_to(self, party: Party) -> Any:
        """The flow that reaches an end, a Deferred of it, or None."""
        side, core = party.side, self._core
        if side.flow:
            flow = core.flows.by_token(side.flow) or (core.flow_by_key(side.key) if side.key else None)
            if flow is not None or side.websocket:
                return flow
        if side.host:
            return core.flows.udp(Hop("UDP", side.host, side.port))
        try:
            uri = NameAddr.parse(party.routes[0]).uri if party.routes else SipUri.parse(party.target)
        except ParseError:
            return None
        transport = uri.params.get("transport", "").upper()
        if transport in ("WS", "WSS") or not uri.host or uri.host.endswith(".invalid"):
            return None
        hops = core.resolver.numeric(uri.host, uri.port, transport, uri.secure)
        if hops and hops[0].transport == "UDP":
            return core.flows.udp(hops[0])
        resolving: Deferred[Any] = succeed(hops) if hops else core.resolver.resolve(uri.host, uri.port, transport, uri.secure)
        return resolving.addCallback(lambda found: core.flows.connect(found[0]))

    # -- table

    def _index(self, call: Call, party: Party) -> None:
        # A phone may close its connection and open another as it likes; a browser's is all that there is of it.
        if party.side.websocket and party.side.flow:
            self._by_flow.setdefault(party.side.flow, set()).add(call.key)

    def _unindex(self, call: Call, party: Party) -> None:
        keys = self._by_flow.get(party.side.flow)
        if keys is not None:
            keys.discard(call.key)
            if not keys:
                del self._by_flow[party.side.flow]

    def _move(self, call: Call, party: Party, token: str) -> None:
        self._unindex(call, party)
        party.side.flow = token
        self._index(call, party)

    def _forget(self, call: Call) -> None:
        self._calls.pop(call.key, None)
        for party in (call.caller, call.callee):
            self._unindex(call, party)
