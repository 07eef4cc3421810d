"""JSON-RPC 2.0 as text: what a request says, and what an answer looks like.

Pure. Implements: JSON-RPC 2.0 §4-§6, RFC 8259. The invariant: whatever the octets are, the outcome is calls or an error object with
a code of the standard; nothing is raised.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar, cast

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603

MOST_CALLS: Final = 100
"""Calls of one batch; they run in one go, and others wait meanwhile."""

_SLICE: Final = 100
Item = TypeVar("Item")


@dataclass(slots=True, frozen=True)
class Call:
    """One call of a request.

    Attributes:
        method: "" where the call itself is at fault.
        params: By position or by name.
        id: As given; it comes back unchanged.
        notification: No answer is wanted.
        fault: The error object of a call that can't be run.
    """

    method: str
    params: list[Any] | dict[str, Any]
    id: Any = None
    notification: bool = False
    fault: dict[str, Any] | None = None


@dataclass(slots=True, frozen=True)
class Batch:
    """The calls of one request, in order; ``single`` when it wasn't in a list."""

    calls: list[Call]
    single: bool


class Rows:
    """A list too long to be made in one go: it is made while it is sent.

    Args:
        items: Made one by one; the server goes on between two of them, so each has to be right by itself.
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)


def rows(items: Iterable[Item]) -> list[Item]:
    """:class:`Rows` under the type that they have for whoever gets the answer."""
    return cast("list[Item]", Rows(items))


def error_object(code: int, message: str, data: Any = None) -> dict[str, Any]:
    """Member ``error`` of a response (§5.1)."""
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return error


def refused(code: int, message: str) -> Batch:
    """A request of which nothing is run."""
    return Batch([_faulty(code, message)], True)


def read(body: bytes) -> Batch:
    """The calls of a request.

    Args:
        body: JSON, UTF-8.
    """
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        # ValueError is also what text that isn't UTF-8 and numbers of thousands of digits give.
        return refused(PARSE_ERROR, "Parse error")
    if not isinstance(document, list):
        return Batch([_call(document)], True)
    if not document:
        return refused(INVALID_REQUEST, "Invalid Request: an empty batch")
    if len(document) > MOST_CALLS:
        return refused(INVALID_REQUEST, f"Invalid Request: more than {MOST_CALLS} calls in a batch")
    return Batch([_call(each) for each in document], False)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _faulty(code: int, message: str, call_id: Any = None) -> Call:
    return Call("", [], call_id, fault=error_object(code, message))


def _call(given: Any) -> Call:
    if not isinstance(given, dict):
        return _faulty(INVALID_REQUEST, "Invalid Request: a call is an object")
    call_id = given.get("id")
    if isinstance(call_id, bool) or not (call_id is None or isinstance(call_id, (str, int, float))):
        return _faulty(INVALID_REQUEST, "Invalid Request: id is text, a number or null")
    if given.get("jsonrpc") != "2.0":
        return _faulty(INVALID_REQUEST, 'Invalid Request: "jsonrpc" has to be "2.0"', call_id)
    method = given.get("method")
    if not isinstance(method, str) or not method:
        return _faulty(INVALID_REQUEST, "Invalid Request: method is text", call_id)
    params = given.get("params", [])
    if not isinstance(params, (list, dict)):
        return _faulty(INVALID_REQUEST, "Invalid Request: params is a list or an object", call_id)
    return Call(method, params, call_id, "id" not in given)


def result_of(call: Call, result: Any) -> dict[str, Any]:
    """The response that brings a result (§5)."""
    return {"jsonrpc": "2.0", "result": result, "id": call.id}


def error_of(call: Call, error: dict[str, Any]) -> dict[str, Any]:
    """The response that brings an error (§5.1)."""
    return {"jsonrpc": "2.0", "error": error, "id": call.id}


def encoded(value: Any) -> Iterator[bytes]:
    """JSON of a value in pieces, none of which takes long to make, however long the lists in it are."""
    if isinstance(value, dict):
        separator = "{"
        for key, item in value.items():
            yield f"{separator}{json.dumps(str(key))}: ".encode()
            yield from encoded(item)
            separator = ", "
        yield b"}" if value else b"{}"
    elif isinstance(value, (list, tuple, Rows)):
        yield from _list(value)
    else:
        yield json.dumps(value).encode()


def _list(value: list[Any] | tuple[Any, ...] | Rows) -> Iterator[bytes]:
    yield b"["
    if isinstance(value, Rows) or len(value) > _SLICE:
        items = iter(value)
        separator = b""
        while part := list(islice(items, _SLICE)):
            yield separator + json.dumps(part)[1:-1].encode()
            separator = b", "
    else:
        for position, item in enumerate(value):
            if position:
                yield b", "
            yield from encoded(item)
    yield b"]"


def plain(value: Any) -> Any:
    """A result with its :class:`Rows` as lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, Rows)):
        return [plain(item) for item in value]
    return value
