"""``sipnode check``: is the configuration right, and is there what it needs?"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from sipnode.cli.common import conf_option, warn

if TYPE_CHECKING:
    from sipnode.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    check = commands.add_parser("check", help="is the configuration right?", description="says every fault of a configuration")
    check.add_argument("--no-ports", action="store_true", help="don't look whether the ports are free, as where systemd holds them")
    check.add_argument("--offline", action="store_true", help="ask neither rtpengine nor DNS")
    conf_option(check)
    check.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    from twisted.internet import reactor

    from sipnode.check.run import check

    findings = check(options.conf, reactor, ports=not options.no_ports, ask=not options.offline)
    for text in findings.errors:
        print(text, file=sys.stderr)
    for text in findings.warnings:
        warn(text)
    if findings.errors:
        return 1
    print(f"{findings.path}: right")
    return 0
