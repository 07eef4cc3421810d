"""What a check finds beside single settings: many faults at once, the script, ports, the store, certificates, other people's eyes."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode import cli, config
from sipnode.check.findings import Findings
from sipnode.check.run import check
from sipnode.check.secrets import secret_keys
from sipnode.errors import StorageError
from sipnode.settings import Settings, StorageSettings
from sipnode.storage import users
from sipnode.storage.initialize import init_database
from sipnode.storage.look import look

from ..live.support.site import HOST, free_port
from ..transport.certificates import make


class FolderCase(SynchronousTestCase):
    """A conf folder whose ports are free."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sipnode-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = self.folder / config.FILE_NAME
        self.port = free_port(socket.SOCK_STREAM, socket.SOCK_DGRAM)

    def found(self, text: str, now: float = 0.0) -> Findings:
        """What a check says; the folder is as it was before, but for the file."""
        self.file.write_text(text)
        before = {path: path.stat().st_mtime_ns for path in self.folder.rglob("*")}
        clock = Clock()
        clock.advance(now or time.time())
        findings = check(str(self.folder), clock)
        self.assertEqual({path: path.stat().st_mtime_ns for path in self.folder.rglob("*")}, before)
        self.assertEqual(clock.getDelayedCalls(), [])
        return findings

    def places(self, errors: list[str]) -> list[str]:
        """``LINE: KEY`` of each."""
        return [":".join(error.removeprefix(f"{self.file}:").split(":")[:2]) for error in errors]

    def base(self, *lines: str) -> str:
        """A file with one listener, and these lines."""
        return "\n".join(["[core]", f'listen = ["udp:{HOST}:{self.port}", "tcp:{HOST}:{self.port}"]', *lines]) + "\n"


class ManyFaultsTests(FolderCase):
    """All of them in one run."""

    def test_rooms(self) -> None:
        """Unknown names, wrong types, and what rooms refuse are all said, each with its line; two wrong items of a list too."""
        text = self.base(
            'nonsense = 1', '[media]', 'nodes = ["x", "127.0.0.1:2223", "y:0"]', '[auth]', 'trusted = ["10.0.0.1/8"]',
            'cache_seconds = "x"', '[routing]', 'script = "gone.Script"', 'stages = ["gone"]', '[rpc]', 'plugins = ["gone"]',
            'allow = ["10.0.0.1/8"]',
            '[metrics]', 'allow = ["10.0.0.1/8"]',
            '[storage]', 'url = "oracle:x"', '[lokation]', 'a = 1',
        )  # fmt: skip
        places = self.places(self.found(text).errors)
        self.assertEqual(
            sorted(places),
            sorted([
                "3: core.nonsense", "5: media.nodes", "5: media.nodes", "7: auth.trusted", "8: auth.cache_seconds", "10: routing.script",
                "11: routing.stages", "13: rpc.plugins", "14: rpc.allow", "16: metrics.allow", "18: storage.url", "19: lokation",
            ]),
        )  # fmt: skip

    def test_not_toml(self) -> None:
        """A file that is no TOML, or has a setting twice, has that fault alone."""
        self.assertEqual(len(self.found("[core\n").errors), 1)
        (text,) = self.found('[core]\ndomains = []\ndomains = ["x y"]\n[media]\nnodes = ["x"]\n').errors
        self.assertIn(":3: core.domains: stands twice", text)

    def test_environment(self) -> None:
        """A variable that is no setting, or whose value a room refuses, is told by its name; the rest of the check goes on."""
        variables = {"SIPNODE_CORE__DOMANS": "[]", "SIPNODE_MEDIA__NODES": '["nowhere"]'}
        self.patch(os, "environ", {**os.environ, **variables})
        found = self.found(self.base("nonsense = 1")).errors
        self.assertEqual(len(found), 3)
        self.assertTrue(found[1].startswith("SIPNODE_CORE__DOMANS: there is no setting of this name"), found)
        self.assertTrue(found[2].startswith("SIPNODE_MEDIA__NODES: media.nodes: 'nowhere' isn't 'HOST:PORT"), found)

    def test_script(self) -> None:
        """A script that can't be imported is told with its own words, one without the class too."""
        (self.folder / "site.py").write_text("def x(:\n")
        error, = self.found(self.base("[routing]", 'script = "site.Script"')).errors
        self.assertIn("SyntaxError", error)
        (self.folder / "site.py").write_text("import no_such_module_at_all\n")
        error, = self.found(self.base("[routing]", 'script = "site.Script"')).errors
        self.assertIn("no_such_module_at_all", error)
        (self.folder / "site.py").write_text("class Script: pass\n")
        error, = self.found(self.base("[routing]", 'script = "site.Script"')).errors
        self.assertIn("derives from RoutingScript", error)

    def test_tls(self) -> None:
        """A certificate that can't be read is named with tls.cfg's own line; the rest is looked at without it."""
        (self.folder / "tls.cfg").write_text("[server:default]\ncertificate = gone.pem\nprivate_key = gone.pem\n")
        text = self.base("[tls]", 'config = "tls.cfg"', "[media]", 'nodes = ["x"]').replace("tcp:", "tls:")
        errors = self.found(text).errors
        self.assertEqual(len(errors), 2)
        self.assertTrue(errors[0].startswith(f"{self.folder}/tls.cfg:2: [server:default] certificate: "), errors)
        self.assertIn("media.nodes", errors[1])


class CommandTests(FolderCase):
    """``sipnode check`` as a program sees it."""

    def test_status(self) -> None:
        """0 when a start would go well, whatever is to be warned of; 1 when it wouldn't."""
        out, err = [], []
        self.patch(sys, "stdout", Taker(out))
        self.patch(sys, "stderr", Taker(err))
        self.file.write_text(self.base())
        self.assertEqual(cli.main(["check", "-c", str(self.folder)]), 0)
        self.assertEqual("".join(out), f"{self.file}: right\n")
        self.assertIn("warning: ", "".join(err))
        self.file.write_text(self.base("x = 1"))
        self.assertEqual(cli.main(["check", "-c", str(self.file)]), 1)
        self.assertIn(f"{self.file}:3: core.x: ", "".join(err))


class PortTests(FolderCase):
    """Who has the ports."""

    def test_taken(self) -> None:
        """A port of somebody else is named with its owner, UDP and TCP apart."""
        for kind, name in ((socket.SOCK_DGRAM, "udp"), (socket.SOCK_STREAM, "tcp")):
            with socket.socket(socket.AF_INET, kind) as sock:
                sock.bind((HOST, self.port))
                if kind is socket.SOCK_STREAM:
                    sock.listen()
                error, = self.found(self.base()).errors
                self.assertIn(f": core.listen: {name}:{HOST}:{self.port}: {HOST}:{self.port} is taken by ", error)
                self.assertIn(f"(pid {os.getpid()})", error)
        self.assertEqual(self.found(self.base()).errors, [])

    def test_foreign_address(self) -> None:
        """An address that this machine doesn't have."""
        error, = self.found(self.base().replace(f"udp:{HOST}", "udp:192.0.2.77")).errors
        self.assertIn("192.0.2.77 is not an address of this machine", error)

    def test_twice(self) -> None:
        """Two settings that want one port are told, WebSocket and TCP on one port are not."""
        text = self.base("[rpc]", f'listen = "{HOST}:{self.port}"')
        error, = self.found(text).errors
        self.assertIn(f"rpc.listen: {HOST}:{self.port} is that of core.listen already", error)
        self.assertEqual(self.found(self.base().replace("udp:", "ws:")).errors, [])

    def test_running(self) -> None:
        """The ports of a server that runs with this very configuration are its own: a warning."""
        with socket.socket(socket.AF_UNIX) as rpc, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            rpc.bind(str(self.folder / "rpc.sock"))
            rpc.listen()
            sock.bind((HOST, self.port))
            findings = self.found(self.base())
        self.assertEqual(findings.errors, [])
        self.assertTrue(any("is taken by" in text for text in findings.warnings))
        self.assertTrue(any("a server runs with this configuration" in text for text in findings.warnings))


class StateTests(FolderCase):
    """The folder and the store."""

    def test_domains(self) -> None:
        """No domain, and users of a domain that isn't ours, are warnings that say what to write."""
        self.assertTrue(any(": core.domains: is empty, and so nobody can register" in text for text in self.found(self.base()).warnings))
        users.add_user(str(self.folder / "sipnode.sqlite"), "alice", "a.test", "secret")
        text, = self.found(self.base('domains = ["b.test"]', "[limits]", "connections = 100")).warnings
        self.assertIn('core.domains: users of a.test can\'t register, as it has no a.test; write domains = ["b.test", "a.test"]', text)
        self.assertEqual(self.found(self.base('domains = ["b.test", "A.test"]', "[limits]", "connections = 100")).warnings, [])

    def test_console(self) -> None:
        """A console that nobody can use, or that has nothing to show, is told with what to do."""
        lines = ['domains = ["b.test"]', "[console]", "enabled = true"]
        said = [text.partition(": ")[2] for text in self.found(self.base(*lines)).warnings if "console" in text]
        self.assertEqual([text.partition(":")[0] for text in said], ["console.users", "console.enabled", "console.enabled"], said)
        self.assertIn("sipnode console-password", said[0])
        said = self.found(self.base(*lines, 'users = ["bob@c.test viewer"]', "[recorder]", "enabled = true")).warnings
        self.assertTrue(any("bob@c.test can't sign in: c.test is none of [core] domains" in text for text in said), said)

    def test_store(self) -> None:
        """No file is a warning; another program's and a newer one are faults; one of ours is nothing."""
        self.assertTrue(any("nobody can sign in" in text for text in self.found(self.base()).warnings))
        path = self.folder / "sipnode.sqlite"
        users.add_user(str(path), "alice", "a.test", "secret")
        findings = self.found(self.base('domains = ["a.test"]', "[limits]", "connections = 100"))
        self.assertEqual((findings.errors, findings.warnings), ([], []))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 99")
        error, = self.found(self.base()).errors
        self.assertIn("newer sipnode", error)
        self.assertIn(": storage.url: ", error)
        path.unlink()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE mine (x)")
            connection.commit()
        self.assertIn("another program", self.found(self.base()).errors[0])

    def test_descriptors(self) -> None:
        """More connections than the process may have descriptors for are a warning that says how many would do."""
        warnings = self.found(self.base("[limits]", "connections = 1100000")).warnings
        self.assertTrue(any("limits.connections" in text and "file descriptors" in text for text in warnings), warnings)

    def test_upgrade(self) -> None:
        """A file of an older release is told to be upgraded, and isn't."""
        path = self.folder / "old.sqlite"
        script = (Path(config.__file__).parent / "storage" / "schema" / "sipnode-v1.sql").read_text()
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(script)
            connection.execute(f"PRAGMA application_id = {0x5349506E}")
            connection.execute("PRAGMA user_version = 1")
            connection.commit()
        before = path.read_bytes()
        self.assertIn("has schema 1; a start upgrades it", look("sqlite:old.sqlite", str(self.folder))[0])
        self.assertEqual(path.read_bytes(), before)
        init_database("sqlite:old.sqlite", str(self.folder))
        self.assertEqual(look("sqlite:old.sqlite", str(self.folder)), [])

    def test_broken_file(self) -> None:
        """Rubbish in the store's place."""
        (self.folder / "x.sqlite").write_bytes(b"rubbish" * 1000)
        self.assertRaises(StorageError, look, "sqlite:x.sqlite", str(self.folder))
        self.assertEqual(look("memory:", ""), ["everything is forgotten when the server stops"])

    def test_secrets(self) -> None:
        """Secret files that others can read are warned of; a secret of another length is a fault."""
        secret = self.folder / "secret"
        secret.write_bytes(b"x" * 32)
        secret.chmod(0o644)
        self.assertTrue(any("can be read by others (mode 644)" in text for text in self.found(self.base()).warnings))
        secret.write_bytes(b"x")
        secret.chmod(0o600)
        error, = self.found(self.base()).errors
        self.assertTrue(error.startswith(f"{secret}: the server's secret has 1 octets"), error)

    def test_names_each_secret(self) -> None:
        """Whatever file holds a secret is named with its mode, and what the secret is; made private, nothing is said."""
        users.add_user(str(self.folder / "sipnode.sqlite"), "alice", "a.test", "secret")
        make("a.test").save(str(self.folder), "own")
        (self.folder / "tls.cfg").write_text("[server:default]\ncertificate = own-cert.pem\nprivate_key = own-key.pem\n")
        for name in ("rpc.token", "manhole_host_key"):
            (self.folder / name).write_bytes(b"x")
        (self.folder / "sipnode.sqlite-journal").write_bytes(b"")
        text = self.base('domains = ["a.test"]', "[limits]", "connections = 100", "[tls]", 'config = "tls.cfg"')
        text += f'[metrics]\ntoken = "{"m" * 32}"\n[rpc]\ntoken = "{"r" * 32}"\n'
        named = {
            "rpc.token": "a start makes it private", "manhole_host_key": "a start makes it private",
            "sipnode.sqlite": "it has the users' passwords", "sipnode.sqlite-journal": "it has the users' passwords",
            "own-key.pem": "it is a private key",
            config.FILE_NAME: "it has rpc.token, metrics.token",
        }  # fmt: skip
        self.file.write_text(text)
        for mode in (0o644, 0o604, 0o660):
            for name in named:
                (self.folder / name).chmod(mode)
            warnings = self.found(text.replace("tcp:", "tls:")).warnings
            for name, what in named.items():
                given = name in ("own-key.pem", config.FILE_NAME)
                words = f"(mode {mode:o})" + ("" if given and mode == 0o660 else f"; {what}")
                self.assertTrue(any(one.startswith(f"{self.folder / name}: ") and words in one for one in warnings), (name, warnings))
        for name in named:
            (self.folder / name).chmod(0o640 if name in ("own-key.pem", config.FILE_NAME) else 0o600)
        self.assertEqual(self.found(text.replace("tcp:", "tls:")).warnings, [])

    def test_passwords_of_a_store(self) -> None:
        """The address of a store is a secret when it has a password in it, however it is written."""
        for url, secret in (
            ("sqlite:a.sqlite", False), ("postgres://sip@db/sip", False), ("postgres:///sip?host=/run", False),
            ("postgres://sip:pw@db/sip", True), ("postgres://db/sip?user=a&password=pw", True),
        ):  # fmt: skip
            settings = Settings(storage=StorageSettings(url=url))
            self.assertEqual(secret_keys(settings), ["storage.url"] if secret else [], url)

    def test_changed_by_others(self) -> None:
        """What the server runs and everybody can change is named: configuration, script, folders; a folder as /tmp isn't."""
        users.add_user(str(self.folder / "sipnode.sqlite"), "alice", "a.test", "secret")
        script = self.folder / "site_of_ours.py"
        script.write_text("from sipnode.routing import RoutingScript\n\n\nclass Script(RoutingScript):\n    pass\n")
        text = self.base('domains = ["a.test"]', "[limits]", "connections = 100", "[routing]", 'script = "site_of_ours.Script"')
        self.file.write_text(text)
        for path in (self.file, script, self.folder):
            before = path.stat().st_mode
            path.chmod(before | 0o002)
            warning, = [one for one in self.found(text).warnings if "changed by everybody" in one]
            self.assertTrue(warning.startswith(f"{path}: "), warning)
            path.chmod(before)
        self.folder.chmod(0o1777)
        self.assertEqual(self.found(text).warnings, [])

    def test_state_dir(self) -> None:
        """A state folder that isn't there yet is fine and isn't made."""
        findings = self.found(self.base('state_dir = "a/b"'))
        self.assertEqual(findings.errors, [])
        self.assertFalse((self.folder / "a").exists())


class CertificateTests(FolderCase):
    """What will end."""

    def test_expiry(self) -> None:
        """A certificate that ends soon, or has ended, is a warning with its file."""
        make("a.test").save(str(self.folder), "own")
        (self.folder / "tls.cfg").write_text("[server:default]\ncertificate = own-cert.pem\nprivate_key = own-key.pem\n")
        text = self.base("[tls]", 'config = "tls.cfg"').replace("tcp:", "tls:")

        def said(days: float) -> tuple[list[str], str]:
            findings = self.found(text, time.time() + days * 86400)
            return findings.errors, " ".join(one for one in findings.warnings if "own-cert.pem" in one)

        self.assertEqual(said(1), ([], ""))
        self.assertIn("expires in", said(25)[1])
        self.assertIn("has expired", said(40)[1])


class ShowTests(FolderCase):
    """``sipnode conf show``."""

    def shown(self, *arguments: str) -> tuple[int, str, str]:
        """Status, output and complaint."""
        out: list[str] = []
        err: list[str] = []
        self.patch(sys, "stdout", Taker(out))
        self.patch(sys, "stderr", Taker(err))
        return cli.main(["conf", "show", *arguments, "-c", str(self.folder)]), "".join(out), "".join(err)

    def test_every_setting(self) -> None:
        """Each has value, default, file and line or none, and meaning; a secret that is set reads so."""
        self.file.write_text("[storage]\n\nurl = 'sqlite:hidden'\n[core]\nmax_forwards = 9\n")
        status, out, _ = self.shown()
        self.assertEqual((status, out.count("\n    default ")), (0, config.render().partition("\n# [trunk")[0].count("\n# ")))
        self.assertIn(f"core.max_forwards = 9\n    default 70\n    {self.file}:5\n    Max-Forwards given to", out)
        self.assertIn(f'storage.url = "(set)"\n    default "sqlite:sipnode.sqlite"\n    {self.file}:3\n', out)
        self.assertIn('rpc.token = ""\n    default ""\n    not in the file\n', out)
        self.assertNotIn("hidden", out)

    def test_parts(self) -> None:
        """One, one section, or what the file gives; a name that isn't there is refused."""
        self.file.write_text("[core]\nmax_forwards = 70\n")
        self.assertEqual(self.shown("core.max_forwards")[1].count("\n    default "), 1)
        self.assertEqual(self.shown("metrics")[1].count("\n    default "), 5)
        # Given, if with the default's value.
        self.assertEqual(self.shown("--changed")[1].splitlines()[0], "core.max_forwards = 70")
        self.assertEqual(self.shown("core.nonsense")[::2][0], 1)
        self.file.write_text("[core]\nx = 1\n")
        status, _, complaint = self.shown()
        self.assertEqual((status, "core.x" in complaint), (1, True))


class Taker:
    """Takes what is printed."""

    def __init__(self, into: list[str]) -> None:
        self._into = into

    def write(self, text: str) -> Any:
        """File's name."""
        self._into.append(text)

    def flush(self) -> None:
        """File's name."""
