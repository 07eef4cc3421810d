"""Connections that come and go: whatever is counted or kept of them goes, too."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sipnode.settings import DefenceSettings, LimitSettings

from ..transport.test_http import UPGRADE, request
from .support.site import missing
from .support.waiting import until
from .test_trunk import PhoneSite

MANY = int(os.environ.get("CONNECTIONS", "4000"))
"""Of each round; the figure of the manual is for 25,000."""
_AT_ONCE = 100
_RESET = struct.pack("ii", 1, 0)


def come_and_go(host: str, port: int, count: int, say: bytes, reset: bool) -> None:
    """Open so many, a hundred at a time; each says something or nothing, and is closed or reset."""
    for _ in range(count // _AT_ONCE):
        open_now = []
        for _ in range(_AT_ONCE):
            one = socket.create_connection((host, port), 10)
            if reset:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            if say:
                one.sendall(say)
            open_now.append(one)
        for one in open_now:
            if say:
                with contextlib.suppress(OSError):
                    one.recv(4096)
            one.close()


def memory(pid: int) -> float:
    """What a process has in memory, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024


class ConnectionsTests(TestCase):
    """On TCP and the WebSocket port."""

    timeout = 300
    skip = missing("rtpengine")

    async def test_all_gone(self) -> None:
        """Thousands of connections, silent, half a message, a whole handshake, closed or reset: gauges are 0, and memory doesn't grow."""
        free = LimitSettings(connections_per_source=_AT_ONCE * 4)
        site = await PhoneSite(self, limits=free, defence=DefenceSettings(enabled=False)).start()
        assert site.server.process is not None
        pid = site.server.process.pid
        half = b"INVITE sip:bob@live.test SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1"
        shake = request(UPGRADE | {"Origin": ""})
        rounds = [(site.sip, b"", False), (site.sip, half, True), (site.http, shake, False), (site.http, shake, True)]
        sizes = []
        for _ in range(2):
            for port, say, reset in rounds:
                waits = b"" if say == half else say
                await deferToThread(come_and_go, site.host, port, MANY // 2, waits, reset)

            async def gone() -> bool:
                info = await site.rpc("core.tcp_info")
                return int(info["opened_connections"]) == 0

            await until(gone, "no connection is left")
            sizes.append(memory(pid))
        flows = await site.rpc("core.tcp_list")
        self.assertEqual(list(flows), [])
        self.assertLess(sizes[1] - sizes[0], 4.0, f"MiB after each half: {sizes}")
