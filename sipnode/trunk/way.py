"""The way out to trunks: where one is by now, and how a request of ours gets there.

The invariant: nothing is sent but to the addresses of a trunk that the destinations' policy permits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from sipnode.base.outbox import TRUNK
from sipnode.base.via import new_via
from sipnode.errors import NoRoute

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from sipnode.base.flow import Flow
    from sipnode.proxy.core import ProxyCore
    from sipnode.records import Hop
    from sipnode.sip.message import SipRequest
    from sipnode.transaction.machine import TransactionUser
    from sipnode.trunk.trunk import Trunk
    from sipnode.trunk.trunks import Trunks


class Way:
    """The way out of the service and the registrations, and their time.

    Args:
        trunks: All of them. core: The server.
        known: Told of each address of a trunk that is believed by its address.
    """

    log = Logger(namespace="sipnode.trunk")

    def __init__(self, trunks: Trunks, core: ProxyCore, known: Callable[[str], None]) -> None:
        self.core = core
        self._trunks = trunks
        self._known = known
        self._told: set[str] = set()
        self._calls: dict[str, IDelayedCall] = {}

    def seconds(self) -> float:
        """Epoch seconds."""
        return self.core.clock()

    def later(self, name: str, seconds: float, function: Callable[[], object]) -> None:
        """Call back later; of each name there is one such call."""
        before = self._calls.pop(name, None)
        if before is not None and before.active():
            before.cancel()
        self._calls[name] = self.core.reactor.callLater(seconds, function)

    def end(self) -> None:
        """Call nobody back any more."""
        for call in self._calls.values():
            if call.active():
                call.cancel()
        self._calls.clear()

    def ask(
        self, trunk: Trunk, request: SipRequest, user: TransactionUser, seconds: float, failed: Callable[[str], None],
        ready: Callable[[Flow], None] | None = None,
    ) -> None:  # fmt: skip
        """Send a request of ours to a trunk.

        Args:
            request: Without Via. user: Told of its answer.
            seconds: To wait for an answer at most.
            failed: Told the reason where there is no way to it.
            ready: May change the request when the flow is known.
        """

        def found(flow: Flow) -> None:
            core = self.core
            if ready is not None:
                ready(flow)
            branch, via = new_via(flow, ";rport")
            request.prepend("via", via)
            transaction = core.transactions.send_request(request, branch, flow, user, core.clock(), why=TRUNK)
            if not transaction.terminated and seconds:
                transaction.expires_at = min(transaction.expires_at, core.clock() + seconds)
                core.transactions.reschedule(transaction)

        def lost(failure: Failure) -> None:
            error = failure.value
            if not isinstance(error, NoRoute):
                self.core.failed(f"trunk {trunk.name}", failure)
            failed(str(error) or type(error).__name__)

        self.hops(trunk).addCallback(self._connect).addCallback(found).addErrback(lost)

    def _connect(self, hops: list[Hop]) -> Deferred[Flow]:
        return self.core.flows.connect(hops[0])

    def hops(self, trunk: Trunk) -> Deferred[list[Hop]]:
        """Where it is by now. Its own address is permitted, since the configuration names it; what a name resolves to has to be anyway."""
        core, host, port = self.core, trunk.host, trunk.port
        known = core.resolver.numeric(host, port, trunk.transport, False)
        finding = succeed(known) if known is not None else core.resolver.resolve(host, port, trunk.transport, False)

        def judged(hops: list[Hop]) -> list[Hop]:
            permitted = core.destinations.permitted(hops, host.strip("[]"))
            if trunk.found((hop.host for hop in permitted), core.clock()):
                self._trunks.moved()
            if trunk.settings.trust == "address":
                for address in trunk.addresses - self._told:
                    self._told.add(address)
                    self._known(address)
            return permitted

        return finding.addCallback(judged)
