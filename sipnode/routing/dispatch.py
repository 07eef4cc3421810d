"""Octets from a flow to the transaction that they belong to, or to the engine: the IMessageSink of the server.

Implements: RFC 3261 §8.2.2 (what isn't SIP), §18.1.2, §18.2.1, §18.3. Nothing that comes makes it raise: a request that
can't be read gets its 4xx or 505, a response or ACK that can't be read is dropped and counted.
"""

from __future__ import annotations

import re
from typing import Final

from twisted.python.failure import Failure

from sipnode.base.flow import Flow, MessageSink, check_flow
from sipnode.base.outbox import REFUSAL, STRAY
from sipnode.errors import FramingError, ParseError
from sipnode.nat import keep
from sipnode.nat.rules import answered_at
from sipnode.proxy.forward import returned_response
from sipnode.records import Hop
from sipnode.routing.core import Core
from sipnode.sip import build
from sipnode.sip.message import SipMessage, SipRequest, SipResponse
from sipnode.sip.methods import OTHER
from sipnode.sip.parser import BrokenMessage, Limits, parse_message
from sipnode.transaction.keys import server_key


class Dispatcher(MessageSink):
    """The receiver of every transport's messages.

    Args:
        core: The services.
        limits: Bounds of a message.

    Attributes:
        limits: Those in force.
    """

    def __init__(self, core: Core, limits: Limits) -> None:
        self._core = core
        self.limits = limits
        self._absorb = core.transactions.absorb
        self._clock = core.clock
        self._tap = core.tap
        self._traffic = core.traffic

    def received(self, data: bytes, flow: Flow) -> None:
        """One datagram, one framed stream message or one WebSocket message."""
        check_flow(flow)
        core, tap, now = self._core, self._tap, self._clock()
        try:
            message = parse_message(data, self.limits, flow.websocket)
        except BrokenMessage as error:
            watcher = tap.on_broken_received
            if watcher is not None:
                watcher.broken_received(now, data, flow)
            self._broken(error, flow)
            return
        if isinstance(message, SipRequest):
            counts = self._traffic.requests_in
            counts[message.method if message.method in counts else OTHER] += 1
            watcher = tap.on_request_received
            if watcher is not None:
                watcher.request_received(now, data, message, flow)
            try:
                if not flow.reliable and core.nat_rules is not None:
                    flow = answered_at(core.nat_rules, core.flows, core.transactions, message, flow)
                host, port = flow.remote
                key = server_key(message, host)
                message.stamp_via(host, port)
                if ";keep" in message.via.param_text or not message.via.plain:
                    self._keep(message)
            except ParseError as fault:
                core.misbehaved(flow)
                self._refuse(message, fault, flow)
                return
            if not self._absorb(key, message, flow, now):
                watcher = tap.on_begun
                if watcher is not None:
                    watcher.begun(now, message, flow)
                if flow.transport == "TLS" and "alias" in message.via.params:
                    core.flows.alias(flow, message.via.port)
                core.engine.begin(core, message, flow, key, now)
        else:
            watcher = tap.on_response_received
            if watcher is not None:
                watcher.response_received(now, data, message, flow)
            self._response(message, flow, now)

    def _keep(self, request: SipRequest) -> None:
        """Say how often to send keepalives, where the sender asks for it."""
        seconds = self._core.settings.nat.keep_seconds
        if seconds and request.method in keep.METHODS and keep.asked(request.via):
            position = request.index()["via"]
            request.lines[position] = keep.with_value(request.lines[position], seconds)

    def _response(self, response: SipResponse, flow: Flow, now: float) -> None:
        core = self._core
        try:
            if core.script.onreply_route(response, flow) is False:
                core.counters["dropped_responses"] += 1
                return
        except Exception:
            core.failed("onreply_route", Failure())
        try:
            method, traffic = response.cseq_method, self._traffic
            traffic.responses_in[method if method in traffic.requests_in else OTHER, response.status] += 1
            if core.transactions.response_received(response, flow, now):
                return
            if core.ping_answered(response, flow):
                return
            if response.status // 100 == 2 and method == "INVITE":
                self._stray(response, now)
        except ParseError:
            core.counters["broken_responses"] += 1
        except Exception:
            core.failed("response", Failure())

    def _stray(self, response: SipResponse, now: float) -> None:
        """A 2xx to an INVITE whose transaction is gone goes back by its Via: without it the callee would repeat it until
        it gives up the call (RFC 6026 §7.2 leaves it to the proxy). Our own Via says where the INVITE came from, so that nobody
        has us send anything to another address.
        """
        core = self._core
        via = response.via
        core.counters["stray_responses"] += 1
        back = returned_response(response) if core.is_own(via.host, via.port) else response
        if back is response or "via" not in back:
            return
        before = back.via
        host, port = before.came_from
        if not core.via_seal.holds(via, response.call_id, before.transport, host, port, now):
            core.counters["unproved_responses"] += 1
            return
        if before.transport == "UDP":
            flow = core.flows.udp(Hop("UDP", host, port))
        else:
            flow = core.flows.by_address(before.transport, host, port)
        if flow is not None:
            core.outbox.send(now, back.to_bytes(), flow, STRAY, "INVITE", response.status)

    def _broken(self, error: BrokenMessage, flow: Flow) -> None:
        core = self._core
        core.misbehaved(flow)
        message = error.message
        if isinstance(message, SipRequest):
            self._refuse(message, error, flow)
        else:
            core.counters["broken_messages"] += 1
        if flow.reliable and not flow.websocket and error.reason == "message too large":
            # Where each message has a frame of its own (RFC 7118 §5) a fault in one is no fault of the next.
            flow.close("protocol error")

    def _refuse(self, request: SipRequest, error: ParseError, flow: Flow) -> None:
        """Answer a request that can't be read, as far as its own headers say how (RFC 3261 §8.2.6); an ACK gets nothing."""
        core = self._core
        core.counters["broken_requests"] += 1
        if request.method == "ACK" or "via" not in request:
            return
        if not _answerable(request):
            return
        reason = "" if error.status != 400 else f"Bad Request - {_printable(error.reason)}"
        try:
            request.stamp_via(*flow.remote)
        except ParseError:
            pass
        response = build.response_to(request, error.status, reason, f"{hash(request.get('via')) & 0xFFFFFFFF:x}")
        # Octets that no header may have must not go out in one: some would read a bare CR or LF as the end of a line.
        response.lines = [line if line.isprintable() else _CONTROLS.sub("?", " ".join(line.split())) for line in response.lines]
        core.outbox.send(self._clock(), response.to_bytes(), flow, REFUSAL, request.method, error.status)

    def broken(self, data: bytes, flow: Flow, error: Exception) -> None:
        """A stream lost its frame: answer what can be answered; the transport closes."""
        status = error.status if isinstance(error, FramingError) else 400
        reason = error.reason if isinstance(error, FramingError) else "lost framing"
        watcher = self._tap.on_broken_received
        if watcher is not None:
            watcher.broken_received(self._clock(), data, flow)
        try:
            message: SipMessage | None = parse_message(data, self.limits)
        except BrokenMessage as fault:
            message = fault.message
        if isinstance(message, SipRequest):
            self._refuse(message, ParseError(reason, status), flow)
        else:
            self._core.counters["broken_messages"] += 1

    def opened(self, flow: Flow) -> None:
        """A connection is usable."""
        check_flow(flow)

    def closed(self, flow: Flow, reason: str) -> None:
        """A connection is gone: its transactions have failed, its bindings are dead, its calls may be."""
        core = self._core
        watcher = self._tap.on_closed
        if watcher is not None:
            watcher.closed(self._clock(), flow, reason)
        users = [binding.aor for binding in core.registrar.table.on_flow(flow.token)]
        core.lost_flows.closed(flow, users, self._clock(), reason)
        if flow.websocket:
            flow.vars["reason"] = reason
            flow.vars["users"] = users
        for told in (core.cancel_calls, self._end_transactions, core.registrar.flow_closed, core.dialogs.flow_closed):
            try:
                told(flow)
            except Exception:
                core.failed("flow closed", Failure())
        if flow.websocket:
            try:
                core.script.websocket_closed(flow)
            except Exception:
                core.failed("websocket_closed", Failure())

    def _end_transactions(self, flow: Flow) -> None:
        self._core.transactions.flow_closed(flow, self._clock())


def _answerable(request: SipRequest) -> bool:
    """A Via that names no transport at all is no Via: there's nobody to answer."""
    value = request.get("via") or ""
    return value[:3].upper() == "SIP"


_CONTROLS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def _printable(text: str) -> str:
    return "".join(c if " " <= c < "\x7f" else "?" for c in text)[:80]
