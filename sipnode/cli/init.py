"""``sipnode init``: a first configuration, what is missing to it, and what to type next.

Invariant: a folder that has a configuration is left as it is, and what is written is either the whole file or nothing.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sipnode import config, forms
from sipnode.demo import probes
from sipnode.errors import SipnodeError

if TYPE_CHECKING:
    from sipnode.cli.common import Commands

NG_HOST, NG_PORT = "127.0.0.1", 2223
"""Where rtpengine is looked for: where Debian's package listens."""
_SIP, _HTTP = 5060, 8080
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def add(commands: Commands) -> None:
    """Add the command."""
    text = "a first configuration for a domain"
    init = commands.add_parser("init", help=text, description=f"writes {text}, says what is missing and what to type next")
    init.add_argument("domain", metavar="DOMAIN", type=_domain, help="what stands behind the @ of your users")
    init.add_argument("-c", "--conf", default="conf", metavar="FOLDER", help="where to write it (default conf)")
    init.add_argument("--host", type=_address, default="127.0.0.1", metavar="ADDRESS", help="of this machine to listen on, else loopback")
    init.set_defaults(run=_init)


def text_for(domain: str, host: str, relay: bool) -> str:
    """The file: only what differs from the defaults, and comments on what comes next.

    Args:
        host: An IP literal to listen on.
        relay: An rtpengine answers at :data:`NG_HOST`.
    """
    place = f"[{host}]" if ":" in host else host
    lines = config.toml_value((f"udp:{place}:{_SIP}", f"tcp:{place}:{_SIP}", f"ws:{place}:{_HTTP}"))
    alone = ipaddress.ip_address(host).is_loopback
    mark, shown = ("#", '["udp:192.0.2.7:5060", "tcp:192.0.2.7:5060", "wss:192.0.2.7:8443"]') if alone else ("", lines)
    return f"""\
# sipnode for {domain}: only what differs from the defaults.
#   sipnode conf            prints every setting with its default and its meaning, to take lines from
#   sipnode conf show       says what is in force, and where it comes from
#   sipnode check           says what is wrong or missing

[core]
# Users of these domains register here.
domains = {config.toml_value((domain,))}
# {"This machine alone can reach it as it comes. For a network:" if alone else "Where it listens; wss: for the page over https."}
{mark}listen = {shown}

# An rtpengine joins browsers and phones; without one phones talk to phones, and browsers to browsers.
{"" if relay else "#"}[media]
{"" if relay else "#"}nodes = ["{NG_HOST}:{NG_PORT}"]

# TLS, for wss: and tls: lines above. `sipnode files tls.cfg` prints such a file; relative to this folder.
#[tls]
#config = "tls.cfg"
"""


def missing(domain: str, host: str, relay: bool, installed: bool, file: Path) -> list[str]:
    """Parts that the configuration still lacks, and how to get them; a paragraph each.

    Args:
        installed: There is an rtpengine on this machine, whether it runs or not.
    """
    found = []
    if not relay:
        first = "is installed and doesn't answer" if installed else "isn't here; on Debian: apt-get install rtpengine-daemon"
        found.append(
            f"rtpengine, without which browsers and phones can't talk to each other, {first}.\n"
            f"    Have it listen on {NG_HOST}:{NG_PORT} (listen-ng), then take the # from [media] in {file}."
        )
    if ipaddress.ip_address(host).is_loopback:
        found.append(
            f"a certificate for {domain}, once others than this machine use the page: browsers give the microphone to https alone.\n"
            f"    From certbot or your own authority; name it in what `sipnode files tls.cfg` prints, and listen with wss:."
        )
    else:
        found.append(
            f"a certificate for {domain}: browsers give the microphone to https alone, and so not to http://{host}.\n"
            f"    From certbot or your own authority; name it in what `sipnode files tls.cfg` prints, and change ws: to wss: in {file}."
        )
    return found


def _init(options: argparse.Namespace) -> int:
    folder = Path(options.conf)
    file = folder / config.FILE_NAME
    relay = probes.media_relay(NG_HOST, NG_PORT)
    installed = shutil.which("rtpengine", path=os.pathsep.join((os.environ.get("PATH", ""), *_SBIN))) is not None
    _write(file, text_for(options.domain, options.host, relay))
    conf = shlex.quote(options.conf)
    place = f"[{options.host}]" if ":" in options.host else options.host
    print(f"{file} is written. Next:\n\n  sipnode user add erika@{options.domain} -c {conf}\n  twistd -n sipnode -c {conf}\n")
    print(f"Then a phone registers as erika@{options.domain} at {place}:{_SIP} (UDP or TCP), and the page is at http://{place}:{_HTTP}/.")
    print("\nStill missing:")
    for paragraph in missing(options.domain, options.host, relay, installed, file):
        print(f"  - {paragraph}")
    return 0


def _write(file: Path, text: str) -> None:
    if file.exists() or file.is_symlink():
        raise SipnodeError(f"{file} is there already, and stays as it is; name another folder with -c")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise SipnodeError(f"{file} can't be written: {error.strerror}") from None


def _domain(text: str) -> str:
    domain = text.lower().rstrip(".")
    try:
        forms.domain(domain)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return domain


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no IP address of this machine") from None
