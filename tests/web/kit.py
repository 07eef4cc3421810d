"""One HTTP exchange with a resource, through a real Site over an in-memory connection."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import Site
from zope.interface import directlyProvides


class Wire(StringTransport):
    """A connection whose loss the test decides on."""

    def abortConnection(self) -> None:
        self.loseConnection()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing is delayed in memory; a secure transport is asked for it all the same."""


@dataclass
class Answer:
    """A response as it was on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        packed = self.headers.get("content-encoding") == "gzip"
        return (gzip.decompress(self.body) if packed else self.body).decode()


class Exchange:
    """A request to `resource`; `answer()` is None until the response is whole."""

    def __init__(
        self,
        resource: IResource,
        path: str = "/",
        method: str = "GET",
        headers: dict[str, str] | None = None,
        peer: str = "127.0.0.1",
        tls: bool = False,
    ) -> None:
        address = (IPv6Address if ":" in peer else IPv4Address)("TCP", peer, 40000)
        self.wire = Wire(peerAddress=address)
        if tls:
            directlyProvides(self.wire, ISSLTransport)
        site = Site(resource, reactor=Clock())
        self.channel = site.buildProtocol(address)
        self.channel.makeConnection(self.wire)
        lines = {"host": "sip.example.test", "connection": "close"} | (headers or {})
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        self.channel.dataReceived(head.encode() + b"\r\n")

    def leave(self) -> None:
        """The client closes its connection."""
        self.channel.connectionLost(Failure(ConnectionDone()))

    def answer(self) -> Answer | None:
        head, found, body = self.wire.value().partition(b"\r\n\r\n")
        if not found:
            return None
        first, *lines = head.decode().split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Answer(int(first.split()[1]), fields, body)


def fetch(resource: IResource, path: str = "/", **more: object) -> Answer:
    """The response of a resource that answers at once."""
    answer = Exchange(resource, path, **more).answer()  # type: ignore[arg-type]  # the keywords are Exchange's
    assert answer is not None, "no answer yet"
    return answer
