"""Which bindings of an address-of-record a request goes to. Pure.

Implements: RFC 3261 §16.5 (the target set), RFC 3840 §6 (only contacts that take the method).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sipnode.registrar.columns import ALL_METHODS, METHOD_BITS, OTHER_METHOD
from sipnode.registrar.ownership import is_reachable

if TYPE_CHECKING:
    from sipnode.interfaces import INode
    from sipnode.records import Binding


class LookupResult(NamedTuple):
    """The result of looking up an address-of-record.

    Attributes:
        status: 200; 404 no binding; 405 none takes the method; 480 known, but none can be reached now; 503 still loading.
        bindings: Best first; empty unless status is 200.
    """

    status: int
    bindings: list[Binding]


def chosen(bindings: list[Binding], method: str, node: INode | None) -> LookupResult:
    """The answer of a lookup.

    Args:
        bindings: All that haven't expired, best first.
        method: Of the request; "" for any.
        node: This server among those that share the table; None when it is alone.
    """
    if not bindings:
        return LookupResult(404, bindings)
    bit = METHOD_BITS.get(method, OTHER_METHOD) if method else ALL_METHODS
    if len(bindings) == 1 and bindings[0].connection_id and bindings[0].methods & bit:
        return LookupResult(200, bindings)
    reachable = [binding for binding in bindings if is_reachable(binding, node)]
    if not reachable:
        return LookupResult(480, reachable)
    fit = [binding for binding in reachable if binding.methods & bit]
    return LookupResult(200 if fit else 405, fit)
