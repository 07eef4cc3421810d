"""The two processes of a demo: their command lines, and a handle that starts and surely ends one.

The command line of rtpengine is that of a relay for tests: userspace forwarding, its own ports, nothing from /etc.
"""

from __future__ import annotations

import ctypes
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def rtpengine_command(interface: str, ng: str, ports: tuple[int, int], log_level: int = 6) -> list[str]:
    """How to start an rtpengine that relays on ``interface`` and is driven at ``ng`` ('127.0.0.1:2223')."""
    return [
        shutil.which("rtpengine", path=_PATH) or "rtpengine",
        "--config-file=none",  # the packaged /etc/rtpengine/rtpengine.conf would be read as well
        "--foreground",
        "--log-stderr",
        f"--log-level={log_level}",
        "--table=-1",
        f"--interface={interface}",
        f"--listen-ng={ng}",
        f"--port-min={ports[0]}",
        f"--port-max={ports[1]}",
        "--delete-delay=0",  # a call that has ended is gone at once, not after 30 s
        "--num-threads=2",
        "--timeout=60",
    ]


def server_command(conf: Path, python: str = sys.executable) -> list[str]:
    """``twistd -n sipnode -c CONF`` of this very environment, or of that of another Python."""
    twistd = Path(python).with_name("twistd")
    start = [str(twistd)] if twistd.exists() else [python, "-c", "from twisted.scripts.twistd import run; run()"]
    return [*start, "-n", "--pidfile=", "sipnode", "-c", str(conf)]


class Part:
    """One process of ours.

    Args:
        name: For people.
        command: Its command line.
        log: Where its output goes; earlier content is replaced.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in a process group of its own, so that Ctrl-C reaches only us.

        Raises:
            OSError: It isn't installed.
        """
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, preexec_fn=_die_with_parent
            )

    def running(self) -> bool:
        """Whether it was started and hasn't ended."""
        return self.process is not None and self.process.poll() is None

    def wait_ready(self, answers: Callable[[], bool], seconds: float) -> bool:
        """Ask until it answers; False when it has ended or the time is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.running():
            if answers():
                return True
            time.sleep(0.05)
        return False

    def stop(self, seconds: float = 8.0) -> None:
        """End it: politely, once more for one that first ends what it has begun, then surely."""
        if self.process is None:
            return
        for patience in (1.0, seconds):
            if self.process.poll() is None:
                self.process.terminate()
                try:
                    self.process.wait(patience)
                except subprocess.TimeoutExpired:
                    continue
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        try:
            return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])
        except OSError:
            return ""


# A user's PATH often lacks the folders where Debian keeps its servers.
_PATH = ":".join(("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"))


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
