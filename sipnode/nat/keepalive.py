"""Pings that keep the holes of address translators open, and show which phones are gone.

Implements: the seed's ``natping_interval``, ``ping_nated_only`` and ``keepalive_timeout`` (OPTIONS to natted UDP
bindings). Each response counts as life (RFC 3261 §11.2 lets a phone answer OPTIONS with anything).

The invariant: each binding is pinged once an interval and is looked at only then, so a tick costs what it pings and
nothing for the others; a burst of registrations is spread by a limit for each tick. A binding is given up after its
time *and* as many unanswered pings, so that a server that stood still blames nobody; and only where its phone has
answered a ping before: there are phones that never do, and theirs lasts until it expires (RFC 3261 §10.3).
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2s
from hmac import compare_digest
from itertools import count
from math import ceil
from typing import TYPE_CHECKING, Final

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from sipnode.errors import ParseError, SipnodeError
from sipnode.records import BindingFlag
from sipnode.sip import build
from sipnode.sip.uri import SipUri

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from sipnode.base.flow import Flow
    from sipnode.records import Binding
    from sipnode.settings import NatSettings
    from sipnode.sip.message import SipRequest, SipResponse

_TICK: Final = 0.25
_CALL_ID_PREFIX: Final = "natping-"


class _Pinged:
    """A binding with what is known of its life."""

    __slots__ = ("answers", "binding", "due", "heard", "unanswered")

    def __init__(self, binding: Binding, due: float, heard: float) -> None:
        self.binding = binding
        self.due = due
        self.heard = heard
        self.unanswered = 0
        self.answers = False


class KeepaliveService(Service):
    """Pings natted UDP bindings.

    Args:
        settings: ``[nat]``.
        clock: Gives seconds and delayed calls.
        send: Sends an OPTIONS to a binding by the listener that it registered at; adds Via. It may raise a
            SipnodeError, which counts as an unanswered ping.
        remove: Takes a binding that doesn't answer out of the location table.
        identity: ``sip:`` URI of the server, for From.
        secret: Octets that tell our pings' answers from invented ones.
    """

    name = "keepalive"

    def __init__(
        self,
        settings: NatSettings,
        clock: IReactorTime,
        send: Callable[[Binding, SipRequest], None],
        remove: Callable[[Binding], None],
        identity: str,
        secret: bytes,
    ) -> None:
        self._interval = settings.natping_interval
        self._timeout = settings.keepalive_timeout
        self._clock = clock
        self._send = send
        self._remove = remove
        self._identity = identity
        self._secret = secret[:32]
        self._pinged: OrderedDict[str, _Pinged] = OrderedDict()
        self._numbers = count(1)
        self._misses = ceil(self._timeout / self._interval) if self._interval else 0
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock
        self._log = Logger(namespace="sipnode.nat")

    def __len__(self) -> int:
        return len(self._pinged)

    def startService(self) -> None:
        """Begin to ping, unless the interval is 0."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        if self._interval:
            self._loop.start(_TICK, now=False)

    def stopService(self) -> None:
        """Stop."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        if self._loop.running:
            self._loop.stop()

    def changed(self, kind: str, binding: Binding) -> None:
        """A watcher of the location table: keeps the bindings that want pings.

        Args:
            kind: 'registered' and 'refreshed' add or renew; any other takes out.
        """
        if not self._interval:
            return
        wanted = kind in ("registered", "refreshed") and bool(binding.cflags & BindingFlag.NATSIPPING)
        if not wanted or binding.connection_id:
            self._pinged.pop(binding.ruid, None)
            return
        now = self._clock.seconds()
        entry = self._pinged.get(binding.ruid)
        if entry is None:
            # Everybody waits the same time, so the oldest entry is always the next one due.
            self._pinged[binding.ruid] = _Pinged(binding, now + self._interval, now)
        else:
            entry.binding, entry.heard, entry.unanswered = binding, now, 0

    def answered(self, response: SipResponse, flow: Flow) -> bool:
        """Take a response in; it counts where it comes from the host that was pinged, which has proved to be there by it.

        Returns:
            Whether it answers a ping of ours; then nobody else needs it.
        """
        call_id = response.get("call-id")
        if call_id is None or not call_id.startswith(_CALL_ID_PREFIX):
            return False
        ruid = call_id[len(_CALL_ID_PREFIX) :].partition("@")[0]
        try:
            tag = response.from_.tag
        except ParseError:
            return False
        if not compare_digest(tag.encode("utf-8", "surrogateescape"), self._tag(ruid).encode()):
            return False
        entry = self._pinged.get(ruid)
        if entry is not None and response.status >= 200:
            if flow.reliable or SipUri.parse(entry.binding.received).host.strip("[]") != flow.remote[0]:
                return False
            flow.proved = True
            entry.heard = self._clock.seconds()
            entry.unanswered = 0
            entry.answers = True
        return True

    def _tick(self) -> None:
        pinged = self._pinged
        now = self._clock.seconds()
        # Twice the even rate catches up with a burst within half an interval.
        limit = 1 + ceil(2 * len(pinged) * _TICK / self._interval)
        while pinged and limit:
            ruid, entry = next(iter(pinged.items()))
            if entry.due > now:
                return
            limit -= 1
            if self._timeout and entry.answers and entry.unanswered >= self._misses and now - entry.heard >= self._timeout:
                del pinged[ruid]
                self._remove(entry.binding)
                continue
            pinged.move_to_end(ruid)
            entry.due = now + self._interval
            entry.unanswered += 1
            try:
                self._send(entry.binding, self._ping(entry.binding))
            except SipnodeError as error:
                self._log.debug("no ping to {contact}: {reason}", contact=entry.binding.contact, reason=error)

    def _ping(self, binding: Binding) -> SipRequest:
        return build.request(
            "OPTIONS",
            binding.contact,
            (
                ("max-forwards", "70"),
                ("from", f"<{self._identity}>;tag={self._tag(binding.ruid)}"),
                ("to", f"<{binding.contact}>"),
                ("call-id", f"{_CALL_ID_PREFIX}{binding.ruid}@sipnode"),
                ("cseq", f"{next(self._numbers) & 0x7FFFFFFF} OPTIONS"),
            ),
        )

    def _tag(self, ruid: str) -> str:
        """Only the phone that was pinged knows its tag, so that nobody answers for another."""
        return blake2s(ruid.encode("utf-8", "surrogateescape"), key=self._secret, digest_size=8).hexdigest()
