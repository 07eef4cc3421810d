"""What an unknown method is answered with."""

from __future__ import annotations

from sipnode.rpc.elsewhere import REASONS
from sipnode.testing import World
from tests.rpc.support import RpcCase


class UnknownMethodTests(RpcCase):
    """A method that isn't here."""

    def setUp(self) -> None:
        self.prepare(World(presence=True, defence=True))

    def test_near(self) -> None:
        """One that is misspelt is answered with what is near."""
        code, message = self.refused("ul.dmp")
        self.assertEqual(code, -32601)
        self.assertTrue(message.startswith("Method not found: ul.dmp; did you mean ul.dump"), message)
        self.assertIn("did you mean system.listMethods", self.refused("system.listmethods")[1])
        self.assertIn("rtpengine.show", self.refused("rtpengine.shw")[1])
        # What sipnode rpc asks before it calls.
        self.assertEqual(self.refused("rpc.describe", "ul.dmp"), (code, message))

    def test_kamailios(self) -> None:
        """One of Kamailio's is answered with why it isn't here and what to use."""
        for name, words in (
            ("dispatcher.list", "not here, because trunks stand in [trunk.NAME]"),
            ("pike.list", "use defence.list"),
            ("core.kill", "not here, because signals are"),
            ("permissions.addressReload", "use defence.trusted"),
        ):
            code, message = self.refused(name)
            self.assertEqual(code, -32601)
            self.assertIn(words, message)

    def test_nothing_near(self) -> None:
        """What is near nothing is answered with where to look, and cut."""
        self.assertEqual(self.refused("x" * 100000)[1], f"Method not found: {'x' * 80}; system.listMethods names all that are")

    def test_table(self) -> None:
        """The table names nothing that is here, and what it says to use is."""
        names = set(self.registry.names())
        self.assertEqual(set(REASONS) & names, set())
        self.assertEqual({name for name in REASONS if "." not in name} & {name.partition(".")[0] for name in names}, set())
        families = {name.partition(".")[0] for name in names}
        for name, reason in REASONS.items():
            for word in reason.replace(",", " ").replace(";", " ").split():
                family, dot, rest = word.rstrip(".:").partition(".")
                if dot and family in families and rest not in ("", "*", "resolver"):
                    self.assertIn(f"{family}.{rest}", names, name)
