"""``sipnode doctor``: is all as it should be? ``sipnode doctor media``: what is wrong with rtpengine?"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING

from sipnode import config
from sipnode.cli.common import conf_option

if TYPE_CHECKING:
    from sipnode.cli.common import Commands

STALE = 180.0


def add(commands: Commands) -> None:
    """Add the command."""
    text = "what is wrong here?"
    doctor = commands.add_parser(
        "doctor",
        help=text,
        description="looks in three seconds at the configuration, DNS, certificates, addresses, listeners, rtpengine, database, clock and "
        "kernel; each line says what was found, and what is wrong (✘) has the line to type. Exit status 1 when something is.",
    )
    doctor.add_argument("--json", action="store_true", help="a list of objects with check, ok, value and do")
    doctor.add_argument("--stun", default="", metavar="HOST[:PORT]", help="ask this server for our public address")
    conf_option(doctor)
    doctor.set_defaults(run=_everything)
    kinds = doctor.add_subparsers(metavar="WHAT")
    media = kinds.add_parser("media", help="the nodes of [media]", description="asks each media node, and looks at those of this machine")
    media.add_argument("--stale", type=float, default=STALE, metavar="SECONDS", help="an offer without an answer is too old (default 180)")
    # What was said before the word "media" counts too.
    media.add_argument("-c", "--conf", default=argparse.SUPPRESS, help=f"folder with {config.FILE_NAME}, or the file (default conf)")
    media.set_defaults(run=_media)


def _everything(options: argparse.Namespace) -> int:
    from twisted.internet import reactor

    from sipnode.check.diagnosis import diagnose

    lines = diagnose(options.conf, reactor, options.stun)
    if options.json:
        print(json.dumps([{"check": one.matter, "ok": one.ok, "value": one.value, "do": one.remedy} for one in lines], indent=1))
        return 0 if all(one.ok for one in lines) else 1
    good, bad = _marks()
    for one in lines:
        print(f"{good if one.ok else bad} {one.matter}: {one.value}")
        if not one.ok:
            print(f"    {one.remedy}")
    return 0 if all(one.ok for one in lines) else 1


def _marks() -> tuple[str, str]:
    try:
        "✔✘".encode(sys.stdout.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return "ok", "NO"
    return "✔", "✘"


def _media(options: argparse.Namespace) -> int:
    from sipnode.check.doctor import examine

    settings = config.load(options.conf)
    if not settings.media.nodes:
        print("[media] nodes is empty: SDP passes untouched, and there is no node to look at")
        return 0
    wrong = 0
    for report in examine(settings, config.find(options.conf).parent, options.stale, time.time()):
        print(f"{report.place}: {report.about[0] if report.about else 'no answer that can be used'}")
        for line in report.about[1:]:
            print(f"  {line}")
        for trouble in report.troubles:
            print(f"  WRONG: {trouble.what}\n     DO: {trouble.remedy}")
        if not report.troubles:
            print("  nothing is wrong")
        wrong += len(report.troubles)
    return 1 if wrong else 0
