"""Every setting wrong in turn: each is named with file, line and key, and the folder is as it was.

The settings come from the table of the server itself, so that one which is added has to be added here, or the test fails.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import tempfile
import typing
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode import config
from sipnode.check.run import check
from sipnode.settings import NAMED, sections

SENSELESS: dict[str, tuple[str, str]] = {
    "core.domains": ('["a b"]', ""),
    "core.listen": ('["xdp:127.0.0.1:1"]', ""),
    "core.stun_server": ('"a b"', ""),
    "core.server": (r'"a\r\nb"', ""),
    "core.state_dir": ('"sipnode.toml"', ""),
    "transport.hosts": ('["a/b"]', ""),
    "transport.origins": ('["nonsense"]', ""),
    "tls.config": ('"gone.cfg"', "TLS"),
    "routing.script": ('"gone.Script"', ""),
    "routing.stages": ('["gone"]', ""),
    "auth.md5_only": ('[""]', ""),
    "auth.sha256_agents": ('[""]', ""),
    "transport.proxies": ('["10.0.0.1/8"]', ""),
    "location.service_route": ('["sip:edge.example.com"]', ""),
    "nat.rules": ('["agent Phone: sometimes"]', ""),
    "auth.trusted": ('["10.0.0.1/8"]', ""),
    "auth.trusted_peers": ('["a b"]', ""),
    "auth.backend": ('"gone"', ""),
    "auth.backend_url": ('"https://users.test"', ""),
    "media.relay": ('"gone"', ""),
    "storage.url": ('"nonsense"', ""),
    "node.address": ('"127.0.0.1"', '[node]\nid = 1\nsecret = "0123456789abcdef0123456789abcdef"'),
    "edge.domains": ('["a b"]', ""),
    "edge.registrar": ('"192.0.2.5"', ""),
    "node.secret": ('"short"', '[node]\nid = 1\naddress = "127.0.0.1:PORT"'),
    "proxy.strangers": ('["in vite"]', ""),
    "proxy.destinations": ('["lan"]', ""),
    "media.nodes": ('["127.0.0.1"]', ""),
    "media.interfaces": ('["external quic"]', ""),
    "media.media_address": ('"here"', ""),
    "media.flags": ('"trust-adress"', ""),
    "presence.packages": ('["gone"]', ""),
    "web.ice_servers": ('["turn:example.com"]', ""),
    "rpc.socket": (f'"{"x" * 120}"', ""),
    "rpc.listen": ('"here:1"', ""),
    "rpc.allow": ('["10.0.0.1/8"]', ""),
    "rpc.token": ('"short"', ""),
    "rpc.plugins": ('["gone"]', ""),
    "defence.trusted": ('["everybody"]', ""),
    "defence.scanners": ('[" "]', ""),
    "metrics.allow": ('["10.0.0.1/8"]', ""),
    "metrics.token": ('"short"', ""),
    "metrics.listen": ('"8080"', ""),
    "trunk.one.domain": ('"a b"', ""),
    "trunk.one.address": ('"192.0.2.1:0"', ""),
    "trunk.one.sources": ('["10.0.0.1/8"]', ""),
    "trunk.one.domains": ('["a b"]', ""),
    "trunk.one.prefixes": ('["00 49"]', ""),
    "trunk.one.rewrite": ('["00"]', ""),
    "trunk.one.user": ('"a@b"', ""),
    "trunk.one.password": (r'"a\u0007b"', ""),
    "trunk.one.realm": (r'"a\u0007b"', ""),
    "trunk.one.incoming": ('"a b"', ""),
    "console.allow": ('["everybody"]', ""),
    "console.listen": ('"0.0.0.0:8090"', "[console]\nenabled = true"),
    "console.users": ('["root admin"]', ""),
    "otel.endpoint": ('"http://127.0.0.1:4318/v1/traces"', ""),
    "otel.header": ('"no header"', ""),
    "otel.service": ('" "', ""),
    "recorder.folder": ('"failed"', ""),
    "hep.receiver": ('"udp:homer.example.com:9060"', ""),
    "hep.key": (r'"a\u0007b"', ""),
    "turn.uris": ('["stun:example.com"]', ""),
    "turn.secret": ('"short"', ""),
    "acc.file": ('"gone/calls.json"', ""),
    "acc.webhook": ('"ftp://example.com"', ""),
    "acc.webhook_secret": (r'"a\u0007b"', ""),
    "manhole.listen": ('"0.0.0.0:5022"', ""),
    "manhole.authorized_keys": ('"gone"', '[manhole]\nlisten = "127.0.0.1:15997"'),
}
"""What is of the right type and can't be, and what has to stand beside it to be wrong."""
OF_ANOTHER_TYPE = {str: "5", bool: '"yes"', int: '"7"', float: '"7"'}


def every() -> typing.Iterator[tuple[str, dataclasses.Field[Any], Any]]:
    """Key, field and type of each setting."""
    for section, kind in {**sections(), **{f"{group}.one": kind for group, kind in NAMED.items()}}.items():
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            yield f"{section}.{field.name}", field, hints[field.name]


def wrongs(key: str, field: dataclasses.Field[Any], kind: Any) -> typing.Iterator[tuple[str, str]]:
    """Values that the setting can't have, with what stands beside them."""
    listed = typing.get_origin(kind) is tuple
    element = typing.get_args(kind)[0] if listed else kind
    if listed:
        yield "5", ""
        yield f"[{OF_ANOTHER_TYPE[element]}]", ""
    else:
        yield OF_ANOTHER_TYPE[element], ""
    low, high = field.metadata["minimum"], field.metadata["maximum"]
    if low is not None:
        yield str(low - 1), ""
    if high is not None:
        yield str(high + 1), ""
    if field.metadata["choices"]:
        wrong = "99" if element is int else '"nonsense"'
        yield f"[{wrong}]" if listed else wrong, ""
    if key in SENSELESS:
        yield SENSELESS[key]


def unasked_port() -> int:
    """A free port that the kernel gives to nobody meanwhile: below those that it picks by itself."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    for port in range(lowest - 1 - os.getpid() % 1000, 1024, -1):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


class EverySettingTests(SynchronousTestCase):
    """One fault each."""

    def setUp(self) -> None:
        # Not trial's own folder, whose name is too long for a UNIX socket.
        self.folder = Path(tempfile.mkdtemp(prefix="sipnode-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = self.folder / config.FILE_NAME
        self.port = unasked_port()

    def found(self, key: str, value: str, beside: str) -> tuple[str, list[str]]:
        """Where the setting stands, and every fault that was found."""
        section, _, name = key.rpartition(".")
        kind = "tls" if beside == "TLS" else "udp"
        lines = ["[core]", f'listen = ["{kind}:127.0.0.1:{self.port}"]']
        lines += beside.replace("TLS", "").replace("PORT", str(self.port)).splitlines()
        if key == "core.listen":
            del lines[1]
        if f"[{section}]" not in lines:
            lines += ["", f"[{section}]"]
        at = lines.index(f"[{section}]") + 1
        if section.startswith("trunk."):
            # One without either is at fault for that.
            lines.insert(at, 'address = "192.0.2.9"' if name == "domain" else 'domain = "provider.test"')
        lines.insert(at, f"{name} = {value}")
        self.file.write_text("\n".join(lines) + "\n")
        before = sorted(self.folder.iterdir())
        errors = check(str(self.folder), Clock()).errors
        self.assertEqual(sorted(self.folder.iterdir()), before)
        return f"{self.file}:{at + 1}: {key}: ", errors

    def test_each(self) -> None:
        """It is named with file, line and key, and nothing else is said to be wrong."""
        for key, field, kind in every():
            for value, beside in wrongs(key, field, kind):
                place, errors = self.found(key, value, beside)
                self.assertEqual([error.startswith(place) for error in errors], [True], f"{key} = {value}: {errors}")
                self.assertGreater(len(errors[0]), len(place) + 5)

    def test_texts_are_all_here(self) -> None:
        """Each setting that is free text has a value above that can't be."""
        texts = {key for key, field, kind in every() if kind in (str, tuple[str, ...]) and not field.metadata["choices"]}
        self.assertEqual(texts, set(SENSELESS))

    def test_secrets_arent_repeated(self) -> None:
        """What is wrong with a secret is said without it."""
        for key, field, _ in every():
            if field.metadata["secret"]:
                _, errors = self.found(key, r'"hunter2\u0007"', "")
                self.assertNotIn("hunter2", str(errors), key)
