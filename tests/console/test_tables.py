"""The views beside calls: their rows, their bounds, and what strangers put into them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from sipnode.console.reasons import reason_of
from sipnode.console.table import MOST_LOOKED, MOST_ROWS, table
from sipnode.lifecycle.reload import Report
from tests.console.kit import ConsoleCase
from tests.insight.kit import SDP

HOSTILE = "\x1b]0;x\x07<script>alert(1)</script>\u202e"


class TableTests(SynchronousTestCase):
    """table()."""

    def test_bounds(self) -> None:
        """A table has so many rows and says how many more fit; of a table without end only the beginning is looked through."""
        rows = ({"name": f"row {number}"} for number in range(10 * MOST_LOOKED))
        made = table("Rows", [("name", "Name", "name")], rows)
        self.assertEqual((len(made["rows"]), made["more"]), (MOST_ROWS, MOST_LOOKED - MOST_ROWS))
        self.assertIn(f"first {MOST_LOOKED}", made["note"])

    def test_search(self) -> None:
        """All words have to stand in a row's columns; what isn't shown isn't looked through."""
        rows = [{"name": "alice", "from": "udp:1", "hidden": "bob"}, {"name": "bob", "from": "WS:2", "hidden": ""}]
        columns = [("name", "Name", "name"), ("from", "From", "code")]
        found = lambda search: [row["name"] for row in table("x", columns, iter(rows), search)["rows"]]  # noqa: E731
        self.assertEqual((found("b ws"), found("BOB"), found("alice ws"), found("")), (["bob"], ["bob"], [], ["alice", "bob"]))

    def test_hostile(self) -> None:
        """No control character of a stranger is in a row."""
        made = table("x", [("name", "Name", "name")], [{"name": HOSTILE, "words": [HOSTILE, (HOSTILE,)]}])
        self.assertTrue(made["rows"][0]["name"].isprintable())
        self.assertTrue(all(text.isprintable() for text in (made["rows"][0]["words"][0], made["rows"][0]["words"][1][0])))


class ReasonTests(SynchronousTestCase):
    """Why a line was changed."""

    def reason(self, line: str, in_body: bool = False, is_request: bool = True, relayed: bool = True) -> str:
        """Of a line with its sign."""
        return reason_of(line[0], line[1:], in_body, is_request, relayed, lambda stage: f"site.py:{len(stage)}")

    def test_each(self) -> None:
        """Each line that sipnode changes by itself has its reason, and the stage with its line where one did it."""
        for line, part in (
            ("+Via: SIP/2.0/UDP 192.0.2.1;branch=x", "16.6"),
            ("+Via: SIP/2.0/UDP 10.0.0.1;branch=x;received=192.0.2.9", "18.2.1"),
            ("-Route: <sip:192.0.2.1;lr>", "16.4"),
            ("+Record-Route: <sip:192.0.2.1;lr>", "· record, site.py:6"),
            ("-Proxy-Authorization: Digest x", "· auth, site.py:4"),
            ("+Contact: <sip:a@10.0.0.1;alias=192.0.2.9~5060~1>", "· natdetect, site.py:9"),
            ("+INVITE sip:bob@192.0.2.9 SIP/2.0", "· location, site.py:8"),
            ("+Max-Forwards: 69", "16.6"),
        ):
            self.assertIn(part, self.reason(line), line)
        self.assertIn("media relay answered · manage_branch", self.reason("+m=audio 1 RTP/AVP 0", True))
        self.assertIn("manage_reply", self.reason("+m=audio 1 RTP/AVP 0", True, False))
        self.assertIn("routing script", self.reason("+m=audio 1 RTP/AVP 0", True, True, False))
        self.assertIn("16.7", self.reason("-Via: SIP/2.0/UDP 192.0.2.1", False, False))
        self.assertEqual(self.reason("+X-Own: 1"), "", "what isn't known isn't guessed")


class ViewTests(ConsoleCase):
    """The views of a server."""

    def setUp(self) -> None:
        super().setUp()
        self.sign_in()

    def view(self, name: str, search: str = "") -> Any:
        """A view."""
        return self.told(f"/api/view?name={name}&search={search}")

    def test_registrations(self) -> None:
        """Contacts with device and source; a whole address is looked up, a part of one is searched for; an admin can remove one."""
        rows = self.view("registrations")["rows"]
        self.assertEqual(sorted(row["user"] for row in rows), ["alice@example.test", "bob@example.test"])
        self.assertEqual([row["user"] for row in self.view("registrations", "bob@example.test")["rows"]], ["bob@example.test"])
        self.assertEqual([row["user"] for row in self.view("registrations", "alic")["rows"]], ["alice@example.test"])
        told = self.view("registrations", "nobody@example.test")
        self.assertEqual((told["rows"], told["empty"]), ([], "Nobody is registered, or nobody fits."))
        deed, row = told["rowActs"][0], rows[0]
        params = [row[each[1:]] if each.startswith("$") else each for each in deed["params"]]
        self.assertEqual(json.loads(self.post("/api/act", {"method": deed["method"], "params": params}).body), {"result": {}})
        self.assertFalse(self.world.core.registrar.online(row["user"]))

    def test_flows(self) -> None:
        """Connections with who has signed in by them; one that is gone stays in sight, with the reason."""
        row, = (row for row in self.view("flows")["rows"] if row["transport"].startswith("ws-"))
        self.assertEqual((row["state"], row["websocket"]), (["good", "open"], True))
        self.assertGreater(row["number"], 0)
        self.world.close(self.bob, "1001 page left")
        gone = [row for row in self.view("flows", "bob@example.test%20closed")["rows"] if row["state"] == ["ended", "closed"]]
        self.assertEqual([(row["user"], row["why"]) for row in gone], [("bob@example.test", "1001 page left")])

    def test_settings(self) -> None:
        """Settings in force with file and line, or as they come; what was changed meanwhile says so; secrets aren't told."""
        found = [*self.view("settings")["rows"], *self.view("settings", "ban_seconds")["rows"]]
        rows = {row["key"]: row for row in found}
        self.assertRegex(rows["core.domains"]["origin"], r"^sipnode\.toml:2$")
        self.assertIn("sipnode.toml:5: 300.0", rows["defence.ban_seconds"]["origin"], "the file says something else than the world has")
        self.assertEqual(rows["core.server"]["origin"], "default")
        users = self.view("settings", "console.users")["rows"][0]
        self.assertNotIn("scrypt", json.dumps(users))

    def test_history(self) -> None:
        """The start, and each reload with what came of it, the newest first, at most fifty."""
        self.assertEqual([row["state"][1] for row in self.view("history")["rows"]], ["started"])
        self.reloader.reported(Report([], ["sipnode.toml:3: no"], []))
        for _ in range(100):
            self.reloader.reported(Report(["log"], [], ["core.listen"]))
        rows = self.view("history")["rows"]
        self.assertEqual((len(rows), rows[0]["state"][1], rows[-1]["state"][1]), (51, "read anew", "started"))
        self.assertIn("these need a restart: core.listen", rows[0]["text"])

    def test_reload_is_told(self) -> None:
        """A real reload stands in the history, also one that was refused."""
        self.reloader.reload()
        self.assertEqual(self.view("history")["rows"][0]["state"], ["failed", "not taken"])

    def test_nodes_and_certificates(self) -> None:
        """Media nodes with their state, certificates with their days; one that has ended stands out."""
        now = self.world.clock.seconds()
        node = SimpleNamespace(place="192.0.2.5:2223", name="n1", weight=1, set=0, down_until=now + 30, draining=False)
        self.parts.media = SimpleNamespace(nodes=SimpleNamespace(nodes=[node], is_up=lambda node: False))
        one = {"section": "server:default", "key": "certificate", "path": "/c.pem", "subject": "CN=x"}
        dated = [SimpleNamespace(**one, until=now + days * 86400) for days in (-1, 5, 90)]
        self.parts.transports = SimpleNamespace(tls=SimpleNamespace(files=lambda: dated, warnings=lambda: ["soon"]))
        row = self.view("nodes")["rows"][0]
        self.assertEqual((row["state"], row["again"], row["bad"]), (["failed", "doesn't answer"], 30.0, True))
        told = self.view("certificates")
        self.assertEqual([row["state"][0] for row in told["rows"]], ["failed", "warn", "good"])
        self.assertEqual(told["note"], "soon")

    def test_nothing(self) -> None:
        """Where there is nothing it is said why."""
        self.assertIn("[media] nodes is empty", self.view("nodes")["empty"])
        self.assertIn("Nothing listens with TLS", self.view("certificates")["empty"])
        self.assertEqual(self.get("/api/view?name=nonsense").status, 404)

    def test_quality(self) -> None:
        """Of a call that is up the relay is asked how it sounds; of one that isn't the answer says so."""
        self.assertIn("error", self.view("quality", "gone"))
        self.parts.ongoing_media = lambda call: SimpleNamespace(query=lambda: succeed({}), party=lambda tag: "caller")
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        self.assertEqual(self.view("quality", call.invite.call_id), {"result": []})


class BanTests(ConsoleCase):
    """Who is shut out."""

    def setUp(self) -> None:
        super().setUp()
        self.sign_in()

    def recorded(self, settings: Any = None, **options: Any) -> Any:
        return super().recorded(settings, defence=True, **options)

    def test_bans(self) -> None:
        """Bans with reason and rest; an admin lifts one; where nobody is shut out that is said."""
        self.assertEqual(self.told("/api/view?name=bans")["empty"], "Nobody is shut out.")
        defence = self.world.core.defence
        assert defence is not None
        defence.ban("198.51.100.9", 60.0, "junk")
        row = self.told("/api/view?name=bans")["rows"][0]
        self.assertEqual((row["key"], row["reason"], row["what"]), ("198.51.100.9", "junk", "all"))
        self.post("/api/act", {"method": "defence.unban", "params": [row["key"]]})
        self.assertEqual(defence.bans(), [])

