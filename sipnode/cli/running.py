"""``sipnode rpc`` and ``sipnode reload``: what is asked of the running server."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from sipnode import config
from sipnode.cli.common import conf_option, state_folder, warn
from sipnode.errors import SipnodeError
from sipnode.rpc import client

if TYPE_CHECKING:
    from sipnode.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the commands."""
    rpc = commands.add_parser("rpc", help="ask or steer the running server", description="one method of the RPC; rpc.discover lists them")
    rpc.add_argument("method", metavar="METHOD", help="such as ul.dump")
    rpc.add_argument("arguments", nargs="*", metavar="ARG", help="s:TEXT is text whatever it looks like")
    rpc.add_argument("--json", action="store_true", help="the answer as JSON")
    rpc.set_defaults(run=_rpc)
    text = "have the running server read its configuration anew"
    reload = commands.add_parser("reload", help=text, description=f"{text}; exit status 1 when a part of it was refused")
    reload.set_defaults(run=_reload)
    for command in (rpc, reload):
        command.add_argument("--socket", default="", metavar="PATH", help="of the server's UNIX socket; else as the configuration says")
        conf_option(command)


def socket_of(options: argparse.Namespace) -> str:
    if options.socket:
        return str(options.socket)
    settings = config.load(options.conf)
    if not settings.rpc.socket:
        raise SipnodeError("[rpc] socket is empty: the server has none")
    return str(state_folder(settings, options.conf) / settings.rpc.socket)


def _rpc(options: argparse.Namespace) -> int:
    return client.run(socket_of(options), options.method, options.arguments, options.json)


def _reload(options: argparse.Namespace) -> int:
    try:
        path = socket_of(options)
    except SipnodeError as fault:
        # The file may be at fault: then the server would say so too, and go on with what it has.
        raise SipnodeError(f"{fault}; nothing was read anew") from None
    with client.Caller(path) as caller:
        report: dict[str, Any] = caller.call("sipnode.reload", [])
    return told(report)


def told(report: dict[str, Any]) -> int:
    """Say what a reload did; the exit status, 1 where something was refused.

    Args:
        report: ``done``, ``refused`` and ``restart``, lists of texts.
    """
    for text in report["refused"]:
        print(f"sipnode: not taken: {text}", file=sys.stderr)
    if report["done"]:
        print(f"read anew: {'; '.join(report['done'])}")
    if report["restart"]:
        warn(f"these need a restart: {', '.join(report['restart'])}")
    return 1 if report["refused"] else 0
