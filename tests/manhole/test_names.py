"""The names at the prompt, in a world with a call."""

from __future__ import annotations

from typing import Any

from twisted.application.service import MultiService, Service
from twisted.trial.unittest import SynchronousTestCase

from sipnode.lifecycle.reload import Report
from sipnode.log import LogControl
from sipnode.manhole.names import Parts, banner_of, names_of, namespace_of
from sipnode.manhole.running import run
from sipnode.media.service import MediaService
from sipnode.observe.callhistory import CallHistory
from sipnode.settings import LogSettings, MediaSettings
from sipnode.testing import World
from sipnode.wiring.manhole import caller, transaction_row
from sipnode.wiring.rpc import parts_of, registry_of


class Lifecycle:
    """Counts reloads."""

    reloads = 0

    def reload(self) -> Report:
        """As Lifecycle's."""
        self.reloads += 1
        return Report(["log: info, text"], ["x.toml:3: core.x: no"], ["core.listen"])


class PromptTests(SynchronousTestCase):
    """Typed, and what stands there then."""

    def setUp(self) -> None:
        self.world = World(defence=True)
        core = self.world.core
        self.logs = LogControl(LogSettings(), core.tap)
        calls = CallHistory(self.world.clock, "failed", core.tap)
        self.lifecycle = Lifecycle()
        registry = registry_of(parts_of(core, self.world.settings))
        root: Any = MultiService()
        for name in ("media", "rpc"):
            service: Any = MultiService() if name == "rpc" else Service()
            service.setName(name)
            service.setServiceParent(root)
        inner: Any = Service()
        inner.setName("unix")
        inner.setServiceParent(root.getServiceNamed("rpc"))
        self.root = root
        media = MediaService(MediaSettings(nodes=("192.0.2.50:2223",)), self.world.clock)
        conf = {"core": {"server": "sipnode"}, "storage": {"url": "(set)"}}
        self.names = names_of(
            Parts(core, root, lambda: conf, caller(registry), media, transaction_row(core), self.logs, calls, self.lifecycle)
        )
        self.left = False
        self.space = namespace_of(self.names, "1.2.3", self.leave)
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob", "WSS")
        self.bob.register()

    def leave(self) -> None:
        """The end of the session."""
        self.left = True

    def typed(self, source: str) -> str:
        """What stands there."""
        result = run(source, self.space, 0)
        self.assertFalse(result.failed, result.text)
        return result.text + ("" if result.value is None else repr(result.value))

    def test_banner(self) -> None:
        """It says what is there, a line for each name, and how to go; ``what`` shows it again."""
        banner = banner_of(self.names, "1.2.3")
        for name in ("calls", "registrations", "flows", "transactions", "media", "services", "reload"):
            self.assertRegex(banner, rf"(?m)^  {name} +\S")
        self.assertEqual(self.typed("what"), banner)
        self.assertLess(max(map(len, banner.splitlines())), 120)

    def test_every_name_is_explained(self) -> None:
        """Each name has a text for help, which doesn't wait for anybody, and stands at the prompt as text that ends."""
        for name in self.names:
            self.assertGreater(len(self.typed(f"help({name.name})")), 20, name.name)
            self.assertTrue(self.typed(name.name), name.name)

    def test_call(self) -> None:
        """A call is in the table; its life is told; its end is BYE to both ends."""
        call = self.world.call(self.alice, self.bob)
        call_id = call.invite.call_id
        self.world.clock.advance(5)
        shown = self.typed("calls")
        self.assertRegex(shown, rf"{call_id} +alice@\S+ +bob@\S+ +confirmed +5 ")
        self.assertIn("wire: INVITE", self.typed(f"calls.history({call_id!r})"))
        self.assertEqual(self.typed(f"calls['bob'].call_id == {call_id!r}"), "True")
        self.assertEqual(self.typed(f"calls.end({call_id!r})"), "1 ended")
        self.assertEqual((self.alice.methods(), self.bob.methods()), (["BYE"], ["BYE"]))
        self.assertEqual(self.typed("calls"), "no calls")

    def test_registrations_and_flows(self) -> None:
        """Who is where, over which connection; closing it ends both."""
        self.assertRegex(self.typed("registrations"), r"bob@example.test +sip:\S+ .*300")
        self.assertEqual(self.typed("len(registrations.of('bob@example.test'))"), "1")
        token = self.bob.flow.token
        self.assertRegex(self.typed("flows"), rf"{token} +WSS +192\.0\.2\.\d+:5060 +bob@example\.test")
        self.assertEqual(self.typed(f"flows.close({token!r})"), "closed")
        self.assertTrue(self.bob.flow.closed)
        self.assertEqual(self.typed("flows.close('gone')"), "there is no such connection")

    def test_transactions(self) -> None:
        """Those in flight, with state and peer."""
        self.alice.send("INVITE", self.bob.aor)
        shown = self.typed("transactions")
        self.assertRegex(shown, r"server +INVITE +proceeding +udp:192")
        self.assertRegex(shown, r"client +INVITE +calling +wss:192")

    def test_media_and_bans(self) -> None:
        """Nodes are taken out and back, sources shut out and let in."""
        self.assertRegex(self.typed("media"), r"\S+ +yes +no +1 +192.0.2.50")
        name = self.typed("media[0].name").strip("'")
        self.assertEqual((self.typed(f"media.drain({name!r})"), self.typed(f"media.undrain({name!r})")), ("drained", "in use"))
        self.typed("bans.add('203.0.113.9', 60, 'scans us')")
        self.assertRegex(self.typed("bans"), r"203\.0\.113\.9 +scans us +60 ")
        self.assertEqual(self.typed("bans.lift('203.0.113.9')"), "let in again")
        self.assertEqual(self.typed("bans"), "nobody is shut out")

    def test_services(self) -> None:
        """The tree by its names, and the objects behind them."""
        self.assertRegex(self.typed("services"), r"media +no\nrpc +no\nrpc/unix +no")
        self.assertIs(run("services['media']", self.space, 0).value, self.root.getServiceNamed("media"))
        self.assertTrue(run("services['nobody']", self.space, 0).failed)

    def test_verbs(self) -> None:
        """Reload, trace, the RPC and the settings, whose secrets are masked."""
        self.assertEqual(self.typed("reload()").count("\n"), 2)
        self.assertEqual(self.lifecycle.reloads, 1)
        self.typed("trace(user='alice')")
        self.assertIn(self.logs.trace, self.world.core.tap.watchers)
        self.typed("trace(off=True)")
        self.assertIsNone(self.logs.trace)
        self.assertIn("bob@example.test", self.typed("rpc('ul.dump', 'brief')"))
        self.assertIn("core.uptime", self.typed("rpc('system.listMethods')"))
        self.assertTrue(run("rpc('no.such')", self.space, 0).failed)
        self.assertRegex(self.typed("conf"), r"storage\.url +\(set\)")

    def test_nothing_waits_for_the_servers_terminal(self) -> None:
        """input, breakpoint and help never read from the server's own terminal; exit and quit end the session, not the server."""
        for source in ("input()", "breakpoint()"):
            self.assertTrue(run(source, self.space, 0).failed, source)
        self.assertIn("names", self.typed("help()"))
        self.assertFalse(self.left)
        self.typed("exit()")
        self.assertTrue(self.left)
