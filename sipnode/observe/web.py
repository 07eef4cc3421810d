"""``/metrics``, ``/healthz`` and ``/readyz`` on the HTTP side of the WebSocket ports; everything else is the page's.

A caller with neither an address of ``[metrics] allow`` nor the token gets 403 and learns nothing; of its health, which probes and load
balancers ask for from anywhere, the bare status. Invariant: an address vouches only for
who sits there. A request that a reverse proxy passes on comes from the proxy's address and not from its sender's, so it needs the token;
so does one that came by loopback and asked for another name, as a proxy that leaves no trace but the Host passes it on.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from twisted.web.resource import Resource

from sipnode.addresses import is_loopback, is_within, networks

if TYPE_CHECKING:
    from twisted.web.resource import IResource
    from twisted.web.server import Request

    from sipnode.settings import MetricsSettings

_PASSED_ON: Final = (
    b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"forwarded", b"x-real-ip", b"via", b"true-client-ip",
)  # fmt: skip

Answer = tuple[int, str, bytes]
"""Status, content type, body."""
Answers = Mapping[bytes, Callable[[], Answer]]
"""By path, without the slash."""
_NOTHING: Final[Answers] = {}


class Door:
    """Permission to look.

    Args:
        settings: ``[metrics]``.

    Attributes:
        refused: How often somebody was sent away.

    Raises:
        ConfigError: a network that can't be read.
    """

    def __init__(self, settings: MetricsSettings) -> None:
        self._networks = networks(settings.allow, "metrics.allow")
        self._token = settings.token.encode()
        self.refused = 0

    def admits(self, host: str, authorization: bytes = b"", passed_on: bool = False, asked_for: str = "") -> bool:
        """Whether a request is answered.

        Args:
            host: The peer's address.
            authorization: Value of that header.
            passed_on: It has gone through a reverse proxy.
            asked_for: Value of Host.
        """
        scheme, _, shown = authorization.partition(b" ")
        if self._token and scheme.lower() == b"bearer" and hmac.compare_digest(shown.strip(), self._token):
            return True
        through = passed_on or (is_loopback(host) and not _names_loopback(asked_for))
        if not through and is_within(host, self._networks):
            return True
        self.refused += 1
        return False


def _names_loopback(asked_for: str) -> bool:
    name = asked_for.strip().lower()
    name = name[1 : name.find("]")] if name.startswith("[") else name.partition(":")[0]
    return name == "localhost" or is_loopback(name)


def _refused() -> Answer:
    return 403, "text/plain; charset=utf-8", b"not for you\n"


class ObservedPage(Resource):
    """The three paths, in front of the page.

    Args:
        door: Who may look.
        answers: What each path says, by its name.
        page: Everything else; None answers 404.
        strangers: What a path says to those who may not look; 403 for one that isn't here.

    Attributes:
        any_host: Paths that are answered whatever Host was asked for.
    """

    def __init__(
        self, door: Door, answers: Answers, page: IResource | None = None, strangers: Answers = _NOTHING
    ) -> None:
        Resource.__init__(self)
        self._strangers = strangers
        self.any_host = frozenset(strangers)
        self._door = door
        self._answers = answers
        self._page = page

    def getChildWithDefault(self, path: bytes, request: Request) -> Any:
        """Twisted's name."""
        answer = self._answers.get(path)
        if answer is not None and not request.postpath:
            return _Answered(self._door, answer, self._strangers.get(path, _refused))
        if self._page is None:
            return _Answered(None, lambda: (404, "text/plain; charset=utf-8", b"nothing here\n"))
        return self._page.getChildWithDefault(path, request)


class _Answered(Resource):
    isLeaf = True

    def __init__(self, door: Door | None, answer: Callable[[], Answer], stranger: Callable[[], Answer] = _refused) -> None:
        Resource.__init__(self)
        self._stranger = stranger
        self._door = door
        self._answer = answer

    def render_GET(self, request: Request) -> bytes:
        """Twisted's name; HEAD comes here too."""
        status, kind, body = self._answer() if self._may(request) else self._stranger()
        request.setResponseCode(status)
        request.setHeader(b"content-type", kind.encode())
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"x-content-type-options", b"nosniff")
        return body

    def _may(self, request: Request) -> bool:
        if self._door is None:
            return True
        headers = request.requestHeaders
        authorization = (headers.getRawHeaders(b"authorization") or [b""])[0]
        asked_for = (headers.getRawHeaders(b"host") or [b""])[0].decode("latin-1")
        passed_on = any(headers.hasHeader(name) for name in _PASSED_ON) or _from_a_proxy(request)
        return self._door.admits(str(request.getClientAddress().host), authorization, passed_on, asked_for)


def _from_a_proxy(request: Request) -> bool:
    """Marks of nginx as its manual sets it up for WebSockets: ``Connection: upgrade`` on what is no handshake; and of nginx as it comes:
    HTTP/1.0.
    """
    words = ",".join(value.decode("latin-1").lower() for value in request.requestHeaders.getRawHeaders(b"connection") or [])
    return request.clientproto == b"HTTP/1.0" or "upgrade" in [word.strip() for word in words.split(",")]


def as_json(status: int, content: dict[str, Any]) -> Answer:
    """An answer for people and probes."""
    return status, "application/json", json.dumps(content).encode() + b"\n"
