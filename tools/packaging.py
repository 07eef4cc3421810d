"""``make packaging``: on every Python >= 3.11 found here, ``pip install .`` and ``pip install -e .``, then ``twistd sipnode`` elsewhere.

Each installation is a virtual environment of its own below ``.work/packaging``; the server has to answer OPTIONS. The last line is
``N passed, N failed``.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from harness import TOP, WORK, fresh

from sipnode import config
from sipnode.demo import probes
from sipnode.demo.parts import Part
from sipnode.settings import CoreSettings, Settings

OLDEST = (3, 11)


def interpreters() -> list[str]:
    """One Python of each minor version, by PATH and pyenv."""
    found: dict[tuple[int, int], str] = {}
    candidates = [sys.executable]
    for minor in range(OLDEST[1], OLDEST[1] + 5):
        candidates += filter(None, [shutil.which(f"python3.{minor}")])
    candidates += map(str, sorted((Path.home() / ".pyenv" / "versions").glob("3.*/bin/python3")))
    ask = "import sys, ensurepip, venv; print(*sys.version_info[:2])"
    for candidate in candidates:
        answer = subprocess.run([candidate, "-c", ask], capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            major, minor = map(int, answer.stdout.split())
            if (major, minor) >= OLDEST:
                found.setdefault((major, minor), candidate)
    return [found[version] for version in sorted(found)]


def free_port() -> int:
    """A UDP port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def starts(home: Path, elsewhere: Path) -> str:
    """Start the server of that environment from another folder; '' when it answers, else why not."""
    port = free_port()
    conf = fresh(elsewhere / "conf")
    settings = Settings(core=CoreSettings(domains=("example.test",), listen=(f"udp:127.0.0.1:{port}",)))
    (conf / config.FILE_NAME).write_text(config.render(settings))
    command = ["env", "-C", str(elsewhere), "-u", "PYTHONPATH", str(home / "bin" / "twistd"), "-n", "--pidfile=", "sipnode", "-c", "conf"]
    server = Part("sipnode", command, elsewhere / "sipnode.log")
    server.start()
    try:
        ready = server.wait_ready(lambda: probes.sip_server("127.0.0.1", port), 20)
    finally:
        server.stop()
    return "" if ready else server.last_words()


def attempt(python: str, editable: bool, work: Path, wheel: Path) -> str:
    """One installation on one Python; '' or what went wrong."""
    home, elsewhere = fresh(work / "venv"), fresh(work / "elsewhere")
    subprocess.run([python, "-m", "venv", home], check=True)
    what = ["-e", str(TOP)] if editable else [str(wheel)]
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *what]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    return done.stderr[-2000:] if done.returncode else starts(home, elsewhere)


def main() -> int:
    work = fresh(WORK / "packaging")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps", "-w", work, TOP], check=True, cwd=work
    )
    (wheel,) = work.glob("sipnode-*.whl")
    os.environ.pop("PYTHONPATH", None)
    passed = failed = 0
    for python in interpreters():
        version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout.strip()
        for editable in (False, True):
            name = f"{version}, {'pip install -e .' if editable else 'pip install .'}"
            reason = attempt(python, editable, work, wheel)
            print(f"{'FAIL' if reason else 'PASS'} {name}{': ' + reason if reason else ''}", flush=True)
            passed, failed = passed + (not reason), failed + bool(reason)
    shutil.rmtree(work, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
