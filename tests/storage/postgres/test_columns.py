from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.records import Binding
from sipnode.storage.postgres.columns import Statements, binding_of, row_of, text_of, text_value
from tests.storage.suite import binding


class ColumnTests(SynchronousTestCase):
    """Bindings as rows of Kamailio's table."""

    @given(st.binary())
    def test_texts(self, octets: bytes) -> None:
        """Whatever octets a message holds come back, and what is stored is text that PostgreSQL takes."""
        text = octets.decode("utf-8", "surrogateescape")
        stored = text_value(text, 10000)
        stored.encode()
        self.assertNotIn("\0", stored)
        self.assertEqual(text_of(stored), text)

    def test_round_trip(self) -> None:
        """A binding comes back as it was."""
        for one in (binding(), Binding("carol", "sip:c", 0.0, "r"), binding(methods=0xFFFFFFFF, connection_id="")):
            self.assertEqual(binding_of((*row_of(one), 1)), one)

    def test_of_kamailio(self) -> None:
        """A row without a column of ours: the number of Kamailio's connection stands for it, no q counts as 1, no methods as all."""
        row = list(row_of(binding()))
        row[7], row[15], row[19], row[21] = -1.0, None, 17, None
        found = binding_of((*row, 1))
        self.assertEqual((found.q, found.methods, found.connection_id), (1.0, 0xFFFFFFFF, "17"))
        row[19] = -1
        self.assertEqual(binding_of((*row, 1)).connection_id, "")

    def test_socket_of_a_websocket(self) -> None:
        """A WebSocket's socket is stored by the protocol beneath, as Kamailio reads no other, and comes back as it was."""
        for socket, stored in (("ws:127.0.0.1:8080", "tcp:127.0.0.1:8080"), ("wss:[::1]:8443", "tls:[::1]:8443")):
            one = binding(socket=socket, received="sip:192.0.2.9:4711;transport=ws")
            self.assertEqual(row_of(one)[14], stored)
            self.assertEqual(binding_of((*row_of(one), 1)), one)
        phone = binding(socket="tcp:127.0.0.1:5060", received="sip:192.0.2.9:4711;transport=tcp")
        self.assertEqual(binding_of((*row_of(phone), 1)), phone)

    def test_numbers_fit(self) -> None:
        """No number of a client is too large for its column."""
        row = row_of(binding(cseq=1 << 70, reg_id=1 << 80, flags=1 << 40, methods=0xFFFFFFFF))
        for number in row:
            if isinstance(number, int):
                self.assertTrue(-(1 << 31) <= number < 1 << 31, row)

    def test_without_flow(self) -> None:
        """On a table that only Kamailio made the column of ours isn't named."""
        for statement in (Statements(False).page, Statements(False).saving.prepare, Statements(False).by_ruid):
            self.assertNotIn("flow", statement)
