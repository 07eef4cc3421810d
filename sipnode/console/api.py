"""What the console's page asks the server, and who may: everything below ``/console/api/``.

The invariant: without a session nothing is told but how to get one; without the role ``admin``, our own Origin and the session's proof
nothing is changed; and who changed what stands in the log.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from sipnode.console.answers import answer, guard, refuse
from sipnode.console.callview import call_view, message_view
from sipnode.console.members import ADMIN
from sipnode.console.signin import is_foreign, is_private
from sipnode.console.slices import Slices
from sipnode.errors import SipnodeError

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure
    from twisted.web.server import Request

    from sipnode.console.feed import Feed
    from sipnode.console.listing import Listing
    from sipnode.console.sessions import Session
    from sipnode.console.signin import Doorkeeper
    from sipnode.insight.service import Insight

MOST_OCTETS: Final = 16384
"""Of what a page sends."""
View = Callable[[str], Any]
"""A further view: what is looked for, and what is found."""
Act = Callable[[str, list[Any], str], "Deferred[dict[str, Any]]"]
"""Something that an admin does: a method of the RPC, its parameters, who asks; gives its answer."""
_EXPORTS: Final = {
    "text": ("text/plain; charset=utf-8", "txt"), "mermaid": ("text/plain; charset=utf-8", "mmd"),
    "markdown": ("text/markdown; charset=utf-8", "md"), "json": ("application/json", "json"),
    "svg": ("image/svg+xml", "svg"), "pcap": ("application/vnd.tcpdump.pcap", "pcap"),
}  # fmt: skip


class Api(Resource):
    """Answers the page.

    Args:
        door: Who may. insight: The recorder's records. listing: Their lines. feed: Tells what happens.
        views: Further views by name. acts: Names of what an admin may do. act: Does it.
        about: What a page is told at its sign-in. clock: IReactorTime.
    """

    isLeaf = True
    log = Logger(namespace="sipnode.console")

    def __init__(
        self,
        door: Doorkeeper,
        insight: Insight,
        listing: Listing,
        feed: Feed,
        views: dict[str, View],
        acts: frozenset[str],
        act: Act,
        about: Callable[[], dict[str, Any]],
        clock: IReactorTime,
    ) -> None:
        Resource.__init__(self)
        self._door = door
        self._insight = insight
        self._listing = listing
        self._feed = feed
        self._views = views
        self._acts = acts
        self._act = act
        self._about = about
        self._clock = clock
        self._gets: dict[str, Callable[[Request, Session], bytes | int]] = {
            "session": self._session, "calls": self._calls, "call": self._call, "message": self._message, "export": self._export,
            "feed": self._open_feed, "view": self._view,
        }  # fmt: skip

    def render(self, request: Request) -> bytes | int:
        """Twisted: a request for something below here."""
        name = b"/".join(request.postpath or []).decode("ascii", "replace")
        if is_foreign(request):
            return refuse(request, http.FORBIDDEN, "Another site asks.")
        if request.method == b"POST":
            return self._post(request, name)
        if request.method != b"GET":
            request.responseHeaders.setRawHeaders("allow", ["GET, POST"])
            return refuse(request, http.NOT_ALLOWED, "There is only GET and POST here.")
        session = self._door.session(request)
        if session is None:
            return refuse(request, http.UNAUTHORIZED, "Sign in first.")
        handler = self._gets.get(name)
        if handler is None:
            return refuse(request, http.NOT_FOUND, "There is no such thing here.")
        return handler(request, session)

    # -- signing in and out, changing

    def _post(self, request: Request, name: str) -> bytes | int:
        session = None if name == "signin" else self._door.session(request)
        if name != "signin" and session is None:
            return refuse(request, http.UNAUTHORIZED, "Sign in first.")
        if not self._door.may_change(request, session):
            return refuse(request, http.FORBIDDEN, "This didn't come from the console's own page.")
        given = _json_of(request)
        if given is None:
            return refuse(request, http.BAD_REQUEST, "That isn't JSON as the page sends it.")
        if name == "signin":
            return self._sign_in(request, given)
        assert session is not None
        if name == "signout":
            self._door.leave(request)
            return answer(request, http.OK, {})
        if name == "act":
            return self._do(request, session, given)
        return refuse(request, http.NOT_FOUND, "There is no such thing here.")

    def _sign_in(self, request: Request, given: dict[str, Any]) -> bytes | int:
        user, password = given.get("user"), given.get("password")
        if not (isinstance(user, str) and isinstance(password, str) and user.isprintable()):
            return refuse(request, http.BAD_REQUEST, "A sign-in has a user and a password.")
        if not is_private(request):
            return refuse(request, http.FORBIDDEN, "A password travels here: only over https, or on this machine itself.")
        return self._later(request, Deferred.fromCoroutine(self._enter(request, user, password)))

    async def _enter(self, request: Request, user: str, password: str) -> bytes:
        outcome = await self._door.enter(request, user, password)
        if outcome.session is not None:
            self.log.info("{user} signed in to the console from {host}", user=outcome.session.user, host=_host(request))
            self._door.cookie(request, outcome.name)
            return answer(request, http.OK, self._told(outcome.session))
        if outcome.status in (http.UNAUTHORIZED, http.FORBIDDEN):
            # The doorkeeper lets a source try but a few times a minute, so these lines are few.
            text = "{user} was not let in to the console from {host}: {status}"
            self.log.warn(text, user=user[:64], host=_host(request), status=outcome.status)
        if outcome.wait:
            request.responseHeaders.setRawHeaders("retry-after", [str(int(outcome.wait) + 1)])
        text = {
            401: "User name or password is wrong.",
            403: "You have no role in this console. [console] users of the server's configuration gives one.",
            429: "Too many wrong passwords from this address. Try again later.",
        }.get(outcome.status, "The server is busy. Try again.")
        return refuse(request, outcome.status, text)

    def _told(self, session: Session) -> dict[str, Any]:
        return {"user": session.user, "role": session.role, "proof": session.proof, **self._about()}

    def _do(self, request: Request, session: Session, given: dict[str, Any]) -> bytes | int:
        method, params = given.get("method"), given.get("params", [])
        if session.role != ADMIN:
            return refuse(request, http.FORBIDDEN, "Your role sees, it doesn't act.")
        if not isinstance(method, str) or method not in self._acts or not isinstance(params, list):
            return refuse(request, http.BAD_REQUEST, "The console has no such act.")
        done = self._act(method, params, f"console {session.user} {_host(request)}")
        return self._later(request, done.addCallback(lambda result: answer(request, http.OK, result)))

    # -- looking

    def _session(self, request: Request, session: Session) -> bytes:
        return answer(request, http.OK, self._told(session))

    def _calls(self, request: Request, _session: Session) -> int:
        self._stream(request, self._listing.pieces(self._insight.state()["on"], self._clock.seconds, self._feed.flooded))
        return NOT_DONE_YET

    def _call(self, request: Request, _session: Session) -> bytes:
        return answer(request, http.OK, call_view(self._insight, _argument(request, "id")))

    def _message(self, request: Request, _session: Session) -> bytes:
        number = _argument(request, "n")
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            return refuse(request, http.BAD_REQUEST, "n is the number of an event.")
        return answer(request, http.OK, message_view(self._insight, _argument(request, "id"), int(number)))

    def _export(self, request: Request, _session: Session) -> bytes:
        form = _argument(request, "form")
        kind = _EXPORTS.get(form)
        if kind is None:
            return refuse(request, http.BAD_REQUEST, f"form is one of {', '.join(_EXPORTS)}.")
        try:
            export = self._insight.export(_argument(request, "id"), form)
        except KeyError:
            return refuse(request, http.NOT_FOUND, "This server doesn't make that form.")
        if not export["found"]:
            return refuse(request, http.NOT_FOUND, export["text"])
        body = _octets(export["text"], export["base64"])
        guard(request)
        headers = request.responseHeaders
        headers.setRawHeaders("content-type", [kind[0]])
        headers.setRawHeaders("content-length", [str(len(body))])
        headers.setRawHeaders("cache-control", ["no-store"])
        # Never shown in the console's own origin, whatever is in it.
        headers.setRawHeaders("content-disposition", [f'attachment; filename="call.{kind[1]}"'])
        return body

    def _view(self, request: Request, session: Session) -> bytes | int:
        name = _argument(request, "name")
        view = self._views.get(name)
        if view is None:
            return refuse(request, http.NOT_FOUND, "There is no such view.")
        found = view(_argument(request, "search")[:200])
        if isinstance(found, Deferred):
            return self._later(request, found.addCallback(lambda value: answer(request, http.OK, value)))
        return answer(request, http.OK, found)

    def _open_feed(self, request: Request, session: Session) -> bytes | int:
        guard(request)
        headers = request.responseHeaders
        headers.setRawHeaders("content-type", ["text/event-stream"])
        headers.setRawHeaders("cache-control", ["no-store"])
        headers.setRawHeaders("x-accel-buffering", ["no"])
        if not self._feed.open(request, _argument(request, "call"), session):
            text = f"{self._feed.most} pages are live already; [console] viewers allows no more."
            return refuse(request, http.SERVICE_UNAVAILABLE, text)
        return NOT_DONE_YET

    # -- ways to answer

    def _stream(self, request: Request, pieces: Iterator[bytes]) -> None:
        guard(request)
        headers = request.responseHeaders
        headers.setRawHeaders("content-type", ["application/json"])
        headers.setRawHeaders("cache-control", ["no-store"])
        Slices(pieces, request, self._clock.callLater).start()

    def _later(self, request: Request, work: Deferred[bytes]) -> int:
        request.notifyFinish().addErrback(lambda _: work.cancel())

        def write(body: bytes) -> None:
            request.write(body)
            request.finish()

        work.addErrback(self._fault, request)
        work.addCallback(lambda body: write(body) if body is not None else None)
        return NOT_DONE_YET

    def _fault(self, failure: Failure, request: Request) -> bytes | None:
        if failure.check(CancelledError) or getattr(request, "_disconnected", False):
            return None
        if failure.check(SipnodeError):
            return refuse(request, http.SERVICE_UNAVAILABLE, failure.getErrorMessage())
        self.log.failure("the console failed", failure)
        return refuse(request, http.INTERNAL_SERVER_ERROR, "Something went wrong; the log says what.")


def _octets(text: str, is_base64: bool) -> bytes:
    return base64.b64decode(text) if is_base64 else text.encode("utf-8", "backslashreplace")


def _argument(request: Request, name: str) -> str:
    """A parameter of the query; octets that are no UTF-8 come as the recorder has them in a Call-ID."""
    _, _, query = request.uri.partition(b"?")
    for part in query.split(b"&"):
        key, _, value = part.partition(b"=")
        if key == name.encode():
            return unquote_to_bytes(value).decode("utf-8", "surrogateescape")
    return ""


def _json_of(request: Request) -> dict[str, Any] | None:
    """The body of a request, None where it isn't an object, or too large."""
    kind = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
    content: Any = request.content
    content.seek(0)
    body: bytes = content.read(MOST_OCTETS + 1)
    if kind != "application/json" or len(body) > MOST_OCTETS:
        return None
    try:
        given = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return given if isinstance(given, dict) else None


def _host(request: Request) -> str:
    return str(getattr(request.getClientAddress(), "host", ""))

