"""Promises of ``sipnode.transport.tls.config``."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.transport.tls.config import load_tls_config, parse_tls_config

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


# The forms of the configuration that this project began with, in our own words: an old method, a client that requires what it
# can't check by a list, examples that are commented out.
SEED_CFG = """
[server:default]
method = TLSv1
verify_certificate = no
require_certificate = no
private_key = ./kamailio-selfsigned.key
certificate = ./kamailio-selfsigned.pem
[client:default]
verify_certificate = yes
require_certificate = yes
#[server:127.0.0.1:5061]
#method = SSLv23
#verify_depth = 3
#ca_list = local_ca.pem
#[client:1.2.3.4:5061]
#crl = example_crl.pem
"""
SEED_DEFAULT_CFG = """[server:default]
tls_method = SSLv23
verify_certificate = 0
require_certificate = 0
private_key = /etc/kamailio/key.pem
certificate = /etc/kamailio/cert.pem
[client:default]
tls_method = SSLv23
verify_certificate = 0
require_certificate = 0
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
            ("[server:any]\nverify_depth = 1", 1, "[server:default] for all"),
            ("[server:default]\n[client:default]\n[server:default]", 3, "line 1"),
            ("[server:[::1]:5061]\nserver_name=a\n[server:[0:0::1]:5061]\nserver_name=A", 3, "line 1"),
        ):
            error = self.assertRaises(ConfigError, parse_tls_config, text, "tls.cfg")
            self.assertEqual((error.file, error.line), ("tls.cfg", line), text)
            self.assertIn(word, str(error))

    def test_seed(self) -> None:
        """The two files of the seed load as they are: old words are raised and said, and so is whom a client believes."""
        for text, said in (
            (SEED_CFG, ["3: [server:default] tls_method TLSv1 ", "8: [client:default] verifies without ca_list"]),
            (SEED_DEFAULT_CFG, ["2: [server:default] tls_method SSLv23 ", "8: [client:default] tls_method SSLv23 "]),
        ):
            config = parse_tls_config(text, "/etc/kamailio/tls.cfg")
            self.assertEqual([each.name for each in config.profiles], ["server:default", "client:default"])
            self.assertEqual({each.tls_method for each in config.profiles}, {"tlsv1.2+"})
            self.assertEqual(len(config.warnings), len(said), config.warnings)
            for warning, words in zip(sorted(config.warnings), sorted(said), strict=True):
                self.assertTrue(warning.startswith(f"/etc/kamailio/tls.cfg:{words}"), warning)

    def test_unused(self) -> None:
        """A section for an address that nobody listens at is said; port 0 and 0.0.0.0 may be any."""
        config = parse_tls_config("[server:192.0.2.1:5061]\n[server:[2001:DB8::1]:5061]\n[client:192.0.2.9:5061]\n[server:default]", "t")
        self.assertEqual(len(config.unused([])), 2)
        self.assertIn("t:1: [server:192.0.2.1:5061]", config.unused([("2001:db8:0::1", 5061), ("192.0.2.1", 5062)])[0])
        self.assertEqual(config.unused([("0.0.0.0", 5061)]), [])
        self.assertEqual(config.unused([("192.0.2.1", 0), ("2001:db8::1", 5061)]), [])

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

    def test_client_by_name(self) -> None:
        """Among sections for one destination the name that is asked for decides, then the first without; server_id names one."""
        text = """
            [client:192.0.2.1:5061]
            server_name = a.example
            [client:192.0.2.1:5061]
            verify_depth = 3
            [client:default]
            [client:default]
            server_id = trunk
            verify_depth = 5
            [client:192.0.2.2:5061]
            server_name = only.example
        """
        config = parse_tls_config(text, "f")

        def chosen(*place: Any) -> tuple[str, str, int]:
            profile = config.client(*place)
            assert profile is not None
            return profile.name, profile.server_name, profile.verify_depth

        self.assertEqual(chosen("192.0.2.1", 5061, "A.example"), ("client:192.0.2.1:5061", "a.example", 9))
        self.assertEqual(chosen("192.0.2.1", 5061, "b.example"), ("client:192.0.2.1:5061", "", 3))
        self.assertEqual(chosen("192.0.2.2", 5061, "b.example"), ("client:192.0.2.2:5061", "only.example", 9))
        self.assertEqual(chosen("192.0.2.1", 5061, "a.example", "trunk"), ("client:default", "", 5))
        self.assertIsNone(config.client("192.0.2.1", 5061, "a.example", "none"))

    def test_one_form(self) -> None:
        """An IPv6 address is the same however it is written."""
        config = parse_tls_config("[client:[2001:DB8:0:0::1]:5061]\nverify_depth=2", "f")
        found = config.client("2001:db8::1", 5061)
        assert found is not None
        self.assertEqual((found.name, found.verify_depth), ("client:[2001:db8::1]:5061", 2))
