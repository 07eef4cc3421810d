"""Behind a real nginx and a real HAProxy: who is seen as the client, and who isn't believed."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource

from sipnode.settings import CoreSettings, LimitSettings, Settings, TLSSettings, TransportSettings
from sipnode.transport.assembly import Transports, build_transports

from ..transport.certificates import make
from ..transport.kit import OK, OPTIONS, RecordingSink
from ..transport.test_http import UPGRADE, request
from ..transport.test_websocket import TEXT, masked
from .support.site import free_port, missing

reactor: Any = _reactor
CLIENT = "127.0.0.77"
LIAR = "127.0.0.88"
BEHIND = "203.0.113.9"

NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{inner};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $http_connection;
            proxy_set_header Host 127.0.0.1;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto https;
        }}
    }}
}}
"""  # noqa: E501  # nginx needs a folder for each
HAPROXY = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen one
    bind 127.0.0.1:{one}
    server s 127.0.0.1:{inner} send-proxy
listen two
    bind 127.0.0.1:{two}
    server s 127.0.0.1:{inner} send-proxy-v2 check check-send-proxy inter 200ms
listen three
    bind 127.0.0.1:{three}
    server s 127.0.0.1:{secure} send-proxy-v2-ssl
"""


class WhoAsks(Resource):
    """Says who it thinks asks."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        return f"{request.getClientAddress().host} {request.isSecure()}".encode()


def say(port: int, data: bytes, source: str = CLIENT, tls: bool = False, until: bytes = b"") -> bytes:
    """Send, and read to the end, or to what is waited for; b"" where the connection is closed without a word."""
    with socket.create_connection(("127.0.0.1", port), 10, (source, 0)) as plain:
        wire: Any = plain
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            wire = context.wrap_socket(plain)
        wire.sendall(data)
        heard = b""
        try:
            while not (until and until in heard):
                more = wire.recv(65536)
                if not more:
                    break
                heard += more
        except OSError:
            pass
        return heard


class ProxyTests(TestCase):
    """Our listeners in this process, the proxies as they come from Debian."""

    skip = missing("nginx", "haproxy")
    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        authority = make("authority", authority=True)
        make("sip.example.com", ("sip.example.com",), authority).save(str(self.folder), "server")
        (self.folder / "tls.cfg").write_text("[server:default]\ncertificate=server-cert.pem\nprivate_key=server-key.pem\n")
        self.sink = RecordingSink()
        self.sink.on_received = lambda data, flow: flow.send(OK) if data.startswith(b"OPTIONS") else None

    def serve(self, *lines: str, proxies: tuple[str, ...] = ("127.0.0.1",), **limits: Any) -> Transports:
        settings = Settings(
            core=CoreSettings(listen=lines),
            limits=LimitSettings(**limits),
            transport=TransportSettings(proxies=proxies, handshake_seconds=2.0),
            tls=TLSSettings(config="tls.cfg"),
        )
        page: Any = WhoAsks()
        made = build_transports(settings, self.sink, reactor, page, None, str(self.folder))
        for service in made.services:
            self.addCleanup(service.stopService)
            service.privilegedStartService()
            service.startService()
        return made

    async def run_proxy(self, port: int, *command: str) -> None:
        """Start one, and wait until it listens."""
        program = shutil.which(command[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert program is not None
        process = subprocess.Popen([program, *command[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def stop() -> None:
            process.terminate()
            process.wait(10)

        self.addCleanup(deferToThread, stop)

        def listens() -> bool:
            end = time.monotonic() + 10
            while time.monotonic() < end:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        return True
                time.sleep(0.05)
            return False

        self.assertTrue(await deferToThread(listens), command)

    async def nginx(self, made: Transports) -> int:
        port = free_port(socket.SOCK_STREAM)
        inner = next(each.port for each in made.listeners if each.transport == "WS")
        (self.folder / "nginx.conf").write_text(NGINX.format(folder=self.folder, port=port, inner=inner))
        await self.run_proxy(port, "nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"))
        return port

    async def haproxy(self, made: Transports) -> dict[str, int]:
        inner, secure = (next(each.port for each in made.listeners if each.transport == name) for name in ("TCP", "TLS"))
        ports = {name: free_port(socket.SOCK_STREAM) for name in ("one", "two", "three")}
        (self.folder / "haproxy.cfg").write_text(HAPROXY.format(inner=inner, secure=secure, **ports))
        await self.run_proxy(ports["one"], "haproxy", "-db", "-f", str(self.folder / "haproxy.cfg"))
        return ports

    async def test_page_behind_nginx(self) -> None:
        """The client is whom nginx saw, whatever the client itself wrote, and https as nginx says."""
        port = await self.nginx(self.serve("ws:127.0.0.1:0"))
        for headers in ({}, {"X-Forwarded-For": BEHIND}, {"Forwarded": f"for={BEHIND}"}):
            ask = request({"Host": "127.0.0.1", "Connection": "close"} | headers)
            heard = await deferToThread(say, port, ask)
            self.assertTrue(heard.endswith(f"{CLIENT} True".encode()), (headers, heard))

    async def test_websocket_behind_nginx(self) -> None:
        """A WebSocket's flow is the client's, and counts as one of its connections; those of a proxy have no cap of one source."""
        made = self.serve("ws:127.0.0.1:0", connections_per_source=2)
        port = await self.nginx(made)
        shake = request(UPGRADE | {"Origin": "", "X-Forwarded-For": BEHIND}) + masked(TEXT, OPTIONS)
        for number in range(4):
            source = f"127.0.0.{70 + number}"
            heard = await deferToThread(say, port, shake, source, False, OK)
            self.assertIn(b" 101 ", heard)
            self.assertIn(OK, heard)
            self.assertEqual(self.sink.messages[-1][1].remote[0], source)

    async def test_nobody_else_is_believed(self) -> None:
        """Who isn't one of the proxies is who it is, whatever it writes."""
        made = self.serve("ws:127.0.0.1:0", "tcp:127.0.0.1:0 proxy_protocol")
        web, sip = (next(each.port for each in made.listeners if each.transport == name) for name in ("WS", "TCP"))
        headers = {"Host": "127.0.0.1", "Connection": "close", "X-Forwarded-For": BEHIND, "Forwarded": f"for={BEHIND}"}
        heard = await deferToThread(say, web, request(headers | {"X-Forwarded-Proto": "https"}), LIAR)
        self.assertTrue(heard.endswith(f"{LIAR} False".encode()), heard)
        header = f"PROXY TCP4 {BEHIND} 127.0.0.1 5060 5060\r\n".encode()
        await deferToThread(say, sip, header + OPTIONS, LIAR)
        self.assertEqual([flow.remote[0] for flow in self.sink.flows], [LIAR] * len(self.sink.flows))
        self.assertEqual(await deferToThread(say, sip, OPTIONS, LIAR, False, OK), OK)

    async def test_sip_behind_haproxy(self) -> None:
        """TCP with either version of the header, TLS with the header before it, and HAProxy's own checks."""
        made = self.serve("tcp:127.0.0.1:0 proxy_protocol", "tls:127.0.0.1:0 proxy_protocol")
        ports = await self.haproxy(made)
        for name, port in ports.items():
            tls = name == "three"
            self.assertEqual(await deferToThread(say, port, OPTIONS, CLIENT, tls, OK), OK, name)
            flow = self.sink.messages[-1][1]
            self.assertEqual((flow.remote[0], flow.transport), (CLIENT, "TLS" if tls else "TCP"))
        self.assertEqual(made.admission.counts["proxy_header_wrong"], 0)

    async def test_proxy_without_a_header(self) -> None:
        """Where the header is wanted a proxy that sends none is cut, at once or when its time is over."""
        made = self.serve("tcp:127.0.0.1:0 proxy_protocol")
        port = made.listeners[0].port
        for octets in (OPTIONS, b"PROX", b"PROXY TCP4 1.2.3.4 5.6.7.8 09 1\r\n" + OPTIONS):
            self.assertEqual(await deferToThread(say, port, octets, "127.0.0.1"), b"")
        self.assertEqual((self.sink.flows, made.admission.open), ([], 0))
        self.assertEqual(made.admission.counts["proxy_header_wrong"], 3)
