"""``sipnode tls``: look at TLS from outside."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from sipnode.transport.probe import look, report

if TYPE_CHECKING:
    from sipnode.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    tls = commands.add_parser("tls", help="look at TLS").add_subparsers(required=True, metavar="ACTION")
    probe = tls.add_parser("probe", help="what a TLS port shows", description="chain, names, dates, who objects to what")
    probe.add_argument("address", metavar="HOST:PORT", type=_address)
    probe.add_argument("--name", default="", help="the domain that it should stand for; else HOST")
    probe.add_argument("--ca", default="", metavar="FILE", help="PEM file of the authorities to trust; else the system's")
    probe.set_defaults(run=_probe)


def _probe(options: argparse.Namespace) -> int:
    host, port = options.address
    text, good = report(look(host, port, options.name, options.ca), options.name or host, time.time())
    print(text)
    return 0 if good else 1


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError("write HOST:PORT, IPv6 in brackets")
    return host.strip("[]"), int(port)
