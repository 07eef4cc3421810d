"""What every answer of the console is like: its headers, JSON, the page's files.

Implements: Content Security Policy Level 3, RFC 9110. The invariant: no answer lets a browser run anything that isn't a file of ours.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from twisted.web import http
from twisted.web.resource import Resource

from sipnode.web.pages import CONTENT_TYPES, SECURITY_HEADERS, BuiltFile, Page, respond

if TYPE_CHECKING:
    from twisted.web.resource import IResource
    from twisted.web.server import Request

PAGE: Final = Path(__file__).resolve().parent / "page"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Only files of the page itself run, and no text becomes markup or a script."""
_DEVICES: Final = ("microphone", "camera", "geolocation", "display-capture", "payment", "usb", "serial")
_NO_DEVICES: Final = ", ".join(f"{name}=()" for name in _DEVICES)


def guard(request: Request) -> None:
    """Put the headers that every answer of the console carries."""
    headers = request.responseHeaders
    for name, value in {**SECURITY_HEADERS, "permissions-policy": _NO_DEVICES, "content-security-policy": POLICY}.items():
        headers.setRawHeaders(name, [value])


def answer(request: Request, status: int, value: object) -> bytes:
    """JSON that no cache keeps."""
    body = respond(request, status, "application/json", json.dumps(value, separators=(",", ":")).encode())
    guard(request)
    return body


def refuse(request: Request, status: int, text: str) -> bytes:
    """A refusal with its reason."""
    return answer(request, status, {"error": text})


class PageFile(BuiltFile):
    """A file of the page."""

    def render_GET(self, request: Request) -> bytes:
        body = super().render_GET(request)
        guard(request)
        return body


class Nothing(Page):
    """404."""

    def render_GET(self, request: Request) -> bytes:
        body = respond(request, http.NOT_FOUND, CONTENT_TYPES[".txt"], b"nothing here\n")
        guard(request)
        return body


class PageFiles:
    """The files of the page by name; there are no others.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path = PAGE) -> None:
        self._files = {path.name: PageFile(path) for path in sorted(folder.iterdir()) if path.suffix in CONTENT_TYPES}

    def get(self, name: str) -> IResource:
        """One of them; what answers 404 for a name that is none."""
        return self._files.get(name or "index.html") or Nothing()


class Moved(Resource):
    """``/console`` is a folder: the page's own links start there."""

    isLeaf = True

    def __init__(self) -> None:
        Resource.__init__(self)

    def render(self, request: Request) -> bytes:
        guard(request)
        request.setResponseCode(http.PERMANENT_REDIRECT)
        request.responseHeaders.setRawHeaders("location", ["/console/"])
        return b""
