"""What every store promises, written once: a store's test case mixes :class:`StoreSuite` in and says how to make one."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults, inlineCallbacks, succeed
from zope.interface.verify import verifyObject

from sipnode.interfaces import ICredentialStore, ILocationBackend, IStorage
from sipnode.records import Binding, BindingFlag, LocationChange
from sipnode.storage.users import make_credential


def binding(ruid: str = "r-1", **fields: Any) -> Binding:
    """A binding with every field away from its default."""
    values: dict[str, Any] = {
        "aor": "alice@example.test",
        "contact": "<sip:alice@192.0.2.10:5070;transport=tcp;ob>",
        "expires": 1700003600.25,
        "ruid": ruid,
        "call_id": "abc@192.0.2.10",
        "cseq": 2147483647,
        "q": 0.375,
        "user_agent": "Phone 1.0",
        "received": "sip:198.51.100.7:40000;transport=tcp",
        "path": "<sip:edge.example.test;lr>, <sip:in.example.test;lr>",
        "socket": "tcp:192.0.2.1:5060",
        "methods": 0x1FFF,
        "instance": "<urn:uuid:00000000-0000-1000-8000-000A95A0E128>",
        "reg_id": 3,
        "flags": 5,
        "cflags": int(BindingFlag.NATB | BindingFlag.NATSIPPING),
        "connection_id": "f-09AZ_az",
        "last_modified": 1700000000.5,
        "server_id": 2,
    }
    return Binding(**(values | fields))


def save(*bindings: Binding) -> list[LocationChange]:
    """Changes that save them."""
    return [LocationChange(one) for one in bindings]


@inlineCallbacks
def rows_of(store: Any) -> Any:
    """All rows, as ``load`` hands them over."""
    rows: list[Binding] = []
    count = yield store.location.load(rows.extend)
    assert count == len(rows)
    return rows


class StoreSuite:
    """Mixed into a ``twisted.trial.unittest.TestCase`` that has :meth:`make_store` and :meth:`add_user`."""

    def make_store(self) -> Any:
        """A new store, not open, on the test's own place."""
        raise NotImplementedError

    def add_user(self, store: Any, username: str, domain: str, password: str) -> None:
        """Let a user exist in the place that ``store`` reads."""
        raise NotImplementedError

    @inlineCallbacks
    def opened(self) -> Any:
        store = self.make_store()
        yield store.open()
        self.addCleanup(store.close)
        return store

    @inlineCallbacks
    def test_interfaces(self) -> Any:
        """A store and its two parts provide the interfaces that the rest of the server knows them by."""
        store = yield self.opened()
        verifyObject(IStorage, store)
        verifyObject(ILocationBackend, store.location)
        verifyObject(ICredentialStore, store.credentials)

    @inlineCallbacks
    def test_round_trip(self) -> Any:
        """Every field of a binding comes back as it was written."""
        store = yield self.opened()
        sparse = Binding("bob@example.test", "<sip:bob@192.0.2.11>", 0.0, "r-2")
        local = Binding("carol", "<sip:carol@192.0.2.12>", 1.5, "r-3")
        yield store.location.write(save(binding(), sparse, local))
        rows = yield rows_of(store)
        self.assertEqual(rows, [binding(), sparse, local])

    @inlineCallbacks
    def test_any_octets(self) -> Any:
        """Texts with quotes, NUL, non-ASCII and octets that aren't UTF-8 come back as they were."""
        store = yield self.opened()
        odd = "\udcff\udc80 'x\"; DROP TABLE location; -- é ☎ \x00"
        there = binding(
            aor=f"{odd}@example.test", contact=odd, call_id=odd, user_agent=odd, received=odd, path=odd, instance=odd, reg_id=(1 << 31) - 1
        )
        yield store.location.write(save(there))
        rows = yield rows_of(store)
        self.assertEqual(rows, [there])

    @inlineCallbacks
    def test_huge_numbers(self) -> Any:
        """A number too large for the table doesn't take the other rows of its batch with it."""
        store = yield self.opened()
        yield store.location.write(save(binding(reg_id=1 << 80, cseq=1 << 70), binding("r-2")))
        rows = yield rows_of(store)
        self.assertEqual([row.ruid for row in rows], ["r-1", "r-2"])

    @inlineCallbacks
    def test_upsert_by_ruid(self) -> Any:
        """A row with a known ruid takes the place of the old one, in all its columns."""
        store = yield self.opened()
        yield store.location.write(save(binding(), binding("r-2")))
        later = Binding("alice@example.test", "<sip:alice@192.0.2.99>", 1700009999.0, "r-1")
        yield store.location.write(save(later))
        rows = yield rows_of(store)
        self.assertEqual({row.ruid: row for row in rows}, {"r-1": later, "r-2": binding("r-2")})

    @inlineCallbacks
    def test_delete(self) -> Any:
        """A deleted row is gone; deleting one that isn't there is no fault."""
        store = yield self.opened()
        yield store.location.write(save(binding(), binding("r-2")))
        gone = [LocationChange(binding(), delete=True), LocationChange(binding("never"), delete=True)]
        yield store.location.write(gone)
        yield store.location.write(gone)
        rows = yield rows_of(store)
        self.assertEqual([row.ruid for row in rows], ["r-2"])

    @inlineCallbacks
    def test_delete_of_a_node(self) -> Any:
        """A delete that names a node takes the row only while it is that node's."""
        store = yield self.opened()
        yield store.location.write(save(binding("r-1", server_id=1), binding("r-2", server_id=2)))
        yield store.location.write([LocationChange(binding(name), True, 1) for name in ("r-1", "r-2")])
        rows = yield rows_of(store)
        self.assertEqual([row.ruid for row in rows], ["r-2"])

    @inlineCallbacks
    def test_purge(self) -> Any:
        """What expired long ago is deleted, whoever wrote it."""
        store = yield self.opened()
        now = binding().expires
        yield store.location.write(save(binding("old", expires=now - 5000), binding("new", expires=now)))
        yield store.location.purge(now - 3600)
        rows = yield rows_of(store)
        self.assertEqual([row.ruid for row in rows], ["new"])

    @inlineCallbacks
    def test_order_inside_a_batch(self) -> Any:
        """Of several changes to one row in a batch the last counts."""
        store = yield self.opened()
        last = binding("r-1", contact="<sip:last@192.0.2.1>")
        yield store.location.write([LocationChange(binding(), delete=True), *save(binding(), last)])
        yield store.location.write([*save(binding("r-2")), LocationChange(binding("r-2"), delete=True)])
        rows = yield rows_of(store)
        self.assertEqual(rows, [last])

    @inlineCallbacks
    def test_same_batch_twice(self) -> Any:
        """Writing a batch again changes nothing, so a batch of unknown outcome may be repeated."""
        store = yield self.opened()
        batch = [*save(binding(), binding("r-2")), LocationChange(binding("r-3"), delete=True)]
        yield store.location.write(batch)
        first = yield rows_of(store)
        yield store.location.write(batch)
        rows = yield rows_of(store)
        self.assertEqual(rows, first)

    @inlineCallbacks
    def test_snapshot(self) -> Any:
        """What is written is the binding as it was at the call, whatever becomes of the object meanwhile."""
        store = yield self.opened()
        moving = binding()
        done = store.location.write(save(moving))
        moving.contact = "<sip:changed@192.0.2.1>"
        yield done
        rows = yield rows_of(store)
        self.assertEqual(rows, [binding()])

    @inlineCallbacks
    def test_load_in_chunks(self) -> Any:
        """Rows of a large table are handed over, none twice, and a chunk waits for the one before."""
        store = yield self.opened()
        yield store.location.write(save(*(binding(f"r-{n}") for n in range(4100))))
        chunks: list[int] = []
        busy: list[int] = []
        seen: set[str] = set()

        def take(rows: list[Binding]) -> Any:
            self.assertEqual(busy, [])
            chunks.append(len(rows))
            seen.update(row.ruid for row in rows)
            busy.append(1)
            return succeed(None).addCallback(lambda _: busy.clear())

        count = yield store.location.load(take)
        self.assertEqual((count, len(seen), sum(chunks)), (4100, 4100, 4100))

    @inlineCallbacks
    def test_fetch(self) -> Any:
        """The rows of one address-of-record, with and without a domain, and nobody else's."""
        store = yield self.opened()
        local = Binding("carol", "<sip:carol@192.0.2.12>", 1.5, "r-3")
        yield store.location.write(save(binding(), binding("r-2", aor="bob@example.test"), local, binding("r-4")))
        for aor, wanted in (("alice@example.test", ["r-1", "r-4"]), ("carol", ["r-3"]), ("alice@other.test", []), ("\udcff\x00", [])):
            rows = yield store.location.fetch(aor)
            self.assertEqual([row.ruid for row in rows], wanted, aor)

    @inlineCallbacks
    def test_health(self) -> Any:
        """A store that works says so."""
        store = yield self.opened()
        self.assertEqual(store.degraded, "")

    @inlineCallbacks
    def test_empty_write(self) -> Any:
        """A write of nothing is done."""
        store = yield self.opened()
        yield store.location.write([])
        rows = yield rows_of(store)
        self.assertEqual(rows, [])

    @inlineCallbacks
    def test_credentials(self) -> Any:
        """A user's hashes are found by name and domain; who isn't there is None; both are answered from memory next."""
        store = yield self.opened()
        self.add_user(store, "alice", "example.test", "secret")
        self.assertRaises(KeyError, store.credentials.cached, "alice", "example.test")
        names = [("alice", "example.test"), ("alice", "other.test"), ("bob", "example.test"), ("alice", "example.test")]
        found = yield gatherResults([store.credentials.fetch(*name) for name in names])
        wanted = make_credential("alice", "example.test", "secret")
        self.assertEqual(found, [wanted, None, None, wanted])
        for _ in range(100):
            # That she was added may be told only now, upon which she is asked for once more.
            try:
                self.assertEqual(store.credentials.cached("alice", "example.test"), wanted)
            except KeyError:
                yield store.credentials.fetch("alice", "example.test")
            else:
                break
        else:
            self.fail("alice isn't remembered")
        self.assertIsNone(store.credentials.cached("bob", "example.test"))

    @inlineCallbacks
    def test_hostile_names(self) -> Any:
        """A name that can't exist is nobody, not a fault."""
        store = yield self.opened()
        self.add_user(store, "alice", "example.test", "secret")
        for name in ("", "\udcff", "a" * 10000, "alice' OR '1'='1", "alice\x00", "ALICE", "%"):
            found = yield store.credentials.fetch(name, "example.test")
            self.assertIsNone(found, name)

    @inlineCallbacks
    def test_list_users(self) -> Any:
        """The users of a domain, sorted, and nobody else's."""
        store = yield self.opened()
        for name, domain in (("bob", "example.test"), ("alice", "example.test"), ("eve", "other.test")):
            self.add_user(store, name, domain, "secret")
        for domain, wanted in (("example.test", ["alice", "bob"]), ("EXAMPLE.test", ["alice", "bob"]), ("none.test", [])):
            names = yield store.list_users(domain)
            self.assertEqual(names, wanted)


class PersistentStoreSuite(StoreSuite):
    """For stores that outlive the process; a second ``make_store`` gives another one on the same place."""

    @inlineCallbacks
    def test_reopen(self) -> Any:
        """What was written is there when the store is opened again; close may be called twice."""
        store = self.make_store()
        yield store.open()
        yield store.location.write(save(binding()))
        yield store.close()
        yield store.close()
        again = yield self.opened()
        rows = yield rows_of(again)
        self.assertEqual(rows, [binding()])

    @inlineCallbacks
    def test_close_after_last_write(self) -> Any:
        """Close waits for writes that were asked for before it."""
        store = self.make_store()
        yield store.open()
        writes = [store.location.write(save(binding(f"r-{n}"))) for n in range(20)]
        yield store.close()
        yield gatherResults(writes)
        again = yield self.opened()
        rows = yield rows_of(again)
        self.assertEqual(len(rows), 20)
