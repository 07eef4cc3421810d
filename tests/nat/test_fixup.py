"""Tests of what natted senders' messages get."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.nat.fixup import fix_nated_register
from sipnode.records import BindingFlag


class RegisterTests(SynchronousTestCase):
    """Flags of a binding."""

    def test_flags(self) -> None:
        """A WebSocket end is natted and web whatever was found; others are natted when something was; pings are for UDP."""
        natb, ping, web = BindingFlag.NATB, BindingFlag.NATSIPPING, BindingFlag.RTPWS
        for hits, transport, flags in (
            (0, "UDP", 0),
            (0, "TCP", 0),
            (0, "TLS", 0),
            (0, "WS", natb | web),
            (64, "WSS", natb | web),
            (1, "UDP", natb | ping),
            (2, "TCP", natb),
            (16, "TLS", natb),
        ):
            self.assertEqual(fix_nated_register(hits, transport), flags, (hits, transport))
