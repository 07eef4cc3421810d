"""One small day of a server, whichever: two phones register, one calls the other, a WebSocket and a TLS connection stay open."""

from __future__ import annotations

import base64
import os
import re
import socket
import ssl

HOST = "127.0.0.1"
SECONDS = 10.0


class Scene:
    """What is going on at a server; blocking, for a thread.

    Args:
        sip: UDP port.
        http: Port that takes WebSockets.
        tls: Port that takes TLS.
    """

    def __init__(self, sip: int, http: int, tls: int) -> None:
        self._sip = sip
        self._sockets: list[socket.socket] = []
        self.alice, self.bob = self._phone(), self._phone()
        self._register("alice", self.alice)
        self._register("bob", self.bob)
        self._call()
        self._websocket(http)
        self._tls(tls)

    def close(self) -> None:
        """Go home."""
        for sock in self._sockets:
            sock.close()

    def _phone(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sockets.append(sock)
        sock.bind((HOST, 0))
        sock.settimeout(SECONDS)
        return sock

    def _request(self, method: str, uri: str, sock: socket.socket, user: str, to: str, *lines: str, branch: str = "") -> None:
        port = sock.getsockname()[1]
        head = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {HOST}:{port};branch=z9hG4bK{branch or method + user}",
            "Max-Forwards: 70",
            f"From: <sip:{user}@{HOST}>;tag=f{user}",
            f"To: {to}",
            f"Call-ID: {'call-1' if method != 'REGISTER' else 'reg-' + user}",
            f"CSeq: 1 {method}",
            f"Contact: <sip:{user}@{HOST}:{port}>" + (";q=0.7" if method == "REGISTER" else ""),
            *lines,
            "Content-Length: 0\r\n\r\n",
        ]
        sock.sendto("\r\n".join(head).encode(), (HOST, self._sip))

    def _register(self, user: str, sock: socket.socket) -> None:
        extra = ("Expires: 300", "User-Agent: Tester 1.0")
        self._request("REGISTER", f"sip:{HOST}", sock, user, f"<sip:{user}@{HOST}>", *extra)
        answer = sock.recv(9000).decode()
        assert answer.startswith("SIP/2.0 200 "), answer

    def _call(self) -> None:
        self._request("INVITE", f"sip:bob@{HOST}", self.alice, "alice", f"<sip:bob@{HOST}>")
        invite = self.bob.recv(9000).decode()
        kept = [line for line in invite.split("\r\n") if line.lower().startswith(("via:", "from:", "call-id:", "cseq:", "record-route:"))]
        to = next(line for line in invite.split("\r\n") if line.lower().startswith("to:"))
        contact = f"Contact: <sip:bob@{HOST}:{self.bob.getsockname()[1]}>"
        for status in ("180 Ringing", "200 OK"):
            lines = [f"SIP/2.0 {status}", *kept, f"{to};tag=tbob", contact, "Content-Length: 0\r\n\r\n"]
            self.bob.sendto("\r\n".join(lines).encode(), (HOST, self._sip))
        answer = ""
        while not answer.startswith("SIP/2.0 200 "):
            answer = self.alice.recv(9000).decode()
        routes = [f"Route: {value.strip()}" for value in re.findall(r"(?im)^record-route:(.*)\r$", answer)][::-1]
        target = f"sip:bob@{HOST}:{self.bob.getsockname()[1]}"
        self._request("ACK", target, self.alice, "alice", f"<sip:bob@{HOST}>;tag=tbob", *routes, branch="ack")
        assert self.bob.recv(9000).startswith(b"ACK ")

    def _websocket(self, port: int) -> None:
        sock = socket.create_connection((HOST, port), SECONDS)
        self._sockets.append(sock)
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(
            f"GET / HTTP/1.1\r\nHost: {HOST}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Version: 13\r\nOrigin: http://{HOST}:{port}\r\n\r\n".encode()
        )
        assert b" 101 " in sock.recv(4000)

    def _tls(self, port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        sock = context.wrap_socket(socket.create_connection((HOST, port), SECONDS))
        self._sockets.append(sock)
        sock.sendall(b"\r\n\r\n")
        assert sock.recv(2) == b"\r\n"
