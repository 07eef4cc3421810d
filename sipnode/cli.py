"""The console script ``sipnode``: users, a look at the configuration, the demo. Each command calls one room.

Exit status: 0 done, 1 refused with a reason on stderr, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import getpass
import sys
import time
from collections.abc import Sequence

from sipnode import __version__, config
from sipnode.errors import ConfigError, SipnodeError
from sipnode.rpc import client
from sipnode.storage import users
from sipnode.storage.factory import UserTable, user_table
from sipnode.storage.initialize import init_database
from sipnode.transport.probe import look, report


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except ConfigError as error:
        return _refuse(str(config.placed(error, options.conf)) if "conf" in options else str(error))
    except SipnodeError as error:
        return _refuse(str(error))
    except (KeyboardInterrupt, EOFError):
        return _refuse("given up")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sipnode", description="The server itself is started by: twistd sipnode -c conf")
    parser.add_argument("--version", action="version", version=f"sipnode {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    user = commands.add_parser("user", help="who may sign in").add_subparsers(required=True, metavar="ACTION")
    for name, run, text in (
        ("add", _user_add, "a new user; asks for the password"),
        ("passwd", _user_passwd, "another password for a user"),
        ("remove", _user_remove, "a user that may not sign in any more"),
    ):
        action = user.add_parser(name, help=text, description=text)
        action.add_argument("address", metavar="USER@DOMAIN")
        _conf_option(action)
        if run is not _user_remove:
            action.add_argument("--password-stdin", action="store_true", help="read the password from the first line of standard input")
        action.set_defaults(run=run)
    action = user.add_parser("list", help="all users", description="all users, or those of one domain")
    action.add_argument("domain", nargs="?", default="")
    _conf_option(action)
    action.set_defaults(run=_user_list)

    check = commands.add_parser("check", help="is the configuration right?", description="says every fault of a configuration")
    check.add_argument("--no-ports", action="store_true", help="don't look whether the ports are free, as where systemd holds them")
    _conf_option(check)
    check.set_defaults(run=_check)

    conf = commands.add_parser("conf", help="print the configuration", description="every setting; without -c all defaults, to start from")
    conf.add_argument("-c", "--conf", default="", help="the values of this folder or file (secrets masked)")
    conf.set_defaults(run=_conf)
    show = conf.add_subparsers(metavar="ACTION").add_parser(
        "show", help="explain it", description="every setting in force: value, default, file and line, meaning (secrets masked)"
    )
    show.add_argument("setting", nargs="?", default="", metavar="SECTION[.NAME]", help="only these")
    show.add_argument("--changed", action="store_true", help="only those that the file gives")
    _conf_option(show)
    show.set_defaults(run=_conf_show)

    database = commands.add_parser("db", help="the tables of the store").add_subparsers(required=True, metavar="ACTION")
    init = database.add_parser("init", help="make or complete the tables", description="a second run changes nothing")
    _conf_option(init)
    init.set_defaults(run=_db_init)

    tls = commands.add_parser("tls", help="look at TLS").add_subparsers(required=True, metavar="ACTION")
    probe = tls.add_parser("probe", help="what a TLS port shows", description="chain, names, dates, who objects to what")
    probe.add_argument("address", metavar="HOST:PORT", type=_address)
    probe.add_argument("--name", default="", help="the domain that it should stand for; else HOST")
    probe.add_argument("--ca", default="", metavar="FILE", help="PEM file of the authorities to trust; else the system's")
    probe.set_defaults(run=_tls_probe)

    rpc = commands.add_parser("rpc", help="ask or steer the running server", description="one method of the RPC; rpc.discover lists them")
    rpc.add_argument("method", metavar="METHOD", help="such as ul.dump")
    rpc.add_argument("arguments", nargs="*", metavar="ARG", help="s:TEXT is text whatever it looks like")
    rpc.add_argument("--json", action="store_true", help="the answer as JSON")
    rpc.add_argument("--socket", default="", metavar="PATH", help="of the server's UNIX socket; else as the configuration says")
    _conf_option(rpc)
    rpc.set_defaults(run=_rpc)

    demo = commands.add_parser("demo", help="a server, its rtpengine and two users to try", description="what `make run` runs")
    demo.add_argument("--folder", default=".demo", help="where it keeps its files (default .demo)")
    demo.add_argument("--host", default="127.0.0.1", help="address of this machine to listen on; beyond loopback over https")
    demo.add_argument("--sip-port", type=_port, default=5060)
    demo.add_argument("--http-port", type=_port, default=0, help="default 8080, with https 8443")
    demo.set_defaults(run=_demo)
    return parser


def _user_table(options: argparse.Namespace) -> UserTable:
    settings = config.load(options.conf)
    return user_table(settings.storage.url, str(config.state_folder(settings, config.find(options.conf).parent)))


def _db_init(options: argparse.Namespace) -> int:
    settings = config.load(options.conf)
    done = init_database(settings.storage.url, str(config.state_folder(settings, config.find(options.conf).parent)))
    print("\n".join(done) or "nothing to do")
    return 0


def _tls_probe(options: argparse.Namespace) -> int:
    host, port = options.address
    text, good = report(look(host, port, options.name, options.ca), options.name or host, time.time())
    print(text)
    return 0 if good else 1


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError("write HOST:PORT, IPv6 in brackets")
    return host.strip("[]"), int(port)


def _conf_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--conf", default="conf", help=f"folder with {config.FILE_NAME}, or the file (default conf)")


def _port(text: str) -> int:
    if not (text.isdigit() and 1 <= int(text) <= 65534):
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65534")
    return int(text)


def _refuse(reason: str) -> int:
    print(f"sipnode: {reason}", file=sys.stderr)
    return 1


def _user_add(options: argparse.Namespace) -> int:
    name, domain = users.split_user(options.address)
    table = _user_table(options)
    if any(user.username == name for user in table.list(domain)):
        return _refuse(f"user {name}@{domain} exists; `sipnode user passwd` gives it another password")
    table.add(name, domain, _password(options))
    return 0


def _user_passwd(options: argparse.Namespace) -> int:
    name, domain = users.split_user(options.address)
    table = _user_table(options)
    if not any(user.username == name for user in table.list(domain)):
        return _refuse(f"there is no user {name}@{domain}")
    table.set_password(name, domain, _password(options))
    return 0


def _user_remove(options: argparse.Namespace) -> int:
    _user_table(options).remove(*users.split_user(options.address))
    return 0


def _user_list(options: argparse.Namespace) -> int:
    for user in _user_table(options).list(options.domain):
        print(f"{user.username}@{user.domain}")
    return 0


def _password(options: argparse.Namespace) -> str:
    if options.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        raise SipnodeError("the two passwords differ")
    return first


def _check(options: argparse.Namespace) -> int:
    from twisted.internet import reactor

    from sipnode.check.run import check

    findings = check(options.conf, reactor, ports=not options.no_ports)
    for text in findings.errors:
        print(text, file=sys.stderr)
    for text in findings.warnings:
        print(f"warning: {text}", file=sys.stderr)
    if findings.errors:
        return 1
    print(f"{findings.path}: right")
    return 0


def _conf(options: argparse.Namespace) -> int:
    sys.stdout.write(config.render(config.masked(config.load(options.conf)) if options.conf else None))
    return 0


def _conf_show(options: argparse.Namespace) -> int:
    wanted = [
        each
        for each in config.explained(options.conf)
        if (not options.setting or each.key == options.setting or each.key.startswith(f"{options.setting}."))
        and (each.place or not options.changed)
    ]
    if not wanted and options.setting:
        return _refuse(f"there is no setting or section {options.setting!r}" + (" that the file changes" if options.changed else ""))
    for each in wanted:
        print(f"{each.key} = {each.value}\n    default {each.default}\n    {each.place or 'not in the file'}\n    {each.meaning}")
    return 0


def _rpc(options: argparse.Namespace) -> int:
    path = options.socket
    if not path:
        settings = config.load(options.conf)
        if not settings.rpc.socket:
            return _refuse("[rpc] socket is empty: the server has none")
        path = str(config.state_folder(settings, config.find(options.conf).parent) / settings.rpc.socket)
    return client.run(path, options.method, options.arguments, options.json)


def _demo(options: argparse.Namespace) -> int:
    from sipnode.demo.run import run

    return run(options.folder, options.host, options.sip_port, options.http_port)
