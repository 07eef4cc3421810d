"""``make acceptance``: the end-to-end checks of a folder ``e2e`` (browsers, phones, a real rtpengine) against a server started for them.

Prints the output of the checks; its last line is ``N passed, N failed``. What was skipped counts as failed: all parts are there.
Logs, traces of failed checks and ``results.json`` stay in ``.work/acceptance``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

from harness import NG, TOP, WORK, dump, fresh, own_network, running, write_conf, write_tls

from sipnode.settings import CoreSettings, LocationSettings, MediaSettings, Settings, TLSSettings

DOMAIN = "e2e.test"
USERS = {"alice": "wonderland-1", "bob": "builder-2", "carol": "carillon-3", "dave": "davit-4"}
TARGET = {
    "domain": DOMAIN,
    "udp": "127.0.0.1:5060",
    "tcp": "127.0.0.1:5060",
    "tls": "127.0.0.1:5061",
    "ws": "ws://127.0.0.1:8080",
    "wss": "wss://127.0.0.1:8443",
    "ng": NG,
    "page": "/",
    "users": USERS,
}
SETTINGS = Settings(
    core=CoreSettings(
        domains=(DOMAIN,),
        listen=("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060", "tls:127.0.0.1:5061", "ws:127.0.0.1:8080", "wss:127.0.0.1:8443"),
    ),
    tls=TLSSettings(config="tls.cfg"),
    location=LocationSettings(min_expires=2),
    media=MediaSettings(nodes=(NG,)),
)


def environment(e2e: Path) -> Path:
    """A virtual environment with what the checks need; its Python."""
    home = WORK / "e2e-venv"
    python, stamp = home / "bin" / "python", home / "stamp"
    wanted = (e2e / "requirements.txt").read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        print("Installing what the checks need", flush=True)
        venv.create(home, with_pip=True, clear=True)
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", e2e / "requirements.txt"]
        subprocess.run(pip, check=True)
        stamp.write_text(wanted)
    return python


def selected(python: Path, e2e: Path, work: Path, only: str) -> list[str]:
    """Names of the checks to run."""
    listing = subprocess.run([python, "-B", e2e / "e2e.py", "--work", work, "--list"], check=True, capture_output=True, text=True)
    names = listing.stdout.split()
    words = [word for word in only.split(",") if word]
    return [name for name in names if not words or any(word == name or (word not in names and word in name) for word in words)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--e2e", type=Path, default=TOP.parent / "shared" / "e2e")
    parser.add_argument("--only", default="", help="comma-separated names of checks, or parts of names")
    options = parser.parse_args()
    e2e = options.e2e.resolve()
    if not (e2e / "e2e.py").exists():
        sys.exit(f"{e2e} has no e2e.py")
    python, work = environment(e2e), WORK / "acceptance"
    pages = WORK / "e2e-page"
    if not os.environ.get("SIPNODE_OWN_NETWORK"):
        fresh(work)
        build = "import sys; sys.path.insert(0, sys.argv[1]); import e2e; e2e.build_page(sys.argv[2])"
        subprocess.run([python, "-B", "-c", build, e2e, pages], check=True)  # npm needs the network outside
    own_network()

    names = selected(python, e2e, work, options.only)
    if not names:
        sys.exit(f"no check is called {options.only}")
    server_folder = fresh(work / "server")
    write_tls(server_folder, DOMAIN)
    conf = write_conf(server_folder, SETTINGS, USERS)
    target = dump(work / "target.json", TARGET)
    command = [python, "-B", e2e / "e2e.py", "--target", target, "--work", pages, "--slow", "--only", ",".join(names)]
    with running(server_folder, conf, media=True, web=8080):
        subprocess.run(command, check=False)
    kept = pages / "results.json"
    results = json.loads(kept.read_text()) if kept.exists() else []
    for file in [*pages.glob("trace-*.txt"), kept]:
        if file.exists():
            file.rename(work / file.name)
    failed = [name for name in names if not any(row["check"] == name and row["state"] == "PASS" for row in results)]
    if failed:
        print(f"not passed: {','.join(failed)}   (traces and logs in {work.relative_to(TOP)})")
    print(f"{len(names) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
