"""dlg.*"""

from __future__ import annotations

from sipnode.testing import Call
from tests.rpc.support import RpcCase


class DialogTests(RpcCase):
    """Calls seen and ended from outside."""

    def up(self, transport: str = "UDP") -> Call:
        """A call from a browser to a phone."""
        self.alice, self.bob = self.world.phone("alice", "WS"), self.world.phone("bob", transport)
        self.alice.register()
        self.bob.register()
        return self.world.call(self.alice, self.bob)

    def test_list(self) -> None:
        """A call is seen from its INVITE on: trying, early, confirmed, with its ends."""
        alice, bob = self.world.phone("alice"), self.world.phone("bob")
        bob.register()
        alice.send("INVITE", "sip:bob@example.test", call_id="call-1", from_tag="fa")
        (first,) = self.call("dlg.list")
        self.assertEqual((first["state"], first["call-id"], first["caller"]["tag"], first["callee"]["tag"]), (1, "call-1", "fa", None))
        invite = bob.got("INVITE")
        bob.reply(invite, 180)
        self.assertEqual(self.call("dlg.list")[0]["state"], 2)
        bob.reply(invite, 200)
        self.world.clock.advance(3)
        (up,) = self.call("dlg.list")
        self.assertEqual((up["state"], up["duration"], up["callee"]["tag"]), (4, 3, bob.tag))
        self.assertEqual((up["from_uri"], up["to_uri"]), ("sip:alice@example.test", "sip:bob@example.test"))
        self.assertEqual((up["h_entry"], up["h_id"]), (first["h_entry"], first["h_id"]))

    def test_end(self) -> None:
        """Both ends get BYE, the browser as well, and the call is gone."""
        self.up()
        (call,) = self.call("dlg.list")
        self.assertEqual(self.call("dlg.end_dlg", call["h_entry"], call["h_id"]), {})
        self.assertEqual((self.alice.methods(), self.bob.methods()), (["BYE"], ["BYE"]))
        self.assertEqual(self.call("dlg.list"), [])
        self.assertEqual(self.refused("dlg.end_dlg", call["h_entry"], call["h_id"]), (404, "Dialog not found"))

    def test_end_needs_both_numbers(self) -> None:
        """A number that is off by one ends nobody else's call."""
        self.up()
        (call,) = self.call("dlg.list")
        self.assertEqual(self.refused("dlg.end_dlg", call["h_entry"] + 1, call["h_id"])[0], 404)
        self.assertEqual(self.refused("dlg.end_dlg", call["h_entry"], call["h_id"] + 1)[0], 404)
        self.assertEqual(len(self.call("dlg.list")), 1)

    def test_end_while_it_rings(self) -> None:
        """A call that rings yet is cancelled: the phone gets CANCEL, the caller 487."""
        alice, bob = self.world.phone("alice"), self.world.phone("bob")
        bob.register()
        alice.send("INVITE", "sip:bob@example.test", call_id="call-1", from_tag="fa")
        invite = bob.got("INVITE")
        bob.reply(invite, 180)
        self.call("dlg.terminate_dlg", "call-1", "fa")
        bob.got("CANCEL")
        bob.reply(invite, 487)
        self.assertIn(487, alice.statuses())

    def test_terminate(self) -> None:
        """A call can be named by Call-ID and tags."""
        call = self.up("WS")
        call_id, tags = call.invite.call_id, (call.invite.from_.tag, call.answer.to.tag)
        self.assertEqual(self.call("dlg.is_alive", call_id, *tags), "Alive")
        self.assertEqual(self.refused("dlg.is_alive", call_id, "x", "y"), (404, "Dialog not found"))
        self.call("dlg.terminate_dlg", call_id, *tags)
        self.assertEqual((self.alice.methods(), self.bob.methods()), (["BYE"], ["BYE"]))
        self.assertEqual(self.refused("dlg.terminate_dlg", call_id, *tags), (500, "Couldnt find callid in dialog"))

    def test_counts(self) -> None:
        """dlg.stats_active counts them by state."""
        self.up()
        self.alice.send("INVITE", self.bob.aor)
        self.assertEqual(self.call("dlg.stats_active"), {"starting": 1, "connecting": 0, "answering": 0, "ongoing": 1, "all": 2})

    def test_match(self) -> None:
        """Calls by one of their fields."""
        call = self.up()
        self.assertEqual(len(self.call("dlg.list_match", "ruri", "sw", "sip:bob")), 1)
        self.assertEqual(len(self.call("dlg.list_match", "callid", "eq", call.invite.call_id)), 1)
        self.assertEqual(self.refused("dlg.list_match", "furi", "eq", "sip:nobody@x"), (404, "Not found"))
        self.assertEqual(self.refused("dlg.list_match", "furi", "re", "("), (400, self.refused("dlg.list_match", "x", "eq", "")[1]))

    def test_brief(self) -> None:
        """One line a call, and one call by its Call-ID."""
        call = self.up()
        (line,) = self.call("dlg.briefing")
        self.assertEqual((line["call-id"], line["to_tag"]), (call.invite.call_id, self.bob.tag))
        self.assertEqual(self.call("dlg.dlg_list", call.invite.call_id)["h_id"], line["h_id"])
        self.assertEqual(self.call("dlg.dlg_list", "nosuch"), {})
        self.assertEqual(self.call("dlg.list_ctx"), self.call("dlg.list"))
