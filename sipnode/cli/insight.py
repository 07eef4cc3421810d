"""``sipnode explain`` and ``sipnode ladder``: why a recorded call failed, and what happened in it; asked of the running server.

Where the server is down, calls that failed are found in ``[recorder] folder``. The invariant: nothing that a stranger put into a message
reaches the terminal as a control character.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sipnode import config
from sipnode.cli.common import conf_option, state_folder
from sipnode.cli.running import socket_of
from sipnode.errors import SipnodeError
from sipnode.insight.explain import explain, text
from sipnode.insight.export import FORMS
from sipnode.insight.keeping import Kept, Unreadable, mark_of
from sipnode.insight.shelf import Shelf
from sipnode.rpc import client
from sipnode.tables import clean

if TYPE_CHECKING:
    from sipnode.cli.common import Commands

NAMES: Final = ("text", "svg", "mermaid", "markdown", "json", "pcap")


def add(commands: Commands) -> None:
    """Add the commands."""
    text = "why a call failed, what to do about it, and what proves it"
    explain = commands.add_parser("explain", help="why a call failed", description=f"{text}; exit status 1 where it isn't recorded")
    explain.add_argument("call_id", metavar="CALL-ID", nargs="?", default="", help="without one, the last call that failed")
    explain.add_argument("--json", action="store_true", help="as JSON")
    explain.set_defaults(run=_explain)
    text = "what happened in a recorded call, secrets covered"
    ladder = commands.add_parser("ladder", help="what happened in a call", description=f"{text}; exit status 1 where it isn't recorded")
    ladder.add_argument("call_id", metavar="CALL-ID", nargs="?", default="", help="without one, the last call")
    ladder.add_argument("--format", choices=NAMES, default="text", help="text as it comes; markdown is a report, pcap is for Wireshark")
    ladder.add_argument("--output", metavar="FILE", default="", help="where to write it; a pcap has to be written to a file or a pipe")
    ladder.set_defaults(run=_ladder)
    for command in (explain, ladder):
        command.add_argument("--socket", default="", metavar="PATH", help="of the server's UNIX socket; else as the configuration says")
        conf_option(command)


def _last(caller: client.Caller, call_id: str, search: str) -> str:
    """That Call-ID, or the last one of the list.

    Raises:
        SipnodeError: there is none.
    """
    if call_id:
        return call_id
    rows: list[dict[str, Any]] = caller.call("recorder.list", [1, search])
    if not rows:
        if not caller.call("recorder.state", [])["on"]:
            raise SipnodeError("nothing is recorded: [recorder] enabled is false")
        raise SipnodeError("no call that failed is recorded" if search == "problems" else "no call is recorded")
    return str(rows[0]["call_id"])


def _caller(options: argparse.Namespace) -> client.Caller | Kept:
    """The running server; where there is none, the record of the call, or of the last one, in ``[recorder] folder``.

    Raises:
        SipnodeError: there is neither.
    """
    try:
        return client.Caller(socket_of(options))
    except client.Refused as refused:
        settings = None if options.socket else config.load(options.conf)
        if settings is None or not settings.recorder.folder:
            raise
        shelf = Shelf(state_folder(settings, options.conf) / settings.recorder.folder)
        try:
            wanted = mark_of(options.call_id) if options.call_id else ""
            names = [file.name for file in shelf.listed() if wanted in file.name]
            if not names:
                raise SipnodeError(f"{refused}; nor is the call in [recorder] folder")
            return shelf.read(names[-1])
        except (OSError, Unreadable) as fault:
            raise SipnodeError(f"{refused}; nor can [recorder] folder be read: {fault}") from None


def _explain(options: argparse.Namespace) -> int:
    caller = _caller(options)
    if isinstance(caller, Kept):
        found = explain(caller.story, caller.around)
        print(json.dumps(found, indent=2) if options.json else _harmless(text(found)))
        return 0
    with caller:
        call_id = _last(caller, options.call_id, "problems")
        if options.json:
            answer: dict[str, Any] = caller.call("sipnode.explain", [call_id])
            print(json.dumps(answer, indent=2))
            return 0 if answer["recorded"] else 1
        export: dict[str, Any] = caller.call("recorder.export", [call_id, "explanation"])
    return _show(export)


def _ladder(options: argparse.Namespace) -> int:
    if options.format == "pcap" and not options.output and sys.stdout.isatty():
        raise SipnodeError("a pcap is no text: --output FILE, or a pipe, as in: sipnode ladder CALL-ID --format pcap | tshark -r -")
    caller = _caller(options)
    if isinstance(caller, Kept):
        export: dict[str, Any] = {**FORMS[options.format](caller.story, caller.around)}
    else:
        with caller:
            export = caller.call("recorder.export", [_last(caller, options.call_id, "invite"), options.format])
    if not export["found"]:
        return _show(export)
    data = base64.b64decode(export["text"]) if export["base64"] else (_harmless(export["text"]) + "\n").encode()
    if options.output:
        try:
            Path(options.output).write_bytes(data)
        except OSError as error:
            raise SipnodeError(f"{options.output}: {error.strerror or error}") from None
        return 0
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return 0


def _show(export: dict[str, Any]) -> int:
    if not export["found"]:
        print(f"sipnode: {clean(export['text'])}", file=sys.stderr)
        return 1
    print(_harmless(export["text"]))
    return 0


def _harmless(text: str) -> str:
    """Lines without anything that a terminal would obey, whatever the server said."""
    return "\n".join(map(clean, text.split("\n")))
