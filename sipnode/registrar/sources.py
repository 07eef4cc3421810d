"""An index by source address that finds the owner of ``;alias=ip~port~proto``. Pure.

The invariant: an entry stands here exactly while a binding of that address-of-record, behind a translator or on a WebSocket, has that
``received``. It costs a dictionary entry and shares both texts with the binding.
"""

from __future__ import annotations


class Sources:
    """Addresses-of-record by ``received`` of their bindings."""

    __slots__ = ("_aors",)

    def __init__(self) -> None:
        self._aors: dict[str, str | tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._aors)

    def of(self, received: str) -> tuple[str, ...]:
        """The addresses-of-record with bindings from there."""
        found = self._aors.get(received, ())
        return (found,) if isinstance(found, str) else found

    def add(self, received: str, aor: str) -> None:
        """A binding of that address-of-record came from there."""
        there = self._aors.setdefault(received, aor)
        if there != aor and aor not in there:
            self._aors[received] = (*self.of(received), aor)

    def drop(self, received: str, aor: str) -> None:
        """No binding of it comes from there any more."""
        left = tuple(one for one in self.of(received) if one != aor)
        if not left:
            self._aors.pop(received, None)
        else:
            self._aors[received] = left[0] if len(left) == 1 else left
