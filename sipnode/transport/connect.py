"""Connections that we open: TCP and TLS.

Implements: RFC 3261 §18.1.1, RFC 5923 (a TLS connection is shared only by those who want the same verified name).
Invariant: all who ask for one hop at the same time share one attempt, and each gets an answer within
``connect_seconds``. Each connection holds a place on behalf of the user or source that it is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import ClientFactory

from sipnode.errors import NoRoute
from sipnode.transport.listen import bracketed
from sipnode.transport.stream import SipStream, StreamFlow, TlsClientStream, plain_reason
from sipnode.transport.tls.wire import TLSWireFactory

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress, IConnector
    from twisted.internet.protocol import Protocol
    from twisted.python.failure import Failure

    from sipnode.base.flow import Flow, Listener
    from sipnode.records import Hop
    from sipnode.transport.connection import Hub
    from sipnode.transport.outgoing import Outgoing, OutgoingPlace

    ClientCreator = Callable[[Hop], IOpenSSLClientConnectionCreator]
    LocalListener = Callable[[str, str], Listener]


class Connector:
    """Opens connections on behalf of the flow table.

    Args:
        hub: What connections share.
        reactor: ``IReactorTCP`` and ``IReactorTime``.
        listener_for: ``(transport, host)`` to the listener whose address is advertised on a connection to that host.
        creator_for: Gives the TLS side of a connection to a hop; may raise NoRoute.
        outgoing: Counts them.
    """

    def __init__(
        self, hub: Hub, reactor: Any, listener_for: LocalListener, creator_for: ClientCreator, outgoing: Outgoing | None = None
    ) -> None:
        self._hub = hub
        self._outgoing = outgoing
        self._reactor = reactor
        self._listener_for = listener_for
        self._creator_for = creator_for
        self._attempts: dict[tuple[str, str, int, str, str], Attempt] = {}

    def connect(self, hop: Hop, cause: str = "") -> Deferred[Flow]:
        """A flow to that hop; fails with NoRoute (its status is what the branch ends with).

        Args:
            hop: Where to.
            cause: User or source on whose behalf; "" for ourselves and for those that are trusted.
        """
        key = (hop.transport, hop.host, hop.port, hop.server_name, hop.server_id)
        attempt = self._attempts.get(key)
        if attempt is None:
            try:
                attempt = self._start(hop, cause)
            except NoRoute as error:
                return fail(error)
            self._attempts[key] = attempt
            attempt.ended = lambda: self._attempts.pop(key, None)
            attempt.begin()
        return attempt.wait()

    def _start(self, hop: Hop, cause: str) -> Attempt:
        listener = self._listener_for(hop.transport, hop.host)
        creator = self._creator_for(hop) if hop.transport == "TLS" else None
        place = None
        if self._outgoing is not None:
            place = self._outgoing.enter(cause)
            if place is None:
                raise NoRoute(f"too many connections are open for {cause or 'others'}", 503)
        return Attempt(self._hub, self._reactor, hop, listener, creator, place)


class Attempt:
    """One connection on its way; ends once, with a flow or with a reason.

    Attributes:
        ended: Called when it is over.
    """

    def __init__(
        self,
        hub: Hub,
        reactor: Any,
        hop: Hop,
        listener: Listener,
        creator: IOpenSSLClientConnectionCreator | None,
        place: OutgoingPlace | None = None,
    ) -> None:
        self._place = place
        self.ended: Callable[[], object] = lambda: None
        self._hub = hub
        self._reactor = reactor
        self._hop = hop
        self._listener = listener
        self._creator = creator
        self._waiters: list[Deferred[Flow]] = []
        self._connector: IConnector | None = None
        self._limit: Any = None
        self._outcome: StreamFlow | NoRoute | None = None

    def begin(self) -> None:
        """Start to connect."""
        seconds = self._hub.transport.connect_seconds
        self._limit = self._reactor.callLater(seconds, self._timed_out)
        factory: Any = _Factory(self)
        if self._creator is not None:
            factory = TLSWireFactory(self._creator, True, factory, self._reactor)
        self._connector = self._reactor.connectTCP(self._hop.host, self._hop.port, factory, timeout=seconds + 1)

    def wait(self) -> Deferred[Flow]:
        """A Deferred of the outcome; cancelling one leaves the others alone."""
        if isinstance(self._outcome, NoRoute):
            return fail(self._outcome)
        waiter: Deferred[Flow] = Deferred(self._forget)
        if self._outcome is not None:
            waiter.callback(self._outcome)
        else:
            self._waiters.append(waiter)
        return waiter

    def protocol(self) -> Protocol:
        """The protocol for the connection."""
        if self._creator is not None:
            return TlsClientStream(self._hub, self._listener, self._hop, self.succeeded, self._place)
        return _TcpClientStream(self._hub, self._listener, self.succeeded, self._place)

    def succeeded(self, flow: StreamFlow) -> None:
        """The connection is usable."""
        self._end(flow)

    def failed(self, reason: str, status: int = 503) -> None:
        """The connection did not come about."""
        place = f"{bracketed(self._hop.host)}:{self._hop.port}"
        refusal = getattr(self._creator, "refusal", "")
        self._end(NoRoute(f"{self._hop.transport} to {place}: {refusal or reason}", status))

    def _end(self, outcome: StreamFlow | NoRoute) -> None:
        if self._outcome is not None:
            return
        self._outcome = outcome
        if self._limit is not None and self._limit.active():
            self._limit.cancel()
        self.ended()
        if isinstance(outcome, NoRoute) and self._place is not None:
            self._place.release()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if isinstance(outcome, NoRoute):
                waiter.errback(outcome)
            else:
                waiter.callback(outcome)

    def _timed_out(self) -> None:
        self.failed("no connection in time", 408)
        if self._connector is not None:
            self._connector.disconnect()

    def _forget(self, waiter: Deferred[Flow]) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)


class _TcpClientStream(SipStream):
    def __init__(self, hub: Hub, listener: Listener, done: Callable[[StreamFlow], None], place: OutgoingPlace | None) -> None:
        SipStream.__init__(self, hub, "TCP", listener, place)
        self._done = done

    def connectionMade(self) -> None:
        SipStream.connectionMade(self)
        if self.flow is not None:
            self._done(self.flow)


class _Factory(ClientFactory):
    noisy = False

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return self._attempt.protocol()

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._attempt.failed(plain_reason(reason))

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        # Says something only where the handshake did not end: else the attempt has its outcome already.
        self._attempt.failed(plain_reason(reason))
