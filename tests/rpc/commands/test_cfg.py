"""cfg.*"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.logger import globalLogPublisher

from sipnode import config
from sipnode.errors import ConfigError
from sipnode.lifecycle.reload import Reloader
from sipnode.log import LogControl
from sipnode.settings import LogSettings, Settings
from sipnode.testing import World
from tests.rpc.support import RpcCase


class ConfigCase(RpcCase):
    """A server with a defence, a log and a reloader whose parts write down what they get."""

    def setUp(self) -> None:
        world = World(defence=True)
        self.logs = LogControl(world.settings.log, world.core.tap)
        self.file = self.mktemp()
        self.write(world.settings)
        self.reloader = Reloader(world.settings, self.file)
        self.reloader.add("log", ("log.level", "log.format"), self.log)
        self.reloader.add("defence", ("defence.rate", "defence.burst", "defence.failed_digests", "defence.scanners"), self.defence)
        self.reloader.add("policy", ("core.drain_calls", "proxy.foreign"), lambda new, old: self.applied.append("policy"))
        self.reloader.add("script", (), lambda new, old: self.applied.append("script"))
        # Nothing of the kind is in force by a reload today; if one ever is, it goes on being a secret.
        self.reloader.add("token", ("metrics.token",), lambda new, old: self.applied.append("token"))
        self.applied: list[str] = []
        self.prepare(world, logs=self.logs, lifecycle=self)

    def write(self, settings: Settings) -> None:
        """The file from now on."""
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(config.render(settings))

    def log(self, new: Settings, old: Settings) -> None:
        """The log takes its settings."""
        self.applied.append("log")
        self.logs.apply(new.log)

    def defence(self, new: Settings, old: Settings) -> None:
        """So does the defence, but for a rate that it can't bear."""
        if new.defence.rate == 666:
            raise ConfigError("not that one", key="defence.rate")
        self.applied.append("defence")
        if new.defence != old.defence:
            self.core.defence.guard.apply(new.defence)


class ReadTests(ConfigCase):
    """Settings in force."""

    def test_list(self) -> None:
        """Every setting by group and name, in the order of the file; those of one group."""
        every = self.call("cfg.list")
        self.assertEqual(every[0], "core: domains")
        self.assertIn("storage: url", every)
        self.assertEqual({line.partition(":")[0] for line in self.call("cfg.list", "log")}, {"log"})
        self.assertEqual(self.call("cfg.list", "nosuch"), [])

    def test_get(self) -> None:
        """One value, a list as a list, or a whole group."""
        self.assertEqual(self.call("cfg.get", "core", "domains"), ["example.test"])
        self.assertEqual(self.call("cfg.get", "core", "max_forwards"), 70)
        self.assertEqual(self.call("cfg.get", "log"), self.call("sipnode.conf", "log"))

    def test_secrets(self) -> None:
        """No secret is shown: not alone, not in its group."""
        self.reloader.settings = replace(Settings(), metrics=replace(Settings().metrics, token="0123456789abcdef0123"))
        self.assertEqual(self.call("cfg.get", "metrics", "token"), "(set)")
        self.assertNotIn("0123456789abcdef0123", str(self.call("cfg.get", "metrics")))

    def test_what_others_changed(self) -> None:
        """What defence.set_limit and sipnode.set_log_level have changed is what is in force."""
        self.call("defence.set_limit", "rate", 77)
        self.call("sipnode.set_log_level", "debug")
        self.assertEqual((self.call("cfg.get", "defence", "rate"), self.call("cfg.get", "log", "level")), (77, "debug"))
        self.assertEqual(self.call("sipnode.conf", "defence")["rate"], 77)

    def test_help(self) -> None:
        """What it is for, its bounds, its type, and whether it can change."""
        self.assertRegex(self.call("cfg.help", "log", "level"), r"\(parameter type is string; changes while the server runs\)$")
        self.assertRegex(self.call("cfg.help", "core", "max_forwards"), r"\[1 \.\. 255\] \(parameter type is integer; needs a restart\)$")

    def test_unknown(self) -> None:
        """A name that isn't there is answered with the nearest."""
        for method in ("cfg.get", "cfg.help"):
            code, message = self.refused(method, "defence", "rates")
            self.assertEqual((code, message.partition(": ")[2]), (400, "there is no defence.rates; did you mean rate?"))
            self.assertIn("did you mean defence?", self.refused(method, "defense", "rate")[1])


class ChangeTests(ConfigCase):
    """Settings changed while it runs."""

    def test_set(self) -> None:
        """A value is in force at once; only the part that has it is asked, and the script isn't read anew."""
        self.assertEqual(self.call("cfg.set", "defence", "rate", 80), {})
        self.assertEqual(self.core.defence.limits()["rate"], 80)
        self.assertEqual((self.call("cfg.get", "defence", "rate"), self.applied), (80, ["defence"]))

    def test_other_changes_stay(self) -> None:
        """What defence.set_limit has changed stays, and can be changed back to what the reloader had."""
        was = self.call("cfg.get", "defence", "rate")
        self.call("defence.set_limit", "rate", 77)
        self.call("cfg.seti", "defence", "burst", 3000)
        self.assertEqual(self.core.defence.limits()["rate"], 77)
        self.call("cfg.set", "defence", "rate", was)
        self.assertEqual((self.core.defence.limits()["rate"], self.core.defence.limits()["burst"]), (was, 3000))

    def test_reload_after_a_change_elsewhere(self) -> None:
        """A limit that defence.set_limit has changed outlives a reload as before, whatever cfg.set has changed besides."""
        self.call("defence.set_limit", "rate", 77)
        self.call("cfg.set", "log", "level", "warn")
        self.assertEqual(self.reloader.reload().refused, [])
        self.assertEqual((self.core.defence.limits()["rate"], self.call("cfg.get", "log", "level")), (77, "info"))

    def test_typed_at_a_shell(self) -> None:
        """Text is read as what is wanted; Kamailio's switches are numbers, lists are JSON or words between commas."""
        for group, name, given, read in (
            ("defence", "rate", "81.5", 81.5),
            ("defence", "burst", "2500", 2500),
            ("core", "drain_calls", 0, False),
            ("core", "drain_calls", "on", True),
            ("defence", "scanners", "sipvicious, 5060", ["sipvicious", "5060"]),
            ("defence", "scanners", '["sipvicious"]', ["sipvicious"]),
            ("defence", "scanners", "5060", ["5060"]),
            ("defence", "scanners", ["a", "b"], ["a", "b"]),
            ("log", "level", "warn", "warn"),
        ):
            self.assertEqual(self.call("cfg.set", group, name, given), {})
            self.assertEqual(self.call("cfg.get", group, name), read)
        self.call("cfg.sets", "log", "format", "json")
        self.call("cfg.set_now_string", "log", "level", "error")
        self.call("cfg.set_now_int", "defence", "burst", 2600)
        self.assertEqual(self.call("cfg.get", "defence", "burst"), 2600)

    def test_refused(self) -> None:
        """What no file could say, what needs a restart, what a part refuses: said with the reason, and nothing has changed."""
        before = self.call("cfg.get", "defence"), self.call("cfg.get", "core"), self.call("cfg.get", "log")
        for group, name, value, reason in (
            ("defence", "rate", -5, "out of bounds"),
            ("defence", "rate", True, "has to be a number"),
            ("defence", "rate", "fast", "has to be a number"),
            ("defence", "rate", "1e999", "is out of bounds"),
            ("defence", "rate", "NaN", "is out of bounds"),
            ("defence", "rate", 10**400, "is out of bounds"),
            ("defence", "failed_digests", 1.5, "has to be a whole number"),
            ("defence", "failed_digests", "[" * 100000, "has to be a whole number"),
            ("defence", "scanners", [""], "can't be empty"),
            ("core", "drain_calls", 2, "true or false"),
            ("log", "level", "loud", "has to be one of"),
            ("log", "level", 'info"\n[rpc]\ntoken = "x', "has to be one"),
            ("core", "max_forwards", 10, "can't change while the server runs"),
            ("defence", "rate", 666, "not that one"),
            ("nosuch", "rate", 1, "there is no group nosuch"),
            ("defence", "x" * 10000, 1, "there is no defence.x"),
        ):
            code, message = self.refused("cfg.set", group, name, value)
            self.assertEqual(code, 400)
            self.assertIn(reason, message)
            self.assertTrue(message.startswith("Failed to set the variable: "), message)
            self.assertLess(len(message), 400)
        self.assertEqual((self.call("cfg.get", "defence"), self.call("cfg.get", "core"), self.call("cfg.get", "log")), before)
        self.assertEqual(self.applied, [])

    def test_secrets(self) -> None:
        """A secret isn't taken, and what was tried is in no log: misspelt, too."""
        said: list[Any] = []
        globalLogPublisher.addObserver(said.append)
        self.addCleanup(globalLogPublisher.removeObserver, said.append)
        secret = "tell-nobody-0123456789"
        tried = (("cfg.set", "metrics", "token"), ("cfg.sets", "metrics", "tokn"), ("cfg.set_delayed", "metric", "token"))
        for method, group, name in tried:
            self.assertEqual(self.refused(method, group, name, secret)[0], 400)
        self.assertIn("is a secret", self.refused("cfg.set", "metrics", "token", secret)[1])
        self.call("cfg.set", "defence", "rate", 91)
        arguments = [event["arguments"] for event in said if "arguments" in event]
        self.assertEqual((arguments[0], arguments[-1]), (["metrics", "token", "(not shown)"], ["defence", "rate", 91]))
        self.assertNotIn("tell-nobody", str(said))
        self.assertNotIn("token", self.applied)

    def test_until_the_next_reload(self) -> None:
        """A reload puts what the file says in force, and a restart alone is named where the file differs."""
        self.call("cfg.set", "log", "level", "error")
        self.assertEqual(self.reloader.reload().restart, [])
        self.assertEqual((self.call("cfg.get", "log", "level"), self.logs.level), ("info", "info"))

    def test_reset(self) -> None:
        """A group is as the file had it at the last reload, other groups stay."""
        self.write(replace(self.world.settings, log=LogSettings(level="warn")))
        self.reloader.reload()
        self.call("cfg.set", "log", "level", "error")
        self.call("cfg.set", "defence", "rate", 80)
        self.call("cfg.reset", "log")
        self.assertEqual((self.call("cfg.get", "log", "level"), self.call("cfg.get", "defence", "rate")), ("warn", 80))
        self.assertIn("there is no group", self.refused("cfg.reset", "lgo")[1])

    def test_delayed(self) -> None:
        """What is prepared is shown and comes into force together, or not at all."""
        self.call("cfg.set_delayed_int", "defence", "burst", 2500)
        self.call("cfg.set_delayed_string", "log", "level", "warn")
        self.assertEqual(self.refused("cfg.set_delayed", "log", "level", "loud")[0], 400)
        self.assertEqual(
            self.call("cfg.diff")[1], {"group name": "log", "variable name": "level", "old value": "info", "new value": "warn"}
        )
        self.assertEqual(self.call("cfg.get", "log", "level"), "info")
        self.call("cfg.commit")
        self.assertEqual((self.call("cfg.get", "log", "level"), self.call("cfg.get", "defence", "burst")), ("warn", 2500))
        self.call("cfg.set_delayed", "log", "level", "error")
        self.call("cfg.rollback")
        self.call("cfg.commit")
        self.assertEqual((self.call("cfg.diff"), self.call("cfg.get", "log", "level")), ([], "warn"))

    def test_no_lifecycle(self) -> None:
        """A server that can't be changed says so."""
        self.prepare(self.world, logs=self.logs)
        self.assertIn("takes no changes", self.refused("cfg.set", "log", "level", "warn")[1])
        self.assertEqual(self.call("cfg.get", "core", "max_forwards"), 70)
