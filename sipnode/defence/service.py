"""The defence as an operator sees it: what is limited, who is shut out, and how busy the process is.

The invariant: there is one log line for each ban, and never more than a few a second; what wasn't said is summed up.
"""

from __future__ import annotations

import random
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.logger import Logger

from sipnode.defence.bucket import Bucket
from sipnode.defence.overload import OverloadMeter
from sipnode.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.interfaces import IDelayedCall

    from sipnode.base.flow import Flow
    from sipnode.defence.bans import Ban
    from sipnode.defence.guard import Guard

LOOK_SECONDS: Final = 0.25
"""Between two looks at the clock."""
CONNECTIONS: Final = ("connections", "connections_per_source")
LINES_A_SECOND: Final = 2.0
MOST_LINES: Final = 20.0


COUNTS: Final = (
    "bans",
    "udp_bans",
    "bars",
    "barred_digests",
    "broken",
    "dropped_banned",
    "dropped_frames",
    "dropped_handshakes",
    "dropped_http",
    "dropped_keepalives",
    "dropped_rate",
    "dropped_scanner",
    "dropped_stun",
    "dropped_transactions",
    "failed_digests",
    "refused_connections",
)


class DefenceService(Service):
    """Limits, bans and overload.

    Args:
        guard: Who judges.
        reactor: Clock and delayed calls.
        busy: Where a reason to refuse new calls is put: ``name -> seconds of Retry-After``.
        connections: All live connections.

    Attributes:
        guard: Who judges.
        overload: Lag of the reactor, and what follows.
        unplaced: How many credentials over UDP weren't looked at, since their nonce hadn't been given to that address.
        admission: Who counts connections, with ``most``, ``most_per_source`` and ``set_limits``; None for nobody.
    """

    name = "defence"
    log = Logger(namespace="sipnode.defence")

    def __init__(
        self, guard: Guard, reactor: Any, busy: dict[str, Callable[[], int]], connections: Callable[[], Iterable[Any]] = tuple
    ) -> None:
        self.guard = guard
        self.overload = OverloadMeter(guard.limits.lag_seconds, guard.limits.lag_lasting)
        self.admission: Any = None
        self.unplaced: Callable[[], int] = int
        self._reactor = reactor
        self._busy = busy
        self._connections = connections
        self._lines = Bucket(LINES_A_SECOND, MOST_LINES, reactor.seconds())
        self._unsaid = 0
        self._call: IDelayedCall | None = None
        self._expected = 0.0
        guard.on_ban = self._say

    def startService(self) -> None:
        """Begin to look at the clock."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self._expect()

    def stopService(self) -> Any:
        """Look no more."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._busy.pop("overload", None)
        return super().stopService()  # type: ignore[no-untyped-call]  # as above

    # -- overload

    def _expect(self) -> None:
        self._expected = self._reactor.seconds() + LOOK_SECONDS
        self._call = self._reactor.callLater(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        now = self._reactor.seconds()
        meter, limits = self.overload, self.guard.limits
        meter.limit, meter.lasting = limits.lag_seconds, limits.lag_lasting
        if meter.feed(now - self._expected, now):
            if meter.overloaded:
                self._busy["overload"] = self._wait
                self.log.warn("overload: the reactor is {lag:.0f} ms late; new calls get 503", lag=meter.lag * 1000)
            else:
                self._busy.pop("overload", None)
                self.log.info("overload is over")
        self._expect()

    def _wait(self) -> int:
        # At random, so that those who were refused together don't come back together.
        return random.randint(1, max(1, int(self.guard.limits.retry_after)))

    def misbehaved(self, flow: Flow) -> None:
        """Count a message of a flow that couldn't be read."""
        flow.unsaid()
        self.guard.broken(self.guard.source_of(flow))

    # -- what an operator asks

    def bans(self) -> list[Ban]:
        """Bans in force: sources, then users barred at a source."""
        now = self._reactor.seconds()
        return self.guard.bans.list(now) + self.guard.udp_bans.list(now) + self.guard.barred.list(now)

    def ban(self, address: str, seconds: float = 0.0, reason: str = "operator") -> Ban:
        """Shut an address or network out, and cut its connections.

        Args:
            seconds: 0 for ``ban_seconds``.

        Raises:
            ConfigError: neither an address nor a network, or one that is trusted.
        """
        if seconds < 0:
            raise ConfigError("seconds can't be below 0")
        ban = self.guard.ban(address, reason, seconds)
        for flow in self._connections():
            if self.guard.sources.find(flow.remote[0]).shut_until:
                flow.close("shut out")
        return ban

    def unban(self, key: str) -> bool:
        """Let one in again, by the key that :meth:`bans` shows; whether it was shut out."""
        return self.guard.unban(key)

    def limits(self) -> dict[str, Any]:
        """Every limit by its name in ``[defence]``, and the caps on connections by theirs in ``[limits]``."""
        caps = {} if self.admission is None else dict(zip(CONNECTIONS, self.admission.caps, strict=True))
        return {**asdict(self.guard.limits), **caps}

    def set_limit(self, name: str, value: float) -> None:
        """Change a limit until the next start.

        Raises:
            ConfigError: no such limit, or a value out of its bounds.
        """
        if name in CONNECTIONS and self.admission is not None:
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value < 1e9:
                raise ConfigError(f"{value} is out of bounds", key=f"limits.{name}")
            caps = {**dict(zip(CONNECTIONS, self.admission.caps, strict=True)), name: int(value)}
            self.admission.set_limits(*caps.values())
            return
        self.guard.set_limit(name, value)

    def trusted(self) -> tuple[str, ...]:
        """Networks that nothing is counted of."""
        return self.guard.sources.trusted

    def trust(self, network: str) -> None:
        """Count nothing of an address or network, until the next start; ConfigError where it is neither."""
        self.guard.sources.trust(network)
        self.guard.datagrams.trust(network)

    def distrust(self, network: str) -> bool:
        """Count it again; whether it was trusted. ConfigError where it is neither address nor network."""
        self.guard.datagrams.distrust(network)
        return self.guard.sources.distrust(network)

    def counts(self) -> dict[str, int]:
        """Counts of events since the start, and how much is remembered now."""
        guard = self.guard
        found = {name: guard.counts[name] for name in COUNTS}
        found["unplaced_digests"] = self.unplaced()
        found["overloads"] = self.overload.times
        found["sources"] = len(guard.sources) + len(guard.datagrams)
        if self.admission is not None:
            found.update((f"connections_{name}", count) for name, count in self.admission.counts.items())
        return {**found, "proved_pairs": len(guard.peers), "banned_now": len(guard.bans) + len(guard.udp_bans)}

    def _say(self, ban: Ban) -> None:
        if not self._lines.take(self._reactor.seconds()):
            self._unsaid += 1
            return
        more, self._unsaid = self._unsaid, 0
        text = f"; {more} others before, unsaid" if more else ""
        seconds = ban.until - ban.since
        self.log.warn("{key} is shut out for {seconds:.0f} s: {reason}{text}", key=ban.key, seconds=seconds, reason=ban.reason, text=text)
