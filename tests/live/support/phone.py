"""A small telephone of the tests' own: SIP over UDP with digest, one codec, several calls.

Implements: RFC 3261 §8, §9, §10, §12, §13, §15, §17 as far as a registered phone on a network without loss needs them.
Its messages are made with the package's pure core; its dialogs, routes and sockets are its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import TestCase

from sipnode.sip import build, digest
from sipnode.sip.address import NameAddr
from sipnode.sip.ids import new_branch, new_call_id, new_tag
from sipnode.sip.message import SipRequest, SipResponse
from sipnode.sip.parser import parse_message

from .call import Call

reactor: Any = _reactor
HOST = "127.0.0.1"
_AGAIN = 0.5
_GIVE_UP = 15.0


class _Sent:
    """A request under way: sent again until it is answered."""

    def __init__(self, phone: Phone, request: SipRequest, where: tuple[str, int]) -> None:
        self.request = request
        self.final: Deferred[SipResponse] = Deferred()
        self._phone = phone
        self._where = where
        self._left = int(_GIVE_UP / _AGAIN)
        self._timer: Any = None
        self._send()

    def _send(self) -> None:
        self._left -= 1
        if not self._left:
            self._phone.forget(self)
            self.final.errback(TimeoutError(f"{self._phone.user}: no answer to {self.request.start_line}"))
            return
        self._phone.emit(self.request, self._where)
        self._timer = reactor.callLater(_AGAIN, self._send)

    def stop(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


class Phone(DatagramProtocol):
    """One account on one UDP port of loopback.

    Attributes:
        reaction: To a call that comes in: "answer", "ring" (and wait for :meth:`Call.answer`), or a status to reject it with.
        calls: Every call so far, the latest last.
        requests: Every request that came.

    Args:
        server: The outbound proxy.
        hz: The tone that it sends in calls.
    """

    def __init__(self, case: TestCase, user: str, password: str, domain: str, server: tuple[str, int], hz: int = 700) -> None:
        self.user = user
        self.password = password
        self.domain = domain
        self.server = server
        self.hz = hz
        self.aor = f"sip:{user}@{domain}"
        self.reaction: str | int = "answer"
        self.calls: list[Call] = []
        self.requests: list[SipRequest] = []
        self._sent: dict[tuple[str, str], _Sent] = {}
        self._answers: dict[tuple[str, str], tuple[SipResponse, tuple[str, int]]] = {}
        self._register_id, self._register_tag, self._register_cseq = new_call_id(), new_tag(), 0
        self._listen(HOST)
        case.addCleanup(self.close)

    def _listen(self, host: str) -> None:
        self.host = host
        self._wire = reactor.listenUDP(0, self, interface=host)
        self.port: int = self._wire.getHost().port
        self.contact = f"sip:{self.user}@{host}:{self.port}"

    # -- what a test does

    async def register(self, expires: int | None = 300) -> SipResponse:
        """REGISTER; with None ask only which bindings there are."""
        headers = [] if expires is None else [("contact", f"<{self.contact}>"), ("expires", str(expires))]
        head = (f"<{self.aor}>", f"<{self.aor}>;tag={self._register_tag}", self._register_id)
        self._register_cseq += 2
        return await self.exchange("REGISTER", f"sip:{self.domain}", head, self._register_cseq, headers=headers)

    async def bindings(self) -> list[str]:
        """The contact URIs that the registrar holds for the user."""
        response = await self.register(None)
        if response.status != 200:
            raise AssertionError(f"{self.user} asks for its bindings and gets {response.start_line}")
        return [NameAddr.parse(value).uri_text for value in response.values("contact")]

    async def move(self, host: str) -> None:
        """To another address of loopback, with SIP and sound: it signs in from there, and offers anew in each call that is up."""
        await self._wire.stopListening()
        self._listen(host)
        calls = [call for call in self.calls if call.state == "up"]
        for call in calls:
            await call.sound.move(host)
        await self.register()
        for call in calls:
            await call.reinvite()

    def dial(self, uri: str) -> Call:
        """Call; see :attr:`Call.outcome`."""
        call = Call(self, new_call_id(), f"<{self.aor}>;tag={new_tag()}", f"<{uri}>", uri)
        self.calls.append(call)
        call.outcome = ensureDeferred(call.dial())
        return call

    async def close(self) -> None:
        """End all without a word to anybody."""
        for sent in list(self._sent.values()):
            self.forget(sent)
        for call in self.calls:
            await call.close()
        await self._wire.stopListening()

    # -- requests that we send

    def request(
        self,
        method: str,
        uri: str,
        head: tuple[str, str, str],
        cseq: int,
        routes: Sequence[str] = (),
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> SipRequest:
        """A request of ours; ``head`` is To, From and Call-ID."""
        lines = [("via", f"SIP/2.0/UDP {self.host}:{self.port};rport;branch={new_branch()}"), ("max-forwards", "70")]
        lines += [("route", route) for route in routes]
        lines += [("to", head[0]), ("from", head[1]), ("call-id", head[2]), ("cseq", f"{cseq} {method}")]
        return build.request(method, uri, [*lines, *headers], body)

    async def exchange(self, method: str, uri: str, head: tuple[str, str, str], cseq: int, **parts: Any) -> SipResponse:
        """Send one and wait for its final response; a challenge is answered once, with the next CSeq."""
        request = self.request(method, uri, head, cseq, **parts)
        response = await self.send(request)
        if response.status not in (401, 407):
            return response
        name = "www-authenticate" if response.status == 401 else "proxy-authenticate"
        offer = digest.parse_challenge(response.get_all(name)[0])
        proof = digest.authorization(offer, method, uri, self.user, self.password, secrets.token_hex(8))
        answer = (name.replace("www-authenticate", "authorization").replace("proxy-authenticate", "proxy-authorization"), proof)
        parts["headers"] = [*parts.get("headers", ()), answer]
        return await self.send(self.request(method, uri, head, cseq + 1, **parts))

    def send(self, request: SipRequest) -> Deferred[SipResponse]:
        """Send it and wait for the final response."""
        sent = _Sent(self, request, self.next_hop(request))
        self._sent[request.via.branch, request.method] = sent
        return sent.final

    def next_hop(self, request: SipRequest) -> tuple[str, int]:
        """The first Route, or the outbound proxy."""
        routes = request.values("route")
        if not routes:
            return self.server
        uri = NameAddr.parse(routes[0]).uri
        return uri.host, uri.port or 5060

    def emit(self, message: SipRequest | SipResponse, where: tuple[str, int]) -> None:
        """Out with it."""
        self.transport.write(message.to_bytes(), where)

    def forget(self, sent: _Sent) -> None:
        """It is over."""
        sent.stop()
        self._sent.pop((sent.request.via.branch, sent.request.method), None)

    # -- what comes in

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        if not datagram.strip(b"\r\n\0"):
            return
        message = parse_message(datagram)
        if isinstance(message, SipResponse):
            self._responded(message)
        else:
            self._requested(message, addr)

    def _responded(self, response: SipResponse) -> None:
        key = (response.via.branch, response.cseq_method)
        sent = self._sent.get(key)
        if response.status < 200:
            if sent is not None and sent.request.method == "INVITE":
                sent.stop()
                for call in self.calls:
                    if call.call_id == response.call_id:
                        call.progress(response, sent.request)
            return
        if sent is None:
            for call in self.calls:
                if call.call_id == response.call_id and response.cseq_method == "INVITE" and response.status < 300:
                    call.acknowledge_again(response.cseq)
            return
        self.forget(sent)
        if sent.request.method == "INVITE" and response.status >= 300:
            self.emit(build.ack_for(sent.request, response), self.next_hop(sent.request))
        sent.final.callback(response)

    def _requested(self, request: SipRequest, addr: tuple[str, int]) -> None:
        key = (request.via.branch, request.method)
        if key in self._answers:
            self.emit(*self._answers[key])
            return
        self.requests.append(request)
        call = next((call for call in self.calls if call.call_id == request.call_id and call.knows(request)), None)
        if call is not None:
            call.requested(request, addr)
        elif request.method == "INVITE" and not request.to.tag:
            call = Call(self, request.call_id, f"{request.get('to')};tag={new_tag()}", request.get("from") or "", "")
            self.calls.append(call)
            call.invited(request, addr)
        elif request.method != "ACK":
            self.reply(request, 200 if request.method in ("OPTIONS", "NOTIFY") else 481, addr)

    def reply(self, request: SipRequest, status: int, addr: tuple[str, int], **parts: Any) -> None:
        """Answer; a final answer is kept for repeats of the request."""
        response = build.response_to(request, status, **parts)
        if status >= 200:
            self._answers[request.via.branch, request.method] = (response, addr)
        self.emit(response, addr)
