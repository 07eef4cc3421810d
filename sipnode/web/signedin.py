"""Pages of the server's users: what one who has signed in to the softphone may ask for by HTTP.

Implements: RFC 7617 (Basic credentials), RFC 6585 §4 (429).

Invariant: nobody learns anything here, not even whether a user exists, without that domain's user name and password, and a guess
costs the same time whatever was wrong with it.
"""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.server import NOT_DONE_YET, Request

from sipnode.addresses import source_of
from sipnode.errors import SipnodeError
from sipnode.web.pages import Page, respond_json

ANSWER_SECONDS = 0.25
"""A refusal isn't sent earlier than this after the request, so that its time tells nothing of the store."""
FAILURES = 10
WINDOW_SECONDS = 60.0
SOURCES = 4096
TOO_MANY_REQUESTS = 429
_CREDENTIAL_BYTES = 2048


class Credentials(NamedTuple):
    """The claims of a caller about itself."""

    username: str
    domain: str
    password: str


def parse_basic(header: str | None) -> Credentials | None:
    """Read ``Basic`` credentials whose user is ``user@domain`` (RFC 7617 §2), None where they aren't that."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "basic" or len(token) > _CREDENTIAL_BYTES:
        return None
    try:
        text = base64.b64decode(token.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    who, colon, password = text.partition(":")
    username, at, domain = who.rpartition("@")
    if not (colon and at and username and domain) or any(ord(char) < 32 for char in text):
        return None
    return Credentials(username, domain.lower(), password)


def is_loopback(host: str) -> bool:
    """Whether an address of a peer is this machine itself."""
    host = host.lower().removeprefix("::ffff:")
    return host == "::1" or (host.startswith("127.") and host.count(".") == 3)


def _who(credentials: Credentials) -> str:
    return f"{credentials.username}@{credentials.domain}"


class FailureLimiter:
    """Counts wrong credentials by source; a source over the limit is refused until its window has passed.

    Args:
        seconds: Monotonic clock.
        failures: Most failures of a source within the window.
        window: Seconds from a source's first failure.
        sources: Most sources remembered; the one that was quiet longest is forgotten first.
    """

    def __init__(
        self, seconds: Callable[[], float], failures: int = FAILURES, window: float = WINDOW_SECONDS, sources: int = SOURCES
    ) -> None:
        self._seconds = seconds
        self._failures = failures
        self._window = window
        self._sources = sources
        self._table: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._table)

    def wait(self, source: str) -> float:
        """Seconds that this source has to wait, 0 for none."""
        since, count = self._table.get(source, (0.0, 0))
        if count < self._failures:
            return 0.0
        left = since + self._window - self._seconds()
        return max(left, 0.0)

    def begin(self, source: str) -> None:
        """Count an attempt as failed before its outcome is known, so that guesses made side by side are counted too."""
        now = self._seconds()
        since, count = self._table.pop(source, (now, 0))
        if now - since >= self._window:
            since, count = now, 0
        self._table[source] = (since, count + 1)
        if len(self._table) > self._sources:
            self._table.popitem(last=False)

    def forgive(self, source: str) -> None:
        """Take one attempt back: it was right, or it was never judged."""
        since, count = self._table.get(source, (0.0, 0))
        if count > 1:
            self._table[source] = (since, count - 1)
        else:
            self._table.pop(source, None)


class PasswordGuard(Protocol):
    """The guard that counts wrong passwords for SIP and HTTP together (:class:`sipnode.interfaces.IDigestGuard`)."""

    def refuses_password(self, host: str, user: str) -> bool:
        """Whether a password from there isn't to be looked at."""

    def right(self, host: str, user: str) -> None:
        """It was right."""

    def wrong(self, host: str, user: str) -> None:
        """It was wrong."""


class SignedInPage(Page):
    """A page for a user with its password.

    Args:
        verify: Whether name, domain and password belong together. It should cost the same for a user that doesn't exist.
        clock: For the limiter and for the even time of refusals.
        guard: Gives who counts wrong passwords wherever they are shown, None for nobody.
        limiter: That of other such pages, so that guesses are counted together; None for one of its own.

    Attributes:
        limiter: Counts wrong credentials.
    """

    log = Logger()
    what = "page"
    """What it is called in the log, and as the realm."""

    def __init__(
        self,
        verify: Callable[[str, str, str], Deferred[bool]],
        clock: IReactorTime,
        guard: Callable[[], PasswordGuard | None] = lambda: None,
        limiter: FailureLimiter | None = None,
    ) -> None:
        super().__init__()
        self._guard = guard
        self._verify = verify
        self._clock = clock
        self.limiter = limiter or FailureLimiter(clock.seconds)

    async def answer(self, credentials: Credentials) -> object:
        """What a user gets, as JSON has it."""
        raise NotImplementedError

    def render_GET(self, request: Request) -> bytes | int:
        """The page, or why not: 401, 403, 429, 503."""
        host = str(getattr(request.getClientAddress(), "host", ""))
        if not (request.isSecure() or is_loopback(host)):
            return respond_json(request, http.FORBIDDEN, {"error": "A password travels here: only over https, or on this machine itself."})
        source = source_of(host)
        wait = self.limiter.wait(source)
        if not wait and self._refused(host, request.getHeader("authorization")):
            wait = WINDOW_SECONDS
        if wait:
            request.responseHeaders.setRawHeaders("retry-after", [str(int(wait) + 1)])
            return respond_json(request, TOO_MANY_REQUESTS, {"error": "Too many wrong passwords from this address."})
        credentials = parse_basic(request.getHeader("authorization"))
        if credentials is None:
            return self._unauthorized(request)
        work = Deferred.fromCoroutine(self._serve(request, credentials, source, host))
        request.notifyFinish().addErrback(lambda _: work.cancel())
        work.addErrback(self._fault, request)
        return NOT_DONE_YET

    def _refused(self, host: str, header: str | None) -> bool:
        guard, credentials = self._guard(), parse_basic(header)
        return guard is not None and credentials is not None and guard.refuses_password(host, _who(credentials))

    async def _serve(self, request: Request, credentials: Credentials, source: str, host: str) -> None:
        started = self._clock.seconds()
        self.limiter.begin(source)
        try:
            right = await self._verify(*credentials)
        except CancelledError:
            raise  # a guess that hangs up early counts
        except Exception:
            self.limiter.forgive(source)
            raise
        guard = self._guard()
        if guard is not None:
            if guard.refuses_password(host, _who(credentials)):
                # Others from there were judged meanwhile: guesses side by side are no more than one by one.
                right = False
            else:
                (guard.right if right else guard.wrong)(host, _who(credentials))
        if right:
            self.limiter.forgive(source)
            request.write(respond_json(request, http.OK, await self.answer(credentials)))
        else:
            await deferLater(self._clock, max(0.0, started + ANSWER_SECONDS - self._clock.seconds()))
            request.write(self._unauthorized(request))
        request.finish()

    def _fault(self, failure: Failure, request: Request) -> None:
        if failure.check(CancelledError):
            return
        if failure.check(SipnodeError):
            self.log.warn("{what}: {reason}", what=self.what, reason=failure.getErrorMessage())
        else:
            self.log.failure("{what} failed", failure, what=self.what)
        request.write(respond_json(request, http.SERVICE_UNAVAILABLE, {"error": f"The {self.what} isn't available right now."}))
        request.finish()

    def _unauthorized(self, request: Request) -> bytes:
        # A scheme that no browser knows: `Basic` here would open the browser's own password window over the page.
        request.responseHeaders.setRawHeaders("www-authenticate", [f'Sipnode realm="{self.what}"'])
        return respond_json(request, http.UNAUTHORIZED, {"error": "User name or password is wrong."})
