"""Trunks that know each other by certificate, Kamailio's TLS at the other end and the routing of a whole server of ours; a browser."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.static import Data

from sipnode import config
from sipnode.demo import probes
from sipnode.demo.parts import Part, server_command
from sipnode.errors import NoRoute
from sipnode.records import Hop
from sipnode.settings import AuthSettings, CoreSettings, Settings, TLSSettings

from ..transport.certificates import make
from ..transport.kit import OK
from .support.baresip import Baresip
from .support.browser import Browser, missing_browser
from .support.kamailio import Kamailio
from .support.site import DOMAIN, HOST, Site, free_port, missing
from .support.waiting import until
from .test_tls import OPTIONS, PROVEN, SERVER, TlsCase

reactor: Any = _reactor


class Phone(DatagramProtocol):
    """Asks by UDP and waits."""

    def __init__(self) -> None:
        self.heard: Deferred[bytes] = Deferred()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if not datagram.startswith(b"SIP/2.0 1") and not self.heard.called:
            self.heard.callback(datagram)


def options(uri: str, via: str) -> bytes:
    """An OPTIONS."""
    return (
        f"OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/{via};branch=z9hG4bK{os.urandom(4).hex()}\r\nMax-Forwards: 70\r\n"
        f"From: <sip:a@trunk.example.com>;tag=1\r\nTo: <{uri}>\r\nCall-ID: {os.urandom(4).hex()}\r\nCSeq: 1 OPTIONS\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


class KamailioTests(TlsCase):
    """Both sides require a certificate of the same authority."""

    skip = missing("kamailio")

    async def setUp(self) -> None:
        super().setUp()
        make("kamailio", ("kamailio.example.com",), self.authority).save(str(self.folder), "kamailio")
        keys = "method = TLSv1.2+\nverify_certificate = yes\nrequire_certificate = yes\n"
        for key, name in (("certificate", "kamailio-cert"), ("private_key", "kamailio-key"), ("ca_list", "ca-cert")):
            keys += f"{key} = {self.folder}/{name}.pem\n"
        (self.folder / "kamailio-tls.cfg").write_text(f"[server:default]\n{keys}[client:default]\n{keys}")
        self.kamailio_port = free_port(socket.SOCK_STREAM)
        self.kamailio = Kamailio(self, "kamailio_tls.cfg", "", free_port(socket.SOCK_DGRAM))
        script = self.kamailio._conf.read_text().replace("TLSCONFIG", str(self.folder / "kamailio-tls.cfg"))
        self.kamailio._conf.write_text(script.replace("children=1\n", f"children=1\nlisten=tls:{HOST}:{self.kamailio_port}\n", 1))
        await self.kamailio.start()
        ours = "certificate=client-cert.pem\nprivate_key=client-key.pem\n"
        self.made = super().start(SERVER + PROVEN + f"[client:default]\n{PROVEN}{ours}")
        self.ours = self.port(self.made)

    async def connect(self, name: str) -> Any:
        flow: Any = await self.made.flows.connect(Hop("TLS", HOST, self.kamailio_port, name))
        return flow

    async def ask(self) -> bytes:
        """Have Kamailio send us a request by TLS; the answer that comes back through it."""
        phone = Phone()
        port = reactor.listenUDP(0, phone, interface=HOST)
        self.addCleanup(port.stopListening)
        octets = options(f"sip:{self.ours}@{HOST}", f"UDP {HOST}:{port.getHost().port};rport")
        port.write(octets, (HOST, self.kamailio.port))
        return await phone.heard

    def answer_well(self) -> None:
        """What comes is answered with its own Via lines."""

        def answer(data: bytes, flow: Any) -> None:
            self.proved.append(flow.peer_domains)
            if data.startswith(b"OPTIONS"):
                lines = data.split(b"\r\n")
                kept = [line for line in lines if line.lower().startswith((b"via:", b"from:", b"to:", b"call-id:", b"cseq:"))]
                flow.send(b"\r\n".join([b"SIP/2.0 200 OK", *kept, b"Content-Length: 0", b"", b""]))

        self.sink.on_received = answer

    async def test_to(self) -> None:
        """It knows us by our certificate, we know it by its own, and not under another name."""
        flow = await self.connect("kamailio.example.com")
        flow.send(options(f"sip:{HOST}", f"TLS {HOST}:{self.ours}"))
        await until(lambda: self.sink.messages, "Kamailio answers")
        self.assertTrue(self.sink.texts[0].startswith(b"SIP/2.0 200 client\r\n"), self.sink.texts)
        self.assertEqual(flow.peer_domains, ("kamailio.example.com",))
        error = await self.assertFailure(self.made.flows.connect(Hop("TLS", HOST, self.kamailio_port, "other.example.com")), NoRoute)
        self.assertIn("CN=kamailio: the certificate is not for other.example.com", str(error))

    async def test_from(self) -> None:
        """Its request has its domain for a peer."""
        self.answer_well()
        self.assertTrue((await self.ask()).startswith(b"SIP/2.0 200"))
        self.assertEqual(self.proved, [("kamailio.example.com",)])

    async def test_same_connection(self) -> None:
        """With alias in our Via it sends its own requests by the connection that we opened, and we those for its port by that one."""
        self.answer_well()
        flow = await self.connect("kamailio.example.com")
        self.assertTrue(flow.offers_alias)
        flow.send(options(f"sip:{HOST}", f"TLS {HOST}:{self.ours};alias"))
        await until(lambda: self.sink.messages, "Kamailio answers")
        self.assertTrue((await self.ask()).startswith(b"SIP/2.0 200"))
        self.assertIs(self.sink.messages[-1][1], flow)
        # Ours, which holds a place as any other; Kamailio has opened none.
        self.assertEqual(self.made.admission.open, 1)


# Opens a WebSocket to where the page came from, says one thing, and tells the sub-protocol and what came back.
_TALK = """text => new Promise((done, fail) => {
    const wire = new WebSocket(`wss://${location.host}/`, "sip");
    wire.onopen = () => wire.send(text);
    wire.onmessage = event => { wire.close(1000); done([wire.protocol, event.data]); };
    wire.onerror = () => fail(new Error("no WebSocket"));
})"""


class _Page(Data):
    """A page that says itself where its scripts may connect to."""

    def render(self, request: Any) -> Any:
        """As Data does."""
        request.setHeader(b"content-security-policy", b"default-src 'self' 'unsafe-inline' 'unsafe-eval' wss:")
        return super().render(request)


class BrowserTests(TlsCase):
    """Chromium comes to a port that takes SIP over TLS as well."""

    skip = missing_browser()

    async def test_wss(self) -> None:
        """It gets the page over https, and a message over wss to the same port is answered; a SIP peer is, on that port too."""
        page: Any = _Page(b"<p>page", "text/html")
        page.isLeaf = True
        port = free_port(socket.SOCK_STREAM)
        made = self.start(SERVER, f"tls:{HOST}:{port}", f"wss:{HOST}:{port}", page=page, origins=("self",))
        met: list[tuple[str, str]] = []

        def answer(data: bytes, flow: Any) -> None:
            met.append((flow.transport, flow.cipher.split()[-1]))
            flow.send(OK)

        self.sink.on_received = answer
        browser = Browser.of_this_run()
        tab = await browser.run(lambda: browser.open(f"https://{HOST}:{port}/", ignore_https_errors=True))
        try:
            self.assertEqual(await browser.run(tab.inner_text, "p"), "page")
            said = await browser.run(tab.evaluate, _TALK, options(f"sip:{HOST}", "WSS a.invalid").decode())
        finally:
            await browser.run(tab.context.close)
        self.assertEqual((said, met), (["sip", OK.decode()], [("WSS", "TLSv1.3")]))
        self.assertIn("CN = server", await self.s_client(port, "-alpn", "sip/2", say=OPTIONS))
        await until(lambda: met[1:] == [("TLS", "TLSv1.3")], "the SIP peer is heard")
        await until(lambda: not made.admission.open, "all connections are gone")


class BaresipTests(TestCase):
    """A telephone that isn't ours comes over TLS, and believes the authority of our certificate alone."""

    timeout = 90
    skip = missing("rtpengine", "baresip")

    async def test_call(self) -> None:
        """It registers and takes a call from a phone on UDP, and both hear each other."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        authority = make("authority", authority=True)
        authority.save(str(folder), "ca")
        make("server", (HOST, DOMAIN), authority).save(str(folder), "server")
        (folder / "tls.cfg").write_text(SERVER)
        site = await Site(self, secure=True, tls=TLSSettings(config=str(folder / "tls.cfg"))).start()
        phone = await Baresip(self, site, "carol", 940, authority=folder / "ca-cert.pem").start()
        (binding,) = await site.phone("carol").bindings()
        self.assertIn("transport=tls", binding)
        alice = await site.registered("alice", 440)
        call = alice.dial(f"sip:carol@{DOMAIN}")
        self.assertEqual((await call.outcome).status, 200)
        await call.hears(940)
        await until(lambda: abs(phone.heard().hz - 440) <= 8, lambda: f"baresip should hear 440 Hz and hears {phone.heard()}")
        await call.hang_up()
        await site.no_calls()


class TrunkTests(TestCase):
    """A server as an operator runs it, where ``[auth] trusted_peers`` has a domain."""

    timeout = 60

    async def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        authority = make("authority", authority=True)
        authority.save(str(self.folder), "ca")
        for name, domain in (("server", HOST), ("trunk", "trunk.example.com"), ("other", "other.example.com")):
            make(name, (domain,), authority).save(str(self.folder), name)
        checked = "verify_certificate=yes\nca_list=ca-cert.pem\n"
        (self.folder / "tls.cfg").write_text(f"[server:default]\ncertificate=server-cert.pem\nprivate_key=server-key.pem\n{checked}")
        self.port, self.sip = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
        settings = Settings(
            core=CoreSettings(domains=("ours.test",), listen=(f"udp:{HOST}:{self.sip}", f"tls:{HOST}:{self.port}")),
            auth=AuthSettings(trusted_peers=("trunk.example.com",)),
            tls=TLSSettings(config="tls.cfg"),
        )
        (self.folder / config.FILE_NAME).write_text(config.render(settings))
        server = Part("sipnode", server_command(self.folder), self.folder / "sipnode.log")
        server.start()
        self.addCleanup(lambda: deferToThread(server.stop))
        if not await deferToThread(server.wait_ready, lambda: probes.sip_server(HOST, self.sip), 30):
            raise AssertionError(f"it didn't start:\n{server.last_words(40)}")

    def status(self, name: str) -> int:
        """What a MESSAGE to nobody gets from a client that shows that certificate, "" for none."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca-cert.pem"))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if name:
            context.load_cert_chain(self.folder / f"{name}-cert.pem", self.folder / f"{name}-key.pem")
        octets = (
            f"MESSAGE sip:nobody@ours.test SIP/2.0\r\nVia: SIP/2.0/TLS {HOST}:5061;branch=z9hG4bK{name}1\r\nMax-Forwards: 70\r\n"
            f"From: <sip:a@ours.test>;tag=1\r\nTo: <sip:nobody@ours.test>\r\nCall-ID: {name}1\r\nCSeq: 1 MESSAGE\r\n"
            "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
        ).encode()
        with socket.create_connection((HOST, self.port)) as plain, context.wrap_socket(plain, server_hostname=HOST) as wire:
            wire.settimeout(30)
            wire.sendall(octets)
            return int(wire.recv(4096).split()[1])

    async def test_peer(self) -> None:
        """Who has proved to be the trunk is not asked for a password; another domain and nobody are."""
        for name, status in (("trunk", 404), ("other", 407), ("", 407)):
            self.assertEqual(await deferToThread(self.status, name), status, name)
