"""Answers of others about the configuration: the media nodes and DNS, each asked once or twice with a short wait.

Nobody's silence stops a start, so all of it is warnings.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from typing import Final

from twisted.names import dns

from sipnode.errors import ConfigError, MediaError
from sipnode.media import ng
from sipnode.media.bencode import BencodeError
from sipnode.media.nodes import parse_node
from sipnode.settings import Settings

Report = Callable[[ConfigError], None]
WAITS: Final = (0.5, 1.0)
"""Seconds for an answer, before it is asked again and in the end."""
_RESERVED: Final = (".test", ".example", ".invalid", ".localhost", ".local")
"""Names that no public DNS has (RFC 6761, RFC 6762)."""
_SERVICES: Final = ("_sips._tcp.", "_sip._tcp.", "_sip._udp.")
_MOST_DOMAINS: Final = 20


def ask_media(settings: Settings, but: Container[str], warn: Report) -> None:
    """Ask each node of ``[media] nodes`` whether it is there."""
    if "media.nodes" in but or settings.media.relay != "rtpengine":
        return
    for line in settings.media.nodes:
        try:
            node = parse_node(line)
        except ConfigError:
            continue
        reason = pinged(node.host, node.port)
        if reason:
            warn(ConfigError(f"rtpengine at {node.host}:{node.port} {reason}: calls that need it are refused meanwhile", key="media.nodes"))


def pinged(host: str, port: int, waits: Sequence[float] = WAITS) -> str:
    """Why an rtpengine can't be used, "" where it can."""
    try:
        family, _, _, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    except (OSError, UnicodeError) as error:
        return f"has no address ({getattr(error, 'strerror', '') or error})"
    question = ng.datagram(ng.new_cookie(), ng.ping())
    for wait in waits:
        answer = _asked(family, (str(found[0]), port), question, wait)
        if answer:
            try:
                ng.read_reply(ng.split_reply(answer)[1])
            except BencodeError:
                return "answers with what isn't the ng protocol"
            except MediaError as error:
                return f"says {error.reason}"
            return ""
    return "doesn't answer"


def ask_dns(settings: Settings, but: Container[str], warn: Report, servers: Iterable[str] | None = None) -> None:
    """Ask DNS for each of our domains.

    Args:
        servers: Whom to ask; None for those of the system.
    """
    if "core.domains" in but:
        return
    asked = list(name_servers() if servers is None else servers)[:2]
    for domain in settings.core.domains[:_MOST_DOMAINS]:
        name = domain.rstrip(".").lower()
        if not is_public(name):
            continue
        there = known(name, asked)
        if there is None:
            warn(ConfigError(f"DNS ({', '.join(asked) or 'no server in /etc/resolv.conf'}) doesn't answer", key="core.domains"))
            return
        if not there:
            text = f"DNS has neither SRV records nor an address of {name}: only phones that are told this server's address find it"
            warn(ConfigError(text, key="core.domains"))


def known(name: str, servers: Sequence[str]) -> bool | None:
    """Whether DNS has an address or SIP's SRV records of a domain; None where no server answers."""
    heard = False
    wanted = [(name, dns.A), (name, dns.AAAA), *((f"{service}{name}", dns.SRV) for service in _SERVICES)]
    for query, kind in wanted:
        for server in servers:
            count = _answers(server, query, kind)
            if count:
                return True
            heard = heard or count is not None
            if count is not None:
                break
        if not heard:
            return None
    return False


def name_servers(file: Path = Path("/etc/resolv.conf")) -> list[str]:
    """The servers of the system."""
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [words[1] for line in lines if len(words := line.split()) > 1 and words[0] == "nameserver"]


def records(server: str, name: str, kind: int, port: int = 53) -> list[dns.RRHeader] | None:
    """Records of that kind that a server has; None without an answer."""
    question = dns.Message(id=int.from_bytes(ng.new_cookie()[:2], "big"), recDes=1)
    question.addQuery(name.encode("idna") if not name.isascii() else name.encode(), kind)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    for wait in WAITS:
        data = _asked(family, (server, port), question.toStr(), wait)
        if data:
            answer = dns.Message()
            try:
                answer.fromStr(data)
            except Exception:
                # A parser of octets from outside that says nothing of what it raises.
                return None
            if answer.id == question.id and answer.rCode in (dns.OK, dns.ENAME):
                return [record for record in answer.answers if record.type == kind]
            return None
    return None


def _answers(server: str, name: str, kind: int) -> int | None:
    """How many records of that kind a server has; None without an answer."""
    found = records(server, name, kind)
    return None if found is None else len(found)


def _asked(family: int, where: tuple[str, int], question: bytes, wait: float) -> bytes:
    with socket.socket(family, socket.SOCK_DGRAM) as asker:
        asker.settimeout(wait)
        try:
            asker.connect(where)
            asker.send(question)
            return asker.recv(65535)
        except OSError:
            return b""


def is_public(name: str) -> bool:
    """Whether DNS can know a domain: no address, and none of the names that are kept out of it."""
    return "." in name and not name.endswith(_RESERVED) and not _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
