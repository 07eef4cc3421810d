"""Every key of tls.cfg in both roles: what it does, and that this is not so when the key is ignored.

Each row makes a handshake three times: with the file as it is; with the file without the key; and with the file as it is and code
that doesn't look at the key (its attribute says the default, whatever was read). The second outcome is stated and the third must
differ from the first, so no row passes by itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.records import Hop
from sipnode.transport.tls.config import TLSProfile, load_tls_config
from sipnode.transport.tls.contexts import TLSContexts

from .certificates import make, revocation_list
from .test_tls import FakeProtocol, shake

OURS = "certificate=one-cert.pem\nprivate_key=one-key.pem\n"
PROVEN = "verify_certificate=yes\nrequire_certificate=yes\nca_list=ca-cert.pem\n"
NAMED = "[server:any]\ncertificate=two-cert.pem\nprivate_key=two-key.pem\nserver_name=two.example.com\n"
CHECKED = "verify_certificate=yes\nca_list=ca-cert.pem\n"


class Row(NamedTuple):
    """One key in one role.

    Attributes:
        role: Of the section.
        key: The key that is left out the second time.
        text: The section's lines.
        peer: What the other side is: see ``_peer``.
        outcome: With the key.
        without: Without it.
        case: Tells rows of the same key apart.
    """

    role: str
    key: str
    text: str
    peer: str
    outcome: str
    without: str
    case: str = ""


ROWS = (
    Row("server", "tls_method", OURS + "tls_method=TLSv1.3\n", "tls1.2", "refused", "TLSv1.2 one"),
    Row("server", "method", OURS + "method=TLSv1.2\n", "", "TLSv1.2 one", "TLSv1.3 one"),
    Row("server", "verify_certificate", OURS + "ca_list=ca-cert.pem\nverify_certificate=yes\n", "stranger", "refused", "TLSv1.3 one"),
    Row("server", "require_certificate", OURS + PROVEN, "", "refused", "TLSv1.3 one"),
    Row("server", "verify_depth", OURS + PROVEN + "verify_depth=0\n", "deep", "refused", "TLSv1.3 one"),
    Row("server", "ca_list", OURS + PROVEN, "client", "TLSv1.3 one", "refused"),
    Row("server", "ca_path", OURS + "verify_certificate=yes\nrequire_certificate=yes\nca_path=roots\n", "client", "TLSv1.3 one", "refused"),
    Row("server", "crl", OURS + PROVEN + "crl=crl.pem\n", "client", "refused", "TLSv1.3 one"),
    Row("server", "cipher_list", OURS + "cipher_list=ECDHE-ECDSA-AES256-GCM-SHA384\n", "aes128", "refused", "TLSv1.2 one"),
    Row("server", "cipher_list", OURS + "cipher_list=TLS_CHACHA20_POLY1305_SHA256\n", "tls1.3-aes", "refused", "TLSv1.3 one", "tls13"),
    Row("server", "server_name", OURS + NAMED, "sni", "TLSv1.3 two", "fault"),
    Row("server", "server_name_mode", OURS + NAMED + "server_name_mode=1\n", "sni-below", "TLSv1.3 two", "TLSv1.3 one"),
    Row("server", "server_name_mode", OURS + NAMED + "server_name_mode=2\n", "sni", "TLSv1.3 one", "TLSv1.3 two", "subdomains"),
    Row("server", "certificate", OURS, "", "TLSv1.3 one", "fault"),
    Row("server", "private_key", OURS, "", "TLSv1.3 one", "fault"),
    Row("client", "tls_method", "tls_method=TLSv1.3\nverify_certificate=no\n", "tls1.2", "refused", "TLSv1.2 one"),
    Row("client", "method", "method=TLSv1.2\nverify_certificate=no\n", "", "TLSv1.2 one", "TLSv1.3 one"),
    Row("client", "verify_certificate", CHECKED, "self-signed", "refused", "TLSv1.3 stranger"),
    Row("client", "verify_depth", CHECKED + "verify_depth=0\n", "deep", "refused", "TLSv1.3 deep"),
    Row("client", "ca_list", CHECKED, "", "TLSv1.3 one", "refused"),
    Row("client", "ca_path", "verify_certificate=yes\nca_path=roots\n", "", "TLSv1.3 one", "refused"),
    Row("client", "crl", CHECKED + "crl=crl-one.pem\n", "", "refused", "TLSv1.3 one"),
    Row("client", "cipher_list", "cipher_list=ECDHE-ECDSA-AES256-GCM-SHA384\nverify_certificate=no\n", "aes128", "refused", "TLSv1.2 one"),
    Row("client", "cipher_list", "cipher_list=TLS_CHACHA20_POLY1305_SHA256\nverify_certificate=no\n", "tls1.3-aes", "refused",
        "TLSv1.3 one", "tls13"),
    Row("client", "require_certificate", "require_certificate=yes\n", "", "fault", "TLSv1.3 one"),
    Row("client", "server_id", CHECKED + "[client:default]\nverify_certificate=no\nserver_id=trunk\n", "self-signed",
        "TLSv1.3 stranger", "fault"),
    Row("client", "certificate", "certificate=client-cert.pem\nprivate_key=client-key.pem\nverify_certificate=no\n", "require",
        "TLSv1.3 one", "fault"),
    Row("client", "private_key", "certificate=client-cert.pem\nprivate_key=client-key.pem\nverify_certificate=no\n", "require",
        "TLSv1.3 one", "fault"),
    Row("client", "server_name", CHECKED + "server_name=two.example.com\n", "names", "TLSv1.3 two", "TLSv1.3 one"),
)  # fmt: skip


class KeyTests(SynchronousTestCase):
    """The table."""

    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(os.path.join(self.folder, "roots"))
        authority = make("authority", authority=True)
        middle = make("middle", issuer=authority, authority=True)
        one = make("one", ("sip.example.com",), authority)
        client = make("client", ("trunk.example.com",), authority)
        for name, pair in (("ca", authority), ("one", one), ("client", client), ("two", make("two", ("two.example.com",), authority))):
            pair.save(self.folder, name)
        make("stranger", ("sip.example.com",)).save(self.folder, "stranger")
        deep = make("deep", ("sip.example.com",), middle)
        deep.save(self.folder, "deep")
        with open(os.path.join(self.folder, "deep-cert.pem"), "ab") as file:
            file.write(middle.certificate.public_bytes(Encoding.PEM))
        for name, revoked in (("crl", client), ("crl-one", one)):
            with open(os.path.join(self.folder, f"{name}.pem"), "wb") as file:
                file.write(revocation_list(authority, revoked))
        # OpenSSL finds an authority in a folder by the hash of its name.
        linked = f"{authority_hash(os.path.join(self.folder, 'ca-cert.pem')):08x}.0"
        os.symlink("../ca-cert.pem", os.path.join(self.folder, "roots", linked))

    def contexts(self, text: str) -> TLSContexts:
        """Of a file with that text."""
        path = os.path.join(self.folder, "tls.cfg")
        with open(path, "w") as file:
            file.write(text)
        return TLSContexts(load_tls_config(path))

    def outcome(self, row: Row, text: str) -> str:
        """'VERSION NAME' of a handshake that stands and the name in the server's certificate, 'refused', or 'fault' of the file."""
        try:
            if row.role == "server":
                server = self.contexts(f"[server:default]\n{text}").for_server("127.0.0.1", 5061).serverConnectionForTLS(FakeProtocol())
                client = self.peer(row.peer)
            else:
                contexts = self.contexts(f"[client:default]\n{text}")
                hop = Hop("TLS", "127.0.0.1", 5061, "sip.example.com", "trunk" if row.key == "server_id" else "")
                client = contexts.for_client(hop).clientConnectionForTLS(FakeProtocol())
                server = self.serving(row.peer)
        except ConfigError:
            return "fault"
        if shake(client, server):
            return "refused"
        certificate = client.get_peer_certificate()
        assert certificate is not None
        return f"{client.get_protocol_version_name()} {certificate.get_subject().CN}"

    def plain(self, peer: str) -> SSL.Context:
        """A context of OpenSSL's own defaults, with what the name of a peer says of versions and ciphers."""
        context = SSL.Context(SSL.TLS_METHOD)
        if peer == "tls1.2":
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
        if peer == "aes128":
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
            context.set_cipher_list(b"ECDHE-ECDSA-AES128-GCM-SHA256")
        if peer == "tls1.3-aes":
            context.set_min_proto_version(SSL.TLS1_3_VERSION)
            context.set_tls13_ciphersuites(b"TLS_AES_128_GCM_SHA256")
        return context

    def use(self, context: SSL.Context, name: str) -> None:
        """Show that certificate."""
        context.use_certificate_chain_file(os.path.join(self.folder, f"{name}-cert.pem"))
        context.use_privatekey_file(os.path.join(self.folder, f"{name}-key.pem"))

    def peer(self, peer: str) -> SSL.Connection:
        """A client."""
        context = self.plain(peer)
        if peer in ("client", "stranger", "deep"):
            self.use(context, peer)
        connection = SSL.Connection(context, None)
        if peer.startswith("sni"):
            connection.set_tlsext_host_name(b"a.two.example.com" if peer == "sni-below" else b"two.example.com")
        return connection

    def serving(self, peer: str) -> SSL.Connection:
        """A server: of 'names' it has two certificates, 'require' wants one of the client."""
        if peer == "names":
            text = f"[server:default]\n{OURS}[server:any]\ncertificate=two-cert.pem\nprivate_key=two-key.pem\nserver_name=two.example.com\n"
            return self.contexts(text).for_server("127.0.0.1", 5061).serverConnectionForTLS(FakeProtocol())
        context = self.plain(peer)
        self.use(context, {"self-signed": "stranger", "deep": "deep"}.get(peer, "one"))
        if peer == "require":
            context.load_verify_locations(os.path.join(self.folder, "ca-cert.pem"))
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *facts: bool(facts[-1]))
        return SSL.Connection(context, None)


def authority_hash(path: str) -> int:
    """By which OpenSSL looks for that authority in a folder."""
    from OpenSSL import crypto

    with open(path, "rb") as file:
        return crypto.load_certificate(crypto.FILETYPE_PEM, file.read()).subject_name_hash()


def ignoring(key: str, text: str) -> str:
    """The text as one who ignores that key reads it."""
    return re.sub(rf"(?m)^{key}=.*\n", "", text)


class Ignored:
    """In the place of a profile's attribute: takes every value, and is what it is where the file says nothing."""

    def __init__(self, default: object) -> None:
        self.default = default

    def __get__(self, profile: object, owner: object = None) -> object:
        return self.default

    def __set__(self, profile: object, value: object) -> None:
        """Forget it."""


def _make(row: Row) -> Callable[[KeyTests], None]:
    def test(case: KeyTests) -> None:
        case.assertEqual(case.outcome(row, row.text), row.outcome)
        case.assertEqual(case.outcome(row, ignoring(row.key, row.text)), row.without)
        case.assertNotEqual(row.outcome, row.without)
        attribute = "tls_method" if row.key == "method" else row.key
        case.patch(TLSProfile, attribute, Ignored(getattr(TLSProfile("server", "default", 0, "", 0), attribute)))
        case.assertNotEqual(case.outcome(row, row.text), row.outcome)

    test.__doc__ = f"[{row.role}] {row.key}: {row.outcome}, and {row.without} where it is left out; not so where it is ignored."
    return test


for _row in ROWS:
    setattr(KeyTests, f"test_{_row.role}_{_row.key}{_row.case and '_' + _row.case}", _make(_row))
