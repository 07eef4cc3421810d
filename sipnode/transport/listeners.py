"""Listening stream sockets as services, and which address is whose.

Invariant: a socket that cannot be bound stops the start with an error that names it; nothing is half started.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.error import CannotListenError

from sipnode.sip.hosts import bare_host, normal_host
from sipnode.transport.listen import family_of, is_loopback, is_unspecified
from sipnode.transport.nodelay import NoDelayServer
from sipnode.transport.portowner import local_addresses, port_taken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.defer import Deferred

    from sipnode.base.flow import Listener
    from sipnode.transport.descriptors import AcceptLog, PassedSockets

_BACKLOG = 1024
_DEFAULT_PORTS = {"UDP": 5060, "TCP": 5060, "TLS": 5061, "WS": 80, "WSS": 443}


class StreamService(Service):
    """Binds one stream port.

    Args:
        listeners: The names of the port, at least one (TCP and WS, or TLS and WSS).
        factory: What a connection becomes.
        reactor: ``IReactorTCP`` and ``IReactorSocket``.
        bound: Called with each listener when the port is bound.
        accepts: Told what goes wrong with accepting.

    Attributes:
        passed: Sockets that the service manager has bound (``take(host, port, datagrams)``), or None.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        factory: Any,
        reactor: Any,
        bound: Callable[[Listener], None],
        accepts: AcceptLog | None = None,
    ) -> None:
        self.listeners = tuple(listeners)
        self._accepts = accepts
        self.name = self.listeners[0].name
        self._factory = factory
        self._reactor = reactor
        self._bound = bound
        self._port: Any = None
        self.passed: PassedSockets | None = None

    def privilegedStartService(self) -> None:
        Service.privilegedStartService(self)
        self._bind()

    def startService(self) -> None:
        self._bind()
        Service.startService(self)

    def stopService(self) -> Deferred[None] | None:
        """Stop accepting; open connections live on."""
        Service.stopService(self)
        port, self._port = self._port, None
        return port.stopListening() if port is not None else None

    def _bind(self) -> None:
        if self._port is not None:
            return
        first = self.listeners[0]
        try:
            self._port = self._listen(first.host, first.port)
        except CannotListenError as error:
            raise port_taken(first, error.socketError) from None
        except OSError as error:
            raise port_taken(first, error) from None
        self._port.transport = NoDelayServer
        if self._accepts is not None:
            self._port._logger = self._accepts.logger
        port = self._port.getHost().port
        for listener in self.listeners:
            listener.bound(port)
            self._bound(listener)

    def _listen(self, host: str, port: int) -> Any:
        passed = self.passed.take(host, port, False) if self.passed is not None else None
        if passed is not None:
            with passed:
                return self._reactor.adoptStreamPort(passed.fileno(), passed.family, self._factory)
        if not (is_unspecified(host) and family_of(host) == socket.AF_INET6):
            return self._reactor.listenTCP(port, self._factory, _BACKLOG, host)
        # Without V6ONLY the socket would take IPv4 as well, and a 0.0.0.0 line could not be bound beside it.
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setblocking(False)
            sock.bind((host, port))
            sock.listen(_BACKLOG)
            return self._reactor.adoptStreamPort(sock.fileno(), socket.AF_INET6, self._factory)


class OwnAddresses:
    """Every address that is this server's: bound and advertised.

    One set look-up per question: it is asked for each message with a Route.
    """

    def __init__(self) -> None:
        self._known: set[tuple[str, int]] = set()
        self._hosts: set[str] = set()

    def add(self, listener: Listener) -> None:
        """Take the addresses of a listener; where it is bound to all addresses, those of the machine too."""
        default = _DEFAULT_PORTS[listener.transport]
        self._add(listener.via_host, listener.via_port, default)
        if is_unspecified(listener.host):
            ipv6 = ":" in listener.host
            for address in local_addresses() or ["::1" if ipv6 else "127.0.0.1"]:
                if (":" in address) == ipv6:
                    self._add(address, listener.port, default)
        else:
            self._add(listener.host, listener.port, default)

    def has(self, host: str, port: int) -> bool:
        """Whether ``host:port`` is ours; port 0 (none given) is the default port of a transport."""
        return (host, port) in self._known or (normal_host(host), port) in self._known

    def has_host(self, host: str) -> bool:
        """Whether some listener has that host, at any port."""
        return host in self._hosts or normal_host(host) in self._hosts

    def _add(self, host: str, port: int, default: int) -> None:
        bare = bare_host(host)
        for form in (bare, f"[{bare}]") if ":" in bare else (bare,):
            self._hosts.add(form)
            self._known.add((form, port))
            if port == default:
                self._known.add((form, 0))


def choose_listener(listeners: Sequence[Listener], transport: str, host: str) -> Listener | None:
    """The listener whose address is advertised on a connection that we open to ``host``.

    The same transport, address family and side (loopback or not) is best; None when there is none of that transport.
    """
    family = family_of(host)
    same = [each for each in listeners if each.transport == transport]
    for each in same:
        if family_of(each.host) == family and (is_unspecified(each.host) or is_loopback(each.host) == is_loopback(host)):
            return each
    for each in same:
        if family_of(each.host) == family:
            return each
    return same[0] if same else None
