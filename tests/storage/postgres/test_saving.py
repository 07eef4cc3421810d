from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.storage.postgres.saving import Saving, array_of


class ArrayTests(SynchronousTestCase):
    """Columns as PostgreSQL writes arrays (its manual, §8.15.6)."""

    def test_texts(self) -> None:
        """No text reads as anything else: empty ones, the word NULL, braces, commas, quotes and backslashes stand in quotes."""
        self.assertEqual(
            array_of("text", ("", "NULL", None, "a,b", "{x}", ' "q" ', "\\", "ä")),
            r'{"","NULL",NULL,"a,b","{x}"," \"q\" ","\\","ä"}',
        )

    def test_numbers(self) -> None:
        """Numbers keep all of their digits."""
        self.assertEqual(array_of("float8", (1700003600.25, 0.1, -1)), "{1700003600.25,0.1,-1}")

    def test_octets(self) -> None:
        """Octets are written in hexadecimal."""
        self.assertEqual(array_of("bytea", (b"\0\xff\"", b"")), r'{"\\x00ff22","\\x"}')

    def test_rows(self) -> None:
        """One argument for each column; what a row has behind them is left out."""
        saving = Saving("t", {"a": "text", "b": "int4"}, ("a",))
        self.assertEqual(saving.arguments([("x", 1, 9), ("y", 2, 9)]), ['{"x","y"}', "{1,2}"])
        self.assertEqual(saving.execute.count("%s"), 2)
