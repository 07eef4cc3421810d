from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.errors import StorageBusy, StorageError
from sipnode.interfaces import ICredentialStore
from sipnode.records import Credential
from sipnode.storage.credentials import CachedCredentials, Key

ALICE = ("alice", "example.test")


class _CacheCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[list[Key]] = []
        self.open: list[Deferred[Any]] = []
        self.cache = self.make()

    def make(self, **options: Any) -> CachedCredentials:
        return CachedCredentials(self.look_up, self.clock, **({"cache_seconds": 60.0} | options))

    def look_up(self, keys: list[Key]) -> Deferred[dict[Key, Credential]]:
        self.asked.append(keys)
        self.open.append(Deferred())
        return self.open[-1]

    def answer(self, *present: Key, ha1: str = "") -> None:
        self.open.pop(0).callback({key: Credential(*key, ha1=ha1) for key in present})


class CachedCredentialsTests(_CacheCase):
    """The cache of users' secrets."""

    def test_interface(self) -> None:
        """It is what the authenticator asks for."""
        verifyObject(ICredentialStore, self.cache)

    def test_age(self) -> None:
        """A credential is answered from memory for its time, a missing user for less."""
        self.cache.fetch(*ALICE)
        self.answer(ALICE)
        self.cache.fetch("bob", "example.test")
        self.answer()
        self.clock.advance(4.9)
        self.assertEqual(self.cache.cached(*ALICE), Credential(*ALICE))
        self.assertIsNone(self.cache.cached("bob", "example.test"))
        self.clock.advance(0.1)
        self.assertRaises(KeyError, self.cache.cached, "bob", "example.test")
        self.clock.advance(54.9)
        self.cache.cached(*ALICE)
        self.clock.advance(0.1)
        self.assertRaises(KeyError, self.cache.cached, *ALICE)

    def test_change_is_seen(self) -> None:
        """A fetch after the time brings what the store has now."""
        self.cache.fetch(*ALICE)
        self.answer(ALICE, ha1="old")
        self.clock.advance(60)
        self.cache.fetch(*ALICE)
        self.answer(ALICE, ha1="new")
        self.assertEqual(self.cache.cached(*ALICE).ha1, "new")

    def test_forget(self) -> None:
        """A forgotten user is asked for again."""
        self.cache.fetch(*ALICE)
        self.answer(ALICE)
        self.cache.forget(*ALICE)
        self.cache.forget(*ALICE)
        self.assertRaises(KeyError, self.cache.cached, *ALICE)

    def test_shared(self) -> None:
        """Callers that miss the same user at the same time share one look-up."""
        waiting = [self.cache.fetch(*ALICE) for _ in range(3)]
        self.assertEqual(self.asked, [[ALICE]])
        self.answer(ALICE)
        for done in waiting:
            self.assertEqual(self.successResultOf(done), Credential(*ALICE))

    def test_batched(self) -> None:
        """What misses while a look-up is under way goes as the next one, all at once, up to the batch."""
        cache = self.make(batch=3)
        waiting = [cache.fetch(f"u{number}", "example.test") for number in range(6)]
        self.assertEqual([len(keys) for keys in self.asked], [1])
        self.answer(("u0", "example.test"))
        self.assertEqual([len(keys) for keys in self.asked], [1, 3])
        self.answer(("u1", "example.test"), ("u3", "example.test"))
        self.answer()
        self.assertEqual([len(keys) for keys in self.asked], [1, 3, 2])
        found = [self.successResultOf(done) for done in waiting]
        self.assertEqual([one and one.username for one in found], ["u0", "u1", None, "u3", None, None])

    def test_fault(self) -> None:
        """A store that fails fails those that wait for this look-up, and is asked anew next time."""
        first = self.cache.fetch(*ALICE)
        second = self.cache.fetch("bob", "example.test")
        self.open.pop(0).errback(ZeroDivisionError("driver"))
        self.failureResultOf(first, StorageError)
        self.assertNoResult(second)
        self.answer()
        self.assertIsNone(self.successResultOf(second))
        self.assertRaises(KeyError, self.cache.cached, *ALICE)
        third = self.cache.fetch(*ALICE)
        self.answer(ALICE)
        self.successResultOf(third)

    def test_bounded_wait(self) -> None:
        """A flood of names fails at once over the bound; who waits already is served."""
        cache = self.make(waiting=2)
        first, second = cache.fetch("a", "x.test"), cache.fetch("b", "x.test")
        self.failureResultOf(cache.fetch("c", "x.test"), StorageBusy)
        again = cache.fetch("a", "x.test")
        self.answer()
        self.answer()
        for done in (first, second, again):
            self.assertIsNone(self.successResultOf(done))

    def test_bounded_memory(self) -> None:
        """Over its size the cache lets the oldest go."""
        cache = self.make(size=3)
        for number in range(5):
            cache.fetch(f"u{number}", "x.test")
            self.answer((f"u{number}", "x.test"))
        self.assertEqual(len(cache._entries), 3)
        self.assertRaises(KeyError, cache.cached, "u1", "x.test")
        cache.cached("u2", "x.test")

    def test_old_entries_go(self) -> None:
        """Entries that are over leave as others come, so memory follows the users that are active."""
        for number in range(100):
            self.cache.fetch(f"u{number}", "x.test")
            self.answer((f"u{number}", "x.test"))
        self.clock.advance(60)
        for number in range(100, 160):
            self.cache.fetch(f"u{number}", "x.test")
            self.answer((f"u{number}", "x.test"))
        self.assertLessEqual(len(self.cache._entries), 61)

    def test_no_memory(self) -> None:
        """cache_seconds 0 asks the store each time."""
        cache = self.make(cache_seconds=0)
        done = cache.fetch(*ALICE)
        self.answer(ALICE)
        self.assertEqual(self.successResultOf(done), Credential(*ALICE))
        self.assertRaises(KeyError, cache.cached, *ALICE)

    def test_impossible_names(self) -> None:
        """A name that no row can have isn't asked for."""
        for name in ("", "\udc80", "a" * 256):
            self.assertIsNone(self.successResultOf(self.cache.fetch(name, "example.test")))
            self.assertIsNone(self.successResultOf(self.cache.fetch("alice", name)))
        self.assertEqual(self.asked, [])


class OutageTests(_CacheCase):
    """A store that is away."""

    def make(self, **options: Any) -> CachedCredentials:
        cache = super().make(**options)
        cache.outage_seconds = 600.0
        return cache

    def know(self) -> None:
        """Alice has been looked up, and her time is over."""
        self.cache.fetch(*ALICE)
        self.answer(ALICE, ha1="known")
        self.clock.advance(60)

    def refuse(self) -> None:
        """The store refuses."""
        self.open.pop(0).errback(StorageError("connection refused"))

    def test_stays_good(self) -> None:
        """Who was known is believed for the time of an outage, at once while the store was found away a moment ago; then no more."""
        self.know()
        first = self.cache.fetch(*ALICE)
        self.refuse()
        self.assertEqual(self.successResultOf(first).ha1, "known")
        self.assertEqual(self.cache.cached(*ALICE).ha1, "known")
        self.clock.advance(2)
        self.assertRaises(KeyError, self.cache.cached, *ALICE)
        self.clock.advance(598)
        late = self.cache.fetch(*ALICE)
        self.refuse()
        self.failureResultOf(late, StorageError)
        self.assertRaises(KeyError, self.cache.cached, *ALICE)
        self.assertEqual(self.cache.outdated, 2)

    def test_nobody_else(self) -> None:
        """Whoever wasn't known, or was known not to exist, isn't believed; and with no time for outages nobody is."""
        self.know()
        self.cache.fetch("bob", "example.test")
        self.answer()
        self.clock.advance(60)
        waiting = self.cache.fetch("bob", "example.test"), self.cache.fetch("eve", "example.test")
        self.refuse()
        self.refuse()
        for each in waiting:
            self.failureResultOf(each, StorageError)
        self.assertRaises(KeyError, self.cache.cached, "eve", "example.test")
        self.cache.outage_seconds = 0.0
        none = self.cache.fetch(*ALICE)
        self.refuse()
        self.failureResultOf(none, StorageError)

    def test_forgotten(self) -> None:
        """A user that was forgotten by name isn't believed; one that is only to be looked up anew is."""
        self.know()
        self.cache.forget_all()
        asked = self.cache.fetch(*ALICE)
        self.refuse()
        self.assertEqual(self.successResultOf(asked).ha1, "known")
        self.cache.forget(*ALICE)
        asked = self.cache.fetch(*ALICE)
        self.refuse()
        self.failureResultOf(asked, StorageError)

    def test_silent_store(self) -> None:
        """A store that says nothing holds nobody up: who is known is believed, who isn't is refused, after a second at first and then at
        once; its late answer is the truth again.
        """
        self.know()
        known, other = self.cache.fetch(*ALICE), self.cache.fetch("bob", "example.test")
        self.assertNoResult(known)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(known).ha1, "known")
        self.failureResultOf(other, StorageError)
        self.assertEqual(self.cache.cached(*ALICE).ha1, "known")
        for _ in range(30):
            self.clock.advance(1)
            self.failureResultOf(self.cache.fetch("bob", "example.test"), StorageError)
            self.assertEqual(self.successResultOf(self.cache.fetch(*ALICE)).ha1, "known")
        self.assertEqual((len(self.asked), self.cache.waiting, self.cache.unserved), (2, 1, 31))
        self.answer(ALICE, ha1="new")
        self.assertEqual(self.cache.cached(*ALICE).ha1, "new")
        other = self.cache.fetch("bob", "example.test")
        self.answer(("bob", "example.test"))
        self.assertEqual(self.successResultOf(other).username, "bob")
        self.assertEqual((self.clock.getDelayedCalls(), self.cache.waiting), ([], 0))

    def test_tried_again(self) -> None:
        """A store that was silent is tried with one user every other second, and nobody else waits for that."""
        self.cache.fetch(*ALICE).addErrback(lambda _: None)
        self.clock.advance(1)
        self.clock.advance(4)
        self.refuse()
        self.failureResultOf(self.cache.fetch(*ALICE), StorageError)
        self.assertEqual(len(self.asked), 1)
        self.clock.advance(2)
        first, second = self.cache.fetch(*ALICE), self.cache.fetch("bob", "example.test")
        self.assertEqual(self.asked[1:], [[ALICE]])
        self.failureResultOf(second, StorageError)
        self.answer(ALICE)
        self.successResultOf(first)

    def test_held_up_itself(self) -> None:
        """A process that stood still takes the store for silent no sooner than it has looked for the answer."""
        waiting = self.cache.fetch(*ALICE)
        self.clock.advance(9)
        self.assertNoResult(waiting)
        self.answer(ALICE)
        self.successResultOf(waiting)

    def test_changed_meanwhile(self) -> None:
        """A user that changes while it is looked up is looked up anew by the next; the former secret isn't kept, for no outage either."""
        self.know()
        asked = self.cache.fetch(*ALICE)
        self.cache.forget(*ALICE)
        self.answer(ALICE, ha1="former")
        self.successResultOf(asked)
        self.assertRaises(KeyError, self.cache.cached, *ALICE)
        asked = self.cache.fetch(*ALICE)
        self.refuse()
        self.failureResultOf(asked, StorageError)
        self.assertEqual(self.cache._changed, set())

    def test_invented_names(self) -> None:
        """A flood of names that nobody has pushes out nobody that is known."""
        cache = self.make(size=3)
        cache.fetch(*ALICE)
        self.answer(ALICE)
        for number in range(9):
            cache.fetch(f"x{number}", "example.test")
            self.answer()
        self.assertEqual(cache.cached(*ALICE), Credential(*ALICE))
        self.assertEqual(len(cache._nobody), 3)

    def test_told_once(self) -> None:
        """The log has one line when the store goes and one when it is back."""
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.know()
        for _ in range(3):
            self.cache.fetch(*ALICE)
            self.refuse()
            self.clock.advance(3)
        self.cache.fetch(*ALICE)
        self.answer(ALICE)
        texts = [formatEvent(event) for event in events if event.get("log_namespace") == "sipnode.storage"]
        self.assertEqual(len(texts), 2)
        self.assertIn("away (connection refused): who was known stays so for 600 s", texts[0])
        self.assertIn("back; 3 times somebody was believed by what was known before, 0 times", texts[1])
