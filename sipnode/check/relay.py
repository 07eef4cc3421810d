"""The view of a media node by its own words: its interfaces and ports, the calls that it holds, and whether it takes an offer.

Each command is sent once or twice and waited for, as this is for people at a terminal; nothing of a server runs meanwhile.
Invariant: the one call that is made is deleted again.
"""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sipnode.errors import MediaError
from sipnode.media import ng
from sipnode.media.bencode import Value
from sipnode.media.nodes import Ports
from sipnode.media.ports import interfaces_of
from sipnode.media.sweep import is_answered
from sipnode.records import MediaKey

WAITS: Final = (0.5, 1.5)
MOST_LISTED: Final = 2000
MOST_ASKED: Final = 200
"""Calls that are asked about: each is a question of its own."""
_SDP: Final = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"


class Silent(MediaError):
    """No answer.

    Attributes:
        refused: The machine is there, and nobody listens at the port.
    """

    def __init__(self, refused: bool) -> None:
        super().__init__("nobody listens there" if refused else "doesn't answer", 503)
        self.refused = refused


class Waiting(NamedTuple):
    """A call whose offer nobody has answered: seconds since it began, and ports that it holds."""

    name: str
    seconds: float
    ports: int


@dataclass(slots=True)
class Said:
    """The answers of a node.

    Attributes:
        interfaces: With their ports; empty where it doesn't tell.
        calls: How many it holds.
        waiting: Those without an answer, longest first.
        refusal: Why it took no offer, "" where it took one.
        address: That it wrote into the SDP.
    """

    interfaces: list[Ports] = field(default_factory=list)
    calls: int = 0
    waiting: list[Waiting] = field(default_factory=list)
    refusal: str = ""
    address: str = ""


class Node:
    """A node to ask.

    Args:
        host: A name or an address.
        port: Its ng port.

    Raises:
        OSError: the name has no address.
    """

    def __init__(self, host: str, port: int) -> None:
        family, _, _, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self._family: socket.AddressFamily = family
        self.address = (str(found[0]), port)

    def ask(self, command: dict[str, Any], waits: Sequence[float] = WAITS) -> dict[bytes, Value]:
        """Send a command; raises Silent, or MediaError for what the node refuses or what isn't its protocol."""
        cookie = ng.new_cookie()
        octets = ng.datagram(cookie, command)
        refused = False
        with socket.socket(self._family, socket.SOCK_DGRAM) as asker:
            for wait in waits:
                asker.settimeout(wait)
                try:
                    asker.connect(self.address)
                    asker.send(octets)
                    # Nobody else knows the socket, so whatever comes is what answers.
                    found, body = ng.split_reply(asker.recv(65535))
                    if found != cookie:
                        raise MediaError("it doesn't repeat the cookie", 500)
                    return ng.read_reply(body)
                except ConnectionRefusedError:
                    refused = True
                except OSError:
                    refused = False
        raise Silent(refused)

    def examine(self, fields: dict[str, Any], now: float) -> Said:
        """All that it says of itself.

        Args:
            fields: Of the offer that is tried.
            now: Epoch seconds.

        Raises:
            Silent: it doesn't answer at all.
            MediaError: what answers isn't rtpengine.
        """
        self.ask(ng.ping())
        said = Said()
        try:
            said.interfaces = interfaces_of(self.ask(ng.statistics()))
        except MediaError:
            # An older one tells nothing.
            pass
        self._calls(said, now)
        self._try(said, fields)
        return said

    def _calls(self, said: Said, now: float) -> None:
        try:
            calls = self.ask(ng.list_calls(MOST_LISTED)).get(b"calls")
        except MediaError:
            # An old daemon, or a list that fits into no datagram.
            return
        names = [one.decode("utf-8", "surrogateescape") for one in calls if isinstance(one, bytes)] if isinstance(calls, list) else []
        said.calls = len(names)
        for name in names[:MOST_ASKED]:
            try:
                reply = self.ask(ng.query(name))
            except Silent:
                break
            except MediaError:
                # It has ended meanwhile.
                continue
            created = reply.get(b"created")
            if not is_answered(reply):
                said.waiting.append(Waiting(plain(name), now - created if isinstance(created, int) else 0.0, ports_of(reply)))
        said.waiting.sort(key=lambda one: -one.seconds)

    def _try(self, said: Said, fields: dict[str, Any]) -> None:
        key = MediaKey(f"sipnode-doctor-{secrets.token_hex(6)}", "doctor")
        try:
            sdp = self.ask(ng.offer(key, _SDP, fields)).get(b"sdp")
        except MediaError as error:
            said.refusal = error.reason
            return
        found = re.search(rb"^c=IN IP[46] (\S+)", sdp if isinstance(sdp, bytes) else b"", re.M)
        said.address = found[1].decode("ascii", "replace") if found else ""
        with suppress(MediaError):
            self.ask(ng.delete(MediaKey(key.call_id, ""), 0))


def plain(text: str) -> str:
    """Text that somebody else chose, fit for a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text[:200])


def ports_of(reply: dict[bytes, Value]) -> int:
    """How many ports a call holds, as a reply to ``query`` tells."""
    tags = reply.get(b"tags")
    found = set()
    for end in tags.values() if isinstance(tags, dict) else ():
        medias = end.get(b"medias") if isinstance(end, dict) else None
        for media in medias if isinstance(medias, list) else ():
            streams = media.get(b"streams") if isinstance(media, dict) else None
            for stream in streams if isinstance(streams, list) else ():
                if isinstance(stream, dict):
                    found.add((str(stream.get(b"local address")), str(stream.get(b"local port"))))
    return len(found)
