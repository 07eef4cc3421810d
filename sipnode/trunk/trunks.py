"""All trunks of a server: which one a request comes from, and which ones it goes to, in which order. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from sipnode.trunk.trunk import KEY, Trunk

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.settings import TrunkSettings

_REMEMBERED: Final = 10000


class Trunks:
    """The trunks by their names.

    Args:
        settings: ``[trunk.NAME]`` of all.
        chance: 0..1, for the shares of those of the same priority.

    Raises:
        ConfigError: settings that can't be together.
    """

    def __init__(self, settings: Mapping[str, TrunkSettings], chance: Callable[[], float] = random.random) -> None:
        self._all = {name: Trunk(name, each) for name, each in settings.items()}
        self._chance = chance
        self._by_address = [trunk for trunk in self._all.values() if trunk.settings.trust == "address"]
        self._by_name = [trunk for trunk in self._all.values() if trunk.settings.trust == "tls"]
        self._known: dict[str, tuple[Trunk, ...]] = {}

    def __iter__(self) -> Iterator[Trunk]:
        return iter(self._all.values())

    def __len__(self) -> int:
        return len(self._all)

    def get(self, name: str) -> Trunk | None:
        """The one of that name."""
        return self._all.get(name)

    def of_key(self, key: str) -> Trunk | None:
        """The one that a token of a dialog names."""
        return self._all.get(key[len(KEY) :]) if key.startswith(KEY) else None

    def moved(self) -> None:
        """A name has other addresses now."""
        self._known.clear()

    def at(self, flow: Flow) -> tuple[Trunk, ...]:
        """Those that what comes by a flow is believed to be from; several where a provider has more than one account of ours."""
        found = self._known.get(flow.remote[0])
        if found is None:
            found = tuple(trunk for trunk in self._by_address if trunk.trusts(flow))
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[flow.remote[0]] = found
        if self._by_name and flow.peer_domains:
            found = (*found, *(trunk for trunk in self._by_name if trunk.trusts(flow)))
        return found

    def of(self, flow: Flow, user: str) -> Trunk | None:
        """The one that a request comes from; of several with the same address the one whose user it is for."""
        found = self.at(flow)
        if len(found) > 1:
            return next((trunk for trunk in found if trunk.settings.user and trunk.settings.user == user), found[0])
        return found[0] if found else None

    def key_of(self, flow: Flow, user: str) -> str:
        """The key of the one that a request comes from, "" where it comes from none."""
        trunk = self.of(flow, user)
        return "" if trunk is None else trunk.key

    def speaks(self, key: str, flow: Flow) -> bool:
        """Whether what comes by a flow is from the trunk that a token of a dialog names."""
        trunk = self.of_key(key)
        return trunk is not None and trunk.trusts(flow)

    def for_domain(self, host: str) -> list[Trunk]:
        """Those that serve a foreign domain."""
        return [trunk for trunk in self if trunk.serves(host)]

    def for_number(self, number: str) -> list[Trunk]:
        """Those that serve a number."""
        return [trunk for trunk in self if trunk.serves_number(number)]

    def ordered(self, trunks: list[Trunk]) -> list[Trunk]:
        """Those of them that are there, as they are to be tried: by priority, and by chance according to weight among equals."""
        up = [trunk for trunk in trunks if trunk.up]
        # The exponential clocks of RFC 2782's weights: each rings after a time that its weight makes shorter.
        drawn = {trunk.name: (1.0 - self._chance()) ** (1.0 / trunk.settings.weight) for trunk in up}
        return sorted(up, key=lambda trunk: (trunk.settings.priority, -drawn[trunk.name]))
