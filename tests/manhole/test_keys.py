"""Keys: whose, and of whom."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.manhole.keys import HOST_KEY, KeyFile, host_key, read_keys
from sipnode.manhole.service import ManholeService, address_of
from sipnode.settings import ManholeSettings


def public_line(name: str = "ops") -> str:
    """A new key as it stands in authorized_keys."""
    key = Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode() + f" {name}"


class ListedTests(SynchronousTestCase):
    """authorized_keys."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "authorized_keys"

    def write(self, *lines: str) -> None:
        """The file, as it should be."""
        self.path.write_text("\n".join(lines) + "\n")
        self.path.chmod(0o600)

    def test_keys(self) -> None:
        """Plain keys count; comments, options, private keys and rubbish don't."""
        self.write("# mine", "", public_line(), 'from="192.0.2.1" ' + public_line(), "ssh-ed25519 AAAA broken", "x", public_line("other"))
        self.assertEqual(len(read_keys(self.path)), 2)

    def test_nobody(self) -> None:
        """A file without a key, one that others may write, or none at all is a fault of the setting."""
        self.write("# nothing")
        faults = [self.assertRaises(ConfigError, read_keys, self.path)]
        self.write(public_line())
        for mode in (0o620, 0o602):
            self.path.chmod(mode)
            faults.append(self.assertRaises(ConfigError, read_keys, self.path))
        faults.append(self.assertRaises(ConfigError, read_keys, self.folder / "gone"))
        self.assertEqual({fault.key for fault in faults}, {"manhole.authorized_keys"})

    def test_taken_out(self) -> None:
        """The file is read at each login: a key that was taken out is out, and a file that went bad lets nobody in."""
        keys = KeyFile(self.path)
        self.write(public_line(), public_line())
        self.assertEqual(len(keys.getAuthorizedKeys(b"anybody")), 2)
        self.write(public_line())
        self.assertEqual(len(keys.getAuthorizedKeys(b"anybody")), 1)
        self.path.chmod(0o666)
        self.assertEqual(keys.getAuthorizedKeys(b"anybody"), [])

    def test_host_key(self) -> None:
        """Made once, for the server's user alone; one that is broken is named."""
        first = host_key(self.folder)
        self.assertEqual(host_key(self.folder), first)
        self.assertEqual(stat.S_IMODE(os.stat(self.folder / HOST_KEY).st_mode), 0o600)
        (self.folder / HOST_KEY).write_text("rubbish")
        self.assertIn(HOST_KEY, str(self.assertRaises(ConfigError, host_key, self.folder)))


class SettingsTests(SynchronousTestCase):
    """Where it may listen."""

    def test_loopback_only(self) -> None:
        """Another address than loopback stops the start, as does what is no address."""
        self.assertEqual(address_of(ManholeSettings(listen="[::1]:5022")), ("::1", 5022))
        for wrong in ("0.0.0.0:5022", "192.0.2.1:5022", "[::]:5022", "localhost:5022", "5022"):
            error = self.assertRaises(ConfigError, address_of, ManholeSettings(listen=wrong))
            self.assertEqual(error.key, "manhole.listen")

    def test_missing_packages(self) -> None:
        """Without the extra, the start says what to install."""
        error = self.assertRaises(ConfigError, address_of, ManholeSettings(listen="127.0.0.1:1"), lambda name: None)
        self.assertIn("pip install 'sipnode[manhole]'", error.reason)

    def test_no_keys(self) -> None:
        """A manhole that nobody could enter isn't made."""
        folder = Path(self.mktemp())
        folder.mkdir()
        settings = ManholeSettings(listen="127.0.0.1:0")
        error = self.assertRaises(ConfigError, ManholeService, settings, folder, folder, "", lambda leave: {}, None)
        self.assertEqual(error.key, "manhole.authorized_keys")
        self.assertEqual(list(folder.iterdir()), [])
