"""``sipnode doctor``: each of many broken set-ups is found with its own line, and a good one has none."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import ssl
import tempfile
import threading
import time
import zoneinfo
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from sipnode import cli
from sipnode.check import asking, diagnosis
from sipnode.check.diagnosis import diagnose
from sipnode.check.findings import Findings
from sipnode.check.health import database, host, place, reach, shown
from sipnode.check.health.lines import Line, clean
from sipnode.check.health.names import addresses_of, check_names
from sipnode.check.health.place import check_places, seen_by
from sipnode.check.health.reach import check_listeners
from sipnode.check.health.shown import check_certificates
from sipnode.errors import ConfigError
from sipnode.settings import CoreSettings
from sipnode.storage import users
from sipnode.storage.initialize import init_database
from sipnode.transport.listen import ListenSpec, parse_listen
from sipnode.transport.stun import binding_response

from ..live.support.site import HOST, free_port
from ..transport.certificates import make
from .test_asking import AskingCase

Records = dict[tuple[str, int], list[Any]]
OPTIONS = b"SIP/2.0 200 OK\r\nServer: sipnode\r\nContent-Length: 0\r\n\r\n"


def wrong(lines: Iterable[Line]) -> list[str]:
    """What is wrong; each has something to type."""
    return [line.value for line in lines if not line.ok]


class DnsTests(SynchronousTestCase):
    """Names, with records in memory."""

    GOOD: Records = {
        ("example.com", dns.NAPTR): [dns.Record_NAPTR(1, 1, b"s", b"SIP+D2U", b"", b"_sip._udp.example.com")],
        ("_sip._udp.example.com", dns.SRV): [dns.Record_SRV(1, 1, 5060, b"sip.example.com")],
        ("sip.example.com", dns.A): [dns.Record_A("198.51.100.1")],
    }
    SPECS = (parse_listen("udp:198.51.100.1:5060"),)

    def said(self, **changes: list[Any] | None) -> list[Line]:
        """Lines with some records changed: naptr, srv, a; None for silence."""
        names = {"naptr": ("example.com", dns.NAPTR), "srv": ("_sip._udp.example.com", dns.SRV), "a": ("sip.example.com", dns.A)}
        records: dict[tuple[str, int], list[Any] | None] = {**self.GOOD, **{names[key]: value for key, value in changes.items()}}

        def ask(name: str, kind: int) -> list[Any] | None:
            found = records.get((name, kind), [])
            return None if found is None else [dns.RRHeader(name, kind, payload=each) for each in found]

        return list(check_names(["example.com", "pbx.test", "198.51.100.1"], self.SPECS, addresses_of(self.SPECS, (), ask), ask))

    def test_good(self) -> None:
        """One line, with what was found; names that DNS can't know have none."""
        (line,) = self.said()
        self.assertEqual((line.ok, line.value), (True, "example.com: NAPTR _sip._udp.example.com, SRV _sip._udp sip.example.com:5060"))

    def test_address_only(self) -> None:
        """No SRV is needed where the domain has an address of ours."""
        found = {("example.com", dns.A): [dns.Record_A("198.51.100.1")]}

        def ask(name: str, kind: int) -> list[Any]:
            return [dns.RRHeader(name, kind, payload=one) for one in found.get((name, kind), [])]

        self.assertEqual(wrong(check_names(["example.com"], self.SPECS, {"198.51.100.1"}, ask)), [])

    def test_silent(self) -> None:
        """1: DNS doesn't answer."""
        self.assertIn("answers", wrong(self.said(srv=None))[0])

    def test_nothing(self) -> None:
        """2: neither SRV nor address."""
        self.assertEqual(wrong(self.said(srv=[], naptr=[])), ["example.com has neither SRV records nor an address"])

    def test_target(self) -> None:
        """3: an SRV target without an address."""
        self.assertEqual(wrong(self.said(a=[])), ["SRV _sip._udp.example.com names sip.example.com:5060, which has no address"])

    def test_port(self) -> None:
        """4: an SRV port that nobody listens on."""
        (text,) = wrong(self.said(srv=[dns.Record_SRV(1, 1, 5070, b"sip.example.com")]))
        self.assertIn("5070, and this server has UDP at 5060", text)

    def test_elsewhere(self) -> None:
        """5: a target that is another machine."""
        self.assertEqual(
            wrong(self.said(a=[dns.Record_A("203.0.113.9")])), ["sip.example.com is 203.0.113.9, and this server is 198.51.100.1"]
        )

    def test_naptr(self) -> None:
        """6: a NAPTR that leads nowhere."""
        lost = [dns.Record_NAPTR(1, 1, b"s", b"SIP+D2T", b"", b"_sip._tcp.example.com")]
        self.assertEqual(wrong(self.said(naptr=lost)), ["NAPTR of example.com names _sip._tcp.example.com, which has no SRV record"])


class CertificateTests(SynchronousTestCase):
    """Certificates, with an authority of the test's own in the place of the machine's."""

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.root = make("root", authority=True)
        self.root.save(self.folder, "root")
        self.middle = make("middle", issuer=self.root, authority=True)
        self.middle.save(self.folder, "middle")
        make("x", ("sip.example.com",), self.root).save(self.folder, "good")
        self.patch(shown, "browser_context", lambda: ssl.create_default_context(cafile=f"{self.folder}/root-cert.pem"))

    def said(self, cert: str = "good", key: str = "", name: str = "sip.example.com", days: float = 0) -> list[Line]:
        """Lines about one listener."""
        file = Path(self.folder) / "tls.cfg"
        file.write_text(f"[server:default]\ncertificate = {cert}-cert.pem\nprivate_key = {key or cert}-key.pem\n")
        specs = [parse_listen(f"wss:198.51.100.1:443 advertise {name}")]
        return list(check_certificates(str(file), specs, ["example.com"], time.time() + days * 86400))

    def test_good(self) -> None:
        """Chain, name and days are right."""
        (line,) = self.said()
        self.assertTrue(line.ok and line.value.endswith("trusted, 29 days left"), line)

    def test_whole_chain(self) -> None:
        """With its intermediate beside it, one that was signed by that is good too."""
        make("x", ("sip.example.com",), self.middle).save(self.folder, "leaf")
        self.assertIn("issuer", wrong(self.said("leaf"))[0].lower())
        leaf = Path(self.folder) / "leaf-cert.pem"
        leaf.write_text(leaf.read_text() + (Path(self.folder) / "middle-cert.pem").read_text())
        self.assertEqual(wrong(self.said("leaf")), [])

    def test_self_signed(self) -> None:
        """7: self-signed."""
        make("x", ("sip.example.com",)).save(self.folder, "own")
        self.assertIn("self", wrong(self.said("own"))[0].lower())

    def test_name(self) -> None:
        """8: made for another name."""
        self.assertIn("Hostname mismatch", wrong(self.said(name="www.example.com"))[0])

    def test_ended(self) -> None:
        """9: it has ended; 10: it does soon."""
        self.assertIn("ended 10 days ago", wrong(self.said(days=40))[0])
        self.assertIn("ends in 9 days", wrong(self.said(days=20))[0])

    def test_not_yet(self) -> None:
        """11: it hasn't begun, by our clock."""
        self.assertIn("begins on", wrong(self.said(days=-400))[0])

    def test_key(self) -> None:
        """12: the key of another; 13: no file."""
        self.assertIn("isn't that of the certificate", wrong(self.said(key="root"))[0])
        self.assertIn("can't be read", wrong(self.said("gone"))[0])


class PlaceTests(AskingCase):
    """Advertised addresses."""

    def lines(self, line: str, seen: str = "", **names: set[str]) -> list[str]:
        """What is wrong with a listen line on a machine that has 10.0.0.5."""
        lines = check_places(
            [parse_listen(line)], ["10.0.0.5", "127.0.0.1"], seen, "conf", lambda name: names.get(name.partition(".")[0], set())
        )
        return wrong(lines)

    def test_good(self) -> None:
        """Bound, advertised behind a NAT, a web server before a WebSocket, the host of a container."""
        for line in ("udp:10.0.0.5:5060", "udp:10.0.0.5:5060 advertise 203.0.113.1", "ws:127.0.0.1:80 advertise sip.example.com",
                     "udp:0.0.0.0:5060 advertise 192.168.1.9"):  # fmt: skip
            self.assertEqual(self.lines(line, sip={"203.0.113.1"}), [], line)
        self.assertEqual(self.lines("udp:10.0.0.5:5060 advertise 203.0.113.1", "203.0.113.1"), [])

    def test_wrong(self) -> None:
        """14: not of this machine; 15, 16: loopback bound or told for others; 17: a name without an address; 18: a multicast address."""
        self.assertIn("is no address of this machine", self.lines("udp:10.0.0.6:5060")[0])
        self.assertIn("nobody from outside arrives", self.lines("udp:127.0.0.1:5060 advertise 203.0.113.1")[0])
        self.assertIn("on their own machine", self.lines("udp:10.0.0.5:5060 advertise 127.0.0.1")[0])
        self.assertIn("gone.example.com has no address", self.lines("udp:10.0.0.5:5060 advertise gone.example.com")[0])
        self.assertIn("the address of no machine", self.lines("udp:10.0.0.5:5060 advertise 224.0.0.1")[0])

    def test_stun(self) -> None:
        """19: a STUN server sees another address; 20: a private one is told to others."""
        self.assertIn("others see this machine as 203.0.113.1", self.lines("udp:10.0.0.5:5060 advertise 203.0.113.2", "203.0.113.1")[0])
        self.assertIn("it is a private address", self.lines("udp:10.0.0.5:5060", "203.0.113.1")[0])

    def test_server(self) -> None:
        """A STUN server is asked; silence and nonsense say nothing."""
        self.patch(place, "WAITS", (30.0,))
        port = self.peer(lambda data: binding_response(data, ("203.0.113.1", 4711)))
        self.assertEqual(seen_by(f"stun:{HOST}:{port}"), "203.0.113.1")
        self.patch(place, "WAITS", (0.05,))
        silent, odd = self.peer(lambda data: b""), self.peer(lambda data: b"x")
        self.assertEqual(seen_by(f"{HOST}:{odd}"), "")
        self.assertEqual((seen_by(f"{HOST}:{silent}"), seen_by("no such host"), seen_by("")), ("", "", ""))


class ListenerTests(AskingCase):
    """Listeners, with sockets of loopback behind them."""

    def lines(self, line: str, running: bool = True, seconds: float = 30.0) -> list[Line]:
        """Of one listener."""
        self.patch(reach, "SECONDS", seconds)
        return list(check_listeners([parse_listen(line)], running, "sipnode", "sip.example.com", "conf"))

    def stream(self, answer: Callable[[bytes], bytes], context: ssl.SSLContext | None = None) -> int:
        """A TCP or TLS port that answers one connection's first words so."""
        listening = socket.create_server((HOST, 0))

        def serve() -> None:
            with listening, contextlib.suppress(OSError):
                sock, _ = listening.accept()
                with context.wrap_socket(sock, server_side=True) if context else sock as talk:
                    talk.sendall(answer(talk.recv(65536)))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 10)
        port: int = listening.getsockname()[1]
        return port

    def test_good(self) -> None:
        """Each transport answers: UDP, TCP, TLS, and WebSocket with our name as Host."""
        folder = self.mktemp()
        os.mkdir(folder)
        make("x", ("sip.example.com",)).save(folder, "x")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/x-cert.pem", f"{folder}/x-key.pem")

        def shake(data: bytes) -> bytes:
            return b"HTTP/1.1 101 Switching\r\n\r\n" if b"\r\nHost: sip.example.com\r\n" in data else b"HTTP/1.1 403 Forbidden\r\n\r\n"

        ports = {"udp": self.peer(lambda data: OPTIONS), "tcp": self.stream(lambda data: OPTIONS), "ws": self.stream(shake),
                 "tls": self.stream(lambda data: OPTIONS, context), "wss": self.stream(shake, context)}  # fmt: skip
        for transport, port in ports.items():
            self.assertEqual(wrong(self.lines(f"{transport}:{HOST}:{port}")), [], transport)

    def test_nobody(self) -> None:
        """21: no server runs; one that runs has lost a listener."""
        port = free_port(socket.SOCK_STREAM, socket.SOCK_DGRAM)
        (line,) = self.lines(f"tcp:{HOST}:{port}", running=False)
        self.assertEqual((line.value, line.remedy), (f"tcp:{HOST}:{port}: nobody listens", "twistd -n sipnode -c conf"))
        self.assertIn("though the server runs", wrong(self.lines(f"udp:{HOST}:{port}"))[0])

    def test_another_server(self) -> None:
        """22: Kamailio has our port; its process is named, or what it says."""
        port = self.peer(lambda data: OPTIONS.replace(b"sipnode", b"kamailio (5.6.3)"))
        (line,) = self.lines(f"udp:{HOST}:{port}", running=False)
        self.assertIn(f"(pid {os.getpid()}) (kamailio (5.6.3))", line.value)
        self.assertTrue(line.remedy.startswith(f"kill {os.getpid()}"), line)

    def test_silence(self) -> None:
        """23: a firewall drops what comes; a plain port where TLS should be; a web server in the place of a WebSocket."""
        self.assertIn("doesn't answer (silence)", wrong(self.lines(f"udp:{HOST}:{self.peer(lambda data: b'')}", seconds=0.2))[0])
        self.assertIn("(TLS: ", wrong(self.lines(f"tls:{HOST}:{self.stream(lambda data: OPTIONS)}"))[0])
        refused = self.stream(lambda data: b"HTTP/1.1 403 Forbidden\r\n\r\n")
        self.assertIn("403 Forbidden", wrong(self.lines(f"ws:{HOST}:{refused}"))[0])


class MachineTests(SynchronousTestCase):
    """Clock, zone, descriptors, buffers, database."""

    def test_clock(self) -> None:
        """24: nobody sets the clock; 25: it is years behind; 26: that of the database differs."""
        now = time.time()
        self.assertEqual([wrong(host.check_clock(now, synced)) for synced in (True, None)], [[], []])
        self.assertIn("not synchronized", wrong(host.check_clock(now, False))[0])
        self.assertIn("before this program was installed", wrong(host.check_clock(0.0, True))[0])
        self.assertIn("of the database is +60 s", wrong(database.drift(60.0))[0])
        self.assertEqual(wrong(database.drift(-0.5)), [])

    def test_zone(self) -> None:
        """27: a zone that isn't known; 28: /etc/localtime leads nowhere."""
        known = {"Europe/Berlin", ":Europe/Berlin"} if "Europe/Berlin" in zoneinfo.available_timezones() else set()
        for good in ("", "UTC", "CET-1CEST", *known):
            self.assertEqual(wrong(host.check_zone(good)), [], good)
        self.assertIn("isn't known here", wrong(host.check_zone("Europe/Berlyn"))[0])
        link = Path(self.mktemp())
        link.symlink_to("/no/such/zone")
        self.assertIn("leads to /no/such/zone", wrong(host.check_zone("", link))[0])

    def test_limits(self) -> None:
        """29: too few descriptors; 30: small kernel buffers."""
        self.assertEqual(wrong([*host.check_descriptors(20000, 1 << 20), *host.check_buffers(4096, 4096)]), [])
        self.assertIn("enough for 832 connections", wrong(host.check_descriptors(20000, 1024))[0])
        (line,) = host.check_buffers(4194304, 212992)
        self.assertEqual((line.ok, line.remedy), (False, "sysctl -w net.core.rmem_max=4194304"))
        self.assertGreater(host.granted(65536), 0)
        self.assertGreater(min(host.descriptors(os.getpid()), host.descriptors(0)), 16)

    def test_store(self) -> None:
        """31: no database yet; 32: a file that is none; a slow one."""
        folder = self.mktemp()
        os.mkdir(folder)
        self.assertIn("isn't there yet", wrong(database.check_store("sqlite:a.sqlite", folder, "conf"))[0])
        init_database("sqlite:a.sqlite", folder)
        users.add_user(f"{folder}/a.sqlite", "alice", "example.test", "pass")
        self.assertEqual(wrong(database.check_store("sqlite:a.sqlite", folder, "conf")), [])
        (Path(folder) / "b.sqlite").write_text("no database" * 100)
        self.assertEqual(len(wrong(database.check_store("sqlite:b.sqlite", folder, "conf"))), 1)
        self.patch(database, "SLOW", -1.0)
        self.assertIn("answers in", wrong(database.check_store("sqlite:a.sqlite", folder, "conf"))[0])

    def test_listen(self) -> None:
        """33: a pooler loses notifications."""
        self.patch(database, "NOTIFY_SECONDS", 0.0)
        pooler = _Session([])
        self.assertIn("LISTEN hears nothing", wrong([database.listens(pooler, "x")])[0])
        self.assertEqual(wrong([database.listens(_Session(["told"]), "x")]), [])
        self.assertEqual([words.partition(" ")[0] for words in pooler.said], ["LISTEN", "NOTIFY", "UNLISTEN"])


class _Session:
    """As much of a psycopg2 connection as LISTEN needs."""

    def __init__(self, notifies: list[str]) -> None:
        self.notifies = notifies
        self.said: list[str] = []

    @contextlib.contextmanager
    def cursor(self) -> Iterator[_Session]:
        """A cursor."""
        yield self

    def execute(self, words: str) -> None:
        """A statement."""
        self.said.append(words)

    def poll(self) -> None:
        """Read what came."""


class WholeTests(AskingCase):
    """All of it, as the command does it."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(tempfile.mkdtemp(prefix="sipnode-"))
        self.addCleanup(shutil.rmtree, self.folder)
        init_database("sqlite:sipnode.sqlite", str(self.folder))
        users.add_user(str(self.folder / "sipnode.sqlite"), "alice", "example.test", "pass")
        # This machine is what it is.
        self.patch(host, "synchronized", lambda: True)
        self.patch(host, "granted", lambda wanted: wanted)
        self.patch(host, "descriptors", lambda pid: 1 << 20)
        self.patch(diagnosis, "SECONDS", 60.0)
        self.patch(reach, "SECONDS", 30.0)

    def lines(self, port: int, *lines: str) -> list[Line]:
        """Of one listener and more lines."""
        text = "\n".join(["[core]", 'domains = ["example.test"]', f'listen = ["udp:{HOST}:{port}"]', *lines])
        (self.folder / "sipnode.toml").write_text(text + "\n")
        clock = Clock()
        clock.advance(time.time())
        return diagnose(str(self.folder), clock, servers=[])

    def test_good(self) -> None:
        """A good set-up has no ✘, and a line for each matter."""
        lines = self.lines(self.peer(lambda data: OPTIONS), "[web]", "softphone = false")
        self.assertEqual(wrong(lines), [])
        matters = [line.matter for line in lines]
        self.assertEqual(
            list(dict.fromkeys(matters)),
            ["configuration", "address", "listener", "database", "clock", "time zone", "descriptors", "buffers"],
        )

    def test_configuration(self) -> None:
        """A setting that isn't one opens the editor at its line; what it is about isn't judged by the default in its place."""
        lines = self.lines(self.peer(lambda data: OPTIONS), 'max_forwards = "x"', "[web]", "softphone = false")
        (line,) = (line for line in lines if not line.ok)
        self.assertEqual((line.matter, line.remedy), ("configuration", f"editor +4 {self.folder}/sipnode.toml"))
        (self.folder / "sipnode.toml").write_text("[core\n")
        self.assertEqual([(line.matter, line.ok) for line in diagnose(str(self.folder), Clock())], [("configuration", False)])

    def test_auto(self) -> None:
        """An address that is found at the start is found here too; where it can't be, the start would end, and that is said."""
        text = f'[core]\nlisten = ["udp:0.0.0.0:{self.peer(lambda data: OPTIONS)}"]\nadvertise = "auto"\n'
        (self.folder / "sipnode.toml").write_text(text)

        def away(core: CoreSettings) -> list[ListenSpec]:
            raise ConfigError("nobody knows our address")

        self.patch(diagnosis, "advertised", away)
        self.patch(diagnosis, "check", lambda *arguments, **words: Findings("sipnode.toml"))
        said = [line.value for line in diagnose(str(self.folder), Clock(), servers=[]) if line.matter == "address"]
        self.assertEqual(said, ["the server won't start: nobody knows our address"])

    def test_relay(self) -> None:
        """An rtpengine that isn't there is told in the words of ``doctor media``."""
        port = free_port(socket.SOCK_DGRAM)
        lines = self.lines(self.peer(lambda data: OPTIONS), "[web]", "softphone = false", "[media]", f'nodes = ["{HOST}:{port}"]')
        self.assertEqual({line.matter for line in lines if not line.ok}, {"rtpengine"})

    def test_command(self) -> None:
        """Words or JSON, and the exit status."""
        self.lines(self.peer(lambda data: OPTIONS), "[web]", "softphone = false")
        self.patch(asking, "name_servers", list)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            self.assertEqual(cli.main(["doctor", "-c", str(self.folder), "--json"]), 0)
        self.assertEqual({(one["ok"], one["do"]) for one in json.loads(said.getvalue())}, {(True, "")})
        self.patch(host, "synchronized", lambda: False)
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            self.assertEqual(cli.main(["doctor", "-c", str(self.folder)]), 1)
        self.assertIn("not synchronized", told.getvalue())
        self.assertIn("    timedatectl set-ntp true", told.getvalue())
        with contextlib.redirect_stdout(told):
            self.assertEqual(cli.main(["doctor", "-c", str(self.folder), "media"]), 0)

    def test_late(self) -> None:
        """What takes too long is told of as such, and so is a check that fails; the others are there."""
        self.patch(diagnosis, "SECONDS", 0.2)
        held = threading.Event()
        self.addCleanup(held.set)
        self.patch(diagnosis, "check_store", lambda *arguments: iter(held.wait, True))
        self.patch(diagnosis, "check_places", lambda *arguments: 1 / 0)
        lines = self.lines(self.peer(lambda data: OPTIONS), "[web]", "softphone = false")
        found = {line.matter: line.value for line in lines if not line.ok}
        self.assertEqual(found["database"], "no answer in 0.2 s")
        self.assertIn("ZeroDivisionError", found["address"])

    def test_words_of_others(self) -> None:
        """What a stranger on our port says steers no terminal."""
        (line,) = clean([Line("listener", "x\x1b[2J\n" + "y" * 1000, "z")])
        self.assertEqual((line.value[:6], len(line.value)), ("x?[2J?", 300))

    def test_dns_over_udp(self) -> None:
        """Records are read of a real answer; one to another question is none."""

        def answer(data: bytes) -> bytes:
            message = dns.Message()
            message.fromStr(data)
            message.answer = 1
            message.answers = [dns.RRHeader(b"example.com", dns.A, payload=dns.Record_A("198.51.100.1"), ttl=5)]
            return message.toStr()

        port = self.peer(answer)
        found = asking.records(HOST, "example.com", dns.A, port)
        assert found is not None
        self.assertEqual([record.payload.dottedQuad() for record in found], ["198.51.100.1"])
        self.assertEqual(asking.records(HOST, "example.com", dns.SRV, port), [])
