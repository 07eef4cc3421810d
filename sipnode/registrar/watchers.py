"""Those who are told of each change of the location table, after it is on disk.

The invariant: one that raises costs no REGISTER, and hides nothing from the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.records import Binding, LocationChange
    from sipnode.registrar.location import LocationTable


class Watchers:
    """Callables, each with (kind, binding).

    Args:
        table: Where a binding is looked for that has been saved: by now its connection may have closed, and that has been told already.
    """

    __slots__ = ("_all", "_log", "_table")

    def __init__(self, table: LocationTable) -> None:
        self._table = table
        self._all: list[Callable[[str, Binding], None]] = []
        self._log = Logger(namespace="sipnode.registrar")

    def add(self, watcher: Callable[[str, Binding], None]) -> None:
        """Tell it from now on."""
        self._all.append(watcher)

    def tell(self, kind: str, binding: Binding) -> None:
        """One change."""
        for watcher in self._all:
            try:
                watcher(kind, binding)
            except Exception:
                self._log.failure("a watcher of the location table failed")

    def tell_changes(self, changes: list[LocationChange], before: list[Binding | None]) -> None:
        """The changes of a REGISTER.

        Args:
            before: What memory held before, for each.
        """
        if not self._all:
            return
        for change, old in zip(changes, before, strict=True):
            binding = change.binding
            if change.delete:
                self.tell("unregistered", binding)
            elif self._table.get(binding.aor, binding.ruid) is not None:
                self.tell("registered" if old is None else "refreshed", binding)
