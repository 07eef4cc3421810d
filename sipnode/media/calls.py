"""Calls that the relay holds, and their owners: every call with its branches that ring and its dialogs that talk.

A relay holds a call by one name; below it a branch for each phone that rings and a pair of tags for each phone that answered. Ports come
back when what they were opened for has ended, and the whole call with the last of them.
Pure. Implements: RFC 3261 §13.2.2.4 (more than one answer), §14.1 (a refused re-INVITE leaves all as it was), RFC 3264 §8.

The one invariant: a branch or a dialog stands here from its offer to its end, so what doesn't stand here may be deleted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Final

from sipnode.media.manage import SdpState
from sipnode.media.sdp import SdpForm
from sipnode.records import MediaProfile

MOST_CALLS: int = 50_000
"""Calls that are known; of one that was forgotten for a newer one a BYE still deletes its dialog by name."""

MOST_KEPT: Final = 16_384
"""Octets of SDP that are kept of a round, to set the relay back to it; browsers make 3 000 to 8 000."""

Pair = tuple[str, str]
"""Tags of the caller and of the callee."""


@dataclass(slots=True)
class Round:
    """An offer and its answer, as they were sent to us.

    Attributes:
        offerer: Tag of the one who offered.
        answerer: Tag of the other.
        via_branch: That the exchange was asked with, "" inside a dialog.
        node: The relay's node that has it.
    """

    offerer: str
    answerer: str
    via_branch: str
    node: str
    offer: bytes
    offer_profile: MediaProfile
    answer: bytes
    answer_profile: MediaProfile


@dataclass(slots=True)
class DialogMedia:
    """The media of one dialog.

    Attributes:
        via_branch: Of the branch that made it, "" where that isn't known.
        up: It has had its 2xx.
        agreed: The last round that both ends agreed on, or None where that isn't known, or too large to be kept.
        settled: Both ends have agreed on a round.
        open: Offers inside it that wait for their answer.
        shaken: An offer has changed the relay since, and no answer came.
        late: The offer that a response carried, with its form and profile, until an ACK or PRACK brings the answer.
        acked: That answer, and what was made of it.
        forms: What each end has shown itself to be, by its tag.
    """

    via_branch: str = ""
    up: bool = False
    agreed: Round | None = None
    settled: bool = False
    open: int = 0
    shaken: bool = False
    late: tuple[bytes, SdpForm, MediaProfile] | None = None
    acked: tuple[bytes, bytes] | None = None
    forms: dict[str, SdpForm] = field(default_factory=dict)


class HeldCall:
    """One call at the relay.

    Attributes:
        name: What it is called there, "" where that is the Call-ID.
        call_id: Its Call-ID.
        node: The relay's node; of a fork that had to go different ways, the latest.
        branches: The via-branches that ring, with their callers' tags.
        dialogs: Early and confirmed ones.
        latest: The answer that the caller's side of the relay follows now: the pair, and the SDP; None before any.
        asked: What the last offer and the last answer said to the relay beside SDP.
        complete: Seen from its beginning, so that what isn't here isn't there.
        over: It has ended, and the relay was told.
        moves: How often this server has re-offered it.
    """

    __slots__ = ("asked", "branches", "call_id", "complete", "dialogs", "latest", "moves", "name", "node", "over")

    def __init__(self, name: str, call_id: str, node: str, complete: bool) -> None:
        self.name = name
        self.call_id = call_id
        self.node = node
        self.branches: dict[str, str] = {}
        self.dialogs: dict[Pair, DialogMedia] = {}
        self.latest: tuple[Pair, bytes] | None = None
        self.asked: dict[str, Mapping[str, object]] = {}
        self.complete = complete
        self.over = False
        self.moves = 0

    @property
    def key(self) -> str:
        """By what the table has it."""
        return self.name or self.call_id

    def dialog(self, pair: Pair) -> DialogMedia:
        """The media of a dialog, new where it wasn't known."""
        found = self.dialogs.get(pair)
        if found is None:
            found = self.dialogs[pair] = DialogMedia()
        return found

    @property
    def up(self) -> list[Pair]:
        """The dialogs that are up."""
        return [pair for pair, dialog in self.dialogs.items() if dialog.up]


class HeldCalls:
    """All of them.

    Args:
        counters: Counts ``forgotten_media``: calls that went for newer ones.

    Attributes:
        whole: None was forgotten, so that all calls that began since the start are here until they end.
    """

    def __init__(self, counters: MutableMapping[str, int]) -> None:
        self._calls: OrderedDict[str, HeldCall] = OrderedDict()
        self._counters = counters
        self.whole = True

    def __len__(self) -> int:
        return len(self._calls)

    def get(self, key: str) -> HeldCall | None:
        """The call of that name."""
        return self._calls.get(key)

    def enter(self, name: str, call_id: str, node: str, complete: bool) -> HeldCall:
        """The call of that name, new where there is none.

        Args:
            complete: Its INVITE is about to be sent.
        """
        found = self._calls.get(name or call_id)
        if found is None:
            found = self._calls[name or call_id] = HeldCall(name, call_id, node, complete)
            if len(self._calls) > MOST_CALLS:
                self._calls.popitem(last=False)
                self.whole = False
                self._counters["forgotten_media"] += 1
        return found

    def node_of(self, key: str, pair: Pair) -> str:
        """The node that a dialog's media was last agreed on at, "" where that isn't known."""
        held = self._calls.get(key)
        if held is None:
            return ""
        dialog = held.dialogs.get(pair)
        return dialog.agreed.node if dialog is not None and dialog.agreed is not None else held.node

    def forget(self, call: HeldCall) -> None:
        """It has ended."""
        if self._calls.get(call.key) is call:
            del self._calls[call.key]


class Exchange:
    """Memory of a transaction's media; a branch has one, and it outlives the request.

    Attributes:
        held: The call.
        node: The relay's node that has it.
        method: Of the request.
        call_id, from_tag, to_tag: As in the request.
        via_branch: Tells forked branches apart; "" inside a dialog.
        from_caller: The request came from the end that began the dialog.
        state: Of the offer/answer exchange.
        results: ``(To tag, SDP received) -> SDP to send``, so that a repeated reply gets the same.
        late: Call-ID, From and To tag of the early dialog whose offer came in a 1xx, or None.
        offer: The SDP that was offered, with its form and its profile; None before.
        answered: To tags that have answered with 2xx.
        ended: Its final response was seen.
    """

    __slots__ = (
        "answered", "call_id", "ended", "from_caller", "from_tag", "held", "late", "method", "node", "offer", "results", "state",
        "to_tag", "via_branch",
    )  # fmt: skip

    def __init__(self, held: HeldCall, method: str, call_id: str, tags: Pair, via_branch: str, from_caller: bool) -> None:
        self.held = held
        self.node = held.node
        self.method = method
        self.call_id = call_id
        self.from_tag, self.to_tag = tags
        self.via_branch = via_branch
        self.from_caller = from_caller
        self.state = SdpState()
        self.results: dict[tuple[str, bytes], bytes] = {}
        self.late: tuple[str, str, str] | None = None
        self.offer: tuple[bytes, SdpForm, MediaProfile] | None = None
        self.answered: set[str] = set()
        self.ended = False

    @property
    def call(self) -> str:
        """The relay's name of the call."""
        return self.held.name

    def pair(self, to_tag: str) -> Pair:
        """Tags of caller and callee of the dialog of a message of this transaction."""
        return (self.from_tag, to_tag) if self.from_caller else (to_tag, self.from_tag)
