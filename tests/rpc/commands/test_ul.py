"""ul.*"""

from __future__ import annotations

from tests.rpc.support import RpcCase


class LocationTests(RpcCase):
    """The location table seen and changed from outside."""

    def test_dump(self) -> None:
        """Everybody who is registered stands there, with the connection that they came by."""
        self.world.phone("alice").register()
        self.world.phone("bob", "WS").register(120)
        domain = self.call("ul.dump")["Domains"][0]["Domain"]
        self.assertEqual(domain["Stats"]["Records"], 2)
        alice, bob = (entry["Info"] for entry in domain["AoRs"])
        self.assertEqual((alice["AoR"], bob["AoR"]), ("alice@example.test", "bob@example.test"))
        self.assertEqual(alice["Contacts"][0]["Contact"]["Tcpconn-Id"], -1)
        contact = bob["Contacts"][0]["Contact"]
        self.assertEqual(contact["Expires"], 120)
        self.assertIn(contact["Tcpconn-Id"], [entry["id"] for entry in self.call("core.tcp_list")])

    def test_dump_brief(self) -> None:
        """With brief there are only names."""
        self.world.phone("alice").register()
        self.assertEqual(self.call("ul.dump", "brief")["Domains"][0]["Domain"]["AoRs"], [{"AoR": "alice@example.test"}])
        self.assertEqual(self.refused("ul.dump", "loud")[0], 400)

    def test_expired_is_not_shown(self) -> None:
        """What has expired is gone for everybody."""
        self.world.phone("alice").register(60)
        self.world.clock.advance(60.5)
        self.assertEqual(self.call("ul.dump")["Domains"][0]["Domain"]["AoRs"], [])

    def test_lookup(self) -> None:
        """One address-of-record, however its domain is written; in another table or unknown it is refused as Kamailio does."""
        self.world.phone("alice").register()
        found = self.call("ul.lookup", "location", "alice@EXAMPLE.test")
        self.assertEqual(found["AoR"], "alice@example.test")
        self.assertEqual(len(found["Contacts"]), 1)
        self.assertEqual(self.refused("ul.lookup", "location", "nobody@example.test"), (500, "AOR not found in location table"))
        self.assertEqual(self.refused("ul.lookup", "aliases", "alice@example.test"), (500, "Domain table not found"))
        self.assertEqual(self.refused("ul.lookup", "location", "<>")[0], 400)

    def test_rm(self) -> None:
        """Who is removed can't be called any more, and watchers hear of it."""
        told = []
        self.core.registrar.on_change(lambda kind, binding: told.append((kind, binding.aor)))
        self.world.phone("alice").register()
        self.assertEqual(self.call("ul.rm", "location", "alice@example.test"), {})
        self.assertEqual(told[-1], ("removed", "alice@example.test"))
        self.assertEqual(self.core.registrar.lookup("alice@example.test").status, 404)
        self.assertEqual(self.call("ul.rm", "location", "nobody@example.test"), {})

    def test_rm_contact(self) -> None:
        """One contact goes, the other stays."""
        first, second = self.world.phone("alice"), self.world.phone("alice")
        first.register()
        second.register()
        self.call("ul.rm_contact", "location", "alice@example.test", first.contact)
        left = self.call("ul.lookup", "location", "alice@example.test")["Contacts"]
        self.assertEqual([entry["Contact"]["Address"] for entry in left], [second.contact])
        self.assertEqual(self.refused("ul.rm_contact", "location", "alice@example.test", first.contact), (404, "Contact not found"))
        self.assertEqual(self.refused("ul.rm_contact", "location", "bob@example.test", first.contact), (404, "AOR not found"))

    def test_add(self) -> None:
        """A contact put in by hand is called like any other, and written over by the next one of its URI."""
        carol = self.world.phone("carol")
        self.call("ul.add", "location", "carol@example.test", carol.contact, 120, 0.5, ".", 0, 0, 4294967295)
        self.call("ul.add", "location", "carol@example.test", carol.contact, 240)
        contacts = self.call("ul.lookup", "location", "carol@example.test")["Contacts"]
        self.assertEqual([entry["Contact"]["Expires"] for entry in contacts], [240])
        self.world.phone("alice").send("INVITE", carol.aor)
        carol.got("INVITE")

    def test_add_refuses(self) -> None:
        """What a REGISTER couldn't bring can't be put in either, and nothing is changed."""
        for params in (
            ("alice@example.test", "nonsense", 60),
            ("alice@example.test", "sip:a@b\r\nX: y", 60),
            ("alice@example.test", "sip:a@192.0.2.9", 0),
            ("alice@example.test", "sip:a@192.0.2.9", 60, 1.5),
            ("alice@example.test", "sip:a@192.0.2.9", 60, 1.0, ".", -1),
            ("@", "sip:a@192.0.2.9", 60),
        ):
            self.assertEqual(self.refused("ul.add", "location", *params)[0], 400, params)
        self.assertEqual(self.core.registrar.table.count(), 0)

    def test_no_store(self) -> None:
        """Without a store its counts are refused in Kamailio's words."""
        self.assertEqual(self.refused("ul.db_users", "location"), (500, "Command is not supported in db_mode=0"))
        self.assertEqual(self.call("ul.flush"), {})
