"""The server, as a request meets it below the policy: each step up (``proxy``, ``routing``) derives from it and adds what it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sipnode.base.native import mypyc_attr
from sipnode.transaction.layer import TransactionLayer


@mypyc_attr(allow_interpreted_subclasses=True)
class Server:
    """The part of the server that every request needs. All of it is given when it is made, and stays.

    Args:
        clock: Epoch seconds.
        software: What the header Server says, "" for none.

    Attributes:
        transactions: The transaction layer.
        outbox: Where every message leaves. tap: Told of all that happens to messages and calls.
        counters: What happened how often, by name.
    """

    __slots__ = ("clock", "counters", "outbox", "software", "tap", "transactions")

    def __init__(self, transactions: TransactionLayer, clock: Callable[[], float], software: str = "") -> None:
        self.transactions: Final = transactions
        self.outbox: Final = transactions.outbox
        self.tap: Final = transactions.outbox.tap
        self.counters: Final = transactions.counters
        self.clock: Final = clock
        self.software: Final = software

    def is_local(self, host: str) -> bool:
        """Whether a host is a domain or an address of ours (``myself``)."""
        raise NotImplementedError
