"""How many messages of which kind, as they are shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from sipnode.sip.status import REASONS

Codes = Mapping[tuple[str, int], int]


def by_code(counts: Codes) -> dict[tuple[str, str], int]:
    """Responses by method and code; a status that no RFC of ours knows is one with all such of its class: ``4xx``.

    So whoever sends every number there is makes few time series in somebody's Prometheus.
    """
    found: dict[tuple[str, str], int] = defaultdict(int)
    for (method, status), count in counts.items():
        found[method, str(status) if status in REASONS else f"{status // 100}xx"] += count
    return dict(sorted(found.items()))
