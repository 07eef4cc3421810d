"""The way of a message through the functions of the server, for the page understand/walk: ``python docs/walk.py`` prints it.

The server is that of :mod:`sipnode.testing`; transports, relay, DNS and credentials are the tests'. A call is any function of ours that is
called; a hop is the first call of a function from another module than its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import sipnode
from sipnode.testing import RecordingMediaRelay, World

OURS: Final = f"{Path(sipnode.__file__).parent}/"
NOT_WALKED: Final = ("testing.py", "fakes.py")
SDP: Final = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\n"
    b"a=rtpmap:111 opus/48000/2\r\na=rtcp-mux\r\na=setup:actpass\r\na=ice-ufrag:user\r\na=ice-pwd:password\r\na=fingerprint:sha-256 00\r\n"
)


class Walk:
    """What is called from the moment in which a transport hands over a message.

    Attributes:
        calls: How many functions of ours were called.
        hops: (module, function) of each hop, in order.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.hops: list[tuple[str, str]] = []
        self._begun = False

    def _watch(self, frame: FrameType, event: str, _argument: object) -> None:
        module = _module(frame)
        if event != "call" or not module:
            return
        name = frame.f_code.co_qualname
        self._begun = self._begun or name == "Dispatcher.received"
        if not self._begun:
            return
        self.calls += 1
        before = frame.f_back
        while before is not None and not _module(before):
            before = before.f_back
        if (before is None or _module(before) != module) and (module, name) not in self.hops:
            self.hops.append((module, name))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within the block; a profiler that was there is put back behind it."""
        former = sys.getprofile()
        sys.setprofile(self._watch)
        try:
            yield
        finally:
            sys.setprofile(former)


def _module(frame: FrameType) -> str:
    """``sip/parser.py``; "" for what isn't the server's."""
    file = frame.f_code.co_filename
    return "" if not file.startswith(OURS) or file.endswith(NOT_WALKED) or frame.f_code.co_name[0] == "<" else file.removeprefix(OURS)


def register() -> Walk:
    """A REGISTER over secure WebSocket until its answer has left."""
    world, walk = World(), Walk()
    alice = world.phone("alice", "WSS")
    world.phone("bob", "WSS").register()  # what is made once has been made
    with walk.watching():
        answer = alice.register()
    assert answer.status == 200
    return walk


def invite() -> Walk:
    """An INVITE of a browser until a phone at UDP has it, with the SDP that the relay made."""
    world, walk = World(media=RecordingMediaRelay()), Walk()
    alice, bob = world.phone("alice", "WSS"), world.phone("bob")
    alice.register()
    bob.register()
    with walk.watching():
        alice.send("INVITE", bob.aor, (), SDP)
        received = bob.got("INVITE")
    assert received.body.startswith(b"v=0\r\ns=offer")
    return walk


WALKS: Final[dict[str, Callable[[], Walk]]] = {"REGISTER": register, "INVITE": invite}


def lines(method: str) -> list[str]:
    """The walk as numbered lines of text, its figures first."""
    walk = WALKS[method]()
    room = ""
    made = [f"{len(walk.hops)} hops, {walk.calls} calls", ""]
    for number, (module, name) in enumerate(walk.hops, 1):
        made.append(f"{number:3}  {'' if module == room else module:28} {name}")
        room = module
    return made


if __name__ == "__main__":
    for method in WALKS:
        print(method, "\n".join(lines(method)), "", sep="\n")
