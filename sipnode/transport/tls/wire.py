"""TLS between a TCP transport and a protocol: Twisted's own, with a short way for the usual case.

Twisted's protocol asks OpenSSL again and again until it says that there is no more (an exception each time), and keeps small
writes for the next turn of the reactor. A SIP message is nearly always one record in and one record out, so this one counts
where records end, asks once, and writes at once. Everything else goes Twisted's way. Invariant: octets that OpenSSL could
give are never left with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from OpenSSL.SSL import Error, WantReadError, ZeroReturnError
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_LOST
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

_HANDSHAKE: Final = b"\x16"
_APPLICATION_DATA: Final = 23
# Octets that tell what a peer takes the port for.
_SPOKEN: Final = 512
# RFC 8446 §5.1 and §5.2: most octets of one record, and room for its header, padding and tag.
_RECORD: Final = 16384
_AROUND: Final = 512


class TLSWire(TLSMemoryBIOProtocol):
    """One connection, either side.

    Attributes:
        refusal: Why the peer's certificate was not believed, "" as long as it is.
        spoken: How a peer began that doesn't speak TLS at all, b"" for one that does.
    """

    refusal = ""
    spoken = b""

    transport: Any
    _tlsConnection: Any
    _flushSendBIO: Any
    _flushReceiveBIO: Any
    _tlsShutdownFinished: Any
    # Octets of the record under way that are still to come, and the beginning of a record header that was cut.
    _begun = False
    _missing = 0
    _cut = b""

    def makeConnection(self, transport: Any) -> None:
        # The maker of the TLS side may ask where the connection came in.
        self.transport = transport
        super().makeConnection(transport)  # type: ignore[no-untyped-call]  # Twisted's TLS is not annotated

    def dataReceived(self, data: bytes) -> None:
        size = len(data)
        if (
            self._missing
            or self._cut
            or size < 5
            or size != 5 + (data[3] << 8 | data[4])
            or data[0] != _APPLICATION_DATA
            or not self._handshakeDone
            or self._appSendBuffer
        ):
            if not self._begun and data[:1] != _HANDSHAKE:
                self.spoken = data[:_SPOKEN]
            self._begun = True
            self._follow(data)
            super().dataReceived(data)  # type: ignore[no-untyped-call]  # as above
            return
        # Exactly one record, and OpenSSL holds nothing of another.
        connection = self._tlsConnection
        try:
            connection.bio_write(data)
            plain = connection.recv(size)
        except WantReadError:
            # A message of TLS itself, e.g. an update of keys.
            self._flushSendBIO()
        except ZeroReturnError:
            self._flushReceiveBIO()
        except Error:
            self._tlsShutdownFinished(Failure())
        else:
            if not self._aborted:
                self.wrappedProtocol.dataReceived(plain)

    def write(self, data: bytes) -> None:
        if not self._handshakeDone or self._appSendBuffer or self.disconnecting or self._lostTLSConnection or len(data) > _RECORD:
            super().write(data)  # type: ignore[no-untyped-call]  # as above
            return
        connection = self._tlsConnection
        try:
            connection.send(data)
            sealed = connection.bio_read(len(data) + _AROUND)
        except Error:
            self._tlsShutdownFinished(Failure())
        else:
            self.transport.write(sealed)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted's default argument is of no use here
        if not self._lostTLSConnection:
            # All that could be read has been read. Asking OpenSSL again would only make an exception that points at itself.
            self._lostTLSConnection = True
            if reason.check(ConnectionDone):
                # Without TLS's own goodbye nobody knows whether that was all.
                reason = Failure(CONNECTION_LOST)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]  # as above
        # The last thing that points in a circle: now all of it is freed, and not when the garbage collector comes by.
        self._producer = None

    def _follow(self, data: bytes) -> None:
        """Find where the last record of the octets ends."""
        data = self._cut + data
        at, size = self._missing, len(data)
        while size - at >= 5:
            at += 5 + (data[at + 3] << 8 | data[at + 4])
        self._cut, self._missing = (data[at:], 0) if at <= size else (b"", at - size)


class TLSWireFactory(TLSMemoryBIOFactory):
    """Twisted's factory for :class:`TLSWire`, where the wrapped one may refuse a connection by giving None."""

    noisy = False
    protocol = TLSWire

    def buildProtocol(self, addr: IAddress | None) -> Any:
        wrapped = self.wrappedFactory.buildProtocol(addr)
        return None if wrapped is None else self.protocol(self, wrapped)  # type: ignore[no-untyped-call]  # as above
