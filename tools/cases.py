"""``make cases``: small programs made after public bug reports (``cases/sip``, ``cases/media``) against servers started for them.

Those of ``cases/media`` are driven by its ``lab.py``, which starts a real rtpengine too, one run for each with the options that it needs.
The last line is ``N passed, N failed``, over both. What the servers and the cases said stays in ``.work/cases``.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from harness import TOP, WORK, count, fresh, own_network, running, write_conf

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


class Lab(NamedTuple):
    """How ``lab.py`` runs a case of ``cases/media``: its options, lines of ``[media]``, more of the environment."""

    options: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


# They look at the daemon for a call by its Call-ID.
BY_CALL_ID = Lab(media=('call_key = "call-id"',))
DUAL_STACK = (
    *("--iface", "127.0.0.1", "--iface", "::1", "--listen", "udp:127.0.0.1:22060", "--listen", "udp:[::1]:22060"),
    *("--listen", "tcp:127.0.0.1:22060", "--listen", "ws:127.0.0.1:22080"),
)
MEDIA: dict[str, Lab] = {
    "c01": BY_CALL_ID,
    "c02": Lab(),
    "c03": Lab(),
    "c04": Lab(DUAL_STACK),
    "c05": Lab(("--iface", "internal/127.0.0.1", "--iface", "external/127.0.0.9"), ('interfaces = ["external ws wss", "internal all"]',)),
    "c08": Lab(),
    "c09": Lab(),
    "c11": Lab(media=("delete_delay = 3", 'call_key = "call-id"')),
    "c12": BY_CALL_ID,
    "c13": BY_CALL_ID,
    "c14": BY_CALL_ID,
    "c15": Lab(),
    "c17": Lab(),
    "c19": BY_CALL_ID,
    "c20": BY_CALL_ID,
    "c22": Lab(media=('media_address = "127.0.0.7"',)),
    "c23": Lab(("--lo", "42000", "--hi", "42003")),
    "c24": Lab(),
    "v1": Lab(),
}
SLOW = {"c19": Lab(media=BY_CALL_ID.media, environment=(("LONG", "1"),))}

LEFT_OUT = {
    "s0": "it prints what is asked and has no verdict (tests/flows/test_flag_words.py has), and reads from a folder that isn't shared",
    "s1": "it stages troubles and prints what is said of them, without a verdict",
}
"""Cases of ``cases/media`` that aren't run, and why."""


def run_sip(run: Path, only: str, slow: bool) -> tuple[int, int, list[str]]:
    """(passed, failed, names of those that failed) of ``cases/sip``."""
    work = fresh(WORK / "cases")
    conf = write_conf(work, SETTINGS, USERS)
    command = [sys.executable, "-B", run, "--target", "127.0.0.1:5060", "--ws", "127.0.0.1:8080", "--domain", DOMAIN]
    command += (["--only", only] if only else []) + (["--slow"] if slow else [])
    with running(work, conf, media=False):
        said = _said(command, work / "sip.log")
        return *(count(said) or (0, 1)), re.findall(r"^FAIL +([ck]\d+)_", said, re.M)


def run_media(folder: Path, case: str, how: Lab) -> tuple[int, int]:
    """(passed, failed) of one case of ``cases/media``; tried again where it said nothing, since the lab waits 15 s for a server and no
    longer, which a machine that is busy with other things may not keep.
    """
    for _ in range(2):
        passed, failed = run_lab(folder, case, how)
        if passed or failed:
            return passed, failed
    return 0, 1


def run_lab(folder: Path, case: str, how: Lab) -> tuple[int, int]:
    """(passed, failed) of one run, by its lines."""
    (program,) = folder.glob(f"{case}_*.py")
    work = fresh(WORK / "cases" / case)
    command = [sys.executable, "-B", folder / "lab.py", "--main", TOP, "--work", work, *how.options]
    command += (["--media", "\n".join(how.media)] if how.media else []) + [program]
    said = _said(command, work / "said.log", dict(how.environment)).splitlines()
    passed = sum(line.startswith("PASS ") for line in said)
    failed = sum(line.startswith(("FAIL ", "TIMEOUT ", "Traceback ")) for line in said)
    return passed, failed


def _said(command: list[str | Path], log: Path, environment: dict[str, str] | None = None) -> str:
    """What a program prints, shown and kept."""
    asked = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env={**os.environ, **(environment or {})}
    )
    assert asked.stdout is not None
    said = []
    with log.open("w", encoding="utf-8") as file:
        for line in asked.stdout:
            said.append(line)
            file.write(line)
            print(line, end="", flush=True)
    asked.wait()
    return "".join(said)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, default=TOP.parent / "shared" / "cases")
    parser.add_argument("--only", default="", help="comma-separated names, as c01,c12; media:c01 is one of cases/media")
    parser.add_argument("--slow", action="store_true", help="those that take minutes too")
    options = parser.parse_args()
    folder = options.cases.resolve()
    if not (folder / "sip" / "run.py").exists() and not (folder / "media" / "lab.py").exists():
        sys.exit(f"{folder} has neither sip/run.py nor media/lab.py")
    own_network()
    only = [name for name in options.only.split(",") if name]
    media = [name.removeprefix("media:") for name in only if name.startswith("media:")]
    sip = [name for name in only if not name.startswith("media:")]
    passed = failed = 0
    wrong: list[str] = []
    if (folder / "sip" / "run.py").exists() and (sip or not only):
        passed, failed, wrong = run_sip(folder / "sip" / "run.py", ",".join(sip), options.slow)
    else:
        fresh(WORK / "cases")
    if (folder / "media" / "lab.py").exists() and (media or not only):
        for case, how in MEDIA.items():
            if not only or case in media:
                good, bad = run_media(folder / "media", case, SLOW.get(case, how) if options.slow else how)
                passed, failed = passed + good, failed + bad
                wrong += [f"media:{case}"] if bad else []
        if not only:
            for case, why in LEFT_OUT.items():
                print(f"      {case} isn't run: {why}")
    if wrong:
        print(f"not passed: {','.join(wrong)}")
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0 or not passed)


if __name__ == "__main__":
    sys.exit(main())
