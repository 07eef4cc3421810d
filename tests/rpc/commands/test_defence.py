"""htable.* and defence.*: who is shut out, seen and changed from outside."""

from __future__ import annotations

from dataclasses import replace

from sipnode.settings import AuthSettings, Settings
from sipnode.testing import World
from tests.rpc.support import RpcCase

STRANGER = "198.51.100.7"


class _Case(RpcCase):
    """A world with a defence."""

    def setUp(self) -> None:
        self.prepare(World(replace(Settings(), auth=AuthSettings(trusted=("203.0.113.0/24",))), defence=True))


class HtableTests(_Case):
    """The table ipban."""

    def test_life_of_a_ban(self) -> None:
        """Set, seen, looked up, prolonged, deleted; the connections of who is shut out are cut."""
        browser = self.world.phone("mallory", "WS", host=STRANGER)
        self.assertEqual(self.call("htable.sets", "ipban", STRANGER, "scanner"), "Ok. Key set to new value.")
        self.assertTrue(browser.flow.closed)
        (entry,) = self.call("htable.dump", "ipban")
        self.assertEqual((entry["size"], entry["slot"]), (1, [{"name": STRANGER, "value": "scanner", "type": "str"}]))
        self.assertEqual(self.call("htable.get", "ipban", STRANGER)["item"]["value"], "scanner")
        self.assertEqual(self.call("htable.setex", "ipban", STRANGER, 86400), "Ok")
        self.assertEqual(self.call("defence.list")[0]["seconds_left"], 86400)
        self.assertEqual(self.call("htable.delete", "ipban", STRANGER), "Ok. Key deleted.")
        self.assertEqual(self.call("htable.dump", "ipban"), [])
        self.assertEqual(self.refused("htable.delete", "ipban", STRANGER), (404, "Key not found in htable."))
        self.assertEqual(self.refused("htable.get", "ipban", STRANGER), (500, "Key name doesn't exist in htable."))

    def test_kinds_of_set(self) -> None:
        """Numbers are kept as text; seconds are how long; flush lets everybody in."""
        self.call("htable.seti", "ipban", "198.51.100.1", 1)
        self.call("htable.setxi", "ipban", "198.51.100.2", 2, 60)
        self.call("htable.setxs", "ipban", "198.51.100.3", "three", 90)
        left = {ban["key"]: (ban["reason"], ban["seconds_left"]) for ban in self.call("defence.list")}
        self.assertEqual((left["198.51.100.2"], left["198.51.100.3"]), (("2", 60), ("three", 90)))
        self.assertEqual(self.call("htable.stats")[0]["all"], 3)
        self.assertEqual(self.call("htable.listTables")[0]["name"], "ipban")
        self.assertEqual(self.call("htable.flush", "ipban"), "Ok. Htable flushed.")
        self.assertEqual(self.call("htable.stats")[0], {"name": "ipban", "slots": 256, "all": 0, "min": 0, "max": 0})

    def test_refusals(self) -> None:
        """Another table, no address, a trusted one, a reason with a line end: nothing is shut out."""
        self.assertEqual(self.refused("htable.dump", "other"), (500, "No such htable"))
        self.assertEqual(self.refused("htable.sets", "other", STRANGER, "x"), (500, "No such htable"))
        self.assertEqual(self.refused("htable.sets", "ipban", "nonsense", "x")[0], 500)
        self.assertEqual(self.refused("htable.sets", "ipban", "203.0.113.9", "x")[0], 500)
        self.assertEqual(self.refused("htable.sets", "ipban", STRANGER, "x\ny")[0], 400)
        self.assertEqual(self.call("htable.dump", "ipban"), [])


class DefenceTests(_Case):
    """defence.*"""

    def test_ban(self) -> None:
        """A ban by hand says when it ends; it is lifted by its key."""
        shown = self.call("defence.ban", STRANGER, 120.0, "by hand")
        self.assertEqual((shown["reason"], shown["seconds_left"]), ("by hand", 120))
        self.world.clock.advance(20)
        self.assertEqual(self.call("defence.list")[0]["seconds_left"], 100)
        self.assertEqual(self.call("defence.unban", shown["key"]), {})
        self.assertEqual(self.refused("defence.unban", shown["key"])[0], 404)
        self.assertEqual(self.refused("defence.ban", "nonsense")[0], 400)
        self.assertEqual(self.refused("defence.ban", STRANGER, -1.0)[0], 400)

    def test_limits(self) -> None:
        """A limit is changed within its bounds, by its name."""
        before = self.call("defence.limits")["rate"]
        self.assertEqual(self.call("defence.set_limit", "rate", before + 1), {"rate": before + 1})
        self.assertEqual(self.call("defence.limits")["rate"], before + 1)
        self.assertEqual(self.refused("defence.set_limit", "nosuch", 1)[0], 400)
        self.assertEqual(self.refused("defence.set_limit", "rate", -1)[0], 400)

    def test_trust(self) -> None:
        """A network is trusted and isn't any more; what can't be one is refused."""
        self.assertIn("192.0.2.0/24", self.call("defence.trust", "192.0.2.0/24"))
        self.assertIn("192.0.2.0/24", self.call("defence.trusted"))
        self.assertNotIn("192.0.2.0/24", self.call("defence.distrust", "192.0.2.0/24"))
        self.assertEqual(self.refused("defence.distrust", "192.0.2.0/24")[0], 404)
        self.assertEqual(self.refused("defence.trust", "nonsense")[0], 400)
        self.assertEqual(self.refused("defence.distrust", "nonsense")[0], 400)

    def test_counts(self) -> None:
        """What happened is counted."""
        self.call("defence.ban", STRANGER)
        self.assertEqual(self.call("defence.counts")["banned_now"], 1)
        self.assertEqual(self.call("sipnode.status")["bans"], 1)


class NoDefenceTests(RpcCase):
    """[defence] enabled = false"""

    def test_absent(self) -> None:
        """Its methods aren't there."""
        self.assertEqual(self.refused("htable.dump", "ipban")[0], -32601)
