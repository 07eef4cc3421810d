"""The event packages that come with sipnode: who makes which document. Pure.

A package is what :class:`~sipnode.interfaces.IEventPackage` says: it reads what is published and makes the state of a resource as a
document. Each module is one package, with the form of its document in a module beside it where that is more than a few lines.
``[presence] packages`` names those that are served, beside those of plugins; only they are imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sipnode.interfaces import IEventPackage

BUILT_IN: Final[Mapping[str, str]] = MappingProxyType({
    "presence": "presence:PresencePackage",
    "presence.winfo": "winfo:WinfoPackage",
    "dialog": "dialog:DialogPackage",
    "reg": "reg:RegPackage",
    "message-summary": "mwi:MessageSummaryPackage",
})  # fmt: skip
"""Module and class of each, by the value of Event. A table and no entry points, so that a checkout that nobody installed has them too."""


def built_in(name: str) -> IEventPackage:
    """One of ours, new; KeyError for another name."""
    module, _, kind = BUILT_IN[name].partition(":")
    made: IEventPackage = getattr(import_module(f"{__name__}.{module}"), kind)()
    return made
