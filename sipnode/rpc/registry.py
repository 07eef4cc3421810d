"""The methods by name: what each takes, what it gives, and the check of what it is given.

The invariant: a method is called with arguments of the types that it declares, or not at all.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred

from sipnode.errors import RpcError
from sipnode.rpc import schema
from sipnode.rpc.dispatch import INVALID_PARAMS, METHOD_NOT_FOUND
from sipnode.rpc.elsewhere import unknown

Function = TypeVar("Function", bound=Callable[..., Any])

_NOTHING: Final = inspect.Parameter.empty


@dataclass(slots=True, frozen=True)
class Param:
    """One parameter: its name, its annotation, and whether a call may leave it out."""

    name: str
    kind: Any
    required: bool
    default: Any
    rest: bool
    """It takes all that is left (``*args``)."""


@dataclass(slots=True, frozen=True)
class Method:
    """One method.

    Attributes:
        name: ``family.method``.
        call: Gives the result or a Deferred of it; raises RpcError.
        doc: Its docstring, dedented.
        params: In their order.
        result: Annotation of the result.
        changes: It changes something, so the log tells who called it.
        logged: Its arguments as the log may have them.
    """

    name: str
    call: Callable[..., Any]
    doc: str
    params: tuple[Param, ...]
    result: Any
    changes: bool
    logged: Callable[[list[Any]], list[Any]]

    @property
    def summary(self) -> str:
        """The first sentence of its docstring, without the full stop."""
        return " ".join(self.doc.partition("\n\n")[0].split()).removesuffix(".")

    def bind(self, params: list[Any] | dict[str, Any]) -> list[Any]:
        """Arguments for a call, checked.

        Raises:
            RpcError: -32602; its message says which and why.
        """
        arguments = self._by_position(params) if isinstance(params, list) else self._by_name(params)
        for param, value in zip(self._spread(len(arguments)), arguments, strict=True):
            # A caller that leaves an optional parameter out means its default, whatever the annotation says of it.
            wrong = "" if value is param.default and not param.required else schema.fault(param.kind, value, param.name)
            if wrong:
                raise RpcError(INVALID_PARAMS, f"Invalid params: {wrong}")
        return arguments

    def _spread(self, count: int) -> list[Param]:
        fixed = [param for param in self.params if not param.rest]
        rest = next((param for param in self.params if param.rest), None)
        return fixed[:count] + ([rest] * (count - len(fixed)) if rest is not None else [])

    def _by_position(self, given: list[Any]) -> list[Any]:
        fixed = [param for param in self.params if not param.rest]
        if len(given) > len(fixed) and len(fixed) == len(self.params):
            raise RpcError(INVALID_PARAMS, f"Invalid params: {self.name} takes {len(fixed)}: {self.usage()}")
        missing = [param.name for param in fixed[len(given) :] if param.required]
        if missing:
            raise RpcError(INVALID_PARAMS, f"Invalid params: {', '.join(missing)} missing; {self.usage()}")
        return given

    def _by_name(self, given: dict[str, Any]) -> list[Any]:
        names = {param.name for param in self.params if not param.rest}
        unknown = sorted(set(given) - names)
        if unknown:
            raise RpcError(INVALID_PARAMS, f"Invalid params: {self.name} has no {unknown[0]}; {self.usage()}")
        missing = [param.name for param in self.params if param.required and param.name not in given]
        if missing:
            raise RpcError(INVALID_PARAMS, f"Invalid params: {', '.join(missing)} missing; {self.usage()}")
        return [given.get(param.name, param.default) for param in self.params if not param.rest]

    def usage(self) -> str:
        """``name PARAM [OPTIONAL] [MORE ...]``."""
        words = [self.name]
        for param in self.params:
            word = param.name.upper()
            words.append(f"[{word} ...]" if param.rest else word if param.required else f"[{word}]")
        return " ".join(words)


def rpc(name: str, *, changes: bool = False, logged: Callable[[list[Any]], list[Any]] = list) -> Callable[[Function], Function]:
    """Mark a method of a family as one that can be called from outside.

    Args:
        name: ``family.method``.
        changes: It changes something.
        logged: Makes of its arguments what the log may have; as it comes, all of them.
    """

    def mark(function: Function) -> Function:
        function.rpc_name = name  # type: ignore[attr-defined]  # functions take attributes
        function.rpc_changes = changes  # type: ignore[attr-defined]  # as above
        function.rpc_logged = logged  # type: ignore[attr-defined]  # as above
        return function

    return mark


def method_of(name: str, call: Callable[..., Any]) -> Method:
    """A callable as a method: parameters and types from its signature, help from its docstring.

    Raises:
        TypeError: an annotation that can't go over the wire, or none.
    """
    hints = typing.get_type_hints(call)
    params = []
    for parameter in inspect.signature(call).parameters.values():
        if parameter.name not in hints:
            raise TypeError(f"{name}: parameter {parameter.name} has no annotation")
        rest = parameter.kind is inspect.Parameter.VAR_POSITIONAL
        required = parameter.default is _NOTHING and not rest
        param = Param(parameter.name, hints[parameter.name], required, None if required else parameter.default, rest)
        schema.schema(param.kind)
        params.append(param)
    result = hints.get("return", Any)
    if typing.get_origin(result) is Deferred:
        result = typing.get_args(result)[0]
    elif typing.get_origin(result) is Generator:
        result = typing.get_args(result)[2]
    schema.schema(result)
    doc = inspect.getdoc(call) or ""
    if not doc:
        raise TypeError(f"{name} has no docstring")
    return Method(name, call, doc, tuple(params), result, bool(getattr(call, "rpc_changes", False)), getattr(call, "rpc_logged", list))


class Registry:
    """All methods of a server."""

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}

    def add(self, name: str, call: Callable[..., Any]) -> None:
        """Take a callable.

        Raises:
            ValueError: the name is taken.
            TypeError: see :func:`method_of`.
        """
        if name in self._methods:
            raise ValueError(f"there are two methods {name}")
        self._methods[name] = method_of(name, call)

    def add_family(self, family: object) -> None:
        """Take every method of an object that :func:`rpc` has marked."""
        # Of the class: looking at the object would run its properties.
        for attribute, member in inspect.getmembers(type(family), callable):
            name = getattr(member, "rpc_name", "")
            if name:
                self.add(name, getattr(family, attribute))

    def add_all(self, methods: Mapping[str, Callable[..., Any]]) -> None:
        """Take the methods of a plugin."""
        for name, call in methods.items():
            self.add(name, call)

    def get(self, name: str) -> Method:
        """One method.

        Raises:
            RpcError: -32601; its message says what is near, or why Kamailio's method of this name isn't here.
        """
        method = self._methods.get(name)
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, unknown(name, self._methods))
        return method

    def __contains__(self, name: str) -> bool:
        return name in self._methods

    def __iter__(self) -> Iterator[Method]:
        """All methods by name."""
        return iter(sorted(self._methods.values(), key=lambda method: method.name))

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._methods)
