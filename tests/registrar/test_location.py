"""Tests of the location table: lookups, indexes, expiry."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.records import Binding, LocationChange
from sipnode.registrar.location import LocationTable, instance_key
from tests.registrar.kit import AOR, NOW, binding

BOB = "bob@example.com"


class _TableCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.table = LocationTable()

    def save(self, ruid: str = "r1", **fields: Any) -> Binding:
        made = binding(fields.pop("contact", f"sip:{ruid}@192.0.2.1"), ruid, **fields)
        self.table.save(made.aor, made)
        return made

    def found(self, now: float = NOW, aor: str = AOR) -> list[str]:
        return [b.ruid for b in self.table.lookup(aor, now)]


class LookupTests(_TableCase):
    """Reading."""

    def test_unknown(self) -> None:
        """Nobody registered: nothing, and nobody is online."""
        self.assertEqual(self.table.lookup(AOR, NOW), [])
        self.assertFalse(self.table.online(AOR, NOW))
        self.assertIsNone(self.table.get(AOR, "r1"))

    def test_order(self) -> None:
        """Best q first, then the newest."""
        self.save("low", q=0.1, last_modified=NOW + 9)
        self.save("old", q=0.5, last_modified=NOW - 9)
        self.save("new", q=0.5, last_modified=NOW)
        self.save("best", q=1.0, last_modified=NOW - 99)
        self.assertEqual(self.found(), ["best", "new", "old", "low"])

    def test_order_after_refresh(self) -> None:
        """A refresh takes its new place."""
        self.save("a", last_modified=NOW)
        self.save("b", last_modified=NOW + 1)
        self.save("a", last_modified=NOW + 2)
        self.assertEqual(self.found(), ["a", "b"])
        self.assertEqual(self.table.count(), 2)

    def test_expired(self) -> None:
        """What has expired is never returned, swept or not; the last instant doesn't count any more."""
        self.save("r1", expires=NOW + 10)
        self.save("r2", expires=NOW + 20)
        self.assertEqual(self.found(NOW + 9.999), ["r1", "r2"])
        self.assertEqual(self.found(NOW + 10), ["r2"])
        self.assertTrue(self.table.online(AOR, NOW + 10))
        self.assertFalse(self.table.online(AOR, NOW + 20))

    def test_list_is_the_callers(self) -> None:
        """Changing the list changes no table."""
        self.save()
        self.table.lookup(AOR, NOW).clear()
        self.assertEqual(self.found(), ["r1"])

    def test_users_apart(self) -> None:
        """Addresses don't see each other's bindings, though devices may share an instance."""
        self.save("r1", instance="<i>")
        self.save("r2", instance="<i>", aor=BOB)
        self.assertEqual((self.found(), self.found(aor=BOB)), (["r1"], ["r2"]))
        found = self.table.by_instance(BOB, "<i>", NOW)
        assert found is not None
        self.assertEqual(found.ruid, "r2")

    def test_by_instance(self) -> None:
        """The newest binding of a device that hasn't expired."""
        self.save("old", instance="<i>", last_modified=NOW - 5)
        self.save("new", instance="<i>", last_modified=NOW, expires=NOW + 10)
        self.save("other", instance="<j>", last_modified=NOW + 5)
        for now, ruid in ((NOW, "new"), (NOW + 10, "old")):
            found = self.table.by_instance(AOR, "<i>", now)
            assert found is not None
            self.assertEqual(found.ruid, ruid)
        self.assertIsNone(self.table.by_instance(AOR, "<k>", NOW))

    def test_iteration(self) -> None:
        """All bindings and all addresses can be listed."""
        self.save("r1")
        self.save("r2")
        self.save("r3", aor=BOB)
        self.assertEqual({b.ruid for b in self.table}, {"r1", "r2", "r3"})
        self.assertEqual(set(self.table.aors()), {AOR, BOB})
        self.assertEqual((self.table.count(), self.table.addresses()), (3, 2))


class ChangeTests(_TableCase):
    """Writing."""

    def test_apply(self) -> None:
        """Saves and deletes of a plan are done in order, and what was there before comes back."""
        first = self.save("r1")
        newer = binding("sip:n@192.0.2.1", "r1")
        added = binding("sip:m@192.0.2.1", "r2")
        changes = [LocationChange(newer), LocationChange(added), LocationChange(added, delete=True)]
        self.assertEqual(self.table.apply(AOR, changes), [first, None, added])
        self.assertEqual(self.table.lookup(AOR, NOW), [newer])

    def test_remove(self) -> None:
        """A binding that is removed is gone from count and lookup; removing it again does nothing."""
        made = self.save()
        self.assertIs(self.table.remove(AOR, "r1"), made)
        self.assertIsNone(self.table.remove(AOR, "r1"))
        self.assertEqual((self.found(), self.table.count(), self.table.addresses()), ([], 0, 0))

    def test_remove_unknown(self) -> None:
        """Another name removes nothing."""
        self.save()
        self.assertIsNone(self.table.remove(AOR, "r2"))
        self.assertEqual(self.found(), ["r1"])


class FlowTests(_TableCase):
    """Bindings that live on a connection."""

    def test_drop(self) -> None:
        """A connection takes all its bindings with it, of every user, and no others."""
        self.save("r1", connection_id="t1")
        self.save("r2", connection_id="t1", aor=BOB)
        self.save("r3", connection_id="t2")
        self.save("r4")
        self.assertEqual({b.ruid for b in self.table.on_flow("t1")}, {"r1", "r2"})
        self.assertEqual({b.ruid for b in self.table.drop_flow("t1")}, {"r1", "r2"})
        self.assertEqual(sorted(self.found()), ["r3", "r4"])
        self.assertEqual((self.table.drop_flow("t1"), self.table.drop_flow("")), ([], []))

    def test_moved(self) -> None:
        """A binding that moved to a new connection survives the end of the old one."""
        self.save("r1", connection_id="t1")
        self.save("r1", connection_id="t2")
        self.assertEqual(self.table.drop_flow("t1"), [])
        self.assertEqual(self.found(), ["r1"])
        self.assertEqual(len(self.table.drop_flow("t2")), 1)

    def test_refreshed(self) -> None:
        """What the end of a connection gives back is the newest state of the binding."""
        self.save("r1", connection_id="t1")
        newest = self.save("r1", connection_id="t1", cseq=2)
        self.assertEqual(self.table.drop_flow("t1"), [newest])


class KeyTests(_TableCase):
    """Devices by their key."""

    def test_key(self) -> None:
        """11 characters that depend on user and instance, and on the contact only where there is no instance."""
        key = instance_key(AOR, "<i>", "sip:1@x.invalid")
        self.assertTrue(re.fullmatch(r"[0-9A-Za-z_-]{11}", key))
        self.assertEqual(key, instance_key(AOR, "<i>", "sip:2@x.invalid"))
        self.assertNotEqual(key, instance_key(BOB, "<i>", "sip:1@x.invalid"))
        self.assertNotEqual(key, instance_key(AOR, "<j>", "sip:1@x.invalid"))
        self.assertNotEqual(instance_key(AOR, "", "<i>"), instance_key(AOR, "<i>", ""))

    def test_stable(self) -> None:
        """A key that went out before a restart is the same after it: the value is fixed."""
        self.assertEqual(instance_key(AOR, "<urn:uuid:1>", "sip:x"), "L7qBmxpJ_o4")

    def key(self, ruid_instance: str = "<i>") -> str:
        return instance_key(AOR, ruid_instance, "")

    def ruid(self, key: str, now: float = NOW) -> str | None:
        found = self.table.by_key(key, now)
        return None if found is None else found.connection_id or found.ruid

    def test_new_connection(self) -> None:
        """The key finds the device on its new connection, and nothing after it has gone."""
        self.save("r1", instance="<i>", connection_id="t1", contact="sip:1@x.invalid")
        self.assertEqual(self.ruid(self.key()), "t1")
        self.save("r1", instance="<i>", connection_id="t2", contact="sip:2@x.invalid")
        self.assertEqual(self.ruid(self.key()), "t2")
        self.table.drop_flow("t2")
        self.assertIsNone(self.ruid(self.key()))

    def test_back_after_loss(self) -> None:
        """A device that registers again after its binding went is found by the old key."""
        self.save("r1", instance="<i>", connection_id="t1")
        self.table.drop_flow("t1")
        self.save("r2", instance="<i>", connection_id="t2")
        self.assertEqual(self.ruid(self.key()), "t2")

    def test_expired(self) -> None:
        """A key finds nothing that has expired."""
        self.save("r1", instance="<i>", connection_id="t1", expires=NOW + 5)
        self.assertIsNone(self.ruid(self.key(), NOW + 5))

    def test_two_flows(self) -> None:
        """Of two flows of a device the newest is found, and the other when that goes."""
        self.save("r1", instance="<i>", reg_id=1, connection_id="t1", last_modified=NOW)
        self.save("r2", instance="<i>", reg_id=2, connection_id="t2", last_modified=NOW + 1)
        self.assertEqual(self.ruid(self.key()), "t2")
        self.table.drop_flow("t2")
        self.assertEqual(self.ruid(self.key()), "t1")

    def test_changed_instance(self) -> None:
        """A binding that changes its instance is found by the new key only."""
        self.save("r1", instance="<i>", connection_id="t1")
        self.save("r1", instance="<j>", connection_id="t1")
        self.assertIsNone(self.ruid(self.key("<i>")))
        self.assertEqual(self.ruid(self.key("<j>")), "t1")

    def test_by_contact(self) -> None:
        """A device without an instance is found by its contact."""
        self.save("r1", connection_id="t1", contact="sip:1@x.invalid")
        self.assertEqual(self.ruid(instance_key(AOR, "", "sip:1@x.invalid")), "t1")

    def test_loaded(self) -> None:
        """A binding of an earlier run is found though its connection is gone; a UDP phone needs no key."""
        self.save("r1", instance="<i>", socket="ws:192.0.2.100:80")
        self.save("r2", instance="<j>")
        self.assertEqual(self.ruid(self.key("<i>")), "r1")
        self.assertIsNone(self.ruid(self.key("<j>")))

    def test_nothing_left(self) -> None:
        """Keys, connections and buckets go with their bindings: memory comes back."""
        for n in range(50):
            self.save(f"r{n}", aor=f"u{n}@x", instance=f"<{n}>", connection_id=f"t{n}")
            self.save(f"r{n}", aor=f"u{n}@x", instance=f"<{n}b>", connection_id=f"t{n}b")
        for n in range(0, 50, 2):
            self.table.drop_flow(f"t{n}b")
        self.table.expire(NOW + 4000)
        sizes = [len(getattr(self.table, name)) for name in ("_addresses", "_flows", "_keys", "_buckets", "_seconds")]
        self.assertEqual(sizes, [0, 0, 0, 0, 0])


class ExpiryTests(_TableCase):
    """The wheel."""

    def expire(self, now: float, limit: int = 1000) -> list[str]:
        gone, _ = self.table.expire(now, limit)
        return [b.ruid for b in gone]

    def test_due(self) -> None:
        """What has expired goes within a second, and not before."""
        self.save("r1", expires=NOW + 10)
        self.save("r2", aor=BOB, expires=NOW + 20)
        self.assertEqual(self.expire(NOW + 10), [])
        self.assertEqual(self.expire(NOW + 11), ["r1"])
        self.assertEqual(self.expire(NOW + 21), ["r2"])
        self.assertEqual(self.table.count(), 0)

    def test_refreshed(self) -> None:
        """A binding that was refreshed stays, and goes at its new time."""
        self.save("r1", expires=NOW + 10)
        self.save("r1", expires=NOW + 100)
        self.assertEqual(self.expire(NOW + 99), [])
        self.assertEqual(self.expire(NOW + 101), ["r1"])

    def test_shortened(self) -> None:
        """A binding whose time was shortened goes at the earlier time."""
        self.save("r1", expires=NOW + 100)
        self.save("r1", expires=NOW + 10)
        self.assertEqual(self.expire(NOW + 11), ["r1"])

    def test_siblings(self) -> None:
        """Of several bindings of one user each goes at its own time."""
        for n in (30, 10, 20):
            self.save(f"r{n}", expires=NOW + n)
        self.assertEqual([self.expire(NOW + n + 1) for n in (10, 20, 30)], [["r10"], ["r20"], ["r30"]])

    def test_limit(self) -> None:
        """A crowd that is due at once goes in steps, and whoever asks is told that there is more."""
        for n in range(10):
            self.save(f"r{n}", aor=f"u{n}@x", expires=NOW + 10)
        gone, more = self.table.expire(NOW + 20, 4)
        self.assertEqual((len(gone), more), (4, True))
        gone, more = self.table.expire(NOW + 20, 100)
        self.assertEqual((len(gone), more, self.table.count()), (6, False, 0))

    def test_clock_jump(self) -> None:
        """A clock that jumps by years expires everything in one step."""
        self.save("r1", expires=NOW + 10)
        self.save("r2", aor=BOB, expires=NOW + 3600)
        self.assertEqual(self.expire(NOW + 10 * 365 * 86400), ["r1", "r2"])

    def test_refresh_leaves_the_wheel_alone(self) -> None:
        """However often and for however long somebody refreshes, the address stands in the wheel once."""
        for n in range(200):
            self.save("r1", expires=NOW + 100 + n % 60)
        self.assertEqual(sum(len(bucket) for bucket in self.table._buckets.values()), 1)
        self.assertLessEqual(len(self.table._seconds), 2)


class ModelTests(SynchronousTestCase):
    """The table against a plain list."""

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["save", "save", "save", "remove", "drop", "tick"]),
                st.integers(0, 2),
                st.integers(0, 4),
                st.integers(1, 40),
                st.integers(0, 3),
            ),
            max_size=30,
        )
    )
    @settings(max_examples=60, deadline=None)
    def test_like_a_list(self, steps: list[tuple[str, int, int, int, int]]) -> None:
        """Whatever is done in whatever order, lookups, count and connections say what a plain list says."""
        table, now = LocationTable(), NOW
        model: dict[str, Binding] = {}
        for step, user, name, seconds, flow in steps:
            aor, ruid, token = f"u{user}@x", f"r{user}-{name}", f"t{flow}" if flow else ""
            if step == "save":
                made = binding(f"sip:{name}@h", ruid, aor=aor, expires=now + seconds, connection_id=token, last_modified=now)
                table.save(aor, made)
                model[ruid] = made
            elif step == "remove":
                table.remove(aor, ruid)
                model.pop(ruid, None)
            elif step == "drop":
                gone = {b.ruid for b in table.drop_flow(token)}
                self.assertEqual(gone, {r for r, b in model.items() if token and b.connection_id == token})
                model = {r: b for r, b in model.items() if r not in gone}
            else:
                now += seconds
                gone = {b.ruid for b in table.expire(now)[0]}
                self.assertLessEqual({r for r, b in model.items() if int(b.expires) + 1 <= now}, gone)
                self.assertLessEqual(gone, {r for r, b in model.items() if b.expires <= now})
                model = {r: b for r, b in model.items() if r not in gone}
            for number in range(3):
                expected = {r for r, b in model.items() if b.aor == f"u{number}@x" and b.expires > now}
                self.assertEqual({b.ruid for b in table.lookup(f"u{number}@x", now)}, expected)
            self.assertEqual(table.count(), len(model))
