"""Capabilities of this server in OPTIONS, 405 and 489."""

from __future__ import annotations

from typing import Final

METHODS: Final = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, MESSAGE, INFO, UPDATE, PRACK, REFER"
EVENTS: Final[tuple[str, ...]] = ()
HEADERS: Final = (
    ("allow", METHODS),
    ("accept", "application/sdp"),
    ("accept-encoding", "identity"),
    ("accept-language", "en"),
    ("supported", "path"),
)
