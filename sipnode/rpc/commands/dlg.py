"""dlg.*: the calls that go through the server, in the names and fields of Kamailio's dialog module; and how to end one."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypedDict

from sipnode.errors import RpcError
from sipnode.rpc.dispatch import rows
from sipnode.rpc.registry import rpc

if TYPE_CHECKING:
    from sipnode.rpc.parts import Parts

_STATES: Final = {"trying": 1, "early": 2, "confirmed": 4, "terminated": 5}
_SLOTS: Final = 4096


class Leg(TypedDict):
    tag: str | None
    contact: str | None
    cseq: str | None
    route_set: str | None
    socket: str | None


Dialog = TypedDict(
    "Dialog",
    {
        "h_entry": int,
        "h_id": int,
        "ref": int,
        "call-id": str,
        "from_uri": str,
        "to_uri": str,
        "state": int,
        "start_ts": int,
        "init_ts": int,
        "end_ts": int,
        "duration": int,
        "timeout": int,
        "lifetime": int,
        "dflags": int,
        "sflags": int,
        "iflags": int,
        "caller": Leg,
        "callee": Leg,
        "profiles": list[dict[str, str]],
        "variables": list[dict[str, str]],
    },
)
Brief = TypedDict("Brief", {"h_entry": int, "h_id": int, "from_uri": str, "to_uri": str, "call-id": str, "from_tag": str, "to_tag": str})


class Active(TypedDict):
    starting: int
    connecting: int
    answering: int
    ongoing: int
    all: int


class Nothing(TypedDict):
    pass


NO_LEG: Final[Leg] = {"tag": None, "contact": None, "cseq": None, "route_set": None, "socket": None}


def entry_of(call: Any) -> int:
    """``h_entry`` of a call; with ``h_id`` it names the call, in Kamailio's way."""
    return zlib.crc32(call.call_id.encode("utf-8", "replace")) % _SLOTS


class DialogCommands:
    """dlg.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._dialogs = parts.core.dialogs

    # -- looking

    @rpc("dlg.list")
    def every(self) -> list[Dialog]:
        """Every call.

        ``state`` is 1 before anybody rings, 2 while somebody does, 4 when it is up. ``start_ts`` is the answer, ``init_ts`` the INVITE, in
        epoch seconds; ``timeout`` when it is forgotten if nothing more is heard of it. ``variables`` has the media node that carries it,
        and what the last offer and the last answer asked of it, in flag words; ``media_moves`` is how often this server has moved it.
        """
        return self._rows(self._dialogs.list())

    @rpc("dlg.list_ctx")
    def list_ctx(self) -> list[Dialog]:
        """Every call, as dlg.list."""
        return self._rows(self._dialogs.list())

    @rpc("dlg.dlg_list")
    def dlg_list(self, call_id: str, from_tag: str = "") -> Dialog | Nothing:
        """The call with a Call-ID and perhaps a From tag; an empty object when there is none."""
        found = self._dialogs.find(call_id, from_tag)
        return self._dialog(found[0], self._parts.clock()) if found else {}

    @rpc("dlg.list_match")
    def list_match(self, field: str, operator: str, value: str, limit: int = 0) -> list[Dialog]:
        """The calls of which a field matches.

        Args:
            field: ``callid``, ``furi``, ``turi`` or ``ruri``.
            operator: ``eq`` is equal, ``sw`` starts with.
            limit: Most calls in the answer; 0 for all.
        """
        fields: dict[str, Callable[[Any], str]] = {
            "callid": lambda call: str(call.call_id),
            "furi": lambda call: str(call.from_uri),
            "turi": lambda call: str(call.uri),
            "ruri": lambda call: str(call.uri),
        }
        if field not in fields or operator not in ("eq", "sw"):
            raise RpcError(400, "field is callid, furi, turi or ruri; operator is eq or sw")
        matches = str.__eq__ if operator == "eq" else str.startswith
        read = fields[field]
        found = [call for call in self._dialogs.list() if matches(read(call), value)]
        if not found:
            raise RpcError(404, "Not found")
        return self._rows(found[:limit] if limit > 0 else found)

    @rpc("dlg.briefing")
    def briefing(self) -> list[Brief]:
        """Every call in one line."""
        return rows(
            {
                "h_entry": entry_of(call),
                "h_id": call.id,
                "from_uri": call.from_uri,
                "to_uri": call.uri,
                "call-id": call.call_id,
                "from_tag": call.from_tag,
                "to_tag": call.to_tag,
            }
            for call in self._dialogs.list()
        )

    @rpc("dlg.is_alive")
    def is_alive(self, call_id: str, from_tag: str, to_tag: str) -> str:
        """Whether a call is there."""
        if not self._dialogs.find(call_id, from_tag, to_tag):
            raise RpcError(404, "Dialog not found")
        return "Alive"

    @rpc("dlg.stats_active")
    def stats_active(self) -> Active:
        """How many calls are how far."""
        calls = self._dialogs.list()
        states = [call.state for call in calls]
        return {
            "starting": states.count("trying"),
            "connecting": states.count("early"),
            "answering": 0,
            "ongoing": states.count("confirmed"),
            "all": len(calls),
        }

    # -- ending

    @rpc("dlg.end_dlg", changes=True)
    def end_dlg(self, h_entry: int, h_id: int) -> Nothing:
        """End a call: BYE to both ends, also where one is a browser; CANCEL when it rings yet.

        Args:
            h_entry: As dlg.list says it.
            h_id: Alike.
        """
        for call in self._dialogs.list():
            if call.id == h_id and entry_of(call) == h_entry:
                return self._end(call.call_id, call.from_tag, call.to_tag)
        raise RpcError(404, "Dialog not found")

    @rpc("dlg.terminate_dlg", changes=True)
    def terminate_dlg(self, call_id: str, from_tag: str, to_tag: str = "") -> Nothing:
        """End a call that is named by Call-ID and tags."""
        if not self._dialogs.find(call_id, from_tag, to_tag):
            raise RpcError(500, "Couldnt find callid in dialog")
        return self._end(call_id, from_tag, to_tag)

    def _end(self, call_id: str, from_tag: str, to_tag: str) -> Nothing:
        self._dialogs.end(call_id, from_tag, to_tag)
        return {}

    # -- how it is shown

    def _rows(self, calls: list[Any]) -> list[Dialog]:
        return rows(self._each(calls))

    def _each(self, calls: list[Any]) -> Iterator[Dialog]:
        now = self._parts.clock()
        for call in calls:
            yield self._dialog(call, now)

    def _dialog(self, call: Any, now: float) -> Dialog:
        lifetime = int(self._parts.settings.dialog.max_seconds)
        start = int(call.answered)
        ends = call.ends
        waiting: Leg = {**NO_LEG, "tag": call.from_tag, "socket": self._socket(call.caller_flow[0])}
        return {
            "h_entry": entry_of(call),
            "h_id": call.id,
            "ref": 1,
            "call-id": call.call_id,
            "from_uri": call.from_uri,
            "to_uri": call.uri,
            "state": _STATES[call.state],
            "start_ts": start,
            "init_ts": int(call.started),
            "end_ts": int(call.ended),
            "duration": int((call.ended or now) - call.answered) if start else 0,
            "timeout": start + lifetime if start else 0,
            "lifetime": lifetime,
            "dflags": 0,
            "sflags": 0,
            "iflags": 0,
            "caller": waiting if ends is None else self._leg(ends.caller, call.caller_flow),
            "callee": NO_LEG if ends is None else self._leg(ends.callee, call.callee_flow),
            "profiles": [],
            "variables": self._media(call),
        }

    def _media(self, call: Any) -> list[dict[str, str]]:
        if not call.node:
            return []
        asked: dict[str, str] = self._parts.core.media_control.asked(call.media_call, call.call_id)
        moves = [{"media_moves": str(call.moves)}] if call.moves else []
        return [{"media_node": call.node}, *moves, *({f"media_{operation}": words} for operation, words in asked.items())]

    def _leg(self, party: Any, flow: tuple[str, tuple[str, int]]) -> Leg:
        return {
            "tag": party.tag,
            "contact": party.target,
            "cseq": str(party.cseq),
            "route_set": ", ".join(party.routes),
            "socket": self._socket(flow[0]),
        }

    def _socket(self, transport: str) -> str:
        """Name of the first listener of that transport."""
        transports = self._parts.transports
        for listener in transports.listeners if transports is not None else ():
            if listener.transport == transport:
                return str(listener.name)
        return ""
