"""Plugins found by entry point and in folders; what is wrong with one is told with its name, and only to who wants it."""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

import sipnode.plugins
from sipnode import extensions
from sipnode.app import _stages, build
from sipnode.check.findings import Findings
from sipnode.check.run import check
from sipnode.errors import ConfigError, StorageError
from sipnode.extensions import CREDENTIALS, KINDS, PACKAGES, RELAYS, RPC, STAGES, STORES
from sipnode.interfaces import IStorage
from sipnode.presence.packages import BUILT_IN as OUR_PACKAGES
from sipnode.settings import RoutingSettings, Settings
from sipnode.storage.factory import BUILT_IN as OUR_STORES

from ..live.support.site import free_port
from .kit import ADDS, STAGE, InstalledCase


class EntryPointTests(InstalledCase):
    """What is installed."""

    def fault(self, name: str = "guard", kind: extensions.Kind[Any] = STAGES) -> str:
        """Why the plugin of that name can't be used; the fault names its setting."""
        error = self.assertRaises(ConfigError, extensions.find, kind, name)
        self.assertEqual(error.key, kind.key)
        return error.reason

    def test_found(self) -> None:
        """A stage is found by its entry point and used when the configuration names it; where it is from is known."""
        self.install(STAGE, "acme_found", "stages guard stage")
        plugin = extensions.find(STAGES, "guard")
        self.assertEqual((plugin.object.name, plugin.place), ("guard", "sipnode.stages acme_found:stage of acme-sip 1.2"))
        named = _stages(Settings(routing=replace(RoutingSettings(), stages=("guard",))))
        self.assertEqual(named, [plugin.object])

    def test_lazy(self) -> None:
        """Nothing is imported but what is named: neither another plugin of the distribution nor one of another kind."""
        self.install(STAGE, "acme_lazy", "stages guard stage")
        self.module("acme_other", "raise SystemExit('imported')")
        self.distribution("acme-other", "[sipnode.stages]\nother = acme_other:stage\n[sipnode.rpc]\nguard = acme_other:rpc\n")
        extensions.find(STAGES, "guard")
        self.assertEqual((extensions.names(STAGES), extensions.complaints()), (["guard", "other"], []))
        self.assertNotIn("acme_other", sys.modules)

    def test_import_error(self) -> None:
        """A module that can't be imported is told with distribution, entry point and its own words, SystemExit included."""
        for number, (text, said) in enumerate((
            ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
            ("def x(:", "SyntaxError: "),
            ("raise SystemExit(3)", "SystemExit: 3"),
            ("1 / 0", "ZeroDivisionError: "),
            ("", "AttributeError: "),
        )):  # fmt: skip
            self.install(text, f"acme_broken{number}", f"stages guard{number} stage", f"acme-{number}")
            reason = self.fault(f"guard{number}")
            where = f"(sipnode.stages acme_broken{number}:stage of acme-{number} 1.2)"
            self.assertTrue(reason.startswith(f"stage 'guard{number}' {where} can't be loaded: {said}"), reason)

    def test_wrong_type(self) -> None:
        """What isn't what its kind has to be is told with what is missing."""
        text = f"{STAGE}\nclass Bare: pass\nbare = Bare()\nnumber = 5\n"
        text += "class Less(Stage):\n    def process(self): pass\nless = Less()\n"
        text += "@implementer(IRequestStage)\nclass Empty: name = 'empty'\nempty = Empty()\n"
        self.module("acme_types", text)
        points = ("bare = acme_types:bare", "number = acme_types:number", "less = acme_types:less", "empty = acme_types:empty",
                  "klass = acme_types:Stage", "module = acme_types", "odd = acme types!", "alias = acme_types:stage")  # fmt: skip
        self.distribution("acme-types", "[sipnode.stages]\n" + "\n".join(points))
        for name, said in (
            ("bare", "is Bare, which doesn't provide IRequestStage: is @implementer(IRequestStage) missing?"),
            ("number", "is int, which doesn't provide IRequestStage"),
            ("less", "doesn't provide IRequestStage: process(): implementation doesn't allow enough arguments"),
            ("klass", "is a class, and has to be an object that provides IRequestStage"),
            ("module", "is a module, and has to be an object that provides IRequestStage: write 'module:object'"),
            ("odd", "isn't of the form 'module:object'"),
            ("alias", "calls itself 'guard'"),
        ):
            self.assertIn(f" of acme-types 1.2) {said}", self.fault(name), name)
        for part in ("after", "before", "methods", "process"):
            self.assertIn(f"it has no {part}", self.fault("empty"))

    def test_optional(self) -> None:
        """An event package may leave out what has a default."""
        text = f"""{ADDS}
from sipnode.presence.packages.base import EventPackage
class Package(EventPackage):
    name = "x-acme"
    def state(self, resource, watcher, publications, version, content_type):
        return b""
class Old(Package):
    @property
    def private(self): raise AttributeError
package, old = Package(), Old()
"""
        self.module("acme_package", text)
        self.distribution("acme-package", "[sipnode.packages]\nx-acme = acme_package:old\n")
        self.assertEqual(extensions.find(PACKAGES, "x-acme").object.name, "x-acme")

    def test_clash(self) -> None:
        """Two distributions with one name: neither is taken, both are named; a copy of one that stands later on the path is no second."""
        self.install(STAGE, "acme_one", "stages guard stage", "acme-one")
        self.distribution("Acme.One", "[sipnode.stages]\nguard = acme_one:stage\n", version="1.1")
        extensions.find(STAGES, "guard")
        self.install(STAGE, "acme_two", "stages guard stage", "acme-two")
        reason = self.fault()
        for each in ("acme_one:stage of", "acme_two:stage of acme-two 1.2", "uninstall one"):
            self.assertIn(each, reason)
        self.assertNotIn("acme_one", sys.modules.keys() - {"acme_one"})
        (said,) = extensions.complaints()
        self.assertIn("has the name of", said)

    def test_missing(self) -> None:
        """A name that nobody has: what there is, or what may have been meant."""
        self.install(STAGE, "acme_missing", "stages guard stage")
        self.assertIn("no plugin has a stage 'teleport'; there are: guard", self.fault("teleport"))
        self.assertIn("did you mean guard?", self.fault("gard"))
        self.assertIn("no plugin has a media relay 'x'; there are: rtpengine", self.fault("x", RELAYS))
        self.assertIn("no plugin has a family of methods 'x'; none is installed", self.fault("x", RPC))

    def test_others_break_nothing(self) -> None:
        """Metadata without a name, or that no tool has made, keeps nobody else from being found, and is one text of a check."""
        self.install(STAGE, "acme_fine", "stages guard stage")
        self.distribution("nameless", "[sipnode.stages]\nother = nowhere_at_all:x\n", metadata=False)
        self.distribution("garbage", "sipnode.stages\x00[[[ no equals sign\n")
        self.distribution("misplaced", "[sipnode.stores]\nsqlite = acme_fine:x\n[sipnode.rpc]\nbare = acme_fine\n")
        extensions.find(STAGES, "guard")
        said = "; ".join(extensions.complaints())
        self.assertIn("store 'sqlite' (sipnode.stores acme_fine:x of misplaced 1.2) has a name that is built in", said)
        self.assertIn("family of methods 'bare' (sipnode.rpc acme_fine of misplaced 1.2) isn't of the form", said)
        self.assertIn("there is no module nowhere_at_all", said)

    def test_made(self) -> None:
        """What a plugin makes is looked at; what it raises is told with its name, ConfigError and StorageError in its own words."""
        self.install(f"{ADDS}\n@implementer(IStorePlugin)\nclass P:\n    name = 'acme'\n    def make(self, url, state_dir, reactor,"
                     " cache_seconds, node_id): pass\np = P()\n", "acme_made", "stores acme p")  # fmt: skip
        plugin = extensions.find(STORES, "acme")
        self.assertEqual(plugin.made(lambda stores: stores.name), "acme")
        error = self.assertRaises(ConfigError, plugin.made, lambda stores: 5, IStorage)
        self.assertIn("acme_made:p of acme-sip 1.2): what it made is int, which doesn't provide IStorage", error.reason)

        def raising(error: Exception) -> Any:
            def call(stores: object) -> None:
                raise error

            return call

        error = self.assertRaises(ConfigError, plugin.made, raising(ValueError("no")))
        self.assertIn("acme_made:p of acme-sip 1.2): ValueError: no", error.reason)
        error = self.assertRaises(ConfigError, plugin.made, raising(ConfigError("no", key="auth.backend_url")))
        self.assertEqual((error.key, error.reason.rpartition(": ")[2]), ("auth.backend_url", "no"))
        self.assertEqual(self.assertRaises(ConfigError, plugin.made, raising(ConfigError("no"))).key, "storage.url")
        self.assertRaises(StorageError, plugin.made, raising(StorageError("away")))


class StartTests(InstalledCase):
    """A configuration beside broken plugins."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(tempfile.mkdtemp(prefix="sipnode-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = self.folder / "sipnode.toml"
        self.install("1 / 0", "acme_bad", "stages guard stage")
        for kind in ("packages", "rpc", "stores", "credentials", "relays"):
            self.install("1 / 0", f"acme_bad_{kind}", f"{kind} acme thing", f"acme-{kind}")
        self.distribution("acme-late", "[sipnode.stages]\nguard = gone:stage\nother = gone:stage\n")

    def said(self, text: str) -> Findings:
        """What a check says."""
        port = free_port(socket.SOCK_DGRAM)
        self.file.write_text(f'[core]\nlisten = ["udp:127.0.0.1:{port}"]\n{text}')
        return check(str(self.folder), Clock())

    def test_not_named(self) -> None:
        """They stop nothing and are one warning; a server is built."""
        found = self.said("")
        self.assertEqual(found.errors, [])
        (warning,) = [text for text in found.warnings if "plugin" in text]
        self.assertIn("of acme-late 1.2) has the name of sipnode.stages acme_bad:stage of acme-sip 1.2", warning)
        self.assertIn("stage 'other' (sipnode.stages gone:stage of acme-late 1.2): there is no module gone", warning)
        folder = self.folder / "state"
        folder.mkdir()
        build(Settings(), folder, MemoryReactorClock())
        self.assertEqual([name for name in sys.modules if name.startswith("acme_bad")], [])

    def test_named(self) -> None:
        """Each that is named is a fault with file, line, key and distribution, all of them in one run."""
        text = '[presence]\npackages = ["acme"]\n[rpc]\nplugins = ["acme"]\n[storage]\nurl = "acme:x"\n[media]\nrelay = "acme"\n'
        found = self.said(f'[routing]\nstages = ["guard"]\n[auth]\nbackend = "acme"\n{text}').errors
        self.assertEqual(len(found), 6)
        for line, key, kind in (
            (6, "auth.backend", "credentials"), (8, "presence.packages", "packages"), (10, "rpc.plugins", "rpc"),
            (12, "storage.url", "stores"), (14, "media.relay", "relays"),
        ):  # fmt: skip
            (error,) = [text for text in found if text.startswith(f"{self.file}:{line}: {key}: ")]
            self.assertIn(f"acme_bad_{kind}:thing of acme-{kind} 1.2) can't be loaded: ZeroDivisionError", error)
        (error,) = [text for text in found if text.startswith(f"{self.file}:4: routing.stages: stage 'guard' is there more than once")]

    def test_package_that_does_not_start(self) -> None:
        """An event package whose start() raises is named."""
        self.module("acme_start", f"{ADDS}\nfrom sipnode.presence.packages.base import EventPackage\nclass P(EventPackage):\n"
                    "    name = 'late'\n    def start(self, sources): 1 / 0\np = P()\n")  # fmt: skip
        self.distribution("acme-start", "[sipnode.packages]\nlate = acme_start:p\n")
        (error,) = self.said('[presence]\npackages = ["late"]\n').errors
        self.assertTrue(error.startswith(f"{self.file}:4: presence.packages: event package 'late': ZeroDivisionError"), error)


class FolderTests(InstalledCase):
    """Folders ``sipnode/plugins``."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.site / "folder"
        self.folder.mkdir()
        self.patch(sipnode.plugins, "__path__", [*sipnode.plugins.__path__, str(self.folder)])

    def put(self, name: str, text: str) -> Path:
        """A module in the folder."""
        file = self.folder / f"{name}.py"
        file.write_text(text.replace("@implementer(", "@implementer(IPlugin, ") + "\nagain = globals().get('stage')\n")
        file.write_text("from twisted.plugin import IPlugin\n" + file.read_text())
        return file

    def test_found(self) -> None:
        """An object that has the name is found, once, whatever names it has there; and it isn't looked for when an entry point has it."""
        file = self.put("kit_found", STAGE)
        plugin = extensions.find(STAGES, "guard")
        self.assertEqual((plugin.object.name, plugin.place), ("guard", f"{file}: stage"))
        self.put("kit_broken", "raise SystemExit")
        self.install(STAGE, "acme_first", "stages guard stage")
        self.assertIn("acme_first", extensions.find(STAGES, "guard").place)
        self.assertNotIn("sipnode.plugins.kit_broken", sys.modules)

    def test_clash(self) -> None:
        """Two files with one name."""
        first, second = self.put("kit_one", STAGE), self.put("kit_two", STAGE)
        reason = self.assertRaises(ConfigError, extensions.find, STAGES, "guard").reason
        self.assertIn(f"{first}: stage and {second}: stage", reason)

    def test_broken(self) -> None:
        """A file that can't be imported breaks nobody; who isn't found is told of it. An object that lacks a part is told with its file."""
        broken = self.put("kit_bad", "import no_such_module_at_all")
        self.put("kit_good", STAGE)
        self.assertEqual(extensions.names(STAGES), ["guard"])
        reason = self.assertRaises(ConfigError, extensions.find, STAGES, "other").reason
        self.assertIn(f"{broken} can't be imported: ModuleNotFoundError: No module named 'no_such_module_at_all'", reason)
        less = self.put("kit_less", STAGE.replace("guard", "less").replace("    methods = None\n", ""))
        reason = self.assertRaises(ConfigError, extensions.find, STAGES, "less").reason
        self.assertIn(f"{less}: stage) doesn't provide IRequestStage: it has no methods", reason)


class TableTests(InstalledCase):
    """The kinds."""

    def test_built_in(self) -> None:
        """Names that are ours are those of the rooms."""
        self.assertEqual(PACKAGES.built_in, set(OUR_PACKAGES))
        self.assertEqual(STORES.built_in, set(OUR_STORES))
        self.assertEqual((CREDENTIALS.built_in, RELAYS.built_in), ({Settings().auth.backend}, {Settings().media.relay}))
        self.assertEqual(PACKAGES.built_in, set(Settings().presence.packages))

    def test_groups(self) -> None:
        """Six groups, each named by a setting that there is."""
        self.assertEqual([kind.group.partition(".")[2] for kind in KINDS], ["stages", "packages", "rpc", "stores", "credentials", "relays"])
        for kind in KINDS:
            section, _, name = kind.key.partition(".")
            getattr(getattr(Settings(), section), name)
