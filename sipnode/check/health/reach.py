"""Listeners as others meet them: an OPTIONS by UDP, TCP and TLS, a WebSocket handshake, all from outside the server's process.

Invariant: one request each, and nothing is left open. A firewall between this machine and others can't be seen from here.
"""

from __future__ import annotations

import base64
import os
import re
import socket
import ssl
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from sipnode.check.health.lines import Line
from sipnode.transport.listen import ListenSpec, bracketed, is_unspecified
from sipnode.transport.portowner import who_has_port

SECONDS: Final = 1.0
_SERVER: Final = re.compile(rb"(?im)^server[ \t]*:[ \t]*([^\r\n]*)")


class Answer(NamedTuple):
    """What a listener said.

    Attributes:
        first: The first line, "" for silence.
        server: Its Server header.
        fault: Why there is none.
    """

    first: str
    server: str
    fault: str = ""


def check_listeners(specs: Collection[ListenSpec], running: bool, server: str, host: str, conf: str) -> Iterator[Line]:
    """A line for each listener.

    Args:
        specs: What is listened on.
        running: A server answers at the RPC socket of this configuration.
        server: ``[core] server``.
        host: A name that is ours, for the Host of a WebSocket.
        conf: For commands.
    """
    for spec in specs:
        if not spec.port:
            continue
        name = f"{spec.transport.lower()}:{bracketed(spec.host)}:{spec.port}"
        owner = who_has_port(spec.port, spec.transport == "UDP")
        answer = asked(spec, host)
        other = answer.server and server and answer.server.partition(" ")[0].partition("/")[0] != server.partition(" ")[0].partition("/")[0]
        if not answer.fault and not (other and not running):
            yield Line("listener", f"{name} answers {answer.first}")
        elif not running and owner:
            said = f" ({answer.server})" if answer.server else ""
            yield Line("listener", f"{name} is that of another server: {owner}{said}", _stop(owner))
        elif not running:
            yield Line("listener", f"{name}: nobody listens", f"twistd -n sipnode -c {conf}")
        elif not owner:
            yield Line("listener", f"{name}: nobody listens, though the server runs", f"sipnode reload -c {conf}  # or start it anew")
        else:
            yield Line(
                "listener", f"{name} of {owner} doesn't answer ({answer.fault})", "nft list ruleset; sipnode rpc -c " + conf + " core.info"
            )


def asked(spec: ListenSpec, name: str) -> Answer:
    """Ask one listener."""
    host = spec.host
    if is_unspecified(host):
        host = "::1" if spec.ipv6 else "127.0.0.1"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    udp = spec.transport == "UDP"
    try:
        with socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as sock:
            sock.settimeout(SECONDS)
            sock.connect((host, spec.port))
            if spec.proxy_protocol:
                sock.sendall(b"PROXY UNKNOWN\r\n")
            with _secured(sock, name) if spec.secure else sock as talk:
                request = _upgrade(name) if spec.transport.startswith("WS") else _options(spec, host, talk.getsockname()[:2])
                if udp:
                    return _by_datagram(talk, request)
                talk.sendall(request)
                return _read(talk)
    except ssl.SSLError as error:
        return Answer("", "", f"TLS: {error.reason or error}")
    except TimeoutError:
        return Answer("", "", "silence")
    except OSError as error:
        return Answer("", "", error.strerror or str(error))


def _secured(sock: socket.socket, name: str) -> ssl.SSLSocket:
    # Whether the certificate is right is another line's matter.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock, server_hostname=name or None)


def _by_datagram(sock: socket.socket, request: bytes) -> Answer:
    sock.settimeout(SECONDS / 2)
    for _ in range(2):
        sock.send(request)
        try:
            return _understood(sock.recv(65535))
        except TimeoutError:
            continue
    return Answer("", "", "silence")


def _read(sock: socket.socket) -> Answer:
    data = b""
    while b"\r\n\r\n" not in data and len(data) < 65536:
        more = sock.recv(65536)
        if not more:
            break
        data += more
    return _understood(data)


def _understood(data: bytes) -> Answer:
    first = data.partition(b"\r\n")[0].decode("utf-8", "replace")
    found = _SERVER.search(data)
    server = found[1].decode("utf-8", "replace").strip() if found else ""
    if not data:
        return Answer("", server, "closed without an answer")
    if first.startswith("SIP/2.0 ") or first.startswith("HTTP/1.1 101"):
        return Answer(first, server)
    return Answer(first, server, f"answers {first!r}")


def _options(spec: ListenSpec, host: str, local: tuple[str, int]) -> bytes:
    transport, place = spec.transport, f"{bracketed(host)}:{spec.port}"
    lines = (
        f"OPTIONS sip:{place} SIP/2.0",
        f"Via: SIP/2.0/{transport} {bracketed(local[0])}:{local[1]};branch=z9hG4bK{os.urandom(8).hex()};rport",
        "Max-Forwards: 1",
        f"From: <sip:doctor@{place}>;tag={os.urandom(6).hex()}",
        f"To: <sip:{place}>",
        f"Call-ID: {os.urandom(12).hex()}",
        "CSeq: 1 OPTIONS",
        "Content-Length: 0",
    )
    return "\r\n".join((*lines, "", "")).encode()


def _upgrade(host: str) -> bytes:
    lines = (
        "GET / HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: sip",
    )
    return "\r\n".join((*lines, "", "")).encode()


def _stop(owner: str) -> str:
    pid = re.search(r"pid (\d+)", owner)
    return f"kill {pid[1]}  # or choose another port" if pid else "ss -lpn"
