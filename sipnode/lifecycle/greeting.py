"""The line that a start ends with: version, domains, listeners, page, store, media nodes; and what will keep users out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from sipnode.settings import Settings

_SCHEMES = {"ws": "http", "wss": "https"}
_ANY = ("0.0.0.0", "[::]")
_LISTENER = re.compile(r"(\w+):(.+)")


def greeting(version: str, settings: Settings, listeners: Sequence[str], page: str) -> str:
    """The line.

    Args:
        listeners: Their names, as ``udp:192.0.2.7:5060``, with the ports that were bound.
        page: Why there is no page, "" where there is one.
    """
    users = "" if settings.auth.backend == "store" else f", users by {settings.auth.backend!r}"
    parts = [
        f"sipnode {version} is ready for {', '.join(settings.core.domains) or 'no domain'}",
        f"listening on {', '.join(listeners) or 'nothing'}",
        f"page {page or ', '.join(page_addresses(listeners)) or 'on no listener (ws: or wss:)'}",
        f"store {store_name(settings.storage.url)}{users}",
        f"media {media_name(settings)}",
    ]
    return "; ".join(parts)


def media_name(settings: Settings) -> str:
    """The fate of media."""
    nodes = ", ".join(settings.media.nodes)
    if settings.media.relay != "rtpengine":
        return f"by the relay {settings.media.relay!r}{f' at {nodes}' if nodes else ''}"
    return f"by {nodes}" if nodes else "untouched (no [media] nodes)"


def page_addresses(listeners: Iterable[str]) -> list[str]:
    """Where a browser finds the page."""
    found = []
    for name in listeners:
        match = _LISTENER.match(name)
        if match and match[1] in _SCHEMES:
            host, _, port = match[2].rpartition(":")
            where = "localhost" if host in _ANY else host
            found.append(f"{_SCHEMES[match[1]]}://{where}:{port}/")
    return found


def store_name(url: str) -> str:
    """``[storage] url`` without its secrets."""
    scheme, _, rest = url.partition(":")
    if scheme.lower() in ("sqlite", "memory"):
        return f"{scheme}:{rest}"
    if rest.startswith("//"):
        try:
            parts = urlsplit(url)
            return f"{scheme}://{parts.hostname or ''}{parts.path}"
        except ValueError:
            pass
    # Somebody else's form may have a secret anywhere.
    return f"{scheme}:…"
