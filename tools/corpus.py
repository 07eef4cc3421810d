"""``make corpus``: every message of a folder ``corpus`` to a server started for it, over UDP, TCP and WebSocket.

The last line is ``N passed, N failed``. Log and results stay in ``.work/corpus``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from harness import TOP, WORK, count, fresh, own_network, running, write_conf

from sipnode.settings import CoreSettings, Settings

SETTINGS = Settings(core=CoreSettings(domains=("example.com",)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=TOP.parent / "shared" / "corpus")
    parser.add_argument("--only", default="", help="comma-separated parts of paths")
    parser.add_argument("--verbose", action="store_true", help="a line for every file")
    options = parser.parse_args()
    corpus = options.corpus.resolve()
    if not (corpus / "run.py").exists():
        sys.exit(f"{corpus} has no run.py")
    own_network()
    work = fresh(WORK / "corpus")
    conf = write_conf(work, SETTINGS)
    with running(work, conf, media=False) as server:
        assert server.process is not None
        command = [sys.executable, "-B", corpus / "run.py", "--udp", "127.0.0.1:5060", "--tcp", "127.0.0.1:5060"]
        command += ["--ws", "ws://127.0.0.1:8080/", "--domain", "example.com"]
        command += ["--pid", str(server.process.pid), "--log", server.log, "--json", work / "results.json"]
        command += (["--only", options.only] if options.only else []) + (["--verbose"] if options.verbose else [])
        asked = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert asked.stdout is not None
        output = []
        for line in asked.stdout:
            output.append(line)
            print(line, end="", flush=True)
        status = asked.wait()
    if count("".join(output)) is None:
        print("0 passed, 1 failed")
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
