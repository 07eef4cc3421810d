"""Tests of :mod:`sipnode.config`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

import sipnode
from sipnode import config
from sipnode.errors import ConfigError
from sipnode.settings import Settings, sections

SAMPLE = Path(sipnode.__file__).parent.parent / "conf" / config.FILE_NAME


def faults(text: str) -> list[str]:
    """Every fault of a text, as a person reads it."""
    return [str(error) for error in config.read(text, "x.toml")[1]]


class ReadTests(SynchronousTestCase):
    """What a file says."""

    def test_empty_means_defaults(self) -> None:
        """What isn't written has its default."""
        self.assertEqual(config.read(""), (Settings(), []))

    def test_values(self) -> None:
        """Text, numbers, switches and lists arrive as their types; a whole number serves where a number is asked for."""
        text = '[core]\ndomains = ["a.test", "b.test"]\n[transaction]\nt1 = 1\n[auth]\nenabled = false\n[log]\nlevel = "warn"'
        settings, errors = config.read(text)
        self.assertEqual(errors, [])
        self.assertEqual(settings.core.domains, ("a.test", "b.test"))
        self.assertEqual((settings.transaction.t1, type(settings.transaction.t1)), (1.0, float))
        self.assertEqual((settings.auth.enabled, settings.log.level), (False, "warn"))

    def test_unknown_setting(self) -> None:
        """An unknown name stops the start with file, line, key and the nearest known name."""
        expected = "x.toml:4: core.domans: there is no setting of this name; did you mean domains?"
        self.assertEqual(faults('[core]\n# domains\n\ndomans = ["a"]'), [expected])

    def test_unknown_section(self) -> None:
        """The same for sections."""
        expected = "x.toml:1: lokation: there is no section of this name; did you mean location?"
        self.assertEqual(faults("[lokation]\ndb_mode = 1"), [expected])

    def test_setting_of_another_section(self) -> None:
        """A known name in the wrong place is sent to the right one."""
        expected = "x.toml:2: core.db_mode: there is no setting of this name here; it belongs below [location]"
        self.assertEqual(faults("[core]\ndb_mode = 1"), [expected])
        expected = "x.toml:1: db_mode: there is no section of this name here; it belongs below [location]"
        self.assertEqual(faults("db_mode = 1"), [expected])

    def test_wrong_types(self) -> None:
        """A value of another type names what is expected; true is no number and text no list."""
        for text, reason in (
            ("[core]\nmax_forwards = true", "core.max_forwards: has to be a whole number, not True"),
            ("[core]\nmax_forwards = 7.5", "core.max_forwards: has to be a whole number, not 7.5"),
            ("[core]\nserver = 5", "core.server: has to be text in quotes, not 5"),
            ('[auth]\nenabled = "yes"', "auth.enabled: has to be true or false, not 'yes'"),
            ('[transaction]\nt1 = "0.5"', "transaction.t1: has to be a number, not '0.5'"),
            ("[transaction]\nt1 = nan", "transaction.t1: has to be a finite number"),
            ('[core]\ndomains = "a"', "core.domains: has to be a list, as […], not 'a'"),
            ('[media]\ntimeouts = [1, "x"]', "media.timeouts: has to be a number, not 'x'"),
        ):
            self.assertEqual(faults(text), [f"x.toml:2: {reason}"])

    def test_section_that_is_none(self) -> None:
        """A section's name with a value is told apart from a setting."""
        self.assertEqual(faults("core = 1"), ["x.toml:1: core: is a section; write [core] on a line of its own, its settings below"])

    def test_bounds_and_choices(self) -> None:
        """A value out of bounds names the bounds, one that is no choice the choices and the nearest."""
        self.assertEqual(faults("[core]\nmax_forwards = 0"), ["x.toml:2: core.max_forwards: is out of bounds [1 .. 255], not 0"])
        self.assertEqual(
            faults('[media]\nengage = "alway"'),
            ["x.toml:2: media.engage: has to be one of always, mixed, not 'alway'; did you mean always?"],
        )
        self.assertEqual(len(faults('[auth]\nalgorithms = ["MD5", "SHA-1"]')), 1)

    def test_secret_isnt_repeated(self) -> None:
        """What is wrong with a secret is said without it."""
        self.assertEqual(faults('[storage]\nurl = ["postgres://u:pw@h"]'), ["x.toml:2: storage.url: has to be text in quotes"])

    def test_all_faults_in_order(self) -> None:
        """A person gets every fault at once, by line; settings without fault are kept."""
        settings, errors = config.read("[location]\ndb_mode = 0\nmin_expires = -1\n[core]\nx = 1\nmax_forwards = 999\n")
        self.assertEqual([error.line for error in errors], [3, 5, 6])
        self.assertEqual(settings.location.db_mode, 0)

    def test_not_toml(self) -> None:
        """What isn't TOML at all is said with its line."""
        self.assertEqual(faults("[core]\ndomains = \n"), ["x.toml:2: not TOML: Invalid value"])
        self.assertEqual(faults("[core]\nserver = '''\nabc")[0][:9], "x.toml:3:")

    def test_lines_survive_odd_spellings(self) -> None:
        """Lines are found for quoted and dotted keys and behind text of several lines."""
        self.assertEqual(faults('core."max_forwards" = 0')[0][:9], "x.toml:1:")
        self.assertEqual(faults('[core]\nserver = """\\\n[nat]\\\nuac_test = 5"""\nmax_forwards = 0')[0][:9], "x.toml:5:")
        self.assertEqual(faults("core = {max_forwards = 0}")[0][:9], "x.toml:1:")

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """No text at all makes it fail in another way than with faults."""
        settings, _errors = config.read(text)
        self.assertIsInstance(settings, Settings)


    def test_duplicates(self) -> None:
        """A setting or section that stands twice is named, with the line where it was first."""
        reason = "stands twice, first on line 2: take one out"
        self.assertEqual(faults('[core]\ndomains = ["a.test"]\n\ndomains = ["b.test"]\n'), [f"x.toml:4: core.domains: {reason}"])
        expected = "x.toml:3: core: stands twice, first on line 1: put all its settings below one [core]"
        self.assertEqual(faults("[core]\n[nat]\n[core]\n"), [expected])
        self.assertEqual(len(faults('core.server = "a"\ncore.server = "b"')), 1)

    def test_every_wrong_item(self) -> None:
        """All bad values of a list are told, each once."""
        found = faults('[core]\ndomains = ["a.test", "b c", 5, "d..e", "b c"]')
        self.assertEqual(
            found,
            [
                "x.toml:2: core.domains: has to be a domain or an address, not 'b c'",
                "x.toml:2: core.domains: has to be text in quotes, not 5",
                "x.toml:2: core.domains: has to be a domain or an address, not 'd..e'",
            ],
        )


class EnvironmentTests(SynchronousTestCase):
    """Settings by environment."""

    def read(self, text: str = "", **variables: str) -> tuple[Settings, list[str]]:
        """Settings and faults of a text with these variables, whose names lack the prefix."""
        settings, errors = config.read(text, "x.toml", {f"SIPNODE_{name}": value for name, value in variables.items()})
        return settings, [str(error) for error in errors]

    def test_every_setting(self) -> None:
        """Each setting can be given so: text as it stands, lists as JSON, the rest as in the file."""
        for section, kind in sections().items():
            for field in dataclasses.fields(kind):
                value = field.default
                text = value if isinstance(value, str) else config.toml_value(value).replace(",\n]", "]")
                settings, errors = self.read(**{f"{section}__{field.name}".upper(): text})
                self.assertEqual((errors, settings), ([], Settings()), f"{section}.{field.name}")

    def test_before_the_file(self) -> None:
        """It goes before the file, whose fault in that setting then counts for nothing; other settings of the section stay."""
        text = "[core]\nmax_forwards = 0\nserver = 'x'"
        settings, errors = self.read(
            text, CORE__MAX_FORWARDS="9", CORE__DOMAINS='["a.test"]', AUTH__ENABLED="false", NODE__PING_SECONDS="2",
        )  # fmt: skip
        self.assertEqual(errors, [])
        self.assertEqual((settings.core.max_forwards, settings.core.server, settings.core.domains), (9, "x", ("a.test",)))
        self.assertEqual((settings.auth.enabled, settings.node.ping_seconds), (False, 2.0))

    def test_faults(self) -> None:
        """What can't be read, is out of bounds or isn't known is named by its variable."""
        form = "`sipnode conf` prints all settings: it is SIPNODE_SECTION__NAME"
        for name, value, reason in (
            ("CORE__DOMAINS", "a.test", 'core.domains: has to be a list in JSON, as ["a", "b"]'),
            ("CORE__DOMAINS", '["a b"]', "core.domains: has to be a domain or an address, not 'a b'"),
            ("CORE__MAX_FORWARDS", "many", "core.max_forwards: has to be a whole number"),
            ("CORE__MAX_FORWARDS", "0", "core.max_forwards: is out of bounds [1 .. 255], not 0"),
            ("TRANSACTION__T1", "fast", "transaction.t1: has to be a number"),
            ("TRANSACTION__T1", "nan", "transaction.t1: has to be a finite number"),
            ("AUTH__ENABLED", "yes", "auth.enabled: has to be true or false"),
            ("MEDIA__TIMEOUTS", '["x"]', "media.timeouts: has to be a number, not 'x'"),
            ("CORE__DOMANS", "[]", "there is no setting of this name; did you mean SIPNODE_CORE__DOMAINS?"),
            ("QQQQQQQQ__QQQQQQQQ", "1", f"there is no setting of this name; {form}"),
        ):
            settings, errors = self.read(**{name: value})
            self.assertEqual((errors, settings), ([f"SIPNODE_{name}: {reason}"], Settings()))

    def test_secret_isnt_repeated(self) -> None:
        """What is wrong with a secret is said without it."""
        self.assertNotIn("hunter2", self.read(METRICS__TOKEN="hunter2")[1][0])

    def test_others(self) -> None:
        """Variables of others that begin alike are left alone, as those that Kubernetes makes for a service."""
        others = {"PORT": "tcp://10.0.0.1:5060", "SERVICE_HOST": "10.0.0.1", "OWN_NETWORK": "1", "__X": "1", "X__": "1"}
        self.assertEqual(self.read(**others), (Settings(), []))

    def test_origin(self) -> None:
        """What is explained says which variable it comes from; so does the error of a room."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / config.FILE_NAME).write_text("[core]\nmax_forwards = 9\n")
        self.patch(os, "environ", {"SIPNODE_CORE__MAX_FORWARDS": "8", "SIPNODE_CORE__LISTEN": '["x"]'})
        (shown,) = [each for each in config.explained(str(folder)) if each.key == "core.max_forwards"]
        self.assertEqual((shown.value, shown.place), ("8", "environment SIPNODE_CORE__MAX_FORWARDS"))
        self.assertEqual(config.load(str(folder)).core.max_forwards, 8)
        told = config.placed(ConfigError("no transport x", key="core.listen"), str(folder))
        self.assertEqual(str(told), "SIPNODE_CORE__LISTEN: core.listen: no transport x")


class FileTests(SynchronousTestCase):
    """Where the file is."""

    def test_folder_or_file(self) -> None:
        """-c takes the folder or the file in it."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / config.FILE_NAME).write_text("[core]\nmax_forwards = 9\n")
        for path in (folder, folder / config.FILE_NAME):
            self.assertEqual(config.load(str(path)).core.max_forwards, 9)

    def test_missing(self) -> None:
        """A missing file is named."""
        error = self.assertRaises(ConfigError, config.load, self.mktemp())
        self.assertIn("there is no such file", str(error))

    def test_not_text(self) -> None:
        """Octets that aren't UTF-8 are a fault of the file, not of the program."""
        path = Path(self.mktemp())
        path.write_bytes(b"\xff\xfe")
        self.assertIn("cannot be read", str(self.assertRaises(ConfigError, config.load, str(path))))

    def test_placed(self) -> None:
        """The error of a room gets file and line; one that has them, or whose file is gone, stays as it is."""
        path = Path(self.mktemp())
        path.write_text('[core]\n\nlisten = ["xdp:1"]\n')
        error = ConfigError("no transport xdp", key="core.listen")
        self.assertEqual(str(config.placed(error, str(path))), f"{path.absolute()}:3: core.listen: no transport xdp")
        done = ConfigError("r", "f", 1, "k")
        self.assertIs(config.placed(done, str(path)), done)
        self.assertIs(config.placed(error, str(path) + "-gone"), error)


class NamedTests(SynchronousTestCase):
    """Sections that there are several of."""

    def test_read(self) -> None:
        """Each has its own settings; written and read again they are the same; what is secret is masked."""
        text = '[trunk.one]\naddress = "192.0.2.9"\npassword = "hunter2"\n[trunk.two]\nweight = 3\n'
        settings, errors = config.read(text)
        self.assertEqual(errors, [])
        self.assertEqual((settings.trunk["one"].address, settings.trunk["two"].weight, len(settings.trunk)), ("192.0.2.9", 3, 2))
        self.assertEqual(config.read(config.render(settings)), (settings, []))
        self.assertNotIn("hunter2", config.render(config.masked(settings)))

    def test_faults(self) -> None:
        """A fault is named with its line, key and what to write; a section without a name, or with a wrong one, too."""
        self.assertEqual(
            faults('[trunk.one]\nwight = 3\n[trunk.two]\nweight = 0\n[trunk.Three]\n'),
            [
                "x.toml:2: trunk.one.wight: there is no setting of this name; did you mean weight?",
                "x.toml:4: trunk.two.weight: is out of bounds [1 .. 1000], not 0",
                "x.toml:5: trunk.Three: the name of a section is of a-z, 0-9 and _, not 'Three'",
            ],
        )
        self.assertEqual(
            faults('[trunk]\nweight = 3'),
            ["x.toml:2: trunk.weight: each has a name: write [trunk.NAME] on a line of its own, its settings below"],
        )
        self.assertEqual(len(faults('trunk = 5')), 1)

    def test_environment(self) -> None:
        """A password needs no file: SIPNODE_TRUNK_NAME__PASSWORD goes before it."""
        variables = {"SIPNODE_TRUNK_MY_ONE__PASSWORD": "x", "SIPNODE_TRUNK_MY_ONE__WEIGHT": "2"}
        settings, errors = config.read('[trunk.my_one]\nuser = "us"\nweight = 0', "x.toml", variables)
        one = settings.trunk["my_one"]
        self.assertEqual((errors, one.user, one.password, one.weight), ([], "us", "x", 2))


class RenderTests(SynchronousTestCase):
    """The file that is written."""

    def test_sample_is_the_table(self) -> None:
        """``conf/sipnode.toml`` holds every setting with its default and one comment, and nothing else."""
        self.assertEqual(SAMPLE.read_text("utf-8"), config.render(), "write it anew: python -m sipnode.config > conf/sipnode.toml")

    def test_sample_has_every_setting(self) -> None:
        """Each setting of the table stands in the file once, below its section, behind a comment."""
        lines = SAMPLE.read_text("utf-8").splitlines()
        for section, kind in sections().items():
            start = lines.index(f"[{section}]")
            end = next((number for number, line in enumerate(lines[start + 1 :], start + 1) if line.startswith("[")), len(lines))
            for field in dataclasses.fields(kind):
                places = [number for number in range(start, end) if lines[number].startswith(f"{field.name} = ")]
                self.assertEqual(len(places), 1, f"{section}.{field.name}")
                self.assertTrue(lines[places[0] - 1].startswith("# "), f"{section}.{field.name}")

    def test_what_is_written_is_read(self) -> None:
        """Rendered settings read back are the same, whatever characters they hold."""
        settings = Settings()
        core = dataclasses.replace(settings.core, domains=("a.test", "[::1]"), server="", max_forwards=255)
        routing = dataclasses.replace(settings.routing, stages=("a", 'b"\\.test', "ü"))
        changed = dataclasses.replace(settings, core=core, routing=routing)
        self.assertEqual(config.read(config.render(changed)), (changed, []))

    def test_masked(self) -> None:
        """Secrets aren't shown."""
        storage = dataclasses.replace(Settings().storage, url="postgres://u:hunter2@h/d")
        shown = config.render(config.masked(dataclasses.replace(Settings(), storage=storage)))
        self.assertNotIn("hunter2", shown)
        self.assertIn('url = "(set)"', shown)
