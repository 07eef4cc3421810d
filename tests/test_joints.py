"""Tests of the joints between the rooms: a renamed method of a service is found by mypy, wherever another room calls it."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

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
    "PresenceService": ("presence/service.py",),
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
    "CallHistory.history", "CallHistory.last", "CallHistory.set_mode", "DialogService.find", "DialogService.list",
    "DialogService.untracked", "FlowTable.counts", "MediaControl.asked", "PendingRequests.calls", "PresenceService.decide",
    "Resolver.rested",
    # Its own module or its interface is all that calls it.
    "Authenticator.realm_of", "CallHistory.ended", "CallHistory.sum_up", "CallHistory.write_settled",
    "FlowTable.closed", "FlowTable.new_token", "FlowTable.opened", "NodeService.path",
    "RegistrarService.by_instance", "RouteSigner.read",
))  # fmt: skip
"""Methods that no other module calls by the class that has them."""

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


class JointTests(SynchronousTestCase):
    """What mypy knows of who calls whom."""

    def test_each_method_has_typed_callers(self) -> None:
        """Each public method of a service, renamed in a copy of the tree, is missed by mypy in another module. Those that no other calls by
        its class are named here, so that one more, or one less, is noticed.
        """
        if importlib.util.find_spec("mypy") is None:
            raise SkipTest("mypy isn't installed")
        copy = Path(self.mktemp()).absolute()
        shutil.copytree(TOP / "sipnode", copy / "sipnode", ignore=shutil.ignore_patterns("__pycache__", "node_modules", "static", "*.so"))
        shutil.copy(TOP / "setup.cfg", copy)
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
        self.assertEqual(done.returncode, 1, done.stdout[-2000:] + done.stderr[-2000:])
        self.assertEqual(sorted(set(wanted) - missed), sorted(BY_NAME))
