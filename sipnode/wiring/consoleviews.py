"""What the console shows beside calls: registrations, connections, media nodes, certificates, bans, settings, starts and reloads."""

from __future__ import annotations

from collections import Counter, deque
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sipnode import __version__, config, native
from sipnode.base.lostflows import name_of
from sipnode.console.table import Column, Deed, Row, Table, table
from sipnode.errors import ConfigError
from sipnode.rpc.connections import connection_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sipnode.lifecycle.reload import Report
    from sipnode.routing.core import Core
    from sipnode.rpc.parts import Parts

MOST_REPORTS: Final = 50
MOST_LOST: Final = 200
_DAY: Final = 86400.0
_SOON: Final = 14


class ConsoleViews:
    """Tables of the running server.

    Args:
        core: The services. parts: What the RPC works on. conf_path: Of the configuration, as ``-c`` takes it.
    """

    def __init__(self, core: Core, parts: Parts, conf_path: str) -> None:
        self._core = core
        self._parts = parts
        self._conf_path = conf_path
        self._reports: deque[tuple[float, Report]] = deque(maxlen=MOST_REPORTS)

    def all(self) -> dict[str, Callable[[str], Any]]:
        """Every view by its name."""
        views: dict[str, Callable[[str], Any]] = {
            "registrations": self.registrations, "flows": self.flows, "nodes": self.nodes, "certificates": self.certificates,
            "settings": self.settings, "history": self.history,
        }  # fmt: skip
        if self._core.defence is not None:
            views["bans"] = self.bans
        return views

    def reported(self, report: Report) -> None:
        """The configuration was read anew."""
        self._reports.appendleft((self._core.clock(), report))

    # -- who is there

    def registrations(self, search: str) -> Table:
        """Contacts that are registered."""
        registrar = self._core.registrar
        locations = registrar.table
        # A whole address is looked up; of a million of them the first thousands alone would be looked through.
        exact = registrar.canonical(search) if "@" in search and locations.bindings(registrar.canonical(search)) else ""
        remove = Deed(
            title="Remove", method="ul.rm_contact", params=["location", "$user", "$contact"], ask="Remove the registration {}?", danger=True
        )
        columns: list[Column] = [
            ("user", "User", "name"), ("contact", "Contact", "code"), ("agent", "Device", "text"), ("source", "From", "code"),
            ("left", "Left", "span"), ("since", "Renewed", "time"), ("words", "Remarks", "list"),
        ]  # fmt: skip
        return table(
            "Registrations", columns, self._bindings([exact] if exact else locations.aors()), "" if exact else search,
            note=f"{locations.count()} contacts of {locations.addresses()} addresses.", empty="Nobody is registered, or nobody fits.",
            row_acts=[remove],
        )  # fmt: skip

    def _bindings(self, names: list[str]) -> Iterator[Row]:
        now, locations = self._core.clock(), self._core.registrar.table
        for name in names:
            for binding in locations.lookup(name, now):
                words = ["NAT"] if binding.received else []
                words += ["path"] if binding.path else []
                words += [f"node {binding.server_id}"] if binding.server_id else []
                yield {
                    "user": name, "contact": binding.contact, "agent": binding.user_agent, "source": binding.received or binding.socket,
                    "left": max(0.0, binding.expires - now), "since": binding.last_modified, "words": words,
                }  # fmt: skip

    def flows(self, search: str) -> Table:
        """Connections that are open, and the last ones of those who had signed in that are gone, with the reason."""
        columns: list[Column] = [
            ("transport", "Connection", "name"), ("state", "State", "mark"), ("user", "User", "name"), ("remote", "From", "code"),
            ("listener", "Listener", "code"), ("quiet", "Quiet for", "span"), ("since", "Closed", "time"), ("why", "Why", "text"),
        ]  # fmt: skip
        close = Deed(title="Close", method="ws.close", params=["$number"], when="websocket", ask="Close connection {}?", danger=True)
        empty = "No connection is open, or none fits."
        note = f"UDP has none. Of those that are gone the last {MOST_LOST} are shown on which somebody had signed in."
        return table("Connections", columns, chain(self._connections(), self._lost()), search, note=note, empty=empty, row_acts=[close])

    def _connections(self) -> Iterator[Row]:
        now = self._core.clock()
        for flow in list(self._core.flows.connections()):
            number = connection_number(flow.token)
            yield {
                "transport": name_of(flow), "state": ("good", "open"), "remote": _place(flow.remote),
                "user": flow.signed_in or flow.shown, "listener": flow.listener.name, "number": number, "websocket": flow.websocket,
                "quiet": max(0.0, now - getattr(flow, "last", now)),
            }  # fmt: skip

    def _lost(self) -> Iterator[Row]:
        for lost in self._core.lost_flows.newest(MOST_LOST):
            yield {"transport": lost.name, "state": ("ended", "closed"), "user": lost.user, "since": lost.since, "why": lost.why}

    def bans(self, search: str) -> Table:
        """Sources that are shut out."""
        defence, now = self._core.defence, self._core.clock()
        columns: list[Column] = [
            ("key", "Who", "name"), ("reason", "Why", "text"), ("since", "Since", "time"), ("left", "For another", "span"),
            ("dropped", "Dropped", "text"), ("what", "What", "text"),
        ]  # fmt: skip
        rows = (
            {
                "key": ban.key, "reason": ban.reason, "since": ban.since, "left": max(0.0, ban.until - now), "dropped": ban.dropped,
                "what": "UDP only" if ban.datagrams else "all",
            }
            for ban in (defence.bans() if defence is not None else ())
        )  # fmt: skip
        counts = defence.counts() if defence is not None else {}
        note = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items() if count)
        return table(
            "Bans", columns, rows, search, note=f"Since the start: {note}." if note else "", empty="Nobody is shut out.",
            row_acts=[Deed(title="Let in", method="defence.unban", params=["$key"], ask="Let {} in again?")],
        )  # fmt: skip

    # -- what it works with

    def nodes(self, search: str) -> Table:
        """Media nodes."""
        columns: list[Column] = [
            ("name", "Node", "name"), ("state", "State", "mark"), ("calls", "Calls", "text"), ("weight", "Weight", "text"),
            ("set", "Set", "text"), ("again", "Tried again in", "span"),
        ]  # fmt: skip
        ask = "Give {} no new calls?"
        out = Deed(title="Take out", method="rtpengine.enable", params=["$place", 0], when="up", ask=ask, danger=True)
        back = Deed(title="Use again", method="rtpengine.enable", params=["$place", 1], when="out")
        empty = "There is no media node: [media] nodes is empty."
        return table("Media nodes", columns, self._nodes(), search, empty=empty, row_acts=[out, back])

    def _nodes(self) -> Iterator[Row]:
        media, now = self._parts.media, self._core.clock()
        held = Counter(call.node for call in self._core.dialogs.list() if call.node)
        for node in media.nodes.nodes if media is not None else ():
            up = media.nodes.is_up(node)
            state = ("warn", "no new calls") if node.draining else ("good", "up") if up else ("failed", "doesn't answer")
            yield {
                "name": node.place, "place": node.name, "state": state, "calls": held.get(node.name, 0), "weight": node.weight,
                "set": node.set, "again": max(0.0, node.down_until - now) if not up else "", "up": up and not node.draining,
                "out": node.draining, "bad": not up,
            }  # fmt: skip

    def certificates(self, search: str) -> Table:
        """Certificates and revocation lists of tls.cfg."""
        now = self._core.clock()
        tls = self._parts.transports.tls if self._parts.transports is not None else None
        columns: list[Column] = [
            ("section", "Section", "name"), ("key", "What", "text"), ("subject", "Whose", "text"), ("state", "State", "mark"),
            ("until", "Until", "time"), ("path", "File", "code"),
        ]  # fmt: skip
        rows = (
            {
                "section": each.section, "key": each.key, "subject": each.subject, "state": _dated((each.until - now) / _DAY),
                "until": each.until, "path": each.path, "bad": each.until <= now,
            }
            for each in (tls.files() if tls is not None else ())
        )  # fmt: skip
        warnings = "; ".join(tls.warnings()) if tls is not None else ""
        return table(
            "Certificates", columns, rows, search, note=warnings, warn=bool(warnings), empty="Nothing listens with TLS.",
            acts=[Deed(title="Read anew", method="tls.reload", params=[])],
        )  # fmt: skip

    def settings(self, search: str) -> Table:
        """Settings in force, with where they come from."""
        columns: list[Column] = [
            ("key", "Setting", "name"), ("value", "In force", "code"), ("origin", "From", "text"), ("meaning", "What it is for", "text"),
        ]  # fmt: skip
        try:
            shown, note = config.explained(self._conf_path), ""
        except (ConfigError, OSError) as error:
            shown, note = [], f"The file can't be read: {error}"
        return table("Settings", columns, (self._setting(each) for each in shown), search, note=note, empty=note or "No setting fits.")

    def _setting(self, shown: config.Shown) -> Row:
        group, _, name = shown.key.rpartition(".")
        value = shown.value
        try:
            value = config.toml_value(_tupled(self._parts.live.value(group, name)))
        except ConfigError:
            pass  # [trunk.NAME]: as the file has it
        origin = shown.place
        if origin.startswith("/"):
            origin = Path(origin).name
        origin = origin or "default"
        if value != shown.value:
            origin = f"changed while it runs, or needs a restart; {origin}: {shown.value}"
        return {"key": shown.key, "value": value, "origin": origin, "meaning": shown.meaning}

    def history(self, search: str) -> Table:
        """The start, and each time the configuration was read anew."""
        columns: list[Column] = [("when", "When", "time"), ("state", "What", "mark"), ("text", "What came of it", "text")]
        return table(
            "Starts and reloads", columns, self._events(), search, note="Since the last start; what was before it is in the log.",
            acts=[Deed(title="Read the configuration anew", method="sipnode.reload", params=[], ask="Read the configuration anew?")],
        )  # fmt: skip

    def _events(self) -> Iterator[Row]:
        for when, report in self._reports:
            restart = [f"these need a restart: {', '.join(report.restart)}"] if report.restart else []
            state = ("failed", "not taken") if report.refused else ("warn", "read anew") if restart else ("good", "read anew")
            yield {"when": when, "state": state, "text": "; ".join([*report.refused, *restart, *report.done]), "bad": bool(report.refused)}
        domains = ", ".join(self._core.settings.core.domains)
        yield {"when": self._parts.started, "state": ("good", "started"), "text": f"sipnode {__version__} ({native.kind()}) for {domains}"}


def _place(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _dated(days: float) -> tuple[str, str]:
    if days <= 0:
        return "failed", "has expired"
    return ("warn" if days <= _SOON else "good"), f"{days:.0f} days left"


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
