"""All that ``sipnode doctor`` looks at, at once, in less than three seconds.

Invariant: who doesn't answer in time is told of as such; nothing waits for him.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from sipnode import config
from sipnode.check import asking
from sipnode.check.doctor import examine
from sipnode.check.health import host as machine
from sipnode.check.health.database import check_store
from sipnode.check.health.lines import Check, Line, clean, edit
from sipnode.check.health.names import addresses_of, check_names
from sipnode.check.health.place import check_places, seen_by
from sipnode.check.health.reach import check_listeners
from sipnode.check.health.shown import check_certificates
from sipnode.check.run import check
from sipnode.errors import ConfigError
from sipnode.settings import Settings
from sipnode.transport.advertise import advertised
from sipnode.transport.listen import AUTO, ListenSpec, parse_listen
from sipnode.transport.portowner import local_addresses

SECONDS: Final = 2.6
STALE: Final = 180.0
_ELSEWHERE: Final = ("a server runs with this configuration", " file descriptors are enough ", "everything is forgotten when")
"""Warnings of ``sipnode check`` that are no fault, or have lines of their own here."""


def diagnose(path: str, reactor: Any, stun: str = "", servers: Iterable[str] | None = None, dns_port: int = 53) -> list[Line]:
    """Look at everything.

    Args:
        path: As ``-c`` takes it.
        reactor: For its clock.
        stun: A STUN server; "" for the one of ``[web] ice_servers``, if there is one.
        servers: DNS; None for those of the system.

    Raises:
        ConfigError: there is no such file, or it can't be read.
    """
    until = time.monotonic() + SECONDS
    file = config.find(path)
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", file=str(file)) from None
    if not config.is_toml(text):
        return list(clean(_configuration(path, reactor, file, True)))
    settings, faults = config.read(text, str(file), os.environ)
    bad = {fault.key for fault in faults}
    asked = list(asking.name_servers() if servers is None else servers)[:2]
    seat = _Seat(settings, file, stun, asked, dns_port)
    running = [_Running(matter, one) for matter, needs, one in seat.checks() if not bad & set(needs)]
    lines = _configuration(path, reactor, file, "storage.url" in bad)
    for each in running:
        lines += each.lines(until)
    return list(clean(lines))


class _Running:
    """A check in a thread of its own, which nobody waits for at the end."""

    def __init__(self, matter: str, check: Check) -> None:
        self._matter, self._check = matter, check
        self._found: list[Line] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for line in self._check():
                self._found.append(line)
        except Exception as error:
            # A check that fails is a finding, and no reason to keep the others' back.
            self._found.append(Line(self._matter, f"couldn't be looked at: {type(error).__name__}: {error}", "sipnode check"))

    def lines(self, until: float) -> list[Line]:
        """What was found until then (monotonic seconds)."""
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            return [*self._found, Line(self._matter, f"no answer in {SECONDS:g} s", "sipnode check")]
        return self._found


class _Seat:
    """The checks of a configuration."""

    def __init__(self, settings: Settings, file: Path, stun: str, servers: list[str], dns_port: int) -> None:
        self._settings, self._file = settings, file
        self._stun = stun or settings.core.stun_server or next(iter(settings.web.ice_servers), "")
        self._servers, self._dns_port = servers, dns_port
        self._state = config.state_folder(settings, file.parent)
        self._specs, self._unfound = _specs(settings)
        socket_path = str(self._state / settings.rpc.socket) if settings.rpc.socket else ""
        self._pid = pid_behind(socket_path) if socket_path else 0

    def checks(self) -> list[tuple[str, tuple[str, ...], Check]]:
        """Each with its matter and the settings that it can't do without."""
        core, conf = self._settings.core, str(self._file)
        tls = str((self._file.parent / self._settings.tls.config).resolve())
        name = next((spec.via_host for spec in self._specs if spec.transport.startswith("WS")), "")
        found: list[tuple[str, tuple[str, ...], Check]] = [
            ("dns", ("core.domains", "core.listen"), self._names),
            ("certificate", ("core.listen", "tls.config"), partial(check_certificates, tls, self._specs, core.domains, time.time())),
            ("address", ("core.listen",), self._places),
            ("listener", ("core.listen",), partial(check_listeners, self._specs, self._pid != 0, core.server, name, conf)),
            ("rtpengine", ("media.nodes", "media.flags"), self._media),
            ("database", ("storage.url",), partial(check_store, self._settings.storage.url, str(self._state), conf)),
            ("clock", (), lambda: machine.check_clock(time.time(), machine.synchronized())),
            ("time zone", (), lambda: machine.check_zone(os.environ.get("TZ", ""))),
            ("descriptors", ("limits.connections",), self._descriptors),
            ("buffers", ("transport.udp_receive_buffer",), self._buffers),
        ]
        return found

    def _ask(self, name: str, kind: int) -> list[Any] | None:
        for server in self._servers:
            found = asking.records(server, name, kind, self._dns_port)
            if found is not None:
                return found
        return None

    def _names(self) -> Iterable[Line]:
        # A farm has more addresses than this machine knows of.
        ours: Collection[str] = () if self._settings.node.address else addresses_of(self._specs, local_addresses(), self._ask)
        return check_names(self._settings.core.domains, self._specs, ours, self._ask)

    def _places(self) -> Iterator[Line]:
        if self._unfound:
            yield Line("address", f"the server won't start: {self._unfound}", edit("core.advertise", str(self._file)))
        yield from check_places(self._specs, local_addresses(), seen_by(self._stun) if self._stun else "", str(self._file), resolved)

    def _media(self) -> Iterator[Line]:
        if self._settings.media.relay != "rtpengine":
            return
        for report in examine(self._settings, self._file.parent, STALE, time.time()):
            if not report.troubles:
                yield Line("rtpengine", f"{report.place}: {report.about[0] if report.about else 'answers'}")
            for trouble in report.troubles:
                yield Line("rtpengine", f"{report.place}: {trouble.what}", trouble.remedy)

    def _descriptors(self) -> Iterable[Line]:
        return machine.check_descriptors(self._settings.limits.connections, machine.descriptors(self._pid))

    def _buffers(self) -> Iterable[Line]:
        if not any(spec.transport == "UDP" for spec in self._specs):
            return ()
        wanted = self._settings.transport.udp_receive_buffer
        return machine.check_buffers(wanted, machine.granted(wanted))


def _configuration(path: str, reactor: Any, file: Path, store: bool) -> list[Line]:
    findings = check(path, reactor, ports=False)
    found = []
    for text in (*findings.errors, *findings.warnings):
        if any(words in text for words in _ELSEWHERE) or (": storage.url: " in text and not store) or ": certificate " in text:
            continue
        line = text.removeprefix(f"{file}:").partition(":")[0]
        command = text.partition(" type: ")[2] or f"editor {f'+{line} ' if line.isdigit() else ''}{file}"
        found.append(Line("configuration", text, command))
    return found or [Line("configuration", f"{file} is right")]


def _specs(settings: Settings) -> tuple[list[ListenSpec], str]:
    """The listeners, as far as they can be read, and why the address of ``advertise auto`` can't be found."""
    found = []
    for line in settings.core.listen:
        try:
            found.append(parse_listen(line, settings.core.advertise == AUTO))
        except ConfigError:
            continue
    if not any(spec.via_host == AUTO for spec in found):
        return found, ""
    try:
        return advertised(settings.core), ""
    except ConfigError as error:
        return [spec for spec in found if spec.via_host != AUTO], str(error)


def resolved(name: str) -> set[str]:
    """Addresses of a name as this machine resolves it."""
    try:
        return {str(ipaddress.ip_address(str(found[4][0]).partition("%")[0])) for found in socket.getaddrinfo(name, None)}
    except (OSError, UnicodeError, ValueError):
        return set()


def pid_behind(path: str) -> int:
    """The process that listens on a UNIX socket, 0 for none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(0.5)
        try:
            sock.connect(path)
            pid: int = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))[0]
        except OSError:
            return 0
    return pid or -1
