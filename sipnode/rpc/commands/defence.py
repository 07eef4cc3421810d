"""defence.*: what sources are limited to, who is trusted, who is shut out and how often; for as long as the server runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from sipnode.errors import ConfigError, RpcError
from sipnode.rpc.registry import rpc

if TYPE_CHECKING:
    from sipnode.rpc.parts import Parts


class BanShown(TypedDict):
    key: str
    reason: str
    since: int
    seconds_left: int
    dropped: int
    udp_only: bool


class Nothing(TypedDict):
    pass


class DefenceCommands:
    """defence.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._defence = parts.core.defence

    @rpc("defence.list")
    def bans(self) -> list[BanShown]:
        """Sources that are shut out, and which users at which source after wrong passwords; ``dropped`` are their messages since then;
        ``udp_only`` says that only UDP is shut out, since what it was for could be forged."""
        now = self._parts.clock()
        return [self._shown(ban, now) for ban in self._defence.bans()]

    @rpc("defence.ban", changes=True)
    def ban(self, address: str, seconds: float = 0.0, reason: str = "operator") -> BanShown:
        """Shut an address or network out, and cut its connections.

        Args:
            seconds: 0 for ``[defence] ban_seconds``.
        """
        if len(reason) > 200 or not reason.isprintable():
            raise RpcError(400, "the reason has to be printable, of at most 200 characters")
        try:
            return self._shown(self._defence.ban(address, seconds, reason), self._parts.clock())
        except ConfigError as error:
            raise RpcError(400, error.reason) from None

    @rpc("defence.unban", changes=True)
    def unban(self, key: str) -> Nothing:
        """Let one in again, by the key that defence.list shows."""
        if not self._defence.unban(key):
            raise RpcError(404, "nobody of that name is shut out")
        return {}

    @rpc("defence.limits")
    def limits(self) -> dict[str, Any]:
        """Every limit that holds now, by its name in ``[defence]``."""
        limits: dict[str, Any] = self._defence.limits()
        return {name: list(value) if isinstance(value, tuple) else value for name, value in limits.items()}

    @rpc("defence.set_limit", changes=True)
    def set_limit(self, name: str, value: float) -> dict[str, Any]:
        """Change a limit until the next start."""
        try:
            self._defence.set_limit(name, value)
        except ConfigError as error:
            raise RpcError(400, error.reason) from None
        return {name: self._defence.limits()[name]}

    @rpc("defence.trusted")
    def trusted(self) -> list[str]:
        """Networks that nothing is counted of."""
        return list(self._defence.trusted())

    @rpc("defence.trust", changes=True)
    def trust(self, network: str) -> list[str]:
        """Count nothing of an address or network until the next start; gives all that are trusted."""
        try:
            self._defence.trust(network)
        except ConfigError as error:
            raise RpcError(400, error.reason) from None
        return self.trusted()

    @rpc("defence.distrust", changes=True)
    def distrust(self, network: str) -> list[str]:
        """Count an address or network again; gives all that are trusted."""
        try:
            known = self._defence.distrust(network)
        except ConfigError as error:
            raise RpcError(400, error.reason) from None
        if not known:
            raise RpcError(404, f"{network[:80]} wasn't trusted")
        return self.trusted()

    @rpc("defence.counts")
    def counts(self) -> dict[str, int]:
        """Counts of events since the start."""
        counts: dict[str, int] = self._defence.counts()
        return counts

    def _shown(self, ban: Any, now: float) -> BanShown:
        left = max(0, int(ban.until - now))
        return BanShown(
            key=ban.key, reason=ban.reason, since=int(ban.since), seconds_left=left, dropped=ban.dropped, udp_only=ban.datagrams
        )
