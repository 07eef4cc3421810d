"""Surroundings of a script's stages: settings, time, HTTP, calls, the media policy; and the hooks that the server calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from zope.interface import classImplements

from sipnode.base.native import mypyc_attr
from sipnode.base.waiting import deferred
from sipnode.interfaces import IRoutingScript
from sipnode.routing.contact import set_reply_contact
from sipnode.routing.moved import look_again
from sipnode.routing.redirects import recurse, redirected
from sipnode.routing.role import Script
from sipnode.routing.trunks import next_trunk
from sipnode.sip.message import SipResponse as SipResponse

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.web.iweb import IRequest

    from sipnode.base.flow import Flow
    from sipnode.dialog.call import Call
    from sipnode.proxy.core import Branch as Branch
    from sipnode.proxy.core import Fork as Fork
    from sipnode.routing.core import Core
    from sipnode.routing.http import HttpClient
    from sipnode.routing.request import Request as Request
    from sipnode.routing.verdict import Step as Step
    from sipnode.settings import Settings

Managed: TypeAlias = Awaitable[object] | None
"""Result of ``manage_branch`` and ``manage_failure``: None, or an awaitable that is waited for. So they may be ``async def``."""
Passed: TypeAlias = SipResponse | Awaitable[SipResponse | None] | None
"""Result of ``manage_reply``: None to pass the reply on as it is, another one in its place, or an awaitable of either."""


@mypyc_attr(allow_interpreted_subclasses=True)
class ScriptHooks(Script):
    """The hooks, as they are where a script overrides none.

    Args:
        core: The services.

    Attributes:
        core: The services, for what no verb does.
        media: What offers and answers of calls are asked of the media relay.
        http: Asks HTTP services of the site.
        running: It has started and hasn't stopped.
        log: Lines of the server's log, by ``self.log.info("{user} called", user=…)``.
    """

    REQUEST_ROUTE: ClassVar[tuple[str, ...]] = ()
    log: ClassVar[Logger] = Logger(namespace="sipnode.script")

    def __init__(self, core: Core) -> None:
        self.core = core
        self.media = core.rtpengine
        self.http: HttpClient = core.http
        self.running = False
        self._held: list[Callable[[], object]] = []

    @property
    def settings(self) -> Settings:
        """All sections of the configuration, as they are now."""
        return self.core.settings

    @property
    def local_time(self) -> datetime:
        """Now, in the time zone of the machine."""
        return datetime.fromtimestamp(self.core.clock()).astimezone()

    def calls_of(self, user: str) -> int:
        """How many calls ``user@domain`` has begun that haven't ended yet."""
        calls: int = self.core.dialogs.calls_of(user)
        return calls

    def later(self, seconds: float, function: Callable[..., object], *arguments: object) -> None:
        """Call a function in so many seconds, unless this script is replaced or the server stops before."""

        def due() -> None:
            self._held.remove(timer.cancel)
            function(*arguments)

        timer: IDelayedCall = self.core.reactor.callLater(seconds, due)
        self._held.append(timer.cancel)

    # -- its life

    def started(self) -> Managed:
        """The server has started, or this script has just been loaded in the place of another. An exception refuses it: then the server
        doesn't start, or the other one stays.
        """
        return None

    def stopped(self) -> Managed:
        """The server stops, or another script has taken the place of this one."""
        return None

    def call_ended(self, call: Call) -> Managed:
        """A call has ended, or was refused: :attr:`~sipnode.dialog.call.Call.outcome` says how. The script that is loaded then is told."""
        return None

    def begin(self) -> None:
        """Be the script of the server from now on; of the server's own."""
        self.running = True
        waiting = self.started()
        if waiting is not None:
            self._waited(waiting, "started")
        if type(self).call_ended is not ScriptHooks.call_ended:
            self._held.append(self.core.dialogs.on_change(self._told_of_end, "terminated"))

    def end(self) -> Deferred[None]:
        """Be it no more, and let go of all that it has asked for; of the server's own."""
        self.running = False
        held, self._held = self._held, []
        for let_go in held:
            let_go()
        try:
            waiting = self.stopped()
        except Exception:
            self.log.failure("stopped() of the routing script failed")
            waiting = None
        return succeed(None) if waiting is None else self._waited(waiting, "stopped")

    def _told_of_end(self, kind: str, call: Call) -> None:
        waiting = self.call_ended(call)
        if waiting is not None:
            self._waited(waiting, "call_ended")

    def _waited(self, waiting: Awaitable[object], hook: str) -> Deferred[None]:
        done: Deferred[None] = deferred(waiting).addCallback(lambda _: None)
        return done.addErrback(lambda failure: self.log.failure("{hook}() of the routing script failed", failure, hook=hook))

    # -- branches and replies

    def manage_branch(self, branch: Branch) -> Managed:
        """Before a branch is sent, once for each; it is sent when this is done. A Reject or MediaError fails this branch alone."""
        return None

    def manage_reply(self, branch: Branch, response: SipResponse) -> Passed:
        """Each 1xx and 2xx of a branch, in their order; later ones wait (``onreply_route``)."""
        return None

    def branch_failure(self, branch: Branch, response: SipResponse) -> None:
        """A branch has ended with 300 or more, also by time-out; ``branch.retry()`` sends it once more (``tm:branch-failure``)."""
        self.media.failure(branch, response.status)
        if 300 <= response.status < 400:
            self.recurse(branch, response, self.settings.proxy.redirects)

    def recurse(self, branch: Branch, response: SipResponse, most: int) -> bool:
        """From ``branch_failure``: where a callee redirects (300, 301, 302), call there instead of telling the caller; as
        ``[proxy] redirects`` has it without this. The best ``q`` rings at once, the others when that has failed.

        Args:
            most: Contacts that are followed in all for this request.

        Returns:
            Whether it goes on there. Where it does the redirection is no answer for the caller any more; where it leads to nobody it counts
            as what the look-up says, and one that leads in a circle as 482. Others stay as they are: the caller's to follow.
        """
        return recurse(branch, response, most)

    def redirected(self, fork: Fork) -> Managed:
        """From ``manage_failure``: wait for the database where it is still asked about such a contact."""
        return redirected(fork)

    def set_reply_contact(self, branch: Branch, response: SipResponse) -> None:
        """From ``manage_reply``: have the reply go back with the Contact by which its sender is really reached (``set_contact_alias``)."""
        set_reply_contact(branch, response)

    def look_again(self, fork: Fork) -> Managed:
        """From ``manage_failure``: try devices that have come to this node from one that was found dead."""
        return look_again(fork)

    def next_trunk(self, fork: Fork, *trunks: str) -> bool:
        """From ``manage_failure``: where a trunk has failed by its own fault (408, 5xx), try the next of those that ``route_to`` was given,
        or one of these; whether there is one. If that fails too, the caller gets the best answer of all.
        """
        return next_trunk(fork, self.core.trunks, trunks)

    def manage_failure(self, fork: Fork) -> Managed:
        """All branches have failed: ``fork.add_targets([Target("sip:…")])`` tries more, a Reject is the answer."""
        return None

    def onreply_route(self, response: SipResponse, flow: Flow) -> bool:
        """Every reply, before it is matched; False drops it: plain SIP has no business on a WebSocket port."""
        return flow.websocket or not flow.listener.websocket_port

    def presence_policy(self, watcher: str, resource: str, event: str) -> str | None:
        """Decide about a watcher: 'active', 'pickup' (with all that it takes to pick up a call), 'pending', 'rejected', or None to leave it
        to ``[presence] policy``.
        """
        return None

    def xhttp_request(self, http: IRequest) -> int | None:
        """event_route[xhttp:request]: a status refuses the request, None lets it go on."""
        return None

    def websocket_closed(self, flow: Flow) -> None:
        """event_route[websocket:closed]."""


classImplements(ScriptHooks, IRoutingScript)
