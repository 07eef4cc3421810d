"""TCP connections that hand a message to the kernel at once.

Twisted keeps what is written for the next turn of the reactor, for which the socket is put on epoll's list and taken off again.
A SIP message is one write, and the socket takes it nearly always. Invariant: octets leave in the order of the writes; what the
kernel doesn't take waits in Twisted's buffer, whose bounds and producers are as ever.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Server


class NoDelayServer(Server):
    """A connection that was accepted; ``transport`` of the listening port."""

    _tempDataLen: int
    socket: Any
    _behind: Any = None

    def behind(self, peer: Any) -> None:
        """A proxy brings this connection: its peer is the client of whom it spoke (``IPv4Address`` or ``IPv6Address``)."""
        self._behind = peer

    def getPeer(self) -> Any:
        return self._behind or super().getPeer()  # type: ignore[no-untyped-call]  # Twisted's transports are not annotated

    def write(self, data: bytes) -> None:
        if self.connected and not (self.dataBuffer or self._tempDataLen or self.disconnecting or self._writeDisconnecting):
            try:
                sent = self.socket.send(data)
            except OSError:
                # Full, or broken: the reactor finds out which.
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        super().write(data)  # type: ignore[no-untyped-call]  # Twisted's transports are not annotated
