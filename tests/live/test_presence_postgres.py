"""The tables of presence on a real PostgreSQL, and what only it has: news of others' writes, two servers on one database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zope.interface import implementer

from sipnode.interfaces import IPresenceFeed
from sipnode.records import PresenceChange, Publication, Subscription, Watcher
from sipnode.storage.initialize import init_database
from tests.storage.presence_suite import PresenceSuite, publication, save, subscription, watcher

from .support.waiting import until
from .test_postgres import PostgresCase


@implementer(IPresenceFeed)
class Feed:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.places: dict[tuple[str, str], list[Publication]] = {}
        self.rows: dict[str, Subscription] = {}
        self.gone: list[str] = []
        self.decisions: dict[str, list[Watcher]] = {}
        self.losses = 0

    def published(self, resource: str, event: str, publications: list[Publication]) -> None:
        self.places[resource, event] = publications

    def decided(self, resource: str, watchers: list[Watcher]) -> None:
        self.decisions[resource] = watchers

    def subscribed(self, subscriptions: list[Subscription]) -> None:
        self.rows.update({one.to_tag: one for one in subscriptions})

    def unsubscribed(self, to_tags: list[str]) -> None:
        self.gone += to_tags

    def lost(self) -> None:
        self.losses += 1


class PresenceCase(PostgresCase):
    """Has a database with its tables."""

    async def setUp(self) -> None:
        await super().setUp()
        init_database(self.url, "")


class PostgresPresenceTests(PresenceSuite, PresenceCase):
    """The suite of all stores."""

    def make_store(self) -> Any:
        return PresenceCase.make_store(self)


class NewsTests(PresenceCase):
    """What another node writes is told at once."""

    async def setUp(self) -> None:
        await super().setUp()
        self.stores = [self.make_store(node_id=number) for number in (1, 2)]
        for store in self.stores:
            await store.open()
            self.addCleanup(store.close)
        self.mine, self.other = Feed(), Feed()
        self.stores[0].presence.watch(self.mine)
        self.stores[1].presence.watch(self.other)

    async def test_news(self) -> None:
        """Publications come as all of their place, subscriptions by their rows, decisions by their presentity; own writes are silent."""
        write = self.stores[0].presence.write
        one, two = publication("p-1", event="a b%"), publication("p-2", event="a b%")
        await write(save(one, two, subscription(), watcher()))
        await until(lambda: self.other.places and self.other.rows and self.other.decisions, "the news")
        self.assertEqual(self.other.places, {(one.resource, one.event): [one, two]})
        self.assertEqual(self.other.rows, {"t-1": subscription()})
        self.assertEqual(self.other.decisions, {one.resource: [watcher()]})
        await write([PresenceChange(one, True), PresenceChange(subscription(), True), *save(replace(two, etag="new"))])
        await until(lambda: self.other.gone and [row.etag for row in self.other.places[one.resource, one.event]] == ["new"], "the news")
        self.assertEqual((self.mine.places, self.mine.rows, self.mine.gone, self.other.losses), ({}, {}, [], 0))

    async def test_too_many(self) -> None:
        """More rows than are worth naming have everything read again."""
        await self.stores[0].presence.write(save(*[subscription(f"t-{number}") for number in range(5001)]))
        await until(lambda: self.other.losses, "the news")
        self.assertEqual(self.other.rows, {})

    async def test_by_hand(self) -> None:
        """What an operator or Kamailio writes is told to all."""
        self.sql(
            "INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, event, status, inserted_time) "
            "VALUES ('sip:zoe@example.test', 'eve', 'else.test', 'presence', 3, 1)"
        )
        await until(lambda: "zoe@example.test" in self.mine.decisions and "zoe@example.test" in self.other.decisions, "the news")
        self.assertEqual([row.status for row in self.mine.decisions["zoe@example.test"]], [3])

    def test_init_again(self) -> None:
        """A second ``db init`` changes nothing."""
        lines: Any = init_database(self.url, "")
        self.assertFalse([line for line in lines or () if "made" in line])
