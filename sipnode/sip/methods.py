"""The methods that are known by name (RFC 3261, 3262, 3311, 3428, 3515, 3903, 6086, 6665); pure."""

from __future__ import annotations

from typing import Final

METHODS: Final = (
    "INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "SUBSCRIBE", "NOTIFY",
    "PUBLISH", "MESSAGE", "PRACK", "UPDATE", "REFER", "INFO",
)  # fmt: skip
OTHER: Final = "other"
"""Stands for all others where something is counted: whoever makes methods up makes one number."""
