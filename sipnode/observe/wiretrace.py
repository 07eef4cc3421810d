"""The wire trace: messages in the log as they came and went, repeats and acknowledgements between neighbours too; secrets masked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from sipnode.base.tap import Watcher

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.base.why import Why
    from sipnode.sip.message import SipRequest, SipResponse

_SECRETS: Final = re.compile(rb"(?im)^((?:proxy-)?authorization[ \t]*:[ \t]*)((?:[^\r\n]|\r\n[ \t])*)")
_DIGEST_PARTS: Final = re.compile(rb'(response|cnonce|nonce)[ \t]*=[ \t]*("[^"\r\n]*"|[^\s,]+)', re.I)


def masked(data: bytes) -> str:
    """A message as text, without what would let somebody else sign in: of Digest credentials the response and nonces, of
    any other kind everything.
    """

    def mask(match: re.Match[bytes]) -> bytes:
        value = match.group(2)
        if value[:6].lower() == b"digest":
            return match.group(1) + _DIGEST_PARTS.sub(rb"\1=***", value)
        return match.group(1) + b"***"

    return _SECRETS.sub(mask, data).decode("utf-8", "backslashreplace")


class WireTrace(Watcher):
    """Writes messages to the log, as they came and went: all, or those that a filter lets through; every condition given has to hold.

    Args:
        user: User part that some URI of the message has.
        address: ``HOST`` or ``HOST:PORT`` of the peer.
        call_id: Call-ID.
        method: Of the request, or of the one that a response answers.
    """

    log = Logger(namespace="sipnode.wire")

    def __init__(self, user: str = "", address: str = "", call_id: str = "", method: str = "") -> None:
        self.conditions = {"user": user, "address": address, "call_id": call_id, "method": method.upper()}
        self._address = address.strip("[]")
        patterns = []
        if user:
            patterns.append(rb"(?i)sips?:%s[@:;]" % re.escape(user.encode()))
        if call_id:
            patterns.append(rb"(?im)^(?:call-id|i)[ \t]*:[ \t]*%s[ \t]*\r?$" % re.escape(call_id.encode()))
        if method:
            patterns.append(rb"(?im)^cseq[ \t]*:[ \t]*\d+[ \t]+%s[ \t]*\r?$" % re.escape(method.encode()))
        self._patterns = [re.compile(pattern) for pattern in patterns]

    def request_received(self, now: float, data: bytes, request: SipRequest, flow: Flow) -> None:
        """A request that came."""
        self._write("received from", data, flow)

    def response_received(self, now: float, data: bytes, response: SipResponse, flow: Flow) -> None:
        """A response that came."""
        self._write("received from", data, flow)

    def broken_received(self, now: float, data: bytes, flow: Flow) -> None:
        """Something came that can't be read."""
        self._write("received, and can't be read, from", data, flow)

    def sent(self, now: float, data: bytes, flow: Flow, why: Why, method: str, status: int, transaction: object | None) -> None:
        """A message that went."""
        self._write("sent to", data, flow)

    def resent(self, now: float, data: bytes, flow: Flow, why: Why, transaction: object) -> None:
        """One that went once more."""
        self._write("sent again to", data, flow)

    def unsent(self, now: float, data: bytes, flow: Flow, why: Why, transaction: object | None) -> None:
        """One that had nowhere to go any more."""
        self._write("not sent, as its connection is gone, to", data, flow)

    def _write(self, what: str, data: bytes, flow: Flow) -> None:
        if self.wants(data, flow):
            self.log.info("{what} {peer}\n{text}", what=what, peer=_peer(flow), text=masked(data))

    def wants(self, data: bytes, flow: Flow) -> bool:
        """Whether the filter lets a message through."""
        if self._address:
            host, port = flow.remote
            if self._address not in (host, f"{host}:{port}", f"[{host}]:{port}"):
                return False
        return all(pattern.search(data) for pattern in self._patterns)


def _peer(flow: Flow) -> str:
    host, port = flow.remote
    return f"{flow.transport.lower()}:{host}:{port}"
