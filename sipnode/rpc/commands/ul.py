"""ul.*: who is registered where, in the names and fields of Kamailio's usrloc.

The invariant: what is changed here is changed as a REGISTER would: in memory and in the store, and told to those who watch.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final, TypedDict

from twisted.internet.defer import Deferred

from sipnode.errors import ParseError, RpcError
from sipnode.records import Binding, BindingFlag
from sipnode.rpc.connections import connection_number
from sipnode.rpc.dispatch import rows
from sipnode.rpc.registry import rpc
from sipnode.sip.ids import BOOT, base36
from sipnode.sip.uri import SipUri

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sipnode.rpc.parts import Parts

TABLE: Final = "location"
NOT_SET: Final = "[not set]"
_NATSIPPING: Final = int(BindingFlag.NATSIPPING)
_AGENT: Final = "sipnode - RPC"

ContactFields = TypedDict(
    "ContactFields",
    {
        "Address": str,
        "Expires": int | str,
        "Q": float,
        "Call-ID": str,
        "CSeq": int,
        "User-Agent": str,
        "Received": str,
        "Path": str,
        "State": str,
        "Flags": int,
        "CFlags": int,
        "Socket": str,
        "Methods": int,
        "Ruid": str,
        "Instance": str,
        "Reg-Id": int,
        "Server-Id": int,
        "Tcpconn-Id": int,
        "Keepalive": int,
        "Last-Keepalive": int,
        "KA-Roundtrip": int,
        "Last-Modified": int,
    },
)


class Contact(TypedDict):
    Contact: ContactFields


class Aor(TypedDict):
    AoR: str
    HashID: int
    Contacts: list[Contact]


class AorEntry(TypedDict):
    Info: Aor


class AorName(TypedDict):
    AoR: str


Statistics = TypedDict("Statistics", {"Records": int, "Max-Slots": int})


class DomainFields(TypedDict):
    Domain: str
    Size: int
    AoRs: list[AorEntry | AorName]
    Stats: Statistics


class Domain(TypedDict):
    Domain: DomainFields


class Dump(TypedDict):
    Domains: list[Domain]


class Lookup(TypedDict):
    AoR: str
    Contacts: list[Contact]


class Nothing(TypedDict):
    pass


class LocationCommands:
    """ul.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._registrar = parts.core.registrar
        self._stored = parts.settings.location.db_mode != 0
        self._added = 0

    @rpc("ul.dump")
    def dump(self, brief: str = "") -> Dump:
        """Every address-of-record with its contacts; with ``brief`` only their names.

        ``Expires`` is in seconds from now. ``State`` is CS_NEW where nothing is stored, else CS_SYNC. A long answer is made while it is
        sent, so calls don't wait for it.
        """
        if brief not in ("", "brief"):
            raise RpcError(400, "brief is the only mode")
        table = self._registrar.table
        names = table.aors()
        entries: list[AorEntry | AorName] = rows(AorName(AoR=_shown(name)) for name in names) if brief else rows(self._entries(names))
        size = table.addresses()
        fields = DomainFields(Domain=TABLE, Size=size, AoRs=entries, Stats={"Records": size, "Max-Slots": 1})
        return Dump(Domains=[Domain(Domain=fields)])

    def _entries(self, names: list[str]) -> Iterator[AorEntry | AorName]:
        now = self._parts.clock()
        for name in names:
            bindings = self._registrar.table.lookup(name, now)
            if bindings:
                contacts = [self._contact(binding, now) for binding in bindings]
                yield AorEntry(Info=Aor(AoR=_shown(name), HashID=zlib.crc32(name.encode("utf-8", "replace")), Contacts=contacts))

    def _contact(self, binding: Binding, now: float) -> Contact:
        ping = 1 if binding.cflags & _NATSIPPING else 0
        return {
            "Contact": {
                "Address": binding.contact,
                "Expires": int(binding.expires - now),
                "Q": binding.q,
                "Call-ID": binding.call_id,
                "CSeq": binding.cseq,
                "User-Agent": binding.user_agent or NOT_SET,
                "Received": binding.received or NOT_SET,
                "Path": binding.path or NOT_SET,
                "State": "CS_SYNC" if self._stored else "CS_NEW",
                "Flags": binding.flags,
                "CFlags": binding.cflags,
                "Socket": binding.socket or NOT_SET,
                "Methods": binding.methods,
                "Ruid": binding.ruid,
                "Instance": binding.instance or NOT_SET,
                "Reg-Id": binding.reg_id,
                "Server-Id": binding.server_id,
                "Tcpconn-Id": connection_number(binding.connection_id),
                "Keepalive": ping,
                "Last-Keepalive": int(binding.last_modified),
                "KA-Roundtrip": 0,
                "Last-Modified": int(binding.last_modified),
            }
        }

    @rpc("ul.lookup")
    def lookup(self, table: str, aor: str) -> Lookup:
        """The contacts of one address-of-record."""
        bindings = self._bindings(table, aor)
        now = self._parts.clock()
        return Lookup(AoR=_shown(self._canonical(aor)), Contacts=[self._contact(binding, now) for binding in bindings])

    @rpc("ul.rm", changes=True)
    def rm(self, table: str, aor: str) -> Nothing:
        """Remove every contact of an address-of-record; it is no error when there is none."""
        _check_table(table)
        for binding in self._registrar.table.lookup(self._canonical(aor), 0.0):
            self._registrar.remove(binding)
        return {}

    @rpc("ul.rm_contact", changes=True)
    def rm_contact(self, table: str, aor: str, contact: str) -> Nothing:
        """Remove one contact of an address-of-record, by its URI."""
        _check_table(table)
        bindings = self._registrar.table.lookup(self._canonical(aor), 0.0)
        if not bindings:
            raise RpcError(404, "AOR not found")
        found = [binding for binding in bindings if binding.contact == contact]
        if not found:
            raise RpcError(404, "Contact not found")
        for binding in found:
            self._registrar.remove(binding)
        return {}

    @rpc("ul.add", changes=True)
    def add(
        self,
        table: str,
        aor: str,
        contact: str,
        expires: int,
        q: float = 1.0,
        path: str = ".",
        flags: int = 0,
        cflags: int = 0,
        methods: int = 0xFFFFFFFF,
    ) -> Deferred[Nothing]:
        """Register a contact by hand; one that is there is written over.

        Args:
            expires: Seconds.
            path: ``.`` for none.
            methods: Bits, as Kamailio's.
        """
        _check_table(table)
        name = self._canonical(aor)
        if not 1 <= expires <= 0xFFFFFFFF or not 0.0 <= q <= 1.0:
            raise RpcError(400, "expires has to be at least 1, q from 0 to 1")
        if not all(0 <= number <= 0xFFFFFFFF for number in (flags, cflags, methods)):
            raise RpcError(400, "flags, cflags and methods are numbers of 32 bits")
        if path == ".":
            path = ""
        if not (_is_plain(contact) and (not path or _is_plain(path))):
            raise RpcError(400, "contact and path have to be printable, of at most 512 characters")
        try:
            SipUri.parse(contact)
        except ParseError as error:
            raise RpcError(400, f"contact: {error.reason}") from None
        done: Deferred[Nothing] = self._parts.admit(self._binding(name, contact, expires, q, path, flags, cflags, methods))
        return done.addCallback(lambda _: Nothing())

    def _binding(self, aor: str, contact: str, expires: int, q: float, path: str, flags: int, cflags: int, methods: int) -> Binding:
        now = self._parts.clock()
        old = next((b for b in self._registrar.table.lookup(aor, now) if b.contact == contact), None)
        if old is None:
            self._added += 1
        ruid = old.ruid if old is not None else f"ulcx-{BOOT}-{base36(self._added)}"
        binding = Binding(aor, contact, now + expires, ruid, call_id=f"{BOOT}@rpc", cseq=1, q=q, user_agent=_AGENT, path=path)
        binding.flags, binding.cflags, binding.methods, binding.last_modified = flags, cflags, methods, now
        return binding

    @rpc("ul.flush", changes=True)
    def flush(self) -> Deferred[Nothing]:
        """Wait until every change that is known now is in the store."""
        done: Deferred[Nothing] = self._parts.flush()
        return done.addCallback(lambda _: Nothing())

    @rpc("ul.db_users")
    def db_users(self, table: str) -> Deferred[int]:
        """Count the addresses-of-record in the store that have a contact which hasn't expired."""
        now = self._parts.clock()
        users: set[str] = set()
        return self._read(table, lambda rows: users.update(row.aor for row in rows if row.expires > now), lambda: len(users))

    @rpc("ul.db_contacts")
    def db_contacts(self, table: str) -> Deferred[int]:
        """Count the contacts in the store that haven't expired."""
        return self._count(table, True)

    @rpc("ul.db_expired_contacts")
    def db_expired_contacts(self, table: str) -> Deferred[int]:
        """Count the contacts in the store that have expired."""
        return self._count(table, False)

    def _count(self, table: str, live: bool) -> Deferred[int]:
        now = self._parts.clock()
        counts = [0]

        def take(rows: list[Binding]) -> None:
            counts[0] += sum((row.expires > now) is live for row in rows)

        return self._read(table, take, lambda: counts[0])

    def _read(self, table: str, take: Any, result: Any) -> Deferred[int]:
        _check_table(table)
        if not self._stored or self._parts.storage is None:
            raise RpcError(500, "Command is not supported in db_mode=0")
        reading: Deferred[int] = self._parts.storage.location.load(take)
        return reading.addCallback(lambda _: result())

    def _canonical(self, aor: str) -> str:
        text = aor if aor.startswith(("sip:", "sips:")) else f"sip:{aor}"
        try:
            name = SipUri.parse(text).aor
        except ParseError as error:
            raise RpcError(400, f"{aor[:80]!r} is no address: {error.reason}") from None
        canonical: str = self._registrar.canonical(name)
        return canonical

    def _bindings(self, table: str, aor: str) -> list[Binding]:
        _check_table(table)
        bindings: list[Binding] = self._registrar.table.lookup(self._canonical(aor), self._parts.clock())
        if not bindings:
            raise RpcError(500, "AOR not found in location table")
        return bindings


def _check_table(table: str) -> None:
    if table != TABLE:
        raise RpcError(500, "Domain table not found")


def _shown(aor: str) -> str:
    """A name of the table as people write it: without the @ where domains don't count."""
    return aor.removesuffix("@")


def _is_plain(text: str) -> bool:
    return 0 < len(text) <= 512 and text.isprintable()
