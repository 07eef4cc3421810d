"""A call of the tests' telephone: its dialog, its SDP, its sound."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from sipnode.sip import build
from sipnode.sip.address import NameAddr
from sipnode.sip.message import SipRequest, SipResponse

from .sound import SILENCE, Heard, Sound
from .waiting import until

if TYPE_CHECKING:
    from .phone import Phone

_MEDIA = re.compile(rb"^m=audio (\d+) ", re.M)
_OTHERS = re.compile(rb"^m=(?!audio)(\S+) \d+ (\S+) (\S+)", re.M)
_ADDRESS = re.compile(rb"^c=IN IP4 (\S+)", re.M)
_DIRECTION = re.compile(rb"^a=(sendrecv|sendonly|recvonly|inactive)\s*$", re.M)
_OPPOSITE = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


def media_of(sdp: bytes) -> tuple[str, int]:
    """Address and port of the audio."""
    address, port = _ADDRESS.search(sdp), _MEDIA.search(sdp)
    if address is None or port is None:
        raise AssertionError(f"no audio in {sdp!r}")
    return address.group(1).decode(), int(port.group(1))


def direction_of(sdp: bytes) -> str:
    """The direction of the audio."""
    found = _DIRECTION.search(sdp)
    return found.group(1).decode() if found else "sendrecv"


class Call:
    """One dialog.

    Attributes:
        state: "new", "ringing", "up" or "ended".
        why: How it ended: "BYE", "CANCEL", "us", or the status as text.
        outcome: Of a call that we made: the final response.
        acked: Of a call that came in: whether its ACK has come.
        remote_sdp: The other side's latest SDP, as the server gave it to us.
        heard_direction: What it says about the direction.
    """

    def __init__(self, phone: Phone, call_id: str, local: str, remote: str, target: str) -> None:
        self.phone = phone
        self.call_id = call_id
        self.local = local
        self.remote = remote
        self.target = target
        self.routes: list[str] = []
        self.cseq = 1
        self.state = "new"
        self.why = ""
        self.outcome: Deferred[SipResponse] = Deferred()
        self.acked = False
        self.remote_sdp = b""
        self.heard_direction = "sendrecv"
        self.sound = Sound(phone.hz)
        self._invite: tuple[SipRequest, tuple[str, int]] | None = None
        self._ours: SipRequest | None = None
        self._acks: dict[int, SipRequest] = {}
        self._version = 0

    # -- a call that we make

    async def dial(self) -> SipResponse:
        """INVITE until its final response; ACK if it is a good one."""
        head = (self.remote, self.local, self.call_id)
        contact = ("contact", f"<{self.phone.contact}>")
        response = await self.phone.exchange("INVITE", self.target, head, self.cseq, headers=[contact, _SDP], body=self._sdp("sendrecv"))
        self.cseq = response.cseq
        if response.status >= 300:
            self._end(str(response.status))
            return response
        self.remote = response.get("to") or ""
        self.routes = list(reversed(response.values("record-route")))
        self._agreed(response)
        self.state = "up"
        return response

    def progress(self, response: SipResponse, invite: SipRequest) -> None:
        """A provisional response."""
        self._ours = invite
        if response.status > 100 and self.state == "new":
            self.state = "ringing"

    async def cancel(self) -> SipResponse:
        """Give up before it is answered; the outcome of the call follows."""
        assert self._ours is not None
        return await self.phone.send(build.cancel_for(self._ours))

    # -- a call that comes in

    def invited(self, request: SipRequest, addr: tuple[str, int]) -> None:
        """Do what the phone is set to."""
        self._invite = (request, addr)
        self.target = NameAddr.parse(request.values("contact")[0]).uri_text
        self.routes = request.values("record-route")
        self._hear(request.body)
        self.state = "ringing"
        if isinstance(self.phone.reaction, int):
            self.reject(self.phone.reaction)
            return
        self._reply(180)
        if self.phone.reaction == "answer":
            self.answer()

    def answer(self) -> None:
        """200 with our SDP, and sound."""
        self._reply(200, body=self._sdp("sendrecv") + self._refused(), headers=[_SDP])
        self.state = "up"
        self.sound.start(*media_of(self.remote_sdp))

    def reject(self, status: int) -> None:
        """Any other final response."""
        self._reply(status)
        self._end(str(status))

    def _reply(self, status: int, headers: Any = (), **parts: Any) -> None:
        assert self._invite is not None
        request, addr = self._invite
        dialog = [("contact", f"<{self.phone.contact}>"), *(("record-route", route) for route in request.values("record-route"))]
        tag = NameAddr.parse(self.local).tag
        self.phone.reply(request, status, addr, to_tag=tag, headers=[*dialog, *headers] if status < 300 else list(headers), **parts)

    # -- within the dialog

    async def request(self, method: str, body: bytes = b"") -> SipResponse:
        """Send a request and wait for its final response; an INVITE gets its ACK."""
        self.cseq += 1
        headers = [("contact", f"<{self.phone.contact}>")] + ([_SDP] if body else [])
        parts: dict[str, Any] = {"routes": self.routes, "headers": headers, "body": body}
        response = await self.phone.exchange(method, self.target, (self.remote, self.local, self.call_id), self.cseq, **parts)
        self.cseq = response.cseq
        if method == "INVITE" and response.status < 300:
            self._agreed(response)
        return response

    async def reinvite(self, direction: str = "sendrecv") -> SipResponse:
        """Offer again."""
        return await self.request("INVITE", self._sdp(direction))

    async def hang_up(self) -> SipResponse:
        """BYE."""
        response = await self.request("BYE")
        self._end("us")
        return response

    def _agreed(self, response: SipResponse) -> None:
        self.target = NameAddr.parse(response.values("contact")[0]).uri_text
        head = (self.remote, self.local, self.call_id)
        self._acks[response.cseq] = ack = self.phone.request("ACK", self.target, head, response.cseq, self.routes)
        self.phone.emit(ack, self.phone.next_hop(ack))
        self._hear(response.body)
        self.sound.start(*media_of(response.body))

    def acknowledge_again(self, cseq: int) -> None:
        """Its 200 came once more."""
        if cseq in self._acks:
            self.phone.emit(self._acks[cseq], self.phone.next_hop(self._acks[cseq]))

    def knows(self, request: SipRequest) -> bool:
        """Whether the request is one of this dialog (or ends the INVITE that would begin it)."""
        if self._invite is not None and request.method == "CANCEL":
            return request.via.branch == self._invite[0].via.branch
        return request.to.tag == NameAddr.parse(self.local).tag

    def requested(self, request: SipRequest, addr: tuple[str, int]) -> None:
        """Answer a request of the other side."""
        if request.method == "ACK":
            self.acked = True
        elif request.method == "BYE":
            self.phone.reply(request, 200, addr)
            self._end("BYE")
        elif request.method == "CANCEL":
            self.phone.reply(request, 200, addr)
            if self.state == "ringing":
                self._reply(487)
                self._end("CANCEL")
        elif request.method == "INVITE":
            self._hear(request.body)
            self.target = NameAddr.parse(request.values("contact")[0]).uri_text
            body = self._sdp(_OPPOSITE[self.heard_direction]) + self._refused()
            self.phone.reply(request, 200, addr, headers=[("contact", f"<{self.phone.contact}>"), _SDP], body=body)
            self.sound.start(*media_of(self.remote_sdp))
        else:
            self.phone.reply(request, 200, addr)

    # -- sound

    async def hears(self, hz: float, tolerance: float = 8.0) -> Heard:
        """Wait until that pitch fills what arrives from now on."""
        self.sound.forget()
        last = SILENCE

        def there() -> Heard | None:
            nonlocal last
            last = self.sound.heard()
            return last if abs(last.hz - hz) <= tolerance and last.share > 0.6 else None

        what = lambda: f"{self.phone.user} should hear {hz} Hz and hears {last}, {self.sound.received} packets"  # noqa: E731
        heard: Heard = await until(there, what)
        return heard

    async def silent(self) -> None:
        """Wait until packets arrive that have nothing in them."""
        self.sound.forget()
        await until(lambda: self.sound.full and self.sound.heard().db < -60, lambda: f"silence, not {self.sound.heard()}")

    async def ended(self, why: str = "") -> None:
        """Wait until it is over, for that reason."""
        await until(lambda: self.state == "ended", lambda: f"{self.phone.user}'s call is {self.state}")
        if why and self.why != why:
            raise AssertionError(f"{self.phone.user}'s call ended by {self.why}, not {why}")

    async def close(self) -> None:
        """No more sound."""
        closing = self.sound.close()
        if closing is not None:
            await closing

    def _hear(self, sdp: bytes) -> None:
        self.remote_sdp = sdp
        self.heard_direction = direction_of(sdp)

    def _sdp(self, direction: str) -> bytes:
        self._version += 1
        host = self.sound.host
        return (
            f"v=0\r\no={self.phone.user} 1 {self._version} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
            f"m=audio {self.sound.port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na={direction}\r\n"
        ).encode()

    def _refused(self) -> bytes:
        """The m-lines of an answer behind the audio: it has no screen (RFC 3264 §6)."""
        return b"".join(b"m=%b 0 %b %b\r\n" % found for found in _OTHERS.findall(self.remote_sdp))

    def _end(self, why: str) -> None:
        if self.state != "ended":
            self.state, self.why = "ended", why
            self.sound.pause()


_SDP = ("content-type", "application/sdp")
