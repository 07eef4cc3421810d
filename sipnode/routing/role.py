"""The routing script as the server knows it, whichever class a site makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.base.native import mypyc_attr
from sipnode.proxy.core import ProxyScript

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.web.iweb import IRequest

    from sipnode.base.flow import Flow
    from sipnode.sip.message import SipResponse


@mypyc_attr(allow_interpreted_subclasses=True)
class Script(ProxyScript):
    """Calls of the server to the routing script; :class:`~sipnode.routing.hooks.ScriptHooks` says what each is for.

    Attributes:
        running: It has started and hasn't stopped.
    """

    running: bool

    def begin(self) -> None:
        """Be the script of the server from now on."""
        raise NotImplementedError

    def end(self) -> Deferred[None]:
        """Be it no more."""
        raise NotImplementedError

    def onreply_route(self, response: SipResponse, flow: Flow) -> bool:
        """Every reply, before it is matched; False drops it."""
        raise NotImplementedError

    def presence_policy(self, watcher: str, resource: str, event: str) -> str | None:
        """Whether one user may watch another."""
        raise NotImplementedError

    def xhttp_request(self, http: IRequest) -> int | None:
        """HTTP on a WebSocket port."""
        raise NotImplementedError

    def websocket_closed(self, flow: Flow) -> None:
        """A browser is gone."""
        raise NotImplementedError
