"""The way out of keepalives: to the binding's own address, without a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.base.outbox import PING
from sipnode.base.via import new_via
from sipnode.errors import FlowClosed
from sipnode.records import Hop
from sipnode.sip.uri import SipUri

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.base.flows import FlowTable
    from sipnode.base.outbox import Outbox
    from sipnode.records import Binding
    from sipnode.sip.message import SipRequest


class Pinger:
    """Sends the pings of :class:`~sipnode.nat.keepalive.KeepaliveService`.

    Args:
        flows: Has the socket that a phone registered by.
        outbox: The way out.
        clock: Epoch seconds.
        refusal: ``(host, port, peer)``: the rule that forbids sending there, "" for none.
    """

    def __init__(
        self, flows: FlowTable, outbox: Outbox, clock: Callable[[], float], refusal: Callable[[str, int, str], str]
    ) -> None:  # fmt: skip
        self._flows = flows
        self._outbox = outbox
        self._clock = clock
        self._refusal = refusal

    def ping(self, binding: Binding, request: SipRequest) -> None:
        """Ping the phone of a binding.

        Raises:
            FlowClosed: it can't be sent to, or isn't to be.
        """
        received = SipUri.parse(binding.received)
        host, port = received.host.strip("[]"), received.port or 5060
        if self._refusal(host, port, host):
            raise FlowClosed("it isn't to be sent to")
        # From the socket that the phone registered by: only that hole in its NAT is open.
        flow = self._flows.udp(Hop("UDP", host, port), binding.socket)
        if flow is None:
            raise FlowClosed("no UDP listener reaches it")
        _, via = new_via(flow)
        request.prepend("via", via)
        if not self._outbox.send(self._clock(), request.to_bytes(), flow, PING, request.method):
            raise FlowClosed("its way is closed")
