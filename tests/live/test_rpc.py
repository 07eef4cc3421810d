"""The RPC of a whole server as an operator meets it: ``sipnode rpc`` over the UNIX socket, HTTP with the token, and what strangers get."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode import config
from sipnode.demo.parts import Part, server_command
from sipnode.demo.probes import sip_server
from sipnode.settings import CoreSettings, LocationSettings, RpcSettings, Settings
from tests.live.support.site import HOST, free_port

TEN_MEGABYTES = 10 * 1024 * 1024


class ServerRpcTests(SynchronousTestCase):
    """One server for each test, on free ports of loopback."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sipnode-rpc-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.sip = free_port(socket.SOCK_STREAM, socket.SOCK_DGRAM)
        self.http = free_port(socket.SOCK_STREAM)
        self.start(RpcSettings(listen=f"{HOST}:{self.http}"))

    def start(self, rpc: RpcSettings) -> None:
        listen = (f"udp:{HOST}:{self.sip}", f"tcp:{HOST}:{self.sip}")
        settings = Settings(core=CoreSettings(listen=listen, domains=("live.test",)), location=LocationSettings(db_mode=0), rpc=rpc)
        (self.folder / config.FILE_NAME).write_text(config.render(settings))
        self.server = Part("sipnode", server_command(self.folder), self.folder / "log")
        self.server.start()
        self.addCleanup(self.stop, self.server)
        ready = self.server.wait_ready(lambda: sip_server(HOST, self.sip) and (self.folder / "rpc.sock").exists(), 30)
        self.assertTrue(ready, self.server.last_words())

    def stop(self, server: Part) -> None:
        """End it; it has no traceback in its log."""
        server.stop()
        self.assertNotIn("Traceback", server.log.read_text("utf-8", "replace"))

    def command(self, *arguments: str) -> tuple[int, str, str]:
        """``sipnode rpc ...`` as a command."""
        program = [sys.executable, "-c", "import sys; from sipnode.cli import main; sys.exit(main())"]
        done = subprocess.run([*program, "rpc", *arguments, "-c", str(self.folder)], capture_output=True, text=True, timeout=30)
        return done.returncode, done.stdout, done.stderr

    def post(self, body: bytes, token: str | None = None, length: int = -1) -> tuple[int, Any]:
        """Status and answer of a request over HTTP."""
        connection = http.client.HTTPConnection(HOST, self.http, timeout=10)
        self.addCleanup(connection.close)
        shown = (self.folder / "rpc.token").read_text().strip() if token is None else token
        connection.putrequest("POST", "/RPC")
        connection.putheader("Content-Length", str(len(body) if length < 0 else length))
        if shown:
            connection.putheader("Authorization", f"Bearer {shown}")
        connection.endheaders(body)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if answer.status == 200 else text

    def test_command(self) -> None:
        """A table, JSON, a refusal, an argument that can't be: each with its exit status."""
        self.assertEqual(self.command("core.echo", "a", "b"), (0, "a\nb\n", ""))
        added = self.command("ul.add", "location", "carol@live.test", "sip:carol@127.0.0.1:5099", "600", "0.5")
        self.assertEqual(added[0], 0, added)
        status, out, _ = self.command("ul.dump")
        self.assertEqual((status, out.split()[:3], "carol@live.test" in out), (0, ["AoR", "Address", "Expires"], True))
        status, out, _ = self.command("ul.lookup", "location", "carol@live.test", "--json")
        self.assertEqual(json.loads(out)["Contacts"][0]["Contact"]["Q"], 0.5)
        self.assertEqual(self.command("ul.rm_contact", "location", "x@live.test", "sip:x@y")[::2], (1, "sipnode: AOR not found (404)\n"))
        self.assertEqual(self.command("nosuch.method")[0], 1)
        status, _, said = self.command("dlg.end_dlg", "one", "two")
        self.assertEqual((status, "dlg.end_dlg H_ENTRY H_ID" in said), (2, True))

    def test_private(self) -> None:
        """Socket and token are for the server's user alone; the socket goes with the server, and one left by a kill makes way."""
        for name in ("rpc.sock", "rpc.token"):
            self.assertEqual(stat.S_IMODE(os.stat(self.folder / name).st_mode), 0o600, name)
        assert self.server.process is not None
        self.server.process.kill()
        self.server.process.wait()
        self.assertTrue((self.folder / "rpc.sock").exists())
        self.assertEqual(self.command("core.version")[0], 1)
        self.start(RpcSettings(listen=f"{HOST}:{self.http}"))
        self.assertEqual(self.command("core.version")[0], 0)
        self.server.stop()
        self.assertFalse((self.folder / "rpc.sock").exists())

    def test_http(self) -> None:
        """With the token JSON; without it 401, and nothing has changed."""
        add = {"jsonrpc": "2.0", "method": "ul.add", "params": ["location", "eve@live.test", "sip:eve@192.0.2.66", 600], "id": 1}
        self.assertEqual(self.post(json.dumps(add).encode(), "")[0], 401)
        self.assertEqual(self.post(json.dumps(add).encode(), "wrong")[0], 401)
        look = b'{"jsonrpc":"2.0","method":"ul.dump","params":["brief"],"id":7}'
        status, answer = self.post(look)
        self.assertEqual((status, answer["id"], answer["result"]["Domains"][0]["Domain"]["AoRs"]), (200, 7, []))
        self.assertEqual(self.post(json.dumps([add, json.loads(look)]).encode())[1][1]["result"]["Domains"][0]["Domain"]["Size"], 1)

    def test_bad_input(self) -> None:
        """Broken JSON, wrong types, unknown methods, 10 MB: the standard's codes, HTTP's statuses, and the server goes on."""
        for body, code in (
            (b"{", -32700),
            (b"[]", -32600),
            (b'{"jsonrpc":"2.0","method":"nosuch","id":1}', -32601),
            (b'{"jsonrpc":"2.0","method":"ul.rm","params":["location",5],"id":1}', -32602),
            (b"[" * 500_000, -32700),
        ):
            status, answer = self.post(body)
            self.assertEqual((status, answer["error"]["code"]), (200, code))
        self.assertEqual(self.post(b"", length=TEN_MEGABYTES)[0], 413)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(str(self.folder / "rpc.sock"))
            sock.sendall(b"x" * TEN_MEGABYTES + b"\n")
            self.assertEqual(json.loads(sock.makefile().readline())["error"]["code"], -32600)
        self.assertTrue(sip_server(HOST, self.sip))

    def test_stranger(self) -> None:
        """An address that isn't listed gets 403, with the token too."""
        self.server.stop()
        self.start(RpcSettings(listen=f"{HOST}:{self.http}", allow=("192.0.2.0/24",)))
        self.assertEqual(self.post(b'{"jsonrpc":"2.0","method":"core.version","id":1}')[0], 403)
