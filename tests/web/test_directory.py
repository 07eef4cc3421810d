"""Who may see who is there."""

from __future__ import annotations

import base64
import json

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from sipnode.addresses import source_of
from sipnode.errors import StorageBusy
from sipnode.web import directory, signedin
from sipnode.web.directory import DirectoryResource
from sipnode.web.signedin import FailureLimiter, is_loopback, parse_basic

from .kit import Answer, Exchange, fetch


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


ALICE = basic("alice@example.test:s3cret")
WRONG = basic("alice@example.test:guess")


class Guard:
    """Refuses after so many wrong passwords, wherever they were shown."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.told: list[tuple[str, str, str]] = []

    def refuses_password(self, host: str, user: str) -> bool:
        return sum(what == "wrong" for what, _, _ in self.told) >= self.most

    def right(self, host: str, user: str) -> None:
        self.told.append(("right", host, user))

    def wrong(self, host: str, user: str) -> None:
        self.told.append(("wrong", host, user))


class DirectoryTests(TestCase):
    """DirectoryResource."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[str] = []
        self.verified: list[tuple[str, str, str]] = []
        self.names = ["john", "alice"]
        self.resource = DirectoryResource(self.users, lambda aor: aor == "john@example.test", self.verify, self.clock)

    def users(self, domain: str) -> Deferred[list[str]]:
        self.asked.append(domain)
        return succeed(list(self.names))

    def verify(self, username: str, domain: str, password: str) -> Deferred[bool]:
        self.verified.append((username, domain, password))
        return succeed(password == "s3cret")

    def refused(self, headers: dict[str, str], **more: str) -> Answer:
        """The answer to wrong credentials, after its time."""
        exchange = Exchange(self.resource, headers=headers, **more)  # type: ignore[arg-type]  # the keywords are Exchange's
        self.clock.advance(signedin.ANSWER_SECONDS)
        answer = exchange.answer()
        assert answer is not None
        return answer

    def guarded(self, guard: Guard) -> None:
        """The same with a guard."""
        self.resource = DirectoryResource(self.users, lambda aor: False, self.verify, self.clock, lambda: guard)

    def test_guard_hears(self) -> None:
        """Who counts wrong passwords of SIP hears of these too, and whom it refuses isn't looked at: 429, also for the right one."""
        guard = Guard(2)
        self.guarded(guard)
        self.assertEqual(200, fetch(self.resource, headers=ALICE).status)
        self.assertEqual([401, 401], [self.refused(WRONG).status for _ in range(2)])
        self.assertEqual([(what, "127.0.0.1", "alice@example.test") for what in ("right", "wrong", "wrong")], guard.told)
        looked_at = len(self.verified)
        self.assertEqual(429, fetch(self.resource, headers=ALICE).status)
        self.assertEqual(looked_at, len(self.verified))

    def test_guesses_side_by_side(self) -> None:
        """Guesses that all wait for the store are no more than one after the other: the right one among them isn't told."""
        guard = Guard(2)
        self.guarded(guard)
        waiting: list[Deferred[bool]] = []

        def verify(username: str, domain: str, password: str) -> Deferred[bool]:
            waiting.append(Deferred())
            return waiting[-1]

        self.resource._verify = verify
        exchanges = [Exchange(self.resource, headers=headers) for headers in (WRONG, WRONG, ALICE)]
        for one, right in zip(waiting, (False, False, True), strict=True):
            one.callback(right)
        self.clock.advance(signedin.ANSWER_SECONDS)
        answers = [exchange.answer() for exchange in exchanges]
        self.assertEqual([401] * 3, [answer.status for answer in answers if answer is not None])

    def test_list(self) -> None:
        """A user with its password sees the users of its domain in order, and who of them is online."""
        answer = fetch(self.resource, headers=ALICE)
        self.assertEqual(200, answer.status)
        self.assertEqual(
            {"domain": "example.test", "users": [{"user": "alice", "online": False}, {"user": "john", "online": True}]},
            json.loads(answer.text),
        )
        self.assertEqual([("alice", "example.test", "s3cret")], self.verified)
        self.assertEqual("no-store", answer.headers["cache-control"])
        self.assertEqual("nosniff", answer.headers["x-content-type-options"])
        self.assertNotIn("access-control-allow-origin", answer.headers)

    def test_clear_text_over_the_network_is_refused(self) -> None:
        """Over plain http from another machine nobody gets a list, and the password isn't even looked at."""
        for peer in ("192.0.2.7", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.7"):
            answer = fetch(self.resource, headers=ALICE, peer=peer)
            self.assertEqual(403, answer.status)
            self.assertIn("https", json.loads(answer.text)["error"])
        self.assertEqual([], self.verified)

    def test_tls_or_loopback_is_enough(self) -> None:
        """Over TLS from anywhere, and in clear from this machine, the list is given."""
        self.assertEqual(200, fetch(self.resource, headers=ALICE, peer="192.0.2.7", tls=True).status)
        for peer in ("127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"):
            self.assertEqual(200, fetch(self.resource, headers=ALICE, peer=peer).status)

    def test_no_credentials(self) -> None:
        """Without readable credentials it is 401 at once, with a challenge that opens no browser window."""
        broken = "Basic " + base64.b64encode(b"\xff\xfe@x:y").decode()
        for value in ("", "Basic", "Basic !!", "Bearer abc", "Digest username=alice", broken, basic("alice:s3cret")["authorization"]):
            answer = fetch(self.resource, headers={"authorization": value})
            self.assertEqual(401, answer.status)
            self.assertNotRegex(answer.headers["www-authenticate"], "(?i)^(basic|digest|negotiate|ntlm)")
        self.assertEqual([], self.verified)

    def test_wrong_password_and_unknown_user_look_the_same(self) -> None:
        """Both get the same octets after the same time, and no list is read for them."""
        answers = [self.refused(WRONG), self.refused(basic("nobody@example.test:guess"))]
        self.assertEqual([401, 401], [answer.status for answer in answers])
        self.assertEqual(answers[0].body, answers[1].body)
        self.assertEqual([], self.asked)

    def test_refusal_takes_its_time(self) -> None:
        """A refusal isn't sent before its time, however fast or slow the check was."""
        waiting: Deferred[bool] = Deferred()
        resource = DirectoryResource(self.users, lambda _: False, lambda *_: waiting, self.clock)
        exchange = Exchange(resource, headers=WRONG)
        self.clock.advance(signedin.ANSWER_SECONDS * 0.6)
        waiting.callback(False)
        self.clock.advance(signedin.ANSWER_SECONDS * 0.3)
        self.assertIsNone(exchange.answer())
        self.clock.advance(signedin.ANSWER_SECONDS * 0.2)
        answer = exchange.answer()
        assert answer is not None
        self.assertEqual(401, answer.status)

    def test_guessing_is_stopped(self) -> None:
        """After ten wrong passwords the source gets 429 with the wait, the right password too; others don't notice."""
        for _ in range(signedin.FAILURES):
            self.assertEqual(401, self.refused(WRONG).status)
        answer = fetch(self.resource, headers=ALICE)
        self.assertEqual(429, answer.status)
        self.assertGreater(int(answer.headers["retry-after"]), 30)
        self.assertEqual(signedin.FAILURES, len(self.verified))
        self.assertEqual(200, fetch(self.resource, headers=ALICE, peer="192.0.2.9", tls=True).status)
        self.clock.advance(signedin.WINDOW_SECONDS)
        self.assertEqual(200, fetch(self.resource, headers=ALICE).status)

    def test_guesses_side_by_side_are_counted(self) -> None:
        """Guesses that are still being checked count, so that many connections at once win nothing."""
        resource = DirectoryResource(self.users, lambda _: False, lambda *_: Deferred(), self.clock)
        pending = [Exchange(resource, headers=WRONG) for _ in range(signedin.FAILURES)]
        self.assertEqual([None] * signedin.FAILURES, [exchange.answer() for exchange in pending])
        self.assertEqual(429, fetch(resource, headers=WRONG).status)

    def test_right_passwords_are_not_counted(self) -> None:
        """A page that polls for hours isn't taken for a guesser."""
        for _ in range(signedin.FAILURES * 3):
            self.assertEqual(200, fetch(self.resource, headers=ALICE).status)

    def test_gone_client(self) -> None:
        """A client that leaves stops the check, and its guess counts."""
        cancelled: list[bool] = []
        waiting: Deferred[bool] = Deferred(lambda _: cancelled.append(True))
        resource = DirectoryResource(self.users, lambda _: False, lambda *_: waiting, self.clock)
        for _ in range(signedin.FAILURES):
            exchange = Exchange(resource, headers=WRONG)
            exchange.leave()
            waiting = Deferred(lambda _: cancelled.append(True))
        self.assertEqual([True] * signedin.FAILURES, cancelled)
        self.assertEqual(429, fetch(resource, headers=ALICE).status)
        self.assertEqual([], self.flushLoggedErrors())

    def test_client_gone_while_the_refusal_waits(self) -> None:
        """A client that leaves before its refusal leaves no timer behind."""
        exchange = Exchange(self.resource, headers=WRONG)
        self.assertEqual(1, len(self.clock.getDelayedCalls()))
        exchange.leave()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_store_is_asked_once_for_many(self) -> None:
        """Lists of one domain within some seconds come from one question to the store, who is online is always of now."""
        for _ in range(5):
            fetch(self.resource, headers=ALICE)
        self.assertEqual(["example.test"], self.asked)
        self.clock.advance(directory.LIST_SECONDS)
        self.names = ["john", "alice", "zoe"]
        self.assertIn("zoe", fetch(self.resource, headers=ALICE).text)

    def test_domains_apart(self) -> None:
        """The list is the one of the caller's domain, in small letters."""
        fetch(self.resource, headers=ALICE)
        fetch(self.resource, headers=basic("alice@Other.Example:s3cret"))
        self.assertEqual(["example.test", "other.example"], self.asked)

    def test_lists_are_bounded(self) -> None:
        """A user of many domains can't make the cache grow, and a huge domain is cut."""
        self.names = [f"user{number:05}" for number in range(directory.USERS + 5)]
        for number in range(directory.LISTS + 10):
            answer = fetch(self.resource, headers=basic(f"alice@d{number}.test:s3cret"))
        self.assertEqual(directory.USERS, len(json.loads(answer.text)["users"]))
        self.assertEqual(directory.LISTS, len(self.resource._lists))

    def test_store_fails(self) -> None:
        """A store that fails is 503 without a word about why, and isn't held against the caller."""
        resource = DirectoryResource(lambda _: fail(StorageBusy("queue is full")), lambda _: False, self.verify, self.clock)
        answer = fetch(resource, headers=ALICE)
        self.assertEqual(503, answer.status)
        self.assertNotIn("queue", answer.text)

    def test_check_fails(self) -> None:
        """A check that breaks is 503, logged once, and never counts as a wrong password."""
        resource = DirectoryResource(self.users, lambda _: False, lambda *_: fail(RuntimeError("broken")), self.clock)
        for _ in range(signedin.FAILURES + 1):
            self.assertEqual(503, fetch(resource, headers=ALICE).status)
        self.assertEqual(signedin.FAILURES + 1, len(self.flushLoggedErrors(RuntimeError)))

    def test_only_get(self) -> None:
        """Nothing can be posted."""
        self.assertEqual(405, fetch(self.resource, method="POST", headers=ALICE).status)


class LimiterTests(TestCase):
    """FailureLimiter."""

    def test_bounded(self) -> None:
        """A flood of sources forgets the quietest ones and never grows over the bound."""
        limiter = FailureLimiter(Clock().seconds, failures=1, sources=3)
        for source in ("a", "b", "c", "a", "d"):
            limiter.begin(source)
        self.assertEqual(3, len(limiter))
        self.assertEqual(0.0, limiter.wait("b"))
        self.assertGreater(limiter.wait("a"), 0)

    def test_window(self) -> None:
        """The wait shrinks with time, and after the window counting starts anew."""
        clock = Clock()
        limiter = FailureLimiter(clock.seconds, failures=2, window=60)
        limiter.begin("a")
        clock.advance(20)
        limiter.begin("a")
        self.assertEqual(40.0, limiter.wait("a"))
        clock.advance(40)
        self.assertEqual(0.0, limiter.wait("a"))
        limiter.begin("a")
        self.assertEqual(0.0, limiter.wait("a"))

    def test_forgiven(self) -> None:
        """An attempt that is taken back leaves nothing behind."""
        limiter = FailureLimiter(Clock().seconds)
        limiter.begin("a")
        limiter.begin("a")
        limiter.forgive("a")
        self.assertEqual(1, len(limiter))
        limiter.forgive("a")
        limiter.forgive("a")
        self.assertEqual(0, len(limiter))


class AddressTests(TestCase):
    """What addresses count as."""

    def test_sources(self) -> None:
        """IPv4 counts by address, IPv6 by its /64, and an IPv4 address in IPv6 clothes is the same source."""
        self.assertEqual("192.0.2.7", source_of("192.0.2.7"))
        self.assertEqual("192.0.2.7", source_of("::ffff:192.0.2.7"))
        self.assertEqual("2001:db8:0:1::/64", source_of("2001:db8:0:1:aaaa::1"))
        self.assertEqual(source_of("2001:db8:0:1::1"), source_of("2001:0db8:0000:0001:ffff:1:2:3"))
        self.assertNotEqual(source_of("2001:db8:0:1::1"), source_of("2001:db8:0:2::1"))
        self.assertEqual(source_of("fe80::1"), source_of("fe80::1%eth0"))
        self.assertEqual(source_of("2001:db8::1"), source_of("2001:db8:0:0::1"))

    def test_loopback(self) -> None:
        """Only this machine itself is loopback; names that begin alike aren't."""
        for host in ("127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"):
            self.assertTrue(is_loopback(host), host)
        for host in ("", "128.0.0.1", "127.evil.test", "::2", "::ffff:10.0.0.1", "1127.0.0.1"):
            self.assertFalse(is_loopback(host), host)


class BasicTests(TestCase):
    """parse_basic."""

    def test_parts(self) -> None:
        """The domain is after the last @ of the name, the password may hold colons and letters of any language."""
        parsed = parse_basic(basic("al@ice@Example.test:pä:ss@x")["authorization"])
        self.assertEqual(("al@ice", "example.test", "pä:ss@x"), parsed)

    def test_refused(self) -> None:
        """Missing parts, control characters, foreign schemes and overlong values are no credentials."""
        for text in ("alice", "alice@x", "@x:y", "alice@:y", "alice@x\r\n:y", "alice@x:y\0"):
            self.assertIsNone(parse_basic(basic(text)["authorization"]), text)
        for header in (None, "", "Basic", "Bearer " + "a" * 8, "Basic " + "A" * 4096):
            self.assertIsNone(parse_basic(header))
