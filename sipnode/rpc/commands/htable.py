"""htable.*: the bans of the defence, as the hash table ``ipban`` of Kamailio's own sample configuration."""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING, Any, Final, TypedDict

from sipnode.errors import ConfigError, RpcError
from sipnode.rpc.registry import rpc

if TYPE_CHECKING:
    from sipnode.rpc.parts import Parts

TABLE: Final = "ipban"
_SLOTS: Final = 256
_DONE: Final = "Ok. Key set to new value."


class Slot(TypedDict):
    name: str
    value: str
    type: str


class Entry(TypedDict):
    entry: int
    size: int
    slot: list[Slot]


class ItemFields(TypedDict):
    name: str
    value: str
    flags: int
    expire: str


class Item(TypedDict):
    item: ItemFields


class Table(TypedDict):
    name: str
    dbtable: str
    dbmode: int
    expire: int
    updateexpire: int
    size: int
    dmqreplicate: int


class TableStats(TypedDict):
    name: str
    slots: int
    all: int
    min: int
    max: int


class HtableCommands:
    """htable.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._defence = parts.core.defence

    @rpc("htable.listTables")
    def list_tables(self) -> list[Table]:
        """The tables: there is one, with the addresses and networks that are shut out."""
        seconds = int(self._defence.limits()["ban_seconds"])
        return [Table(name=TABLE, dbtable="", dbmode=0, expire=seconds, updateexpire=1, size=_SLOTS, dmqreplicate=0)]

    @rpc("htable.stats")
    def stats(self) -> list[TableStats]:
        """How full the table is."""
        sizes = [len(slot) for slot in self._slots().values()]
        least = min(sizes) if len(sizes) == _SLOTS else 0
        return [TableStats(name=TABLE, slots=_SLOTS, all=sum(sizes), min=least, max=max(sizes, default=0))]

    @rpc("htable.dump")
    def dump(self, table: str) -> list[Entry]:
        """Sources that are shut out; the value of each is why."""
        _check(table, "No such htable")
        found = sorted(self._slots().items())
        return [
            Entry(entry=number, size=len(bans), slot=[Slot(name=ban.key, value=ban.reason, type="str") for ban in bans])
            for number, bans in found
        ]

    @rpc("htable.get")
    def get(self, table: str, key: str) -> Item:
        """One that is shut out: why, and until when (local time)."""
        _check(table, "No such htable")
        for ban in self._defence.bans():
            if ban.key == key:
                until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ban.until))
                return Item(item=ItemFields(name=ban.key, value=ban.reason, flags=0, expire=until))
        raise RpcError(500, "Key name doesn't exist in htable.")

    @rpc("htable.sets", changes=True)
    def sets(self, table: str, key: str, value: str) -> str:
        """Shut an address or network out for the usual time, with a reason; its connections are cut."""
        return self._ban(table, key, value, 0)

    @rpc("htable.seti", changes=True)
    def seti(self, table: str, key: str, value: int) -> str:
        """Shut an address or network out for the usual time; the number is kept as the reason."""
        return self._ban(table, key, str(value), 0)

    @rpc("htable.setxs", changes=True)
    def setxs(self, table: str, key: str, value: str, seconds: int) -> str:
        """Shut an address or network out for so many seconds, with a reason."""
        return self._ban(table, key, value, seconds)

    @rpc("htable.setxi", changes=True)
    def setxi(self, table: str, key: str, value: int, seconds: int) -> str:
        """Shut an address or network out for so many seconds; the number is kept as the reason."""
        return self._ban(table, key, str(value), seconds)

    @rpc("htable.setex", changes=True)
    def setex(self, table: str, key: str, seconds: int) -> str:
        """Keep one that is shut out for so many seconds from now, or longer if it was to be."""
        self._ban(table, key, self.get(table, key)["item"]["value"], seconds)
        return "Ok"

    @rpc("htable.delete", changes=True)
    def delete(self, table: str, key: str) -> str:
        """Let one in again."""
        _check(table, "No such htable")
        if not self._defence.unban(key):
            raise RpcError(404, "Key not found in htable.")
        return "Ok. Key deleted."

    @rpc("htable.flush", changes=True)
    def flush(self, table: str) -> str:
        """Let everybody in again."""
        _check(table, "No such htable")
        for ban in self._defence.bans():
            self._defence.unban(ban.key)
        return "Ok. Htable flushed."

    def _slots(self) -> dict[int, list[Any]]:
        slots: dict[int, list[Any]] = {}
        for ban in self._defence.bans():
            slots.setdefault(zlib.crc32(ban.key.encode("utf-8", "replace")) % _SLOTS, []).append(ban)
        return slots

    def _ban(self, table: str, key: str, reason: str, seconds: int) -> str:
        _check(table, "No such htable")
        if len(reason) > 200 or not reason.isprintable():
            raise RpcError(400, "the value has to be printable, of at most 200 characters")
        try:
            self._defence.ban(key, seconds, reason)
        except ConfigError as error:
            raise RpcError(500, error.reason) from None
        return _DONE


def _check(table: str, message: str) -> None:
    if table != TABLE:
        raise RpcError(500, message)
