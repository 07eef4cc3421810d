"""Tests of the registrar's ways to the database: db_mode 0 to 4, outages, others who write the same table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.interfaces import ILocationFeed
from sipnode.records import Binding
from sipnode.registrar import direct
from sipnode.registrar.lookup import LookupResult
from sipnode.registrar.service import RegistrarService
from sipnode.settings import LocationSettings
from tests.registrar.kit import AOR, NOW, FakeBackend, FakeContext, FakeFlow, FakeFlows, FakeWriter, binding, register

UA = "<sip:a@192.0.2.1>"
OTHER = "<sip:b@192.0.2.2>"


class _Node:
    """A node with a number."""

    def __init__(self, number: int) -> None:
        self.id = number

    def path(self, flow: Any, cflags: int, until: float) -> str:
        return f"<sip:{flow.token}@node{self.id};lr>" if flow.token else ""

    def reaches(self, binding: Binding) -> bool:
        return True


class _ModeCase(SynchronousTestCase):
    db_mode = 1

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.writer = FakeWriter()
        self.flows = FakeFlows()
        self.backend = FakeBackend()
        self.degraded = ""
        self.told: list[tuple[str, str]] = []

    def start(self, **settings: Any) -> RegistrarService:
        conf = LocationSettings(db_mode=self.db_mode, min_expires=5, **settings)
        self.service = RegistrarService(
            conf, self.clock, self.backend, self.writer, self.flows, degraded=lambda: self.degraded
        )
        self.service.node = _Node(1)  # type: ignore[assignment]  # as much of INode as is asked
        self.service.on_change(lambda kind, changed: self.told.append((kind, changed.ruid)))
        self.service.startService()
        self.addCleanup(lambda: self.service.running and self.service.stopService())
        return self.service

    def send(self, *contacts: str, flow: FakeFlow | None = None, **fields: Any) -> FakeContext:
        context = FakeContext(register(*contacts, **fields), flow)
        self.service.save(context)
        return context

    def found(self) -> list[str]:
        result = self.service.lookup(AOR)
        if isinstance(result, Deferred):
            result = self.successResultOf(result)
        return [one.contact for one in result.bindings]


class WriteBackTests(_ModeCase):
    """db_mode 2."""

    db_mode = 2

    def test_later(self) -> None:
        """The 200 goes out at once, the row within flush_seconds, and of several changes to a row only the newest."""
        self.start(flush_seconds=5.0)
        self.clock.advance(1)
        self.assertEqual([self.send(UA, cseq=n).status for n in (1, 2, 3)], [200, 200, 200])
        self.assertEqual(self.writer.puts, [])
        self.clock.pump([1] * 5)
        ((change,),) = self.writer.puts
        self.assertEqual(change.binding.cseq, 3)
        self.clock.pump([1] * 10)
        self.assertEqual(len(self.writer.puts), 1)

    def test_unregistered(self) -> None:
        """What has gone before it was written is deleted all the same: a row of an earlier run may be there."""
        self.start()
        self.send(UA)
        self.send(UA, expires="0", cseq=2)
        self.clock.pump([1] * 6)
        self.assertEqual([change.delete for put in self.writer.puts for change in put], [True])

    def test_again(self) -> None:
        """A time of writing that failed is made up for."""
        self.start(flush_seconds=1.0)
        self.writer.mode = "fail"
        self.send(UA)
        self.clock.pump([1] * 3)
        self.assertEqual(self.writer.rows, {})
        self.writer.mode = "succeed"
        self.clock.pump([1] * 3)
        self.assertEqual(len(self.writer.rows), 1)

    def test_stop(self) -> None:
        """A stop writes what waits."""
        self.start(flush_seconds=60.0)
        self.send(UA)
        self.successResultOf(self.service.stopService())
        self.assertEqual(len(self.writer.rows), 1)

    def test_full(self) -> None:
        """The backlog is bounded; a REGISTER over it gets 503 and leaves nothing behind."""
        self.degraded = "away"
        self.start(queue=10)
        for number in range(10):
            self.assertEqual(self.send(UA, to=f"<sip:u{number}@example.com>").status, 200)
        self.assertEqual(self.send(UA).status, 503)
        self.assertEqual(self.found(), [])
        # One that changes a row which waits already needs no room.
        self.assertEqual(self.send(UA, to="<sip:u3@example.com>", cseq=2).status, 200)

    def test_poison(self) -> None:
        """A row that the store never takes doesn't keep the others waiting for ever."""
        self.start(flush_seconds=0.5)
        put = self.writer.put

        def picky(changes: list[Any]) -> Any:
            self.writer.mode = "fail" if any("@bad." in change.binding.contact for change in changes) else "succeed"
            return put(changes)

        self.writer.put = picky  # type: ignore[method-assign]  # a store that refuses one row
        self.send("<sip:a@bad.test>", to="<sip:bad@example.com>")
        self.send(UA)
        self.clock.pump([1] * 40)
        self.assertEqual([row.aor for row in self.writer.rows.values()], [AOR])
        self.assertEqual(len(self.flushLoggedErrors()), 0)


class OutageTests(_ModeCase):
    """The store takes no writes."""

    def test_reject(self) -> None:
        """By default REGISTER gets its 503 at once, and nothing is queued for later."""
        self.start()
        self.degraded = "away"
        context = self.send(UA)
        self.assertEqual(context.replies, [(503, "", {"retry-after": ["5"]})])
        self.assertEqual((self.writer.puts, self.found()), ([], []))

    def test_reject_what_waits(self) -> None:
        """A REGISTER that waits for the store gets its 503 as soon as that is known to be away; what the write brings later is undone."""
        self.start()
        self.writer.mode = "wait"
        context = self.send(UA)
        self.clock.advance(1)
        self.assertEqual(context.status, 0)
        self.degraded = "away"
        self.clock.advance(1)
        self.assertEqual((context.status, self.found()), (503, []))
        for write in self.writer.waiting:
            write.callback(None)
        self.assertEqual(self.writer.rows, {})

    def test_calls_go_on(self) -> None:
        """Lookups are answered from memory."""
        self.start()
        self.send(UA)
        self.degraded = "away"
        self.assertEqual(self.found(), ["sip:a@192.0.2.1"])

    def test_accept(self) -> None:
        """With on_outage = accept it gets its 200, and the row is written when the store is back, before later ones."""
        self.start(on_outage="accept")
        self.degraded = "away"
        self.assertEqual(self.send(UA).status, 200)
        self.assertEqual(self.found(), ["sip:a@192.0.2.1"])
        self.clock.pump([1] * 3)
        self.assertEqual(self.writer.puts, [])
        self.degraded = ""
        self.assertEqual(self.send(OTHER, call_id="c2").status, 200)
        self.assertEqual(self.writer.puts, [])
        self.clock.advance(1)
        self.assertEqual([change.binding.contact for put in self.writer.puts for change in put], ["sip:a@192.0.2.1", "sip:b@192.0.2.2"])
        self.send(UA, cseq=2)
        self.assertEqual(len(self.writer.puts), 2)

    def test_caught_in_the_middle(self) -> None:
        """A REGISTER that waits for a store which goes away is accepted too, and not overwritten by what it brings later."""
        self.start(on_outage="accept")
        self.writer.mode = "wait"
        first = self.send(UA)
        self.degraded = "away"
        newer = self.send(UA, cseq=2)
        self.assertEqual((first.replies, newer.status), ([], 200))
        self.clock.advance(1)
        self.assertEqual(first.status, 200)
        self.degraded, self.writer.mode = "", "succeed"
        self.clock.advance(1)
        self.assertEqual([change.binding.cseq for change in self.writer.puts[-1]], [2])

    def test_failed_write(self) -> None:
        """A write that fails because the store went away is accepted; one that fails for itself is not."""
        self.start(on_outage="accept")
        self.writer.mode = "fail"
        self.assertEqual(self.send(UA).status, 503)
        self.writer.mode = "wait"
        context = self.send(UA)
        self.degraded = "away"
        self.writer.waiting.pop().errback(RuntimeError("broken pipe"))
        self.assertEqual((context.status, self.found()), (200, ["sip:a@192.0.2.1"]))

    def test_gone_meanwhile(self) -> None:
        """A connection that closes during an outage takes its binding along, on disk too."""
        self.start(on_outage="accept")
        self.degraded = "away"
        flow = FakeFlow("WS", "t1")
        self.flows.live["t1"] = flow
        self.send("<sip:x@x.invalid;transport=ws>", flow=flow)
        self.service.flow_closed(flow)
        self.degraded = ""
        self.clock.advance(1)
        self.assertEqual([change.delete for put in self.writer.puts for change in put], [True])


class ReadOnlyTests(_ModeCase):
    """db_mode 4."""

    db_mode = 4

    def test_never_written(self) -> None:
        """Rows are read at the start; nothing is written, not even what expires."""
        self.backend.rows = [binding(expires=NOW + 10)]
        self.start()
        self.assertEqual(self.send(OTHER).status, 200)
        self.assertEqual(len(self.found()), 2)
        self.clock.advance(12)
        self.assertEqual(self.found(), ["sip:b@192.0.2.2"])
        self.assertEqual(self.writer.puts, [])


class DatabaseOnlyTests(_ModeCase):
    """db_mode 3."""

    db_mode = 3

    def test_register_and_lookup(self) -> None:
        """Both ask the database; memory keeps no rows of others."""
        self.backend.rows = [binding(server_id=2)]
        self.start()
        self.assertEqual(len(self.send(OTHER, call_id="c2").contacts), 2)
        self.assertEqual([row.contact for row in self.writer.rows.values()], ["sip:b@192.0.2.2"])
        self.assertEqual(self.found(), ["sip:a@192.0.2.1"])
        self.assertEqual(self.service.table.count(), 1)

    def test_one_after_the_other(self) -> None:
        """REGISTERs of one address don't overtake each other, those of others don't wait."""
        self.start()
        self.backend.fetches = "wait"
        first, second = self.send(UA), self.send(OTHER, call_id="c2")
        self.send(UA, to="<sip:bob@example.com>")
        self.assertEqual([aor for aor, _ in self.backend.asked], [AOR, "bob@example.com"])
        self.backend.asked[0][1].callback([])
        self.assertEqual((first.status, second.replies), (200, []))
        self.backend.asked[2][1].callback(list(self.writer.rows.values()))
        self.assertEqual(len(second.contacts), 2)

    def test_connection(self) -> None:
        """A binding of a connection of this node is reached by it, and its row goes with the connection."""
        self.start()
        flow = FakeFlow("WS", "t1")
        self.flows.live["t1"] = flow
        self.send("<sip:x@x.invalid;transport=ws>", flow=flow)
        self.backend.rows = [replace(row, connection_id="") for row in self.writer.rows.values()]
        (found,) = self.successResultOf(self.service.lookup(AOR)).bindings
        self.assertEqual(found.connection_id, "t1")
        self.service.flow_closed(flow)
        self.assertEqual(self.writer.rows, {})

    def test_moved(self) -> None:
        """A device that has registered at another node since is not reached by its old connection."""
        self.start()
        flow = FakeFlow("WS", "t1")
        self.flows.live["t1"] = flow
        self.send("<sip:x@x.invalid;transport=ws>", flow=flow)
        (row,) = self.writer.rows.values()
        path = "<sip:t9@node2;lr>"
        self.backend.rows = [replace(row, server_id=2, connection_id="t9", path=path, last_modified=NOW + 5)]
        (found,) = self.successResultOf(self.service.lookup(AOR)).bindings
        self.assertEqual((found.connection_id, found.path), ("", path))
        self.service.flow_closed(flow)
        self.assertEqual(len(self.writer.rows), 1)

    def test_calls_go_on(self) -> None:
        """While the database is away calls go to what this node has registered and to what the database said last; it is 503 for others."""
        self.start()
        self.send(UA)
        self.backend.rows = [*self.writer.rows.values(), binding(OTHER, "r2", server_id=2)]
        self.assertEqual(sorted(self.found()), ["sip:a@192.0.2.1", "sip:b@192.0.2.2"])
        self.send(UA, to="<sip:bob@example.com>")
        self.backend.fetches = "fail"
        self.assertEqual(sorted(self.found()), ["sip:a@192.0.2.1", "sip:b@192.0.2.2"])
        self.assertEqual(self.successResultOf(self.service.lookup("bob@example.com")).status, 200)
        self.assertEqual(self.successResultOf(self.service.lookup("carol@example.com")), LookupResult(503, []))
        self.assertEqual(self.send(UA, call_id="c3").status, 503)
        self.clock.advance(4000)
        self.assertEqual(self.successResultOf(self.service.lookup(AOR)), LookupResult(503, []))
        self.backend.fetches, self.backend.rows = "succeed", []
        self.assertEqual(self.successResultOf(self.service.lookup(AOR)), LookupResult(404, []))

    def test_silent(self) -> None:
        """A call waits a second for a silent database; then that is tried by one request every other second, and no other waits."""
        self.start()
        self.send(UA)
        self.backend.fetches = "wait"
        first, second = self.service.lookup(AOR), self.service.lookup(AOR)
        self.clock.advance(1)
        for waiting in (first, second):
            self.assertEqual(self.successResultOf(waiting).status, 200)
        self.assertEqual(self.found(), ["sip:a@192.0.2.1"])
        self.assertEqual(self.send(UA, call_id="c3").status, 503)
        self.clock.advance(2)
        trying = self.service.lookup(AOR)
        self.assertNoResult(trying)
        self.assertEqual(self.found(), ["sip:a@192.0.2.1"])
        self.assertEqual(len(self.backend.asked), 3)
        self.backend.asked[2][1].callback([])
        self.assertEqual(self.successResultOf(trying).status, 404)
        self.backend.asked[0][1].callback([])
        self.backend.fetches = "succeed"
        self.assertEqual(self.found(), [])

    def test_bounded(self) -> None:
        """Of no more addresses than a bound the last answer is kept, and the newest are."""
        self.patch(direct, "MOST_SEEN", 2)
        self.start()
        for user in ("u1", "u2", "u3"):
            self.backend.rows = [binding(UA, user, aor=f"{user}@example.com")]
            self.successResultOf(self.service.lookup(f"{user}@example.com"))
        self.backend.fetches = "fail"
        statuses = [self.successResultOf(self.service.lookup(f"{user}@example.com")).status for user in ("u1", "u2", "u3")]
        self.assertEqual(statuses, [503, 200, 200])

    def test_away(self) -> None:
        """Without the database: 503, for REGISTER and for lookups."""
        self.start()
        self.backend.fetches = "fail"
        self.assertEqual(self.send(UA).replies, [(503, "", {"retry-after": ["5"]})])
        self.assertEqual(self.successResultOf(self.service.lookup(AOR)), LookupResult(503, []))
        self.backend.fetches, self.writer.mode = "succeed", "fail"
        self.assertEqual(self.send(UA).status, 503)
        self.writer.mode = "succeed"
        self.assertEqual(self.send(UA).status, 200)


class FeedTests(_ModeCase):
    """Others write the same table."""

    def test_interface(self) -> None:
        """The store is given what it promises to call."""
        self.start()
        verifyObject(ILocationFeed, self.backend.feed)

    def test_saved_and_deleted(self) -> None:
        """A row of another node is there at once, refreshed and gone at once, and nothing is written for it."""
        self.start()
        self.backend.feed.saved([binding(server_id=2, connection_id="x", path="<sip:x@node2;lr>")])
        self.assertEqual(self.found(), ["sip:a@192.0.2.1"])
        self.backend.feed.saved([binding(OTHER, server_id=2, last_modified=NOW + 1)])
        self.assertEqual(self.found(), ["sip:b@192.0.2.2"])
        self.backend.feed.deleted([(AOR, "r1"), (AOR, "never"), ("nobody@x", "r1")])
        self.assertEqual(self.found(), [])
        self.assertEqual(self.told, [("registered", "r1"), ("refreshed", "r1"), ("unregistered", "r1")])
        self.assertEqual(self.writer.puts, [])

    def test_expires(self) -> None:
        """What another node's binding leaves when it expires is for that node to delete."""
        self.start()
        self.backend.feed.saved([binding(server_id=2, expires=NOW + 10), binding(OTHER, "r2", server_id=1, expires=NOW + 10)])
        self.clock.advance(12)
        self.assertEqual(self.found(), [])
        self.assertEqual([change.binding.ruid for put in self.writer.puts for change in put], ["r2"])

    def test_old_news(self) -> None:
        """News that is older than what this node wrote itself changes nothing, nor does any while a write is on its way."""
        self.start()
        self.send(UA)
        (mine,) = self.service.table.bindings(AOR)
        self.backend.feed.saved([replace(mine, contact="sip:old@192.0.2.9", last_modified=NOW - 1)])
        self.assertEqual(self.found(), ["sip:a@192.0.2.1"])
        self.writer.mode = "wait"
        self.send(UA, cseq=2)
        self.backend.feed.saved([replace(mine, contact="sip:new@192.0.2.9", last_modified=NOW + 9)])
        self.backend.feed.deleted([(AOR, mine.ruid)])
        self.assertEqual(self.found(), ["sip:a@192.0.2.1"])

    def test_moved(self) -> None:
        """A device that registered at another node is reached there; its old connection's end doesn't touch the new row."""
        self.start()
        flow = FakeFlow("WS", "t1")
        self.flows.live["t1"] = flow
        self.send("<sip:x@x.invalid;transport=ws>", flow=flow)
        (mine,) = self.service.table.bindings(AOR)
        self.backend.feed.saved([replace(mine, server_id=2, connection_id="t9", path="<sip:t9@node2;lr>", last_modified=NOW + 1)])
        self.service.flow_closed(flow)
        (found,) = self.service.lookup(AOR).bindings
        self.assertEqual((found.server_id, found.connection_id), (2, ""))
        self.assertEqual(len(self.writer.puts), 1)

    def test_delete_names_the_node(self) -> None:
        """The delete of a binding whose connection closed spares a row that another node has taken over; one that was asked
        for doesn't.
        """
        self.start()
        flow = FakeFlow("WS", "t1")
        self.flows.live["t1"] = flow
        self.send("<sip:x@x.invalid;transport=ws>", flow=flow)
        self.service.flow_closed(flow)
        self.send(UA)
        self.send(UA, expires="0", cseq=2)
        self.assertEqual([change.of_node for put in self.writer.puts for change in put if change.delete], [1, None])

    def test_lost(self) -> None:
        """After news were missed the table is read again: new rows come, rows that are gone go, ours stay."""
        self.backend.rows = [binding("<sip:gone@h>", "g", aor="g@x", server_id=2, last_modified=NOW - 5)]
        self.start()
        self.send(UA)
        self.clock.advance(1)
        self.backend.rows = [binding("<sip:new@h>", "n", aor="n@x", server_id=2), *self.writer.rows.values()]
        self.backend.feed.lost()
        self.assertEqual(sorted(self.service.table.aors()), [AOR, "n@x"])

    def test_lost_and_not_readable(self) -> None:
        """Where it can't be read it is tried again."""
        self.start()
        self.backend.rows = [binding("<sip:new@h>", "n", server_id=2)]
        self.backend.failures = 1
        self.backend.feed.lost()
        self.assertEqual(self.found(), [])
        self.clock.advance(6)
        self.assertEqual(self.found(), ["sip:new@h"])

    def test_lost_in_steps(self) -> None:
        """A large table is read again and compared in steps between which the reactor breathes."""
        self.backend.rows = [binding(f"<sip:{n}@h>", f"r{n}", aor=f"u{n}@x", server_id=2, last_modified=NOW - 5) for n in range(3000)]
        self.start()
        self.clock.pump([0] * 5)
        self.clock.advance(1)
        self.backend.rows = self.backend.rows[:1500]
        self.backend.feed.lost()
        self.assertEqual(self.service.table.count(), 3000)
        self.clock.pump([0] * 8)
        self.assertEqual(self.service.table.count(), 1500)


class LoadingTests(_ModeCase):
    """News and REGISTERs while the table is read."""

    def setUp(self) -> None:
        super().setUp()
        self.backend.gate = Deferred()

    def test_registered_meanwhile(self) -> None:
        """What was registered while the table was read isn't overwritten by the row that the load brings."""
        self.backend.rows = [binding()]
        self.start()
        self.send(UA, cseq=5, call_id="other")
        gate = self.backend.gate
        assert gate is not None
        gate.callback(None)
        (found,) = self.service.lookup(AOR).bindings
        self.assertEqual(found.cseq, 5)

    def test_news_meanwhile(self) -> None:
        """A row that was deleted while the table was read doesn't come back, and one that was changed stays changed."""
        self.backend.rows = [binding(), binding("<sip:o@h>", "o", aor="o@x")]
        self.start()
        self.backend.feed.deleted([(AOR, "r1")])
        self.backend.feed.saved([binding("<sip:n@h>", "o", aor="o@x", last_modified=NOW + 1)])
        gate = self.backend.gate
        assert gate is not None
        gate.callback(None)
        self.assertEqual(self.found(), [])
        self.assertEqual([b.contact for b in self.service.lookup("o@x").bindings], ["sip:n@h"])

    def test_one_question(self) -> None:
        """Many who ask for one address are one question to the store."""
        self.start()
        self.backend.fetches = "wait"
        answers = [self.service.lookup(AOR) for _ in range(5)]
        ((_, asked),) = self.backend.asked
        asked.callback([binding()])
        self.assertEqual([self.successResultOf(answer).status for answer in answers], [200] * 5)

    def test_loaded_first(self) -> None:
        """Who asked for one address is answered when the whole table is there, however long its own question takes."""
        self.backend.rows = [binding()]
        self.start()
        self.backend.fetches = "wait"
        answer = self.service.lookup(AOR)
        gate = self.backend.gate
        assert gate is not None
        gate.callback(None)
        self.assertEqual(self.successResultOf(answer).status, 200)
        self.backend.asked[0][1].callback([binding(OTHER, "late")])
        self.assertEqual(self.found(), ["sip:a@192.0.2.1"])

    def test_stopped(self) -> None:
        """A stop answers those that wait with 503."""
        self.start()
        self.backend.fetches = "wait"
        answer, context = self.service.lookup(AOR), self.send(UA)
        self.successResultOf(self.service.stopService())
        self.assertEqual((self.successResultOf(answer).status, context.status), (503, 503))

    def test_old_rows(self) -> None:
        """Rows of a node that never came back are deleted in the end."""
        assert self.backend.gate is not None
        self.backend.gate.callback(None)
        self.start()
        self.backend.rows = [binding(expires=NOW - 4000, server_id=7)]
        self.clock.pump([600] * 7)
        self.assertEqual(self.backend.rows, [])
