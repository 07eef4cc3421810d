"""Start, wait until everything answers, say where to go, end everything.

Invariant: whatever way this ends, the processes that it started have ended, and no other process was touched.
"""

from __future__ import annotations

import ipaddress
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from sipnode.demo import ports, probes
from sipnode.demo.folder import DOMAIN, OPERATOR, DemoFolder, Places
from sipnode.demo.parts import Part, rtpengine_command, server_command
from sipnode.errors import SipnodeError
from sipnode.storage import users

_NG_PORTS = range(2223, 2263)
_MEDIA_PORTS = (30000, 1000)


class DemoError(SipnodeError):
    """The demo can't start or has ended by itself; the text is for people."""


class _Asked(Exception):
    """Ctrl-C or SIGTERM."""


def run(path: str, host: str, sip_port: int, http_port: int) -> int:
    """The whole demo.

    Args:
        path: Its folder.
        host: An IP address of this machine; beyond loopback the page is https.
        sip_port: For UDP and TCP; TLS has the next one.
        http_port: For the page and its WebSocket; 0 takes 8080, or 8443 with https.

    Returns:
        Exit status: 0 after Ctrl-C or SIGTERM, 1 when it could not start or a part ended by itself.
    """
    signal.signal(signal.SIGTERM, _ask)
    signal.signal(signal.SIGINT, _ask)
    started: list[Part] = []
    try:
        _watch(_start(DemoFolder(Path(path)), host, sip_port, http_port, started))
    except _Asked:
        print("\nEnding …", flush=True)
        return 0
    except SipnodeError as error:
        print(f"sipnode: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for part in reversed(started):
            part.stop()
    return 0


def _ask(_signal: int, _frame: FrameType | None) -> None:
    raise _Asked


def _start(folder: DemoFolder, host: str, sip_port: int, http_port: int, started: list[Part]) -> list[Part]:
    began = time.monotonic()
    places = _places(host, sip_port, http_port)
    try:
        folder.prepare(places)
        fresh = not folder.accounts_file.exists()
        accounts = folder.accounts()
        _save_users(folder, accounts, fresh)
    except OSError as error:
        raise DemoError(f"{folder.path} can't be written: {error}") from error

    media_ports = ports.free_range(*_MEDIA_PORTS)
    media = Part("rtpengine", rtpengine_command(host, places.ng, media_ports), folder.media_log)
    server = Part("sipnode", server_command(folder.conf), folder.server_log)
    ng_host, ng_port = places.ng.rsplit(":", 1)
    _launch(media, started)
    _launch(server, started)
    _await(media, lambda: probes.media_relay(ng_host, int(ng_port)))
    _await(server, lambda: probes.sip_server(host, sip_port) and probes.web_page(host, places.http_port, places.tls))
    print(_welcome(places, accounts, folder, time.monotonic() - began), flush=True)
    return started


def _watch(parts: list[Part]) -> None:
    while True:
        for part in parts:
            if not part.running():
                raise DemoError(f"{part.name} has ended by itself; its log, {part.log}, ends with\n{part.last_words()}")
        time.sleep(0.2)


def _places(host: str, sip_port: int, http_port: int) -> Places:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise DemoError(f"{host} is no IP address; HOST takes one of this machine's, as 192.0.2.7") from None
    if address.is_unspecified:
        raise DemoError(f"{host} names no address that a browser could open; HOST takes one of this machine's")
    tls = not address.is_loopback
    http_port = http_port or (8443 if tls else 8080)
    taken = []
    wanted = [("udp", sip_port), ("tcp", sip_port), ("tcp", http_port)] + ([("tcp", sip_port + 1)] if tls else [])
    for protocol, port in wanted:
        try:
            if not ports.is_free(protocol, host, port):
                taken.append(f"{protocol.upper()} port {port} is taken by {ports.holder(protocol, port)}")
        except OSError as error:
            raise DemoError(f"can't listen on {host}, {protocol.upper()} port {port}: {error.strerror}") from error
    if taken:
        raise DemoError("; ".join(taken) + ". End it, or choose others: make run SIP_PORT=5070 HTTP_PORT=8090")
    for port in _NG_PORTS:
        if ports.is_free("udp", "127.0.0.1", port):
            return Places(host, sip_port, http_port, f"127.0.0.1:{port}", tls)
    raise DemoError(f"UDP ports {_NG_PORTS[0]} to {_NG_PORTS[-1]}, one of which rtpengine would be driven by, are all taken")


def _save_users(folder: DemoFolder, accounts: dict[str, str], fresh: bool) -> None:
    file = str(folder.database)
    there = {user.username for user in users.list_users(file, DOMAIN)}
    for name, password in accounts.items():
        if name not in there:
            users.add_user(file, name, DOMAIN, password)
        elif fresh:
            users.set_password(file, name, DOMAIN, password)


def _launch(part: Part, started: list[Part]) -> None:
    try:
        part.start()
    except OSError as error:
        raise DemoError(f"{part.command[0]} can't be started: {error.strerror}") from error
    started.append(part)


def _await(part: Part, answers: Callable[[], bool]) -> None:
    if not part.wait_ready(answers, 20):
        state = "doesn't answer" if part.running() else "has ended at once"
        raise DemoError(f"{part.name} {state}; its log, {part.log}, ends with\n{part.last_words()}")


def _welcome(places: Places, accounts: dict[str, str], folder: DemoFolder, seconds: float) -> str:
    width = max(map(len, accounts))
    lines = [f"sipnode runs, after {seconds:.1f} s. Open each in a tab or browser of its own, sign in with a click, and call:", ""]
    lines += [f"  {name:{width}}  {places.page(name, password)}" for name, password in accounts.items()]
    lines += ["", f"A phone: domain {DOMAIN}, proxy {places.url_host}:{places.sip_port} (UDP or TCP), and one of the accounts"]
    lines += [f"  user {name:{width}}  password {password}" for name, password in accounts.items()]
    lines += ["", f"The calls as they happen: {places.site}/console/", f"  user {OPERATOR}  password {folder.operator_password()}"]
    if places.tls:
        lines += ["", "The certificate is self-signed: each browser asks once whether to go on."]
    lines += ["", f"Logs: {folder.server_log}, {folder.media_log}", "Ctrl-C ends it all."]
    return "\n".join(lines)
