"""Tests of :mod:`sipnode.cli`."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sipnode import __version__, cli, config, native
from sipnode.cli import files, running
from sipnode.demo import probes
from sipnode.lifecycle.reload import differences
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
        """A user is added, which says what it made, listed, given another password and removed."""
        (self.folder / config.FILE_NAME).write_text('[core]\ndomains = ["a.test"]\n')
        made = "user alice@a.test made; it may sign in with user name alice and its password\n"
        self.assertEqual(self.user("add", "alice@a.test", "--password-stdin", stdin="one\n"), (0, made, ""))
        self.user("add", "bob@B.test", "--password-stdin", stdin="two\n")
        self.assertEqual(self.user("list"), (0, "alice@a.test\nbob@b.test\n", ""))
        self.assertEqual(self.user("list", "b.test")[1], "bob@b.test\n")
        self.assertEqual(self.user("passwd", "alice@a.test", "--password-stdin", stdin="three\n"), (0, "", ""))
        self.assertEqual(self.user("remove", "alice@a.test"), (0, "", ""))
        self.assertEqual(self.user("list")[1], "bob@b.test\n")

    def test_foreign_domain(self) -> None:
        """A user of a domain that isn't ours is made, with a warning that says where to write what."""
        (self.folder / config.FILE_NAME).write_text('[core]\n\ndomains = ["a.test"]\n')
        status, out, err = self.user("add", "bob@b.test", "--password-stdin", stdin="two\n")
        self.assertEqual((status, out.count("made"), err.count("\n")), (0, 1, 1))
        self.assertTrue(err.startswith(f"warning: {self.folder}/{config.FILE_NAME}:3: core.domains: users of b.test can't register"), err)
        self.assertIn('domains = ["a.test", "b.test"]', err)

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
        self.assertEqual(self.run_command("--version"), (0, f"sipnode {__version__} ({native.kind()})\n", ""))

    def test_wrong_usage(self) -> None:
        """A command that isn't there is wrong usage, status 2."""
        self.assertEqual(self.run_command("frobnicate")[0], 2)
        self.assertEqual(self.run_command("demo", "--sip-port", "70000")[0], 2)


class InitTests(CommandCase):
    """``sipnode init``."""

    def setUp(self) -> None:
        super().setUp()
        self.file = self.folder / "new" / config.FILE_NAME
        # Whether one runs here must not matter.
        self.relay = False
        self.patch(probes, "media_relay", lambda host, port: self.relay)

    def init(self, *arguments: str) -> tuple[int, str, str]:
        """Run it for a new folder."""
        return self.run_command("init", *arguments, "-c", str(self.file.parent))

    def test_written(self) -> None:
        """The file differs from the defaults by the domain alone; the lines to type next are named, and what is missing."""
        status, out, err = self.init("Example.com")
        self.assertEqual((status, err), (0, ""))
        settings, errors = config.read(self.file.read_text())
        self.assertEqual(errors, [])
        self.assertEqual(differences(Settings(), settings), ["core.domains"])
        self.assertEqual(settings.core.domains, ("example.com",))
        self.assertLess(len(self.file.read_text().splitlines()), 25)
        for line in (f"sipnode user add erika@example.com -c {self.file.parent}", f"twistd -n sipnode -c {self.file.parent}"):
            self.assertIn(f"  {line}\n", out)
        self.assertIn("rtpengine", out)
        self.assertIn("a certificate for example.com", out)

    def test_commented_lines_are_right(self) -> None:
        """What stands behind # is right once the # is gone, and so are the lines with an address and an rtpengine."""
        self.init("example.com")
        bare = [line.removeprefix("#") for line in self.file.read_text().splitlines() if not line.startswith("# ")]
        settings, errors = config.read("\n".join(bare))
        self.assertEqual((errors, settings.media.nodes), ([], ("127.0.0.1:2223",)))
        self.file.unlink()
        self.relay = True
        _, out, _ = self.init("example.com", "--host", "2001:db8::7")
        settings, errors = config.read(self.file.read_text())
        self.assertEqual(settings.core.listen, ("udp:[2001:db8::7]:5060", "tcp:[2001:db8::7]:5060", "ws:[2001:db8::7]:8080"))
        self.assertEqual((errors, settings.media.nodes), ([], ("127.0.0.1:2223",)))
        self.assertNotIn("  - rtpengine", out)

    def test_refused(self) -> None:
        """A folder that has a configuration stays as it is."""
        self.file.parent.mkdir()
        self.file.write_text("mine")
        status, out, err = self.init("example.com")
        self.assertEqual((status, out, self.file.read_text()), (1, "", "mine"))
        self.assertIn("is there already, and stays as it is", err)
        self.assertEqual(os.listdir(self.file.parent), [config.FILE_NAME])

    def test_wrong_words(self) -> None:
        """What is no domain or no address is wrong usage; a folder that can't be made is named."""
        for wrong in (("not a domain",), ("example.com", "--host", "everywhere"), ()):
            self.assertEqual(self.init(*wrong)[0], 2)
        self.file = self.folder / config.FILE_NAME / "below" / config.FILE_NAME
        status, _, err = self.init("example.com")
        self.assertEqual((status, err.count("\n")), (1, 1))
        self.assertIn("can't be written", err)


class FilesTests(CommandCase):
    """``sipnode files``."""

    def test_each(self) -> None:
        """Every file that is listed can be printed, and none is carried that isn't listed."""
        self.assertEqual(sorted(path.name for path in Path(str(files.place("tls.cfg"))).parent.iterdir()), sorted(files.WHAT))
        for name in files.WHAT:
            status, out, err = self.run_command("files", name)
            self.assertEqual((status, err), (0, ""))
            self.assertEqual(out, files.place(name).read_text("utf-8"))
            self.assertIn(name, self.run_command("files")[1])

    def test_unknown(self) -> None:
        """Another name is told which there are."""
        status, out, err = self.run_command("files", "../settings.py")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("there are sipnode.service", err)


class ReloadTests(CommandCase):
    """``sipnode reload``."""

    def test_told(self) -> None:
        """What was refused is on standard error and makes the status 1; a restart that is needed is a warning."""
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        self.assertEqual(running.told({"done": ["users"], "refused": [], "restart": ["core.listen"]}), 0)
        self.assertEqual(running.told({"done": [], "refused": ["x:1: bad"], "restart": []}), 1)
        self.assertEqual(out.getvalue(), "read anew: users\n")
        self.assertEqual(err.getvalue(), "warning: these need a restart: core.listen\nsipnode: not taken: x:1: bad\n")

    def test_no_server(self) -> None:
        """Without a server, or with a file that can't be read, nothing was read anew."""
        self.assertEqual(self.run_command("reload", "-c", str(self.folder))[0], 1)
        (self.folder / config.FILE_NAME).write_text("[core\n")
        status, _, err = self.run_command("reload", "-c", str(self.folder))
        self.assertEqual((status, "nothing was read anew" in err), (1, True))


class RelativePathTests(CommandCase):
    """-c is relative to where one stands."""

    def test_from_elsewhere(self) -> None:
        """The same folder by a relative path."""
        before = Path.cwd()
        os.chdir(self.folder.parent)
        self.addCleanup(os.chdir, before)
        self.assertEqual(self.run_command("user", "list", "-c", self.folder.name), (0, "", ""))
