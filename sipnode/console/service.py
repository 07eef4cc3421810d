"""The console put together, and mounted before the pages of the WebSocket ports.

The invariant: to an address that ``[console] allow`` doesn't have, it is as if there were no console.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.web.resource import Resource

from sipnode.console.answers import Moved, Nothing, PageFiles

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.web.resource import IResource
    from twisted.web.server import Request

    from sipnode.console.api import Api
    from sipnode.console.feed import Feed
    from sipnode.console.listener import Listener
    from sipnode.console.signin import Doorkeeper

NAME: Final = b"console"
_TIDY_SECONDS: Final = 60.0


class Pages(Resource):
    """``/console/``: the page's files, and what they ask.

    Args:
        api: Answers what they ask.
    """

    def __init__(self, api: Api) -> None:
        Resource.__init__(self)
        self._files = PageFiles()
        self._api = api

    def getChild(self, path: bytes, request: Request) -> IResource:
        """Twisted: the api, or a file."""
        if path == b"api":
            return self._api
        if request.postpath:
            return Nothing()
        return self._files.get(path.decode("ascii", "replace"))


class Mount(Resource):
    """The console beside the page that is there otherwise.

    Args:
        door: Knows for whom it is there.
        pages: It.
        page: Everything else; None for 404.
    """

    def __init__(self, door: Doorkeeper, pages: Pages, page: IResource | None) -> None:
        Resource.__init__(self)
        self._door = door
        self._pages = pages
        self._page = page

    def getChildWithDefault(self, path: bytes, request: Request) -> Any:
        """Twisted: whose path it is."""
        if path == NAME and self._door.knows(request):
            return self._pages if request.postpath else Moved()
        if not path and self._page is None and self._door.knows(request):
            return Moved()
        if self._page is None:
            return Nothing()
        return self._page.getChildWithDefault(path, request)


class ConsoleService(Service):
    """Its life: sessions that are over end, and pages are closed when the server stops.

    Args:
        door: Has the sessions.
        feed: Has the open pages.
        reactor: IReactorTime.

    Attributes:
        door, feed: As given. listener: A port of its own, None for none.
    """

    name = "console"

    def __init__(self, door: Doorkeeper, feed: Feed, reactor: Any) -> None:
        self.door = door
        self.feed = feed
        self._reactor = reactor
        self.listener: Listener | None = None
        self._tidy: IDelayedCall | None = None

    def startService(self) -> None:
        """Twisted: begin to look at sessions."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self._look()
        if self.listener is not None:
            self.listener.startService()

    def stopService(self) -> Any:
        """Twisted: everybody is signed out."""
        if self._tidy is not None and self._tidy.active():
            self._tidy.cancel()
        self.feed.stop()
        self.door.sessions.end_all()
        super().stopService()  # type: ignore[no-untyped-call]  # as above
        return self.listener.stopService() if self.listener is not None else None

    def _look(self) -> None:
        self.door.sessions.end_old(self._reactor.seconds())
        self._tidy = self._reactor.callLater(_TIDY_SECONDS, self._look)


