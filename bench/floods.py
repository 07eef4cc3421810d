"""Those who flood without an account, for ``bench/abuse.py``: HTTP requests, WebSocket pings, calls that stay pending.

Each is run by a process of its own, from addresses that nobody trusts, for so many seconds, and says how much it sent.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
from collections.abc import Callable

WEB = ("127.0.0.1", 8080)
SIP = ("127.0.0.1", 5060)
STRANGERS = 500
INVITES_A_SECOND = 200.0
CONNECTIONS = 8

GET = b"GET /config.json HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n" * 50
SHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
)
# Pings, pongs and keepalives, masked with noughts.
FRAMES = b"\x89\x80\0\0\0\0" * 400 + b"\x8a\x80\0\0\0\0" * 400 + b"\x81\x84\0\0\0\0\r\n\r\n" * 200


def connections(source: str, first: bytes, then: bytes, seconds: float) -> int:
    """Some connections that send as fast as they can and read all that comes, begun anew when they are closed; octets that were sent."""
    selector = selectors.DefaultSelector()
    end, sent, opened = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        while len(selector.get_map()) < CONNECTIONS and opened < (time.monotonic() - end + seconds + 0.1) * 200:
            opened += 1
            sock = socket.socket()
            try:
                sock.bind((source, 0))
                sock.settimeout(1)
                sock.connect(WEB)
                sock.sendall(first)
            except OSError:
                sock.close()
                continue
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        for key, events in selector.select(0.01):
            sock = key.fileobj  # type: ignore[assignment]  # sockets are all that is registered
            try:
                if events & selectors.EVENT_READ and not sock.recv(1 << 20):
                    raise OSError
                if events & selectors.EVENT_WRITE:
                    sent += sock.send(then)
            except BlockingIOError:
                continue
            except OSError:
                selector.unregister(sock)
                sock.close()
        time.sleep(0.0005)
    return sent


def http(seconds: float) -> int:
    """Small GETs without end, many in one write; how many were sent."""
    return connections("127.0.0.68", GET, GET, seconds) * 50 // len(GET)


def ping(seconds: float) -> int:
    """WebSockets without an account that send pings, pongs and keepalives; how many frames were sent."""
    return connections("127.0.0.69", SHAKE, FRAMES, seconds) * 1000 // len(FRAMES)


def pending(seconds: float) -> int:
    """INVITEs of many strangers at one callee that rings and is never answered; how many were sent."""
    socks = []
    for number in range(STRANGERS):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((f"127.2.{number >> 8}.{number & 255}", 0))
        sock.setblocking(False)
        socks.append(sock)
    start, sent = time.monotonic(), 0
    while (passed := time.monotonic() - start) < seconds:
        while sent < passed * INVITES_A_SECOND:
            sock = socks[sent % STRANGERS]
            host, port = sock.getsockname()
            text = (
                f"INVITE sip:carol@bench.test SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bKp{sent};rport\r\nMax-Forwards: 70\r\n"
                f"From: <sip:x{sent}@evil.example>;tag={sent}\r\nTo: <sip:carol@bench.test>\r\nCall-ID: p{sent}-{os.getpid()}\r\n"
                f"CSeq: 1 INVITE\r\nContact: <sip:x@{host}:{port}>\r\nUser-Agent: phone\r\nContent-Length: 0\r\n\r\n"
            )
            sock.sendto(text.encode(), SIP)
            with contextlib.suppress(OSError):
                while True:
                    sock.recv(65535)
            sent += 1
        time.sleep(0.001)
    return sent


FLOODS: dict[str, Callable[[float], int]] = {"http": http, "ping": ping, "pending": pending}
