"""An rtpengine of this machine: its version, and what it was started with, by its command line and its own configuration file.

Invariant: only looks; what can't be read is as if it hadn't been given.
"""

from __future__ import annotations

import configparser
import ipaddress
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from sipnode.machine import command_line, executable

_SHORT: Final = {"i": "interface", "n": "listen-ng", "m": "port-min", "M": "port-max"}
_WANTED: Final = frozenset((*_SHORT.values(), "recording-dir", "config-file", "config-section"))
_CONFIG: Final = "/etc/rtpengine/rtpengine.conf"
_SECONDS: Final = 5.0


class LocalInterface(NamedTuple):
    """``--interface=NAME/ADDRESS!ADVERTISED``; what wasn't given is ""."""

    name: str
    address: str
    advertised: str


@dataclass(slots=True)
class Daemon:
    """Options that an rtpengine was started with.

    Attributes:
        version: As ``10.5.3.5``, "" where it isn't known.
        interfaces, listen_ng, recording_dir: Its options.
    """

    pid: int
    version: str = ""
    interfaces: list[LocalInterface] = field(default_factory=list)
    listen_ng: str = ""
    recording_dir: str = ""


def look_at(pid: int) -> Daemon:
    """Facts about a process that is one."""
    options = options_of(pid)
    found = Daemon(pid, version_of(executable(pid)))
    for text in options.get("interface", []):
        found.interfaces += [read_interface(one) for one in text.split(";") if one.strip()]
    found.listen_ng = options.get("listen-ng", [""])[-1]
    found.recording_dir = options.get("recording-dir", [""])[-1]
    return found


def options_of(pid: int) -> dict[str, list[str]]:
    """Those of a process that matter here, as its command line has them, else its configuration file."""
    options = read_options(command_line(pid)[1:])
    file = options.get("config-file", [_CONFIG])[-1]
    if file != "none":
        for name, values in read_file(file, options.get("config-section", ["rtpengine"])[-1]).items():
            options.setdefault(name, values)
    return options


def read_options(arguments: list[str]) -> dict[str, list[str]]:
    """Those that matter here, of a command line."""
    found: dict[str, list[str]] = {}
    rest = iter(arguments)
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--"):
            if not (word.startswith("-") and word[1:2] in _SHORT):
                continue
            name, equals, value = _SHORT[word[1]], word[2:], word[2:].removeprefix("=")
        if name in _WANTED:
            found.setdefault(name, []).append(value if equals else next(rest, ""))
    return found


def read_file(path: str, section: str) -> dict[str, list[str]]:
    """The same of a configuration file."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    try:
        parser.read_string(Path(path).read_text("utf-8", "replace"))
        items = parser.items(section)
    except (OSError, configparser.Error):
        return {}
    return {name: [value] for name, value in items if name in _WANTED and value}


def read_interface(text: str) -> LocalInterface:
    """One ``--interface``."""
    name, slash, rest = text.strip().rpartition("/")
    address, _, advertised = rest.partition("!")
    return LocalInterface(name if slash else "default", address.strip("[]"), advertised.strip("[]"))


def is_literal(text: str) -> bool:
    """Whether it is an address, and not the name of a network device."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def version_of(program: str) -> str:
    """The version that a program tells with --version, "" where it tells none."""
    if Path(program).name != "rtpengine":
        return ""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(?:\.\d+)+", said.stdout + said.stderr)
    return found[0] if found else ""


def is_older(version: str, than: str) -> bool:
    """Whether a version is before another."""
    return _numbers(version) < _numbers(than)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]
