"""TLS with peers that are not ours: ``openssl s_client`` and ``s_server``, and Kamailio."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet import reactor as _reactor
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from sipnode.errors import NoRoute
from sipnode.records import Hop
from sipnode.settings import CoreSettings, LimitSettings, Settings, TLSSettings, TransportSettings
from sipnode.transport.assembly import Transports, build_transports
from sipnode.transport.tls.config import load_tls_config

from ..transport.certificates import Pair, make, revocation_list
from ..transport.kit import OK, RecordingSink
from .support.site import missing
from .support.waiting import until

reactor: Any = _reactor
_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/bin"
SERVER = "[server:default]\ncertificate=server-cert.pem\nprivate_key=server-key.pem\n"
PROVEN = "verify_certificate=yes\nrequire_certificate=yes\nca_list=ca-cert.pem\n"
CLIENT = "[client:default]\nverify_certificate=yes\nca_list=ca-cert.pem\n"
OPTIONS = "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bK1\r\nContent-Length: 0\r\n\r\n"


class TlsCase(TestCase):
    """Transports of ours with a ``tls.cfg``, an authority, an intermediate one, and certificates of them."""

    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.authority = make("authority", authority=True)
        self.middle = make("middle", issuer=self.authority, authority=True)
        self.authority.save(str(self.folder), "ca")
        self.client = make("client", ("trunk.example.com",), self.authority)
        self.client.save(str(self.folder), "client")
        make("stranger", ("trunk.example.com",)).save(str(self.folder), "stranger")
        self.chained("server", ("sip.example.com", "127.0.0.1"))
        self.sink = RecordingSink()

        self.proved: list[tuple[str, ...]] = []

        def answer(data: bytes, flow: Any) -> None:
            self.proved.append(flow.peer_domains)
            flow.send(OK)
            if data.startswith(b"BYE"):
                flow.close("enough")

        self.sink.on_received = answer

    def chained(self, name: str, names: tuple[str, ...]) -> Pair:
        """A certificate of the intermediate authority, saved with the chain behind it."""
        pair = make(name, names, self.middle)
        pair.save(str(self.folder), name)
        with (self.folder / f"{name}-cert.pem").open("ab") as file:
            file.write(self.middle.certificate.public_bytes(Encoding.PEM))
        return pair

    def write(self, text: str) -> None:
        """``tls.cfg``."""
        (self.folder / "tls.cfg").write_text(text)

    def start(self, text: str, *lines: str, limits: LimitSettings | None = None, page: Any = None, **transport: Any) -> Transports:
        """Listening on loopback with that ``tls.cfg``."""
        self.write(text)
        settings = Settings(
            core=CoreSettings(listen=lines or ("tls:127.0.0.1:0",)),
            limits=limits or LimitSettings(),
            tls=TLSSettings(config="tls.cfg"),
            transport=TransportSettings(**transport),
        )
        made = build_transports(settings, self.sink, reactor, page, None, str(self.folder))
        for service in made.services:
            self.addCleanup(service.stopService)
            service.privilegedStartService()
            service.startService()
        return made

    def port(self, made: Transports, number: int = 0) -> int:
        return made.listeners[number].port

    async def openssl(self, *arguments: str, say: str = "") -> tuple[str, int]:
        """The openssl command; what it says, and its status."""
        program = shutil.which("openssl")
        assert program is not None, "openssl is not installed"
        out, err, status = await getProcessOutputAndValue(
            program, arguments, env=os.environ, path=str(self.folder), stdinBytes=say.encode()
        )
        return (out + err).decode("utf-8", "replace"), status

    async def s_client(self, port: int, *arguments: str, say: str = "") -> str:
        """One connection of ``openssl s_client``, which ends when it has nothing more to say."""
        said, _ = await self.openssl("s_client", "-connect", f"127.0.0.1:{port}", *arguments, say=say)
        return said

    def s_server(self, *arguments: str) -> int:
        """``openssl s_server`` until the test ends; its port."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        program = shutil.which("openssl")
        assert program is not None, "openssl is not installed"
        with (self.folder / f"s_server-{port}.log").open("wb") as log:
            process = subprocess.Popen(
                [program, "s_server", "-accept", f"127.0.0.1:{port}", "-quiet", *arguments],
                cwd=self.folder, stdin=subprocess.PIPE, stdout=log, stderr=log,
            )  # fmt: skip
        self.addCleanup(process.wait, 30)
        self.addCleanup(process.terminate)
        return port


class ClientTests(TlsCase):
    """``openssl s_client`` comes to us."""

    skip = missing("openssl")

    async def test_chain(self) -> None:
        """It is shown the whole chain, which holds for its authority, in TLS 1.3, with sip/2 agreed on."""
        made = self.start(SERVER)
        said = await self.s_client(self.port(made), "-showcerts", "-CAfile", "ca-cert.pem", "-alpn", "h2,sip/2")
        self.assertEqual(said.count("BEGIN CERTIFICATE"), 2)
        for words in ("Verification: OK", "TLSv1.3", "ALPN protocol: sip/2", "CN = server"):
            self.assertIn(words, said)

    async def test_versions(self) -> None:
        """TLS 1.2 is spoken with TLSv1.2+ and not with TLSv1.3+; TLS 1.1 with neither, though the file says TLSv1."""
        for method, version, good in (
            ("TLSv1.2+", "-tls1_2", True),
            ("TLSv1.3+", "-tls1_2", False),
            ("TLSv1.3+", "-tls1_3", True),
            ("TLSv1", "-tls1_2", True),
            ("TLSv1", "-tls1_1", False),
        ):
            made = self.start(SERVER + f"tls_method={method}\n")
            said = await self.s_client(self.port(made), version, "-cipher", "DEFAULT:@SECLEVEL=0")
            self.assertEqual("Cipher is (NONE)" not in said, good, (method, version, said))

    async def test_ciphers(self) -> None:
        """Only what the list has is agreed on, of either version."""
        made = self.start(SERVER + "cipher_list=ECDHE-ECDSA-AES256-GCM-SHA384:TLS_CHACHA20_POLY1305_SHA256\n")
        self.assertIn("Cipher is ECDHE-ECDSA-AES256-GCM-SHA384", await self.s_client(self.port(made), "-tls1_2"))
        self.assertIn("Cipher is TLS_CHACHA20_POLY1305_SHA256", await self.s_client(self.port(made), "-tls1_3"))
        said = await self.s_client(self.port(made), "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")
        self.assertIn("Cipher is (NONE)", said)

    async def test_mutual(self) -> None:
        """A certificate of our authority is taken and stands for its domain; none, a stranger's and a revoked one are not."""
        made = self.start(SERVER + PROVEN)
        port = self.port(made)
        ours = ("-cert", "client-cert.pem", "-key", "client-key.pem")
        await self.s_client(port, *ours, say=OPTIONS)
        await until(lambda: self.sink.messages, "a request by the proven peer")
        self.assertEqual(self.proved, [("trunk.example.com",)])
        for arguments in ((), ("-cert", "stranger-cert.pem", "-key", "stranger-key.pem")):
            # With TLS 1.3 the refusal comes behind the client's own end of the handshake: it stays until we close.
            said = await self.s_client(port, *arguments, "-ign_eof", say=OPTIONS)
            self.assertIn("alert", said)
        (self.folder / "crl.pem").write_bytes(revocation_list(self.authority, self.client))
        self.write(SERVER + PROVEN + "crl=crl.pem\n")
        made.tls.reload()
        self.assertIn("alert certificate revoked", await self.s_client(port, *ours, "-ign_eof", say=OPTIONS))
        self.assertEqual(len(self.sink.messages), 1)
        (self.folder / "crl.pem").write_bytes(revocation_list(self.authority))
        made.tls.reload()
        await self.s_client(port, *ours, say=OPTIONS)
        await until(lambda: len(self.sink.messages) == 2, "a request by the peer that is no longer revoked")

    async def test_names(self) -> None:
        """The name that is asked for chooses the certificate, at the address that has sections of its own and at the other."""
        self.chained("two", ("two.example.com",))
        self.chained("other", ("other.example.com",))
        pair = "certificate={0}-cert.pem\nprivate_key={0}-key.pem\n"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        text = SERVER + f"[server:127.0.0.2:{port}]\n{pair.format('other')}"
        text += f"[server:any]\nserver_name=two.example.com\nserver_name_mode=1\n{pair.format('two')}"
        self.start(text, f"tls:127.0.0.1:{port}", f"tls:127.0.0.2:{port}")
        for host, name, shown in (
            ("127.0.0.1", "sip.example.com", "CN = server"),
            ("127.0.0.1", "a.two.example.com", "CN = two"),
            ("127.0.0.2", "sip.example.com", "CN = other"),
            ("127.0.0.2", "two.example.com", "CN = two"),
        ):
            said, _ = await self.openssl("s_client", "-connect", f"{host}:{port}", "-servername", name)
            self.assertIn(f"subject={shown}", said, (host, name))

    async def test_ipv6(self) -> None:
        """A section for an IPv6 address is that listener's."""
        self.chained("six", ("six.example.com",))
        with socket.socket(socket.AF_INET6) as free:
            free.bind(("::1", 0))
            port: int = free.getsockname()[1]
        section = f"[server:[0:0:0::1]:{port}]\ncertificate=six-cert.pem\nprivate_key=six-key.pem\n"
        self.start(SERVER + section, f"tls:[::1]:{port}")
        said, _ = await self.openssl("s_client", "-connect", f"[::1]:{port}")
        self.assertIn("subject=CN = six", said)

    async def test_resumption(self) -> None:
        """A session is resumed by its ticket, in both versions."""
        port = self.port(self.start(SERVER))
        for version in ("-tls1_2", "-tls1_3"):
            # With TLS 1.3 the ticket comes behind the handshake, so the client stays until we close.
            said = await self.s_client(port, version, "-sess_out", "session.pem", "-ign_eof", say=OPTIONS.replace("OPTIONS", "BYE"))
            self.assertIn("New, TLSv1", said)
            said = await self.s_client(port, version, "-sess_in", "session.pem")
            self.assertIn("Reused, TLSv1", said)

    async def test_no_renegotiation(self) -> None:
        """A client of TLS 1.2 that wants to negotiate again gets its refusal, and no second handshake."""
        port = self.port(self.start(SERVER))
        said = await self.s_client(port, "-tls1_2", say="R\n")
        self.assertIn("RENEGOTIATING", said)
        self.assertRegex(said, "no renegotiation|renegotiation is not allowed|no_renegotiation")


class ServerTests(TlsCase):
    """We come to ``openssl s_server``."""

    skip = missing("openssl")

    async def reach(self, made: Transports, port: int, name: str, server_id: str = "") -> str:
        """'' when a connection came about, else why not. s_server is given its time to listen."""
        hop = Hop("TLS", "127.0.0.1", port, name, server_id)

        async def answer() -> str | None:
            try:
                flow: Any = await made.flows.connect(hop)
            except NoRoute as error:
                return None if "refused" in str(error) and "onnection" in str(error) else str(error)
            flow.close("enough")
            await until(lambda: flow not in made.flows.connections(), "the connection is closed")
            return "yes"

        said = await until(answer, "s_server listens")
        return "" if said == "yes" else str(said)

    async def test_identity(self) -> None:
        """Its certificate has to stand for the domain that was asked for, its chain for our authority; each refusal says why."""
        shown = ("-cert", "server-cert.pem", "-key", "server-key.pem", "-cert_chain", "server-cert.pem")
        port = self.s_server(*shown)
        made = self.start(SERVER + CLIENT)
        self.assertEqual(await self.reach(made, port, "sip.example.com"), "")
        self.assertEqual(await self.reach(made, port, "127.0.0.1"), "")
        self.assertIn("not for other.example.com", await self.reach(made, port, "other.example.com"))
        strict = self.start(SERVER + CLIENT + "verify_depth=0\n")
        self.assertIn("longer than verify_depth", await self.reach(strict, port, "sip.example.com"))
        revoked = make("revoked", ("sip.example.com",), self.authority)
        revoked.save(str(self.folder), "revoked")
        (self.folder / "crl.pem").write_bytes(revocation_list(self.authority, revoked))
        with_crl = self.start(SERVER + CLIENT + "crl=crl.pem\n")
        port = self.s_server("-cert", "revoked-cert.pem", "-key", "revoked-key.pem")
        self.assertIn("revoked", await self.reach(with_crl, port, "sip.example.com"))
        port = self.s_server("-cert", "stranger-cert.pem", "-key", "stranger-key.pem")
        self.assertIn("self-signed", await self.reach(made, port, "trunk.example.com"))
        unchecked = self.start(SERVER + "[client:default]\nverify_certificate=no\n")
        self.assertEqual(await self.reach(unchecked, port, "anybody.example"), "")

    async def test_destination(self) -> None:
        """The section of the very destination, or the one that server_id names, shows the certificate that its peer requires."""
        port = self.s_server("-cert", "server-cert.pem", "-key", "server-key.pem", "-cert_chain", "server-cert.pem",
                             "-Verify", "3", "-CAfile", "ca-cert.pem", "-verify_return_error", "-tls1_2")  # fmt: skip
        ours = "certificate=client-cert.pem\nprivate_key=client-key.pem\n"
        made = self.start(SERVER + CLIENT + CLIENT.replace("default", f"127.0.0.1:{port}") + ours)
        self.assertEqual(await self.reach(made, port, "sip.example.com"), "")
        made = self.start(SERVER + CLIENT + CLIENT + "server_id=trunk\n" + ours)
        self.assertNotEqual(await self.reach(made, port, "sip.example.com"), "")
        self.assertEqual(await self.reach(made, port, "sip.example.com", "trunk"), "")

    async def test_version_and_cipher(self) -> None:
        """What the client section doesn't allow is not agreed on."""
        port = self.s_server("-cert", "server-cert.pem", "-key", "server-key.pem", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")
        for keys, good in (("", True), ("tls_method=TLSv1.3+\n", False), ("cipher_list=ECDHE-ECDSA-AES256-GCM-SHA384\n", False)):
            made = self.start(SERVER + "[client:default]\nverify_certificate=no\n" + keys)
            self.assertEqual(await self.reach(made, port, "sip.example.com") == "", good, keys)


class HostileTests(TlsCase):
    """What isn't TLS comes to a TLS port."""

    async def ended(self, made: Transports, octets: bytes) -> None:
        """Say that, and wait for the end."""

        def talk() -> None:
            with socket.create_connection(("127.0.0.1", self.port(made))) as peer:
                peer.sendall(octets)
                peer.settimeout(30)
                try:
                    while peer.recv(4096):
                        continue
                except ConnectionResetError:
                    return

        await deferToThread(talk)
        await until(lambda: not made.admission.open, "its place is free again")

    async def test_told_apart(self) -> None:
        """Plain SIP, HTTP and nothing at all cost a place for a while, are told apart, and a right client is served after them."""
        made = self.start(SERVER, handshake_seconds=1.0)
        for octets, how in (
            (OPTIONS.encode(), "plain sip"),
            (b"\x80\x2e\x01\x00\x02 old hello of SSL", "not tls"),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "plain http"),
            (b"\x16\x03\x01", "silent"),
            (b"", "silent"),
        ):
            before = made.admission.ends.get(how, 0)
            await self.ended(made, octets)
            self.assertEqual(made.admission.ends.get(how, 0), before + 1, (octets, made.admission.ends))
        self.assertEqual(self.sink.log, [])
        if missing("openssl") is None:
            self.assertIn("CN = server", await self.s_client(self.port(made)))

    async def test_in_flight(self) -> None:
        """Handshakes that one source leaves undone are bounded; the oldest makes room for the next, another source's don't."""
        made = self.start(SERVER, limits=LimitSettings(handshakes_per_source=3))

        def connect(source: str) -> socket.socket:
            peer = socket.create_connection(("127.0.0.1", self.port(made)), source_address=(source, 0))
            self.addCleanup(peer.close)
            return peer

        other = await deferToThread(connect, "127.0.0.8")
        await until(lambda: made.admission.of("127.0.0.8") == 1, "another source is in")
        oldest = await deferToThread(connect, "127.0.0.7")
        await until(lambda: made.admission.of("127.0.0.7") == 1, "the first is in")
        for _ in range(3):
            await deferToThread(connect, "127.0.0.7")
        oldest.settimeout(20)
        self.assertEqual(await deferToThread(_end_of, oldest), b"")
        await until(lambda: made.admission.of("127.0.0.7") == 3, "three are in")
        other.settimeout(0.2)
        self.assertRaises(TimeoutError, other.recv, 1)


class KamailioFileTests(TestCase):
    """The file that Debian's Kamailio comes with."""

    skip = missing("kamailio")

    def test_shipped(self) -> None:
        """It is read as it is, and the only thing to say is whom its client believes."""
        config = load_tls_config("/etc/kamailio/tls.cfg")
        self.assertEqual([each.name for each in config.profiles], ["server:default", "client:default"])
        self.assertEqual(["verifies without ca_list" in warning for warning in config.warnings], [True])


def _end_of(peer: socket.socket) -> bytes:
    try:
        return peer.recv(1)
    except ConnectionResetError:
        return b""


