"""All commands under one parser, and how each of them ends."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sipnode import __version__, config, native
from sipnode.cli import check, conf, console, demo, doctor, files, init, insight, replay, running, store, tls, top, user
from sipnode.cli.common import refuse
from sipnode.errors import ConfigError, SipnodeError

ROOMS = (init, user, check, doctor, conf, store, running, insight, top, replay, console, tls, files, demo)
"""In the order in which ``sipnode --help`` has their commands."""


def run(arguments: Sequence[str] | None) -> int:
    """Run one command; the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except ConfigError as error:
        return refuse(str(config.placed(error, options.conf)) if getattr(options, "conf", "") else str(error))
    except SipnodeError as error:
        return refuse(str(error))
    except BrokenPipeError:
        # The reader of our output has seen enough.
        return 1
    except (KeyboardInterrupt, EOFError):
        return refuse("given up")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sipnode", description="The server itself is started by: twistd -n sipnode -c conf")
    parser.add_argument("--version", action="version", version=f"sipnode {__version__} ({native.kind()})")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for room in ROOMS:
        room.add(commands)
    return parser
