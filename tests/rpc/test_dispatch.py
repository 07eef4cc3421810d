"""JSON-RPC 2.0 as text, and the calls that it asks for."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import RpcError, StorageBusy
from sipnode.rpc import dispatch
from sipnode.rpc.endpoint import Endpoint
from sipnode.rpc.registry import Registry

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


class EndpointTests(SynchronousTestCase):
    """Requests against a few methods."""

    def setUp(self) -> None:
        self.ran: list[Any] = []
        registry = Registry()
        for name in ("add", "note", "later", "refuse", "busy", "broken"):
            registry.add(name, getattr(self, f"do_{name}"))
        self.endpoint = Endpoint(registry)

    def do_add(self, first: int, second: int = 1) -> int:
        """A sum."""
        self.ran.append((first, second))
        return first + second

    def do_note(self, *words: str) -> int:
        """Keep words."""
        self.ran.append(words)
        return len(words)

    def do_later(self) -> Deferred[str]:
        """A word, by and by."""
        return succeed("now")

    def do_refuse(self) -> None:
        """No."""
        raise RpcError(404, "Not found")

    def do_busy(self) -> Deferred[None]:
        """The store is full."""
        return fail(StorageBusy("full"))

    def do_broken(self) -> None:
        """A fault of ours."""
        raise ZeroDivisionError("secret detail")

    def send(self, body: Any) -> Any:
        octets = body if isinstance(body, bytes) else json.dumps(body).encode()
        pieces = self.successResultOf(self.endpoint.handle(octets, "test"))
        return None if pieces is None else json.loads(b"".join(pieces))

    def code(self, body: Any) -> int:
        """Code of the error that a request brings."""
        answer = self.send(body)
        self.assertEqual(answer["jsonrpc"], "2.0")
        return int(answer["error"]["code"])

    def call(self, method: Any, params: Any = None, **more: Any) -> dict[str, Any]:
        """A call as an object."""
        return {"jsonrpc": "2.0", "method": method, "id": 1, **({} if params is None else {"params": params}), **more}

    def test_call(self) -> None:
        """By position, by name, with its default; the id comes back as it was."""
        self.assertEqual(self.send(self.call("add", [2, 3])), {"jsonrpc": "2.0", "result": 5, "id": 1})
        self.assertEqual(self.send(self.call("add", {"second": 3, "first": 2}))["result"], 5)
        self.assertEqual(self.send(self.call("add", [2], id="seven")), {"jsonrpc": "2.0", "result": 3, "id": "seven"})
        self.assertEqual(self.send(self.call("note", ["a", "b"]))["result"], 2)
        self.assertEqual(self.send(self.call("later"))["result"], "now")
        self.assertIsNone(self.send(self.call("add", [1], id=None))["id"])

    def test_not_json(self) -> None:
        """What isn't JSON is -32700 with id null, however deep or long it is."""
        for body in (b"", b"{", b"\xff", b"nonsense", b"[" * 100_000, b'{"jsonrpc": NaN}', b'{"id": ' + b"9" * 10_000 + b"}"):
            self.assertEqual(self.code(body), -32700, body[:20])
            self.assertIsNone(self.send(body)["id"])

    def test_not_a_request(self) -> None:
        """JSON that is no call is -32600, and nothing runs."""
        for body in (
            3,
            "add",
            None,
            [],
            {},
            {"method": "add", "id": 1},
            self.call("add", [1], jsonrpc="1.0"),
            self.call(3),
            self.call(""),
            self.call("add", "text"),
            self.call("add", [1], id={}),
            self.call("add", [1], id=True),
        ):
            self.assertEqual(self.code(body), -32600, body)
        self.assertEqual(self.ran, [])

    def test_unknown(self) -> None:
        """A method that isn't there is -32601."""
        self.assertEqual(self.code(self.call("nosuch")), -32601)
        self.assertEqual(self.code(self.call("do_add", [1])), -32601)

    def test_wrong_params(self) -> None:
        """Too few, too many, of the wrong type, of unknown names: -32602, and nothing runs."""
        for params in ([], [1, 2, 3], ["1"], [1.5], [True], [None], [1, None], {"first": 1, "third": 2}, {"second": 1}, [[1]], [{}]):
            self.assertEqual(self.code(self.call("add", params)), -32602, params)
        self.assertEqual(self.code(self.call("note", ["a", 3])), -32602)
        self.assertEqual(self.ran, [])

    def test_notification(self) -> None:
        """Without an id it runs and says nothing, even when it fails."""
        call = self.call("add", [1])
        del call["id"]
        self.assertIsNone(self.send(call))
        self.assertEqual(self.ran, [(1, 1)])
        self.assertIsNone(self.send({"jsonrpc": "2.0", "method": "nosuch"}))
        self.assertIsNone(self.send([call, call]))

    def test_batch(self) -> None:
        """Calls of a batch run in order; each with an id has its answer, one at fault spoils no other."""
        answer = self.send([self.call("add", [1], id=1), 5, {"jsonrpc": "2.0", "method": "add", "params": [7]}, self.call("refuse", id=2)])
        self.assertEqual(
            [(a["id"], a.get("result"), a.get("error", {}).get("code")) for a in answer],
            [(1, 2, None), (None, None, -32600), (2, None, 404)],
        )
        self.assertEqual(self.ran, [(1, 1), (7, 1)])

    def test_long_batch(self) -> None:
        """A batch of more calls than may be is refused as a whole."""
        self.assertEqual(self.code([self.call("add", [1])] * (dispatch.MOST_CALLS + 1)), -32600)
        self.assertEqual(self.ran, [])

    def test_refusals(self) -> None:
        """A method's own refusal has its code; a fault of ours says nothing of itself and is logged."""
        self.assertEqual(self.send(self.call("refuse"))["error"], {"code": 404, "message": "Not found"})
        self.assertEqual(self.send(self.call("busy"))["error"], {"code": 500, "message": "full"})
        self.assertEqual(self.send(self.call("broken"))["error"], {"code": -32603, "message": "Internal error"})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    @given(JSON)
    def test_any_document(self, document: Any) -> None:
        """Whatever the JSON is, the outcome is an answer, or nothing for a notification."""
        batch = dispatch.read(json.dumps(document).encode())
        self.assertTrue(batch.calls)

    @given(st.binary())
    def test_any_octets(self, body: bytes) -> None:
        """Whatever the octets are, nothing is raised."""
        self.assertTrue(dispatch.read(body).calls)


class EncodedTests(SynchronousTestCase):
    """Answers in pieces."""

    @given(JSON)
    def test_is_json(self, value: Any) -> None:
        """The pieces together are the value."""
        self.assertEqual(json.loads(b"".join(dispatch.encoded(value))), value)

    def test_long_lists(self) -> None:
        """A long list is made in pieces, and only as far as they are asked for."""
        made = []

        def items() -> Any:
            for number in range(1000):
                made.append(number)
                yield {"number": number}

        pieces = dispatch.encoded({"rows": dispatch.Rows(items()), "end": [1] * 250})
        first = [next(pieces) for _ in range(3)]
        self.assertEqual(len(made), 100)
        document = json.loads(b"".join([*first, *pieces]))
        self.assertEqual((len(document["rows"]), len(document["end"])), (1000, 250))

    def test_plain(self) -> None:
        """Rows become a list for those who want all at once."""
        self.assertEqual(dispatch.plain({"a": dispatch.Rows(iter([1, 2])), "b": [dispatch.Rows([])]}), {"a": [1, 2], "b": [[]]})
