"""Where plugin stages stand."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.routing.order import place

ROUTE = ("a", "b", "c", "d")


@dataclass
class Stage:
    """What a plugin declares."""

    name: str
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()


class PlaceTests(SynchronousTestCase):
    """after and before."""

    def test_places(self) -> None:
        """Right behind the last of ``after``; else right before the first of ``before``."""
        for stage, expected in (
            (Stage("x", after=("b",)), "abxcd"),
            (Stage("x", after=("a", "c")), "abcxd"),
            (Stage("x", before=("c",)), "abxcd"),
            (Stage("x", before=("d", "b")), "axbcd"),
            (Stage("x", after=("a",), before=("d",)), "axbcd"),
            (Stage("x", before=("a",)), "xabcd"),
            (Stage("x", after=("d",)), "abcdx"),
        ):
            self.assertEqual("".join(place(ROUTE, [stage])), expected)

    def test_beside_another_plugin(self) -> None:
        """A stage may stand beside one that was placed before it."""
        self.assertEqual("".join(place(ROUTE, [Stage("x", after=("b",)), Stage("y", after=("x",))])), "abxycd")

    def test_unplaceable(self) -> None:
        """Unknown neighbours, contradictions, taken names and no place at all stop the start, each with the stage's name."""
        for stage in (
            Stage("x", after=("nowhere",)),
            Stage("x", before=("nowhere",)),
            Stage("x", after=("c",), before=("b",)),
            Stage("b", after=("a",)),
            Stage("x"),
        ):
            error = self.assertRaises(ConfigError, place, ROUTE, [stage])
            self.assertIn(repr(stage.name), str(error))
            self.assertEqual(error.key, "routing.stages")

    @given(st.sets(st.sampled_from(ROUTE)), st.sets(st.sampled_from(ROUTE)))
    def test_promises_are_kept(self, after: set[str], before: set[str]) -> None:
        """Wherever a stage is placed, all of ``after`` come before it and all of ``before`` behind it."""
        try:
            names = place(ROUTE, [Stage("x", tuple(after), tuple(before))])
        except ConfigError:
            self.assertTrue(not after | before or max(map(ROUTE.index, after), default=-1) >= min(map(ROUTE.index, before), default=9))
            return
        at = names.index("x")
        self.assertTrue(all(names.index(name) < at for name in after) and all(names.index(name) > at for name in before))
        self.assertEqual([name for name in names if name != "x"], list(ROUTE))
