"""Promises of ``sipnode.transport.handshake``."""

from __future__ import annotations

import base64
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.transport.handshake import Handshake, HandshakeRules, split_host

GOOD = Handshake(
    method="GET",
    version="HTTP/1.1",
    host="sip.example.com:8080",
    upgrade=["WebSocket"],
    connection=["keep-alive", "Upgrade"],
    origin="https://sip.example.com:8080",
    key=base64.b64encode(bytes(16)).decode(),
    ws_version="13",
    protocols=["chat", "sip"],
)
OURS = {"sip.example.com", "203.0.113.5", "2001:db8::1"}


def rules(origins: tuple[str, ...] = ("self",), require: bool = False) -> HandshakeRules:
    """Rules where OURS are ours."""
    return HandshakeRules(OURS.__contains__, origins, require)


class HostTests(SynchronousTestCase):
    """Whose name is asked for."""

    def test_ours(self) -> None:
        """A name of ours passes with any port, in any case; so does the very address that the connection came in at."""
        for host in ("sip.example.com", "SIP.Example.COM:1", "sip.example.com.", "203.0.113.5:8080", "[2001:db8::1]:80", "127.0.0.1:8080"):
            self.assertIsNone(rules().check_host(host, "127.0.0.1"), host)
        self.assertIsNone(rules().check_host("localhost:8080", "127.0.0.1"))

    def test_not_ours(self) -> None:
        """Another name, none, two, or nonsense is refused with 403."""
        for host in ("evil.example", "", "sip.example.com,evil.example", "sip.example.com@evil", "[::1", "a:b", "example.com", "127.0.0.2"):
            refusal = rules().check_host(host, "127.0.0.1")
            assert refusal is not None, host
            self.assertEqual(refusal.status, 403)

    def test_localhost_from_outside(self) -> None:
        """The name localhost is ours only where the connection is local."""
        self.assertIsNotNone(rules().check_host("localhost", "203.0.113.5"))

    @given(st.text(max_size=40))
    def test_any_text(self, text: str) -> None:
        """Any text is split or refused without an error."""
        host, port = split_host(text)
        self.assertTrue(port >= 0 and "/" not in host)


class UpgradeTests(SynchronousTestCase):
    """The handshake itself."""

    def status(self, shake: Handshake, **settings: object) -> int:
        refusal = rules(**settings).check_upgrade(shake)  # type: ignore[arg-type]  # the settings of rules()
        return 101 if refusal is None else refusal.status

    def test_is_upgrade(self) -> None:
        """Only GET with both headers is a handshake; Upgrade-Insecure-Requests is none."""
        self.assertTrue(GOOD.is_upgrade)
        for other in (
            replace(GOOD, method="POST"),
            replace(GOOD, upgrade=[]),
            replace(GOOD, upgrade=["h2c"]),
            replace(GOOD, connection=["keep-alive"]),
            replace(GOOD, connection=["Upgrade-Insecure-Requests"]),
        ):
            self.assertFalse(other.is_upgrade)

    def test_statuses(self) -> None:
        """Each fault has its status."""
        for shake, status in (
            (GOOD, 101),
            (replace(GOOD, version="HTTP/1.0"), 400),
            (replace(GOOD, ws_version="8"), 426),
            (replace(GOOD, ws_version=""), 426),
            (replace(GOOD, key=""), 400),
            (replace(GOOD, key="AAAA"), 400),
            (replace(GOOD, key="*" * 24), 400),
            (replace(GOOD, protocols=[]), 400),
            (replace(GOOD, protocols=["chat"]), 400),
        ):
            self.assertEqual(self.status(shake), status, shake)

    def test_version_is_told(self) -> None:
        """A 426 says which version we speak."""
        refusal = rules().check_upgrade(replace(GOOD, ws_version="8"))
        assert refusal is not None
        self.assertIn(("Sec-WebSocket-Version", "13"), refusal.headers)

    def test_origins(self) -> None:
        """'self' is the host and port of the page; patterns name others; '*' is everybody; 'null' is nobody."""
        for origins, origin, status in (
            (("self",), "https://sip.example.com:8080", 101),
            (("self",), "https://sip.example.com", 403),
            (("self",), "http://evil.example:8080", 403),
            (("self",), "null", 403),
            (("http://127.0.0.1:*",), "http://127.0.0.1:49152", 101),
            (("http://127.0.0.1:*",), "https://127.0.0.1:49152", 403),
            (("http://127.0.0.1:*",), "http://127.0.0.1.evil.example:80", 403),
            (("https://app.example",), "https://app.example", 101),
            (("https://app.example",), "https://app.example:443", 101),
            (("https://app.example",), "https://app.example:444", 403),
            (("*",), "null", 101),
            ((), "https://sip.example.com:8080", 403),
            (("self",), "https://[::1", 403),
            (("self",), "", 403),
        ):
            self.assertEqual(self.status(replace(GOOD, origin=origin), origins=origins), status, (origins, origin))

    def test_no_origin(self) -> None:
        """A handshake without Origin is no browser's: it passes unless the settings forbid it."""
        self.assertEqual(self.status(replace(GOOD, origin=None)), 101)
        self.assertEqual(self.status(replace(GOOD, origin=None), require=True), 403)

    def test_self_with_default_port(self) -> None:
        """'self' knows the default port of the scheme."""
        shake = replace(GOOD, host="sip.example.com", origin="https://sip.example.com")
        self.assertEqual(self.status(shake), 101)
