"""``make cases``: small programs made after public bug reports (a folder ``cases/sip``) against a server started for them.

The last line is ``N passed, N failed``. The server's log stays in ``.work/cases``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from harness import TOP, WORK, fresh, own_network, running, write_conf

from sipnode.settings import CoreSettings, DefenceSettings, NatSettings, Settings

DOMAIN = "example.test"
USERS = {name: f"{name}-pw" for name in ("alice", "bob", "carol", "dave")}
SETTINGS = Settings(
    core=CoreSettings(domains=(DOMAIN,), listen=("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060", "ws:127.0.0.1:8080")),
    # All of them come from one address, some with wrong passwords.
    defence=DefenceSettings(trusted=("127.0.0.0/8",)),
    # One of them sends from another port than it listens at, and has no name to know it by.
    nat=NatSettings(rules=("network 127.0.0.0/8: via-port",)),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, default=TOP.parent / "shared" / "cases")
    parser.add_argument("--only", default="", help="comma-separated names, as c01,c12")
    parser.add_argument("--slow", action="store_true", help="those that take minutes too")
    options = parser.parse_args()
    run = options.cases.resolve() / "sip" / "run.py"
    if not run.exists():
        sys.exit(f"{run} isn't there")
    own_network()
    work = fresh(WORK / "cases")
    conf = write_conf(work, SETTINGS, USERS)
    command = [sys.executable, "-B", run, "--target", "127.0.0.1:5060", "--ws", "127.0.0.1:8080", "--domain", DOMAIN]
    command += (["--only", options.only] if options.only else []) + (["--slow"] if options.slow else [])
    with running(work, conf, media=False):
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
