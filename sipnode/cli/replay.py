"""``sipnode replay`` and ``sipnode test-from``: a recorded call through another routing script, and as a test."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sipnode import config
from sipnode.cli.common import conf_option
from sipnode.cli.running import socket_of
from sipnode.errors import SipnodeError
from sipnode.rpc import client
from sipnode.tables import clean

if TYPE_CHECKING:
    from sipnode.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the commands."""
    text = "play a recorded call through a routing script, in memory and in virtual time, and show how what was sent differs"
    replay = commands.add_parser(
        "replay", help="a recorded call through another script", description=f"{text}; exit status 1 where it does"
    )
    replay.add_argument(
        "--with", dest="script", metavar="FILE[:CLASS]", default="", help="a routing script; else that of the configuration"
    )
    replay.set_defaults(run=_replay)
    text = "write a test of a recorded call, in the words of sipnode.testing"
    test = commands.add_parser("test-from", help="a recorded call as a test", description=text)
    test.add_argument("--output", metavar="FILE", default="", help="where to write it; else standard output")
    test.set_defaults(run=_test_from)
    for command in (replay, test):
        command.add_argument("call", metavar="CALL", help="Call-ID, or a file that 'sipnode ladder --format json' has written")
        command.add_argument("--socket", default="", metavar="PATH", help="of the server's UNIX socket; else as the configuration says")
        conf_option(command)


def _story(options: argparse.Namespace) -> dict[str, Any]:
    """The story of the call: of a file, or asked of the running server.

    Raises:
        SipnodeError: the file has none.
    """
    path = Path(options.call)
    if path.suffix == ".json" and path.is_file():
        try:
            found = json.loads(path.read_text("utf-8"))["story"]
            for name in ("recorded", "events", "lanes", "whole", "call_id", "why_not"):
                found[name]
        except (OSError, ValueError, KeyError, TypeError):
            raise SipnodeError(f"{path} is no call as 'sipnode ladder --format json' writes it") from None
    else:
        with client.Caller(socket_of(options)) as caller:
            found = caller.call("recorder.get", [options.call])
    story: dict[str, Any] = found
    return story


def _replay(options: argparse.Namespace) -> int:
    # The server is imported by those alone who play a call.
    from sipnode.replay.load import script_of
    from sipnode.replay.play import difference, play
    from sipnode.replay.scene import scene_of

    before = scene_of(_story(options))
    settings = config.load(options.conf)
    after, faults = play(before, script_of(options.script, settings.routing.script, config.find(options.conf).parent), settings)
    lines = difference(before, after)
    for line in lines or ["what was sent is the same"]:
        print(clean(line))
    for fault in faults:
        print(f"not played: {clean(fault)}")
    return 1 if lines else 0


def _test_from(options: argparse.Namespace) -> int:
    from sipnode.replay.code import code
    from sipnode.replay.scene import scene_of

    text = code(scene_of(_story(options)))
    if not options.output:
        print(text, end="")
        return 0
    try:
        Path(options.output).write_text(text, "utf-8")
    except OSError as error:
        raise SipnodeError(f"{options.output}: {error.strerror or error}") from None
    return 0
