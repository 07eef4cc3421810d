"""tm.*: the transactions, in the names and fields of Kamailio's tm."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, TypedDict

from sipnode.errors import ParseError, RpcError
from sipnode.rpc.dispatch import rows
from sipnode.rpc.registry import rpc
from sipnode.sip.message import SipRequest
from sipnode.sip.parser import BrokenMessage, parse_message

if TYPE_CHECKING:
    from sipnode.rpc.parts import Parts

# As the states of a transaction are numbered: from ACCEPTED on it has its final response.
_ACCEPTED: Final = 3
# As the states of a transaction are numbered: from COMPLETED on it only absorbs repeats.
_COMPLETED: Final = 4
_SLOTS: Final = 65536
_BY_OPERATOR: Final = (("reason", 'SIP;cause=487;text="Cancelled by the operator"'),)

Stats = TypedDict(
    "Stats",
    {
        "current": int,
        "waiting": int,
        "total": int,
        "total_local": int,
        "rpl_received": int,
        "rpl_generated": int,
        "rpl_sent": int,
        "6xx": int,
        "5xx": int,
        "4xx": int,
        "3xx": int,
        "2xx": int,
        "created": int,
        "freed": int,
        "delayed_free": int,
    },
)
Cell = TypedDict(
    "Cell",
    {
        "cell": str,
        "tindex": int,
        "tlabel": int,
        "method": str,
        "from": str,
        "to": str,
        "callid": str,
        "cseq": str,
        "uas_request": str,
        "tflags": int,
        "outgoings": int,
        "ref_count": int,
        "lifetime": int,
    },
)


class Nothing(TypedDict):
    pass


class TransactionCommands:
    """tm.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._layer = parts.core.transactions

    @rpc("tm.stats")
    def stats(self) -> Stats:
        """How many transactions there are, and what came of them since the start.

        ``waiting`` are those that have their final response and only absorb repeats.
        """
        layer, traffic = self._layer, self._parts.core.traffic
        sent = [0] * 7
        for (_, status), number in traffic.responses_out.items():
            sent[status // 100] += number
        servers = list(layer.servers.values())
        # As Kamailio counts: a request with all that was forwarded of it is one.
        own = sum(not hasattr(each.user, "fork") for each in layer.clients.values())
        created = layer.created + traffic.own
        return {
            "current": len(servers) + own,
            "waiting": sum(each.state >= _COMPLETED for each in servers),
            "total": created,
            "total_local": traffic.own,
            "rpl_received": sum(traffic.responses_in.values()),
            "rpl_generated": traffic.generated,
            "rpl_sent": sum(sent),
            "6xx": sent[6],
            "5xx": sent[5],
            "4xx": sent[4],
            "3xx": sent[3],
            "2xx": sent[2],
            "created": created,
            "freed": max(0, created - len(servers) - own),
            "delayed_free": 0,
        }

    @rpc("tm.list")
    def cells(self) -> list[Cell]:
        """Every transaction of a request that came in, and of those that the server itself has sent.

        ``uas_request`` is "yes" for the first kind; ``lifetime`` is in seconds from now.
        """
        layer = self._layer
        own = [each for each in layer.clients.values() if not hasattr(each.user, "fork")]
        return rows(self._each([*layer.servers.values(), *own]))

    @rpc("tm.cancel", changes=True)
    def cancel(self, callid: str, cseq: int) -> Nothing:
        """Cancel an INVITE that isn't answered yet."""
        for transaction in self._layer.servers.values():
            ctx = transaction.user
            request = getattr(ctx, "request", None)
            if request is None or not transaction.invite or transaction.state >= _ACCEPTED:
                continue
            if request.call_id != callid or request.cseq != cseq:
                continue
            if ctx.fork is None:
                ctx.reply(487)
            else:
                ctx.fork.cancel(_BY_OPERATOR)
            return {}
        raise RpcError(400, "Transaction not found")

    @rpc("tm.clean")
    def clean(self) -> Nothing:
        """Nothing to do: transactions end by their own timers."""
        return {}

    def _each(self, transactions: list[Any]) -> Iterator[Cell]:
        now = self._parts.clock()
        for transaction in transactions:
            yield _cell(transaction, now)


def _cell(transaction: Any, now: float) -> Cell:
    message = _message(transaction)
    number = zlib.crc32(transaction.key.encode("utf-8", "replace"))
    fork = getattr(transaction.user, "fork", None)
    return {
        "cell": f"{id(transaction):#x}",
        "tindex": number % _SLOTS,
        "tlabel": number,
        "method": transaction.key.rpartition("\n")[2],
        "from": _line(message, "From"),
        "to": _line(message, "To"),
        "callid": _line(message, "Call-ID"),
        "cseq": f"CSeq: {_cseq(message)}",
        "uas_request": "no" if hasattr(transaction, "request") else "yes",
        "tflags": 0,
        "outgoings": len(fork.branches) if fork is not None else 0,
        "ref_count": 1,
        "lifetime": max(0, int(transaction.expires_at - now)) if transaction.expires_at else 0,
    }


def _message(transaction: Any) -> Any:
    """A message of the transaction: its request, or the response that it keeps for repeats."""
    request = getattr(transaction, "request", None) or getattr(transaction.user, "request", None)
    if isinstance(request, SipRequest):
        return request
    if transaction.kept:
        try:
            return parse_message(transaction.kept)
        except BrokenMessage:
            return None
    return None


def _line(message: Any, name: str) -> str:
    """A header line with its end, as Kamailio shows it; "" where it isn't known any more."""
    value = message.get(name.lower()) if message is not None else None
    return f"{name}: {value}\r\n" if value is not None else ""


def _cseq(message: Any) -> str:
    try:
        return str(message.cseq) if message is not None else ""
    except ParseError:
        return ""
