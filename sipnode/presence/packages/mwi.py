"""Event package ``message-summary``: the lamp of a mailbox. Its content is told by RPC (``presence.mwi_set``) or published by the
mailbox's own server; a user has a mailbox while there is such a state.

Implements: RFC 3842 §3, §5 (documents). Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sipnode.errors import ParseError
from sipnode.presence.packages.base import EventPackage
from sipnode.presence.packages.xmlbody import uri

if TYPE_CHECKING:
    from sipnode.records import Publication

CONTENT_TYPE: Final = "application/simple-message-summary"
_COUNTS: Final = re.compile(r"\d{1,9}/\d{1,9}(?: ?\(\d{1,9}/\d{1,9}\))?")
_CLASSES: Final = frozenset(("voice-message", "fax-message", "pager-message", "multimedia-message", "text-message", "none"))
_MOST_LINES: Final = 64


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Messages in a mailbox: new and old ones, and how many of each are urgent."""

    new: int = 0
    old: int = 0
    urgent_new: int = 0
    urgent_old: int = 0


class MessageSummaryPackage(EventPackage):
    """See the module."""

    name: ClassVar[str] = "message-summary"
    content_types: ClassVar[tuple[str, ...]] = (CONTENT_TYPE,)
    publish_types: ClassVar[tuple[str, ...]] = (CONTENT_TYPE,)
    own_only: ClassVar[bool] = True

    def refusal(self, resource: str, watcher: str) -> tuple[int, str] | None:
        """404 where there is no mailbox."""
        return None if self.sources.published(resource, self.name) else (404, "No voicemail service")

    def check(self, body: bytes, content_type: str) -> Any:
        """Read a summary; it is told as it came.

        Raises:
            ParseError: it isn't one.
        """
        read(body)
        return None

    def state(self, resource: str, watcher: str, publications: list[Publication], version: int, content_type: str) -> bytes:
        """The newest summary; an empty mailbox where it was taken away just now."""
        if not publications:
            return compose(resource, Mailbox())
        return max(publications, key=lambda one: one.received).body


def compose(resource: str, mailbox: Mailbox) -> bytes:
    """The summary of a mailbox for voice messages."""
    waiting = "yes" if mailbox.new or mailbox.urgent_new else "no"
    counts = f"{mailbox.new}/{mailbox.old} ({mailbox.urgent_new}/{mailbox.urgent_old})"
    return f"Messages-Waiting: {waiting}\r\nMessage-Account: {uri(resource)}\r\nVoice-Message: {counts}\r\n".encode("utf-8", "replace")


def read(body: bytes) -> dict[str, str]:
    """The lines of a summary by lower-case name, up to the first empty one (RFC 3842 §5.2).

    Raises:
        ParseError: it isn't one.
    """
    try:
        lines = body.decode().replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError:
        raise ParseError("a message summary is UTF-8", 415) from None
    found: dict[str, str] = {}
    for line in lines[:_MOST_LINES]:
        if not line.strip():
            break
        name, colon, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon or not name.isascii() or not value.isprintable() or (name in _CLASSES and not _COUNTS.fullmatch(value)):
            raise ParseError("a line of the message summary can't be read")
        found[name] = value
    if found.get("messages-waiting", "").lower() not in ("yes", "no"):
        raise ParseError("a message summary says whether messages are waiting")
    return found
