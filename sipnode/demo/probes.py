"""Does it answer? One question to each of the parts, with a short wait; never an exception."""

from __future__ import annotations

import secrets
import socket
import ssl


def media_relay(host: str, port: int, timeout: float = 0.5) -> bool:
    """Whether an rtpengine answers an ng ping."""
    cookie = secrets.token_hex(4).encode()
    answer = _ask_udp(host, port, cookie + b" d7:command4:pinge", timeout)
    return answer.startswith(cookie) and b"4:pong" in answer


def sip_server(host: str, port: int, timeout: float = 0.5) -> bool:
    """Whether a SIP server answers OPTIONS over UDP, with whatever status below 500."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    token = secrets.token_hex(6)
    request = (
        f"OPTIONS sip:{where} SIP/2.0\r\nVia: SIP/2.0/UDP {where.rpartition(':')[0]};rport;branch=z9hG4bK{token}\r\n"
        f"From: <sip:probe@probe.invalid>;tag={token}\r\nTo: <sip:{where}>\r\nCall-ID: {token}\r\nCSeq: 1 OPTIONS\r\n"
        "Max-Forwards: 1\r\nContent-Length: 0\r\n\r\n"
    )
    answer = _ask_udp(host, port, request.encode(), timeout)
    return answer.startswith(b"SIP/2.0 ") and answer[8:9] in b"234"


def web_page(host: str, port: int, tls: bool = False, timeout: float = 1.0) -> bool:
    """Whether GET / is answered 200."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        with socket.create_connection((host, port), timeout) as plain:
            plain.settimeout(timeout)
            connection: socket.socket = _wrapped(plain) if tls else plain
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {where}\r\nConnection: close\r\n\r\n".encode())
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


def _wrapped(plain: socket.socket) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    # It is our own self-signed certificate, and only asked whether it answers.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain)


def _ask_udp(host: str, port: int, question: bytes, timeout: float) -> bytes:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asker:
        asker.settimeout(timeout)
        try:
            asker.connect((host, port))
            asker.send(question)
            return asker.recv(65536)
        except OSError:
            return b""
