"""Is it alive, and is it ready? Alive is whoever answers at all; ready is who wants new calls.

A media node that is down, or a lost sister, is told and doesn't make the server unready: every server beside it would be so too.
"""

from __future__ import annotations

import json
from typing import Any

from sipnode.observe.web import Answer, as_json

_NEEDS_STORE = (1, 3)
"""``db_mode`` in which a REGISTER has to wait for the store."""
_WHY = {"drain": "it is about to stop", "overload": "it has too much to do"}


def alive() -> Answer:
    """``/healthz``: the reactor turns."""
    return as_json(200, {"status": "alive"})


def unready(core: Any, storage: Any) -> list[str]:
    """Why new calls should go elsewhere, none when they are welcome.

    Args:
        core: The services.
        storage: IStorage, or None.
    """
    reasons = []
    if not core.registrar.ready:
        reasons.append("the registrations are being read")
    reasons += [_WHY.get(reason, reason) for reason in sorted(core.busy)]
    if storage is not None and storage.degraded and core.settings.location.db_mode in _NEEDS_STORE:
        reasons.append("the store takes no writes")
    return reasons


def bare(answer: Answer) -> Answer:
    """An answer of these without its details, for whom ever."""
    status, _, body = answer
    return as_json(status, {"status": json.loads(body)["status"]})


def readiness(core: Any, storage: Any, media: Any) -> Answer:
    """``/readyz``: 503 with the reasons while the table is read, the server drains or is overloaded, or the store is away."""
    reasons = unready(core, storage)
    nodes = media.nodes.nodes if media is not None else ()
    down = [f"{node.host}:{node.port}" for node in nodes if not media.nodes.is_up(node)]
    content: dict[str, Any] = {"status": "not ready" if reasons else "ready"}
    if reasons:
        content["reasons"] = reasons
    if down:
        content["media_nodes_down"] = down
    return as_json(503 if reasons else 200, content)
