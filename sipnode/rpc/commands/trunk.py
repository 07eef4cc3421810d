"""trunk.*: providers and PBXs that calls go to and come from: which are there, and where we are registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from sipnode.errors import RpcError
from sipnode.rpc.registry import rpc

if TYPE_CHECKING:
    from sipnode.rpc.parts import Parts


class TrunkState(TypedDict):
    name: str
    domain: str
    state: str
    registered: int
    requests: int
    failures: int


class TrunkDetails(TypedDict):
    name: str
    domain: str
    address: str
    addresses: list[str]
    priority: int
    weight: int
    trust: str
    state: str
    reason: str
    missed: int
    register: bool
    registered: int
    trouble: str
    user: str
    realm: str
    requests: int
    failures: int


class TrunkCommands:
    """trunk.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @rpc("trunk.list")
    def list_trunks(self) -> list[TrunkState]:
        """The trunks: ``state`` is ``up`` while new calls go to it, else ``down``; ``registered`` are the seconds that we still are."""
        return [
            TrunkState(
                name=trunk.name,
                domain=trunk.domain,
                state=_state(trunk),
                registered=self._left(trunk),
                requests=trunk.requests,
                failures=trunk.failures,
            )
            for trunk in self._trunks
        ]

    @rpc("trunk.show")
    def show(self, name: str) -> TrunkDetails:
        """One trunk: where it is, what its last answer was, why we aren't registered there. Its password isn't told."""
        trunk = next((each for each in self._trunks if each.name == name), None)
        if trunk is None:
            raise RpcError(404, "Trunk not found")
        settings = trunk.settings
        return TrunkDetails(
            name=trunk.name,
            domain=trunk.domain,
            address=settings.address or settings.domain,
            addresses=sorted(trunk.addresses),
            priority=settings.priority,
            weight=settings.weight,
            trust=settings.trust,
            state=_state(trunk),
            reason=trunk.health.reason,
            missed=trunk.health.missed,
            register=settings.register,
            registered=self._left(trunk),
            trouble=trunk.trouble,
            user=settings.user,
            realm=trunk.realm,
            requests=trunk.requests,
            failures=trunk.failures,
        )

    @property
    def _trunks(self) -> list[Any]:
        return list(self._parts.core.trunks or ())

    def _left(self, trunk: Any) -> int:
        return max(0, int(trunk.registered - self._parts.clock()))


def _state(trunk: Any) -> str:
    return "up" if trunk.up else "down"
