"""``sipnode console-password``: a line for ``[console] users``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sipnode.cli.common import password_of
from sipnode.console.members import ADMIN, VIEWER, hashed
from sipnode.errors import SipnodeError
from sipnode.forms import member

if TYPE_CHECKING:
    from sipnode.cli.common import Commands

LEAST: int = 8


def add(commands: Commands) -> None:
    """Add the command."""
    text = "a line for [console] users, with the hash of a password"
    command = commands.add_parser("console-password", help="who may use the console", description=f"{text}; asks for the password")
    command.add_argument("name", metavar="NAME", help="what its user signs in with; no @ in it")
    command.add_argument("--role", choices=(VIEWER, ADMIN), default=VIEWER, help="a viewer sees, an admin may act, too")
    command.add_argument("--password-stdin", action="store_true", help="read the password from the first line of standard input")
    command.set_defaults(run=_line)


def _line(options: argparse.Namespace) -> int:
    password = password_of(options.password_stdin)
    if len(password) < LEAST:
        raise SipnodeError(f"a password of the console has at least {LEAST} characters")
    line = f"{options.name} {options.role} {hashed(password)}"
    try:
        member(line)
    except ValueError:
        raise SipnodeError("a name has up to 64 characters, none of them a space or @") from None
    print(f'users = ["{line}"]' if '"' not in line and "\\" not in line else f"users = ['{line}']")
    return 0
