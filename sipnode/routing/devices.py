"""Targets of a user's bindings: a device with several flows is one target.

Implements: RFC 5626 §7 (never more than one flow of an instance at a time).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.registrar.outbound import grouped

if TYPE_CHECKING:
    from sipnode.proxy.target import Target
    from sipnode.records import Binding
    from sipnode.routing.core import Core


def devices(core: Core, bindings: list[Binding]) -> list[Target]:
    """A target for each device of these bindings, best first; its other flows wait in :attr:`Target.flows`."""
    found: list[Target] = []
    for group in grouped(bindings):
        target = core.target(group[0])
        if len(group) > 1:
            target.flows = tuple(core.target(binding) for binding in group[1:])
        found.append(target)
    return found
