"""``sipnode rpc``: one call over the server's UNIX socket, its answer as a table or as JSON.

Pure but for the socket. The invariant: nothing that a stranger put into a REGISTER reaches the terminal as a control character.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final

from sipnode.errors import SipnodeError
from sipnode.tables import cell, clean, table

_SECONDS: Final = 30.0
_READ: Final = 65536
_TRUE: Final = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class Refused(SipnodeError):
    """The server answered with an error, or there is no server."""


class Caller:
    """A connection to the server.

    Args:
        path: Of its UNIX socket.

    Raises:
        Refused: nobody listens there.
    """

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_SECONDS)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise Refused(f"no server answers on {path}: {error.strerror or error}") from None
        self._buffer = b""

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def call(self, method: str, params: list[Any]) -> Any:
        """The result of a method.

        Raises:
            Refused: the server's error, or it went away.
        """
        request = {"jsonrpc": "2.0", "method": method, "params": params, "id": 1}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(self._line())
        except OSError as error:
            raise Refused(f"the server doesn't answer: {error.strerror or error}") from None
        if "error" in answer:
            raise Refused(f"{answer['error']['message']} ({answer['error']['code']})")
        return answer["result"]

    def _line(self) -> bytes:
        pieces = []
        while True:
            data = self._socket.recv(_READ)
            if not data:
                raise Refused("the server closed the connection")
            head, end, _ = data.partition(b"\n")
            pieces.append(head)
            if end:
                return b"".join(pieces)


def run(path: str, method: str, arguments: Sequence[str], as_json: bool) -> int:
    """Call a method and print what it gives.

    Args:
        arguments: As typed; each becomes what the method wants at that place. ``s:TEXT`` is text whatever it looks like.

    Returns:
        The exit status.

    Raises:
        Refused: the server's word.
    """
    with Caller(path) as caller:
        described = caller.call("rpc.describe", [method])
        try:
            params = [_converted(text, _kind(described["params"], place)) for place, text in enumerate(arguments)]
        except ValueError as error:
            print(f"sipnode: {error}; {described['usage']}", file=sys.stderr)
            return 2
        result = caller.call(method, params)
    print(json.dumps(result, indent=2, ensure_ascii=True) if as_json else shown(result))
    return 0


def _kind(params: list[dict[str, Any]], place: int) -> str:
    if params and place >= len(params) - 1 and params[-1]["rest"]:
        return str(params[-1]["type"])
    return str(params[place]["type"]) if place < len(params) else "string"


def _converted(text: str, kind: str) -> Any:
    if text.startswith("s:"):
        return text[2:]
    kinds = kind.split(" or ")
    if "string" in kinds:
        return text
    try:
        if "integer" in kinds:
            return int(text)
        if "number" in kinds:
            return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no {'whole ' if 'integer' in kinds else ''}number") from None
    if "boolean" in kinds:
        if text.lower() not in _TRUE:
            raise ValueError(f"{text!r} is neither true nor false")
        return _TRUE[text.lower()]
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(f"{text!r} is no JSON") from None


def shown(result: Any) -> str:
    """A result for people: a list of objects as a table, an object as lines of name and value."""
    rows = _records(result)
    if rows is not None:
        return table(rows)
    return "\n".join(_lines(result, ""))


def _records(result: Any) -> list[dict[str, Any]] | None:
    """The rows of a table, None where the result isn't one: contacts stand each in a row with their address-of-record."""
    if isinstance(result, dict) and "Domains" in result:
        return [
            row
            for domain in result["Domains"]
            for entry in domain["Domain"]["AoRs"]
            for row in (_contacts(entry["Info"]) if "Info" in entry else [entry])
        ]
    if isinstance(result, dict) and "Contacts" in result:
        return _contacts(result)
    if isinstance(result, list) and result and all(isinstance(item, dict) for item in result):
        return [_flat(item) for item in result]
    return None


def _contacts(info: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"AoR": info["AoR"], **entry["Contact"]} for entry in info["Contacts"]]


def _flat(item: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in item.items():
        if isinstance(value, dict):
            row.update(_flat(value, f"{prefix}{name}."))
        else:
            row[f"{prefix}{name}"] = value
    return row


def _lines(value: Any, indent: str) -> list[str]:
    if isinstance(value, dict):
        lines = []
        for name, item in value.items():
            if isinstance(item, (dict, list)) and item:
                lines += [f"{indent}{clean(str(name))}:", *_lines(item, indent + "  ")]
            else:
                lines.append(f"{indent}{clean(str(name))}: {cell(item)}")
        return lines
    if isinstance(value, list):
        return [line for item in value for line in _lines(item, indent)]
    return [indent + cell(value)]
