"""The door of the console: who may knock, how a password is looked at, which cookie a browser gets, and what a change has to show.

Implements: RFC 6265bis (SameSite, HttpOnly, Secure), RFC 6454 §7 (Origin), RFC 6585 §4 (429). The invariant: nobody learns anything here
without a password of somebody who has a role, and no page of another site can have a signed-in browser change anything.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.task import deferLater

from sipnode.addresses import is_within, networks, source_of
from sipnode.console.members import NOBODY, Members, matches
from sipnode.console.sessions import Session, Sessions
from sipnode.web.signedin import ANSWER_SECONDS, WINDOW_SECONDS, FailureLimiter, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime
    from twisted.web.server import Request

    from sipnode.settings import ConsoleSettings
    from sipnode.web.signedin import PasswordGuard

COOKIE: Final = "sipnode-console"
PATH: Final = "/console"
PROOF: Final = "x-sipnode-proof"
"""The header in which a change shows its session's proof."""
_PASSED_ON: Final = ("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded", "x-real-ip", "via", "true-client-ip")
_AT_ONCE: Final = 2
_MOST_WAITING: Final = 16
_LONGEST: Final = 1024


class Outcome(NamedTuple):
    """What became of a sign-in.

    Attributes:
        status: 200, 401, 403, 429 or 503.
        name: Of the session, for the cookie; "" for none. session: It.
        wait: Seconds until the next attempt is looked at.
    """

    status: int
    name: str = ""
    session: Session | None = None
    wait: float = 0.0


class Doorkeeper:
    """Lets people in.

    Args:
        settings: ``[console]``.
        domain: Of a user who signs in without one.
        verify: Whether user, domain and password belong together.
        clock: For sessions, for limits, and for the even time of refusals.
        guard: Gives who counts wrong passwords wherever they are shown, None for nobody.
        aside: Runs what takes long beside the reactor.

    Attributes:
        sessions: Those that there are. limiter: Counts wrong passwords by source. refused: Sign-ins that were refused.

    Raises:
        ConfigError: ``allow`` has what is no network.
    """

    def __init__(
        self,
        settings: ConsoleSettings,
        domain: str,
        verify: Callable[[str, str, str], Deferred[bool]],
        clock: IReactorTime,
        guard: Callable[[], PasswordGuard | None],
        aside: Callable[[Callable[[], bool]], Deferred[bool]],
    ) -> None:
        self._networks = networks(settings.allow, "console.allow")
        self._members = Members(settings.users)
        self._domain = domain
        self._verify = verify
        self._clock = clock
        self._guard = guard
        self._aside = aside
        self._hands = DeferredSemaphore(_AT_ONCE)
        self._waiting = 0
        self.sessions = Sessions(settings.session_seconds, settings.idle_seconds, settings.sessions)
        self.limiter = FailureLimiter(clock.seconds)
        self.refused = 0

    def use(self, settings: ConsoleSettings) -> None:
        """Take other users and times; who has lost its role is signed out.

        Raises:
            ConfigError: ``allow`` has what is no network; nothing has changed then.
        """
        self._networks = networks(settings.allow, "console.allow")
        self._members = members = Members(settings.users)
        sessions = self.sessions
        sessions.seconds, sessions.idle, sessions.most = settings.session_seconds, settings.idle_seconds, settings.sessions

        def still(user: str, role: str) -> bool:
            member = members.get(user)
            return member is not None and member.role == role

        sessions.keep(still)

    def knows(self, request: Request) -> bool:
        """Whether the console is there at all for whoever sends a request."""
        return is_within(_host(request), self._networks) and not is_passed_on(request)

    def session(self, request: Request) -> Session | None:
        """The session that a request belongs to, None for none."""
        return self.sessions.get(_cookie(request), self._clock.seconds())

    def may_change(self, request: Request, session: Session | None) -> bool:
        """Whether a request comes from our own page; with a session, from that of the session."""
        if not is_own_origin(request):
            return False
        shown = request.getHeader(PROOF) or ""
        return session is None or (len(shown) < _LONGEST and _same(shown, session.proof))

    def cookie(self, request: Request, name: str) -> None:
        """Give the browser a session, or take it away with ""."""
        text = f"{COOKIE}={name}; Path={PATH}; HttpOnly; SameSite=Strict"
        if request.isSecure():
            text += "; Secure"
        if not name:
            text += "; Max-Age=0"
        request.responseHeaders.setRawHeaders("set-cookie", [text])

    def leave(self, request: Request) -> None:
        """Sign out."""
        self.sessions.end(_cookie(request))
        self.cookie(request, "")

    async def enter(self, request: Request, user: str, password: str) -> Outcome:
        """Judge a sign-in."""
        host = _host(request)
        source, began, guard = source_of(host), self._clock.seconds(), self._guard()
        name = user if "@" in user or self._members.get(user) is not None else f"{user}@{self._domain}"
        counted = name if "@" in name else f"{name}@console"
        wait = self.limiter.wait(source)
        if not wait and guard is not None and guard.refuses_password(host, counted):
            wait = WINDOW_SECONDS
        if wait:
            self.refused += 1
            return Outcome(429, wait=wait)
        if self._waiting >= _MOST_WAITING:
            return Outcome(503, wait=1.0)
        # Counted as wrong before it is known, so that guesses made side by side are counted, too.
        self.limiter.begin(source)
        right = await self._right(name, password)
        if guard is not None and guard.refuses_password(host, counted):
            right = False
        elif guard is not None:
            (guard.right if right else guard.wrong)(host, counted)
        member = self._members.get(name) if right else None
        if right:
            self.limiter.forgive(source)
        if member is not None:
            key, session = self.sessions.begin(member.name, member.role, self._clock.seconds())
            return Outcome(200, key, session)
        self.refused += 1
        await deferLater(self._clock, max(0.0, began + ANSWER_SECONDS - self._clock.seconds()))
        return Outcome(403 if right else 401)

    async def _right(self, name: str, password: str) -> bool:
        if len(name) > _LONGEST or len(password) > _LONGEST:
            return False
        self._waiting += 1
        try:
            user, at, domain = name.rpartition("@")
            if at:
                return await self._verify(user, domain, password)
            member = self._members.get(name)
            kept = member.secret if member is not None else NOBODY
            right: bool = await self._hands.run(self._aside, lambda: matches(password, kept))
            return right and member is not None
        finally:
            self._waiting -= 1


def is_private(request: Request) -> bool:
    """Whether a password may travel in a request: by https, or on this machine itself."""
    return bool(request.isSecure()) or is_loopback(_host(request))


def is_passed_on(request: Request) -> bool:
    """Whether a request came by loopback and isn't from this machine: by a proxy that ``[transport] proxies`` doesn't have."""
    if not is_loopback(_host(request)):
        return False
    name = (request.getHeader("host") or "").strip().lower()
    name = name[1 : name.find("]")] if name.startswith("[") else name.partition(":")[0]
    if name != "localhost" and not is_loopback(name):
        return True
    # nginx as it comes speaks HTTP/1.0 and leaves no other trace.
    return request.clientproto == b"HTTP/1.0" or any(request.requestHeaders.hasHeader(each) for each in _PASSED_ON)


def is_own_origin(request: Request) -> bool:
    """Whether a request says that a page of this very address has made it."""
    origin, host = request.getHeader("origin") or "", request.getHeader("host") or ""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if parts.scheme not in (("https",) if request.isSecure() else ("http", "https")) or not host:
        return False
    return parts.netloc.lower() == host.strip().lower()


def is_foreign(request: Request) -> bool:
    """Whether the browser says that a page of another origin, or a link of one, has made it."""
    return (request.getHeader("sec-fetch-site") or "none") not in ("same-origin", "none")


def _host(request: Request) -> str:
    return str(getattr(request.getClientAddress(), "host", ""))


def _cookie(request: Request) -> str:
    """The session's name. Cookies of others on this host, whatever is in them, don't hide it."""
    found: bytes | None = request.getCookie(COOKIE.encode())
    return found.decode("ascii", "replace") if found is not None else ""


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())
