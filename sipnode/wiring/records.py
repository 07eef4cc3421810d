"""Wiring of what is done with the records of calls that have ended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sipnode.errors import ConfigError
from sipnode.insight.archive import Archive
from sipnode.insight.finished import Finished
from sipnode.insight.shelf import Shelf
from sipnode.storage.worker import Worker

if TYPE_CHECKING:
    from pathlib import Path

    from twisted.application.service import IService

    from sipnode.insight.service import Insight
    from sipnode.settings import RecorderSettings


def records_of(insight: Insight, settings: RecorderSettings, state_dir: Path, reactor: Any) -> tuple[IService, ...]:
    """The services that get records of calls which have ended, the one last that hands them out; none where nobody wants any.

    Raises:
        ConfigError: the folder can't be used.
    """
    recorder = insight.keeper
    archive = archive_of(insight, settings, state_dir, reactor)
    if recorder is None or archive is None:
        return ()
    insight.archive = archive
    finished = insight.finished = Finished(reactor)
    finished.takers.append(archive.take)
    recorder.finished = finished.ended
    return (archive, finished)


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
