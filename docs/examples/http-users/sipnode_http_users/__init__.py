"""Users of sipnode from a web service; README.rst says what is asked and answered.

Invariant: every look-up ends within :data:`SECONDS`, reads :data:`MOST_OCTETS` of each answer at most, and no password of the URL gets into
an error.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from twisted.internet.defer import Deferred, DeferredSemaphore, ensureDeferred, gatherResults
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from zope.interface import implementer

from sipnode.errors import ConfigError, StorageError
from sipnode.interfaces import ICredentialBackend, ICredentialsPlugin
from sipnode.records import Credential

SECONDS = 3.0
"""For each user, waiting for others included."""
MOST_AT_ONCE = 16
MOST_OCTETS = 16384
LOOPBACK = ("localhost", "127.0.0.1", "::1")
HASHES = {"ha1": 32, "ha1b": 32, "ha1_sha256": 64, "ha1b_sha256": 64}
"""Fields of an answer, and how many hex digits each has."""

User = tuple[str, str]


class _Body(Protocol):
    """Takes the body of an answer, and no more of it than it may have."""

    def __init__(self) -> None:
        self.whole: Deferred[bytes] = Deferred(lambda _: self._abort())
        self._data = b""
        self._over = False

    def dataReceived(self, data: bytes) -> None:
        """A piece."""
        self._data += data
        if len(self._data) > MOST_OCTETS:
            self._end(StorageError(f"its answer has more than {MOST_OCTETS} octets"))
            self._abort()

    def connectionLost(self, reason: Failure = Failure(ResponseDone())) -> None:  # noqa: B008  # as Protocol has it
        """The end, or the connection's."""
        self._end(None if reason.check(ResponseDone) else StorageError("its answer broke off"))

    def _end(self, error: StorageError | None) -> None:
        if not self._over:
            self._over = True
            self.whole.callback(self._data) if error is None else self.whole.errback(error)

    def _abort(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()


@implementer(ICredentialBackend)
class HttpUsers:
    """A web service that knows users.

    Args:
        url: ``https://[NAME:PASSWORD@]HOST[:PORT][/PATH]``.

    Raises:
        ConfigError: another one.
    """

    def __init__(self, url: str, reactor: Any) -> None:
        self._base, self._headers = _read(url)
        self._reactor = reactor
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = MOST_AT_ONCE
        self._agent = Agent(reactor, connectTimeout=SECONDS, pool=self._pool)
        self._turn = DeferredSemaphore(MOST_AT_ONCE)

    def look_up(self, users: list[User]) -> Deferred[dict[User, Credential | Exception]]:
        """Ask for all of them side by side."""

        def found(answers: list[Credential | Exception | None]) -> dict[User, Credential | Exception]:
            return {user: answer for user, answer in zip(users, answers, strict=True) if answer is not None}

        return gatherResults([self._ask(user) for user in users]).addCallback(found)

    def close(self) -> Deferred[None]:
        """Let go of the connections."""
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed.addErrback(lambda _: None)

    def _ask(self, user: User) -> Deferred[Credential | Exception | None]:
        asked: Deferred[Credential | Exception | None] = ensureDeferred(self._one(user))
        return asked.addTimeout(SECONDS, self._reactor).addErrback(_as_error)

    async def _one(self, user: User) -> Credential | Exception | None:
        name, domain = user
        uri = f"{self._base}/users/{quote(name, safe='')}@{quote(domain, safe='')}"
        await self._turn.acquire()
        try:
            response: IResponse = await self._agent.request(b"GET", uri.encode("ascii"), self._headers)
            body = _Body()
            response.deliverBody(body)
            try:
                data = await body.whole
            except StorageError:
                # What else stands in another answer doesn't matter.
                if response.code == 200:
                    raise
        finally:
            self._turn.release()
        if response.code == 404:
            return None
        if response.code != 200:
            raise StorageError(f"the service says {response.code}")
        return _credential(user, data)


def _read(url: str) -> tuple[str, Headers]:
    """Where to ask, without a slash at its end, and with what headers."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, port = urlsplit(""), ""
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or parts.query or parts.fragment:
        raise ConfigError("has to be https://[NAME:PASSWORD@]HOST[:PORT][/PATH]", key="auth.backend_url")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise ConfigError("http: would send hashes of passwords in the clear; write https:", key="auth.backend_url")
    headers = Headers({b"User-Agent": [b"sipnode-http-users"], b"Accept": [b"application/json"]})
    if parts.username is not None:
        account = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers.addRawHeader(b"Authorization", b"Basic " + b64encode(account))
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{port}{parts.path.rstrip('/')}", headers


def _credential(user: User, data: bytes) -> Credential:
    """What an answer says of a user."""
    try:
        answer = json.loads(data)
    except ValueError:
        raise StorageError("its answer isn't JSON") from None
    found = {name: answer[name] for name in HASHES if answer.get(name)} if isinstance(answer, dict) else {}
    if not found:
        raise StorageError(f"its answer has none of {', '.join(HASHES)}")
    for name, value in found.items():
        if not isinstance(value, str) or not re.fullmatch(f"[0-9a-fA-F]{{{HASHES[name]}}}", value):
            raise StorageError(f"{name} of its answer isn't {HASHES[name]} hex digits")
    return Credential(*user, **{name: value.lower() for name, value in found.items()})


def _as_error(failure: Failure) -> StorageError:
    """Whatever went wrong with one user is its own."""
    reason = failure.value
    return reason if isinstance(reason, StorageError) else StorageError(f"{type(reason).__name__}: {reason}".rstrip(": "))


@implementer(ICredentialsPlugin)
class HttpBackends:
    """What ``[auth] backend = "http"`` chooses."""

    name = "http"

    def make(self, url: str, reactor: Any) -> ICredentialBackend:
        """A backend; nothing is asked yet."""
        return HttpUsers(url, reactor)


backends = HttpBackends()
