"""Tests of the shape itself: which room may import which, purity of the core, no cycles, no reactor taken at import."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

import sipnode

TOP = Path(sipnode.__file__).parent

FLOOR = {"errors", "records", "interfaces", "settings", "addresses", "tables", "privatefile", "forms", "environment"}
# What all services hand on: a flow, the tables that find one, the way out and the tap, and a request as it is met below the policy. Native
# classes for mypyc.
FLOOR |= {"base"}
SERVICE = FLOOR | {"sip", "transaction"}
# They know everybody and nobody knows them but those who start things: the composition root, and the test kit that wires rooms in memory.
ROOTS = {"app", "wiring", "testing"}
# A room is a package or module directly below sipnode; each may import itself and these (a room, or one module of it).
ALLOWED: dict[str, set[str]] = {
    "__init__": set(),
    "errors": set(),
    "records": set(),
    "settings": set(),
    "addresses": {"errors"},
    "forms": {"errors", "addresses"},
    "environment": set(),
    "native": set(),
    "tables": set(),
    "privatefile": {"errors"},
    "machine": {"transport.portowner"},
    # It declares which native classes provide what a plugin asks for (classImplements), as the compiler can't.
    "interfaces": {"records", "settings", "sip", "base"},
    "base": {"errors", "records", "sip", "transaction"},
    "sip": {"errors"},
    "transaction": {"sip", "errors", "base.flow", "base.native", "base.why", "base.outbox", "base.tap"},
    "transport": FLOOR | {"sip"},
    "auth": SERVICE,
    "registrar": SERVICE,
    "nat": SERVICE,
    # It looks at the daemon's process, where that runs here.
    "media": SERVICE | {"extensions", "machine"},
    # A branch is sent by a flow whose source may be trusted, and holds what the relay has of it.
    "proxy": SERVICE | {"auth", "media"},
    # A call is made of forks and branches; when its media relay is lost its ends are offered another.
    "dialog": SERVICE | {"proxy", "media"},
    # A record is made of a call; its journal is opened as the embedded store is.
    "acc": SERVICE | {"dialog", "storage.database"},
    "defence": FLOOR | {"sip"},
    "presence": SERVICE,
    "nodes": SERVICE,
    # A trunk is a way for branches, and its own requests take the proxy's way out.
    "trunk": SERVICE | {"proxy"},
    # It knows no SIP; what is stored of a password is what digest authentication computes with.
    "storage": FLOOR | {"sip.digest", "sip.hosts", "extensions"},
    # The services, all of them: the page's verbs call them directly, and nothing of what they do stands here.
    "routing": SERVICE | {"auth", "registrar", "nat", "media", "proxy", "dialog", "presence", "nodes", "defence", "trunk"},
    "web": FLOOR | {"sip"},
    # The services come as arguments; it knows their verbs, not their modules.
    "rpc": FLOOR | {"sip", "services"},
    "observe": FLOOR | {"sip", "acc.quality", "services"},
    # It shows what happened in the words of those who watch.
    "insight": FLOOR | {"sip", "observe.sentences", "acc.quality"},
    # A client: it draws what the RPC gives.
    "top": {"tables", "rpc.client", "insight.ladder", "insight.document", "insight.row"},
    # It shows what was recorded, by pages as the softphone's are served.
    "console": FLOOR | {"sip", "insight", "services", "web.pages", "web.signedin"},
    "manhole": FLOOR,
    "lifecycle": FLOOR | {"transaction", "config"},
    "fakes": FLOOR | {"sip", "auth", "routing.http"},
    # A folder for others: nothing of ours is in it.
    "plugins": set(),
    # It knows what a plugin has to be, and nobody who uses one.
    "extensions": {"errors", "interfaces", "plugins"},
    "config": {"settings", "errors", "forms", "environment"},
    "log": FLOOR | {"observe.wiretrace"},
    "services": FLOOR,
    "demo": {"config", "settings", "errors", "storage", "console.members"},
    "cli": {
        "__init__", "native", "config", "errors", "forms", "settings", "app", "storage", "transport", "demo", "rpc.client", "check",
        "lifecycle.domains", "tables", "replay", "top", "insight", "console.members",
    },
    "__main__": {"cli"},
    "tap": {"config", "errors", "app", "services"},
}
EVERYTHING = set(ALLOWED) - {"cli", "__main__", "tap", "demo"}
ALLOWED["app"] = EVERYTHING | {"wiring"}
# A server in memory is put together as one that listens.
ALLOWED["testing"] = EVERYTHING | {"wiring"}
# A recorded call is played by phones in memory.
ALLOWED["replay"] = EVERYTHING | {"testing"}
ALLOWED["check"] = EVERYTHING | {"wiring", "app"}
PURE = ("sip", "transaction")
IMPURE_STDLIB = {"asyncio", "multiprocessing", "select", "selectors", "signal", "socket", "ssl", "subprocess", "threading", "time"}
MOST_LINES = 400
# A catalogue is looked things up in, not read at a sitting.
CATALOGUES = {"interfaces": 600, "settings": 800, "proxy.core": 520, "config": 450, "testing": 450}


class Import(NamedTuple):
    """One import statement of a module."""

    line: int
    name: str
    at_start: bool
    """It runs when the module is imported."""


def modules() -> dict[str, Path]:
    """Dotted name without ``sipnode.`` of every module."""
    found = {}
    for path in sorted(TOP.rglob("*.py")):
        if "node_modules" not in path.parts:
            parts = path.relative_to(TOP).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


MODULES = modules()
TREES = {name: ast.parse(path.read_text("utf-8"), str(path)) for name, path in MODULES.items()}


def imports(tree: ast.AST, at_start: bool = True) -> Iterator[Import]:
    """Every import of a module, each imported name as one dotted path."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, at_start)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield Import(node.lineno, f"{'.' * node.level}{node.module or ''}.{alias.name}", at_start)
        else:
            later = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or (
                isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            )
            yield from imports(node, at_start and not later)


def own(name: str) -> str | None:
    """The module of ours that an import means, or None for foreign ones."""
    if name != "sipnode" and not name.startswith("sipnode."):
        return None
    rest = name.removeprefix("sipnode").lstrip(".")
    while rest and rest not in MODULES:
        rest = rest.rpartition(".")[0]
    return rest or "__init__"


class LayerTests(SynchronousTestCase):
    """Which room may import which."""

    def test_every_room_is_known(self) -> None:
        """A new room has its line in the table before it has imports."""
        rooms = {name.partition(".")[0] for name in MODULES} - ROOTS
        self.assertEqual(rooms - set(ALLOWED), set())

    def test_rooms_import_only_what_is_below_them(self) -> None:
        """Rooms meet through interfaces: none imports a neighbour, and only tap and cli know app."""
        wrong = []
        for name, tree in TREES.items():
            room = name.partition(".")[0]
            for statement in imports(tree):
                target = own(statement.name)
                other = target.partition(".")[0] if target else room
                if other != room and not ({other, target} & ALLOWED.get(room, EVERYTHING if room in ROOTS else set())):
                    wrong.append(f"{MODULES[name]}:{statement.line} imports {statement.name}")
        self.assertEqual(wrong, [])

    def test_imports_are_absolute(self) -> None:
        """A relative import would pass the table unseen."""
        found = [f"{MODULES[name]}:{one.line}" for name, tree in TREES.items() for one in imports(tree) if one.name.startswith(".")]
        self.assertEqual(found, [])

    def test_no_cycles(self) -> None:
        """Importing one module never needs itself."""
        graph = {
            name: {target for one in imports(tree) if one.at_start and (target := own(one.name)) and target not in (name, "__init__")}
            for name, tree in TREES.items()
        }
        done: set[str] = set()

        def walk(name: str, path: tuple[str, ...]) -> None:
            if name in path:
                self.fail("a cycle: " + " -> ".join((*path[path.index(name) :], name)))
            if name in done:
                return
            # Importing a.b imports a first.
            package = name.rpartition(".")[0]
            for target in sorted(graph[name] | ({package} - {""})):
                if not name.startswith(target + ".") or target == package:
                    if target == package and not graph.get(package):
                        continue
                    walk(target, (*path, name))
            done.add(name)

        for name in graph:
            walk(name, ())

    def test_no_cycles_of_types(self) -> None:
        """Nor does knowing its types, which mypy and the compiler need."""
        graph = {
            name: {
                target for one in imports(tree) if (target := own(one.name)) and target != name and MODULES[target].name != "__init__.py"
            }
            for name, tree in TREES.items()
        }
        reached: dict[str, set[str]] = {}
        for name in graph:
            todo, seen = list(graph[name]), set[str]()
            while todo:
                target = todo.pop()
                if target not in seen:
                    seen.add(target)
                    todo.extend(graph[target])
            reached[name] = seen
        self.assertEqual({name for name, seen in reached.items() if name in seen}, set())

    def test_core_is_pure(self) -> None:
        """``sip`` and ``transaction`` need the standard library alone, and of it neither sockets nor clocks nor threads."""
        wrong = []
        for name, tree in TREES.items():
            if name.partition(".")[0] not in PURE:
                continue
            for statement in imports(tree):
                top = statement.name.partition(".")[0]
                if top != "sipnode" and (top not in sys.stdlib_module_names or top in IMPURE_STDLIB):
                    wrong.append(f"{MODULES[name]}:{statement.line} imports {statement.name}")
        self.assertEqual(wrong, [])

    def test_no_reactor_at_import(self) -> None:
        """Who imports a module doesn't choose the reactor by that."""
        wrong = [
            f"{MODULES[name]}:{one.line}"
            for name, tree in TREES.items()
            for one in imports(tree)
            if one.at_start and one.name in ("twisted.internet.reactor", "twisted.internet.default")
        ]
        self.assertEqual(wrong, [])

    def test_modules_are_introduced_and_short(self) -> None:
        """Each module says in its first lines what it is, and is no longer than one can read at a sitting."""
        silent = [name for name, tree in TREES.items() if ast.get_docstring(tree) is None and tree.body]
        long = [name for name, path in MODULES.items() if len(path.read_text("utf-8").splitlines()) > CATALOGUES.get(name, MOST_LINES)]
        self.assertEqual((silent, long), ([], []))
