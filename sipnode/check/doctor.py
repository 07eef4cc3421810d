"""Troubles of the media nodes: each one told apart, with what to do about it.

A node says "Ran out of ports" to many things: an address that its machine doesn't have, a range that is too small or another program's,
calls that were never deleted. Here the node is asked, and where it runs on this machine its process is looked at too.
Invariant: nothing is changed, but for one call that is made at each node and deleted again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from sipnode import machine
from sipnode.check.relay import Node, Said, Silent
from sipnode.errors import ConfigError, MediaError
from sipnode.media.daemon import Daemon, is_literal, is_older, look_at
from sipnode.media.flags import newer, parse
from sipnode.media.manage import Operation
from sipnode.media.nodes import Ports, parse_node
from sipnode.media.profiles import profile_fields
from sipnode.records import MediaFlags, MediaForm, MediaProfile
from sipnode.routing.flagwords import written_words
from sipnode.settings import MediaSettings, Settings
from sipnode.transport.portowner import local_addresses

FEW_PORTS: Final = 100
"""Fewer are hardly meant: enough for 25 calls."""
PORTS_A_CALL: Final = 4
MOST_FREE: Final = 0.2
"""Below that part of free ports calls will soon be refused."""
MOST_NAMED: Final = 5
_EVERYWHERE: Final = ("0.0.0.0", "::")
_RECORDS: Final = frozenset(("on", "yes"))


class Trouble(NamedTuple):
    """Something wrong, and what to do."""

    what: str
    remedy: str


@dataclass(slots=True)
class Report:
    """Of one node.

    Attributes:
        place: As the configuration has it.
        about: What it is, in lines.
        troubles: What is wrong, the first the likeliest cause of the others.
    """

    place: str
    about: list[str] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)

    def wrong(self, what: str, remedy: str) -> None:
        """One more."""
        self.troubles.append(Trouble(what, remedy))


def examine(settings: Settings, folder: Path, stale: float, now: float) -> Iterator[Report]:
    """Look at each node of ``[media] nodes``.

    Args:
        folder: Of the configuration.
        stale: Seconds after which an offer without an answer counts as never deleted.
        now: Epoch seconds.

    Raises:
        ConfigError: words or nodes that can't be.
    """
    flags = words_in_use(settings, folder)
    for line in settings.media.nodes:
        node = parse_node(line)
        yield _node(node.host, node.port, settings.media, flags, stale, now)


def words_in_use(settings: Settings, folder: Path) -> list[MediaFlags]:
    """Flag words of the configuration and of the script; raises ConfigError."""
    found = [parse(settings.media.flags)]
    module = settings.routing.script.rpartition(".")[0]
    file = folder / f"{module}.py"
    if module and file.is_file():
        try:
            found += [parse(words, True, "routing.script") for words, _ in written_words(file.read_bytes(), str(file))]
        except SyntaxError as error:
            raise ConfigError(f"SyntaxError: {error.msg}", str(file), error.lineno or 0, "routing.script") from None
    return found


def _node(host: str, port: int, settings: MediaSettings, flags: Sequence[MediaFlags], stale: float, now: float) -> Report:
    report = Report(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    try:
        node = Node(host, port)
    except OSError as error:
        report.wrong(f"{host} has no address ({error.strerror or error})", "correct the name in [media] nodes, or DNS")
        return report
    here = machine.is_local(node.address[0])
    try:
        said = node.examine(_fields(settings), now)
    except Silent as error:
        if here:
            _silent_here(report, node.address, error.refused)
        else:
            _silent_there(report, error.refused)
        return report
    except MediaError as error:
        owner = machine.owner_of(port) if here else None
        report.wrong(
            f"what answers{f', {owner},' if owner else ''} isn't rtpengine's ng port ({error.reason})",
            "write the address of --listen-ng into [media] nodes; --listen-cli and --listen-udp are others",
        )
        return report
    owner = machine.owner_of(port) if here else None
    daemon = look_at(owner.pid) if owner is not None and owner.command == "rtpengine" else None
    _about(report, said, daemon)
    _interfaces(report, said, daemon, here, settings)
    _ranges(report, said, daemon)
    _waiting(report, said, stale)
    _recording(report, daemon, settings, flags)
    _version(report, daemon, flags)
    if said.refusal:
        _refused(report, said)
    return report


def _fields(settings: MediaSettings) -> dict[str, object]:
    profile = MediaProfile(MediaForm.PLAIN, protocol="RTP/AVP")
    fields = profile_fields(profile, Operation.OFFER, settings, parse(settings.flags))
    return {name: value for name, value in fields.items() if name not in ("record-call", "metadata", "direction")}


def _silent_there(report: Report, refused: bool) -> None:
    if refused:
        report.wrong(
            "nobody listens at that port of a machine that is there",
            "start rtpengine there, or write the address of its --listen-ng into [media] nodes",
        )
    else:
        report.wrong(
            "no answer",
            "is the machine there, is rtpengine's --listen-ng this address and not 127.0.0.1, and does a firewall between let UDP pass?",
        )


def _silent_here(report: Report, address: tuple[str, int], refused: bool) -> None:
    host, port = address
    owner = machine.owner_of(port)
    if owner is None or (refused and owner.command == "rtpengine"):
        found = machine.processes("rtpengine")
        if not found:
            report.wrong("no rtpengine runs on this machine", f"start one with --listen-ng={report.place}, or name another machine's")
        for each in found:
            where = look_at(each.pid).listen_ng or "no port for ng"
            report.wrong(
                f"nobody listens there: {each} runs on this machine and has {where}",
                f"write that into [media] nodes, or start it with --listen-ng={report.place}",
            )
    elif owner.command != "rtpengine":
        report.wrong(f"port {port} is that of {owner}, which isn't rtpengine", "write rtpengine's --listen-ng into [media] nodes")
    elif owner.stopped:
        report.wrong(f"{owner} is stopped and answers nobody", f"let it go on: kill -CONT {owner.pid}")
    else:
        report.wrong(
            f"{owner} has the port and doesn't answer",
            f"a firewall of this machine drops UDP to {host}:{port}, or the process hangs: look at nft list ruleset, and at its log",
        )


def _about(report: Report, said: Said, daemon: Daemon | None) -> None:
    name = "rtpengine" if daemon is None else f"rtpengine {daemon.version} (pid {daemon.pid})".replace("  ", " ")
    report.about.append(f"{name} answers, {said.calls} call{'' if said.calls == 1 else 's'}")
    for one in said.interfaces:
        report.about.append(f"interface {one.name} {one.address}: ports {one.low} to {one.high}, {one.free} of {one.total} free")
    if said.address:
        report.about.append(f"an offer was taken, media goes to {said.address}")


def _interfaces(report: Report, said: Said, daemon: Daemon | None, here: bool, settings: MediaSettings) -> None:
    given = [(one.address, one.advertised) for one in daemon.interfaces] if daemon is not None else []
    if here and not given:
        given = [(one.address, "") for one in said.interfaces]
    mine = ", ".join(local_addresses()) or "unknown"
    for address, advertised in given:
        if not is_literal(address) or machine.is_local(address):
            continue
        if advertised and machine.is_local(advertised):
            report.wrong(
                f"--interface={address}!{advertised} is the wrong way about: {advertised} is an address of this machine, {address} isn't",
                f"start rtpengine with --interface={advertised}!{address}",
            )
        else:
            report.wrong(
                f"interface {address} is none of this machine's addresses ({mine}): no port of it can be opened",
                f"name one that is, and behind an exclamation mark what others see: --interface=PRIVATE!{advertised or address}",
            )
    names = {one.name for one in said.interfaces}
    for line in settings.interfaces if names else ():
        wanted = line.split()[0]
        if wanted not in names:
            report.wrong(
                f"[media] interfaces has {wanted}, and rtpengine has {', '.join(sorted(names))}",
                f"start it with --interface={wanted}/ADDRESS, or correct the line {line!r}",
            )


def _ranges(report: Report, said: Said, daemon: Daemon | None) -> None:
    for one in said.interfaces:
        if one.total and one.total < FEW_PORTS:
            report.wrong(
                f"ports {one.low} to {one.high} of {one.address} are {one.total}, enough for {one.total // PORTS_A_CALL} calls: "
                f"an audio call takes {PORTS_A_CALL} for each phone that rings",
                "widen --port-min and --port-max, as 30000 and 40000",
            )
        elif one.total and one.free < MOST_FREE * one.total:
            report.wrong(f"only {one.free} of {one.total} ports of {one.address} are free", "widen the range, or add a node")
        if daemon is not None:
            _others(report, one, daemon.pid)


def _others(report: Report, ports: Ports, pid: int) -> None:
    """Ports of the range that another process has."""
    taken = [one for one in machine.udp_ports() if ports.low <= one.port <= ports.high and one.host in (ports.address, *_EVERYWHERE)]
    found = machine.owners({one.inode for one in taken})
    if pid not in found.values() and ports.free < ports.total:
        # Only root sees the owners of sockets.
        return
    counts = Counter(found[one.inode] for one in taken if one.inode in found and found[one.inode] != pid)
    for other, count in counts.most_common(MOST_NAMED):
        report.wrong(
            f"{machine.process(other)} has {count} port{'' if count == 1 else 's'} of the range {ports.low} to {ports.high} of "
            f"{ports.address}",
            "give each program a range of its own: --port-min and --port-max, and keep the kernel from handing them out: "
            f"sysctl net.ipv4.ip_local_reserved_ports={ports.low}-{ports.high}",
        )


def _waiting(report: Report, said: Said, stale: float) -> None:
    old = [one for one in said.waiting if one.seconds >= stale]
    if old:
        named = ", ".join(f"{one.name} ({one.seconds:.0f} s)" for one in old[:MOST_NAMED])
        more = f" and {len(old) - MOST_NAMED} more" if len(old) > MOST_NAMED else ""
        report.wrong(
            f"{len(old)} call{'' if len(old) == 1 else 's'} without an answer hold {sum(one.ports for one in old)} ports: {named}{more}",
            "somebody offers and never deletes: sipnode frees its own ([media] sweep_seconds); others: rtpengine-ctl terminate CALL-ID",
        )


def _recording(report: Report, daemon: Daemon | None, settings: MediaSettings, flags: Sequence[MediaFlags]) -> None:
    said = [one.fields for one in flags]
    if not settings.record_call and not any(one.get("record-call") in _RECORDS or "record-call" in str(one.get("flags")) for one in said):
        return
    if daemon is None:
        report.about.append("recording is asked for; whether it has a --recording-dir can't be seen from here")
    elif not daemon.recording_dir:
        report.wrong(
            "recording is asked for, and rtpengine was started without --recording-dir: calls go on unrecorded",
            "start it with --recording-dir=/var/spool/rtpengine --recording-method=pcap, or don't ask",
        )
    elif not Path(daemon.recording_dir).is_dir():
        report.wrong(f"--recording-dir={daemon.recording_dir} is no folder: calls go on unrecorded", "make it, for rtpengine's user")


def _version(report: Report, daemon: Daemon | None, flags: Sequence[MediaFlags]) -> None:
    wanted = {word: since for one in flags for word, since in newer(one).items()}
    if daemon is None or not daemon.version:
        if wanted:
            words = ", ".join(f"{word} ({since})" for word, since in wanted.items())
            report.about.append(f"flags in use need a version that can't be seen from here: {words}")
        return
    for word, since in wanted.items():
        if is_older(daemon.version, since):
            report.wrong(
                f"rtpengine {daemon.version} doesn't know the flag {word!r} and leaves it out: {since} was the first that does",
                "take the word out, or bring rtpengine up to date",
            )


def _refused(report: Report, said: Said) -> None:
    if report.troubles:
        report.about.append(f"an offer was refused: {said.refusal}")
        return
    if "out of ports" in said.refusal.lower():
        report.wrong(
            f"an offer was refused: {said.refusal}",
            "its log has the cause: Cannot assign requested address is a wrong --interface, Address already in use a range of others",
        )
    else:
        report.wrong(f"an offer was refused: {said.refusal}", "its log may say more")
