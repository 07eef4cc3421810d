"""``sipnode console-password``."""

from __future__ import annotations

import contextlib
import io
import tomllib

from twisted.trial.unittest import SynchronousTestCase

from sipnode import cli, config
from sipnode.console.members import Members, matches


class PasswordTests(SynchronousTestCase):
    """The command."""

    def run_it(self, *arguments: str, typed: str = "a good password\n") -> tuple[int, str, str]:
        """Status, output, and what it refuses with."""
        out, err = io.StringIO(), io.StringIO()
        self.patch(__import__("sys"), "stdin", io.StringIO(typed))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = cli.main(["console-password", *arguments, "--password-stdin"])
        return status, out.getvalue(), err.getvalue()

    def test_line(self) -> None:
        """What it prints is a line of the configuration, with the hash of the password and not the password."""
        for arguments, role in ((("root", "--role", "admin"), "admin"), (("watch",), "viewer"), (('o"o',), "viewer")):
            status, out, _ = self.run_it(*arguments)
            self.assertEqual((status, "a good password" in out), (0, False))
            settings, faults = config.read(f"[console]\n{out}")
            self.assertEqual(faults, [], out)
            member = Members(settings.console.users).get(arguments[0])
            assert member is not None
            self.assertEqual(member.role, role)
            self.assertTrue(matches("a good password", member.secret))
            self.assertEqual(list(tomllib.loads(out)), ["users"])

    def test_refused(self) -> None:
        """A short password, and a name that can't stand in the line."""
        self.assertEqual(self.run_it("root", typed="short\n")[0], 1)
        for name in ("a b", "a@b", "x" * 65):
            status, _, said = self.run_it(name)
            self.assertEqual(status, 1)
            self.assertIn("64 characters", said)
