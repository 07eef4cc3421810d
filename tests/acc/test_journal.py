"""Each call leaves the journal as one record, whatever happens between."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from sipnode.acc.journal import Bye, End, Journal, Open
from sipnode.acc.record import COLUMNS, WIDTHS, CallRecord
from sipnode.errors import StorageError
from sipnode.storage.database import connect

CALL = CallRecord(
    "id1", 1, "c1@host", "ft", "tt", "alice@example.test", "sip:+49@foreign.test;user=phone", "sip:0049@example.test",
    "udp:192.0.2.7:5060", "wss:[2001:db8::1]:443", 1_700_000_000.0, 1_700_000_004.5, status=200,
)  # fmt: skip
ENDED = CALL.closed(1_700_000_064.5, "completed", "callee")


class JournalTests(SynchronousTestCase):
    """The file of a server that is killed again and again."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.journal = self.open()

    def open(self, most: int = 1000) -> Journal:
        """As a start does."""
        journal = Journal(self.path, ("file", "webhook"), True, most)
        self.addCleanup(journal.close)
        return journal

    def rows(self, table: str) -> list[tuple[object, ...]]:
        """Of one of Kamailio's tables."""
        with closing(sqlite3.connect(self.path)) as other:
            return other.execute(f"SELECT callid, sip_code, duration_ms, outcome, dst_ouser FROM {table}").fetchall()

    def test_whole_life(self) -> None:
        """Answered and ended: one row in acc, and one record for each sink."""
        self.assertEqual(self.journal.write([Open(CALL, 2e9)]), 0)
        self.assertEqual(self.journal.live(), 1)
        self.assertEqual(self.journal.write([End(ENDED)]), 1)
        self.assertEqual((self.journal.live(), self.journal.waiting), (0, {"file": 1, "webhook": 1}))
        self.assertEqual(self.rows("acc"), [("c1@host", "200", 60000, "completed", "0049")])
        (number, record), *more = self.journal.next("file", 10)
        self.assertEqual((record, more), (ENDED, []))
        self.journal.taken("file", [number])
        self.assertEqual((self.journal.next("file", 10), self.journal.waiting), ([], {"file": 0, "webhook": 1}))

    def test_missed(self) -> None:
        """One that nobody answered goes to missed_calls."""
        self.journal.write([End(replace(ENDED, answered=0.0, status=487, outcome="cancelled"))])
        self.assertEqual((self.rows("acc"), self.rows("missed_calls")), ([], [("c1@host", "487", 0, "cancelled", "0049")]))

    def test_killed_in_call(self) -> None:
        """A BYE after a restart ends the call of the former process, from either end, and only once."""
        self.journal.write([Open(CALL, 2e9)])
        after = self.open()
        self.assertEqual(after.begin(1.7e9), 0)
        bye = Bye("c1@host", "tt", "ft", 1_700_000_034.5)
        self.assertEqual([after.write([bye]), after.write([bye, bye])], [1, 0])
        ((_, record),) = after.next("webhook", 10)
        self.assertEqual((record.duration_seconds, record.ended_by, record.outcome), (30.0, "callee", "completed"))

    def test_killed_before_quality(self) -> None:
        """An end that waited for the relay's numbers is a record after the restart, without them; it doesn't become another one."""
        self.journal.write([Open(CALL, 2e9), End(ENDED, whole=False)])
        after = self.open()
        self.assertEqual(after.begin(1.7e9), 1)
        self.assertEqual(after.write([End(ENDED, known=False), Bye("c1@host", "ft", "tt", 1.8e9)]), 0)
        self.assertEqual(len(self.rows("acc")), 1)

    def test_given_twice(self) -> None:
        """The same record can't be in a table or wait for a sink twice."""
        self.journal.write([End(ENDED), End(ENDED)])
        self.assertEqual((len(self.rows("acc")), self.journal.waiting["file"]), (1, 1))

    def test_end_never_seen(self) -> None:
        """One whose time is over and that nobody ended is lost, with no duration; one that lives is left alone."""
        self.journal.write([Open(CALL, 100.0), Open(replace(CALL, id="id2", call_id="c2"), 100.0)])
        self.assertEqual(self.journal.expire(99.0), 0)
        self.assertEqual(self.journal.expire(101.0, [("c2", "ft", "tt")]), 1)
        self.assertEqual(self.rows("acc"), [("c1@host", "200", 0, "lost", "0049")])

    def test_bounded(self) -> None:
        """A sink that is away for long keeps the newest; how many were given up is counted."""
        journal = self.open(most=5)
        journal.write([End(replace(ENDED, id=f"id{number}")) for number in range(8)])
        self.assertEqual((journal.waiting["file"], journal.given_up), (5, 6))
        self.assertEqual([record.id for _, record in journal.next("file", 10)], [f"id{number}" for number in range(3, 8)])
        self.assertEqual(self.open().waiting, {"file": 5, "webhook": 5})

    def test_all_or_nothing(self) -> None:
        """While another program holds the file nothing is half written, and the counts are as they were."""
        journal = Journal(self.path, ("file",), True, 10)
        self.addCleanup(journal.close)
        journal._connection.execute("PRAGMA busy_timeout = 0")
        other = connect(self.path)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        self.assertRaises(StorageError, journal.write, [End(ENDED)])
        other.execute("ROLLBACK")
        self.assertEqual((journal.waiting, self.rows("acc")), ({"file": 0}, []))
        self.assertEqual(journal.write([End(ENDED)]), 1)

    def test_old_rows(self) -> None:
        """Rows older than asked for go."""
        self.journal.write([End(ENDED)])
        self.assertEqual([self.journal.forget(1_700_000_000.0), self.journal.forget(1_700_000_100.0)], [0, 1])
        self.assertEqual(self.rows("acc"), [])

    def test_strange_text(self) -> None:
        """Octets that are no UTF-8, NUL and names without end fit into the columns, and are found again."""
        odd = replace(CALL, call_id="\udcff\0" + "x" * 5000, from_tag="\udc80", caller="sip:\udcfe@\0", ended_by="y" * 500)
        self.journal.write([Open(odd, 2e9), Bye(odd.call_id, "\udc80", "tt", 1_700_000_100.0)])
        row = dict(zip(COLUMNS, odd.row().values(), strict=True))
        self.assertEqual(len(self.rows("acc")), 1)
        self.assertFalse([name for name, width in WIDTHS.items() if len(str(row[name])) > width])
        ((_, record),) = self.journal.next("file", 10)
        self.assertEqual((record.call_id, CallRecord.from_json(record.to_json())), (odd.call_id, record))
        self.assertRaises(ValueError, CallRecord.from_json, '{"id": 1}')


class RowTests(SynchronousTestCase):
    """Kamailio's columns."""

    def test_other_release(self) -> None:
        """A record that another release has written is read: a field that it didn't have is empty, one that it had beside is left."""
        fields = json.loads(ENDED.to_json())
        del fields["quality"]
        self.assertEqual(CallRecord.from_json(json.dumps({**fields, "later": 1})), ENDED)
        for text in ("1", "[]", "{}", "no JSON"):
            self.assertRaises(ValueError, CallRecord.from_json, text)

    def test_columns(self) -> None:
        """Users, domains and addresses as Kamailio's configuration has them; a number of a tel URI has no domain."""
        row = ENDED.row()
        self.assertEqual(tuple(row), COLUMNS)
        wanted = {
            "method": "INVITE", "sip_code": "200", "sip_reason": "OK", "time": "2023-11-14 22:13:20", "src_user": "alice",
            "src_domain": "example.test", "src_ip": "192.0.2.7", "dst_ouser": "0049", "dst_user": "+49", "dst_domain": "foreign.test",
            "setup_ms": 4500, "duration_ms": 60000,
        }  # fmt: skip
        self.assertEqual({name: row[name] for name in wanted}, wanted)
        self.assertEqual(replace(ENDED, callee="tel:+4930").row()["dst_user"], "+4930")
        self.assertEqual(replace(ENDED, caller_address="tcp:[2001:db8::9]:5060").row()["src_ip"], "2001:db8::9")
