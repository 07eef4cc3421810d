"""Who gets into the console, and what a browser that is in has to show."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.console.members import Members, hashed, matches
from sipnode.console.sessions import Sessions
from sipnode.console.signin import PROOF
from sipnode.forms import FORMS
from tests.console.kit import HASH, HOST, PASSWORD, USERS, ConsoleCase


class MemberTests(SynchronousTestCase):
    """Names, roles, hashes."""

    def test_hash(self) -> None:
        """A hash knows its password, shows nothing of it, is another each time, and is of the form that the settings want."""
        one, other = hashed("s3cret"), hashed("s3cret")
        self.assertNotEqual(one, other)
        self.assertNotIn("s3cret", one)
        self.assertEqual((matches("s3cret", one), matches("s3creT", one), matches("", one)), (True, False, False))
        FORMS["member"](f"root admin {one}")

    def test_nonsense(self) -> None:
        """A hash that is none, or that would take a gigabyte, matches nothing."""
        for text in ("", "scrypt", "scrypt:14:8:aaaa", "md5:14:8:aaaa:bbbb", "scrypt:30:8:AAAAAAAAAAAAAAAA:AAAA", "scrypt:14:99:AAAA:AAAA"):
            self.assertFalse(matches("", text), text)

    def test_lines(self) -> None:
        """Names of the console are as typed, the domain of a user of ours is of any case."""
        members = Members(USERS)
        root, alice = members.get("root"), members.get("alice@EXAMPLE.test")
        assert root is not None and alice is not None
        self.assertEqual((root.role, root.secret, alice.role, alice.secret), ("admin", HASH, "admin", ""))
        self.assertEqual([members.get(name) for name in ("Root", "Alice@example.test", "alice", "")], [None] * 4)

    def test_forms(self) -> None:
        """What can't be a user of the console is refused when the file is read."""
        for wrong in (
            "root", "root admin", f"root king {HASH}", f"a b admin {HASH}", "@example.test admin", "alice@example.test root",
            "x admin md5:1:2:3:4",
        ):  # fmt: skip
            self.assertRaises(ValueError, FORMS["member"], wrong)


class SessionTests(SynchronousTestCase):
    """The table of sessions."""

    def test_ends(self) -> None:
        """A session ends when it wasn't used for long, and in any case after its time; whoever waits for that is told."""
        sessions, ended = Sessions(100.0, 10.0, 5), []
        name, session = sessions.begin("root", "admin", 0.0)
        self.assertIs(sessions.get(name, 9.0), session)
        self.assertIsNone(sessions.get(name, 19.5))
        name, session = sessions.begin("root", "admin", 20.0)
        session.endings.add(lambda: ended.append(1))
        self.assertIs(sessions.get(name, 110.0), session, "a page that is shown live is in use")
        self.assertIsNone(sessions.get(name, 120.0))
        self.assertEqual((ended, len(sessions)), ([1], 0))

    def test_bound(self) -> None:
        """There are never more than that; the one used longest ago goes."""
        sessions = Sessions(100.0, 100.0, 3)
        names = [sessions.begin("root", "admin", float(number))[0] for number in range(3)]
        sessions.get(names[0], 5.0)
        sessions.begin("root", "admin", 6.0)
        self.assertEqual([sessions.get(name, 7.0) is not None for name in names], [True, False, True])
        for number in range(1000):
            sessions.begin("root", "admin", 8.0 + number / 1000)
        self.assertEqual(len(sessions), 3)

    def test_name_is_not_kept(self) -> None:
        """What the table holds isn't what the cookie says."""
        sessions = Sessions(100.0, 100.0, 3)
        name, _ = sessions.begin("root", "admin", 0.0)
        self.assertNotIn(name, repr(sessions._table))
        self.assertIsNone(sessions.get("", 1.0))
        self.assertIsNone(sessions.get("x" * 1000, 1.0))


class SignInTests(ConsoleCase):
    """The door."""

    def test_strangers(self) -> None:
        """Without a session there is the page, which holds nothing, and 401 for everything that it asks."""
        self.assertEqual(self.get("/").status, 200)
        self.assertEqual(self.get("/main.js").headers["content-type"], "text/javascript; charset=utf-8")
        for path in ("session", "calls", "call?id=x", "message?id=x&n=0", "export?id=x&form=text", "feed", "view?name=flows", "nothing"):
            answer = self.get(f"/api/{path}")
            self.assertEqual((answer.status, json.loads(answer.body)), (401, {"error": "Sign in first."}), path)
        self.assertEqual(self.post("/api/act", {"method": "ul.rm", "params": []}).status, 401)
        for path in ("/members.py", "/../settings.py", "/page/main.js"):
            self.assertEqual(self.get(path).status, 404, path)

    def test_elsewhere(self) -> None:
        """To an address that isn't allowed it is as if there were no console."""
        self.assertEqual(self.get("/", peer="192.0.2.9").status, 404)
        self.assertEqual(self.get("/api/session", peer="192.0.2.9").status, 404)

    def test_proxies(self) -> None:
        """What a proxy on this machine passes on doesn't come from this machine, whatever its address is."""
        for headers in (
            {"host": "pbx.example.test"}, {"x-forwarded-for": "192.0.2.9"}, {"forwarded": "for=192.0.2.9"}, {"via": "1.1 x"}, {"host": ""},
            {"host": "[2001:db8::1]:8080"},
        ):  # fmt: skip
            self.assertEqual(self.get("/", headers=headers).status, 404, headers)
        for host in ("127.0.0.1", "localhost", "[::1]:8080", "127.0.0.1:8080"):
            self.assertEqual(self.get("/", headers={"host": host}).status, 200, host)

    def test_cookie(self) -> None:
        """Who has a password and a role gets a cookie that no script reads and no other site sends, over TLS only by TLS."""
        answer = self.sign_in()
        told = json.loads(answer.body)
        self.assertEqual((answer.status, told["user"], told["role"]), (200, "root", "admin"))
        self.assertRegex(answer.headers["set-cookie"], r"^sipnode-console=[\w-]{43}; Path=/console; HttpOnly; SameSite=Strict$")
        self.assertEqual(self.told("/api/session")["user"], "root")
        secure = self.post("/api/signin", {"user": "root", "password": PASSWORD}, {"origin": f"https://{HOST}"}, tls=True)
        self.assertTrue(secure.headers["set-cookie"].endswith("; Secure"))
        self.assertEqual(answer.headers["cache-control"], "no-store")

    def test_phone_user(self) -> None:
        """A user of a domain signs in with the password of its phone, with the domain or without; no role is 403, whatever is right."""
        for user in ("alice@example.test", "alice", "alice@EXAMPLE.TEST"):
            self.assertEqual(json.loads(self.sign_in(user, "secret of alice").body)["role"], "admin")
        self.assertEqual(json.loads(self.sign_in("bob", "secret of bob").body)["role"], "viewer")
        self.cookie = ""
        answer = self.sign_in("carol", "secret of carol")
        self.assertEqual((answer.status, "set-cookie" in answer.headers), (403, False))
        self.assertIn("no role", json.loads(answer.body)["error"])
        self.assertEqual(self.get("/api/calls").status, 401)

    def test_wrong(self) -> None:
        """A wrong password and a name that doesn't exist are the same answer, after the same hash and time; ten of them are enough."""
        self.assertEqual(self.sign_in("root", "guess").body, self.sign_in("nobody@nowhere.test", "guess").body)
        before = self.aside_count
        self.sign_in("root", "guess")
        self.assertEqual(self.aside_count, before + 1)
        self.post("/api/signin", {"user": "no one", "password": "x"})
        headers = {"content-type": "application/json", "origin": f"http://{HOST}"}
        exchange = self.ask("/api/signin", "POST", headers, b'{"user":"root","password":"x"}')
        self.assertIsNone(exchange.answer(), "not at once")
        self.world.clock.advance(1)
        for _ in range(10):
            self.sign_in("root", "guess")
        answer = self.sign_in()
        self.assertEqual((answer.status, "retry-after" in answer.headers), (429, True))
        self.world.clock.advance(61)
        self.assertEqual(self.sign_in().status, 200)

    def test_in_the_clear(self) -> None:
        """From another machine a password is only taken by https."""
        self.console.service.door.use(replace(self.console_settings, allow=("0.0.0.0/0",)))
        value = {"user": "root", "password": PASSWORD}
        self.assertEqual(self.post("/api/signin", value, {"host": "pbx.test", "origin": "http://pbx.test"}, peer="192.0.2.9").status, 403)
        self.assertEqual(self.post("/api/signin", value, {"origin": f"https://{HOST}"}, peer="192.0.2.9", tls=True).status, 200)

    def test_forged(self) -> None:
        """What another site has a browser send is refused: another Origin or none, a form, a link; so is a change without the proof."""
        value: dict[str, Any] = {"user": "root", "password": PASSWORD}
        for headers in (
            {"origin": "http://evil.test"}, {"origin": ""}, {"origin": "null"}, {"origin": f"http://{HOST}.evil.test"},
            {"origin": "http://localhost:81"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
        ):  # fmt: skip
            self.assertEqual(self.post("/api/signin", value, headers).status, 403, headers)
        self.assertEqual(self.post("/api/signin", value, {"origin": f"http://{HOST}"}, tls=True).status, 403, "from a page without TLS")
        self.assertEqual(self.post("/api/signin", value, {"content-type": "text/plain"}).status, 400)
        self.sign_in()
        act = {"method": "ul.rm", "params": ["location", "bob@example.test"]}
        for headers in ({PROOF: ""}, {PROOF: "x" * 43}, {"origin": "http://evil.test"}):
            self.assertEqual(self.post("/api/act", act, headers).status, 403, headers)
        self.assertEqual(self.get("/api/calls", headers={"sec-fetch-site": "cross-site"}).status, 403)
        self.assertTrue(self.world.core.registrar.online("bob@example.test"))

    def test_other_cookies(self) -> None:
        """Cookies of other pages on the same host, well formed or not, do no harm."""
        self.sign_in()
        for others in ('a={"x": 1}', "b", "=;=", 'c="', "\xff=1"):
            self.assertEqual(self.get("/api/session", headers={"cookie": f"{others}; {self.cookie}"}).status, 200, others)
        self.assertEqual(self.get("/api/session", headers={"cookie": "sipnode-console=" + "x" * 5000}).status, 401)

    def test_sign_out(self) -> None:
        """The session is over at once, and the browser is told to forget it."""
        self.sign_in()
        answer = self.post("/api/signout", {})
        self.assertIn("Max-Age=0", answer.headers["set-cookie"])
        self.assertEqual(self.get("/api/session").status, 401)

    def test_bodies(self) -> None:
        """Nothing that is posted makes a fault: too long, no JSON, other types."""
        for body in (
            b"", b"[]", b"{", b"\xff", b'{"user": 5, "password": []}', b"[" * 10000, b'{"user":"' + b"x" * 20000 + b'"}',
            b'{"user":"\\n","password":""}',
        ):  # fmt: skip
            self.assertEqual(self.post("/api/signin", body).status, 400, body[:20])
        long = self.post("/api/signin", {"user": "x" * 2000, "password": "y"})
        self.assertEqual(long.status, 401)

    def test_guard(self) -> None:
        """Wrong passwords are counted with those of phones: who guesses here is shut out there."""
        told: list[tuple[str, str, str]] = []

        class Guard:
            barred = False

            def refuses_password(self, host: str, user: str) -> bool:
                return self.barred

            def right(self, host: str, user: str) -> None:
                told.append(("right", host, user))

            def wrong(self, host: str, user: str) -> None:
                told.append(("wrong", host, user))

        guard = Guard()
        self.console.service.door._guard = lambda: guard
        self.sign_in("root", "guess")
        self.sign_in()
        self.sign_in("alice", "guess")
        here = "127.0.0.1"
        self.assertEqual(told, [("wrong", here, "root@console"), ("right", here, "root@console"), ("wrong", here, "alice@example.test")])
        guard.barred = True
        self.assertEqual(self.sign_in().status, 429)

    def test_reload(self) -> None:
        """A reload changes users and times; who has lost its role is out at once."""
        self.sign_in("watcher")
        new = replace(self.world.settings, console=replace(self.console_settings, users=(f"root admin {HASH}",)))
        self.assertEqual(self.reloader.change(self.world.settings, new).refused, [])
        self.assertEqual(self.get("/api/session").status, 401)
        self.assertEqual(self.sign_in("watcher").status, 401)
        self.assertEqual(self.sign_in().status, 200)

    def test_headers(self) -> None:
        """Every answer forbids scripts that aren't ours, frames, and devices."""
        self.sign_in()
        for path in (
            "/", "/main.js", "/nothing.js", "/api/session", "/api/calls", "/api/call?id=x", "/api/nothing", "/api/export?id=x&form=text",
        ):  # fmt: skip
            headers = self.get(path).headers
            self.assertIn("script-src 'self';", headers["content-security-policy"], path)
            self.assertIn("trusted-types 'none'", headers["content-security-policy"], path)
            self.assertNotIn("unsafe", headers["content-security-policy"], path)
            self.assertEqual((headers["x-frame-options"], headers["x-content-type-options"]), ("DENY", "nosniff"), path)
        self.assertEqual(self.get("").headers["location"], "/console/")


class ServiceTests(ConsoleCase):
    """Its life."""

    def test_stop(self) -> None:
        """When the server stops everybody is signed out and no timer is left."""
        self.sign_in()
        self.ask("/api/feed")
        self.console.service.stopService()
        self.assertEqual(len(self.console.service.door.sessions), 0)
        clock: Clock = self.world.clock
        self.assertEqual([call for call in clock.getDelayedCalls() if "console" in repr(call.func)], [])
        self.console.service.startService()
