"""Log level, and the wire trace: every message as it came and went, secrets masked, at the flip of a switch."""

from __future__ import annotations

import re
from typing import Any, Final

from twisted.logger import Logger, LogLevel, LogLevelFilterPredicate, PredicateResult

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


class WireTrace:
    """Writes every message to the log."""

    log = Logger(namespace="sipnode.wire")

    def received(self, data: bytes, flow: Any) -> None:
        """A message that came."""
        self.log.info("received from {peer}\n{text}", peer=_peer(flow), text=masked(data))

    def sent(self, data: bytes, flow: Any) -> None:
        """A message that went."""
        self.log.info("sent to {peer}\n{text}", peer=_peer(flow), text=masked(data))


def _peer(flow: Any) -> str:
    host, port = flow.remote
    return f"{flow.transport.lower()}:{host}:{port}"


class Threshold:
    """A predicate for twisted.logger: what is below the level, and Twisted's own chatter about factories and ports, is left out.

    Args:
        level: 'debug', 'info', 'warn' or 'error'.
    """

    def __init__(self, level: str) -> None:
        self._predicate = LogLevelFilterPredicate(LogLevel.lookupByName(level))

    def __call__(self, event: dict[str, Any]) -> Any:
        if event.get("log_level") is None:
            return PredicateResult.maybe
        return self._predicate(event)
