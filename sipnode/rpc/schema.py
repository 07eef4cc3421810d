"""Types of parameters and results: read from annotations, checked, and said as JSON Schema.

Pure. Implements: the part of JSON Schema that OpenRPC documents of this server need. The invariant: what :func:`fault` lets pass is
what the method's annotation promises it.
"""

from __future__ import annotations

import types
import typing
from typing import Any, Final, NotRequired, Required, is_typeddict

from sipnode.rpc.dispatch import Rows

_SIMPLE: Final[dict[Any, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    None: "null",
    type(None): "null",
}


def schema(hint: Any) -> dict[str, Any]:
    """JSON Schema of an annotation: str, int, float, bool, None, list, dict, a union of them, or a TypedDict.

    Raises:
        TypeError: of anything else; nothing else goes over the wire.
    """
    if hint is Any:
        return {}
    if hint in _SIMPLE:
        return {"type": _SIMPLE[hint]}
    if is_typeddict(hint):
        fields = typing.get_type_hints(hint, include_extras=True)
        made: dict[str, Any] = {"type": "object", "properties": {name: schema(kind) for name, kind in fields.items()}}
        # Not __required_keys__: it doesn't see NotRequired in annotations that are text.
        required = [name for name, kind in fields.items() if typing.get_origin(kind) is not NotRequired]
        if required:
            made["required"] = required
        return made
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (NotRequired, Required):
        return schema(arguments[0])
    if origin is list:
        return {"type": "array", "items": schema(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema(arguments[1])}
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [schema(each) for each in arguments]}
    raise TypeError(f"{hint!r} can't be a parameter or result of a method")


def name_of(hint: Any) -> str:
    """An annotation in a word or two, for people."""
    if hint is Any:
        return "any"
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is list:
        return f"list of {name_of(arguments[0])}"
    if origin in (types.UnionType, typing.Union):
        return " or ".join(name_of(each) for each in arguments)
    return "object"


def fault(hint: Any, value: Any, where: str = "") -> str:
    """The fault of a value, "" when there is none.

    Args:
        where: Name of the value in the answer.
    """
    made = schema(hint)
    return _fault(made, value, where)


def _fault(wanted: dict[str, Any], value: Any, where: str) -> str:
    if not wanted:
        return ""
    if "anyOf" in wanted:
        faults = [_fault(each, value, where) for each in wanted["anyOf"]]
        return "" if "" in faults else f"{where} has none of its types"
    kind = wanted["type"]
    if not _is(kind, value):
        return f"{where} has to be {_article(kind)}"
    if kind == "array" and wanted["items"]:
        for position, item in enumerate(value):
            found = _fault(wanted["items"], item, f"{where}[{position}]")
            if found:
                return found
    if kind == "object":
        return _object_fault(wanted, value, where)
    return ""


def _object_fault(wanted: dict[str, Any], value: dict[str, Any], where: str) -> str:
    fields = wanted.get("properties")
    if fields is None:
        fields = dict.fromkeys(value, wanted["additionalProperties"])
    for name in wanted.get("required", ()):
        if name not in value:
            return f"{where} lacks {name}"
    for name, item in value.items():
        if name not in fields:
            return f"{where} has no {name}"
        found = _fault(fields[name], item, f"{where}.{name}")
        if found:
            return found
    return ""


def _is(kind: str, value: Any) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "null":
        return value is None
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str)
    if kind == "array":
        return isinstance(value, (list, Rows))
    return isinstance(value, dict)


def _article(kind: str) -> str:
    return {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}.get(kind, f"of type {kind}")
