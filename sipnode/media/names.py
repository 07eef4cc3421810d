"""Names of a call and its ends towards the media relay: made here, never what a caller wrote.

A Call-ID and tags are known to both ends, and to whoever they tell; a relay that is asked with them moves the media of whatever call has
them. So a call gets a name of its own, which nobody outside can guess: the route token keeps it, sealed, for what follows in the dialog.
The same seal tells a server the names that it made itself, also after a restart, from those of others that use the same relay.
Pure. The invariant: the same tag of the same call has the same name in every run and on every node.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2s
from hmac import compare_digest
from os import urandom
from typing import Final

from sipnode.records import MediaKey

_NONCE: Final = 6
_SEAL: Final = 9
LENGTH: Final = (_NONCE + _SEAL) * 4 // 3
"""Characters of a name."""


class Names:
    """Makes names of calls and knows them again.

    Args:
        secret: The same after a restart; what guards names against being guessed.
        node: Number of the server among those that share the secret.
    """

    def __init__(self, secret: bytes, node: int = 0) -> None:
        self._key = blake2s(secret + b"%d" % node, person=b"media").digest()
        # Of this run: what an earlier one made begins with something else.
        self._run = urandom(3)
        self._count = 0

    def new(self) -> str:
        """Of a new call: 20 characters of [0-9A-Za-z_-], 72 bits of which nobody knows."""
        self._count = (self._count + 1) & 0xFFFFFF
        nonce = self._run + self._count.to_bytes(3, "big")
        return urlsafe_b64encode(nonce + self._seal(nonce)).decode("ascii")

    def is_ours(self, name: str) -> bool:
        """Whether this server made the name, in this run or before."""
        if len(name) != LENGTH:
            return False
        try:
            octets = urlsafe_b64decode(name)
        except ValueError:
            return False
        return len(octets) == _NONCE + _SEAL and compare_digest(octets[_NONCE:], self._seal(octets[:_NONCE]))

    def is_of_this_run(self, name: str) -> bool:
        """Whether a name of ours was made since the start."""
        return urlsafe_b64decode(name)[:3] == self._run

    def _seal(self, nonce: bytes) -> bytes:
        return blake2s(nonce, key=self._key, digest_size=_SEAL).digest()


def media_key(call: str, call_id: str, from_tag: str, to_tag: str, via_branch: str, node: str) -> MediaKey:
    """How the relay is asked.

    Args:
        call: The call's own name, "" for one that is known by its Call-ID and tags.
        from_tag: As in the messages, alike ``to_tag``.
    """
    if not call:
        return MediaKey(call_id, from_tag, to_tag, via_branch, node)
    return MediaKey(call, tag_name(call, from_tag), tag_name(call, to_tag), via_branch, node)


def tag_name(call: str, tag: str) -> str:
    """Of an end of a call; "" for none."""
    if not tag:
        return ""
    digest = blake2s(tag.encode("utf-8", "surrogateescape"), key=call.encode("ascii")[:32], digest_size=9).digest()
    return urlsafe_b64encode(digest).decode("ascii")
