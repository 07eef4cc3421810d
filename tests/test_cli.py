"""Tests of :mod:`sipnode.cli`."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sipnode import __version__, cli, config
from sipnode.settings import Settings


class CommandCase(SynchronousTestCase):
    """A conf folder, and commands run against it."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        (self.folder / config.FILE_NAME).write_text(config.render())

    def run_command(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """(exit status, standard output, standard error)."""
        out, err = io.StringIO(), io.StringIO()
        for name, stream in (("stdout", out), ("stderr", err), ("stdin", io.StringIO(stdin))):
            self.patch(sys, name, stream)
        try:
            status = cli.main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
        return status, out.getvalue(), err.getvalue()


class UserTests(CommandCase):
    """``sipnode user``."""

    def user(self, action: str, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """One action on the folder's users."""
        return self.run_command("user", action, *arguments, "-c", str(self.folder), stdin=stdin)

    def test_life(self) -> None:
        """A user is added, listed, given another password and removed."""
        self.assertEqual(self.user("add", "alice@a.test", "--password-stdin", stdin="one\n"), (0, "", ""))
        self.user("add", "bob@B.test", "--password-stdin", stdin="two\n")
        self.assertEqual(self.user("list"), (0, "alice@a.test\nbob@b.test\n", ""))
        self.assertEqual(self.user("list", "b.test")[1], "bob@b.test\n")
        self.assertEqual(self.user("passwd", "alice@a.test", "--password-stdin", stdin="three\n"), (0, "", ""))
        self.assertEqual(self.user("remove", "alice@a.test"), (0, "", ""))
        self.assertEqual(self.user("list")[1], "bob@b.test\n")

    def test_refusals(self) -> None:
        """What can't be done is said in one line, with status 1; no password is asked for in vain."""
        self.user("add", "alice@a.test", "--password-stdin", stdin="one\n")
        for action, address, reason in (
            ("add", "alice@a.test", "user alice@a.test exists"),
            ("add", "alice", "write user@domain"),
            ("passwd", "john@a.test", "there is no user john@a.test"),
            ("remove", "john@a.test", "there is no user john@a.test"),
        ):
            status, out, err = self.user(action, address)
            self.assertEqual((status, out, err.count("\n")), (1, "", 1))
            self.assertIn(reason, err)

    def test_empty_password(self) -> None:
        """Nobody gets an empty password by an empty standard input."""
        self.assertEqual(self.user("add", "alice@a.test", "--password-stdin")[0], 1)
        self.assertEqual(self.user("list")[1], "")

    def test_password_is_hidden(self) -> None:
        """The database holds no password in clear."""
        self.user("add", "alice@a.test", "--password-stdin", stdin="correct-horse\n")
        for file in self.folder.iterdir():
            self.assertNotIn(b"correct-horse", file.read_bytes())

    def test_state_dir(self) -> None:
        """The users are where the server keeps its state."""
        (self.folder / "state").mkdir()
        (self.folder / config.FILE_NAME).write_text('[core]\nstate_dir = "state"\n[storage]\nurl = "sqlite:x.db"')
        self.user("add", "alice@a.test", "--password-stdin", stdin="one\n")
        self.assertTrue((self.folder / "state" / "x.db").exists())

    def test_other_store(self) -> None:
        """A store without a file says so, with the line that names it."""
        (self.folder / config.FILE_NAME).write_text('[storage]\nurl = "memory:"')
        status, _out, err = self.user("list")
        self.assertEqual(status, 1)
        self.assertTrue(err.startswith(f"sipnode: {self.folder}/{config.FILE_NAME}:2: storage.url: "), err)


class ConfigurationTests(CommandCase):
    """``sipnode conf`` and ``sipnode check``."""

    def test_defaults(self) -> None:
        """Without a folder every default is printed, fit to be a first configuration."""
        status, out, _err = self.run_command("conf")
        self.assertEqual((status, config.read(out)), (0, (Settings(), [])))

    def test_in_force(self) -> None:
        """With a folder its values are, and no secret is."""
        (self.folder / config.FILE_NAME).write_text('[core]\nmax_forwards = 9\n[storage]\nurl = "sqlite:hidden"')
        _status, out, _err = self.run_command("conf", "-c", str(self.folder))
        self.assertIn("max_forwards = 9", out)
        self.assertNotIn("hidden", out)

    def test_check_says_every_fault(self) -> None:
        """One line for each fault, and status 1."""
        (self.folder / config.FILE_NAME).write_text('[core]\nlisten = ["udp:127.0.0.1:0"]\nx = 1\nmax_forwards = 0\n[rpc]\nsocket = ""\n')
        status, _out, err = self.run_command("check", "-c", str(self.folder))
        self.assertEqual((status, len([line for line in err.splitlines() if not line.startswith("warning: ")])), (1, 2))

    def test_missing_folder(self) -> None:
        """A folder that isn't there is named."""
        status, _out, err = self.run_command("check", "-c", str(self.folder / "gone"))
        self.assertEqual((status, err.count("\n")), (1, 1))
        self.assertIn(str(self.folder / "gone"), err)

    def test_version(self) -> None:
        """--version says it."""
        self.assertEqual(self.run_command("--version"), (0, f"sipnode {__version__}\n", ""))

    def test_wrong_usage(self) -> None:
        """A command that isn't there is wrong usage, status 2."""
        self.assertEqual(self.run_command("frobnicate")[0], 2)
        self.assertEqual(self.run_command("demo", "--sip-port", "70000")[0], 2)


class RelativePathTests(CommandCase):
    """-c is relative to where one stands."""

    def test_from_elsewhere(self) -> None:
        """The same folder by a relative path."""
        before = Path.cwd()
        os.chdir(self.folder.parent)
        self.addCleanup(os.chdir, before)
        self.assertEqual(self.run_command("user", "list", "-c", self.folder.name), (0, "", ""))
