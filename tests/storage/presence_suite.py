"""What every store promises of the tables of presence, written once: a store's test case mixes :class:`PresenceSuite` in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import inlineCallbacks
from zope.interface.verify import verifyObject

from sipnode.interfaces import IPresenceBackend
from sipnode.records import PresenceChange, Publication, Subscription, SubscriptionStatus, Watcher

BODY = bytes(range(256))


def publication(ruid: str = "pres-1", **fields: Any) -> Publication:
    """A publication with every field away from its default."""
    values: dict[str, Any] = {
        "resource": "alice@example.test",
        "event": "presence",
        "etag": f"e.{ruid}",
        "expires": 1700003600.0,
        "received": 1700000000.0,
        "body": BODY,
        "sender": "alice@example.test",
        "ruid": ruid,
        "priority": 1700000000,
    }
    return Publication(**(values | fields))


def subscription(to_tag: str = "t-1", **fields: Any) -> Subscription:
    """A subscription with every field away from its default, as it is after a restart: all reserved numbers count as used."""
    values: dict[str, Any] = {
        "resource": "alice@example.test",
        "event": "dialog",
        "event_id": "7",
        "watcher": "bob@else.test",
        "to_tag": to_tag,
        "from_tag": "f-1",
        "call_id": "abc@192.0.2.10",
        "local_uri": "sip:alice@example.test",
        "remote_uri": "sip:bob@else.test",
        "contact": "sip:x1@bob.invalid;transport=ws",
        "expires": 1700003600.0,
        "remote_cseq": 2147483647,
        "local_cseq": 1000,
        "reserved": 1000,
        "routes": "<sip:edge.example.test;lr>, <sip:in.example.test;lr>",
        "status": SubscriptionStatus.PENDING,
        "reason": "why",
        "socket": "wss:192.0.2.1:443",
        "local_contact": "sip:192.0.2.1:443;transport=ws",
        "user_agent": "Page 1.0",
        "content_type": "text/html",
        "flow": "f-09AZ_az",
        "key": "abcdefghijk",
        "host": "2001:db8::1",
        "port": 40000,
        "websocket": True,
        "node": 2,
        "updated": 1700000000.0,
        "source": "192.0.2.77:4000",
        "proved": "2001:db8::1:40000",
    }
    return Subscription(**(values | fields))


def watcher(name: str = "eve", **fields: Any) -> Watcher:
    """A decision."""
    values: dict[str, Any] = {
        "resource": "alice@example.test",
        "watcher": f"{name}@else.test",
        "event": "presence",
        "status": SubscriptionStatus.TERMINATED,
        "reason": "rejected",
        "since": 1700000000.0,
    }
    return Watcher(**(values | fields))


def save(*rows: Any) -> list[PresenceChange]:
    """Changes that save rows."""
    return [PresenceChange(row) for row in rows]


@inlineCallbacks
def all_rows(store: Any) -> Any:
    """All rows of the three tables, as the loads hand them over."""
    found: dict[str, list[Any]] = {}
    for name in ("publications", "subscriptions", "watchers"):
        rows: list[Any] = found.setdefault(name, [])
        count = yield getattr(store.presence, f"load_{name}")(rows.extend)
        assert count == len(rows)
    return found


class PresenceSuite:
    """Mixed into a ``twisted.trial.unittest.TestCase`` that has :meth:`make_store`."""

    def make_store(self) -> Any:
        """A new store, not open."""
        raise NotImplementedError

    @inlineCallbacks
    def opened(self) -> Any:
        """A store, open until the end of the test."""
        store = self.make_store()
        yield store.open()
        self.addCleanup(store.close)  # type: ignore[attr-defined]  # of TestCase
        return store

    @inlineCallbacks
    def test_presence_round_trip(self) -> Any:
        """Every field of every row comes back."""
        store = yield self.opened()
        verifyObject(IPresenceBackend, store.presence)
        rows = (publication(), subscription(), watcher())
        yield store.presence.write(save(*rows))
        found = yield all_rows(store)
        equal = self.assertEqual  # type: ignore[attr-defined]  # of TestCase
        equal(found, {"publications": [rows[0]], "subscriptions": [rows[1]], "watchers": [rows[2]]})

    @inlineCallbacks
    def test_presence_plain(self) -> Any:
        """Fields that are empty stay so."""
        store = yield self.opened()
        plain = Subscription(
            "a@b", "e", "", "c@d", "t", "f", "i", "sip:a@b", "sip:c@d", "sip:c@1.2.3.4", 1e9, 1, local_contact="sip:1.2.3.4:5060"
        )
        usual = replace(plain, to_tag="t2", host="192.0.2.7", port=5060, source="192.0.2.7:5060", proved="192.0.2.7:5060")
        yield store.presence.write(save(plain, usual))
        found = yield all_rows(store)
        self.assertEqual(found["subscriptions"], [plain, usual])  # type: ignore[attr-defined]  # of TestCase

    @inlineCallbacks
    def test_presence_odd_octets(self) -> Any:
        """What a client wrote comes back octet for octet, UTF-8 or not."""
        store = yield self.opened()
        odd = subscription(user_agent="Gerät \udcff", contact="sip:\udcfe@x", watcher="zoë@else.test")
        yield store.presence.write(save(odd))
        found = yield all_rows(store)
        self.assertEqual(found["subscriptions"], [odd])  # type: ignore[attr-defined]  # of TestCase

    @inlineCallbacks
    def test_presence_update_and_delete(self) -> Any:
        """A row is written over by its name; the last change of a batch counts; deleting what isn't there is no fault."""
        store = yield self.opened()
        one, two = publication("p-1"), publication("p-2")
        yield store.presence.write(save(one, two, subscription(), watcher("eve"), watcher("mallory")))
        newer = replace(one, etag="e.new", body=b"other")
        yield store.presence.write(
            [*save(newer), PresenceChange(two, True), PresenceChange(watcher("eve"), True), *save(subscription(reserved=2000))]
        )
        yield store.presence.write([PresenceChange(publication("p-9"), True), *save(two), PresenceChange(two, True)])
        found = yield all_rows(store)
        self.assertEqual(  # type: ignore[attr-defined]  # of TestCase
            (found["publications"], [one.local_cseq for one in found["subscriptions"]], found["watchers"]),
            ([newer], [2000], [watcher("mallory")]),
        )

    @inlineCallbacks
    def test_presence_many(self) -> Any:
        """Thousands of rows of a batch are loaded in their order."""
        store = yield self.opened()
        rows = [subscription(f"t-{number:04}") for number in range(4500)]
        yield store.presence.write(save(*rows))
        found = yield all_rows(store)
        self.assertEqual(found["subscriptions"], rows)  # type: ignore[attr-defined]  # of TestCase

    @inlineCallbacks
    def test_presence_purge(self) -> Any:
        """What expired before then is deleted; decisions stay."""
        store = yield self.opened()
        old, new = 1000.0, 3000.0
        yield store.presence.write(
            save(
                publication("p-1", expires=old),
                publication("p-2", expires=new),
                subscription("t-1", expires=old),
                subscription("t-2", expires=new),
                watcher(),
            )
        )
        yield store.presence.purge(2000.0)
        found = yield all_rows(store)
        self.assertEqual(  # type: ignore[attr-defined]  # of TestCase
            ([one.ruid for one in found["publications"]], [one.to_tag for one in found["subscriptions"]], len(found["watchers"])),
            (["p-2"], ["t-2"], 1),
        )
