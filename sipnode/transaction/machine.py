"""One transaction: its state, its timers, what it has to repeat.

Implements: RFC 3261 §17, RFC 6026. :meth:`feed` takes an event and gives the actions of the table; who runs them is the
layer. Nothing here sends, and nothing asks the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from sipnode.base.native import mypyc_attr
from sipnode.base.outbox import PASSED
from sipnode.base.why import Why
from sipnode.transaction import states
from sipnode.transaction.budget import Budget
from sipnode.transaction.states import CALLING, EVENT_BITS, PROCEEDING, STATE_NAMES, TERMINATED, TRYING, compiled

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.sip.message import SipRequest, SipResponse

_INVITE_SERVER: Final = compiled(states.INVITE_SERVER)
_NON_INVITE_SERVER: Final = compiled(states.NON_INVITE_SERVER)
_INVITE_CLIENT: Final = compiled(states.INVITE_CLIENT)
_NON_INVITE_CLIENT: Final = compiled(states.NON_INVITE_CLIENT)
_NOTHING: Final[tuple[int, ...]] = ()


@mypyc_attr(allow_interpreted_subclasses=True)
class TransactionUser:
    """The user of a transaction, told what becomes of it; each overrides what it wants to know."""

    __slots__ = ()

    def response_received(self, response: SipResponse) -> None:
        """A client transaction got a response."""

    def ack_received(self, request: SipRequest) -> None:
        """An ACK came that has the branch of a server transaction whose INVITE got a 2xx."""

    def timed_out(self) -> None:
        """A client transaction has waited long enough."""

    def send_failed(self) -> None:
        """The connection of a client transaction is gone."""


User: TypeAlias = TransactionUser | None


class Transaction:
    """The common part of the four machines.

    Attributes:
        key: In the layer's table.
        method: Of its request.
        invite: An INVITE's.
        flow: Where it sends (``.send(bytes)``, ``.reliable``).
        kept: Octets to repeat: the last response, the request, or the ACK.
        why: For what they were sent.
        status: Of the last response that was sent; 0 for none.
        retransmit_at: Epoch seconds of the next repeat, 0 for none.
        interval: Seconds until the one after it.
        expires_at: Epoch seconds of the timer that ends the state, 0 for none.
        user: The transaction user; None once the transaction only absorbs repeats (Completed and later).
        budget: What may be sent while nothing proves who is there; None for any amount.
    """

    __slots__ = (
        "_table", "budget", "expires_at", "flow", "interval", "invite", "kept", "key", "method", "retransmit_at", "state", "status", "user",
        "wake", "why",
    )  # fmt: skip

    def __init__(
        self, table: dict[int, tuple[int, tuple[int, ...]]], state: int, key: str, method: str, flow: Flow, user: User, why: Why
    ) -> None:
        self._table = table
        self.state = state
        self.key = key
        self.method = method
        self.invite = method == "INVITE"
        self.flow = flow
        self.user = user
        self.kept = b""
        self.why = why
        self.status = 0
        self.retransmit_at = 0.0
        self.interval = 0.0
        self.expires_at = 0.0
        self.wake = -1
        self.budget: Budget | None = None

    def feed(self, event: int) -> tuple[int, ...]:
        """Take an event of :mod:`sipnode.transaction.states`; give what to do, in order."""
        row = self._table.get(self.state << EVENT_BITS | event)
        if row is None:
            return _NOTHING
        self.state = row[0]
        return row[1]

    def due(self) -> float:
        """Epoch seconds of the next timer, 0 for none."""
        first, last = self.retransmit_at, self.expires_at
        return first if first and (not last or first < last) else last

    @property
    def terminated(self) -> bool:
        """Whether it has ended."""
        return self.state == TERMINATED

    def __repr__(self) -> str:
        key = self.key.replace("\n", " ")
        return f"<{type(self).__name__} {key} [{STATE_NAMES[self.state]}]>"


class ServerTransaction(Transaction):
    """A request that came in. ``user`` has ``ack_received(request)``.

    It isn't told of timer H or of a response that can't be sent: a proxy has nothing to do about either.

    Attributes:
        place: What it is counted under, by where it came from.
    """

    __slots__ = ("place",)

    def __init__(self, key: str, method: str, flow: Flow, user: User) -> None:
        invite = method == "INVITE"
        table = _INVITE_SERVER if invite else _NON_INVITE_SERVER
        super().__init__(table, PROCEEDING if invite else TRYING, key, method, flow, user, PASSED)
        self.place = ""


class ClientTransaction(Transaction):
    """A request that went out. ``user`` has ``response_received(response)``, ``timed_out()`` and ``send_failed()``.

    Attributes:
        request: What was sent; the INVITE that an ACK or CANCEL is built from. None once a final response was taken.
        about: In its place then: a hash of the Call-ID, From tag and CSeq that a repeat of the response must have, -1 for none.
    """

    __slots__ = ("about", "request")

    def __init__(self, key: str, flow: Flow, user: User, request: SipRequest, why: Why = PASSED) -> None:
        invite = request.method == "INVITE"
        table = _INVITE_CLIENT if invite else _NON_INVITE_CLIENT
        super().__init__(table, CALLING if invite else TRYING, key, request.method, flow, user, why)
        self.request: SipRequest | None = request
        self.about = -1
