"""Via: where a message came from and where its response goes.

Implements: RFC 3261 §20.42, §18.2.1, RFC 3581 (rport).
"""

from __future__ import annotations

import re
from typing import Final

from sipnode.errors import ParseError
from sipnode.sip.grammar import parse_params, split_params, unfold
from sipnode.sip.leaf import VIA

_VIA: Final = re.compile(
    r"\s*+SIP\s*+/\s*+([0-9.]++)\s*+/\s*+([A-Za-z0-9\-.!%*_+`'~]++)\s++"
    r"(\[[0-9a-fA-F:.%]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_.])?)\s*+(?::\s*+(\d{1,5}))?\s*+((?:;.*+)?)",
    re.I | re.S | re.A,
)
_USUAL: Final = re.compile(
    r"SIP/2\.0/(UDP|TCP|TLS|WSS?) ([a-z0-9](?:[a-z0-9.\-]*[a-z0-9])?)(?::([0-9]{1,5}))?"
    r"((?:;(?!branch=)[a-z]+(?:=[A-Za-z0-9.:\-]+)?)*;branch=([A-Za-z0-9.\-_~+=]+)(?:;(?!branch=)[a-z]+(?:=[A-Za-z0-9.:\-]+)?)*)"
)
"""The spelling of nearly every Via on the wire, read in one go."""
_BRANCH: Final = re.compile(r";\s*+branch\s*+=\s*+([^\s;,\"]++)", re.I | re.A)


class Via:
    """One Via value.

    Attributes:
        version: "2.0" in everything that is SIP/2.0.
        transport: As written, in upper case.
        host: sent-by host, IPv6 in brackets, lower case.
        port: sent-by port, 0 when absent.
        branch: "" when absent.
        plain: No parameter or value of it is empty, quoted or folded: it needs no closer look.
    """

    __slots__ = ("_params", "branch", "host", "param_text", "plain", "port", "transport", "version")

    def __init__(self, version: str, transport: str, host: str, port: int, param_text: str, branch: str | None = None) -> None:
        self.version = version
        self.transport = transport
        self.host = host
        self.port = port
        self.param_text = param_text
        self._params: dict[str, str] | None = None
        self.plain = branch is not None
        if branch is None:
            match = _BRANCH.search(param_text) if param_text else None
            branch = match.group(1) if match is not None else ""
        self.branch = branch

    @staticmethod
    def parse(text: str) -> Via:
        """Read one Via value.

        Raises:
            ParseError: anything that isn't one.
        """
        if VIA is not None:
            found = VIA(text)
            if found is not None:
                return Via("2.0", *found)
        return Via.read(text)

    @staticmethod
    def read(text: str) -> Via:
        """:meth:`parse` in Python: the reference, and what reads all that the leaf leaves alone.

        Raises:
            ParseError: anything that isn't one.
        """
        usual = _USUAL.fullmatch(text)
        if usual is not None:
            transport, host, port, params, branch = usual.groups()
            if port is None:
                return Via("2.0", transport, host, 0, params, branch)
            number = int(port)
            if 0 < number < 65536:
                return Via("2.0", transport, host, number, params, branch)
        match = _VIA.fullmatch(text)
        if match is None:
            raise ParseError("a Via that can't be read")
        version, transport, host, port, params = match.groups()
        number = int(port) if port else 0
        if number > 65535:
            raise ParseError("port of a Via out of range")
        return Via(version, transport.upper(), host.lower(), number, params)

    @property
    def params(self) -> dict[str, str]:
        """Parameters by lower-case name; a flag's value is ""."""
        params = self._params
        if params is None:
            params = self._params = parse_params(self.param_text)
        return params

    @property
    def received(self) -> str:
        """The ``received`` parameter, "" when absent."""
        return self.params.get("received", "") if "received" in self.param_text.lower() else ""

    @property
    def rport(self) -> str | None:
        """None when absent, "" when asked for, else the port as text (RFC 3581 §3)."""
        return self.params.get("rport") if "rport" in self.param_text.lower() else None

    @property
    def came_from(self) -> tuple[str, int]:
        """Where the request was seen to come from: host without brackets, and port; 0 for a port that can't be read."""
        port = self.rport
        number = (int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0) if port else self.port or 5060
        return (self.received or self.host).strip("[]"), number

    @property
    def sent_by(self) -> str:
        """``host`` or ``host:port``."""
        return f"{self.host}:{self.port}" if self.port else self.host


def stamped(line: str, via: Via, host: str, port: int) -> str:
    """A Via header line with ``received`` and ``rport`` filled in as the server transport has to (RFC 3261 §18.2.1,
    RFC 3581 §4); what comes after the first value of a comma list stays.

    Args:
        line: The whole header line; its first value is ``via``.
        host: Source address, without brackets.
        port: Source port.

    Raises:
        ParseError: parameters with a quote left open, or rport given twice.
    """
    text = via.param_text
    if via.plain and line[-6:] == ";rport" and "received" not in text and "," not in line:
        return f"{line[:-6]};received={host};rport={port}"
    lower = text.lower()
    if text.endswith(";rport") and "received" not in lower and line.endswith(text) and "," not in line:
        return f"{line[:-6]};received={host};rport={port}"
    if ";rport;" in text and "received" not in lower and '"' not in text:
        return line.replace(";rport;", f";received={host};rport={port};", 1)
    plain = host == via.host or f"[{host}]" == via.host
    asked = "rport" in lower and via.rport is not None
    if plain and not asked and via.port == port:
        return line
    if "\r\n" in line:
        line = unfold(line)
    if text:
        start = line.index(text)
    else:
        comma = line.find(",")
        start = comma if comma >= 0 else len(line)
    kept = [p for p in split_params(text) if p.partition("=")[0].strip().lower() not in ("received", "rport")]
    params = "".join([f";{p}" for p in kept]) + f";received={host};rport={port}"
    return line[:start].rstrip() + params + line[start + len(text) :]
