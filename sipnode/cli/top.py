"""``sipnode top``: the recorder's calls in the terminal, with sngrep's keys."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from sipnode.cli.common import conf_option
from sipnode.cli.running import socket_of
from sipnode.errors import SipnodeError

if TYPE_CHECKING:
    from sipnode.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    text = "watch the calls: a list, the ladder of each, its messages, and what differs between two; keys as sngrep has them"
    top = commands.add_parser("top", help="watch the calls in the terminal", description=text)
    top.add_argument("search", metavar="WORD", nargs="*", help="only calls that all of these fit, such as: problems, live, alice")
    top.add_argument("--socket", default="", metavar="PATH", help="of the server's UNIX socket; else as the configuration says")
    top.set_defaults(run=_top)
    conf_option(top)


def _top(options: argparse.Namespace) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise SipnodeError("this is no terminal; sipnode ladder and sipnode explain write text")
    # Not every Python has curses, and nothing else needs it.
    try:
        import curses
    except ImportError:
        raise SipnodeError("this Python has no curses") from None

    from sipnode.top.model import Model
    from sipnode.top.session import Session
    from sipnode.top.terminal import run

    session = Session(Model(search=" ".join(options.search)), socket_of(options))
    try:
        off = session.check()
        if off:
            raise SipnodeError(off)
        run(session)
    except curses.error as error:
        raise SipnodeError(f"TERM={os.environ.get('TERM', '')}: {error}") from None
    finally:
        session.close()
    return 0
