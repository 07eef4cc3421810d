"""Where flows are found: the table of the live ones, and what turns a name into addresses (RFC 3263)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.base.native import mypyc_attr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.defer import Deferred

    from sipnode.base.flow import Flow
    from sipnode.records import Hop


@mypyc_attr(allow_interpreted_subclasses=True)
class FlowTable:
    """Live flows."""

    def by_token(self, token: str) -> Flow | None:
        """The live connection with that token."""
        raise NotImplementedError

    def by_address(self, transport: str, host: str, port: int) -> Flow | None:
        """A live connection, or a known UDP pair, to that peer address (host without brackets)."""
        raise NotImplementedError

    def udp(self, hop: Hop, listener_name: str = "") -> Flow | None:
        """The UDP flow to that hop, at once; None when no UDP listener of its address family exists.

        Args:
            hop: Where to.
            listener_name: ``udp:address:port`` of the socket to send from, when one is wanted and still there.
        """
        raise NotImplementedError

    def connect(self, hop: Hop, cause: str = "") -> Deferred[Flow]:
        """A flow to that hop: a live one is reused; UDP at once; TCP and TLS by connecting. Never WS or WSS: fails with NoRoute.

        Args:
            cause: ``user@domain`` or source address on whose behalf a connection is opened; "" for the server's own.
        """
        raise NotImplementedError

    def sound(self, address: tuple[str, int], refused: Callable[[], None]) -> None:
        """Call ``refused`` when it turns out that nobody listens at a UDP address; it may never be known.

        Args:
            address: IP literal and port.
        """

    def alias(self, flow: Flow, port: int) -> None:
        """A request over TLS had ``alias`` in its Via: requests to that port of the peer may go by its connection (RFC 5923)."""
        raise NotImplementedError

    def connections(self) -> Iterable[Flow]:
        """All live connections."""
        raise NotImplementedError

    def counts(self) -> dict[str, int]:
        """Live connections by transport."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class Resolver:
    """RFC 3263."""

    def numeric(self, host: str, port: int, transport: str, secure: bool) -> list[Hop] | None:
        """Hops without I/O where the host is an IP literal (or cached), else None.

        Args:
            port: 0 for not given. transport: "" alike. secure: It is a sips URI.
        """
        raise NotImplementedError

    def resolve(self, host: str, port: int, transport: str, secure: bool) -> Deferred[list[Hop]]:
        """A non-empty list in RFC 3263 order, those that failed lately last; fails with NoRoute."""
        raise NotImplementedError

    def failed(self, hop: Hop, seconds: float = 0.0) -> None:
        """That hop didn't answer: others are tried before it for a while; ``seconds`` 0 for the configured time."""
        raise NotImplementedError
