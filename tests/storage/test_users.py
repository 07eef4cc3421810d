from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from hashlib import md5, sha256
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import StorageError
from sipnode.records import User
from sipnode.storage import users


class UserTests(SynchronousTestCase):
    """Users of a file."""

    def setUp(self) -> None:
        folder = os.path.abspath(self.mktemp())
        os.makedirs(folder)
        self.path = os.path.join(folder, "sipnode.sqlite")

    def row(self) -> dict[str, str]:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            return dict(connection.execute("SELECT * FROM subscriber").fetchone())

    def test_add(self) -> None:
        """A user is stored with four hashes, lower-case domain, and no clear password, in a file that is made for it."""
        users.add_user(self.path, "alice", "Example.TEST", "secret")
        row = self.row()
        self.assertEqual((row["username"], row["domain"], row["password"]), ("alice", "example.test", ""))
        self.assertEqual(row["ha1"], md5(b"alice:example.test:secret").hexdigest())
        self.assertEqual(row["ha1b"], md5(b"alice@example.test:example.test:secret").hexdigest())
        self.assertEqual(row["ha1_sha256"], sha256(b"alice:example.test:secret").hexdigest())
        self.assertEqual(row["ha1b_sha256"], sha256(b"alice@example.test:example.test:secret").hexdigest())
        for file in Path(self.path).parent.iterdir():
            self.assertNotIn(b"secret", file.read_bytes())

    def test_keep_password(self) -> None:
        """The clear password is stored when somebody asks for it, and goes with the next change unless asked for again."""
        users.add_user(self.path, "alice", "example.test", "secret", keep_password=True)
        self.assertEqual(self.row()["password"], "secret")
        users.set_password(self.path, "alice", "example.test", "other")
        self.assertEqual(self.row()["password"], "")

    def test_add_twice(self) -> None:
        """Adding a user that exists is refused and changes nothing."""
        users.add_user(self.path, "alice", "example.test", "secret")
        before = self.row()
        fault = self.assertRaises(StorageError, users.add_user, self.path, "alice", "EXAMPLE.test", "other")
        self.assertIn("exists", str(fault))
        self.assertEqual(self.row(), before)

    def test_same_name_in_two_domains(self) -> None:
        """Users of different domains have nothing to do with each other."""
        users.add_user(self.path, "alice", "a.test", "one")
        users.add_user(self.path, "alice", "b.test", "two")
        users.remove_user(self.path, "alice", "a.test")
        self.assertEqual([user.domain for user in users.list_users(self.path)], ["b.test"])

    def test_set_password(self) -> None:
        """A new password replaces every hash."""
        users.add_user(self.path, "alice", "example.test", "one")
        before = self.row()
        users.set_password(self.path, "alice", "Example.test", "two")
        after = self.row()
        for column in ("ha1", "ha1b", "ha1_sha256", "ha1b_sha256"):
            self.assertNotEqual(before[column], after[column])

    def test_nobody(self) -> None:
        """Changing or removing a user that isn't there is named."""
        for fault in (
            self.assertRaises(StorageError, users.set_password, self.path, "bob", "example.test", "x"),
            self.assertRaises(StorageError, users.remove_user, self.path, "bob", "example.test"),
        ):
            self.assertIn("no user bob@example.test", str(fault))

    def test_remove(self) -> None:
        """A removed user is gone."""
        users.add_user(self.path, "alice", "example.test", "secret")
        users.remove_user(self.path, "alice", "EXAMPLE.test")
        self.assertEqual(users.list_users(self.path), [])

    def test_list(self) -> None:
        """Lists are sorted, can be of one domain, tell the algorithms that serve a user, and hold no hash."""
        users.add_user(self.path, "bob", "b.test", "secret")
        users.add_user(self.path, "alice", "b.test", "secret")
        users.add_user(self.path, "eve", "a.test", "secret", keep_password=True)
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("UPDATE subscriber SET ha1_sha256 = '' WHERE username IN ('bob', 'eve')")
            connection.commit()
        self.assertEqual(
            users.list_users(self.path),
            [
                User("eve", "a.test", extra={"algorithms": "SHA-256 MD5"}),
                User("alice", "b.test", extra={"algorithms": "SHA-256 MD5"}),
                User("bob", "b.test", extra={"algorithms": "MD5"}),
            ],
        )
        self.assertEqual([user.username for user in users.list_users(self.path, "B.test")], ["alice", "bob"])

    def test_bad_names(self) -> None:
        """Names that would break a quoted string, a URI or the hash are refused before anything is stored."""
        for name in ("", "a" * 65, 'a"b', "a\\b", "a:b", "a@b", "a b", "a\tb", "a\n", "\udc80", "a%41", "<a>", "a;b", "a?b"):
            self.assertRaises(StorageError, users.add_user, self.path, name, "example.test", "secret")
        for domain in ("", "a b", "exa mple", "a/b", '"', "-a.test", "a.test:5060", "é.test", "a" * 256, "[zz]"):
            self.assertRaises(StorageError, users.add_user, self.path, "alice", domain, "secret")
        for password in ("", "a\nb", "a\x00", "x" * 257, "\udc80"):
            self.assertRaises(StorageError, users.add_user, self.path, "alice", "example.test", password)
        self.assertFalse(os.path.exists(self.path))

    def test_good_names(self) -> None:
        """Names of phones and people are taken."""
        for name in ("alice", "+441632960123", "bob.smith-1_2", "zoë", "*43", "#1", "a+b"):
            for domain in ("example.test", "127.0.0.1", "[2001:db8::1]", "localhost", "_x.test"):
                users.add_user(self.path, name, domain, 'pass word: é"\\')
        self.assertEqual(len(users.list_users(self.path)), 35)

    def test_split_user(self) -> None:
        """``user@domain`` is read as people write it."""
        self.assertEqual(users.split_user("alice@Example.test"), ("alice", "example.test"))
        self.assertEqual(users.split_user("sip:alice@example.test"), ("alice", "example.test"))
        for text in ("alice", "@example.test", "alice@", "a@b@c"):
            self.assertRaises(StorageError, users.split_user, text)
