"""Tests of the joints between rooms: mypy finds a renamed method of a service wherever another room calls it; a core stays as made."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from sipnode import native
from sipnode.testing import World

TOP = Path(__file__).resolve().parent.parent

SERVICES = {
    "Authenticator": ("auth/authenticator.py", "fakes.py:OpenAuthenticator"),
    "CallHistory": ("observe/callhistory.py",),
    "Destinations": ("proxy/destinations.py",),
    "DialogAccess": ("dialog/access.py",),
    "DialogService": ("dialog/service.py",),
    "FlowTable": ("base/flows.py", "transport/flowtable.py", "fakes.py:FakeFlows"),
    "Guard": ("defence/guard.py", "base/guard.py:DigestGuard"),
    "MediaControl": ("media/control.py",),
    "NodeService": ("nodes/service.py",),
    "Outbox": ("base/outbox.py",),
    "PendingRequests": ("proxy/pending.py",),
    "PresenceService": ("presence/service.py", "presence/state.py:PresenceState"),
    "RegistrarService": ("registrar/service.py",),
    "Resolver": ("base/flows.py", "transport/resolver.py", "fakes.py:FakeResolver"),
    "RouteSigner": ("proxy/record_route.py",),
    "TransactionLayer": ("transaction/layer.py",),
}
"""Where each is, with the classes that stand for it, whose methods are renamed with its own."""

INHERITED = frozenset(("privilegedStartService", "startService", "stopService"))
"""What Twisted calls by these names."""

BY_NAME = frozenset((
    # The RPC, the manhole and what is reloaded get at a service without knowing its class.
    "CallHistory.history", "CallHistory.last", "DialogService.find",
    "DialogService.untracked", "FlowTable.counts", "MediaControl.asked", "PendingRequests.calls", "PresenceService.decide",
    "PresenceService.judge_again",
    "Resolver.rested",
    # Its own module or its interface is all that calls it.
    "Authenticator.realm_of", "CallHistory.ended", "CallHistory.sum_up", "CallHistory.write_settled",
    "FlowTable.closed", "FlowTable.new_token", "FlowTable.opened", "NodeService.path",
    "RegistrarService.by_instance", "RouteSigner.read",
))  # fmt: skip
"""Methods that no other module calls by the class that has them."""

CHAIN = (("base/server.py", "Server"), ("proxy/core.py", "ProxyCore"), ("routing/core.py", "Core"))
"""The classes that a core is."""
CHANGING = frozenset(("engine", "script", "settings"))
"""What is replaced while a server runs, by the core's own ``use`` and ``renew``."""

_SAID = re.compile(r'^sipnode/(?P<file>[^:]+):\d+: error: .*"(?P<kind>\w+)".* has no attribute "(?P<name>\w+)"')


def _classes() -> dict[Path, dict[str, str]]:
    """By file: the service that each of its classes stands for."""
    found: dict[Path, dict[str, str]] = {}
    for service, places in SERVICES.items():
        for place in places:
            file, _, name = place.partition(":")
            found.setdefault(Path(file), {})[name or service] = service
    return found


def _renamed(text: str, services: dict[str, str]) -> tuple[str, set[str]]:
    """A module whose services' public methods have other names, and these methods as ``Service.method``."""
    lines, methods = text.splitlines(keepends=True), set[str]()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ClassDef) or node.name not in services:
            continue
        for each in node.body:
            if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) and not each.name.startswith("_") and each.name not in INHERITED:
                at = each.lineno - 1
                lines[at] = re.sub(rf"def {each.name}\b", f"def {each.name}_renamed", lines[at])
                methods.add(f"{services[node.name]}.{each.name}")
    return "".join(lines), methods


def _class(file: str, name: str) -> ast.ClassDef:
    """A class of the package, as it is written."""
    tree = ast.parse((TOP / "sipnode" / file).read_text("utf-8"))
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def _assigned(node: ast.AST) -> Iterator[tuple[ast.Attribute, str]]:
    """The attributes that something is assigned to below a node, each with what is annotated there."""
    for each in ast.walk(node):
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Attribute):
            yield each.target, ast.unparse(each.annotation)
        elif isinstance(each, (ast.Assign, ast.AugAssign)):
            for target in each.targets if isinstance(each, ast.Assign) else [each.target]:
                for one in target.elts if isinstance(target, ast.Tuple) else [target]:
                    if isinstance(one, ast.Attribute):
                        yield one, ""


def _parts() -> dict[str, str]:
    """The attributes of a core, with what is annotated where they are made."""
    found: dict[str, str] = {}
    for file, name in CHAIN:
        for method in _class(file, name).body:
            if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                own = [(one, said) for one, said in _assigned(method) if isinstance(one.value, ast.Name) and one.value.id == "self"]
                found |= {one.attr: said for one, said in own}
    return found


class CoreTests(SynchronousTestCase):
    """The core is made in one call and stays as it is."""

    def test_is_made_at_once(self) -> None:
        """Each part is given or made in the constructor, and is Final; three change by the core's own verbs."""
        parts = _parts()
        self.assertEqual({name for name, said in parts.items() if not said.startswith("Final")}, CHANGING)
        later = {
            (method.name, one.attr)
            for file, name in CHAIN
            for method in _class(file, name).body
            if isinstance(method, ast.FunctionDef) and method.name != "__init__"
            for one, _ in _assigned(method)
            if isinstance(one.value, ast.Name) and one.value.id == "self"
        }
        self.assertEqual(later, {("use", "script"), ("use", "engine"), ("renew", "settings")})

    def test_nobody_fills_it(self) -> None:
        """No module assigns to a part of a core but the core."""
        wrong = []
        for path in sorted((TOP / "sipnode").rglob("*.py")):
            for one, _ in _assigned(ast.parse(path.read_text("utf-8"))):
                holder = one.value
                name = holder.id if isinstance(holder, ast.Name) else holder.attr if isinstance(holder, ast.Attribute) else ""
                if name in ("core", "_core", "proxy", "_server", "server") and one.attr in _parts():
                    wrong.append(f"{path}:{one.lineno}")
        self.assertEqual(wrong, [])

    def test_has_slots(self) -> None:
        """It has no place for what nobody knows of."""
        self.assertFalse(hasattr(World().core, "__dict__"))
        slots = set[str]()
        for file, name in CHAIN:
            for node in _class(file, name).body:
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__":
                    slots |= set(ast.literal_eval(node.value))
        self.assertEqual(slots, set(_parts()))

    def test_is_frozen(self) -> None:
        """Compiled nobody can assign to a part; pure Python lets everybody, and leaves it to mypy."""
        core = World().core
        try:
            core.outbox = core.outbox  # type: ignore[misc]
        except AttributeError:
            frozen = True
        else:
            frozen = False
        self.assertEqual(frozen, native.kind() != "pure")

    def test_is_typed(self) -> None:
        """None of its parts, and nothing that it is made of, is Any."""
        texts = [(TOP / "sipnode" / file).read_text("utf-8") for file in ("base/server.py", "proxy/core.py", "routing/parts.py")]
        self.assertFalse(any(re.search(r"\bAny\b", text) for text in texts))
        (made,) = [node for node in _class(*CHAIN[-1]).body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
        self.assertNotIn("Any", ast.unparse(made))


class JointTests(SynchronousTestCase):
    """What mypy knows of who calls whom."""

    def test_each_method_has_typed_callers(self) -> None:
        """Each public method of a service, renamed in a copy of the tree, is missed by mypy in another module. Those that no other calls by
        its class are named here, so that one more, or one less, is noticed. So is the filling of a core's part from outside.
        """
        if importlib.util.find_spec("mypy") is None:
            raise SkipTest("mypy isn't installed")
        copy = Path(self.mktemp()).absolute()
        shutil.copytree(TOP / "sipnode", copy / "sipnode", ignore=shutil.ignore_patterns("__pycache__", "node_modules", "static", "*.so"))
        shutil.copy(TOP / "setup.cfg", copy)
        attributes = sorted(set(_parts()) - CHANGING)
        lines = [f"    core.{name} = core.{name}" for name in attributes if not name.startswith("_")]
        text = ["from sipnode.routing.core import Core", "", "", "def fill(core: Core) -> None:", *lines, ""]
        (copy / "sipnode" / "filled.py").write_text("\n".join(text), "utf-8")
        wanted = dict[str, set[Path]]()
        for file, services in _classes().items():
            path = copy / "sipnode" / file
            text, methods = _renamed(path.read_text("utf-8"), services)
            path.write_text(text, "utf-8")
            for method in methods:
                wanted.setdefault(method, set()).add(file)
        command = [sys.executable, "-m", "mypy", "--no-error-summary", "--no-pretty", "--hide-error-context"]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
        known = {service: services for services in _classes().values() for service in services.items()}
        stands_for = {kind: service for kind, service in known}
        missed = set[str]()
        for line in done.stdout.splitlines():
            said = _SAID.match(line)
            if said is not None:
                method = f"{stands_for.get(said['kind'], said['kind'])}.{said['name']}"
                if Path(said["file"]) not in wanted.get(method, set()):
                    missed.add(method)
        refused = re.findall(r'filled\.py:\d+: error: Cannot assign to final attribute "(\w+)"', done.stdout)
        self.assertEqual(sorted(refused), [name for name in attributes if not name.startswith("_")])
        self.assertEqual(done.returncode, 1, done.stdout[-2000:] + done.stderr[-2000:])
        self.assertEqual(sorted(set(wanted) - missed), sorted(BY_NAME))
