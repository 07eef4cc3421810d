"""Abilities of ends, learned from what they offer, and from what they took after they had refused something else.

A phone doesn't say with its registration whether it wants SRTP, so the first call to one that does costs a 488 and a second try. This
makes the second call right at once. Pure. The invariant: what is known only orders what may be tried; nothing is tried because of it
that wouldn't be tried without.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeAlias

from sipnode.base.flow import Flow
from sipnode.records import MediaForm

MOST: int = 10_000
"""Ends that are remembered; the one that wasn't heard of for longest goes."""
_Place: TypeAlias = "str | tuple[str, int]"


class Abilities:
    """Abilities of each end, by where it is."""

    def __init__(self) -> None:
        self._known: OrderedDict[_Place, tuple[MediaForm, bool]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def offered(self, flow: Flow, form: MediaForm) -> None:
        """One who sends by this flow has made an offer of that form."""
        if not self.proven(flow):
            self._keep(flow, form, False)

    def took(self, flow: Flow, form: MediaForm) -> None:
        """One who is reached by this flow refused something else, and took that."""
        self._keep(flow, form, True)

    def refused(self, flow: Flow, form: MediaForm) -> None:
        """It refused that form."""
        if self.known(flow) is form:
            del self._known[_place(flow)]

    def known(self, flow: Flow) -> MediaForm | None:
        """The abilities it is believed to have, or None."""
        found = self._known.get(_place(flow))
        return found[0] if found is not None else None

    def proven(self, flow: Flow) -> bool:
        """Whether it has taken that when it was called."""
        found = self._known.get(_place(flow))
        return found is not None and found[1]

    def _keep(self, flow: Flow, form: MediaForm, proven: bool) -> None:
        place = _place(flow)
        self._known[place] = (form, proven)
        self._known.move_to_end(place)
        if len(self._known) > MOST:
            self._known.popitem(last=False)


def _place(flow: Flow) -> _Place:
    return flow.token or flow.remote
