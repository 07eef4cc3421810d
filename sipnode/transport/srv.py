"""Choosing among SRV records; pure.

Implements: RFC 2782 (priority, weight). Invariant: every target is in the order exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, slots=True)
class Target:
    """One SRV record, with the transport that its service stands for; a plain host is a target of weight 0."""

    transport: str
    host: str
    port: int
    priority: int = 0
    weight: int = 0


def srv_order(targets: Iterable[Target], random_below: Callable[[int], int]) -> list[Target]:
    """The targets in the order to try: by priority, and at random by weight within one.

    Args:
        targets: All records of one name.
        random_below: ``random_below(n)`` gives 0..n-1.
    """
    groups: dict[int, list[Target]] = {}
    for target in targets:
        groups.setdefault(target.priority, []).append(target)
    order: list[Target] = []
    for priority in sorted(groups):
        # Those of weight 0 first, so that they have a very small chance and not none (RFC 2782, "Weight").
        left = sorted(groups[priority], key=lambda target: target.weight > 0)
        while left:
            mark = random_below(sum(target.weight for target in left) + 1)
            running = 0
            for target in left:
                running += target.weight
                if running >= mark:
                    break
            order.append(target)
            left.remove(target)
    return order
