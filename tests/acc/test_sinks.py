"""Sinks take each record once, or say that they haven't."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from sipnode.acc.record import CallRecord
from sipnode.acc.sinks import KamailioTables, LineFile, Webhook
from sipnode.base.trace import Tracing
from sipnode.errors import StorageError

from .test_journal import ENDED


def records(first: int, count: int) -> list[CallRecord]:
    """Of different calls."""
    return [replace(ENDED, id=f"id{number}") for number in range(first, first + count)]


class LineFileTests(SynchronousTestCase):
    """A file of JSON lines."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def take(self, given: list[CallRecord], file: LineFile | None = None) -> None:
        """By a file of a new process, or by this one."""
        self.successResultOf((file or LineFile(str(self.path), maybeDeferred)).take(given))

    def ids(self) -> list[str]:
        """Of the lines."""
        return [json.loads(line)["id"] for line in self.path.read_text().splitlines()]

    def test_lines(self) -> None:
        """A line for each, with what follows from the fields; nobody else may read it."""
        self.take(records(0, 2))
        line = json.loads(self.path.read_text().splitlines()[0])
        self.assertEqual((line["caller"], line["duration_seconds"], line["mos"]), ("alice@example.test", 60.0, 0.0))
        self.assertEqual(os.stat(self.path).st_mode & 0o137, 0)

    def test_again(self) -> None:
        """What was written before a crash isn't written again, and what follows is."""
        self.take(records(0, 3))
        self.take(records(1, 4))
        self.assertEqual(self.ids(), ["id0", "id1", "id2", "id3", "id4"])

    def test_cut_line(self) -> None:
        """A line that a crash has cut is ended, and its record written whole."""
        self.take(records(0, 2))
        self.path.write_bytes(self.path.read_bytes()[:-20])
        self.take(records(1, 1))
        lines = self.path.read_text().splitlines()
        self.assertEqual((len(lines), json.loads(lines[2])["id"]), (3, "id1"))

    def test_moved_away(self) -> None:
        """A file that was rotated is made anew."""
        file = LineFile(str(self.path), maybeDeferred)
        self.take(records(0, 1), file)
        self.path.rename(f"{self.path}.1")
        self.take(records(1, 1), file)
        self.assertEqual(self.ids(), ["id1"])

    def test_no_folder(self) -> None:
        """It says why not."""
        file = LineFile(str(self.path / "gone" / "calls.json"), maybeDeferred)
        failure = self.failureResultOf(file.take(records(0, 1)), StorageError)
        self.assertIn("No such file or directory", failure.getErrorMessage())


class Answer:
    """Of HTTP."""

    def __init__(self, status: int) -> None:
        self.status = status


class Http:
    """A client that notes what it is asked."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.asked: list[tuple[str, bytes, dict[str, str]]] = []

    def request(self, method: str, url: str, body: bytes | None, headers: dict[str, str] | None = None) -> Deferred[Any]:
        """As of routing.http."""
        assert method == "POST" and body is not None and headers is not None
        self.asked.append((url, body, headers))
        return succeed(Answer(self.status))


class WebhookTests(SynchronousTestCase):
    """A service that is told."""

    def test_signed(self) -> None:
        """The signature can be made again from time, body and secret; the id tells a repeat."""
        http = Http(204)
        self.successResultOf(Webhook(http, "https://site.test/cdr", "shh", lambda: 1_700_000_000.9).take([ENDED]))
        url, body, headers = http.asked[0]
        wanted = hmac.new(b"shh", b"1700000000." + body, hashlib.sha256).hexdigest()
        self.assertEqual(headers["Sipnode-Signature"], f"t=1700000000,v1={wanted}")
        self.assertEqual((url, headers["Sipnode-Record"], json.loads(body)["id"]), ("https://site.test/cdr", "id1", "id1"))

    def test_traced(self) -> None:
        """It is told which trace the call is, where calls are traced."""
        http = Http(204)
        tracing = Tracing(1, 1.0)
        self.successResultOf(Webhook(http, "https://site.test/cdr", "", lambda: 0.0, tracing.parent).take([ENDED]))
        self.successResultOf(Webhook(http, "https://site.test/cdr", "", lambda: 0.0).take([ENDED]))
        self.assertEqual([headers.get("traceparent") for _, _, headers in http.asked], [tracing.parent(ENDED.call_id), None])

    def test_refused(self) -> None:
        """Only a 2xx takes it; without a secret nothing is signed."""
        for status in (199, 302, 404, 500):
            http = Http(status)
            failure = self.failureResultOf(Webhook(http, "http://x.test", "", lambda: 0.0).take([ENDED]), StorageError)
            self.assertIn(str(status), failure.getErrorMessage())
            self.assertNotIn("Sipnode-Signature", http.asked[0][2])


class KamailioTablesTests(SynchronousTestCase):
    """Statements for PostgreSQL; tests/live runs them."""

    def test_statement(self) -> None:
        """One transaction of all, each row once, into its own table."""
        asked: list[tuple[str, Any]] = []
        command: Callable[[str, Any], Deferred[None]] = lambda sql, arguments: asked.append((sql, arguments)) or succeed(None)  # type: ignore[func-returns-value]  # noqa: E731
        missed = replace(ENDED, answered=0.0)
        self.successResultOf(KamailioTables(command).take([ENDED, missed]))
        ((sql, arguments),) = asked
        self.assertEqual([part.split()[2] for part in sql.split("; ")], ["acc", "missed_calls"])
        self.assertEqual(sql.count("%s"), len(arguments))

    def test_away(self) -> None:
        """A database that is away is told."""
        sink = KamailioTables(lambda sql, arguments: fail(StorageError("it is away")))
        self.failureResultOf(sink.take([ENDED]), StorageError)
