"""Bindings as rows of Kamailio's ``location`` in PostgreSQL, and back. Pure.

Invariant: what Kamailio writes can be read, and no value of a client makes the server refuse a whole batch: numbers and texts
are cut to their columns. PostgreSQL's text holds neither NUL nor octets that aren't UTF-8: each such octet XX is stored as
the private character U+EFXX.
"""

from __future__ import annotations

import re
import zlib
from typing import Any, Final

from sipnode.records import Binding, BindingFlag
from sipnode.storage.postgres.saving import Saving
from sipnode.storage.rows import account_of

# Name, type of the array that it comes in, length of a text (0 for numbers).
_COLUMNS: Final = (
    ("ruid", "text", 64), ("username", "text", 64), ("domain", "text", 64), ("contact", "text", 512), ("received", "text", 128),
    ("path", "text", 512), ("expires", "float8", 0), ("q", "float4", 0), ("callid", "text", 255), ("cseq", "int4", 0),
    ("last_modified", "float8", 0), ("flags", "int4", 0), ("cflags", "int4", 0), ("user_agent", "text", 255), ("socket", "text", 64),
    ("methods", "int4", 0), ("instance", "text", 255), ("reg_id", "int4", 0), ("server_id", "int4", 0), ("connection_id", "int4", 0),
    ("keepalive", "int4", 0), ("flow", "text", 64),
)  # fmt: skip
_TIMES: Final = ("expires", "last_modified")
_LARGEST: Final = (1 << 31) - 1
_ODD: Final = re.compile("[\x00\udc80-\udcff\uef00-\uefff]")
_HIDDEN: Final = re.compile("[\uef00-\uefff]+")


class Statements:
    """SQL for a ``location`` table. Times are in the zone of the session, as Kamailio has them in the zone of its machine.

    Args:
        with_flow: It has the column ``flow``, which ``sipnode db init`` adds: Kamailio's connection_id holds no token.
    """

    def __init__(self, with_flow: bool) -> None:
        columns = _COLUMNS if with_flow else _COLUMNS[:-1]
        names = [name for name, _, _ in columns]
        read = [f"extract(epoch FROM {name}::timestamptz)::float8" if name in _TIMES else name for name in names]
        select = f"SELECT {', '.join(read)}{'' if with_flow else ', NULL'}, id FROM location"
        self.page = f"{select} WHERE id > %s ORDER BY id LIMIT %s"
        self.by_ruid = f"{select} WHERE ruid = ANY(%s) ORDER BY id"
        self.by_user = f"{select} WHERE username = %s AND domain IS NOT DISTINCT FROM %s ORDER BY id"
        times = {name: f"to_timestamp(new.{name})::timestamp" for name in _TIMES}
        self.saving = Saving("location", {name: kind for name, kind, _ in columns}, ("ruid",), times)
        self.delete = (
            "DELETE FROM location USING unnest(%s::text[], %s::int4[]) AS gone(ruid, node) "
            "WHERE location.ruid = gone.ruid AND location.server_id = coalesce(gone.node, location.server_id)"
        )
        self.purge = "DELETE FROM location WHERE expires < to_timestamp(%s)::timestamp"


def text_value(text: str, length: int = 512) -> str:
    """Text as PostgreSQL takes it."""
    if not text.isascii() or "\0" in text:
        text = _ODD.sub(lambda odd: "".join(chr(0xEF00 + octet) for octet in odd[0].encode("utf-8", "surrogateescape")), text)
    return text[:length]


def text_of(value: str | None) -> str:
    """The reverse of :func:`text_value`; NULL is ""."""
    if value is None or value.isascii():
        return value or ""
    return _HIDDEN.sub(lambda run: bytes(ord(one) - 0xEF00 for one in run[0]).decode("utf-8", "surrogateescape"), value)


def _socket_value(socket: str) -> str | None:
    """Kamailio names a WebSocket's socket by the protocol beneath, and skips a row whose socket it can't read."""
    if socket[:1] == "w":
        socket = f"tcp:{socket[3:]}" if socket[:3] == "ws:" else f"tls:{socket[4:]}"
    return socket[:64] or None


def _socket_of(socket: str | None, received: str | None) -> str:
    if not socket:
        return ""
    if socket[:1] == "t" and received and received.endswith(";transport=ws"):
        return f"ws:{socket[4:]}" if socket[:4] == "tcp:" else f"wss:{socket[4:]}"
    return socket


def row_of(binding: Binding) -> tuple[Any, ...]:
    """Values in the order of the columns; "" is NULL where Kamailio has NULL."""
    username, domain = account_of(binding.aor)
    token = binding.connection_id
    methods = binding.methods & 0xFFFFFFFF
    return (
        binding.ruid[:64],
        text_value(username, 64),
        None if domain is None else text_value(domain, 64),
        text_value(binding.contact),
        text_value(binding.received, 128) or None,
        text_value(binding.path) or None,
        binding.expires,
        binding.q,
        text_value(binding.call_id, 255),
        min(binding.cseq, _LARGEST),
        binding.last_modified,
        binding.flags & _LARGEST,
        binding.cflags & _LARGEST,
        text_value(binding.user_agent, 255),
        _socket_value(binding.socket),
        methods - (1 << 32) if methods > _LARGEST else methods,
        text_value(binding.instance, 255) or None,
        min(binding.reg_id, _LARGEST),
        binding.server_id,
        # Kamailio's number of a connection, -1 for none; for ours any number will do, the token stands in flow.
        (zlib.crc32(token.encode()) & _LARGEST) or 1 if token else -1,
        1 if binding.cflags & BindingFlag.NATSIPPING else 0,
        token[:64],
    )


def binding_of(row: tuple[Any, ...]) -> Binding:
    """A binding from a row of one of the selects."""
    (ruid, user, domain, contact, received, path, expires, q, call_id, cseq, modified, flags, cflags, agent, socket, methods) = row[:16]
    instance, reg_id, server_id, connection, _, flow = row[16:22]
    username = text_of(user)
    return Binding(
        username if domain is None else f"{username}@{text_of(domain)}",
        text_of(contact),
        expires,
        ruid,
        text_of(call_id),
        cseq,
        # Kamailio's "no q given" is -1.
        1.0 if q < 0 else q,
        text_of(agent),
        text_of(received),
        text_of(path),
        _socket_of(socket, received),
        0xFFFFFFFF if methods is None else methods & 0xFFFFFFFF,
        text_of(instance),
        reg_id,
        flags,
        cflags,
        flow or (str(connection) if not flow and flow is None and connection > 0 else ""),
        modified,
        server_id,
    )
