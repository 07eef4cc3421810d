"""Requests of a routing script to the HTTP services of its own site: is this caller wanted, this call has ended.

The invariant: a service that is slow, or answers without end, costs one waiting request and no more: there is a time limit, a bound on the
answer and on how many wait. Redirects are not followed, since a service of one's own has the address that was written.
"""

from __future__ import annotations

import json as jsonlib
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode, urlsplit

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IResponse
from zope.interface import implementer

from sipnode.errors import SipnodeError

SECONDS: Final = 5.0
"""How long an answer may take, connecting and body included."""
MOST_OCTETS: Final = 1 << 20
"""Of the body of an answer."""
MOST_WAITING: Final = 200
"""Requests that wait for their answer at the same time."""


class HttpError(SipnodeError):
    """No answer could be had: refused, too slow, too long, no JSON."""


class HttpAnswer(NamedTuple):
    """The answer of a service.

    Attributes:
        status: Of HTTP. body: Octets.
        traceparent: Of the service's own trace, where it says one (``traceparent`` or ``traceresponse``), for :meth:`Request.traced`.
    """

    status: int
    body: bytes
    traceparent: str = ""

    def json(self) -> Any:
        """The body, read as JSON.

        Raises:
            HttpError: it is none.
        """
        try:
            return jsonlib.loads(self.body)
        except ValueError as error:
            raise HttpError(f"the answer is no JSON: {error}") from None


class HttpClient:
    """Asks services.

    Args:
        reactor: For connections and time.
        seconds: How long an answer may take.

    Attributes:
        waiting: Requests that wait for their answer.
    """

    def __init__(self, reactor: IReactorTime, seconds: float = SECONDS) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._pool: HTTPConnectionPool | None = None
        self._agent: Agent | None = None
        self.waiting = 0

    def get(self, url: str, params: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> Deferred[HttpAnswer]:
        """GET a resource.

        Args:
            url: http or https. params: Its query, quoted here. headers: Further ones.

        Returns:
            The answer, of whatever status; fails with HttpError.
        """
        return self.request("GET", f"{url}{'&' if '?' in url else '?'}{urlencode(params)}" if params else url, None, headers)

    def post(self, url: str, json: Any = None, headers: dict[str, str] | None = None) -> Deferred[HttpAnswer]:
        """POST a document.

        Args:
            url: http or https. json: What can be written as JSON. headers: Further ones.

        Returns:
            The answer, of whatever status; fails with HttpError.
        """
        return self.request("POST", url, jsonlib.dumps(json).encode(), {"Content-Type": "application/json", **(headers or {})})

    def request(self, method: str, url: str, body: bytes | None, headers: dict[str, str] | None = None) -> Deferred[HttpAnswer]:
        """Any request; as :meth:`get`."""
        try:
            parts = urlsplit(url)
            refusal = "" if parts.scheme in ("http", "https") and parts.hostname else f"{url!r} isn't http or https"
        except ValueError as error:
            refusal = f"{url!r}: {error}"
        if refusal or self.waiting >= MOST_WAITING:
            return fail(HttpError(refusal or f"{MOST_WAITING} requests wait already"))
        if self._agent is None:
            self._pool = HTTPConnectionPool(self._reactor, persistent=True)
            self._agent = Agent(self._reactor, connectTimeout=self._seconds, pool=self._pool)
        sent = Headers({"User-Agent": ["sipnode"]})
        for name, value in (headers or {}).items():
            sent.setRawHeaders(name, [value])
        self.waiting += 1
        try:
            asked = self._agent.request(method.encode(), url.encode(), sent, _Octets(body) if body is not None else None)
        except (ValueError, UnicodeError) as error:
            asked = fail(HttpError(f"{url!r}: {error}"))
        answer: Deferred[HttpAnswer] = asked.addCallback(_collect)
        timer: IDelayedCall = self._reactor.callLater(self._seconds, answer.cancel)
        return answer.addBoth(self._done, parts.hostname or "", timer)

    def _done(self, result: HttpAnswer | Failure, host: str, timer: IDelayedCall) -> HttpAnswer | Failure:
        self.waiting -= 1
        if timer.active():
            timer.cancel()
        elif isinstance(result, Failure):
            raise HttpError(f"{host}: no answer within {self._seconds:g} s") from None
        if isinstance(result, Failure) and result.check(HttpError) is None:
            raise HttpError(f"{host}: {result.type.__name__ if result.type else ''}: {result.getErrorMessage()}") from None
        return result

    def close(self) -> Deferred[None]:
        """Let idle connections go."""
        if self._pool is None:
            done: Deferred[None] = Deferred()
            done.callback(None)
            return done
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed


def _collect(response: IResponse) -> Deferred[HttpAnswer]:
    collector: _Collector

    def abort(_: Deferred[HttpAnswer]) -> None:
        collector.abort()

    done: Deferred[HttpAnswer] = Deferred(abort)
    named = response.headers.getRawHeaders(b"traceparent") or response.headers.getRawHeaders(b"traceresponse") or [b""]
    collector = _Collector(response.code, done, named[0][:128].decode("latin-1"))
    response.deliverBody(collector)
    return done


class _Collector(Protocol):
    """Takes the body of an answer, up to the bound."""

    def __init__(self, status: int, done: Deferred[HttpAnswer], parent: str) -> None:
        self._status = status
        self._parent = parent
        self._done: Deferred[HttpAnswer] | None = done
        self._parts: list[bytes] = []
        self._octets = 0

    def dataReceived(self, data: bytes) -> None:
        """A part."""
        self._octets += len(data)
        if self._octets <= MOST_OCTETS:
            self._parts.append(data)
            return
        self.abort()
        if (done := self._taken()) is not None:
            done.errback(HttpError(f"an answer of more than {MOST_OCTETS} octets"))

    def abort(self) -> None:
        """Nobody wants the rest."""
        abort = getattr(self.transport, "abortConnection", None)
        if abort is not None:
            abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end."""
        done = self._taken()
        if done is None:
            return
        if reason.check(ResponseDone):
            done.callback(HttpAnswer(self._status, b"".join(self._parts), self._parent))
        elif not done.called:
            done.errback(HttpError(f"the answer broke off: {reason.getErrorMessage()}"))

    def _taken(self) -> Deferred[HttpAnswer] | None:
        done, self._done = self._done, None
        return done


@implementer(IBodyProducer)
class _Octets:
    """A body that is all there."""

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Write it."""
        consumer.write(self._body)
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def pauseProducing(self) -> None:
        """It is written already."""

    def stopProducing(self) -> None:
        """It is written already."""

    def resumeProducing(self) -> None:
        """It is written already."""
