"""``/metrics``, ``/healthz`` and ``/readyz`` on the HTTP side of the WebSocket ports; everything else is the page's.

Whoever has neither an address of ``[metrics] allow`` nor the token gets 403 and learns nothing. A request that a reverse proxy
passes on comes from its address and not from its sender's, so it needs the token.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.web.resource import Resource

from sipnode.errors import ConfigError

if TYPE_CHECKING:
    from twisted.web.resource import IResource
    from twisted.web.server import Request

    from sipnode.settings import MetricsSettings

_PASSED_ON: Final = (b"x-forwarded-for", b"forwarded", b"x-real-ip")

Answer = tuple[int, str, bytes]
"""Status, content type, body."""


class Door:
    """Who may look.

    Args:
        settings: ``[metrics]``.

    Raises:
        ConfigError: a network that can't be read.
    """

    def __init__(self, settings: MetricsSettings) -> None:
        try:
            self._networks = [ipaddress.ip_network(text, strict=False) for text in settings.allow]
        except ValueError as error:
            raise ConfigError(str(error), key="metrics.allow") from None
        self._token = settings.token.encode()

    def admits(self, host: str, authorization: bytes, passed_on: bool) -> bool:
        """Whether a request is answered.

        Args:
            host: The peer's address.
            authorization: Value of that header.
            passed_on: It has gone through a reverse proxy.
        """
        scheme, _, shown = authorization.partition(b" ")
        if self._token and scheme.lower() == b"bearer" and hmac.compare_digest(shown.strip(), self._token):
            return True
        if passed_on:
            return False
        try:
            address: Any = ipaddress.ip_address(host)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)


class ObservedPage(Resource):
    """The three paths, in front of the page.

    Args:
        door: Who may look.
        answers: What each path says, by its name.
        page: Everything else; None answers 404.
    """

    def __init__(self, door: Door, answers: dict[bytes, Callable[[], Answer]], page: IResource | None) -> None:
        Resource.__init__(self)
        self._door = door
        self._answers = answers
        self._page = page

    def getChildWithDefault(self, path: bytes, request: Request) -> Any:
        """Twisted's name."""
        answer = self._answers.get(path)
        if answer is not None and not request.postpath:
            return _Answered(self._door, answer)
        if self._page is None:
            return _Answered(None, lambda: (404, "text/plain; charset=utf-8", b"nothing here\n"))
        return self._page.getChildWithDefault(path, request)


class _Answered(Resource):
    isLeaf = True

    def __init__(self, door: Door | None, answer: Callable[[], Answer]) -> None:
        Resource.__init__(self)
        self._door = door
        self._answer = answer

    def render_GET(self, request: Request) -> bytes:
        """Twisted's name; HEAD comes here too."""
        status, kind, body = self._answer() if self._may(request) else (403, "text/plain; charset=utf-8", b"not for you\n")
        request.setResponseCode(status)
        request.setHeader(b"content-type", kind.encode())
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"x-content-type-options", b"nosniff")
        return body

    def _may(self, request: Request) -> bool:
        headers = request.requestHeaders
        authorization = (headers.getRawHeaders(b"authorization") or [b""])[0]
        passed_on = any(headers.hasHeader(name) for name in _PASSED_ON)
        return self._door is None or self._door.admits(str(request.getClientAddress().host), authorization, passed_on)


def as_json(status: int, content: dict[str, Any]) -> Answer:
    """An answer for people and probes."""
    return status, "application/json", json.dumps(content).encode() + b"\n"
