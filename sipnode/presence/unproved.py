"""NOTIFYs to UDP addresses that have answered nothing yet: when each has its turn, and when it is tried again.

The invariant: what waits for its turn is sent, or given up, by the answer, or the silence, of the one before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sipnode.presence.outgoing import Outgoing, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from sipnode.presence.proving import Address, Proving

TRIES: Final = (1.0, 3.0)
"""Seconds after the first try at which a NOTIFY is tried again, where that is still fair: each time a new one, with what fits."""


class Unproved:
    """The turns of a notifier's NOTIFYs.

    Args:
        clock: Epoch seconds.
        proving: Who knows the addresses.
        send: Has one that waited ask for its turn again.
        give_up: Has one end without having been told.
        later: ``(when, outgoing)``: has it looked at then.
        kept: See :class:`~sipnode.presence.notifier.Notifier`.
    """

    def __init__(
        self,
        clock: IReactorTime,
        proving: Proving[Outgoing],
        send: Callable[[Outgoing], None],
        give_up: Callable[[Outgoing], None],
        later: Callable[[float, Outgoing], None],
        kept: Callable[[Any], None],
    ) -> None:
        self._clock = clock
        self._proving = proving
        self._send = send
        self._give_up = give_up
        self._later = later
        self._kept = kept

    def may(self, outgoing: Outgoing, address: Address) -> bool:
        """Whether a NOTIFY may go to an address now; else it waits for its turn there, or was given up."""
        subscription, proving = outgoing.subscription, self._proving
        if outgoing.address is not None and outgoing.address != address:
            self.leave(outgoing)
        if subscription.proved == text_of(address) or proving.is_proved(subscription.watcher, address):
            self.leave(outgoing)
            return True
        if proving.silence(subscription.watcher, address, self._clock.seconds()):
            proving.silenced += 1
            outgoing.address = None
            self._give_up(outgoing)
            return False
        outgoing.address = address
        return proving.turn(outgoing, subscription.watcher, address)

    def sent(self, outgoing: Outgoing, transaction: Any) -> None:
        """A try went out. It isn't repeated by itself: the next one is made anew, where there is credit for it."""
        transaction.retransmit_at = 0.0
        outgoing.tries.append(transaction)
        done = len(outgoing.tries) - 1
        outgoing.next_try = 0.0
        if done < len(TRIES):
            outgoing.next_try = self._clock.seconds() + TRIES[done] - (TRIES[done - 1] if done else 0.0)
            self._later(outgoing.next_try, outgoing)

    def is_time(self, outgoing: Outgoing) -> bool:
        """Whether the next try goes out now."""
        if self._clock.seconds() < outgoing.next_try:
            self._later(outgoing.next_try, outgoing)
            return False
        outgoing.next_try = 0.0
        return True

    def leave(self, outgoing: Outgoing) -> None:
        """Give one's turn to the next."""
        if outgoing.address is not None:
            outgoing.address = None
            for other in self._proving.left(outgoing):
                self._send(other)

    def answered(self, outgoing: Outgoing, address: Address) -> None:
        """A 2xx came."""
        subscription = outgoing.subscription
        if outgoing.address is not None:
            outgoing.address = None
            for other in self._proving.proved(outgoing, subscription.watcher, address):
                self._send(other)
        if subscription.proved != (text := text_of(address)):
            subscription.proved = text
            if not outgoing.final:
                self._kept(subscription)

    def unanswered(self, outgoing: Outgoing, address: Address) -> bool:
        """Nothing came.

        Returns:
            Whether it was given up, with all that waited there.
        """
        if outgoing.address is None:
            self._proving.disproved(outgoing.subscription.watcher, address)
            return False
        for each in self._proving.failed(outgoing, self._clock.seconds()):
            each.address = None
            self._give_up(each)
        return True
