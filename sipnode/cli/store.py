"""``sipnode db``: the tables of the store."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sipnode import config
from sipnode.cli.common import conf_option, state_folder
from sipnode.storage.initialize import init_database

if TYPE_CHECKING:
    from sipnode.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    database = commands.add_parser("db", help="the tables of the store").add_subparsers(required=True, metavar="ACTION")
    init = database.add_parser("init", help="make or complete the tables", description="a second run changes nothing")
    conf_option(init)
    init.set_defaults(run=_init)


def _init(options: argparse.Namespace) -> int:
    settings = config.load(options.conf)
    done = init_database(settings.storage.url, str(state_folder(settings, options.conf)))
    print("\n".join(done) or "nothing to do")
    return 0
