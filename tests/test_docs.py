"""The manual beside what it tells of: what it lists is what there is."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SkipTest, SynchronousTestCase

import sipnode.app
from sipnode import native
from sipnode.routing.script import RoutingScript
from sipnode.settings import (
    AccSettings,
    ConsoleSettings,
    HepSettings,
    ManholeSettings,
    MetricsSettings,
    NodeSettings,
    OtelSettings,
    RecorderSettings,
    RoutingSettings,
    Settings,
    TrunkSettings,
)

DOCS = Path(sipnode.__file__).parent.parent / "docs"
KAMAILIO = Path("/etc/kamailio/kamailio.cfg")

DEFAULT = frozenset({
    "acc", "alias_db", "auth", "auth_db", "cfg_rpc", "corex", "counters", "ctl", "db_mysql", "debugger", "domain", "htable", "jsonrpcs",
    "kex", "maxfwd", "nathelper", "permissions", "pike", "presence", "presence_xml", "pv", "registrar", "rr", "rtpengine", "rtpproxy",
    "sanity", "siputils", "sl", "speeddial", "textops", "textopsx", "tls", "tm", "tmx", "usrloc", "xhttp", "xlog",
})  # fmt: skip
"""Modules of the configuration that Kamailio 5.6 comes with."""

SEED = frozenset({
    "auth", "auth_db", "cfg_rpc", "corex", "ctl", "db_postgres", "debugger", "kex", "maxfwd", "nathelper", "permissions", "presence",
    "presence_xml", "pv", "registrar", "rr", "rtpengine", "sanity", "sdpops", "siputils", "sl", "textops", "textopsx", "tls", "tm", "tmx",
    "usrloc", "websocket", "xhttp", "xlog",
})  # fmt: skip
"""Modules of the configuration that sipnode took its routes from."""

COMMON = frozenset({
    "app_python3", "async", "avpops", "cfgutils", "dialog", "dialplan", "dispatcher", "dmq_usrloc", "drouting", "enum",
    "http_client", "msilo", "outbound", "path", "pipelimit", "presence_dialoginfo", "siptrace", "sqlops", "topos", "uac",
})  # fmt: skip
"""The twenty that are met most often besides."""


def page(name: str) -> str:
    """The text of a page.

    Raises:
        SkipTest: this copy has no docs.
    """
    file = DOCS / f"{name}.rst"
    if not file.is_file():
        raise SkipTest("docs aren't part of this copy")
    return file.read_text("utf-8")


def rows(text: str, title: str) -> list[str]:
    """First cells of the table of a section, as they are written."""
    section = re.split(r"\n[^\n]+\n-{3,}\n", text.partition(f"\n{title}\n")[2].partition("\n")[2])[0]
    return re.findall(r"(?m)^   \* - (.+)$", section)


def links() -> ModuleType:
    """docs/links.py as a module."""
    if importlib.util.find_spec("sphinx") is None:
        raise SkipTest("no Sphinx here")
    return program("links")


def program(name: str) -> ModuleType:
    """A file of Python in docs/ as a module."""
    if not (DOCS / f"{name}.py").is_file():
        raise SkipTest("docs aren't part of this copy")
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def there() -> set[str]:
    """Pages of the four parts, as the index names them."""
    return {f"{part}/{file.stem}" for part in ("start", "howto", "understand", "reference") for file in (DOCS / part).glob("*.rst")}


class MapTests(SynchronousTestCase):
    """reference/kamailio-map"""

    def named(self) -> list[str]:
        """Modules that have a row."""
        return [name for cell in rows(page("reference/kamailio-map"), "Modules") for name in re.findall(r"``(\w+)``", cell)]

    def test_modules(self) -> None:
        """Each module of Kamailio's configuration, of the one that sipnode's routes come from, and of the twenty commonest has one row."""
        named = self.named()
        self.assertEqual((DEFAULT | SEED | COMMON) - set(named), set())
        self.assertEqual(len(named), len(set(named)))
        self.assertEqual(named, sorted(named))

    def test_installed(self) -> None:
        """So has each module of the configuration that is installed here."""
        if not KAMAILIO.is_file():
            raise SkipTest("no Kamailio here")
        loaded = set(re.findall(r'(?m)^\s*loadmodule\s+"(\w+)\.so"', KAMAILIO.read_text("utf-8", "replace")))
        self.assertGreater(len(loaded), 30)
        self.assertEqual(loaded - set(self.named()), set())

    def test_every_row_says_where(self) -> None:
        """A module that has no place here says what to use in its stead, or that nothing is needed."""
        cells = page("reference/kamailio-map").partition("\nModules\n")[2].split("\n   * - ``")[1:]
        bare = [" ".join(cell.partition("     - ")[2].split("\n\n")[0].split()) for cell in cells]
        self.assertGreater(len(bare), 60)
        self.assertEqual(
            [cell for cell in bare if cell.startswith("none") and "use " not in cell and not cell.startswith("none needed")], []
        )


class RoutingPageTests(SynchronousTestCase):
    """understand/routing"""

    def test_stages(self) -> None:
        """The table of stages is REQUEST_ROUTE, in its order."""
        table = page("understand/routing").partition(".. list-table:: request_route")[2].partition("\n\nA stage")[0]
        stages = [str(getattr(stage, "name", stage)) for stage in RoutingScript.REQUEST_ROUTE]
        self.assertEqual(re.findall(r"(?m)^   \* - ``(\w+)``$", table), stages)


class WalkTests(SynchronousTestCase):
    """The lists of understand/walk, which are made anew with every manual."""

    def test_begin_and_end(self) -> None:
        """A way begins at the one door and ends at the other, by the stages of the page in their order; nothing of the tests is in it."""
        walk = program("walk")
        for method, stages in (("REGISTER", ("reqinit", "auth", "registrar")), ("INVITE", ("reqinit", "auth", "location", "relay"))):
            self.assertRegex(walk.lines(method)[0], r"^\d+ hops, \d+ calls$")
            if native.is_compiled():
                # Compiled functions tell no profiler that they are called.
                continue
            hops = walk.WALKS[method]().hops
            names = [name for _, name in hops]
            self.assertEqual(hops[0], ("routing/dispatch.py", "Dispatcher.received"))
            self.assertIn(("base/outbox.py", "Outbox.send"), hops)
            places = [names.index(f"RoutingScript.{stage}") for stage in stages]
            self.assertEqual(places, sorted(places))
            self.assertFalse([module for module, _ in hops if module.startswith(("testing", "fakes", "/"))])


class ServiceTreeTests(SynchronousTestCase):
    """The tree in the docstring of sipnode.app, which understand/architecture shows."""

    def test_tree(self) -> None:
        """It names what is built, in the order in which it starts."""
        folder = Path(self.mktemp())
        folder.mkdir()
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=30)
        except FileNotFoundError:
            raise SkipTest("ssh-keygen isn't here") from None
        (folder / "key.pub").rename(folder / "authorized_keys")
        (folder / "authorized_keys").chmod(0o600)
        settings = replace(
            Settings(),
            node=NodeSettings(id=1, address="127.0.0.1:5060", secret="x" * 32),
            manhole=ManholeSettings(listen="127.0.0.1:5022"),
            trunk={"provider": TrunkSettings(address="192.0.2.9")},
            metrics=MetricsSettings(listen="127.0.0.1:9090"),
            routing=RoutingSettings(script="site.Script", watch_seconds=2.0),
            acc=AccSettings(tables=True),
            hep=HepSettings(receiver="udp:192.0.2.8:9060"),
            console=ConsoleSettings(enabled=True),
            recorder=RecorderSettings(enabled=True, folder="failed"),
            otel=OtelSettings(endpoint="http://192.0.2.8:4318/v1/traces"),
        )
        (folder / "site.py").write_text("from sipnode.routing import RoutingScript as Script\n", "utf-8")
        built = [str(child.name) for child in sipnode.app.build(settings, folder, MemoryReactorClock(), own_process=True)]  # type: ignore[attr-defined]  # a MultiService
        # A listener is named by its kind.
        kinds = [name.partition(":")[0] + ":…" if ":" in name else name for name in built]
        lines = [line.strip() for line in (sipnode.app.__doc__ or "").splitlines()]
        shown = [name for line in lines if line[:1] in ("├", "└") for name in line[2:].partition("  ")[0].split(", ")]
        self.assertEqual(shown, kinds)

    def test_page_shows_it(self) -> None:
        """The page has the docstring itself."""
        self.assertIn(".. literalinclude:: /../sipnode/app.py", page("understand/architecture"))


class PagesTests(SynchronousTestCase):
    """All pages."""

    def test_in_one_place(self) -> None:
        """Each page is in the index, once; nothing in the index is missing."""
        index = re.findall(r"(?m)^   ((?:start|howto|understand|reference)/[\w-]+)$", page("index"))
        self.assertEqual(len(index), len(set(index)))
        self.assertEqual(set(index), there())

    def test_security(self) -> None:
        """Each room's part of the page about security is on it."""
        included = re.findall(r"(?m)^\.\. include:: /security/([\w-]+)\.rst$", page("understand/security"))
        self.assertEqual(sorted(included), sorted(file.stem for file in (DOCS / "security").glob("*.rst")))

    def test_names(self) -> None:
        """A link means one page by its name; two of one name are refused."""
        names = links().names
        self.assertEqual(names({"a/x", "b/y", "index"}), {"x": "a/x", "y": "b/y"})
        self.assertRaises(links().ExtensionError, names, {"a/x", "b/x"})
        self.assertEqual(len(names(there())), len(there()))
