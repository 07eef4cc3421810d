"""Methods from functions, and their types."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import RpcError
from sipnode.rpc.registry import Registry, method_of, rpc
from sipnode.rpc.schema import fault, schema


class Shape(TypedDict):
    name: str
    count: NotRequired[int]


def sample(table: str, count: int = 3, *rest: float) -> Deferred[list[Shape]]:
    """What it does. And more.

    Even more.
    """
    return succeed([])


class MethodTests(SynchronousTestCase):
    """A function as a method."""

    def test_described_by_itself(self) -> None:
        """Name, help, parameters and result come from the function."""
        method = method_of("a.b", sample)
        self.assertEqual(method.summary, "What it does. And more")
        self.assertEqual(method.usage(), "a.b TABLE [COUNT] [REST ...]")
        self.assertEqual(
            [(p.name, p.required, p.rest) for p in method.params], [("table", True, False), ("count", False, False), ("rest", False, True)]
        )
        self.assertEqual(schema(method.result)["items"]["required"], ["name"])

    def test_what_cant_be_a_method(self) -> None:
        """No annotation, no help, or a type that can't go over the wire: told at the start."""

        def bare(x) -> int:  # type: ignore[no-untyped-def]  # that is the point
            """Help."""
            return 1

        def silent(x: int) -> int:
            return x

        def odd(x: bytes) -> int:
            """Help."""
            return 1

        for function in (bare, silent, odd):
            self.assertRaises(TypeError, method_of, "a.b", function)

    def test_names_are_unique(self) -> None:
        """Two methods of a name are a fault of whoever adds the second."""
        registry = Registry()
        registry.add("a.b", sample)
        self.assertRaises(ValueError, registry.add, "a.b", sample)

    def test_family(self) -> None:
        """Only what is marked is there; a property isn't looked at."""

        class Family:
            @property
            def broken(self) -> int:
                raise AssertionError("looked at")

            @rpc("f.seen", changes=True)
            def seen(self) -> int:
                """Help."""
                return 1

            def hidden(self) -> int:
                """Help."""
                return 2

        registry = Registry()
        registry.add_family(Family())
        self.assertEqual(registry.names(), ["f.seen"])
        self.assertTrue(registry.get("f.seen").changes)
        self.assertEqual(self.assertRaises(RpcError, registry.get, "f.hidden").code, -32601)


class SchemaTests(SynchronousTestCase):
    """Types of values."""

    def test_faults(self) -> None:
        """A value of another type, a field too many or too few: said with its place."""
        for hint, value in (
            (int, 3),
            (float, 3),
            (str | None, None),
            (list[int], []),
            (Shape, {"name": "x"}),
            (dict[str, int], {"a": 1}),
            (Any, object()),
        ):
            self.assertEqual(fault(hint, value, "v"), "")
        for hint, value, wrong in (
            (int, True, "v has to be a whole number"),
            (str, 3, "v has to be text"),
            (list[int], [1, "2"], "v[1] has to be a whole number"),
            (Shape, {}, "v lacks name"),
            (Shape, {"name": "x", "odd": 1}, "v has no odd"),
            (Shape, {"name": "x", "count": "1"}, "v.count has to be a whole number"),
            (str | None, 3, "v has none of its types"),
        ):
            self.assertEqual(fault(hint, value, "v"), wrong)
