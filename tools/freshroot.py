"""A Debian 12 that nobody has used yet, in a folder: for the README's recipe and for what the image's build steps do.

Needs root and debootstrap. The bare system is kept as ``.work/bookworm.tar``; each use unpacks it anew. A command inside has a mount
namespace of its own, so that nothing stays mounted, and the network of this machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from harness import TOP, WORK, fresh

SUITE = "bookworm"
PACKAGES = "python3-venv,ca-certificates"
"""What "Python only" is; ca-certificates, as pip brings its own and Node has none."""
_KEPT = WORK / f"{SUITE}.tar"
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
# What tells clients on this machine how to reach the registries: names, addresses, authorities, proxies.
_NETWORK_FILES = ("/etc/resolv.conf", "/etc/hosts", _AUTHORITIES)
_NETWORK_WORDS = re.compile(r"(?i)(https?|no|all)_proxy|.*_CERTS?|.*_CA_BUNDLE|SSL_CERT_\w+|PIP_(CERT|DEFAULT_TIMEOUT|INDEX_URL)")
_LEFT_OUT = (".*", "node_modules", "__pycache__", "build", "dist", "_build", "*.egg-info", "_trial_temp*")


def why_not() -> str:
    """Why there can't be one here, "" where there can."""
    if os.geteuid():
        return "root is needed for a system of its own"
    return "" if shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin") else "not installed: debootstrap"


def make(folder: Path) -> Path:
    """A fresh system in that folder."""
    WORK.mkdir(exist_ok=True)
    fresh(folder)
    if not _KEPT.exists():
        new = fresh(WORK / f"{SUITE}.new")
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(new)]
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        with (WORK / "debootstrap.log").open("wb") as said:
            done = subprocess.run(command, stdout=said, stderr=said, check=False, env={**os.environ, "PATH": path})
        if done.returncode:
            sys.exit(f"debootstrap failed: {(WORK / 'debootstrap.log').read_text()[-800:]}")
        shutil.rmtree(new / "var/cache/apt", ignore_errors=True)
        subprocess.run(["tar", "-C", str(new), "-cf", f"{_KEPT}.part", "."], check=True)
        Path(f"{_KEPT}.part").rename(_KEPT)
        shutil.rmtree(new)
    subprocess.run(["tar", "-C", str(folder), "-xpf", str(_KEPT)], check=True)
    for name in _NETWORK_FILES:
        if Path(name).exists():
            shutil.copyfile(name, folder / name.lstrip("/"))
    return folder


def sources(target: Path) -> Path:
    """The sources as a checkout has them: nothing that is built, nothing that is installed."""
    shutil.copytree(TOP, target, symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    return target


def inside(root: Path, *command: str, home: str = "/root", **variables: str) -> list[str]:
    """The command line that runs a command in the system, in a folder of it.

    Args:
        home: The folder.
        variables: Of its environment, beside PATH, HOME and what the network needs.
    """
    environment = {
        "PATH": "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin", "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb",
        **{name: value for name, value in os.environ.items() if _NETWORK_WORDS.fullmatch(name)}, **variables,
    }  # fmt: skip
    script = (
        'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && root=$1 home=$2 && shift 2'
        ' && exec chroot "$root" env -C "$home" "$@"'
    )
    words = [f"{name}={value}" for name, value in environment.items()]
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", str(root), home, "-i", *words, *command]
