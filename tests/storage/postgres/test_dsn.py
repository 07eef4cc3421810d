from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.storage.postgres.dsn import parse


class DsnTests(SynchronousTestCase):
    """From URL to the parameters of libpq."""

    def test_host(self) -> None:
        """Parts are decoded, a host name is kept to be resolved, and no word for people holds the password."""
        dsn = parse("//al%40ice:p%2Fw@db.example.test:5433/sip?sslmode=require")
        wanted = {"user": "al@ice", "password": "p/w", "host": "db.example.test", "port": 5433, "dbname": "sip", "sslmode": "require"}
        self.assertEqual({name: dsn.parameters[name] for name in wanted}, wanted)
        self.assertEqual(dsn.host, "db.example.test")
        self.assertNotIn("p/w", dsn.place + repr(dsn))

    def test_socket(self) -> None:
        """A path of a socket isn't resolved."""
        dsn = parse("///sip?host=/run/postgresql")
        self.assertEqual((dsn.host, dsn.parameters["host"]), ("", "/run/postgresql"))

    def test_zone(self) -> None:
        """The time zone of the table is that of this machine, or the one that is named."""
        self.patch_environment("Europe/Berlin")
        self.assertIn("timezone=Europe/Berlin ", parse("//h/d").parameters["options"])
        self.assertIn("timezone=UTC ", parse("//h/d?timezone=UTC").parameters["options"])
        self.patch_environment("x; y")
        self.assertIn("timezone=UTC ", parse("//h/d").parameters["options"])

    def patch_environment(self, zone: str) -> None:
        self.patch(os, "environ", {**os.environ, "TZ": zone})

    def test_refused(self) -> None:
        """What can't be is refused without its password."""
        broken = ("", "/d", "//h", "//u:hush@h:x/d", "//u:hush@h/d/e", "//u:hush@h/d?options=x", "//h/d?a b=1", "//h/d?timezone=a b")
        for rest in broken:
            fault = self.assertRaises(ConfigError, parse, rest)
            self.assertEqual(fault.key, "storage.url")
            self.assertNotIn("hush", str(fault))
