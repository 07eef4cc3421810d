"""Wiring of what happens to calls when a node of the media relay is lost or started anew."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from sipnode.dialog.medialost import MediaLost
from sipnode.dialog.mediamove import MediaMoves
from sipnode.interfaces import IMediaCommands
from sipnode.wiring.renumbering import FILE, NumbersFile

if TYPE_CHECKING:
    from sipnode.media.nodes import Node
    from sipnode.media.service import MediaService
    from sipnode.routing.core import Core


def watch_losses(core: Core, media: MediaService, state_dir: Path, reactor: Any) -> None:
    """Have calls moved, or ended, as ``[media] on_lost`` says; before the start.

    Args:
        state_dir: Where CSeq numbers that were shifted outlive a kill.
    """
    nodes, settings = media.nodes, core.settings.media
    commands = IMediaCommands(media.relay, None)
    NumbersFile(state_dir / FILE, core.renumbering, reactor.seconds).open()
    moves: MediaMoves | None = None
    if settings.on_lost == "move" and nodes.nodes and commands is not None:
        trunks = core.trunks.of_key if core.trunks is not None else lambda key: None
        moves = MediaMoves(core, core.dialogs, nodes, commands, reactor, SystemRandom(), settings.lost_seconds, trunks)
        nodes.on_down, nodes.on_back, nodes.on_look = moves.down, moves.back, moves.look
    ending = MediaLost(core, core.dialogs, reactor, (lambda: moves.busy) if moves is not None else (lambda: False))
    nodes.on_lost = partial(_lost, ending)


def _lost(ending: MediaLost, node: Node) -> None:
    ending.lost(node.name, node.place, lambda: node.lost)
