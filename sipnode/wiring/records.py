"""Wiring of what is done with the records of calls that have ended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from sipnode import __version__
from sipnode.base.trace import Tracing
from sipnode.errors import ConfigError
from sipnode.insight.archive import Archive
from sipnode.insight.exporter import Exporter
from sipnode.insight.finished import Finished
from sipnode.insight.shelf import Shelf
from sipnode.routing.http import HttpClient
from sipnode.storage.worker import Worker

if TYPE_CHECKING:
    from pathlib import Path

    from twisted.application.service import IService
    from twisted.internet.defer import Deferred

    from sipnode.insight.service import Insight
    from sipnode.settings import RecorderSettings, Settings

COLLECTOR_SECONDS: Final = 10.0
"""How long a collector may take; nobody waits for it."""


def records_of(insight: Insight, settings: Settings, state_dir: Path, reactor: Any) -> tuple[IService, ...]:
    """The services that get records of calls which have ended, the one last that hands them out; none where nobody wants any.

    Raises:
        ConfigError: nothing is recorded, or the folder can't be used.
    """
    archive = insight.archive = archive_of(insight, settings.recorder, state_dir, reactor)
    exporter = insight.exporter = exporter_of(insight, settings, reactor)
    takers = [each for each in (archive, exporter) if each is not None]
    if insight.keeper is None or not takers:
        return ()
    finished = insight.finished = Finished(reactor)
    finished.takers += [each.take for each in takers]
    insight.keeper.finished = finished.ended
    return (*takers, finished)


def exporter_of(insight: Insight, settings: Settings, reactor: Any) -> Exporter | None:
    """Traces of calls to a collector, None where there is none.

    Raises:
        ConfigError: nothing is recorded.
    """
    otel, recorder = settings.otel, insight.keeper
    if not otel.endpoint:
        return None
    if recorder is None:
        raise ConfigError("it needs [recorder] enabled = true", key="otel.endpoint")
    client, worker = HttpClient(reactor, COLLECTOR_SECONDS), Worker(reactor, "otel")
    name, _, value = otel.header.partition(":")
    headers = {"Content-Type": "application/json", **({name: value.strip()} if name else {})}
    resource = {"service.name": otel.service, "service.version": __version__, "service.instance.id": str(settings.node.id)}

    def post(body: bytes) -> Deferred[int]:
        return client.request("POST", otel.endpoint, body, headers).addCallback(lambda answer: answer.status)

    def stopped() -> None:
        worker.stop()
        client.close()

    tracing = Tracing(settings.node.id, otel.share)
    return Exporter(reactor, tracing, lambda: insight.around, recorder.closings, worker.run, post, resource, __version__, stopped)


def archive_of(insight: Insight, settings: RecorderSettings, state_dir: Path, reactor: Any) -> Archive | None:
    """Records of calls that failed on the disk, None where none are wanted.

    Raises:
        ConfigError: nothing is recorded, or the folder can't be used.
    """
    if not settings.folder:
        return None
    recorder = insight.keeper
    if recorder is None:
        raise ConfigError("it needs [recorder] enabled = true", key="recorder.folder")
    folder = state_dir / settings.folder
    above = next(path for path in (folder, *folder.parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ConfigError(f"{above} can't be written into", key="recorder.folder")
    worker = Worker(reactor, "records")
    octets = settings.folder_megabytes * 1048576
    return Archive(
        reactor, lambda: insight.around, recorder.closings, Shelf(folder), worker.run, octets, settings.folder_seconds, worker.stop
    )
