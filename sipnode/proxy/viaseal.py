"""The ``sealed`` parameter of our own Via: where the INVITE came from that a 2xx answers, when nothing else is left of it. Pure.

A 2xx may come after its transaction has ended, or after a restart, and has to find its way back all the same (RFC 6026 §7.2). The
next Via says where to; whoever answers could write any address there. So our Via carries a keyed hash of its own branch, the Call-ID
and the source of the INVITE, and the minute in which it was sent.
"""

from __future__ import annotations

from hashlib import blake2s
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sipnode.sip.via import Via

PARAM: Final = "sealed"
VALID_MINUTES: Final = 30
"""Nobody lets a phone ring for longer; then what was sealed can't be used to send anything to anybody."""


class ViaSeal:
    """Makes and checks the parameter.

    Args:
        secret: At least 16 octets; the same after a restart.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = blake2s(secret, person=b"via").digest()

    def param(self, branch: str, call_id: str, transport: str, host: str, port: int, now: float) -> str:
        """``;sealed=…`` for the Via of an INVITE that goes on.

        Args:
            branch: Of that Via.
            transport: Of the flow that the INVITE came by; with ``host`` and ``port`` its source.
            now: Epoch seconds.
        """
        minute = f"{int(now) // 60:x}"
        return f";{PARAM}={self._hash(branch, call_id, transport, host, port, minute)}{minute}"

    def holds(self, via: Via, call_id: str, transport: str, host: str, port: int, now: float) -> bool:
        """Whether a Via is ours, of an INVITE with that Call-ID that came from there lately."""
        value = via.params.get(PARAM, "")
        seal, minute = value[:16], value[16:]
        if not value.isascii() or not minute.isalnum() or len(minute) > 8:
            return False
        if not compare_digest(seal, self._hash(via.branch, call_id, transport, host, port, minute)):
            return False
        return 0 <= int(now) // 60 - int(minute, 16) <= VALID_MINUTES

    def _hash(self, branch: str, call_id: str, transport: str, host: str, port: int, minute: str) -> str:
        text = f"{branch}\n{call_id}\n{transport} {host} {port}\n{minute}".encode("utf-8", "surrogateescape")
        return blake2s(text, key=self._key, digest_size=8).hexdigest()
