"""The ng client: one UDP socket, a cookie for each command, the same octets again while nobody answers.

Implements: rtpengine's control protocol "ng" over UDP.

The one invariant: every command ends, in a reply or a MediaError, after the sum of its waits at the latest; what a
silent node costs is bounded, and nothing else waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import DatagramProtocol
from twisted.python.failure import Failure

from sipnode.errors import MediaError
from sipnode.media import ng
from sipnode.media.bencode import Value

MAX_OUTSTANDING = 4096
"""Commands that wait for a reply; over it a new one fails at once."""

Address = tuple[str, int]


class _Command:
    """One command under way."""

    __slots__ = ("address", "deferred", "octets", "timer", "waits")

    def __init__(self, address: Address, octets: bytes, waits: list[float]) -> None:
        self.address = address
        self.octets = octets
        self.waits = waits
        self.deferred: Deferred[dict[bytes, Value]] = Deferred(self._cancelled)
        self.timer: IDelayedCall | None = None

    def _cancelled(self, deferred: Deferred[dict[bytes, Value]]) -> None:
        """Nobody waits any more: what remains is to run out, so that the node may still do what it was told."""
        deferred.errback(MediaError("given up", 503))

    def stop(self) -> None:
        if self.timer is not None and self.timer.active():
            self.timer.cancel()


class NgClient(DatagramProtocol):
    """Sends commands, matches replies by their cookie.

    Attributes:
        strays: Datagrams dropped: unknown cookie, or from an address that wasn't asked.
        resent: Retransmissions.

    Args:
        clock: Its ``callLater`` drives the waits.
        timeouts: Seconds to wait before each retransmission, the last one before giving up.
        cookie: Makes cookies; each has to be new and without a space.
    """

    def __init__(self, clock: IReactorTime, timeouts: Sequence[float], cookie: Callable[[], bytes] = ng.new_cookie) -> None:
        self._clock = clock
        self._timeouts = tuple(timeouts)
        self._cookie = cookie
        self._commands: dict[bytes, _Command] = {}
        self._stopped = False
        self.strays = 0
        self.resent = 0

    @property
    def outstanding(self) -> int:
        """Commands that wait for a reply."""
        return len(self._commands)

    def command(self, address: Address, command: dict[str, Any], waits: Sequence[float] | None = None) -> Deferred[dict[bytes, Value]]:
        """Send a command.

        Args:
            address: IP literal and port of the node.
            command: As `sipnode.media.ng` builds it.
            waits: Instead of the client's timeouts, in seconds.

        Returns:
            The reply's dictionary; fails with NoAnswer after the last wait, or what `ng.read_reply` raises.
        """
        if self._stopped or self.transport is None:
            return fail(MediaError("the media client is stopped", 503))
        if len(self._commands) >= MAX_OUTSTANDING:
            return fail(MediaError("too many media commands are waiting", 503))
        cookie = self._cookie()
        try:
            octets = ng.datagram(cookie, command)
        except MediaError as error:
            return fail(error)
        entry = _Command(address, octets, list(waits if waits is not None else self._timeouts))
        self._commands[cookie] = entry
        self._send(cookie, entry)
        return entry.deferred

    def _send(self, cookie: bytes, entry: _Command) -> None:
        wait = entry.waits.pop(0) if entry.waits else 0.0
        entry.timer = self._clock.callLater(wait, self._waited, cookie)
        with suppress(OSError):  # no route for now: as good as lost on the way, and the timer already runs
            if self.transport is not None:
                self.transport.write(entry.octets, entry.address)

    def _waited(self, cookie: bytes) -> None:
        entry = self._commands[cookie]
        if entry.waits:
            self.resent += 1
            self._send(cookie, entry)
        else:
            self._finish(cookie, Failure(ng.NoAnswer()))

    def _finish(self, cookie: bytes, result: dict[bytes, Value] | Failure) -> None:
        entry = self._commands.pop(cookie)
        entry.stop()
        if entry.deferred.called:
            return
        if isinstance(result, Failure):
            entry.deferred.errback(result)
        else:
            entry.deferred.callback(result)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Twisted: a datagram came."""
        self.received(datagram, (addr[0], addr[1]))

    def received(self, data: bytes, address: Address) -> None:
        """Give a reply to the command that waits for it."""
        cookie, body = ng.split_reply(data)
        entry = self._commands.get(cookie)
        if entry is None or entry.address != address:
            self.strays += 1
            return
        try:
            reply = ng.read_reply(body)
        except MediaError:
            self._finish(cookie, Failure())
        else:
            self._finish(cookie, reply)

    def stop(self) -> None:
        """End every command with MediaError; no timer is left."""
        self._stopped = True
        for cookie in list(self._commands):
            self._finish(cookie, Failure(MediaError("the media client is stopped", 503)))
