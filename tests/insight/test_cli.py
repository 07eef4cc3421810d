"""``sipnode explain`` and ``sipnode ladder``, with a server in memory instead of the one behind a socket."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

from sipnode import cli
from sipnode.cli import insight as command
from sipnode.rpc.registry import Registry
from sipnode.wiring.rpc import parts_of, registry_of
from tests.insight.kit import SDP, RecordedCase


class Terminal(io.TextIOWrapper):
    """Takes what is printed, and octets."""

    def __init__(self, tty: bool = False) -> None:
        super().__init__(io.BytesIO(), "utf-8", write_through=True)
        self._tty = tty

    def isatty(self) -> bool:
        """As given."""
        return self._tty

    @property
    def octets(self) -> bytes:
        """All of it."""
        found = self.buffer
        assert isinstance(found, io.BytesIO)
        return found.getvalue()


class InsightCommandTests(RecordedCase):
    """The two commands."""

    def setUp(self) -> None:
        super().setUp()
        self.registry: Registry = registry_of(parts_of(self.world.core, self.world.settings, insight=self.insight))
        case = self

        class Caller:
            """Calls the registry."""

            def __init__(self, path: str) -> None:
                case.assertEqual(path, "the socket")

            def __enter__(self) -> Caller:
                return self

            def __exit__(self, *_: object) -> None:
                return None

            def call(self, method: str, params: list[Any]) -> Any:
                """As over the wire."""
                found = case.registry.get(method)
                return json.loads(json.dumps(found.call(*found.bind(params))))

        self.patch(command.client, "Caller", Caller)

    def run_command(self, *arguments: str, tty: bool = False) -> tuple[int, bytes, str]:
        """Exit status, what is printed, and what is said to be wrong."""
        out, wrong = Terminal(tty), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(wrong):
            status = cli.main([*arguments, "--socket", "the socket"])
        return status, out.octets, wrong.getvalue()

    def failed(self) -> str:
        """A call that fails; its Call-ID."""
        invite = self.alice.send("INVITE", self.bob.aor, (("subject", "x"),), SDP)
        self.bob.reply(self.bob.got("INVITE"), 500, headers=(("reason", 'Q.850;cause=16;text="Card failed"'),))
        return invite.call_id

    def test_explain(self) -> None:
        """The sentence, what to do, the proof, what it was not; without a Call-ID the last call that failed."""
        call_id = self.failed()
        self.world.call(self.alice, self.bob, SDP, SDP) if not self.alice.take() else None
        for arguments in ((call_id,), ()):
            status, out, _ = self.run_command("explain", *arguments)
            self.assertEqual(status, 0)
            for part in ("Card failed", "What to do:", "Proof:", "It was not:", "500"):
                self.assertIn(part, out.decode())

    def test_json(self) -> None:
        """The same as an object."""
        status, out, _ = self.run_command("explain", self.failed(), "--json")
        self.assertEqual((status, json.loads(out)["rule"]), (0, "callee_refused"))
        status, out, _ = self.run_command("explain", "nobody", "--json")
        self.assertEqual((status, json.loads(out)["recorded"]), (1, False))

    def test_not_recorded(self) -> None:
        """It is said, by the exit status too."""
        for arguments in (("explain", "nobody"), ("ladder", "nobody"), ("ladder", "nobody", "--format", "pcap")):
            status, out, wrong = self.run_command(*arguments)
            self.assertEqual((status, out), (1, b""))
            self.assertIn("not recorded", wrong)
        status, _, wrong = self.run_command("ladder")
        self.assertEqual((status, "no call is recorded" in wrong), (1, True))
        status, _, wrong = self.run_command("explain")
        self.assertEqual((status, "no call that failed is recorded" in wrong), (1, True))

    def test_ladder(self) -> None:
        """Text for a terminal; a pcap for a file or a pipe, but no terminal."""
        call_id = self.failed()
        status, out, _ = self.run_command("ladder", call_id, tty=True)
        self.assertEqual((status, out.decode().split("\n")[2].split()), (0, ["alice", "sipnode", "bob", "rtpengine"]))
        status, out, wrong = self.run_command("ladder", call_id, "--format", "pcap", tty=True)
        self.assertEqual((status, out), (1, b""))
        self.assertIn("--output FILE", wrong)
        status, out, _ = self.run_command("ladder", "--format", "pcap")
        self.assertEqual((status, out[:4]), (0, b"\xd4\xc3\xb2\xa1"))
        path = Path(self.mktemp())
        status, out, _ = self.run_command("ladder", call_id, "--format", "mermaid", "--output", str(path))
        self.assertEqual((status, out, path.read_text("utf-8").split("\n")[0]), (0, b"", "sequenceDiagram"))
        status, _, wrong = self.run_command("ladder", call_id, "--output", "/nowhere/x")
        self.assertEqual((status, "/nowhere/x" in wrong), (1, True))
