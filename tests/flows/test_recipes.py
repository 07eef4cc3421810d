"""The ten commonest jobs, as the manual has them: docs/samples/recipes.py."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from sipnode.records import Hop
from sipnode.routing import HttpError, RoutingScript
from sipnode.testing import FakeHttp, Phone, World

DOCS = Path(__file__).parents[2] / "docs"
FILE = DOCS / "samples" / "recipes.py"
PAGE = DOCS / "howto" / "routing-recipes.rst"
MOST_LINES = 6


def recipes() -> dict[str, type[RoutingScript]]:
    """The scripts by their names."""
    if not FILE.is_file():
        raise SkipTest("docs aren't part of this copy")
    spec = importlib.util.spec_from_file_location("sample_recipes", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = {name: kind for name, kind in vars(module).items() if isinstance(kind, type) and issubclass(kind, RoutingScript)}
    del found["RoutingScript"]
    return found


class RecipeTests(SynchronousTestCase):
    """One promise each."""

    def start(self, name: str) -> tuple[Phone, Phone]:
        """A world with that script; Alice, and Bob who is registered."""
        self.world = World(script=recipes()[name])
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.bob.register()
        return self.alice, self.bob

    def gateway(self) -> Phone:
        """Where a name of the public network leads."""
        self.world.resolver.names["gateway.test"] = [Hop("UDP", "192.0.2.77", 5060)]
        return self.world.phone("gateway", host="192.0.2.77")

    def test_short(self) -> None:
        """Each is six lines at most, and stands in the manual."""
        page = PAGE.read_text("utf-8")
        for node in ast.parse(FILE.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef):
                lines = sum((part.end_lineno or 0) - part.lineno + 1 for part in node.body)
                self.assertLessEqual((node.name, lines), (node.name, MOST_LINES))
                self.assertTrue(re.search(rf":pyobject: {node.name}$", page, re.M), node.name)

    def test_header(self) -> None:
        """A header is added to what goes on."""
        alice, bob = self.start("Header")
        alice.send("INVITE", bob.aor)
        self.assertEqual(bob.got("INVITE").get("x-site"), "Berlin")

    def test_number(self) -> None:
        """A number is rewritten on its way out; To stays as it was written."""
        alice, _ = self.start("Number")
        gateway = self.gateway()
        alice.send("INVITE", "sip:0049301234@gateway.test")
        received = gateway.got("INVITE")
        self.assertEqual(received.uri, "sip:+49301234@gateway.test")
        self.assertEqual(received.to.uri.user, "0049301234")
        gateway.reply(received, 200)
        self.assertEqual(alice.statuses(), [100, 200])

    def test_anonymous(self) -> None:
        """A caller without a name is refused, and the reason counted."""
        alice, bob = self.start("Anonymous")
        alice.aor = "sip:anonymous@anonymous.invalid"
        alice.send("INVITE", bob.aor)
        self.assertEqual((alice.statuses(), bob.methods()), ([433], []))
        self.assertEqual(self.world.core.counters["refused_anonymous"], 1)
        self.world.call(self.world.phone("carol"), bob)

    def test_blocked(self) -> None:
        """An HTTP service says who is blocked; where it is silent that call gets 500, and no other."""
        alice, bob = self.start("Blocked")
        http: FakeHttp = self.world.http
        carol, dave = self.world.phone("carol"), self.world.phone("dave")
        asked = {phone.user: f"http://127.0.0.1:8090/callers?caller={phone.user}%40example.test" for phone in (alice, carol, dave)}
        http.answers[asked["alice"]] = (200, {"blocked": True})
        http.answers[asked["carol"]] = (200, {"blocked": False})
        http.answers[asked["dave"]] = HttpError("no answer within 5 s")
        alice.send("INVITE", bob.aor)
        self.assertEqual((alice.statuses(), bob.methods()), ([603], []))
        self.world.call(carol, bob)
        dave.send("INVITE", bob.aor)
        self.assertEqual(dave.statuses(), [500])
        self.assertEqual(len(self.flushLoggedErrors(HttpError)), 1)
        self.assertEqual([url for _, url, _ in http.requests], [asked["alice"], asked["carol"], asked["dave"]])

    def test_hours(self) -> None:
        """Calls come through from eight to six, by the clock on the wall."""
        alice, bob = self.start("Hours")
        for time, statuses in (("22:00", [480]), ("07:59", [480]), ("08:00", [100]), ("17:59", [100]), ("18:00", [480])):
            self.world.at(time)
            bob.register()
            alice.send("INVITE", bob.aor)
            self.assertEqual((time, alice.statuses()), (time, statuses))
            for invite in bob.take():
                bob.reply(invite, 486)  # type: ignore[arg-type]  # nothing but requests comes
            alice.take()

    def test_mobile(self) -> None:
        """The browser rings, after fifteen seconds the mobile beside it; whoever answers first has the call."""
        alice, bob = self.start("Mobile")
        gateway = self.gateway()
        browser = self.world.phone("alice", "WSS")
        browser.register()
        bob.send("INVITE", alice.aor)
        browser.reply(browser.got("INVITE"), 180)
        self.world.advance(14)
        self.assertEqual(gateway.methods(), [])
        self.world.advance(2)
        received = gateway.got("INVITE")
        self.assertEqual(received.uri, "sip:+491701234567@gateway.test")
        gateway.reply(received, 200)
        self.assertEqual(browser.methods(), ["CANCEL"])
        self.assertEqual(bob.statuses(), [100, 180, 200])

    def test_mobile_is_spared(self) -> None:
        """The mobile doesn't ring once the browser has answered or the caller has given up; at once where nothing else rings."""
        for end in ("answered", "cancelled", "busy", "nobody", "declined"):
            alice, bob = self.start("Mobile")
            gateway = self.gateway()
            browser = self.world.phone("alice", "WSS")
            if end != "nobody":
                browser.register()
            invite = bob.send("INVITE", alice.aor)
            if end == "answered":
                browser.reply(browser.got("INVITE"), 200)
            elif end == "cancelled":
                received = browser.got("INVITE")
                browser.reply(received, 180)
                bob.cancel(invite)
                browser.reply(received, 487)
            elif end in ("busy", "declined"):
                browser.reply(browser.got("INVITE"), 486 if end == "busy" else 603)
            rings = [m for m in gateway.methods() if m == "INVITE"]
            self.assertEqual((end, rings), (end, ["INVITE"] if end in ("busy", "nobody") else []))
            self.world.advance(20)
            self.assertEqual((end, [m for m in gateway.methods() if m == "INVITE" and not rings]), (end, []))

    def test_voicemail(self) -> None:
        """Nobody answers for twenty seconds: the phone stops ringing, and voicemail answers."""
        alice, bob = self.start("Voicemail")
        mailbox = self.world.phone("voicemail", host="192.0.2.99")
        alice.send("INVITE", bob.aor)
        received = bob.got("INVITE")
        bob.reply(received, 180)
        self.world.advance(19)
        self.assertEqual(bob.methods(), [])
        self.world.advance(2)
        bob.reply(bob.got("CANCEL"), 200)
        bob.reply(received, 487)
        mailbox.reply(mailbox.got("INVITE"), 200)
        self.assertEqual(alice.statuses(), [100, 180, 200])

    def test_voicemail_is_spared(self) -> None:
        """A phone that answers in time, or says no, has nothing to do with voicemail; a call goes on for as long as it likes."""
        alice, bob = self.start("Voicemail")
        mailbox = self.world.phone("voicemail", host="192.0.2.99")
        call = self.world.call(alice, bob)
        alice.send("INVITE", bob.aor)
        bob.reply(bob.got("INVITE"), 603)
        self.assertEqual(alice.statuses()[-1], 603)
        self.world.advance(60)
        self.assertEqual((mailbox.methods(), [m for m in bob.methods() if m in ("BYE", "CANCEL")]), ([], []))
        call.from_caller("BYE")
        bob.got("BYE")

    def test_voicemail_without_a_word(self) -> None:
        """A phone that says nothing at all can't be told to stop; voicemail has its turn when the transaction has timed out."""
        alice, bob = self.start("Voicemail")
        mailbox = self.world.phone("voicemail", host="192.0.2.99")
        alice.send("INVITE", bob.aor)
        self.world.advance(33)
        mailbox.reply(mailbox.got("INVITE"), 200)
        self.assertEqual(alice.statuses(), [100, 200])

    def test_busy(self) -> None:
        """The next target has its turn when the first is busy; when that is, too, the caller hears it, and nobody is rung twice."""
        alice, bob = self.start("Busy")
        mailbox = self.world.phone("voicemail", host="192.0.2.99")
        alice.send("INVITE", bob.aor)
        bob.reply(bob.got("INVITE"), 486)
        mailbox.reply(mailbox.got("INVITE"), 200)
        self.assertEqual(alice.statuses(), [100, 200])
        alice.send("INVITE", bob.aor)
        bob.reply(bob.got("INVITE"), 486)
        mailbox.reply(mailbox.got("INVITE"), 486)
        self.assertEqual(alice.statuses(), [100, 486])
        self.assertNotIn("INVITE", mailbox.methods())

    def test_ended(self) -> None:
        """A webhook hears of the end of each call."""
        alice, bob = self.start("Ended")
        call = self.world.call(alice, bob)
        self.world.advance(61)
        call.from_caller("BYE")
        told = {"caller": "alice@example.test", "callee": "bob@example.test", "outcome": "completed", "seconds": 61}
        self.assertEqual(self.world.http.requests, [("POST", "http://127.0.0.1:8090/ended", told)])

    def test_limit(self) -> None:
        """Two calls at a time; the third is refused until one has ended."""
        alice, bob = self.start("Limit")
        first = self.world.call(alice, bob)
        self.world.call(alice, bob)
        alice.send("INVITE", bob.aor)
        self.assertEqual(alice.statuses(), [403])
        self.world.call(self.world.phone("carol"), bob)
        first.from_callee("BYE")
        self.world.call(alice, bob)

    def test_no_timer_is_left(self) -> None:
        """What was meant to ring later, or for so long, leaves nothing behind when the call is over."""
        for name in ("Mobile", "Voicemail"):
            _, bob = self.start(name)
            browser = self.world.phone("alice", "WSS")
            browser.register()
            before = len(self.world.clock.getDelayedCalls())
            calls: list[Any] = [self.world.call(bob, browser) for _ in range(5)]
            self.world.advance(40)
            self.assertLessEqual(len(self.world.clock.getDelayedCalls()), before + 1)
            self.assertEqual(len(calls), 5)
