"""For tests of the server, of a site's routing script and of plugins: flows in memory, phones that say what you tell
them, virtual time. Public.

::

    world = World()
    alice, bob = world.phone("alice"), world.phone("bob")
    bob.register()
    alice.send("INVITE", "sip:bob@example.test")
    bob.reply(bob.got("INVITE"), 180)
    assert alice.statuses() == [100, 180]

``World(users={"alice": "secret", "bob": "of his own"})`` is a server with everything that one has by default: passwords, presence, defence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sipnode.fakes import (
    FakeFlow,
    FakeFlows,
    FakeHttp,
    FakeListener,
    FakeResolver,
    OpenAuthenticator,
    RecordingMediaRelay,
    listener_of,
)
from sipnode.routing.script import RoutingScript
from sipnode.sip import build, ids
from sipnode.sip.digest import authorization, parse_challenge
from sipnode.sip.message import SipRequest, SipResponse
from sipnode.sip.parser import parse_message
from sipnode.wiring.memory import DOMAIN, SECRET, MemoryServer

__all__ = [
    "DOMAIN",
    "SECRET",
    "Call",
    "FakeFlow",
    "FakeFlows",
    "FakeHttp",
    "FakeListener",
    "FakeResolver",
    "OpenAuthenticator",
    "Phone",
    "RecordingMediaRelay",
    "World",
    "listener_of",
]


_CHALLENGES = {401: ("www-authenticate", "authorization"), 407: ("proxy-authenticate", "proxy-authorization")}


class Phone:
    """One user agent in memory; made by :meth:`World.phone`.

    Attributes:
        flow: How it reaches the server; None of its messages goes anywhere else.
        contact: URI that it gives in Contact.
        aor: URI that it gives in From.
        params: Header parameters of its Contact in REGISTER, such as ``;q=0.5``.
        tag: Its tag in dialogs that it didn't begin.
        cseq: The last number that it used.
        password: With it a challenge to what it sends is answered at once, and not seen in the inbox; "" leaves it there.
        inbox: Requests and responses that arrived and weren't looked at, oldest first.
    """

    def __init__(self, world: World, user: str, flow: FakeFlow, contact: str, domain: str = DOMAIN, tag: str = "") -> None:
        self.world = world
        self.user = user
        self.flow = flow
        self.contact = contact
        self.aor = f"sip:{user}@{domain}"
        self.params = ""
        self.password = ""
        self.tag = tag or f"{user}tag"
        self.cseq = 0

    # -- out

    def send(
        self,
        method: str,
        uri: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        to: str = "",
        from_tag: str = "",
        call_id: str = "",
        cseq: int = 0,
        branch: str = "",
        content_type: str = "application/sdp",
    ) -> SipRequest:
        """Send a request; what isn't given is made up."""
        self.cseq += 1
        host, port = self.flow.remote
        host = f"[{host}]" if ":" in host else host
        sent_by = f"{host}:{port}" if not self.flow.websocket else f"{self.user}.invalid"
        lines = [
            ("via", f"SIP/2.0/{self.flow.transport} {sent_by};branch={branch or ids.MAGIC_COOKIE + 'p' + ids.new_tag()};rport"),
            ("max-forwards", "70"),
            ("from", f"<{self.aor}>;tag={from_tag or ids.new_tag()}"),
            ("to", to or f"<{uri}>"),
            ("call-id", call_id or ids.new_call_id()),
            ("cseq", f"{cseq or self.cseq} {method}"),
            ("contact", f"<{self.contact}>{self.params if method == 'REGISTER' else ''}"),
            *headers,
        ]
        if body:
            lines.append(("content-type", content_type))
        request = build.request(method, uri, lines, body)
        self.world.sink.received(request.to_bytes(), self.flow)
        proof = self._proof(request) if self.password else None
        if proof is None:
            return request
        tag, said = request.from_.tag, (*headers, proof)
        return self.send(method, uri, said, body, to, tag, request.call_id, cseq and cseq + 1, "", content_type)

    def _proof(self, request: SipRequest) -> tuple[str, str] | None:
        """The header that answers the challenge that a request has drawn, None where it has drawn none."""
        if "authorization" in request or "proxy-authorization" in request:
            return None
        for data in self.flow.sent:
            message = parse_message(data)
            if not isinstance(message, SipResponse) or message.status not in _CHALLENGES:
                continue
            if (message.call_id, message.cseq, message.cseq_method) == (request.call_id, request.cseq, request.method):
                self.flow.sent.remove(data)
                if request.method == "INVITE":
                    self.ack(request, message)
                asked, header = _CHALLENGES[message.status]
                offer = parse_challenge(message.get_all(asked)[0])
                return header, authorization(offer, request.method, request.uri, self.user, self.password, ids.new_tag())
        return None

    def send_again(self, request: SipRequest) -> None:
        """A retransmission."""
        self.world.sink.received(request.to_bytes(), self.flow)

    def register(self, expires: int = 300, headers: Iterable[tuple[str, str]] = ()) -> SipResponse:
        """REGISTER; gives the final response, and leaves in the inbox what else has come."""
        self.send("REGISTER", f"sip:{DOMAIN}", (("expires", str(expires)), *headers), to=f"<{self.aor}>")
        for data in self.flow.sent:
            message = parse_message(data)
            if isinstance(message, SipResponse) and message.cseq_method == "REGISTER" and message.cseq == self.cseq:
                self.flow.sent.remove(data)
                return message
        raise AssertionError(f"{self.user} got no response to REGISTER")

    def reply(
        self, request: SipRequest, status: int, body: bytes = b"", tag: str = "", headers: Sequence[tuple[str, str]] = ()
    ) -> SipResponse:
        """Answer a request that arrived."""
        lines = [("contact", f"<{self.contact}>"), *headers]
        lines += [("record-route", value) for value in request.get_all("record-route")]
        if body:
            lines.append(("content-type", "application/sdp"))
        response = build.response_to(request, status, "", tag or self.tag, lines, body)
        self.world.sink.received(response.to_bytes(), self.flow)
        return response

    def within(
        self, method: str, first: SipRequest, answer: SipResponse, mine: bool, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()
    ) -> SipRequest:
        """A request inside the dialog of an INVITE.

        Args:
            first: The INVITE as this phone sent or received it.
            answer: Its 2xx as this phone received or sent it.
            mine: This phone sent the INVITE.
        """
        routes = answer.values("record-route") if mine else first.values("record-route")
        if mine:
            routes = routes[::-1]
        target = (answer if mine else first).values("contact")[0].strip("<>").partition(">")[0]
        local, remote = (answer.get("from"), answer.get("to")) if mine else (answer.get("to"), answer.get("from"))
        cseq = first.cseq if method == "ACK" else 0
        lines = [("route", ", ".join(routes))] if routes else []
        assert local is not None and remote is not None
        return self.send(
            method, target, (*lines, *headers), body, to=remote, from_tag=local.rpartition("tag=")[2], call_id=first.call_id, cseq=cseq
        )

    def ack(self, invite: SipRequest, answer: SipResponse, body: bytes = b"") -> SipRequest:
        """The ACK of a final response: end to end for a 2xx, else hop by hop.

        Args:
            invite: As this phone sent it.
            answer: As it arrived.
        """
        if answer.status < 300:
            return self.within("ACK", invite, answer, True, body)
        ack = build.ack_for(invite, answer)
        self.world.sink.received(ack.to_bytes(), self.flow)
        return ack

    def cancel(self, invite: SipRequest, headers: Iterable[tuple[str, str]] = ()) -> SipRequest:
        """CANCEL an INVITE that this phone sent."""
        cancel = build.cancel_for(invite, headers)
        self.world.sink.received(cancel.to_bytes(), self.flow)
        return cancel

    # -- in

    @property
    def inbox(self) -> list[SipRequest | SipResponse]:
        """Everything that has arrived and wasn't taken out."""
        return [parse_message(data) for data in self.flow.sent]

    def take(self) -> list[SipRequest | SipResponse]:
        """Everything that has arrived, taken out."""
        messages = self.inbox
        self.flow.sent.clear()
        return messages

    def statuses(self) -> list[int]:
        """Statuses of the responses that have arrived; everything is taken out."""
        return [m.status for m in self.take() if isinstance(m, SipResponse)]

    def methods(self) -> list[str]:
        """Methods of the requests that have arrived; everything is taken out."""
        return [m.method for m in self.take() if isinstance(m, SipRequest)]

    def got(self, method: str) -> SipRequest:
        """The next request of a method; whatever came before it is taken out.

        Raises:
            AssertionError: none came.
        """
        while self.flow.sent:
            message = parse_message(self.flow.sent.pop(0))
            if isinstance(message, SipRequest) and message.method == method:
                return message
        raise AssertionError(f"{self.user} got no {method}")

    def response(self, method: str = "", least: int = 200) -> SipResponse:
        """The next response of at least this status; whatever came before it is taken out.

        Raises:
            AssertionError: none came.
        """
        while self.flow.sent:
            message = parse_message(self.flow.sent.pop(0))
            if isinstance(message, SipResponse) and message.status >= least and method in ("", message.cseq_method):
                return message
        raise AssertionError(f"{self.user} got no response to {method or 'anything'}")


class Call(NamedTuple):
    """A call that is up.

    Attributes:
        invite: The INVITE as the caller sent it.
        received: The INVITE as the callee got it.
        answered: The 200 as the callee sent it.
        answer: The 200 as the caller got it.
    """

    caller: Phone
    callee: Phone
    invite: SipRequest
    received: SipRequest
    answered: SipResponse
    answer: SipResponse

    def from_caller(self, method: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> SipRequest:
        """The caller sends a request inside the dialog."""
        return self.caller.within(method, self.invite, self.answer, True, body, headers)

    def from_callee(self, method: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> SipRequest:
        """The callee sends a request inside the dialog."""
        return self.callee.within(method, self.received, self.answered, False, body, headers)


class World(MemoryServer):
    """A whole server in memory, with phones; what it is made with is said at :class:`~sipnode.wiring.memory.MemoryServer`."""

    _number = 0

    def restart(self) -> World:
        """The same server after a ``kill -9``: it has its secret, and nothing else."""
        authenticator, destinations = self._given
        return World(
            self.settings, self.core.media, self._script, self._stages, self.clock, users=self.users, authenticator=authenticator,
            destinations=destinations, presence=self._presence, storage=self._storage, defence=self._defence,
        )  # fmt: skip

    def reload(self, script: type[RoutingScript] | None = None) -> None:
        """Load another script, or the same class anew; raises ConfigError, and changes nothing, where it is at fault."""
        self._loading = script or self._script
        self._script = self.scripts.reload().script

    def at(self, time: str) -> None:
        """Let time pass until the clock on the wall shows ``HH:MM``, as ``local_time`` of a script tells it."""
        now = datetime.fromtimestamp(self.clock.seconds()).astimezone()
        then = now.replace(hour=int(time[:2]), minute=int(time[3:]), second=0, microsecond=0)
        self.clock.advance((then - now).total_seconds() % 86400)

    def phone(self, user: str, transport: str = "UDP", host: str = "", port: int = 5060, contact: str = "", domain: str = DOMAIN) -> Phone:
        """A phone (or a browser, for WS and WSS) with a flow of its own, and the password of its user where the world has :attr:`users`.

        Args:
            host: Source address; "" for one of its own.
            contact: URI; "" for one that names its source, or an ``.invalid`` one for a browser.
            domain: Of its address-of-record.
        """
        self._number += 1
        host = host or f"192.0.2.{10 + self._number}"
        flow = self._flow(transport, host, port)
        if not contact:
            kind = {"TCP": ";transport=tcp", "TLS": ";transport=tls"}.get(transport, "")
            contact = f"sip:{user}@{host}:{port}{kind}" if not flow.websocket else f"sip:x{self._number}@{user}.invalid;transport=ws"
        phone = Phone(self, user, flow, contact, domain, f"{user}tag{self._number}")
        if self.users is not None and domain == DOMAIN:
            phone.password = self.users.get(user, "")
        return phone

    def _flow(self, transport: str, host: str, port: int) -> FakeFlow:
        token = "" if transport == "UDP" else f"f{ids.new_tag()}"
        flow = FakeFlow(transport, (host, port), token=token)
        self.flows.flows.append(flow)
        return flow

    def connect(self, phone: Phone, port: int = 0) -> None:
        """A phone of this world, or of one before a restart, comes with a new connection (over UDP: from the same address).

        Args:
            port: Its new source port; 0 for the same.
        """
        host, old = phone.flow.remote
        phone.world = self
        phone.flow = self._flow(phone.flow.transport, host, port or old)

    def call(self, caller: Phone, callee: Phone, offer: bytes = b"", answer: bytes = b"", headers: Sequence[tuple[str, str]] = ()) -> Call:
        """INVITE, 200, ACK: a call that is up.

        Args:
            callee: Registered.
            offer: SDP of the INVITE.
            answer: SDP of the 200.
        """
        invite = caller.send("INVITE", callee.aor, headers, offer)
        received = callee.got("INVITE")
        answered = callee.reply(received, 200, answer)
        call = Call(caller, callee, invite, received, answered, caller.response("INVITE"))
        caller.ack(invite, call.answer)
        callee.got("ACK")
        return call

    def close(self, phone: Phone, reason: str = "lost") -> None:
        """The connection of a phone goes."""
        phone.flow.closed = True
        self.flows.flows.remove(phone.flow)
        self.sink.closed(phone.flow, reason)

    def advance(self, seconds: float) -> None:
        """Let time pass, in steps that no timer is coarser than."""
        steps = max(1, int(seconds / 0.05))
        self.clock.pump([seconds / steps] * steps)
