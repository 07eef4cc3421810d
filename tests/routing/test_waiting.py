"""Coroutines of asyncio in a stage: with asyncio's reactor they are awaited, without it the fault is plain."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase

from sipnode.routing import RoutingScript, from_asyncio
from sipnode.routing.waiting import WrongReactor
from sipnode.testing import World

TOP = Path(__file__).parents[2]
PROGRAM = """
from twisted.internet import asyncioreactor
asyncioreactor.install()
import asyncio
from twisted.internet import reactor
from sipnode.routing import Reject, RoutingScript, from_asyncio
from sipnode.testing import World

async def status(number):
    await asyncio.sleep(0)
    event = asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)
    await event.wait()
    return number

class Site(RoutingScript):
    async def location(self, r):
        number = await from_asyncio(status(604))
        try:
            await from_asyncio(broken())
        except KeyError:
            raise Reject(number)

async def broken():
    raise KeyError(1)

world = World(script=Site)
alice = world.phone("alice")

def begin():
    alice.send("INVITE", "sip:bob@example.test")

def look():
    if len(alice.inbox) < 2:
        reactor.callLater(0, look)
    else:
        print(alice.statuses())
        reactor.stop()

reactor.callWhenRunning(begin)
reactor.callWhenRunning(look)
reactor.callLater(20, reactor.stop)
reactor.run()
"""


class AsyncioTests(SynchronousTestCase):
    """from_asyncio"""

    def test_awaited(self) -> None:
        """A stage awaits what asyncio gives it, results and exceptions."""
        done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=TOP, capture_output=True, text=True, timeout=60)
        self.assertEqual((done.stdout, done.returncode), ("[100, 604]\n", 0), done.stderr[-2000:])

    def test_other_reactor(self) -> None:
        """Without asyncio's reactor the fault says how to start the server, no coroutine is left behind, and the request gets 500."""
        if hasattr(reactor, "_asyncioEventloop"):
            return
        coroutine = asyncio.sleep(0)
        self.assertIn("--reactor=asyncio", str(self.assertRaises(WrongReactor, from_asyncio, coroutine)))
        self.assertRaises(RuntimeError, coroutine.send, None)

        class Site(RoutingScript):
            async def location(self, r: Any) -> Any:
                await from_asyncio(asyncio.sleep(0))

        alice = World(script=Site).phone("alice")
        alice.send("MESSAGE", "sip:bob@example.test")
        self.assertEqual(alice.statuses(), [500])
        self.assertEqual(len(self.flushLoggedErrors(WrongReactor)), 1)
