"""Promises of ``sipnode.transport.tls.contexts``: handshakes in memory, both sides by OpenSSL."""

from __future__ import annotations

import os
from typing import Any

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.records import Hop
from sipnode.transport.tls.config import load_tls_config
from sipnode.transport.tls.contexts import TLSContexts

from .certificates import make, revocation_list


class FakeProtocol:
    """What Twisted's TLS protocol is to a creator."""

    aborted = False
    refusal = ""
    local = "127.0.0.1"

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", self.local, 5061)

    def abortConnection(self) -> None:
        self.aborted = True


def shake(client: SSL.Connection, server: SSL.Connection) -> str:
    """Drive a handshake to its end; '' when both sides hold, else which side gave up."""
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(10):
        for name, one, other in (("client", client, server), ("server", server, client)):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error:
                return name
            try:
                other.bio_write(one.bio_read(65536))
            except SSL.WantReadError:
                pass
    # With TLS 1.3 a server's refusal of the client's certificate comes after the client's own end.
    try:
        client.recv(1)
    except SSL.WantReadError:
        return ""
    except SSL.Error:
        return "server"
    return ""


class TlsTests(SynchronousTestCase):
    """Contexts of a tls.cfg."""

    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(self.folder)
        self.authority = make("authority", authority=True)
        self.authority.save(self.folder, "ca")
        make("one", ("sip.example.com", "127.0.0.1"), self.authority).save(self.folder, "one")
        make("two", ("two.example.com",), self.authority).save(self.folder, "two")
        self.client_pair = make("client", ("trunk.example.com",), self.authority)
        self.client_pair.save(self.folder, "client")
        make("stranger").save(self.folder, "stranger")

    ONE = "[server:default]\ncertificate=one-cert.pem\nprivate_key=one-key.pem\n"
    TWO = "certificate=two-cert.pem\nprivate_key=two-key.pem\n"
    CLIENT = "[client:default]\nca_list=ca-cert.pem\nverify_certificate=yes\n"

    def contexts(self, text: str) -> TLSContexts:
        path = os.path.join(self.folder, "tls.cfg")
        with open(path, "w") as file:
            file.write(text)
        return TLSContexts(load_tls_config(path))

    def server(self, text: str, protocol: Any = None) -> SSL.Connection:
        return self.contexts(text).for_server("127.0.0.1", 5061).serverConnectionForTLS(protocol or FakeProtocol())

    def client(self, name: str, text: str = CLIENT) -> SSL.Connection:
        hop = Hop("TLS", "127.0.0.1", 5061, name)
        connection: SSL.Connection = self.contexts(text).for_client(hop).clientConnectionForTLS(FakeProtocol())
        return connection

    def stranger(self, low: int = 0, high: int = 0, pair: str = "", sni: bytes = b"", alpn: tuple[bytes, ...] = ()) -> SSL.Connection:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(low)
        context.set_max_proto_version(high)
        if pair:
            context.use_certificate_chain_file(os.path.join(self.folder, f"{pair}-cert.pem"))
            context.use_privatekey_file(os.path.join(self.folder, f"{pair}-key.pem"))
        if alpn:
            context.set_alpn_protos(list(alpn))
        connection = SSL.Connection(context, None)
        if sni:
            connection.set_tlsext_host_name(sni)
        return connection

    def test_peer_is_checked(self) -> None:
        """A client connection stands when the chain is good and the certificate is for the domain that was asked for."""
        self.assertEqual(shake(self.client("sip.example.com"), self.server(self.ONE)), "")
        self.assertEqual(shake(self.client(""), self.server(self.ONE)), "")
        self.assertEqual(shake(self.client("two.example.com"), self.server(self.ONE)), "client")
        self.assertEqual(shake(self.client("sip.example.com", "[client:default]\nverify_certificate=yes"), self.server(self.ONE)), "client")

    def test_unchecked_peer(self) -> None:
        """Without verify_certificate any certificate passes; without a client section it doesn't."""
        self.assertEqual(shake(self.client("other.example", "[client:default]\nverify_certificate=no"), self.server(self.ONE)), "")
        self.assertEqual(shake(self.client("sip.example.com", self.ONE), self.server(self.ONE)), "client")

    def test_floor(self) -> None:
        """Nothing below TLS 1.2 is spoken, whatever the file says; TLSv1.3+ refuses 1.2."""
        old = self.ONE + "method=TLSv1\n"
        self.assertNotEqual(shake(self.stranger(high=SSL.TLS1_1_VERSION), self.server(old)), "")
        self.assertEqual(shake(self.stranger(high=SSL.TLS1_2_VERSION), self.server(old)), "")
        self.assertEqual(shake(self.stranger(), self.server(self.ONE + "tls_method=TLSv1.3+\n")), "")
        self.assertNotEqual(shake(self.stranger(high=SSL.TLS1_2_VERSION), self.server(self.ONE + "tls_method=TLSv1.3+\n")), "")

    def test_client_certificates(self) -> None:
        """verify takes none but no wrong one; require takes none but a right one; crl refuses a revoked one."""
        verify = self.ONE + "ca_list=ca-cert.pem\nverify_certificate=yes\n"
        require = verify + "require_certificate=yes\n"
        with open(os.path.join(self.folder, "crl.pem"), "wb") as file:
            file.write(revocation_list(self.authority, self.client_pair))
        for text, pair, good in (
            (self.ONE, "stranger", True),
            (verify, "", True),
            (verify, "client", True),
            (verify, "stranger", False),
            (require, "", False),
            (require, "client", True),
            (require + "crl=crl.pem\n", "client", False),
        ):
            self.assertEqual(shake(self.stranger(pair=pair), self.server(text)) == "", good, (text, pair))

    def served(self, text: str, sni: bytes) -> str:
        client = self.stranger(sni=sni)
        self.assertEqual(shake(client, self.server(text)), "")
        certificate = client.get_peer_certificate()
        assert certificate is not None
        return str(certificate.get_subject().CN)

    def test_sni(self) -> None:
        """The name asked for chooses the certificate: itself, names below it, or only those."""
        for mode, below, itself, other in (("0", "one", "two", "one"), ("1", "two", "two", "one"), ("2", "two", "one", "one")):
            text = f"{self.ONE}[server:any]\n{self.TWO}server_name=two.example.com\nserver_name_mode={mode}\n"
            self.assertEqual(self.served(text, b"a.two.example.com"), below)
            self.assertEqual(self.served(text, b"TWO.example.com"), itself)
            self.assertEqual(self.served(text, b"atwo.example.com"), other)
            self.assertEqual(self.served(text, b""), "one")

    def test_sni_and_require(self) -> None:
        """A named profile that requires a certificate does so, though the default one doesn't."""
        text = f"{self.ONE}[server:any]\n{self.TWO}server_name=two.example.com\n"
        text += "ca_list=ca-cert.pem\nverify_certificate=1\nrequire_certificate=1\n"
        self.assertEqual(shake(self.stranger(sni=b"two.example.com"), self.server(text)), "server")
        self.assertEqual(shake(self.stranger(sni=b"two.example.com", pair="client"), self.server(text)), "")
        self.assertEqual(shake(self.stranger(), self.server(text)), "")

    def test_depth(self) -> None:
        """verify_depth counts the authorities between a root and a certificate, in each role and under each name."""
        middle = make("middle", issuer=self.authority, authority=True)
        lower = make("lower", issuer=middle, authority=True)
        for name, issuers in (("client", ()), ("one-below", (middle,)), ("two-below", (lower, middle))):
            issuer = issuers[0] if issuers else self.authority
            make(name, ("sip.example.com", "trunk.example.com"), issuer).save(self.folder, name)
            with open(os.path.join(self.folder, f"{name}-cert.pem"), "ab") as file:
                for each in issuers:
                    file.write(each.certificate.public_bytes(Encoding.PEM))
            for depth in (0, 1, 2):
                keys = f"ca_list=ca-cert.pem\nverify_certificate=1\nrequire_certificate=1\nverify_depth={depth}\n"
                named = f"{self.ONE}[server:any]\n{self.TWO}server_name=two.example.com\n{keys}"
                good = len(issuers) <= depth
                for text in (self.ONE + keys, named):
                    client = self.stranger(pair=name, sni=b"two.example.com")
                    self.assertEqual(shake(client, self.server(text)) == "", good, (name, depth, text))
                server = self.ONE.replace("one", name)
                self.assertEqual(shake(self.client("sip.example.com", f"[client:default]\n{keys}"), self.server(server)) == "", good)

    def test_sni_and_version(self) -> None:
        """A named profile for TLS 1.3 cuts a client of 1.2, though the default profile takes it."""
        text = f"{self.ONE}[server:any]\n{self.TWO}server_name=two.example.com\ntls_method=TLSv1.3+\n"
        for high, cut in ((SSL.TLS1_2_VERSION, True), (0, False)):
            protocol = FakeProtocol()
            shake(self.stranger(high=high, sni=b"two.example.com"), self.server(text, protocol))
            self.assertEqual(protocol.aborted, cut)

    def test_session_of_another_name(self) -> None:
        """A session made under a name that asks for no certificate opens no name that does; one profile alone resumes."""
        strict = "ca_list=ca-cert.pem\nverify_certificate=yes\nrequire_certificate=yes\n"
        named = f"[server:any]\n{self.TWO}server_name=two.example.com\n"
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            for text, names, good in (
                (self.ONE + named + strict, (b"one.example.com", b"two.example.com"), False),
                (self.ONE + strict + named, (b"two.example.com", b"one.example.com"), False),
                (self.ONE, (b"one.example.com", b"one.example.com"), True),
            ):
                creator = self.contexts(text).for_server("127.0.0.1", 5061)
                context = SSL.Context(SSL.TLS_METHOD)
                context.set_min_proto_version(version)
                context.set_max_proto_version(version)
                session = None
                for name in names:
                    client = SSL.Connection(context, None)
                    client.set_tlsext_host_name(name)
                    if session is not None:
                        client.set_session(session)
                    outcome = shake(client, creator.serverConnectionForTLS(FakeProtocol()))
                    session = client.get_session()
                self.assertEqual(outcome == "", good, (version, text))

    def test_every_address(self) -> None:
        """A listener at all addresses shows each address its own section's certificate, after a reload too."""
        text = f"{self.ONE}[server:127.0.0.2:5061]\n{self.TWO}"
        contexts = self.contexts(text)
        creator = contexts.for_server("0.0.0.0", 5061)
        for _ in range(2):
            for local, wanted in (("127.0.0.1", "one"), ("127.0.0.2", "two")):
                protocol = FakeProtocol()
                protocol.local = local
                client = self.stranger()
                self.assertEqual(shake(client, creator.serverConnectionForTLS(protocol)), "")
                certificate = client.get_peer_certificate()
                assert certificate is not None
                self.assertEqual(certificate.get_subject().CN, wanted)
            contexts.reload(load_tls_config(os.path.join(self.folder, "tls.cfg")))

    def test_why(self) -> None:
        """Whoever was not believed, it is known who it was and why."""
        require = self.ONE + "ca_list=ca-cert.pem\nverify_certificate=yes\nrequire_certificate=yes\n"
        protocol = FakeProtocol()
        shake(self.stranger(pair="stranger"), self.server(require, protocol))
        self.assertEqual(protocol.refusal, "CN=stranger: the certificate is self-signed and not trusted")
        for name, text, words in (
            ("two.example.com", self.CLIENT, "CN=one: the certificate is not for two.example.com"),
            ("sip.example.com", "[client:default]\nverify_certificate=yes", "CN=one: the issuer is not trusted"),
        ):
            creator = self.contexts(text).for_client(Hop("TLS", "127.0.0.1", 5061, name))
            shake(creator.clientConnectionForTLS(FakeProtocol()), self.server(self.ONE))
            self.assertTrue(creator.refusal.startswith(words), creator.refusal)

    def test_server_id(self) -> None:
        """A hop that asks for a section that isn't there gets none."""
        contexts = self.contexts(self.CLIENT)
        self.assertIn("trunk", str(self.assertRaises(ConfigError, contexts.for_client, Hop("TLS", "127.0.0.1", 5061, "", "trunk"))))

    def test_passphrase(self) -> None:
        """A key with a passphrase is refused at once: nobody is asked on a terminal."""
        octets = self.client_pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
        with open(os.path.join(self.folder, "client-key.pem"), "wb") as file:
            file.write(octets)
        text = "[server:default]\nprivate_key=client-key.pem\ncertificate=client-cert.pem\n"
        error = self.assertRaises(ConfigError, self.contexts(text).for_server, "127.0.0.1", 5061)
        self.assertEqual((error.line, error.key), (2, "[server:default] private_key"))
        self.assertIn("it has a passphrase", str(error))

    def test_alpn(self) -> None:
        """HTTP/1.1 is chosen before SIP, h2 never; a client that offers only others is served without."""
        for offered, chosen in (((b"h2", b"http/1.1"), b"http/1.1"), ((b"sip/2",), b"sip/2"), ((b"h2",), b""), ((), b"")):
            client = self.stranger(alpn=offered)
            self.assertEqual(shake(client, self.server(self.ONE)), "")
            self.assertEqual(client.get_alpn_proto_negotiated(), chosen)

    def test_faults(self) -> None:
        """A file that cannot be used stops the start with its line, its key and its name."""
        with open(os.path.join(self.folder, "bad.pem"), "w") as file:
            file.write("nothing")
        for text, line, words in (
            ("[server:default]\nprivate_key=one-key.pem\ncertificate=no.pem\n", 3, "No such file"),
            ("[server:default]\nprivate_key=one-key.pem\ncertificate=bad.pem\n", 3, "bad.pem"),
            ("[server:default]\nprivate_key=two-key.pem\ncertificate=one-cert.pem\n", 2, "key"),
            ("[server:default]\nverify_depth=1\n", 1, "needs certificate"),
            (self.ONE + "ca_list=bad.pem\n", 4, "ca_list"),
            (self.ONE + "crl=bad.pem\n", 4, "revocation list"),
            (self.ONE + "cipher_list=nonsense\n", 4, "cipher_list"),
            (self.ONE + "cipher_list=TLS_NONSENSE\n", 4, "cipher_list"),
            (self.ONE + "cipher_list=TLS_AES_128_GCM_SHA256\nmethod=TLSv1.2\n", 4, "TLS 1.3 alone"),
        ):
            error = self.assertRaises(ConfigError, self.contexts(text).for_server, "127.0.0.1", 5061)
            self.assertEqual(error.line, line, text)
            self.assertIn(words, str(error))

    def test_no_profile(self) -> None:
        """A listener without a profile says what is missing."""
        self.assertIn("[server:default]", str(self.assertRaises(ConfigError, self.contexts("").for_server, "127.0.0.1", 5061)))
