"""Wiring of the web console: who may, what it shows, what an admin may do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from sipnode import __version__
from sipnode.console.api import Api
from sipnode.console.feed import Feed
from sipnode.console.listener import Listener
from sipnode.console.listing import Listing
from sipnode.console.service import ConsoleService, Mount, Pages
from sipnode.console.signin import Doorkeeper
from sipnode.errors import ConfigError
from sipnode.rpc import dispatch
from sipnode.wiring.consoleviews import ConsoleViews

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.web.resource import IResource

    from sipnode.insight.service import Insight
    from sipnode.lifecycle.reload import Reloader
    from sipnode.routing.core import Core
    from sipnode.rpc.endpoint import Endpoint
    from sipnode.rpc.parts import Parts
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
        service: Its life.

    Raises:
        ConfigError: a network of ``[console] allow`` or an address of ``listen`` that can't be.
    """

    def __init__(
        self, core: Core, insight: Insight, reactor: Any, aside: Callable[[Callable[[], bool]], Deferred[bool]] | None = None
    ) -> None:
        settings = core.settings
        self._core = core
        self._insight = insight
        self._endpoint: Endpoint | None = None
        self._views: dict[str, Callable[[str], Any]] = {}
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
        pages = Pages(Api(door, insight, listing, feed, self._views, ACTS, self._act, self._about, reactor))

        self._pages = pages
        if settings.console.listen:
            self.service.listener = Listener(settings.console.listen, Mount(door, pages, None), reactor)

    def page(self, page: IResource | None) -> IResource | None:
        """What the WebSocket ports show: the console before their page, or that page alone where the console has a port of its own."""
        return Mount(self.service.door, self._pages, page) if self.service.listener is None else page

    def connect(self, endpoint: Endpoint, parts: Parts, reloader: Reloader, conf_path: str) -> None:
        """The rest of the server is there: what an admin does goes by the RPC, and a reload changes users and limits.

        Args:
            parts: What the RPC works on. conf_path: Of the configuration.
        """
        self._endpoint = endpoint
        views = ConsoleViews(self._core, parts, conf_path)
        self._views.update({**views.all(), "quality": self._quality})
        reloader.reported = views.reported
        reloader.add("console", KEYS, self._reloaded)

    def _reloaded(self, new: Settings, old: Settings) -> None:
        """``[console]`` has changed."""
        self.service.door.use(new.console)
        self.service.feed.most = new.console.viewers

    def _state(self) -> dict[str, Any]:
        return {"recorder": self._insight.state(), "calls": len(self._core.dialogs), "now": self._core.clock()}

    def _about(self) -> dict[str, Any]:
        return {"version": __version__, "views": sorted(self._views), "state": self._state()}

    def _quality(self, call_id: str) -> Deferred[dict[str, Any]]:
        """How a call that is up sounds now."""
        return self._act("rtpengine.query", [call_id], "console")

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


def complaints(settings: Settings) -> list[ConfigError]:
    """What makes a console of no use, for ``sipnode check``."""
    if not settings.console.enabled:
        return []
    found: list[tuple[str, str]] = []
    if not settings.console.users:
        found.append(("console.users", "nobody can sign in to the console; sipnode console-password makes a user"))
    if not settings.recorder.enabled:
        found.append(("console.enabled", "the console has no calls to show: [recorder] enabled is false"))
    if not settings.console.listen and not any(line.lower().startswith("ws") for line in settings.core.listen):
        found.append(("console.enabled", "the console is at the WebSocket ports, and [core] listen has none"))
    domains = {domain.lower() for domain in settings.core.domains}
    for line in settings.console.users:
        user, at, domain = line.partition(" ")[0].rpartition("@")
        if at and domain.lower() not in domains:
            found.append(("console.users", f"{user}@{domain} can't sign in: {domain} is none of [core] domains"))
    return [ConfigError(reason, key=key) for key, reason in found]
