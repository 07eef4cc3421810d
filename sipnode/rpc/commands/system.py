"""system.* and rpc.*: the methods themselves, in Kamailio's words and as an OpenRPC document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from sipnode.errors import RpcError
from sipnode.rpc.registry import rpc
from sipnode.rpc.schema import name_of, schema

if TYPE_CHECKING:
    from sipnode.rpc.registry import Method, Param, Registry


class Described(TypedDict):
    name: str
    help: str
    usage: str
    changes: bool
    params: list[dict[str, Any]]


class SystemCommands:
    """system.* and rpc.*

    Args:
        registry: All methods.
        version: Of the program.
    """

    def __init__(self, registry: Registry, version: str) -> None:
        self._registry = registry
        self._version = version

    @rpc("system.listMethods")
    def list_methods(self) -> list[str]:
        """Names of all methods."""
        return self._registry.names()

    @rpc("system.methodHelp")
    def method_help(self, name: str) -> str:
        """Description of a method."""
        return self._method(name).summary

    @rpc("system.methodSignature")
    def method_signature(self, name: str) -> str:
        """How a method is called."""
        return self._method(name).usage()

    @rpc("rpc.describe")
    def describe(self, name: str) -> Described:
        """One method: its whole help and its parameters with their types."""
        # Not in Kamailio's words: sipnode rpc asks this first, and who mistypes a name shall hear what is near.
        method = self._registry.get(name)
        params = [{"name": p.name, "type": name_of(p.kind), "required": p.required, "rest": p.rest} for p in method.params]
        return {"name": name, "help": method.doc, "usage": method.usage(), "changes": method.changes, "params": params}

    @rpc("rpc.discover")
    def discover(self) -> dict[str, Any]:
        """All methods as an OpenRPC document."""
        return {
            "openrpc": "1.3.2",
            "info": {"title": "sipnode", "version": self._version},
            "methods": [_documented(method) for method in self._registry],
        }

    def _method(self, name: str) -> Method:
        if name not in self._registry:
            raise RpcError(400, "command not found")
        return self._registry.get(name)


def _documented(method: Method) -> dict[str, Any]:
    return {
        "name": method.name,
        "summary": method.summary,
        "description": method.doc,
        "paramStructure": "by-position" if any(param.rest for param in method.params) else "either",
        "params": [_parameter(param) for param in method.params],
        "result": {"name": "result", "schema": schema(method.result)},
    }


def _parameter(param: Param) -> dict[str, Any]:
    made: dict[str, Any] = {"name": param.name, "required": param.required, "schema": schema(param.kind)}
    if param.rest:
        made["schema"] = {"type": "array", "items": made["schema"], "description": "all that follow"}
    elif not param.required:
        made["schema"] = {**made["schema"], "default": param.default}
    return made
