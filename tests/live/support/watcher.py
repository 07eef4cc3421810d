"""A telephone that watches and publishes: SUBSCRIBE, PUBLISH, and what it was told."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from sipnode.presence.packages.dialoginfo import DIALOG_INFO
from sipnode.presence.packages.pidf import PIDF
from sipnode.sip.address import NameAddr
from sipnode.sip.ids import new_call_id, new_tag
from sipnode.sip.message import SipRequest, SipResponse

from .phone import Phone
from .site import DOMAIN, HOST, Site, passwords
from .waiting import until


def document(basic: str, more: str = "") -> bytes:
    """A PIDF document to publish."""
    body = f'<tuple id="t"><status><basic>{basic}</basic></status></tuple>{more}'
    return f'<presence xmlns="{PIDF}" entity="sip:x@y">{body}</presence>'.encode()


def basics(body: bytes) -> list[str]:
    """What the tuples of a PIDF document say."""
    return [one.text or "" for one in ElementTree.fromstring(body).iter(f"{{{PIDF}}}basic")]


def lamp(body: bytes) -> str:
    """State of the only dialog of a document; "" for none."""
    states = [one.findtext(f"{{{DIALOG_INFO}}}state") or "" for one in ElementTree.fromstring(body)]
    assert len(states) < 2, states
    return states[0] if states else ""


class Watch:
    """One subscription.

    Attributes:
        head: To, From and Call-ID of its next request.
        target: Where that goes.
    """

    def __init__(self, phone: Watcher, event: str, request: tuple[str, str, str], response: SipResponse) -> None:
        self._phone = phone
        self.event = event
        self.head = (response.get("to") or "", request[1], request[2])
        self.target = NameAddr.parse(response.values("contact")[0]).uri_text if "contact" in response else ""

    @property
    def notifies(self) -> list[SipRequest]:
        """All that came, oldest first."""
        return [one for one in self._phone.requests if one.method == "NOTIFY" and one.call_id == self.head[2]]

    @property
    def bodies(self) -> list[bytes]:
        """Their documents."""
        return [one.body for one in self.notifies if one.body]

    async def until(self, holds: Any, what: str) -> SipRequest:
        """Wait until the newest NOTIFY is such; its CSeq has risen from each to the next."""
        await until(lambda: self.notifies and holds(self.notifies[-1]), lambda: f"{what}; last: {self.notifies[-1:]!r}")
        numbers = [one.cseq for one in self.notifies]
        assert numbers == sorted(set(numbers)), numbers
        return self.notifies[-1]

    async def again(self, expires: int) -> SipResponse:
        """Refresh or end it."""
        headers = [("event", self.event), ("expires", str(expires)), ("contact", f"<{self._phone.contact}>")]
        self._phone.number += 2
        return await self._phone.exchange("SUBSCRIBE", self.target, self.head, self._phone.number, headers=headers)


class Watcher(Phone):
    """See the module.

    Attributes:
        deaf: Whether it hears nothing any more, as one whose power was cut.
    """

    number = 1
    deaf = False

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        if not self.deaf:
            super().datagramReceived(datagram, addr)

    @classmethod
    def of(cls, site: Site, user: str, port: int = 0) -> Watcher:
        """A user of a site, of another server on that port."""
        return cls(site.case, user, passwords()[user], DOMAIN, (HOST, port or site.sip))

    async def subscribe(self, event: str, uri: str, expires: int = 600, accept: str = "") -> tuple[SipResponse, Watch]:
        """Watch somebody."""
        head = (f"<{uri}>", f"<{self.aor}>;tag={new_tag()}", new_call_id())
        headers = [("event", event), ("expires", str(expires)), ("contact", f"<{self.contact}>")]
        if accept:
            headers.append(("accept", accept))
        self.number += 2
        response = await self.exchange("SUBSCRIBE", uri, head, self.number, headers=headers)
        return response, Watch(self, event, head, response)

    async def watch(self, event: str, uri: str, expires: int = 600) -> Watch:
        """The same, taken and told; a node that has just started says 503 until its tables are read."""
        response, watch = await self.subscribe(event, uri, expires)

        async def read() -> bool:
            nonlocal response, watch
            if response.status == 503:
                response, watch = await self.subscribe(event, uri, expires)
            return response.status != 503

        await until(read, "its tables are read")
        assert response.status in (200, 202), response.start_line
        await until(lambda: watch.notifies, "the first NOTIFY")
        return watch

    async def publish(self, body: bytes, etag: str = "", expires: int = 600, event: str = "presence") -> SipResponse:
        """Publish one's own state."""
        head = (f"<{self.aor}>", f"<{self.aor}>;tag={new_tag()}", new_call_id())
        headers = [("event", event), ("expires", str(expires))]
        headers += [("sip-if-match", etag)] if etag else []
        headers += [("content-type", "application/pidf+xml")] if body else []
        self.number += 2
        return await self.exchange("PUBLISH", self.aor, head, self.number, headers=headers, body=body)
