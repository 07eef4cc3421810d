"""The softphone page over HTTP: its built files, `config.json`, and what a browser may do with them.

Implements: RFC 9110 (conditional requests, content coding), Content Security Policy Level 3.

Invariant: every answer of this tree carries the security headers, and nothing is served that isn't in `CONTENT_TYPES`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from twisted.web import http
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

BUILD = Path(__file__).resolve().parent / "static" / "build"
CONTENT_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
COMPRESSED = frozenset({".html", ".js", ".css", ".svg", ".txt", ".webmanifest"})
# Host is the caller's own word: what goes into the policy is a host and port and cannot end a directive.
_HOST = re.compile(rb"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; media-src 'self' blob:; "
    "manifest-src 'self'; connect-src 'self'{sockets}; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types pidf"
)
SECURITY_HEADERS: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": (
        "microphone=(self), camera=(self), autoplay=(self), speaker-selection=(self), "
        "display-capture=(), geolocation=(), payment=(), usb=(), serial=(), hid=(), bluetooth=(), midi=()"
    ),
}
"""Headers of every answer beside the policy."""
_NOT_BUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>The softphone isn't built</title>
<h1>The softphone page isn't built yet</h1>
<p>The SIP server is running; only this page is missing: {remedy}.
Then load this page again. The server needs no restart.</p>
"""


def is_built() -> bool:
    """Whether there is a page to serve."""
    return (BUILD / "index.html").is_file()


def remedy() -> str:
    """The part that an installation without the page lacks, as a phrase."""
    if (BUILD.parents[1] / "softphone" / "package.json").is_file():
        return "in the folder of the sources, type: python -m sipnode.web.build"
    return "this installation was made without it (SIPNODE_PAGE=no); install sipnode again, by pip install . or from a wheel"


def content_security_policy(host: bytes | None, secure: bool = False) -> str:
    """The policy of the page: only its own files, and WebSockets to the address that it was loaded from.

    Args:
        host: The request's Host header. Older browsers don't count ws: as 'self', so the address is named where it is well-formed.
        secure: It came over TLS, so that nothing goes out without. A proxy may add TLS to what comes without.
    """
    sockets = ""
    if host and _HOST.fullmatch(host):
        name = host.decode("ascii")
        sockets = f" wss://{name}" if secure else f" ws://{name} wss://{name}"
    return _POLICY.format(sockets=sockets)


def secure(request: Request) -> None:
    """Put the headers that every answer of these pages carries."""
    headers = request.responseHeaders
    headers.setRawHeaders("content-security-policy", [content_security_policy(request.getHeader(b"host"), request.isSecure())])
    for name, value in SECURITY_HEADERS.items():
        headers.setRawHeaders(name, [value])


def respond(request: Request, status: int, content_type: str, body: bytes, cache: str = "no-store") -> bytes:
    """Set status, type and security headers; return the body."""
    secure(request)
    request.setResponseCode(status)
    request.responseHeaders.setRawHeaders("content-type", [content_type])
    request.responseHeaders.setRawHeaders("cache-control", [cache])
    request.responseHeaders.setRawHeaders("content-length", [str(len(body))])
    return b"" if request.method == b"HEAD" else body


def respond_json(request: Request, status: int, value: object) -> bytes:
    """A JSON answer that no cache keeps."""
    return respond(request, status, "application/json", json.dumps(value, separators=(",", ":")).encode())


class Page(Resource):
    """A resource for GET and HEAD only."""

    isLeaf = True

    def __init__(self) -> None:
        Resource.__init__(self)

    def render(self, request: Request) -> bytes | int:
        if request.method not in (b"GET", b"HEAD"):
            request.responseHeaders.setRawHeaders("allow", ["GET, HEAD"])
            return respond(request, http.NOT_ALLOWED, CONTENT_TYPES[".txt"], b"There is only GET here.\n")
        return self.render_GET(request)

    def render_GET(self, request: Request) -> bytes | int:
        """404, unless a subclass knows better."""
        return respond(request, http.NOT_FOUND, CONTENT_TYPES[".txt"], b"There is no such page here.\n")


class BuiltFile(Page):
    """One file of the page, kept in memory until it changes on disk."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._seen: tuple[int, int] = (-1, -1)
        self._plain = b""
        self._packed = b""
        self._etag = b""

    def _load(self) -> bool:
        try:
            about = self.path.stat()
            seen = (about.st_mtime_ns, about.st_size)
            if seen != self._seen:
                self._plain = self.path.read_bytes()
                self._packed = gzip.compress(self._plain, 9, mtime=0) if self.path.suffix in COMPRESSED else b""
                # Weak: the packed and the plain form are the same page.
                self._etag = b'W/"' + hashlib.sha256(self._plain).hexdigest()[:24].encode() + b'"'
                self._seen = seen
        except OSError:
            return False
        return True

    def render_GET(self, request: Request) -> bytes:
        if not self._load():
            return respond(request, http.SERVICE_UNAVAILABLE, CONTENT_TYPES[".html"], _NOT_BUILT.format(remedy=remedy()).encode())
        headers = request.responseHeaders
        if self._packed:
            headers.setRawHeaders("vary", ["accept-encoding"])
        if request.setETag(self._etag) is http.CACHED:
            secure(request)
            return b""
        body = self._plain
        if self._packed and _takes_gzip(request.getHeader(b"accept-encoding")):
            body = self._packed
            headers.setRawHeaders("content-encoding", ["gzip"])
        return respond(request, http.OK, CONTENT_TYPES[self.path.suffix], body, "no-cache")


def _takes_gzip(accepted: bytes | None) -> bool:
    """Whether Accept-Encoding names gzip with a weight above nought (RFC 9110 §12.5.3)."""
    for item in (accepted or b"").lower().split(b","):
        name, _, weight = item.partition(b";")
        if name.strip() == b"gzip":
            return not re.fullmatch(rb"\s*q=0(\.0*)?\s*", weight)
    return False


class ConfigFile(Page):
    """``config.json``: what the page has to know before anybody signs in."""

    def __init__(self, value: Mapping[str, object]) -> None:
        super().__init__()
        self._value = dict(value)

    def render_GET(self, request: Request) -> bytes:
        return respond_json(request, http.OK, self._value)


class SoftphonePages(Page):
    """The page at its own address, and its files as children."""

    isLeaf = False

    def __init__(self, build: Path, config: Mapping[str, object], directory: IResource | None, ice: IResource | None = None) -> None:
        super().__init__()
        self._build = build
        self._files: dict[str, BuiltFile] = {}
        self.putChild(b"config.json", ConfigFile(config))
        if directory is not None:
            self.putChild(b"directory.json", directory)
        if ice is not None:
            self.putChild(b"ice.json", ice)

    def getChild(self, path: bytes, request: Request) -> IResource:
        name = path.decode("ascii", "replace") or "index.html"
        return self._file(name) or Page()

    def render_GET(self, request: Request) -> bytes:
        index = self._file("index.html") or BuiltFile(self._build / "index.html")
        return index.render_GET(request)

    def _file(self, name: str) -> BuiltFile | None:
        """The file of that name; only plain names of files that are in the build folder become one."""
        found = self._files.get(name)
        if found is None and (name == "index.html" or self._is_built(name)):
            found = self._files[name] = BuiltFile(self._build / name)
        return found

    def _is_built(self, name: str) -> bool:
        if Path(name).suffix not in CONTENT_TYPES:
            return False
        try:
            return any(path.name == name and path.is_file() for path in self._build.iterdir())
        except OSError:
            return False


def softphone_resource(
    domain: str,
    version: str,
    directory: IResource | None = None,
    build: Path = BUILD,
    ice_servers: Sequence[str] = (),
    ice: IResource | None = None,
) -> IResource:
    """The softphone page, to be put at ``/`` of the WebSocket ports.

    It answers for ``/`` itself both as the root resource and as the child of the empty name.

    Args:
        domain: SIP domain of a user who signs in without one; empty: the page takes the host that it was loaded from.
        version: Shown at the foot of the page.
        directory: What answers ``directory.json``; without it the page shows no people.
        ice_servers: URIs of STUN servers; anybody may read them.
        ice: What answers ``ice.json``, for who has signed in; without it the page has the STUN servers alone.
        build: Folder that `sipnode.web.build` filled; it may be filled while the server runs.
    """
    told = {
        "domain": domain,
        "version": version,
        "directory": directory is not None,
        "ice": ice is not None,
        "iceServers": [{"urls": uri} for uri in ice_servers],
    }
    return SoftphonePages(build, told, directory, ice)
