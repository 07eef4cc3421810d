"""Wiring of the trunks: made of their sections, known to routing, asked while the server runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.trunk.service import TrunkService
from sipnode.trunk.trunks import Trunks

if TYPE_CHECKING:
    from sipnode.routing.core import Core


def build_trunks(core: Core) -> list[TrunkService]:
    """Make the trunks of a core; a server without any pays nothing for them.

    Returns:
        The service to start after the listeners, if there is one.

    Raises:
        ConfigError: settings of a trunk that can't be together.
    """
    if not core.settings.trunk:
        return []
    core.trunks = Trunks(core.settings.trunk)


    def known(address: str) -> None:
        # All of a provider's calls come from one address: it is no flood.
        if core.defence is not None:
            core.defence.trust(address)

    return [TrunkService(core.trunks, core, known)]
