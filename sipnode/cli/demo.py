"""``sipnode demo``: a server, its rtpengine and two users to try."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipnode.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    demo = commands.add_parser("demo", help="a server, its rtpengine and two users to try", description="what `make run` runs")
    demo.add_argument("--folder", default=".demo", help="where it keeps its files (default .demo)")
    demo.add_argument("--host", default="127.0.0.1", help="address of this machine to listen on; beyond loopback over https")
    demo.add_argument("--sip-port", type=_port, default=5060)
    demo.add_argument("--http-port", type=_port, default=0, help="default 8080, with https 8443")
    demo.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    from sipnode.demo.run import run

    return run(options.folder, options.host, options.sip_port, options.http_port)


def _port(text: str) -> int:
    if not (text.isdigit() and 1 <= int(text) <= 65534):
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65534")
    return int(text)
