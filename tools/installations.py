"""``make packaging``: on every Python >= 3.11 found here, each kind of installation, then ``twistd sipnode`` in another folder.

The kinds are a wheel, an archive of the sources, ``pip install .`` and ``pip install -e .``; on the oldest Python also ``pip install .`` of
sources without a page, on a path without Node. All these are pure; on the oldest Python ``pip install .`` is done once more, compiled. Each
is a virtual environment of its own below ``.work/packaging``. The server has to answer OPTIONS and ``GET /``; the unit and the dashboard
have to be printed. The last line is ``N passed, N failed``.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from harness import TOP, WORK, fresh

from sipnode import __version__, config
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


def free_port(kind: int) -> int:
    """A port that nobody has."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def starts(home: Path, elsewhere: Path) -> str:
    """Start the server of that environment from another folder; '' when it answers, else why not."""
    port, web = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
    conf = fresh(elsewhere / "conf")
    settings = Settings(core=CoreSettings(domains=("example.test",), listen=(f"udp:127.0.0.1:{port}", f"ws:127.0.0.1:{web}")))
    (conf / config.FILE_NAME).write_text(config.render(settings))
    command = ["env", "-C", str(elsewhere), "-u", "PYTHONPATH", str(home / "bin" / "twistd"), "-n", "--pidfile=", "sipnode", "-c", "conf"]
    server = Part("sipnode", command, elsewhere / "sipnode.log")
    server.start()
    try:
        if not server.wait_ready(lambda: probes.sip_server("127.0.0.1", port), 20):
            return server.last_words()
        if not probes.web_page("127.0.0.1", web):
            return "GET / isn't answered 200"
    finally:
        server.stop()
    return ""


def prints(home: Path, elsewhere: Path, kind: str) -> str:
    """Have the commands print what the package carries, and that it is compiled or pure; '' or what went wrong."""
    version = f"{__version__} ({kind}"
    wanted = ((["files", "sipnode.service"], "[Service]"), (["files", "grafana.json"], '"panels"'), (["--version"], version))
    for command, expected in wanted:
        for start in ([home / "bin" / "sipnode"], [home / "bin" / "python", "-m", "sipnode"]):
            done = subprocess.run([*start, *command], cwd=elsewhere, capture_output=True, text=True, check=False)
            if done.returncode or done.stderr or expected not in done.stdout:
                return f"{' '.join(command)}: status {done.returncode}, {done.stderr}"
    return ""


def attempt(python: str, what: list[str], work: Path, path: str = "", compiled: bool = False) -> str:
    """One installation on one Python; '' or what went wrong.

    Args:
        what: Arguments of ``pip install``.
        compiled: It has to be; pure otherwise.
        path: PATH of the build, "" for this one.
    """
    home, elsewhere = fresh(work / "venv"), fresh(work / "elsewhere")
    subprocess.run([python, "-m", "venv", home], check=True)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *what]
    environment = {**os.environ, "PATH": path or os.environ["PATH"], "SIPNODE_COMPILE": str(int(compiled))}
    done = subprocess.run(pip, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        return done.stderr[-2000:]
    return prints(home, elsewhere, "compiled" if compiled else "pure") or starts(home, elsewhere)


def bare_sources(work: Path) -> Path:
    """The sources as an archive has them, without what is built."""
    target = work / "bare"
    shutil.copytree(
        TOP, target, symlinks=True,
        ignore=shutil.ignore_patterns(".*", "node_modules", "__pycache__", "build", "dist", "_build", "*.egg-info", "_trial_temp*"),
    )  # fmt: skip
    return target


def archives(work: Path) -> tuple[Path, Path]:
    """A wheel and an archive of the sources."""
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps", "-w", work, TOP]
    subprocess.run(pip, check=True, cwd=work, env={**os.environ, "SIPNODE_COMPILE": "0"})
    make = f"import sys; sys.path.insert(0, 'backend'); import sipnode_backend; sipnode_backend.build_sdist({str(work)!r})"
    subprocess.run([sys.executable, "-c", make], check=True, cwd=TOP, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return next(work.glob("sipnode-*.whl")), next(work.glob("sipnode-*.tar.gz"))


def main() -> int:
    work = fresh(WORK / "packaging")
    wheel, archive = archives(work)
    os.environ.pop("PYTHONPATH", None)
    kinds = {"a wheel": [str(wheel)], "an archive": [str(archive)], "pip install .": [str(TOP)], "pip install -e .": ["-e", str(TOP)]}
    passed = failed = 0
    for number, python in enumerate(interpreters()):
        version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout.strip()
        wanted = [(kind, what, "", False) for kind, what in kinds.items()]
        if not number:
            wanted.append(("pip install . without Node", [str(bare_sources(work))], str(work / "venv" / "bin"), False))
            wanted.append(("pip install ., compiled", [str(TOP)], "", True))
        for kind, what, path, compiled in wanted:
            name = f"{version}, {kind}"
            reason = attempt(python, what, work, path, compiled)
            print(f"{'FAIL' if reason else 'PASS'} {name}{': ' + reason if reason else ''}", flush=True)
            passed, failed = passed + (not reason), failed + bool(reason)
    shutil.rmtree(work, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
