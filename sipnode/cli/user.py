"""``sipnode user``: who may sign in."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sipnode import config
from sipnode.cli.common import conf_option, password_of, refuse, state_folder, warn
from sipnode.errors import ConfigError
from sipnode.lifecycle.domains import strangers
from sipnode.storage import users
from sipnode.storage.factory import UserTable, user_table

if TYPE_CHECKING:
    from sipnode.cli.common import Commands
    from sipnode.settings import Settings


def add(commands: Commands) -> None:
    """Add the command."""
    actions = commands.add_parser("user", help="who may sign in").add_subparsers(required=True, metavar="ACTION")
    for name, run, text in (
        ("add", _add, "a new user; asks for the password"),
        ("passwd", _passwd, "another password for a user"),
        ("remove", _remove, "a user that may not sign in any more"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("address", metavar="USER@DOMAIN")
        conf_option(action)
        if run is not _remove:
            action.add_argument("--password-stdin", action="store_true", help="read the password from the first line of standard input")
        action.set_defaults(run=run)
    action = actions.add_parser("list", help="all users", description="all users, or those of one domain")
    action.add_argument("domain", nargs="?", default="")
    conf_option(action)
    action.set_defaults(run=_list)


def _table(options: argparse.Namespace) -> tuple[Settings, UserTable]:
    settings = config.load(options.conf)
    if settings.auth.backend != "store":
        reason = f"users are looked up by the plugin {settings.auth.backend!r}, which has its own way to make them"
        raise config.placed(ConfigError(reason, key="auth.backend"), options.conf)
    return settings, user_table(settings.storage.url, str(state_folder(settings, options.conf)))


def _add(options: argparse.Namespace) -> int:
    name, domain = users.split_user(options.address)
    settings, table = _table(options)
    if any(user.username == name for user in table.list(domain)):
        return refuse(f"user {name}@{domain} exists; `sipnode user passwd` gives it another password")
    table.add(name, domain, password_of(options.password_stdin))
    print(f"user {name}@{domain} made; it may sign in with user name {name} and its password")
    for reason in strangers(settings, [domain]):
        warn(str(config.placed(ConfigError(reason, key="core.domains"), options.conf)))
    return 0


def _passwd(options: argparse.Namespace) -> int:
    name, domain = users.split_user(options.address)
    _, table = _table(options)
    if not any(user.username == name for user in table.list(domain)):
        return refuse(f"there is no user {name}@{domain}")
    table.set_password(name, domain, password_of(options.password_stdin))
    return 0


def _remove(options: argparse.Namespace) -> int:
    _table(options)[1].remove(*users.split_user(options.address))
    return 0


def _list(options: argparse.Namespace) -> int:
    for user in _table(options)[1].list(options.domain):
        print(f"{user.username}@{user.domain}")
    return 0
