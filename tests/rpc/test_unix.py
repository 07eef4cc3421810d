"""The RPC on a UNIX socket, and ``sipnode rpc`` against it."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import stat
import sys
import tempfile
from typing import Any

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sipnode.rpc import client
from sipnode.rpc.commands.system import SystemCommands
from sipnode.rpc.endpoint import Endpoint
from sipnode.rpc.registry import Registry
from sipnode.rpc.unix import UnixService, free_path


class UnixTests(TestCase):
    """A socket in a folder of its own."""

    def setUp(self) -> None:
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.path = os.path.join(folder, "rpc.sock")
        registry = Registry()
        registry.add("echo", self.echo)
        registry.add("long", self.long)
        registry.add("number", self.number)
        registry.add_family(SystemCommands(registry, "1"))
        self.endpoint = Endpoint(registry)
        self.service = UnixService(self.path, self.endpoint, 4096, reactor)
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def echo(self, *words: str) -> list[str]:
        """Words back."""
        return list(words)

    def long(self) -> list[dict[str, int]]:
        """A long answer."""
        return [{"n": n} for n in range(50_000)]

    def number(self, whole: int, part: float = 0.5, sure: bool = False) -> list[dict[str, int | float | bool]]:
        """Numbers."""
        return [{"whole": whole, "part": part, "sure": sure}]

    def talk(self, data: bytes, half_close: bool = True) -> Any:
        """A Deferred of all that comes for these octets."""

        def blocking() -> bytes:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(10)
                sock.connect(self.path)
                sock.sendall(data)
                if half_close:
                    sock.shutdown(socket.SHUT_WR)
                got = b""
                while part := sock.recv(65536):
                    got += part
                return got

        return deferToThread(blocking)

    def request(self, method: str, *params: Any) -> bytes:
        return json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).encode()

    def test_private(self) -> None:
        """Nobody but the server's user may connect."""
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)

    async def test_lines(self) -> None:
        """Each line has its answer in a line, in order; the last needs no end; a notification has none."""
        silent = b'{"jsonrpc":"2.0","method":"echo"}\n'
        got = await self.talk(self.request("echo", "a") + b"\n\n" + silent + self.request("long") + b"\r\n" + self.request("echo", "b"))
        first, second, third = got.splitlines()
        self.assertEqual(json.loads(first)["result"], ["a"])
        self.assertEqual(len(json.loads(second)["result"]), 50_000)
        self.assertEqual(json.loads(third)["result"], ["b"])

    async def test_many_in_one_go(self) -> None:
        """Thousands of lines in one write are answered all."""
        got = await self.talk((self.request("echo", "x") + b"\n") * 3000)
        self.assertEqual(len(got.splitlines()), 3000)

    async def test_too_long(self) -> None:
        """A line over the limit is refused at once, skipped to its end, and the next is answered."""
        got = await self.talk(b"x" * 10_000_000 + b"\n" + self.request("echo", "after"))
        first, second = got.splitlines()
        self.assertEqual(json.loads(first)["error"]["code"], -32600)
        self.assertEqual(json.loads(second)["result"], ["after"])

    async def test_nonsense(self) -> None:
        """What is no JSON is told so."""
        self.assertEqual(json.loads(await self.talk(b"\x00\xff"))["error"]["code"], -32700)

    def test_left_behind(self) -> None:
        """The socket of a killed server makes way; one that somebody listens on, or a file, doesn't."""
        self.assertEqual(free_path(self.path), "another server listens there")
        dead = self.path + "2"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(dead)
        self.assertEqual(free_path(dead), "")
        self.assertFalse(os.path.exists(dead))
        with open(dead, "w"):
            self.assertEqual(free_path(dead), "there is something else of that name")
        self.assertIn("longer than 107", free_path("/" + "x" * 107))

    async def run_client(self, method: str, *arguments: str, as_json: bool = False) -> tuple[int, str, str]:
        """(status, standard output, standard error) of ``sipnode rpc``."""
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        status = await deferToThread(client.run, self.path, method, arguments, as_json)
        return status, out.getvalue(), err.getvalue()

    async def test_client_table(self) -> None:
        """A list of objects is a table; arguments become what the method wants."""
        status, out, _ = await self.run_client("number", "3", "1", "yes")
        self.assertEqual((status, out), (0, "whole  part  sure\n3      1.0   yes\n"))

    async def test_client_json(self) -> None:
        """With --json it is what the server sent."""
        _, out, _ = await self.run_client("number", "3", as_json=True)
        self.assertEqual(json.loads(out), [{"whole": 3, "part": 0.5, "sure": False}])
        _, out, _ = await self.run_client("echo", "5", "s:s:x", as_json=True)
        self.assertEqual(json.loads(out), ["5", "s:x"])

    async def test_client_usage(self) -> None:
        """An argument that can't be is told before anything is asked."""
        for wrong in (("x",), ("3", "y"), ("3", "1", "maybe")):
            status, out, err = await self.run_client("number", *wrong)
            self.assertEqual((status, out), (2, ""))
            self.assertIn("number WHOLE [PART] [SURE]", err)

    async def test_client_refused(self) -> None:
        """The server's word is the error, and says what is near."""
        try:
            await self.run_client("nmber")
        except client.Refused as error:
            self.assertTrue(str(error).startswith("Method not found: nmber; did you mean number"), str(error))
        else:
            self.fail("not refused")
        self.assertIn("no server answers", str(self.assertRaises(client.Refused, client.Caller, self.path + "x")))


class ShownTests(TestCase):
    """Answers for people."""

    def test_contacts(self) -> None:
        """Contacts stand each in a row with their address-of-record."""
        contact = {"Contact": {"Address": "sip:a@192.0.2.1", "Expires": 60}}
        dump = {"Domains": [{"Domain": {"AoRs": [{"Info": {"AoR": "a@x", "Contacts": [contact, contact]}}]}}]}
        self.assertEqual(client.shown(dump).splitlines()[1:], ["a@x  sip:a@192.0.2.1  60"] * 2)
        self.assertEqual(client.shown({"AoR": "a@x", "Contacts": [contact]}).splitlines()[1], "a@x  sip:a@192.0.2.1  60")

    def test_objects(self) -> None:
        """An object is lines of name and value; what is inside is indented; a list of words is a line each."""
        self.assertEqual(client.shown({"a": 1, "b": {"c": "x", "d": None}, "e": []}), "a: 1\nb:\n  c: x\n  d: -\ne: -")
        self.assertEqual(client.shown(["x", "y"]), "x\ny")
        self.assertEqual(client.shown("text"), "text")

    def test_hostile(self) -> None:
        """What a stranger sent can't steer the terminal."""
        self.assertEqual(client.shown([{"User-Agent": "\x1b[2Jphone\u202e"}]), "User-Agent\n\\x1b[2Jphone\\u202e")
