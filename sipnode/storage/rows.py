"""Bindings as rows of ``location`` and back, column by column as Kamailio's version 9 names them. Pure.

Invariant: ``binding_of(row_of(binding)) == binding`` for every binding, with any octets in its texts.
"""

from __future__ import annotations

from typing import Any, Final

from sipnode.records import Binding, BindingFlag

COLUMNS: Final = (
    "ruid", "username", "domain", "contact", "received", "path", "expires", "q", "callid", "cseq", "last_modified", "flags",
    "cflags", "user_agent", "socket", "methods", "instance", "reg_id", "server_id", "connection_id", "keepalive",
)  # fmt: skip
_LARGEST: Final = (1 << 63) - 1

# Rows of a chunk when the table is loaded: some 20 ms of work for the reactor.
CHUNK: Final = 2000

Row = tuple[Any, ...]


def account_of(aor: str) -> tuple[str, str | None]:
    """``user@host`` as the columns (username, domain); without a domain that is NULL."""
    username, at, domain = aor.rpartition("@")
    return (username, domain) if at else (domain, None)


def text_value(text: str) -> str | bytes:
    """Text as the database takes it: octets that aren't UTF-8 (surrogate escapes in a header) go in as a blob."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return text.encode("utf-8", "surrogateescape")
    return text


def text_of(value: str | bytes | None) -> str:
    """The reverse of :func:`text_value`; NULL is ""."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value or ""


def row_of(binding: Binding) -> Row:
    """Values in the order of :data:`COLUMNS`; "" is NULL where Kamailio has NULL."""
    username, domain = account_of(binding.aor)
    return (
        binding.ruid,
        text_value(username),
        None if domain is None else text_value(domain),
        text_value(binding.contact),
        text_value(binding.received) or None,
        text_value(binding.path) or None,
        binding.expires,
        binding.q,
        text_value(binding.call_id),
        min(binding.cseq, _LARGEST),
        binding.last_modified,
        binding.flags,
        binding.cflags,
        text_value(binding.user_agent),
        binding.socket or None,
        binding.methods,
        text_value(binding.instance) or None,
        min(binding.reg_id, _LARGEST),
        binding.server_id,
        binding.connection_id,
        1 if binding.cflags & BindingFlag.NATSIPPING else 0,
    )


def binding_of(row: Row) -> Binding:
    """A binding from the values of :data:`COLUMNS`."""
    username = text_of(row[1])
    return Binding(
        aor=username if row[2] is None else f"{username}@{text_of(row[2])}",
        contact=text_of(row[3]),
        expires=row[6],
        ruid=row[0],
        call_id=text_of(row[8]),
        cseq=row[9],
        q=row[7],
        user_agent=text_of(row[13]),
        received=text_of(row[4]),
        path=text_of(row[5]),
        socket=text_of(row[14]),
        methods=0xFFFFFFFF if row[15] is None else row[15],
        instance=text_of(row[16]),
        reg_id=row[17],
        flags=row[11],
        cflags=row[12],
        connection_id=row[19],
        last_modified=row[10],
        server_id=row[18],
    )
