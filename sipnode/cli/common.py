"""The common part of the commands: the option ``-c``, words to the terminal, where a server's files are."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sipnode import config
from sipnode.errors import SipnodeError

if TYPE_CHECKING:
    from sipnode.settings import Settings

    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def conf_option(parser: argparse.ArgumentParser) -> None:
    """Add ``-c``."""
    parser.add_argument("-c", "--conf", default="conf", help=f"folder with {config.FILE_NAME}, or the file (default conf)")


def refuse(reason: str) -> int:
    """Say why not; the exit status for it."""
    print(f"sipnode: {reason}", file=sys.stderr)
    return 1


def warn(text: str) -> None:
    """Say what isn't as it should be, and go on."""
    print(f"warning: {text}", file=sys.stderr)


def state_folder(settings: Settings, conf: str) -> Path:
    """Where the server of ``-c conf`` keeps its state."""
    return config.state_folder(settings, config.find(conf).parent)


def password_of(from_stdin: bool) -> str:
    """A password, typed twice, or the first line of standard input.

    Raises:
        SipnodeError: the two aren't the same.
    """
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        raise SipnodeError("the two passwords differ")
    return first
