"""Metrics and health of a running server: numbers against what phones did, readiness as the world changes, and who may look."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import struct
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sipnode.demo.parts import Part
from sipnode.settings import MetricsSettings, StorageSettings
from sipnode.storage.initialize import init_database

from ..observe.kit import Readings
from .support import postgres
from .support.site import DOMAIN, HOST, Site, free_port, missing
from .support.waiting import until

OPENINGS = 6000
AT_ONCE = 200
NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d;
    scgi_temp_path {folder}/e;
    server {{
        listen {host}:{websocket};
        location / {{
            proxy_pass http://{host}:{http};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }}
    }}
    server {{
        listen {host}:{plain};
        location / {{ proxy_pass http://{host}:{http}; }}
    }}
}}
"""


def fetch(port: int, path: str, **headers: str) -> tuple[int, str]:
    """Status and text of a page, asked as a program on this machine asks; blocks."""
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class MetricsTests(TestCase):
    """A server with its relay."""

    timeout = 120
    skip = missing("rtpengine", "nginx")

    async def asked(self, site: Site, path: str = "/metrics", **headers: str) -> tuple[int, str]:
        """A page of the server's."""
        answer: tuple[int, str] = await deferToThread(fetch, site.http, path, **headers)
        return answer

    async def read(self, site: Site) -> Readings:
        """All numbers."""
        status, text = await self.asked(site)
        self.assertEqual(status, 200)
        return Readings(text)

    async def test_numbers(self) -> None:
        """The whole exposition is Prometheus' format, and its numbers are those of the phones' own traffic."""
        site = await Site(self).start()
        before = await self.read(site)
        bob = await site.registered("bob")
        alice = await site.registered("alice")
        call = alice.dial(f"sip:bob@{DOMAIN}")
        await call.outcome
        during = await self.read(site)
        self.assertEqual((during("sipnode_calls", state="up"), during("sipnode_registrations")), (1, 2))
        self.assertEqual(during("sipnode_media_node_up", node=f"{HOST}:{site.ng_port}"), 1)
        self.assertGreater(during("sipnode_transactions", side="server") or 0, 0)
        await call.hang_up()

        async def over() -> bool:
            return (await self.read(site))("sipnode_call_outcomes_total", outcome="completed") == 1

        await until(over, "the call is counted")
        after = await self.read(site)

        def grown(**labels: str) -> float:
            name = "sipnode_responses_total" if "code" in labels else "sipnode_requests_total"
            return (after(name, **labels) or 0) - (before(name, **labels) or 0)

        # Two REGISTERs a phone, the first of them challenged; no request was repeated on loopback.
        self.assertEqual(grown(direction="in", method="REGISTER"), 4)
        for code in ("401", "200"):
            self.assertEqual(grown(direction="out", method="REGISTER", code=code), 2, code)
        seen = [request.method for request in bob.requests if request.method in ("INVITE", "ACK", "BYE")]
        self.assertEqual(seen, ["INVITE", "ACK", "BYE"])
        for method in seen:
            self.assertEqual(grown(direction="out", method=method), 1, method)
        self.assertEqual(grown(direction="in", method="INVITE", code="200"), 1)
        self.assertEqual((grown(direction="out", method="INVITE", code="407"), grown(direction="in", method="BYE")), (1, 1))
        self.assertGreater(after("process_resident_memory_bytes") or 0, 1e7)

        async def lag_measured() -> bool:
            return ((await self.read(site))("sipnode_reactor_lag_seconds_count") or 0) > 0

        await until(lag_measured, "the lag of the reactor is measured")
        for family in text_string_to_metric_families((await self.asked(site))[1]):
            self.assertTrue(family.documentation, family.name)
            self.assertNotEqual(family.type, "unknown", family.name)

    async def test_connections_are_counted_closed(self) -> None:
        """Thousands of connections, ended in every way they can be, leave the gauges where they were."""
        site = await Site(self).start()
        await deferToThread(self.open_and_close, site)

        async def none() -> bool:
            now = await self.read(site)
            # The scrape itself is one of those that hold a place.
            return set(now.all("sipnode_connections").values()) == {0} and now("sipnode_connections_held") == 1

        # Who has shut its sending side is waited for as long as a transaction may take, 32 s.
        await until(none, "all are counted closed", 60)

    def open_and_close(self, site: Site) -> None:
        """Said nothing, sent a keepalive, began a request, shook hands: closed or reset."""
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        shake = (
            f"GET / HTTP/1.1\r\nHost: {HOST}:{site.http}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Version: 13\r\nOrigin: http://{HOST}:{site.http}\r\n\r\n"
        ).encode()
        kinds = ((site.sip, b""), (site.sip, b"\r\n\r\n"), (site.http, shake), (site.http, b"GET /"), (site.sip, b"INVITE sip:"))
        for start in range(0, OPENINGS, AT_ONCE):
            batch = []
            for number in range(start, start + AT_ONCE):
                port, data = kinds[number % len(kinds)]
                sock = socket.create_connection((HOST, port), 20)
                if number % 2:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                with contextlib.suppress(OSError):  # no place was left for it
                    sock.sendall(data)
                batch.append((sock, data))
            for sock, data in batch:
                if data in (shake, b"\r\n\r\n"):
                    with contextlib.suppress(OSError):
                        sock.recv(100)
                sock.close()

    async def test_who_may_look(self) -> None:
        """As it comes: who is on this machine. Nobody through nginx, as its manual sets it up for WebSockets or as it comes."""
        ports = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_STREAM)
        site = await Site(self).start()
        conf = site.folder / "nginx.conf"
        conf.write_text(NGINX.format(folder=site.folder, host=HOST, http=site.http, websocket=ports[0], plain=ports[1]))
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
        nginx = Part("nginx", [program, "-c", str(conf), "-e", "stderr"], site.folder / "nginx.log")
        nginx.start()
        self.addCleanup(nginx.stop)

        def reached() -> bool:
            return all(self.page_by(port) == 200 for port in ports)

        self.assertTrue(await deferToThread(nginx.wait_ready, reached, 20), nginx.last_words())
        # Its health is for whom ever, without a detail.
        for path, status in (("/metrics", 403), ("/healthz", 200), ("/readyz", 200)):
            self.assertEqual((await self.asked(site, path))[0], 200, path)
            seen = [await deferToThread(fetch, port, path) for port in ports]
            seen.append(await self.asked(site, path, X_Forwarded_For=HOST))
            seen.append(await self.asked(site, path, Host=DOMAIN))
            seen.append(await self.asked(site, path, Host="10.1.2.3:8080" if status == 200 else DOMAIN))
            self.assertEqual([each[0] for each in seen], [status] * len(seen), path)
            if status == 200:
                self.assertEqual({tuple(json.loads(each[1])) for each in seen}, {("status",)})

    def page_by(self, port: int) -> int:
        """Status of the softphone page through a proxy, 0 while nobody is there."""
        try:
            return fetch(port, "/")[0]
        except OSError:
            return 0

    async def test_token_and_port(self) -> None:
        """On a port of its own, with a token for those who aren't listed; the WebSocket port shows nothing then."""
        port = free_port(socket.SOCK_STREAM)
        metrics = MetricsSettings(allow=(), token="s3cret-s3cret-s3cret", listen=f"{HOST}:{port}", on_websocket_ports=False)
        site = await Site(self, metrics=metrics).start()
        self.assertEqual((await deferToThread(fetch, port, "/metrics"))[0], 403)
        shown = {"Authorization": "Bearer s3cret-s3cret-s3cret"}
        status, text = await deferToThread(lambda: fetch(port, "/metrics", X_Forwarded_For="192.0.2.1", **shown))
        self.assertEqual((status, Readings(text)("sipnode_ready")), (200, 1))
        self.assertEqual((await self.asked(site, "/metrics", Authorization="Bearer s3cret-s3cret-s3cret"))[0], 404)

    async def test_drain(self) -> None:
        """TERM while a call rings: alive and not ready until that is answered, then gone."""
        site = Site(self, metrics=lambda site: MetricsSettings(listen=f"{HOST}:{site.sips}"))
        await site.start()
        bob = await site.registered("bob")
        bob.reaction = "ring"
        alice = await site.registered("alice")
        call = alice.dial(f"sip:bob@{DOMAIN}")
        await until(lambda: call.state == "ringing", "it rings")
        self.assertEqual((await self.asked(site, "/readyz"))[0], 200)
        process = site.server.process
        assert process is not None
        process.send_signal(signal.SIGTERM)

        async def draining() -> bool:
            return (await self.asked(site, "/readyz"))[0] == 503

        await until(draining, "it says that it isn't ready")
        status, text = await self.asked(site, "/readyz")
        self.assertEqual((status, json.loads(text)["reasons"]), (503, ["it is about to stop"]))
        self.assertEqual((await self.asked(site, "/healthz"))[0], 200)
        self.assertEqual((await self.read(site))("sipnode_busy", reason="drain"), 1)
        bob.calls[-1].answer()
        self.assertEqual((await call.outcome).status, 200)
        self.assertEqual(await deferToThread(process.wait, 30), 0)

    async def test_media_node_down(self) -> None:
        """A relay that is gone is told by name, and the server stays ready."""
        site = await Site(self).start()
        await deferToThread(site.rtpengine.stop)

        async def told() -> Any:
            status, text = await self.asked(site, "/readyz")
            self.assertEqual(status, 200)
            return json.loads(text).get("media_nodes_down") == [f"{HOST}:{site.ng_port}"]

        await until(told, "the node is told to be down", 40)
        self.assertEqual((await self.read(site))("sipnode_media_node_up", node=f"{HOST}:{site.ng_port}"), 0)


class DatabaseTests(TestCase):
    """Readiness with PostgreSQL."""

    timeout = 120
    skip = postgres.missing() or missing("rtpengine")

    async def test_away_and_back(self) -> None:
        """With db_mode 1 a database that is gone makes the server unready, and one that is back ready again."""
        cluster = postgres.Cluster()
        self.addCleanup(cluster.remove)
        cluster.start()
        await cluster.ready()
        url = cluster.url(cluster.create())
        init_database(url, "")
        site = await Site(self, storage=StorageSettings(url=url)).start()

        def asked() -> tuple[int, str]:
            return fetch(site.http, "/readyz")

        async def is_status(status: int) -> bool:
            return bool((await deferToThread(asked))[0] == status)

        await until(lambda: is_status(200), "it is ready")
        cluster.stop(signal.SIGKILL)

        await until(lambda: is_status(503), "it isn't ready without its database")
        self.assertEqual(json.loads((await deferToThread(asked))[1])["reasons"], ["the store takes no writes"])
        self.assertIn("sipnode_storage_degraded 1.0", (await deferToThread(fetch, site.http, "/metrics"))[1])
        cluster.start()
        await until(lambda: is_status(200), "it is ready again", 40)


