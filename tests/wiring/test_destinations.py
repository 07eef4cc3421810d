from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.settings import (
    AuthSettings,
    CoreSettings,
    ManholeSettings,
    MediaSettings,
    MetricsSettings,
    ProxySettings,
    RpcSettings,
    Settings,
    StorageSettings,
)
from sipnode.testing import World
from sipnode.wiring.destinations import build_destinations, own_services

EVERYTHING = Settings(
    core=CoreSettings(listen=("udp:0.0.0.0:5060 advertise 203.0.113.1", "ws:127.0.0.1:8080")),
    rpc=RpcSettings(listen="127.0.0.1:8085"),
    metrics=MetricsSettings(listen="[::1]:9100"),
    manhole=ManholeSettings(listen="127.0.0.1:2222"),
    media=MediaSettings(nodes=("127.0.0.1:2223", "media.test:2223 weight 2")),
    storage=StorageSettings(url="postgres://u:p@localhost/sip"),
)


class WiringTests(SynchronousTestCase):
    """What of the settings is the server's own affair."""

    def test_services(self) -> None:
        """RPC, metrics, manhole, media daemons and database are."""
        wanted = [("127.0.0.1", 8085), ("::1", 9100), ("127.0.0.1", 2222), ("127.0.0.1", 2223), ("media.test", 2223), ("localhost", 5432)]
        self.assertEqual(own_services(EVERYTHING), wanted)
        self.assertEqual(own_services(Settings()), [])
        elsewhere = replace(Settings(), storage=StorageSettings(url="postgres://u@[2001:db8::1]:6000/x"))
        self.assertEqual(own_services(elsewhere), [("2001:db8::1", 6000)])

    def test_policy(self) -> None:
        """A listener on all addresses is sent to by none of them, nor a service on loopback, whoever asks; trunks are reached."""
        core = World().core
        settings = replace(EVERYTHING, auth=AuthSettings(trusted=("172.20.0.9", "127.0.0.0/8")))
        made = build_destinations(settings, core.is_own, core.own_host)
        self.assertEqual(made.refusal("127.0.0.7", 5060, "127.0.0.8"), "own_address")
        for port in (8085, 9100, 2222, 2223, 5432):
            self.assertEqual(made.refusal("127.0.0.1", port, "127.0.0.8"), "own_service", port)
        self.assertEqual(made.refusal("172.20.0.9", 5060, "198.51.100.1"), "")
        self.assertEqual(made.refusal("172.20.0.8", 5060, "198.51.100.1"), "private")
        self.assertEqual(made.refusal("127.0.0.8", 6379, "198.51.100.1"), "this_machine")

    def test_setting(self) -> None:
        """An entry that can't be read stops the start."""
        core = World().core
        settings = Settings(proxy=ProxySettings(destinations=("lan",)))
        self.assertRaises(ConfigError, build_destinations, settings, core.is_own, core.own_host)
