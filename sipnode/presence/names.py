"""Names that no publication had before: entity-tags (RFC 3903 §8.1) and the keys of their rows."""

from __future__ import annotations

from itertools import count

from sipnode.sip.ids import BOOT

_numbers = count(1)


def new_etag() -> str:
    """An entity-tag that was never used before."""
    return f"{BOOT}.{next(_numbers):x}"


def new_ruid() -> str:
    """A name for a publication that no other has, also in other runs and on other nodes."""
    return f"pres-{BOOT}-{next(_numbers):x}"
