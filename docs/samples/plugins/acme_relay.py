"""A media relay: ``[media] relay = "acme"`` puts a line into each SDP and lets media go its own way."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from sipnode.errors import MediaError
from sipnode.interfaces import IMediaRelay, IRelayPlugin
from sipnode.records import MediaKey, MediaProfile
from sipnode.settings import MediaSettings


@implementer(IMediaRelay)
class Stamp:
    """One node, whose name is the first of ``[media] nodes``."""

    enabled = True

    def __init__(self, node: str) -> None:
        self._node = node

    def choose(self, call_id: str) -> str:
        """It takes every call."""
        return self._node

    def place(self, name: str) -> str:
        """It is where its name says."""
        return name

    def offer(self, key: MediaKey, sdp: bytes, profile: MediaProfile) -> Deferred[bytes]:
        """What goes to the callee; a MediaError refuses the call, with the status that its caller gets."""
        if not sdp.startswith(b"v="):
            return fail(MediaError("it isn't SDP", 488))
        return succeed(sdp + b"a=x-relay:" + self._node.encode() + b"\r\n")

    def answer(self, key: MediaKey, sdp: bytes, profile: MediaProfile) -> Deferred[bytes]:
        """What goes to the caller."""
        return self.offer(key, sdp, profile)

    def delete(self, key: MediaKey) -> Deferred[None]:
        """The call, or a branch of it, is over."""
        return succeed(None)


@implementer(IRelayPlugin)
class AcmeRelays:
    """Makes the relay when the server starts."""

    name = "acme"

    def make(self, settings: MediaSettings, reactor: Any) -> IMediaRelay:
        """Addresses of nodes are of the relay's own form."""
        return Stamp(settings.nodes[0] if settings.nodes else "here")


relays = AcmeRelays()
