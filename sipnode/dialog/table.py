"""The calls of the process: by dialog, by the browser's connection, by the time at which they count as lost.

Pure. The invariant: a call stands in all three exactly from its INVITE to its end, so that nothing is left of one that ended,
and never more than ``most`` do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sipnode.dialog.call import Call
    from sipnode.dialog.ends import Party

SLOT_SECONDS: Final = 10
"""How coarsely the time of lost calls is kept: one dictionary for each such time, not a timer for each call."""


class CallTable:
    """All calls.

    Args:
        most: Calls that are kept at most.

    Attributes:
        untracked: Calls that found no room.
    """

    def __init__(self, most: int) -> None:
        self.untracked = 0
        self._most = most
        self._calls: dict[tuple[str, str, str], Call] = {}
        self._by_id: dict[str, list[Call]] = {}
        self._by_flow: dict[str, set[tuple[str, str, str]]] = {}
        self._slots: dict[int, dict[int, Call]] = {}
        self._of_user: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._calls.values()))

    def get(self, key: tuple[str, str, str]) -> Call | None:
        """The call of Call-ID, the caller's tag and the callee's (``""`` before the answer)."""
        return self._calls.get(key)

    def between(self, call_id: str, one: str, other: str) -> Call | None:
        """The call of a Call-ID and two tags, whichever is the caller's."""
        return self._calls.get((call_id, one, other)) or self._calls.get((call_id, other, one))

    def of(self, call_id: str) -> list[Call] | tuple[()]:
        """All calls with a Call-ID."""
        return self._by_id.get(call_id, ())

    def calls_of(self, user: str) -> int:
        """How many calls ``user@domain`` has begun that are in the table; they are counted from the first time that somebody asks."""
        if self._of_user is None:
            self._of_user = {}
            for call in self._calls.values():
                self._count(call.caller, 1)
        return self._of_user.get(user, 0)

    def _count(self, user: str, more: int) -> None:
        if self._of_user is not None and user:
            left = self._of_user.get(user, 0) + more
            if left > 0:
                self._of_user[user] = left
            else:
                self._of_user.pop(user, None)

    def holds(self, call: Call) -> bool:
        """Whether it hasn't ended."""
        return self._calls.get(call.key) is call

    def add(self, call: Call, lost_at: float) -> bool:
        """Take a call, unless its like is there or there is no room.

        Args:
            lost_at: Epoch seconds at which it counts as lost.
        """
        if call.key in self._calls:
            return False
        if len(self._calls) >= self._most:
            self.untracked += 1
            return False
        self._calls[call.key] = call
        if self._of_user is not None:
            self._count(call.caller, 1)
        others = self._by_id.get(call.call_id)
        if others is None:
            self._by_id[call.call_id] = [call]
        else:
            others.append(call)
        call.slot = int(lost_at) // SLOT_SECONDS + 1
        slot = self._slots.get(call.slot)
        if slot is None:
            slot = self._slots[call.slot] = {}
        slot[call.id] = call
        return True

    def rename(self, call: Call, to_tag: str) -> bool:
        """Give it the callee's tag; False, and nothing is changed, where that dialog is known already."""
        key = (call.call_id, call.from_tag, to_tag)
        if key in self._calls:
            return False
        del self._calls[call.key]
        call.to_tag = to_tag
        call.key = key
        self._calls[key] = call
        return True

    def put_off(self, call: Call, lost_at: float) -> None:
        """It counts as lost at another time."""
        slot = int(lost_at) // SLOT_SECONDS + 1
        if slot != call.slot:
            self._leave_slot(call)
            call.slot = slot
            self._slots.setdefault(slot, {})[call.id] = call

    def remove(self, call: Call) -> bool:
        """It has ended; whether it was there."""
        if self._calls.get(call.key) is not call:
            return False
        del self._calls[call.key]
        if self._of_user is not None:
            self._count(call.caller, -1)
        others = self._by_id[call.call_id]
        if len(others) == 1:
            del self._by_id[call.call_id]
        else:
            others.remove(call)
        self._leave_slot(call)
        return True

    def lost(self, now: float) -> list[Call]:
        """The calls whose time is over; they are still there."""
        present = int(now) // SLOT_SECONDS
        return [call for slot in sorted(self._slots) if slot <= present for call in self._slots[slot].values()]

    def _leave_slot(self, call: Call) -> None:
        slot = self._slots.get(call.slot)
        if slot is not None:
            slot.pop(call.id, None)
            if not slot:
                del self._slots[call.slot]

    # -- browsers

    def enter_flow(self, call: Call, party: Party) -> None:
        """An end is a browser on the connection of ``party.side``."""
        # A phone may close its connection and open another as it likes; a browser's is all that there is of it.
        if party.side.websocket and party.side.flow:
            self._by_flow.setdefault(party.side.flow, set()).add(call.key)

    def leave_flow(self, call: Call, party: Party) -> None:
        """It isn't any more."""
        keys = self._by_flow.get(party.side.flow)
        if keys is not None:
            keys.discard(call.key)
            if not keys:
                del self._by_flow[party.side.flow]

    def flow_gone(self, token: str) -> list[Call]:
        """The calls of a connection that has closed."""
        keys = self._by_flow.pop(token, ())
        return [self._calls[key] for key in keys if key in self._calls]
