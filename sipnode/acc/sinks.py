"""Those who get the records: a file of JSON lines, a webhook, and Kamailio's tables in PostgreSQL.

Invariant: a sink fires when the records are where they belong and not before. After a crash it may be given a record again, which the file
tells by its last lines, the tables by ``record_id``, and a webhook's service by the header ``Sipnode-Record``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred

from sipnode.acc.record import COLUMNS, CallRecord
from sipnode.errors import StorageError

_TAIL: Final = 1 << 18
"""Octets of a file's end that are looked through for records that are there already; more than one batch."""
MODE: Final = 0o640


class Sink(Protocol):
    """A taker of records.

    Attributes:
        name: In the journal, metrics and RPC. batch: Records that it takes at once.
    """

    name: str
    batch: int

    def take(self, records: Sequence[CallRecord]) -> Deferred[None]:
        """Take them all; fails when it has not, and is given them again later."""
        ...


class LineFile:
    """A file to which a line of JSON is added for each call. It may be moved away at any time: the next record makes a new one.

    Args:
        path: Where. run: Calls a function in a thread of its own.
    """

    name = "file"
    batch = 200

    def __init__(self, path: str, run: Callable[..., Deferred[Any]]) -> None:
        self._path = path
        self._run = run
        self._known: set[str] | None = None

    def take(self, records: Sequence[CallRecord]) -> Deferred[None]:
        """They are on disk when it fires."""
        return self._run(self.write, list(records))

    def write(self, records: Sequence[CallRecord]) -> None:
        """Add the lines; blocks.

        Raises:
            StorageError: it can't be written.
        """
        try:
            if self._known is None:
                self._known = self._last()
            lines = [record.to_json() for record in records if record.id not in self._known]
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
            try:
                _write_all(descriptor, "".join(f"{line}\n" for line in lines).encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as fault:
            # A part may have been written: the next try looks at what is there.
            self._known = None
            raise StorageError(f"{self._path}: {fault.strerror or fault}") from fault
        self._known = {record.id for record in records}

    def _last(self) -> set[str]:
        """Ids in the last lines. A line that was cut by a crash is ended."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            return set()
        try:
            size = os.fstat(descriptor).st_size
            tail = os.pread(descriptor, _TAIL, max(0, size - _TAIL))
            if tail and not tail.endswith(b"\n"):
                _write_all(descriptor, b"\n")
        finally:
            os.close(descriptor)
        known = set()
        for line in tail.split(b"\n"):
            try:
                known.add(str(json.loads(line)["id"]))
            except (ValueError, KeyError, TypeError):
                continue
        return known


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


class HttpAsker(Protocol):
    """As :class:`sipnode.routing.http.HttpClient` is."""

    def request(self, method: str, url: str, body: bytes | None, headers: dict[str, str] | None = None) -> Deferred[Any]:
        """A request; fires with an answer that has ``status``."""
        ...


class Webhook:
    """A service that is told of each call by POST, one at a time, in their order.

    ``Sipnode-Signature: t=EPOCH,v1=HEX`` is HMAC-SHA256 with the secret over ``EPOCH.BODY``; any 2xx takes the record.

    Args:
        http: Client. url: http or https. secret: Shared with the service, "" for no signature. seconds: Epoch seconds.
        parent: Gives the ``traceparent`` of a call; None where nothing is traced.
    """

    name = "webhook"
    batch = 1

    def __init__(
        self, http: HttpAsker, url: str, secret: str, seconds: Callable[[], float], parent: Callable[[str], str] | None = None
    ) -> None:
        self._http = http
        self._url = url
        self._secret = secret.encode()
        self._seconds = seconds
        self._parent = parent

    def take(self, records: Sequence[CallRecord]) -> Deferred[None]:
        """The service has it when it fires."""
        (record,) = records
        body = record.to_json().encode()
        headers = {"Content-Type": "application/json", "Sipnode-Record": record.id}
        if self._parent is not None:
            headers["traceparent"] = self._parent(record.call_id)
        if self._secret:
            headers["Sipnode-Signature"] = signature(self._secret, int(self._seconds()), body)
        return self._http.request("POST", self._url, body, headers).addCallback(self._answered)

    def _answered(self, answer: Any) -> None:
        if not 200 <= answer.status < 300:
            raise StorageError(f"the webhook answered {answer.status}")


def signature(secret: bytes, now: int, body: bytes) -> str:
    """Value of ``Sipnode-Signature``."""
    return f"t={now},v1={hmac.new(secret, str(now).encode() + b'.' + body, hashlib.sha256).hexdigest()}"


_ROW: Final = (
    f"INSERT INTO {{0}} ({', '.join(COLUMNS)}) SELECT {', '.join(['%s'] * len(COLUMNS))} "
    "WHERE NOT EXISTS (SELECT 1 FROM {0} WHERE callid = %s AND record_id = %s)"
)


class KamailioTables:
    """``acc`` and ``missed_calls`` of a PostgreSQL database, with the columns that ``sipnode db init`` adds.

    Args:
        command: Runs statements as one transaction: :meth:`sipnode.storage.postgres.store.PostgresStorage.command`.
    """

    name = "database"
    batch = 50

    def __init__(self, command: Callable[[str, Sequence[Any]], Deferred[None]]) -> None:
        self._command = command

    def take(self, records: Sequence[CallRecord]) -> Deferred[None]:
        """The rows are committed when it fires."""
        statements: list[str] = []
        arguments: list[Any] = []
        for record in records:
            row = record.row()
            statements.append(_ROW.format("missed_calls" if record.missed else "acc"))
            arguments += [*(row[name] for name in COLUMNS), row["callid"], row["record_id"]]
        return self._command("; ".join(statements), arguments)
