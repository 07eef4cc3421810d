"""``sipnode files``: prints a file that the package carries, for those who have no checkout."""

from __future__ import annotations

import argparse
import sys
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from sipnode.cli.common import refuse

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from sipnode.cli.common import Commands

WHAT: Final = {
    "sipnode.service": "a unit for systemd",
    "sipnode.socket": "its sockets, so that nothing is refused between two processes",
    "grafana.json": "a dashboard of the metrics",
    "tls.cfg": "certificates of the tls: and wss: listeners, every key explained",
    "kubernetes.yaml": "a Deployment with its Service",
}
"""Each file and what it is."""


def add(commands: Commands) -> None:
    """Add the command."""
    listing = "\n".join(f"  {name:16} {text}" for name, text in WHAT.items())
    parser = commands.add_parser(
        "files", help="print a systemd unit, a dashboard …", description=f"print one of these, or without NAME this list:\n\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("name", nargs="?", default="", metavar="NAME")
    parser.set_defaults(run=_files)


def place(name: str) -> Traversable:
    """Where the file is."""
    return files("sipnode") / "files" / name


def _files(options: argparse.Namespace) -> int:
    if not options.name:
        for name, text in WHAT.items():
            print(f"{name:16} {text}")
        return 0
    if options.name not in WHAT:
        return refuse(f"there is no file {options.name!r}; there are {', '.join(WHAT)}")
    sys.stdout.write(place(options.name).read_text("utf-8"))
    return 0
