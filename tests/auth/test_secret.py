from __future__ import annotations

import os
import stat

from twisted.trial.unittest import SynchronousTestCase

from sipnode.auth.secret import derive, load_or_create_secret
from sipnode.errors import ConfigError


class SecretTests(SynchronousTestCase):
    """The server's secret."""

    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(self.folder)
        self.path = os.path.join(self.folder, "secret")

    def refused(self, word: str) -> None:
        fault = self.assertRaises(ConfigError, load_or_create_secret, self.path)
        self.assertEqual(fault.file, self.path)
        self.assertIn(word, str(fault))

    def test_created(self) -> None:
        """The first start makes 32 random octets in a private file, whatever the umask; the next one reads the same."""
        previous = os.umask(0)
        try:
            first = load_or_create_secret(self.path)
        finally:
            os.umask(previous)
        self.assertEqual(len(first), 32)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.assertEqual(load_or_create_secret(self.path), first)
        self.assertEqual(os.listdir(self.folder), ["secret"])
        self.path += "2"
        self.assertNotEqual(load_or_create_secret(self.path), first)

    def test_open_to_others(self) -> None:
        """A file that others can read is made private."""
        first = load_or_create_secret(self.path)
        os.chmod(self.path, 0o644)
        self.assertEqual(load_or_create_secret(self.path), first)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)

    def test_wrong_length(self) -> None:
        """A file of another length is refused with what to do, and left alone."""
        for content in (b"", b"x" * 31, b"x" * 33):
            with open(self.path, "wb") as file:
                file.write(content)
            os.chmod(self.path, 0o600)
            self.refused("delete the file")
            with open(self.path, "rb") as file:
                self.assertEqual(file.read(), content)

    def test_link(self) -> None:
        """A symbolic link in its place is refused."""
        load_or_create_secret(self.path)
        other = self.path + "2"
        os.symlink(self.path, other)
        self.path = other
        self.refused("can't be used")

    def test_no_file(self) -> None:
        """A folder, or a pipe that would hold up the start, is refused."""
        os.mkdir(self.path)
        self.refused("regular file")
        os.rmdir(self.path)
        os.mkfifo(self.path)
        self.refused("regular file")

    def test_folder_missing(self) -> None:
        """A folder that isn't there is named."""
        self.path = os.path.join(self.folder, "none", "secret")
        self.refused("No such file")

    def test_lost_race(self) -> None:
        """Of two first starts at once the one that comes second takes the secret of the first."""
        link = os.link

        def slow_link(source: str, target: str) -> None:
            with open(target, "xb") as file:
                file.write(b"w" * 32)
            os.chmod(target, 0o600)
            link(source, target)

        self.patch(os, "link", slow_link)
        self.assertEqual(load_or_create_secret(self.path), b"w" * 32)
        self.assertEqual(os.listdir(self.folder), ["secret"])

    def test_derive(self) -> None:
        """Keys of different purposes and of different secrets differ; the same ones don't."""
        self.assertEqual(derive(b"a" * 32, "nonce"), derive(b"a" * 32, "nonce"))
        self.assertEqual(len({derive(b"a" * 32, "nonce"), derive(b"a" * 32, "route"), derive(b"b" * 32, "nonce"), b"a" * 32}), 4)
