"""SIP over WebSocket, server side, on autobahn.

Implements: RFC 7118 §4-6 (sub-protocol sip, one message a frame, keepalive), RFC 6455 §5-7. autobahn reads frames;
what is written goes out as one frame made here, through the bounded way of every connection. Invariant: text frames
that reach the sink are valid UTF-8, and a connection that doesn't answer two pings is gone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.protocol import TrafficStats

from sipnode.errors import FlowClosed
from sipnode.transport.connection import ConnectionFlow, Hub
from sipnode.transport.frames import BINARY, PONG, TEXT, frame, is_text, whole_message
from sipnode.transport.stream import plain_reason, set_no_delay

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from sipnode.base.flow import Listener
    from sipnode.transport.admission import Ticket

SUBPROTOCOL: Final = "sip"
_PING: Final = b"\x89\x00"
# Missed pings that end a connection (checklist §7).
_MISSES: Final = 2

# Meanings of the codes of RFC 6455 §7.4.1 for a person who reads why a phone is gone.
_CODES: Final = {
    1000: "closed",
    1001: "page left",
    1002: "protocol error",
    1005: "closed without a code",
    1006: "connection lost",
    1007: "invalid text",
    1008: "policy",
    1009: "message too big",
}


class WebSocketFlow(ConnectionFlow):
    """One WebSocket.

    Attributes:
        binary: Whether the peer's last message was binary; it is answered in kind.
    """

    __slots__ = ("_misses", "_next_ping", "_pinged", "_protocol", "binary")

    def __init__(self, hub: Hub, protocol: SipWebSocket, listener: Listener, ticket: Ticket | None) -> None:
        ConnectionFlow.__init__(self, hub, protocol.transport, listener.transport, listener, ticket, protocol.client)
        self._protocol = protocol
        self.binary = False
        self._misses = 0
        self._pinged = 0.0
        self._next_ping = self.last + hub.transport.ping_interval

    def send(self, data: bytes) -> None:
        """Queue one message as one frame; text unless the peer speaks binary or the octets are no text.

        Raises:
            FlowClosed: the connection is gone.
        """
        binary = self.binary or not (data.isascii() or is_text(data))
        self.write(frame(BINARY if binary else TEXT, data))

    def close(self, reason: str) -> None:
        """Say goodbye with a close frame; a reason that begins with a code of RFC 6455 §7.4.1 sends that code, else 1001."""
        if not self.closed:
            code, text = _split_code(reason)
            self.give_up(reason)
            self._protocol.sendCloseFrame(code, text.encode()[:120], False)

    def alive(self, now: float) -> float:
        """Ping each ``ping_interval``; two that no octet follows end the connection."""
        if now >= self._next_ping:
            self._misses = self._misses + 1 if self._pinged and self.last < self._pinged else 0
            if self._misses >= _MISSES:
                self.abort("ping timeout")
                return 0.0
            self._pinged = now
            self._next_ping = now + self._hub.transport.ping_interval
            self.write(_PING)
        return self._next_ping - now

    def ended(self) -> None:
        """Let go of the protocol, which holds this flow."""
        del self._protocol


_NEEDLESS: Final = (
    "http_headers",
    "http_request_data",
    "http_response_data",
    "http_status_line",
    "http_request_params",
    "_wskey",
    "send_queue",
    "trafficStats",
    "utf8validator",
)


class SipWebSocket(WebSocketServerProtocol):
    """One connection; autobahn calls, the methods hand on.

    Options that are the same for every connection are class attributes, so that 10,000 connections don't carry a copy each.
    """

    # autobahn would copy these from the factory, and print the list of them for each connection, even for a log that is off.
    CONFIG_ATTRS: Any = ()
    logOctets = logFrames = trackTimings = False
    utf8validateIncoming = False
    requireMaskedClientFrames = applyMask = True
    maskServerFrames = False
    autoFragmentSize = 0
    # A fault is told by a close frame (1002, 1007, 1009) before the connection goes.
    failByDrop = False
    echoCloseCodeReason = False
    # The handshake is whole when we get it, and closing and pings are timed by the wheel.
    openHandshakeTimeout = closeHandshakeTimeout = 0
    autoPingInterval = autoPingTimeout = 0
    autoPingSize = 12
    autoPingRestartOnAnyTraffic = True
    tcpNoDelay = True
    versions = (13,)
    webStatus = serveFlashSocketPolicy = False
    flashSocketPolicy = ""
    # Origin and Host are judged before (http.py).
    allowedOrigins = ("*",)
    allowedOriginsPatterns = (re.compile(".*"),)
    allowNullOrigin = True
    maxConnections = trustXForwardedFor = 0

    # One for all, in the place of what is forgotten when the handshake is done: nobody reads these counters.
    trafficStats: Any = TrafficStats()
    send_queue: Any = ()

    transport: Any
    current_frame: Any
    maxMessagePayloadSize: int
    _transport_details: Any
    flow: WebSocketFlow | None = None
    hub: Hub
    listener: Listener
    ticket: Ticket | None = None
    # The client behind the proxy that brought it, "" for nobody else than the peer.
    client = ""
    # Whether the frame under way may be answered, and whether anything is still listened to.
    _paid = True
    _deaf = False

    @staticmethod
    def perMessageCompressionAccept(_offers: object) -> None:
        """No compression: SIP over TLS with secrets in it, and memory for each connection."""

    def connectionMade(self) -> None:
        self._transport_details = None
        self.peer = str(self.transport.getPeer().host)
        set_no_delay(self.transport)
        self._connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """One whole message in one frame, as nearly all are, goes the short way; everything else is autobahn's."""
        flow = self.flow
        if self._deaf:
            return
        if flow is not None and not flow.closed and self.current_frame is None and not self.data and not self.inside_message:
            payload = whole_message(data, self.maxMessagePayloadSize)
            if payload:
                self._message(payload, data[0] == BINARY, flow)
                return
        self._dataReceived(data)

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]  # always given
        self._lost_reason = plain_reason(reason)
        self._connectionLost(reason)  # type: ignore[arg-type]  # autobahn's annotation says str and means Failure
        # Its result is this very protocol: without that, all of it is freed at once.
        del self.is_closed

    def onConnect(self, request: Any) -> str:
        return SUBPROTOCOL

    def _onOpen(self) -> None:
        self._forget_handshake()
        self.flow = WebSocketFlow(self.hub, self, self.listener, self.ticket)
        self.flow.open()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self.flow is not None and not self.flow.closed:
            self._message(payload, isBinary, self.flow)

    def onFrameBegin(self) -> None:
        """Each frame that isn't a whole message costs what a message costs: pings, pongs and pieces of messages."""
        flow = self.flow
        if flow is not None and not flow.closed:
            self._paid = flow.spend(1.0, "frames")
            if not self._paid and self._gone():
                # Of what has come already nothing more is looked at.
                self._deaf = True
                self.data = b""
                self.transport.pauseProducing()
        super().onFrameBegin()

    def _gone(self) -> bool:
        return self.flow is not None and self.flow.closed

    def onPing(self, payload: bytes) -> None:
        self._heard(frame(PONG, payload) if self._paid else b"")

    def onPong(self, payload: bytes) -> None:
        self._heard(b"")

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> Any:
        self._going(code, reasonRaw)
        return super().onCloseFrame(code, reasonRaw)  # type: ignore[arg-type]  # autobahn gives None as well

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        flow, self.flow = self.flow, None
        if flow is not None:
            flow.lost(f"1006 {self._lost_reason}")
            flow.ended()
        elif self.ticket is not None:
            self.ticket.release()

    def _fail_connection(self, code: int = 1001, reason: str = "going away") -> None:
        if self.flow is not None and not self.flow.closed:
            self.flow.give_up(f"{code} {reason}")
        super()._fail_connection(code, reason)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        self.transport.write(data)

    def _message(self, payload: bytes, binary: bool, flow: WebSocketFlow) -> None:
        flow.last = self.hub.wheel.seconds()
        if not binary and not payload.isascii() and not is_text(payload):
            self._invalid_payload("text that is not UTF-8")
            return
        flow.binary = binary
        if payload[:1] < b"!":
            payload, ping = payload.lstrip(b"\r\n"), payload
            if not payload:
                paid = flow.spend(1.0, "keepalives")
                if paid and ping[:4] == b"\r\n\r\n":
                    self._heard(frame(BINARY if binary else TEXT, b"\r\n"))
                return
        if flow.silent:
            flow.said()
        self.hub.sink.received(payload, flow)

    def _heard(self, answer: bytes) -> None:
        """Octets came that are no message; ``answer`` goes back where there is one."""
        flow = self.flow
        if flow is None or flow.closed:
            return
        flow.last = self.hub.wheel.seconds()
        if answer:
            try:
                flow.write(answer)
            except FlowClosed:
                return

    def _going(self, code: int | None, reason: bytes | None) -> None:
        """The peer said goodbye: nothing can be sent any more, though the wire still stands."""
        if self.flow is not None and not self.flow.closed:
            number = 1005 if code is None else code
            words = (reason or b"").decode("utf-8", "replace").strip()
            self.flow.give_up(f"{number} {words or _CODES.get(number, 'closed')}")

    def _forget_handshake(self) -> None:
        """An open connection needs none of the handshake, nor what autobahn has for options that are off; ten thousand of them
        are 100 MiB of header text, and 10 more.
        """
        for name in _NEEDLESS:
            self.__dict__.pop(name, None)


class _Silent:
    """autobahn's logger, off: a hostile peer must not fill the log."""

    def _nothing(self, *_args: object, **_kwargs: object) -> None:
        """Say nothing."""

    trace = debug = info = warn = error = failure = critical = _nothing


SipWebSocket.log = _Silent()


def websocket_factory(hub: Hub, listener: Listener, reactor: Any) -> WebSocketServerFactory:
    """The autobahn factory of one WebSocket listener."""
    limit = hub.limits.message_bytes
    attributes = {"hub": hub, "listener": listener, "maxMessagePayloadSize": limit, "maxFramePayloadSize": limit}
    factory = WebSocketServerFactory(protocols=[SUBPROTOCOL], server="", reactor=reactor)
    factory.noisy = False
    configured: Any = type("SipWebSocket", (SipWebSocket,), attributes)
    factory.protocol = configured
    return factory


def _split_code(reason: str) -> tuple[int, str]:
    """``'1008 policy'`` to ``(1008, 'policy')``; 1001 where no code is given."""
    first, _, rest = reason.partition(" ")
    if len(first) == 4 and first.isdigit() and first[0] == "1":
        return int(first), rest
    return 1001, reason
