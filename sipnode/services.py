"""Services that Twisted lacks: children that stop one after another, a port that may be taken, and the clock of the transaction layer."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from sipnode.addresses import split_address

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from twisted.internet.interfaces import IDelayedCall, IListeningPort, IProtocolFactory

_YOUNG = 50_000
_MIDDLE = 20
_OLD = 50


def settle_memory() -> None:
    """Tell the garbage collector what this process is like, once everything is loaded: what is there now stays, and what
    messages leave behind frees itself, since nothing of it points in a circle. Without this, every few thousand calls a
    collection walks over all registrations and stops the world meanwhile.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)


class OrderedMultiService(MultiService):
    """Children start in their order, and stop in the reverse one, each only when the one before has stopped.

    ``MultiService`` stops all at once, so that storage would close under a registrar that still writes.
    """

    @inlineCallbacks
    def stopService(self) -> Generator[Deferred[Any], Any, None]:
        Service.stopService(self)
        for child in reversed(list(self)):
            yield child.stopService()


class PortService(Service):
    """A TCP port beside those of SIP, which calls go on without: one that is taken is told and no more.

    Args:
        listen: ``ADDRESS:PORT``, IPv6 in brackets. key: Of the setting that says so.
        what: Listens there, for the log.
        factory: Makes protocols.
        reactor: IReactorTCP.

    Attributes:
        host, port: Where; the port is real once it listens.

    Raises:
        ConfigError: ``listen`` can't be read.
    """

    log = Logger(namespace="sipnode")
    _waiting = 16

    def __init__(self, listen: str, key: str, what: str, factory: IProtocolFactory, reactor: Any) -> None:
        self.host, self.port = split_address(listen, key)
        self._what = what
        self._factory = factory
        self._reactor = reactor
        self._listening: IListeningPort | None = None

    def startService(self) -> None:
        """Twisted: listen."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        try:
            listening = self._reactor.listenTCP(self.port, self._factory, self._waiting, self.host)
        except CannotListenError as error:
            text = "no {what} on {host}:{port}: {reason}"
            self.log.error(text, what=self._what, host=self.host, port=self.port, reason=error.socketError)
            return
        self._listening = listening
        self.port = listening.getHost().port

    def stopService(self) -> Deferred[Any]:
        """Twisted: stop listening."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        listening, self._listening = self._listening, None
        return maybeDeferred(listening.stopListening if listening is not None else lambda: None)


class TransactionClock(Service):
    """Calls ``advance`` of the transaction layer when one of its timers is due.

    Most timers are never needed: an answer comes long before a repeat is due. So the process isn't woken for each. It looks ahead once in
    a while, on a grid of ``ahead`` seconds, and sets the exact time only for what is still wanted by then.

    Args:
        reactor: Clock and delayed calls.
        ahead: Seconds; less than the shortest timer.
    """

    name = "transactions"

    def __init__(self, reactor: Any, ahead: float = 0.4) -> None:
        self._reactor = reactor
        self._ahead = ahead
        self._call: IDelayedCall | None = None
        self._when = 0.0
        self.advance: Callable[[float], None] = lambda now: None
        self.next_wake: Callable[[float], float] = lambda until: 0.0

    def wake_at(self, when: float) -> None:
        """Have ``advance`` called at this time (epoch seconds), or before."""
        call = self._call
        if call is not None and call.active():
            if self._when <= when:
                return
            call.cancel()
        now = self._reactor.seconds()
        look = when // self._ahead * self._ahead
        self._when = when = look if look > now else when
        self._call = self._reactor.callLater(max(0.0, when - now), self._fire)

    def _fire(self) -> None:
        self._call = None
        now = self._reactor.seconds()
        self.advance(now)
        when = self.next_wake(now + self._ahead)
        if when:
            self.wake_at(when)

    def stopService(self) -> Any:
        """No more timers."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        return super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
