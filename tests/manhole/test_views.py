"""Tables at the prompt."""

from __future__ import annotations

import inspect
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.manhole.views import MOST_ROWS, Text, Verb, View


def numbers(count: int) -> View:
    """A view of so many numbers."""

    def double(number: int) -> int:
        """double(number) is twice of it."""
        return 2 * number

    return View("Numbers", lambda: range(count), lambda number: {"number": number, "name": f"n{number}"}, {"double": double}, "no numbers")


class ViewTests(SynchronousTestCase):
    """One kind of things."""

    def test_table(self) -> None:
        """Names over values; nothing is said to be nothing."""
        self.assertEqual(repr(numbers(2)), "number  name\n0       n0\n1       n1")
        self.assertEqual(repr(numbers(0)), "no numbers")

    def test_long(self) -> None:
        """A long table ends with how to see the rest; .all is the rest too, without quotes."""
        view = numbers(MOST_ROWS + 5)
        self.assertEqual(len(repr(view).splitlines()), MOST_ROWS + 2)
        self.assertIn("5 more", repr(view))
        self.assertEqual(len(repr(view.all).splitlines()), MOST_ROWS + 6)

    def test_objects(self) -> None:
        """Behind the rows are the things: by loop, by number, by a text that only one of them has."""
        view = numbers(12)
        self.assertEqual((len(view), list(view)[3], view[-1], view["n7"]), (12, 3, 11, 7))
        self.assertEqual([list(view.find("N1")), len(view.find("no such"))], [[1, 10, 11], 0])
        for wrong in ("n1", "nobody"):
            self.assertRaises(KeyError, lambda text: view[text], wrong)
        self.assertRaises(IndexError, lambda: view[99])

    def test_verbs(self) -> None:
        """Verbs are called by their names, listed by help and dir; another name says which there are."""
        view = numbers(1)
        self.assertEqual(view.double(4), 8)
        self.assertIn("double(number) is twice of it", view.__doc__ or "")
        self.assertIn("double", dir(view))
        error = self.assertRaises(AttributeError, getattr, view, "treble")
        self.assertIn("double", str(error))

    def test_strangers_text(self) -> None:
        """What somebody sent can't steer the terminal."""
        view = View("Contacts", lambda: ["\x1b[2Jhello\r\n"], lambda text: {"contact": text})
        self.assertNotIn("\x1b", repr(view))
        self.assertIn("\\x1b[2Jhello\\r\\n", repr(view))

    def test_what_goes_while_one_looks(self) -> None:
        """A loop may remove what it loops over."""
        things: dict[int, Any] = {1: "a", 2: "b"}
        for one in View("Things", things.keys, lambda key: {"key": key}):
            del things[one]
        self.assertEqual(things, {})


class WordTests(SynchronousTestCase):
    """Texts and verbs."""

    def test_text(self) -> None:
        """A text stands there as it is."""
        self.assertEqual(repr(Text("a\nb")), "a\nb")

    def test_verb(self) -> None:
        """A verb without its parentheses says what it is for."""

        def reload() -> int:
            """Read all anew."""
            return 5

        verb = Verb(reload, "reload()")
        self.assertEqual((repr(verb), verb()), ("reload(): Read all anew.", 5))
        self.assertEqual((verb.__name__, str(inspect.signature(verb))), ("reload", "() -> 'int'"))
