"""Runs the steps of the Containerfile that make the image of sipnode, in a fresh Debian 12, and starts what it would start.

Knows the instructions that stand there: FROM, RUN, COPY, ENV, WORKDIR, USER, HEALTHCHECK and CMD; EXPOSE, VOLUME and STOPSIGNAL are for
the one who runs an image. Any other is an error. Prints what it does; the last line is
``N passed, N failed``.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import freshroot
from harness import TOP, WORK, fresh

from sipnode.demo import probes

TARGET = "sipnode"
_CONTINUED = re.compile(r"\\\n\s*")
_IGNORED = ("EXPOSE", "VOLUME", "STOPSIGNAL")
KNOWN = ("RUN", "COPY", "ENV", "WORKDIR", "USER", "CMD", "HEALTHCHECK", *_IGNORED)


class Step(NamedTuple):
    """An instruction."""

    word: str
    rest: str


def stages(text: str) -> dict[str, list[Step]]:
    """The steps of each stage of a Containerfile, by its name."""
    found: dict[str, list[Step]] = {}
    steps: list[Step] = []
    for line in _CONTINUED.sub(" ", text).splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            steps = found[rest.partition(" AS ")[2]] = []
        else:
            steps.append(Step(word, rest))
    return found


class Image:
    """A stage whose steps have been run.

    Attributes:
        root: The folder of its system.
        environment: Of what it starts.
        home: Where it is started.
        user: ``UID:GID``, "" for root.
        command: What it starts.
        health: What tells whether it is well.
    """

    def __init__(self, name: str, steps: list[Step], made: dict[str, Image]) -> None:
        began = time.monotonic()
        self.root = freshroot.make(WORK / f"image-{name}")
        self.environment: dict[str, str] = {}
        self.home, self.user = "/", ""
        self.command: list[str] = []
        self.health: list[str] = []
        self._made = made
        for step in steps:
            self._run(step)
            print(f"{time.monotonic() - began:6.1f} s  {name}: {step.word} {step.rest[:100]}", flush=True)
            began = time.monotonic()

    def _run(self, step: Step) -> None:
        if step.word == "RUN":
            subprocess.run(self.started("sh", "-c", step.rest), check=True, stdout=subprocess.DEVNULL)
        elif step.word == "COPY":
            self._copy(shlex.split(step.rest))
        elif step.word == "ENV":
            self.environment.update(word.split("=", 1) for word in shlex.split(step.rest))  # type: ignore[misc]  # pairs
        elif step.word == "WORKDIR":
            self.home = step.rest
            (self.root / step.rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif step.word == "USER":
            self.user = step.rest
        elif step.word == "CMD":
            self.command = json.loads(step.rest)
        elif step.word == "HEALTHCHECK":
            self.health = json.loads(step.rest.partition(" CMD ")[2])
        elif step.word not in _IGNORED:
            sys.exit(f"image.py doesn't know {step.word}\n0 passed, 1 failed")

    def _copy(self, words: list[str]) -> None:
        place = self.root / words[-1].lstrip("/")
        if words[0].startswith("--from="):
            source = self._made[words[0].partition("=")[2]].root / words[1].lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", str(source), str(place)], check=True)
        else:
            freshroot.sources(place)

    def started(self, *command: str, **variables: str) -> list[str]:
        """The command line that runs a command in it."""
        as_user = ["setpriv", f"--reuid={self.user.partition(':')[0]}", f"--regid={self.user.partition(':')[2]}", "--clear-groups"]
        return freshroot.inside(self.root, *(as_user if self.user else ()), *command, home=self.home, **{**self.environment, **variables})


def free_port() -> int:
    """A port that is free for UDP and TCP."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        port: int = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        return port


def is_ready(web: int) -> bool:
    """Whether it says so: it answers before its tables are read."""
    try:
        answered(web, "/readyz")
    except OSError:
        return False
    return True


def answered(web: int, path: str) -> bytes:
    """What the page's port says to one from elsewhere."""
    request = urllib.request.Request(f"http://127.0.0.1:{web}{path}", headers={"Host": "sip.example.com", "X-Forwarded-For": "203.0.113.9"})
    with urllib.request.urlopen(request, timeout=5) as response:
        content: bytes = response.read()
        return content


def try_out(image: Image) -> dict[str, bool]:
    """Start what the image starts, with settings by environment alone."""
    sip, web = free_port(), free_port()
    listen = json.dumps([f"udp:127.0.0.1:{sip}", f"tcp:127.0.0.1:{sip}", f"ws:127.0.0.1:{web}"])
    settings = {"SIPNODE_CORE__DOMAINS": '["example.com"]', "SIPNODE_CORE__LISTEN": listen}
    log = fresh(WORK / "image-log") / "sipnode.log"

    def ask(*command: str, text: str = "") -> str:
        done = subprocess.run(image.started(*command, **settings), input=text, capture_output=True, text=True, check=False)
        return done.stdout if not done.returncode else f"status {done.returncode}: {done.stderr}"

    shown = ask("sipnode", "conf", "show", "core.domains", "-c", "/etc/sipnode")
    made = ask("sipnode", "user", "add", "erika@example.com", "--password-stdin", "-c", "/etc/sipnode", text="correct-horse\n")
    with log.open("wb") as out:
        server = subprocess.Popen(image.started(*image.command, **settings), stdout=out, stderr=out, start_new_session=True)
    results = {"the origin of a setting is shown": "environment SIPNODE_CORE__DOMAINS" in shown, "a user is made": " made; " in made}
    try:
        end = time.monotonic() + 30
        while time.monotonic() < end and server.poll() is None and not (probes.sip_server("127.0.0.1", sip) and is_ready(web)):
            time.sleep(0.1)
        results["it answers OPTIONS"] = probes.sip_server("127.0.0.1", sip)
        results["it serves the page"] = probes.web_page("127.0.0.1", web)
        results["/healthz and /readyz answer any address, without a detail"] = [
            answered(web, path) for path in ("/healthz", "/readyz")
        ] == [b'{"status": "alive"}\n', b'{"status": "ready"}\n']
        results["its health check says so"] = not ask(*image.health).startswith("status ")
        status = Path(f"/proc/{server.pid}/status").read_text()
        results["it isn't root"] = re.search(r"^Uid:\s+(\d+)", status, re.M)[1] == "10001"  # type: ignore[index]  # there is one
        began = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        results["TERM ends it within 5 s"] = server.wait(15) == 0 and time.monotonic() - began < 5
    except OSError as error:
        results[f"it can be asked ({error})"] = False
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
    if not all(results.values()):
        print(shown, made, log.read_text("utf-8", "replace")[-3000:], sep="\n")
    return results


def main() -> int:
    reason = freshroot.why_not()
    if reason:
        print(f"{reason}\n0 passed, 1 failed")
        return 1
    plan = stages((TOP / "Containerfile").read_text("utf-8"))
    needed = [name for name in plan if any(f"--from={name} " in step.rest for step in plan[TARGET])]
    made: dict[str, Image] = {}
    try:
        for name in (*needed, TARGET):
            made[name] = Image(name, plan[name], made)
        results = try_out(made[TARGET])
    finally:
        for name in plan:
            shutil.rmtree(WORK / f"image-{name}", ignore_errors=True)
    for name, good in results.items():
        print(f"{'PASS' if good else 'FAIL'} {name}")
    failed = list(results.values()).count(False)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
