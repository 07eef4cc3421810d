"""Wiring of the trunks: made of their sections, known to routing, asked while the server runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.trunk.service import TrunkService

if TYPE_CHECKING:
    from sipnode.routing.core import Core


def build_trunks(core: Core) -> list[TrunkService]:
    """The service that asks and registers at the trunks of a core, to start after the listeners, if it has any."""
    if core.trunks is None:
        return []

    def known(address: str) -> None:
        # All of a provider's calls come from one address: it is no flood.
        if core.defence is not None:
            core.defence.trust(address)

    return [TrunkService(core.trunks, core, known)]
