"""A small event package and a server in memory that serves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from zope.interface import implementer

from sipnode.auth.authenticator import Authenticator
from sipnode.errors import ParseError
from sipnode.interfaces import IEventPackage, IPresenceSources
from sipnode.records import Publication
from sipnode.settings import NodeSettings, PresenceSettings, ProxySettings, Settings
from sipnode.sip.message import SipRequest, SipResponse
from sipnode.testing import DOMAIN, Phone, World

PLAIN = "text/plain"
AS_FROM_A_PHONE = (
    ("user-agent", "Some Phone 1.2.3.4"),
    ("accept", "text/plain, text/html, application/pidf+xml, application/dialog-info+xml, application/*"),
    (
        "proxy-authorization",
        'Digest username="somebody", realm="example.test", nonce="5f3a7b0c9d1e2f405162738495a6b7c8d9e0f1a2", uri="sip:x@example.test", '
        'response="0123456789abcdef0123456789abcdef", algorithm=MD5, cnonce="0a1b2c3d", qop=auth, nc=00000001',
    ),
)
"""What makes a SUBSCRIBE as long as real ones are."""


@implementer(IEventPackage)
class MoodPackage:
    """Its documents are the published bodies, one a line."""

    name = "mood"
    default_expires = 3600
    content_types: tuple[str, ...] = (PLAIN, "text/html")
    publish_types: tuple[str, ...] = (PLAIN,)
    follows: frozenset[str] = frozenset()
    own_only = False
    personal = False
    private = False
    versioned = False
    hold_seconds = -1.0

    def __init__(self, **changes: Any) -> None:
        self.made = 0
        self.sources: IPresenceSources | None = None
        for name, value in changes.items():
            setattr(self, name, value)

    def start(self, sources: IPresenceSources) -> None:
        self.sources = sources

    def refusal(self, resource: str, watcher: str) -> tuple[int, str] | None:
        return (404, "No mood here") if resource.startswith("nobody@") else None

    def check(self, body: bytes, content_type: str) -> Any:
        if b"<" in body:
            raise ParseError("no mood has angle brackets")
        if b"\xff" in body:
            raise ParseError("not a text", 415)
        return body.decode()

    def source(self, parsed: Any) -> str:
        return parsed.partition("@")[2] if parsed else ""

    def state(self, resource: str, watcher: str, publications: list[Publication], version: int, content_type: str) -> bytes:
        self.made += 1
        lines = [one.parsed for one in publications] or ["none"]
        if self.versioned:
            lines.append(str(version))
        if self.personal:
            lines.append(watcher)
        return "\n".join(lines).encode()


@implementer(IEventPackage)
class WatcherPackage(MoodPackage):
    """Who watches moods."""

    name = "mood.winfo"
    publish_types = ()
    follows = frozenset(("watchers",))
    own_only = True

    def state(self, resource: str, watcher: str, publications: list[Publication], version: int, content_type: str) -> bytes:
        assert self.sources is not None
        return " ".join(sorted(f"{one.watcher.partition('@')[0]}:{one.status}" for one in self.sources.watchers(resource, "mood"))).encode()


def world(
    presence: PresenceSettings | None = None,
    packages: Sequence[Any] | None = None,
    storage: Any = None,
    former: World | None = None,
    script: Any = None,
    node: int = 0,
    authenticator: Authenticator | None = None,
) -> World:
    """A server that serves moods.

    Args:
        storage: An open IStorage, None for memory alone.
        former: A server that was killed, to go on in its time and with its network.
        node: Its number.
        authenticator: As a world takes it.
    """
    # Who else may watch is for the packages' own policy.
    proxy = ProxySettings(strangers=("any",))
    settings = replace(Settings(), presence=presence or PresenceSettings(), node=NodeSettings(id=node), proxy=proxy)
    served = [MoodPackage(), WatcherPackage()] if packages is None else packages
    clock = former.clock if former is not None else None
    made = World(settings, script=script, clock=clock, authenticator=authenticator, presence=served, storage=storage)
    if former is not None:
        made.flows.flows = former.flows.flows
    return made


class User:
    """A phone that publishes and subscribes."""

    def __init__(self, world: World, name: str, transport: str = "UDP", domain: str = DOMAIN) -> None:
        self.world = world
        self.phone: Phone = world.phone(name, transport, domain=domain)
        self.aor = f"{name}@{domain}"
        self.sent: SipRequest | None = None
        self.answer: SipResponse | None = None

    def ask(self, method: str, uri: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b"", **more: Any) -> SipResponse:
        """Send a request; gives its final response."""
        self.sent = self.phone.send(method, uri, headers, body, content_type=more.pop("content_type", PLAIN), **more)
        self.answer = self.response(self.sent)
        return self.answer

    def response(self, request: SipRequest) -> SipResponse:
        """The final response to a request; what else has come stays."""
        for data in list(self.phone.flow.sent):
            if data.startswith(b"SIP/2.0 "):
                message = next(one for one in self.phone.inbox if one.to_bytes() == data)
                if isinstance(message, SipResponse) and message.cseq_method == request.method and message.cseq == request.cseq:
                    self.phone.flow.sent.remove(data)
                    return message
        raise AssertionError(f"no response to {request.method}")

    def publish(self, body: bytes = b"", etag: str = "", expires: int | None = 300, event: str = "mood", **more: Any) -> SipResponse:
        """PUBLISH one's own state."""
        headers = [("event", event)] if event else []
        if etag:
            headers.append(("sip-if-match", etag))
        if expires is not None:
            headers.append(("expires", str(expires)))
        headers += more.pop("headers", ())
        return self.ask("PUBLISH", more.pop("uri", f"sip:{self.aor}"), headers, body, **more)

    def subscribe(self, other: str, expires: int | None = 300, event: str = "mood", headers: Sequence[tuple[str, str]] = ()) -> SipResponse:
        """SUBSCRIBE to somebody outside of any dialog."""
        more = [("expires", str(expires))] if expires is not None else []
        usual = [one for one in AS_FROM_A_PHONE if one[0] not in dict(headers)]
        return self.ask("SUBSCRIBE", f"sip:{other}@{DOMAIN}", ([("event", event)] if event else []) + more + usual + list(headers))

    def again(self, first: SipResponse, expires: int = 300, event: str = "mood", **more: Any) -> SipResponse:
        """SUBSCRIBE inside the dialog that a 200 made."""
        target = (first.get("contact") or "").strip("<>")
        tag = (first.get("from") or "").rpartition("tag=")[2]
        headers = [("event", event), ("expires", str(expires))]
        more.setdefault("to", first.get("to"))
        more.setdefault("call_id", first.call_id)
        return self.ask("SUBSCRIBE", target, headers, from_tag=tag, **more)

    def notified(self, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> SipRequest:
        """The next NOTIFY, answered; what came before it is taken out."""
        request = self.phone.got("NOTIFY")
        if status:
            self.phone.reply(request, status, headers=headers)
        return request

    def bodies(self) -> list[bytes]:
        """Bodies of all NOTIFYs that are there, each answered and given once however often it was repeated."""
        found: list[SipRequest] = []
        while any(data.startswith(b"NOTIFY") for data in self.phone.flow.sent):
            notify = self.notified()
            if not any((one.call_id, one.cseq) == (notify.call_id, notify.cseq) for one in found):
                found.append(notify)
        return [one.body for one in found]
