"""stats.*: counters and gauges by ``group:name``, those that Kamailio has too under its names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.rpc.connections import connections
from sipnode.rpc.registry import rpc
from sipnode.sip.methods import METHODS, OTHER

if TYPE_CHECKING:
    from sipnode.rpc.parts import Parts


class StatisticsCommands:
    """stats.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @rpc("stats.get_statistics")
    def get_statistics(self, *names: str) -> list[str]:
        """Values as lines of ``group:name = value``: ``all``, every one of a group (``usrloc:``) or one by its name."""
        return [f"{name} = {value}" for name, value in self._wanted(names).items()]

    @rpc("stats.fetch")
    def fetch(self, *names: str) -> dict[str, str]:
        """Values by ``group.name``, as text; named as for stats.get_statistics."""
        return {name.replace(":", ".", 1): str(value) for name, value in self._wanted(names).items()}

    @rpc("stats.fetchn")
    def fetchn(self, *names: str) -> dict[str, int]:
        """Values by ``group.name``, as numbers; named as for stats.get_statistics."""
        return {name.replace(":", ".", 1): value for name, value in self._wanted(names).items()}

    def _wanted(self, names: tuple[str, ...]) -> dict[str, int]:
        every = dict(sorted(self.every().items()))
        if not names or "all" in names:
            return every
        groups = tuple(name for name in names if name.endswith(":"))
        bare = {name for name in names if not name.endswith(":")}
        return {name: n for name, n in every.items() if name.startswith(groups) or name in bare or name.partition(":")[2] in bare}

    def every(self) -> dict[str, int]:
        """All of them."""
        found: dict[str, int] = {}
        for group, values in (
            ("core", self._core()),
            ("usrloc", self._usrloc()),
            ("registrar", self._registrar()),
            ("dialog", self._dialog()),
            ("tmx", self._tmx()),
            ("tcp", self._tcp()),
            ("websocket", self._websocket()),
            ("sipnode", dict(self._parts.core.counters)),
        ):
            found.update((f"{group}:{name}", value) for name, value in values.items())
        return found

    def _core(self) -> dict[str, int]:
        count, traffic = self._parts.count, self._parts.core.traffic
        replies = [0] * 7
        for (_, status), number in traffic.responses_in.items():
            replies[status // 100] += number
        made = {
            "rcv_requests": sum(traffic.requests_in.values()),
            "rcv_replies": sum(replies),
            "bad_msg_hdr": count("broken_messages") + count("broken_requests") + count("broken_responses"),
            "drop_replies": count("dropped_responses"),
            "err_replies": count("unsent_responses"),
            "unsupported_methods": traffic.requests_in[OTHER],
        }
        made.update((f"rcv_requests_{method.lower()}", traffic.requests_in[method]) for method in METHODS)
        made.update((f"rcv_replies_{kind}xx", replies[kind]) for kind in range(1, 7))
        return made

    def _usrloc(self) -> dict[str, int]:
        table = self._parts.core.registrar.table
        users = table.addresses()
        return {"location_contacts": table.count(), "location_users": users, "registered_users": users}

    def _registrar(self) -> dict[str, int]:
        settings = self._parts.settings.location
        answers = {status: n for (method, status), n in self._parts.core.traffic.responses_out.items() if method == "REGISTER"}
        return {
            "accepted_regs": answers.get(200, 0),
            # A challenge is no refusal.
            "rejected_regs": sum(n for status, n in answers.items() if status >= 300 and status not in (401, 407)),
            "default_expire": settings.default_expires,
            "max_expires": settings.max_expires,
            "max_contacts": settings.max_contacts,
        }

    def _dialog(self) -> dict[str, int]:
        dialogs = self._parts.core.dialogs
        calls = dialogs.list()
        return {
            "active_dialogs": len(calls),
            "early_dialogs": sum(call.state == "early" for call in calls),
            "expired_dialogs": dialogs.lost,
            "untracked_dialogs": dialogs.untracked,
        }

    def _tmx(self) -> dict[str, int]:
        layer = self._parts.core.transactions
        return {
            "active_transactions": len(layer),
            "inuse_transactions": len(layer),
            "UAS_transactions": len(layer.servers),
            "UAC_transactions": len(layer.clients),
            "rpl_absorbed": layer.dropped,
            "req_absorbed": layer.absorbed,
        }

    def _tcp(self) -> dict[str, int]:
        transports = self._parts.transports
        return {
            "current_opened_connections": sum(1 for _ in connections(self._parts.core)),
            "local_reject": transports.admission.refused if transports is not None else 0,
        }

    def _websocket(self) -> dict[str, int]:
        return {"ws_current_connections": sum(flow.websocket for flow in connections(self._parts.core))}
