"""A server in memory with its RPC, and one line to call it."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.rpc import schema
from sipnode.rpc.endpoint import Endpoint
from sipnode.testing import World
from sipnode.wiring.rpc import parts_of, registry_of


class RpcCase(SynchronousTestCase):
    """A world, and its methods."""

    def setUp(self) -> None:
        self.prepare(World())

    def prepare(self, world: World, **parts: Any) -> None:
        """Take another world."""
        self.world = world
        self.core = world.core
        self.parts = parts_of(world.core, world.settings, insight=world.insight, **parts)
        self.parts.scripts = world.scripts
        self.registry = registry_of(self.parts)
        self.endpoint = Endpoint(self.registry)

    def send(self, body: bytes | str | list[Any] | dict[str, Any]) -> Any:
        """What a request brings; None for nothing."""
        octets = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        pieces = self.successResultOf(self.endpoint.handle(octets, "test"))
        return None if pieces is None else json.loads(b"".join(pieces))

    def call(self, method: str, *params: Any) -> Any:
        """The result of a method, which is of the shape that it promises."""
        answer = self.send({"jsonrpc": "2.0", "method": method, "params": list(params), "id": 1})
        self.assertNotIn("error", answer)
        self.assertEqual(schema.fault(self.registry.get(method).result, answer["result"], method), "")
        return answer["result"]

    def refused(self, method: str, *params: Any) -> tuple[int, str]:
        """Code and message of a method that refuses."""
        answer = self.send({"jsonrpc": "2.0", "method": method, "params": list(params), "id": 1})
        self.assertNotIn("result", answer)
        return answer["error"]["code"], answer["error"]["message"]
