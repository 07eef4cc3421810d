"""Via: where a message came from and where its response goes.

Implements: RFC 3261 §20.42, §18.2.1, RFC 3581 (rport).
"""

from __future__ import annotations

import re
from typing import Final

from sipnode.errors import ParseError
from sipnode.sip.grammar import parse_params

_VIA: Final = re.compile(
    r"\s*SIP\s*/\s*([0-9.]+)\s*/\s*([A-Za-z0-9\-.!%*_+`'~]+)\s+"
    r"(\[[0-9a-fA-F:.%]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_.])?)\s*(?::\s*(\d{1,5}))?\s*((?:;.*)?)",
    re.I | re.S,
)
_USUAL: Final = frozenset(("UDP", "TCP", "TLS", "WS", "WSS"))
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9_.\-]*[a-z0-9_.])?")
_PLAIN: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~=:@/|]+")
_BRANCH: Final = re.compile(r";\s*branch\s*=\s*([^\s;,\"]+)", re.I)


class Via:
    """One Via value.

    Attributes:
        version: "2.0" in everything that is SIP/2.0.
        transport: As written, in upper case.
        host: sent-by host, IPv6 in brackets, lower case.
        port: sent-by port, 0 when absent.
        branch: "" when absent.
    """

    __slots__ = ("_params", "branch", "host", "param_text", "port", "transport", "version")

    def __init__(self, version: str, transport: str, host: str, port: int, param_text: str) -> None:
        self.version = version
        self.transport = transport
        self.host = host
        self.port = port
        self.param_text = param_text
        self._params: dict[str, str] | None = None
        start = param_text.find(";branch=") + 8
        if start > 7:
            end = param_text.find(";", start)
            branch = param_text[start:end] if end > 0 else param_text[start:]
            if branch.isidentifier() or _PLAIN.fullmatch(branch):
                self.branch = branch
                return
        match = _BRANCH.search(param_text) if param_text else None
        self.branch = match.group(1) if match is not None else ""

    @staticmethod
    def parse(text: str) -> Via:
        """Read one Via value.

        Raises:
            ParseError: anything that isn't one.
        """
        if text[:8] == "SIP/2.0/":
            # The common spelling without a regular expression: one blank, no white space elsewhere.
            blank = text.find(" ")
            semicolon = text.find(";")
            host, colon, digits = text[blank + 1 : semicolon].partition(":")
            transport = text[8:blank]
            if transport in _USUAL and semicolon > blank and _HOST.fullmatch(host) and (digits.isdigit() if colon else True):
                number = int(digits) if colon and len(digits) < 6 and digits.isascii() else 0
                if number < 65536 and (number or not colon):
                    return Via("2.0", transport, host, number, text[semicolon:])
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
        return self.params.get("received", "") if "received" in self.param_text else ""

    @property
    def rport(self) -> str | None:
        """None when absent, "" when asked for, else the port as text (RFC 3581 §3)."""
        return self.params.get("rport") if "rport" in self.param_text else None

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
    """
    text = via.param_text
    if text.endswith(";rport") and "received" not in text and line.endswith(text):
        return f"{line[:-6]};received={host};rport={port}"
    if ";rport;" in text and "received" not in text and '"' not in text:
        return line.replace(";rport;", f";received={host};rport={port};", 1)
    plain = host == via.host or f"[{host}]" == via.host
    asked = "rport" in text and via.rport is not None
    if plain and not asked and via.port == port:
        return line
    kept = [p for p in _split_params(text) if p.partition("=")[0].strip().lower() not in ("received", "rport")]
    params = "".join(f";{p.strip()}" for p in kept) + f";received={host};rport={port}"
    start = line.index(text) if text else len(line.rstrip())
    return line[:start].rstrip() + params + line[start + len(text) :]


def _split_params(text: str) -> list[str]:
    if '"' not in text:
        return [p for p in text.split(";") if p.strip()]
    return [p for p in re.split(r';(?=(?:[^"]*"[^"]*")*[^"]*$)', text) if p.strip()]
