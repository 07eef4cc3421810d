"""Promises of ``sipnode.transport.tlsconfig``."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.transport.tlsconfig import load_tls_config, parse_tls_config

SEED = """
# comment
[server:default]
method = TLSv1
verify_certificate = no
require_certificate = no
private_key = ./key.pem      # behind a value
certificate = "./cert #1.pem"
[client:default]
verify_certificate = YES
require_certificate = yes
ca_list = /etc/ca.pem
[server:192.0.2.1:5061]
tls_method = TLSv1.3+
[server:192.0.2.1:5061]
server_name = A.example.com
server_name_mode = 1
[server:any]
server_name = b.example.com
[client:[2001:db8::1]:5061]
cipher_list = HIGH
"""


class Reading(SynchronousTestCase):
    """The format."""

    def test_sections(self) -> None:
        """All forms of sections are read, the same one several times, in the order of the file."""
        config = parse_tls_config(SEED, "/etc/tls/tls.cfg")
        self.assertEqual(
            [profile.name for profile in config.profiles],
            [
                "server:default",
                "client:default",
                "server:192.0.2.1:5061",
                "server:192.0.2.1:5061",
                "server:any",
                "client:[2001:db8::1]:5061",
            ],
        )

    def test_values(self) -> None:
        """Yes and no in any case, quotes, comments, and paths from the file's folder."""
        server, client, exact, named, *_ = parse_tls_config(SEED, "/etc/tls/tls.cfg").profiles
        self.assertEqual((server.private_key, server.certificate), ("/etc/tls/key.pem", "/etc/tls/cert #1.pem"))
        self.assertEqual((server.verify_certificate, client.verify_certificate, client.require_certificate), (False, True, True))
        self.assertEqual((client.ca_list, exact.tls_method, exact.verify_depth), ("/etc/ca.pem", "tlsv1.3+", 9))
        self.assertEqual((named.server_name, named.server_name_mode), ("a.example.com", 1))

    def test_old_methods(self) -> None:
        """Words for versions that no browser speaks are raised to TLS 1.2, and that is said with its line."""
        config = parse_tls_config(SEED, "/etc/tls/tls.cfg")
        self.assertEqual(config.profiles[0].tls_method, "tlsv1.2+")
        self.assertTrue(any("/etc/tls/tls.cfg:4:" in warning and "TLSv1" in warning for warning in config.warnings))

    def test_verify_without_authorities(self) -> None:
        """Verifying by the system's authorities is said."""
        config = parse_tls_config("[client:default]\nverify_certificate=1\n", "t")
        self.assertIn("t:1", config.warnings[0])

    def test_faults(self) -> None:
        """Each fault names file, line, section and key."""
        for text, line, word in (
            ("x = 1", 1, "before the first section"),
            ("[server]", 1, "no section"),
            ("[server:default", 1, "no section"),
            ("[proxy:default]", 1, "no section"),
            ("[server:example.com:5061]", 1, "no section"),
            ("[server:192.0.2.1]", 1, "no section"),
            ("[server:192.0.2.1:99999]", 1, "no section"),
            ("[server:default]\n\nverify_certificate = perhaps", 3, "verify_certificate"),
            ("[server:default]\nverify_depth = -1", 2, "verify_depth"),
            ("[server:default]\nmethod = TLSv9", 2, "tls_method"),
            ("[server:default]\ncertifcate = x", 2, "certifcate"),
            ("[server:default]\ncertificate", 2, "no '='"),
            ("[server:default]\nrequire_certificate = yes", 2, "verify_certificate"),
            ("[server:default]\nserver_name_mode = 1", 2, "server_name"),
            ("[server:default]\ncertificate = x", 1, "private_key"),
        ):
            error = self.assertRaises(ConfigError, parse_tls_config, text, "tls.cfg")
            self.assertEqual((error.file, error.line), ("tls.cfg", line), text)
            self.assertIn(word, str(error))

    def test_missing_file(self) -> None:
        """A file that isn't there is named."""
        path = os.path.join(self.mktemp(), "tls.cfg")
        self.assertIn(path, str(self.assertRaises(ConfigError, load_tls_config, path)))

    def test_sample(self) -> None:
        """The file that comes with the project is right."""
        path = os.path.join(os.path.dirname(__file__), "..", "..", "tls", "tls.cfg")
        config = load_tls_config(path)
        self.assertEqual([profile.name for profile in config.profiles], ["server:default", "client:default"])
        self.assertTrue(config.profiles[1].verify_certificate)

    @given(st.text(alphabet="[]:=# \"'\nserverclientdefault1.2", max_size=120))
    def test_any_text(self, text: str) -> None:
        """Any text is read or refused with a line."""
        try:
            parse_tls_config(text, "f")
        except ConfigError as error:
            self.assertGreater(error.line, 0)


class Choosing(SynchronousTestCase):
    """Which profile is for whom."""

    def setUp(self) -> None:
        self.config = parse_tls_config(SEED, "/etc/tls/tls.cfg")

    def test_servers(self) -> None:
        """The very address comes before the default, and those with a name follow for SNI."""
        own = self.config.servers("192.0.2.1", 5061)
        wanted = [("192.0.2.1", ""), ("192.0.2.1", "a.example.com"), ("any", "b.example.com")]
        self.assertEqual([(each.address, each.server_name) for each in own], wanted)
        other = self.config.servers("192.0.2.2", 5061)
        self.assertEqual([(each.address, each.server_name) for each in other], [("default", ""), ("any", "b.example.com")])

    def test_client(self) -> None:
        """The very destination comes before the default."""
        exact, default = self.config.client("2001:db8::1", 5061), self.config.client("192.0.2.9", 5061)
        assert exact is not None and default is not None
        self.assertEqual((exact.cipher_list, default.address), ("HIGH", "default"))
        self.assertIsNone(parse_tls_config("[server:default]", "f").client("192.0.2.9", 5061))
