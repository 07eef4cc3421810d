"""What mypy --strict says of a site's routing: it passes as the manual has it, and a slip is found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

TOP = Path(__file__).parents[2]
HEAD = """
from __future__ import annotations

from sipnode.routing import (
    DROP, Branch, BranchFlag, Call, Flag, Flow, Fork, Managed, Passed, Reject, Request, RoutingScript, SipRequest, SipResponse, Step,
    Target, Verdict, on,
)
from sipnode.routing.script import RoutingScript as Same
"""
GOOD = {
    "stages": """
class Site(RoutingScript):
    REQUEST_ROUTE = (*RoutingScript.REQUEST_ROUTE[:-1], on("INVITE MESSAGE", "hours"), "location")

    def hours(self, r: Request) -> Step:
        if r.identity == "" and r.has(Flag.NATS):
            raise Reject(480, "Closed", rule="hours")
        return None

    def auth(self, ctx: Request) -> Step:
        return DROP if ctx.method == "PING" else super().auth(ctx)
""",
    "coroutines": """
class Site(RoutingScript):
    async def location(self, r: Request) -> Verdict | None:
        return r.reply(404)

    async def sipout(self, r: Request) -> Step:
        return super().sipout(r)

    async def manage_branch(self, branch: Branch) -> None:
        branch.set(BranchFlag.BRIDGE)

    async def manage_reply(self, branch: Branch, response: SipResponse) -> SipResponse | None:
        return response.copy() if branch.far_websocket else None

    async def manage_failure(self, fork: Fork) -> None:
        fork.add_targets([Target("sip:mailbox@192.0.2.99")])
""",
    "branches": """
class Site(Same):
    def bridging(self, branch: Branch) -> bool:
        request: SipRequest = branch.request
        return request.ruri.user == "fax" or super().bridging(branch)

    def manage_branch(self, branch: Branch) -> Managed:
        return super().manage_branch(branch)

    def manage_reply(self, branch: Branch, response: SipResponse) -> Passed:
        return super().manage_reply(branch, response)

    def websocket_closed(self, flow: Flow) -> None:
        print(flow.remote, flow.token)

def seconds(call: Call) -> float:
    return call.duration
""",
}
BAD = {
    "attribute": ("Request", "class Site(RoutingScript):\n    def sipout(self, r: Request) -> Step:\n        return r.identiti"),
    "verb": ("Request", "class Site(RoutingScript):\n    def sipout(self, r: Request) -> Step:\n        return r.relays()"),
    "verdict": ("return value", "class Site(RoutingScript):\n    def sipout(self, r: Request) -> Step:\n        return True"),
    "branch": ("Branch", "def look(branch: Branch) -> bool:\n    return branch.websockets"),
    "fork": ("Fork", "def look(fork: Fork) -> None:\n    fork.add_target(Target())"),
    "flow": ("Flow", "def look(flow: Flow) -> str:\n    return flow.remotes"),
    "call": ("Call", "def look(call: Call) -> str:\n    return call.calle"),
    "name": ("sipnode.routing", "from sipnode.routing import Reqest"),
    "signature": ("incompatible", "class Site(RoutingScript):\n    def sipout(self, r: Request, more: int) -> Step:\n        return None"),
}


def mypy(*files: Path) -> str:
    """What it says of these files."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(TOP / "setup.cfg"), "--cache-dir", str(TOP / ".mypy_cache")]
    environment = {**os.environ, "MYPYPATH": f"{TOP}{os.pathsep}{files[0].parent}"}
    done = subprocess.run([*command, *map(str, files)], cwd=files[0].parent, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


class TypedTests(SynchronousTestCase):
    """Samples of what a site may write, through the real mypy."""

    def written(self, texts: dict[str, str]) -> list[Path]:
        """Files with these texts behind the imports."""
        folder = Path(self.mktemp())
        folder.mkdir()
        files = []
        for name, text in texts.items():
            files.append(folder.resolve() / f"site_{name}.py")
            files[-1].write_text(HEAD + text + "\n", "utf-8")
        return files

    def test_good(self) -> None:
        """Overridden stages, coroutines and hooks pass, whatever their argument is called."""
        self.assertIn("Success", mypy(*self.written(GOOD)))

    def test_bad(self) -> None:
        """A mistyped attribute, verb or name, a wrong result and a wrong signature are found, each where it stands."""
        said = mypy(*self.written({name: text for name, (_, text) in BAD.items()}))
        for name, (word, _) in BAD.items():
            found = re.findall(rf"site_{name}\.py:\d+: error: (.*)", said)
            self.assertTrue(any(word in error for error in found), f"{name}: {said}")

    def test_ours(self) -> None:
        """What the manual shows, and the sample of conf/, pass as they stand."""
        samples = TOP / "docs" / "samples"
        self.assertIn("Success", mypy(*samples.glob("*.py"), TOP / "conf" / "routing.py"))
        self.assertIn("Success", mypy(*(samples / "start").glob("*.py")))
        self.assertIn("Success", mypy(*(samples / "plugins").glob("*.py")))

    def test_examples(self) -> None:
        """So do the example projects."""
        for project in (TOP / "docs" / "examples").glob("*/pyproject.toml"):
            self.assertIn("Success", mypy(*project.parent.glob("sipnode_*")), project.parent.name)
