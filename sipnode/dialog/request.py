"""A request, as the calls know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.base.native import mypyc_attr
from sipnode.proxy.core import ProxyCore, ProxyScript
from sipnode.proxy.core import Request as ProxyRequest

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.dialog.call import Call
    from sipnode.sip.message import SipRequest


@mypyc_attr(allow_interpreted_subclasses=True)
class Request(ProxyRequest):
    """A request that may begin, carry on or end a call.

    Attributes:
        call: What is known of the call, for an INVITE outside of any dialog that was sent on, or None.
    """

    __slots__ = ("call",)

    def __init__(self, proxy: ProxyCore, script: ProxyScript, request: SipRequest, flow: Flow, key: str, now: float) -> None:
        super().__init__(proxy, script, request, flow, key, now)
        self.call: Call | None = None

    def decided_by(self) -> str:
        """The stage of the script that it is in."""
        raise NotImplementedError
