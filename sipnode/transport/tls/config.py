"""Kamailio's ``tls.cfg``, read; pure but for reading files when asked.

Sections ``[server:default]``, ``[client:default]``, ``[server:IP:PORT]``, ``[client:IP:PORT]``, ``[server:any]``; the same section
may come several times with different ``server_name``. Invariant: a key is known, its value is of its kind, and every path is
absolute before a profile leaves this module.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from typing import Final

from sipnode.errors import ConfigError
from sipnode.transport.listen import family_of, is_unspecified

_YES: Final = frozenset({"yes", "true", "on", "1", "enable", "enabled"})
_NO: Final = frozenset({"no", "false", "off", "0", "disable", "disabled"})
_PATHS: Final = frozenset({"private_key", "certificate", "ca_list", "ca_path", "crl"})
_FLAGS: Final = frozenset({"verify_certificate", "require_certificate"})
_NUMBERS: Final = {"verify_depth": (0, 100), "server_name_mode": (0, 2)}
_TEXTS: Final = frozenset({"cipher_list", "server_name", "server_id"})

# Word of tls_method to (lowest, highest) version, 0 for no bound. Older words are read and raised to TLS 1.2.
METHODS: Final = {
    "tlsv1.2": ((1, 2), (1, 2)),
    "tlsv1.2+": ((1, 2), (0, 0)),
    "tlsv1.3": ((1, 3), (1, 3)),
    "tlsv1.3+": ((1, 3), (0, 0)),
}
_RAISED: Final = frozenset({"sslv23", "sslv2", "sslv3", "tlsv1", "tlsv1+", "tlsv1.0", "tlsv1.0+", "tlsv1.1", "tlsv1.1+"})


@dataclass(slots=True)
class TLSProfile:
    """One section.

    ``role`` is 'server' or 'client'; ``address`` is 'default', 'any' or an IP literal without brackets, ``port`` 0 for the first
    two. ``lines`` tells where each key stands, for errors.
    """

    role: str
    address: str
    port: int
    file: str
    line: int
    tls_method: str = "tlsv1.2+"
    verify_certificate: bool = False
    require_certificate: bool = False
    private_key: str = ""
    certificate: str = ""
    verify_depth: int = 9
    ca_list: str = ""
    ca_path: str = ""
    crl: str = ""
    cipher_list: str = ""
    server_name: str = ""
    server_name_mode: int = 0
    server_id: str = ""
    lines: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The section as the file writes it."""
        if not self.port:
            return f"{self.role}:{self.address}"
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.role}:{host}:{self.port}"

    def wrong(self, key: str, reason: str) -> ConfigError:
        """An error that points at a key of this section."""
        return ConfigError(reason, self.file, self.lines.get(key, self.line), f"[{self.name}] {key}")


@dataclass(slots=True)
class TLSConfig:
    """All sections of a file, in its order, and what should be said about it at start."""

    profiles: list[TLSProfile]
    warnings: list[str]

    def servers(self, address: str, port: int) -> list[TLSProfile]:
        """The server profiles of a listener: the default one first, then those that SNI may choose.

        A section for the very address comes before ``[server:default]``; ``[server:any]`` is for all listeners.
        """
        own = [each for each in self._role("server") if (each.address, each.port) == (canonical(address), port)]
        default = [each for each in self._role("server") if each.address == "default"]
        everywhere = [each for each in self._role("server") if each.address == "any"]
        unnamed = [each for each in own + default if not each.server_name] or default
        named = [each for each in own + everywhere + default if each.server_name]
        return unnamed[:1] + named

    def client(self, address: str, port: int, name: str = "", server_id: str = "") -> TLSProfile | None:
        """The client profile for a destination; None when the file has no section for it.

        A section for the very address comes before one for all; among those the one whose ``server_name`` is asked for, then the
        first without a name.

        Args:
            address: IP literal without brackets.
            port: Of the destination.
            name: The domain that is asked for.
            server_id: Only sections with this id count; "" for all.
        """
        role = [each for each in self._role("client") if not server_id or each.server_id == server_id]
        place = (canonical(address), port)
        for sections in ([each for each in role if (each.address, each.port) == place], [each for each in role if not each.port]):
            for wanted in (name.lower(), ""):
                for each in sections:
                    if each.server_name == wanted:
                        return each
            if sections:
                return sections[0]
        return None

    def unused(self, places: list[tuple[str, int]]) -> list[str]:
        """Warnings about server sections for an address that no listener has.

        Args:
            places: Addresses and ports of the TLS listeners; port 0 and unspecified addresses stand for any.
        """
        said = []
        for each in self._role("server"):
            if each.port and not any(
                port in (0, each.port) and (is_unspecified(host) or canonical(host) == each.address) for host, port in places
            ):
                said.append(f"{each.file}:{each.line}: [{each.name}] is not used: no tls or wss listener has this address")
        return said

    def _role(self, role: str) -> list[TLSProfile]:
        return [each for each in self.profiles if each.role == role]


def canonical(address: str) -> str:
    """An IP literal in the one form that it is compared in; other text as it is."""
    family = family_of(address)
    return socket.inet_ntop(family, socket.inet_pton(family, address)) if family else address


def load_tls_config(path: str) -> TLSConfig:
    """Read a file; relative paths in it start at its folder.

    Raises:
        ConfigError: with file, line, section and key.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}", key="tls.config") from None
    return parse_tls_config(text, path)


def parse_tls_config(text: str, path: str) -> TLSConfig:
    """Read the text of a ``tls.cfg``.

    Args:
        text: The text.
        path: Its path, for errors and for relative paths in it.
    """
    profiles: list[TLSProfile] = []
    warnings: list[str] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = _uncomment(raw)
        if not line:
            continue
        if line.startswith("["):
            profiles.append(_section(line, path, number))
        elif not profiles:
            raise ConfigError("a setting before the first section", path, number)
        else:
            _setting(profiles[-1], line, number, warnings)
    _once(profiles)
    for profile in profiles:
        _complete(profile, warnings)
    return TLSConfig(profiles, warnings)


def _uncomment(raw: str) -> str:
    """The line without its comment; '#' and ';' begin one at the start of a line or behind white space, outside quotes."""
    quote = ""
    for index, char in enumerate(raw):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "#;" and (index == 0 or raw[index - 1].isspace()):
            return raw[:index].strip()
    return raw.strip()


def _section(line: str, path: str, number: int) -> TLSProfile:
    wrong = ConfigError(
        f"{line!r} is no section; write [server:default], [client:default], [server:any] or [server:ADDRESS:PORT]", path, number
    )
    if not line.endswith("]"):
        raise wrong
    role, colon, rest = line[1:-1].strip().partition(":")
    role = role.strip().lower()
    rest = rest.strip()
    if role not in ("server", "client") or not colon:
        raise wrong
    if rest.lower() in ("default", "any"):
        return TLSProfile(role, rest.lower(), 0, path, number)
    host, colon, port = rest.rpartition(":")
    host = host.strip("[]")
    if not colon or not family_of(host) or not port.isdigit() or not 0 < int(port) < 65536:
        raise wrong
    return TLSProfile(role, canonical(host), int(port), path, number)


def _setting(profile: TLSProfile, line: str, number: int, warnings: list[str]) -> None:
    key, equals, value = line.partition("=")
    key = key.strip().lower()
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    key = "tls_method" if key == "method" else key
    profile.lines[key] = number
    if not equals:
        raise profile.wrong(key, "no '=': write KEY = VALUE")
    if key == "tls_method":
        profile.tls_method = _method(profile, value, warnings)
    elif key in _FLAGS:
        if value.lower() not in _YES | _NO:
            raise profile.wrong(key, f"{value!r} is neither yes nor no")
        setattr(profile, key, value.lower() in _YES)
    elif key in _NUMBERS:
        low, high = _NUMBERS[key]
        if not value.isdigit() or not low <= int(value) <= high:
            raise profile.wrong(key, f"{value!r} is not a number from {low} to {high}")
        setattr(profile, key, int(value))
    elif key in _PATHS:
        setattr(profile, key, os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(profile.file)), value)) if value else "")
    elif key in _TEXTS:
        setattr(profile, key, value.lower() if key == "server_name" else value)
    else:
        raise profile.wrong(key, "unknown key")


def _once(profiles: list[TLSProfile]) -> None:
    """A section that nobody can reach, because another stands for the same, is a mistake of whoever wrote it."""
    seen: dict[tuple[str, str, int, str, str], TLSProfile] = {}
    for each in profiles:
        key = (each.role, each.address, each.port, each.server_name, each.server_id if each.role == "client" else "")
        first = seen.setdefault(key, each)
        if first is not each:
            raise ConfigError(f"[{each.name}] stands in line {first.line} already, for the same server_name", each.file, each.line)


def _method(profile: TLSProfile, value: str, warnings: list[str]) -> str:
    word = value.lower()
    if word in METHODS:
        return word
    if word in _RAISED:
        line = profile.lines["tls_method"]
        warnings.append(f"{profile.file}:{line}: [{profile.name}] tls_method {value} is raised to TLSv1.2+: no present browser speaks less")
        return "tlsv1.2+"
    raise profile.wrong("tls_method", f"{value!r} is unknown; write TLSv1.2+ or TLSv1.3+")


def _complete(profile: TLSProfile, warnings: list[str]) -> None:
    if profile.require_certificate and not profile.verify_certificate:
        raise profile.wrong("require_certificate", "needs verify_certificate = yes: a certificate that nobody checks proves nothing")
    if profile.server_name_mode and not profile.server_name:
        raise profile.wrong("server_name_mode", "needs server_name")
    if profile.role == "server" and profile.address == "any" and not profile.server_name:
        raise profile.wrong("server_name", "missing: [server:any] is for those who ask for a name; write [server:default] for all")
    if bool(profile.private_key) != bool(profile.certificate):
        missing = "certificate" if profile.private_key else "private_key"
        raise profile.wrong(missing, "certificate and private_key go together")
    if profile.verify_certificate and not (profile.ca_list or profile.ca_path):
        warnings.append(
            f"{profile.file}:{profile.line}: [{profile.name}] verifies without ca_list: the certificate authorities of the system are used"
        )
