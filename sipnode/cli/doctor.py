"""``sipnode doctor media``: what is wrong with rtpengine?"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from sipnode import config
from sipnode.cli.common import conf_option

if TYPE_CHECKING:
    from sipnode.cli.common import Commands

STALE = 180.0


def add(commands: Commands) -> None:
    """Add the command."""
    text = "what is wrong with rtpengine?"
    doctor = commands.add_parser("doctor", help=text, description=f"{text} Exit status 1 when something is.")
    kinds = doctor.add_subparsers(required=True, metavar="WHAT")
    media = kinds.add_parser("media", help="the nodes of [media]", description="asks each media node, and looks at those of this machine")
    media.add_argument("--stale", type=float, default=STALE, metavar="SECONDS", help="an offer without an answer is too old (default 180)")
    conf_option(media)
    media.set_defaults(run=_media)


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
