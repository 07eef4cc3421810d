"""Wiring of the web console: who may, what it shows, what an admin may do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from sipnode import __version__
from sipnode.console.api import Api
from sipnode.console.feed import Feed
from sipnode.console.listing import Listing
from sipnode.console.service import ConsoleService, Mount, Pages
from sipnode.console.signin import Doorkeeper
from sipnode.rpc import dispatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.web.resource import IResource

    from sipnode.insight.service import Insight
    from sipnode.lifecycle.reload import Reloader
    from sipnode.routing.core import Core
    from sipnode.rpc.endpoint import Endpoint
    from sipnode.settings import Settings
    from sipnode.web.signedin import PasswordGuard

ACTS: Final = frozenset((
    "dlg.terminate_dlg", "ul.rm", "ul.rm_contact", "ws.close", "defence.ban", "defence.unban", "rtpengine.enable", "rtpengine.ping",
    "sipnode.reload", "tls.reload",
))  # fmt: skip
"""Methods of the RPC that an admin may call from the console."""


KEYS: Final = tuple(f"console.{name}" for name in ("allow", "users", "session_seconds", "idle_seconds", "sessions", "viewers"))
"""Settings that a reload changes."""


class Console:
    """The console of a server: made before its ports, which have its pages, and connected when the rest is there.

    Args:
        core: The services. insight: Knowledge of calls. reactor: The reactor.
        aside: Runs what takes long beside the reactor; None for the reactor's own threads.

    Attributes:
        service: Its life. views: Further views by name.

    Raises:
        ConfigError: a network of ``[console] allow`` that can't be read.
    """

    def __init__(
        self, core: Core, insight: Insight, reactor: Any, aside: Callable[[Callable[[], bool]], Deferred[bool]] | None = None
    ) -> None:
        settings = core.settings
        self._core = core
        self._insight = insight
        self._endpoint: Endpoint | None = None
        self.views: dict[str, Callable[[str], Any]] = {}
        domain = settings.core.domains[0] if settings.core.domains else ""

        def verify(user: str, domain: str, password: str) -> Deferred[bool]:
            return core.authenticator.verify(user, domain, password)

        def in_a_thread(work: Callable[[], bool]) -> Deferred[bool]:
            return deferToThreadPool(reactor, reactor.getThreadPool(), work)

        def guard() -> PasswordGuard | None:
            return None if core.defence is None else core.defence.guard

        door = Doorkeeper(settings.console, domain, verify, reactor, guard, aside or in_a_thread)
        listing = Listing(insight)
        feed = Feed(insight, listing, reactor, settings.console.viewers, self._state)
        self.service = ConsoleService(door, feed, reactor)
        self._pages = Pages(Api(door, insight, listing, feed, self.views, ACTS, self._act, self._about, reactor))

    def page(self, page: IResource | None) -> IResource:
        """The console before the page of the WebSocket ports."""
        return Mount(self.service.door, self._pages, page)

    def connect(self, endpoint: Endpoint, reloader: Reloader) -> None:
        """What an admin does goes by the RPC from now on, and a reload changes users and limits."""
        self._endpoint = endpoint
        reloader.add("console", KEYS, self._reloaded)

    def _reloaded(self, new: Settings, old: Settings) -> None:
        """``[console]`` has changed."""
        self.service.door.use(new.console)
        self.service.feed.most = new.console.viewers

    def _state(self) -> dict[str, Any]:
        return {"recorder": self._insight.state(), "calls": len(self._core.dialogs), "now": self._core.clock()}

    def _about(self) -> dict[str, Any]:
        return {"version": __version__, "views": sorted(self.views), "state": self._state()}

    def _act(self, method: str, params: list[Any], who: str) -> Deferred[dict[str, Any]]:
        return Deferred.fromCoroutine(self._acted(method, params, who))

    async def _acted(self, method: str, params: list[Any], who: str) -> dict[str, Any]:
        if self._endpoint is None:
            return {"error": {"code": 503, "message": "the server isn't up yet"}}
        pieces = await self._endpoint.run(dispatch.Batch([dispatch.Call(method, params, 1)], True), who)
        answer: dict[str, Any] = json.loads(b"".join(pieces)) if pieces is not None else {}
        return {name: answer[name] for name in ("result", "error") if name in answer}


def console_of(core: Core, insight: Insight, reactor: Any) -> Console | None:
    """The console, None where there is to be none."""
    return Console(core, insight, reactor) if core.settings.console.enabled else None
