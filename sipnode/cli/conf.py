"""``sipnode conf``: the settings, all of them or those in force."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from sipnode import config
from sipnode.cli.common import conf_option, refuse

if TYPE_CHECKING:
    from sipnode.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    conf = commands.add_parser("conf", help="print the configuration", description="every setting; without -c all defaults, to start from")
    conf.add_argument("-c", "--conf", default="", help="the values of this folder or file (secrets masked)")
    conf.set_defaults(run=_conf)
    show = conf.add_subparsers(metavar="ACTION").add_parser(
        "show", help="explain it", description="every setting in force: value, default, where it comes from, meaning (secrets masked)"
    )
    show.add_argument("setting", nargs="?", default="", metavar="SECTION[.NAME]", help="only these")
    show.add_argument("--changed", action="store_true", help="only those that the file or the environment gives")
    conf_option(show)
    show.set_defaults(run=_show)


def _conf(options: argparse.Namespace) -> int:
    sys.stdout.write(config.render(config.masked(config.load(options.conf)) if options.conf else None))
    return 0


def _show(options: argparse.Namespace) -> int:
    wanted = [
        each
        for each in config.explained(options.conf)
        if (not options.setting or each.key == options.setting or each.key.startswith(f"{options.setting}."))
        and (each.place or not options.changed)
    ]
    if not wanted and options.setting:
        return refuse(f"there is no setting or section {options.setting!r}" + (" that is changed" if options.changed else ""))
    for each in wanted:
        print(f"{each.key} = {each.value}\n    default {each.default}\n    {each.place or 'not in the file'}\n    {each.meaning}")
    return 0
