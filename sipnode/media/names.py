"""What a call and its ends are called towards the media relay: names made here, never what a caller wrote.

A Call-ID and tags are known to both ends, and to whoever they tell; a relay that is asked with them moves the media of whatever call has
them. So a call gets a random name, which nobody outside learns: the route token keeps it, sealed, for what follows in the dialog.
Pure. The invariant: the same tag of the same call has the same name in every run and on every node.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import blake2s
from os import urandom

from sipnode.records import MediaKey


def new_name() -> str:
    """Of a new call: 12 characters of [0-9A-Za-z_-], 72 random bits."""
    return urlsafe_b64encode(urandom(9)).decode("ascii")


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
