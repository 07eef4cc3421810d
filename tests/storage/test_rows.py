from __future__ import annotations

import sqlite3

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.records import Binding
from sipnode.storage.rows import binding_of, row_of, text_of, text_value

# What a header decoded with surrogateescape can hold.
texts = st.binary(max_size=40).map(lambda octets: octets.decode("utf-8", "surrogateescape"))
whole = st.integers(0, (1 << 62))


class RowTests(SynchronousTestCase):
    """Bindings as rows."""

    @given(st.builds(Binding, texts, texts, st.floats(0, 1e10), texts, call_id=texts, path=texts, instance=texts, reg_id=whole, cseq=whole))
    def test_round_trip(self, binding: Binding) -> None:
        """A binding is the same after the way through a row."""
        self.assertEqual(binding_of(row_of(binding)), binding)

    @given(texts)
    def test_database_takes_it(self, text: str) -> None:
        """SQLite takes every text and gives it back."""
        with sqlite3.connect(":memory:") as connection:
            value = connection.execute("SELECT ?", (text_value(text),)).fetchone()[0]
        connection.close()
        self.assertEqual(text_of(value), text)
