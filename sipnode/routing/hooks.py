"""What a routing script has beside its stages: the settings, the media policy, and the hooks that the server calls."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from zope.interface import implementer

from sipnode.interfaces import IRoutingScript
from sipnode.sip.message import SipResponse as SipResponse

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.proxy.branch import Branch as Branch
    from sipnode.proxy.fork import Fork as Fork
    from sipnode.routing.core import Core
    from sipnode.routing.natmanage import NatManage
    from sipnode.routing.request import Request as Request
    from sipnode.routing.verdict import Step as Step
    from sipnode.settings import Settings

Managed: TypeAlias = Awaitable[object] | None
"""What ``manage_branch`` and ``manage_failure`` return: None, or an awaitable that is waited for. So they may be ``async def``."""
Passed: TypeAlias = SipResponse | Awaitable[SipResponse | None] | None
"""What ``manage_reply`` returns: None to pass the reply on as it is, another one in its place, or an awaitable of either."""


@implementer(IRoutingScript)
class ScriptHooks:
    """The hooks, as they are where a script overrides none.

    Args:
        core: The services.

    Attributes:
        core: The services, for what no verb does.
        media: Which calls take a media relay, and how.
    """

    REQUEST_ROUTE: ClassVar[tuple[str, ...]] = ()

    def __init__(self, core: Core) -> None:
        self.core = core
        self.media: NatManage = core.media_policy

    @property
    def settings(self) -> Settings:
        """All sections of the configuration, as they are now."""
        return self.core.settings

    def manage_branch(self, branch: Branch) -> Managed:
        """Before a branch is sent, once for each; it is sent when this is done. A Reject or MediaError fails this branch alone."""
        return None

    def manage_reply(self, branch: Branch, response: SipResponse) -> Passed:
        """Each 1xx and 2xx of a branch, in their order; later ones wait (``onreply_route``)."""
        return None

    def branch_failure(self, branch: Branch, response: SipResponse) -> None:
        """A branch has ended with 300 or more, also by time-out; ``branch.retry()`` sends it once more (``tm:branch-failure``)."""
        self.media.failure(branch, response.status)

    def manage_failure(self, fork: Fork) -> Managed:
        """All branches have failed: ``fork.add_targets([Target("sip:…")])`` tries more, a Reject is the answer."""
        return None

    def onreply_route(self, response: SipResponse, flow: Flow) -> bool:
        """Every reply, before it is matched; False drops it: plain SIP has no business on a WebSocket port."""
        return flow.websocket or not flow.listener.websocket_port

    def presence_policy(self, watcher: str, resource: str, event: str) -> str | None:
        """Who may watch whom: 'active', 'pickup' (with all that it takes to pick up a call), 'pending', 'rejected', or None to leave it
        to ``[presence] policy``.
        """
        return None

    def xhttp_request(self, http: Any) -> int | None:
        """event_route[xhttp:request]: a status refuses the request, None lets it go on."""
        return None

    def websocket_closed(self, flow: Flow) -> None:
        """event_route[websocket:closed]."""
