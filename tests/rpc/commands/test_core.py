"""core.*, corex.*, ws.* and tls.*: the program, its listeners, its connections."""

from __future__ import annotations

import os

from sipnode.rpc.connections import connection_number
from sipnode.testing import World, listener_of
from tests.rpc.support import RpcCase


class _Transports:
    """Listeners that nobody listens on."""

    def __init__(self) -> None:
        self.listeners = [listener_of(transport) for transport in ("UDP", "TCP", "TLS", "WS")]


class ProgramTests(RpcCase):
    """What it is and since when it runs."""

    def test_version(self) -> None:
        """The version stands in each of the places where Kamailio's scripts look for it."""
        self.assertIn(self.parts.version, self.call("core.version"))
        self.assertIn(self.parts.version, self.call("core.info")["version"])
        self.assertEqual(self.call("core.runinfo")["version"], self.parts.version)
        self.assertEqual(self.call("core.flags"), self.call("core.info")["flags"])

    def test_uptime(self) -> None:
        """Seconds since the start, also in days."""
        self.world.clock.advance(90_061)
        self.assertEqual(self.call("core.uptime")["uptime"], 90_061)
        self.assertEqual(self.call("core.runinfo")["utime_days"], "1d 1h 1m 1s")

    def test_processes(self) -> None:
        """There is one process, this one."""
        self.assertEqual(self.call("core.ps")[0], os.getpid())
        self.assertEqual(self.call("core.psx")[0]["PID"], os.getpid())
        self.assertEqual(self.call("core.psa")[0]["pid"], os.getpid())
        self.assertEqual(self.call("core.pwd"), [os.getcwd()])
        self.assertEqual(self.call("core.arg"), self.parts.arguments)

    def test_echo(self) -> None:
        """Words come back as they were."""
        self.assertEqual(self.call("core.echo", "a", 3, 0.5), ["a", 3, 0.5])
        self.assertEqual(self.call("core.echo"), [])

    def test_listeners(self) -> None:
        """Every listener, with what it advertises where that differs."""
        transports = _Transports()
        self.prepare(World(), transports=transports)
        self.assertEqual([entry["socket"]["proto"] for entry in self.call("core.sockets_list")], ["udp", "tcp", "tls", "ws"])
        self.assertNotIn("advertise", self.call("core.sockets_list")[0]["socket"])
        self.patch(transports.listeners[0], "via_host", "203.0.113.5")
        self.assertEqual(self.call("core.sockets_list")[0]["socket"]["advertise"], "203.0.113.5:5060")
        self.assertEqual([entry["ADVERTISE"] for entry in self.call("corex.list_sockets")][:2], ["203.0.113.5:5060", "-"])
        self.assertEqual([alias["address"] for alias in self.call("core.aliases_list")["aliases"]], ["example.test"])


class ConnectionTests(RpcCase):
    """Connections by number."""

    def setUp(self) -> None:
        super().setUp()
        self.phone = self.world.phone("alice", "TLS")
        self.browser = self.world.phone("bob", "WSS")
        self.world.phone("carol").register()

    def test_list(self) -> None:
        """UDP has none; each other one is there with its ends."""
        rows = {row["type"]: row for row in self.call("core.tcp_list")}
        self.assertEqual(set(rows), {"TLS", "WSS"})
        self.assertEqual((rows["TLS"]["src_ip"], rows["TLS"]["src_port"]), self.phone.flow.remote)
        self.assertEqual({row["id"] for row in self.call("tls.list")}, {row["id"] for row in rows.values()})
        info = self.call("core.tcp_info")
        self.assertEqual((info["opened_connections"], info["opened_tls_connections"]), (2, 2))
        self.assertEqual(self.call("tls.info")["opened_connections"], 2)
        self.assertEqual(self.call("core.tcp_options")["conn_wq_max"], self.world.settings.limits.write_buffer_bytes)

    def test_websockets(self) -> None:
        """ws.dump has one line for each; ws.close closes the one that is named, and no other kind."""
        dump = self.call("ws.dump")
        self.assertEqual((len(dump["connections"]), dump["info"]["wscounter"]), (1, 1))
        number = int(dump["connections"][0].partition(":")[0])
        self.assertEqual(self.call("ws.dump", "used_asc"), self.call("ws.dump", "used_desc"))
        self.assertEqual(self.refused("ws.dump", "odd"), (400, "Bad display order parameter"))
        for other in (number + 1, connection_number(self.phone.flow.token)):
            self.assertEqual(self.refused("ws.close", other), (500, "Unknown connection ID"))
        self.assertEqual(self.call("ws.close", number), {})
        self.assertEqual((self.browser.flow.closed, self.phone.flow.closed), (True, False))

    def test_numbers(self) -> None:
        """A number is the count in the token; UDP has -1."""
        self.assertEqual(connection_number("0123456789-1z"), 71)
        self.assertEqual(connection_number(""), -1)
        self.assertNotEqual(connection_number("odd"), connection_number("odder"))


class TlsTests(RpcCase):
    """tls.options and tls.reload."""

    def test_without(self) -> None:
        """Without a tls.cfg there is nothing to say."""
        self.assertIsNone(self.call("tls.options")["certificate"])

    def test_reload(self) -> None:
        """A file at fault is told, else Kamailio's words."""
        from sipnode.errors import ConfigError

        self.assertEqual(self.call("tls.reload"), "Ok. TLS configuration reloaded.")

        def fail() -> None:
            raise ConfigError("no such file", "tls.cfg", 3)

        self.parts.reload_tls = fail
        self.assertEqual(self.refused("tls.reload"), (500, "Error while fixing TLS configuration: tls.cfg:3: no such file"))
