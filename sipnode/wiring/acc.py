"""Wiring of accounting: the journal and its thread, the sinks that are wanted, and what tells it of calls and of media."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sipnode.acc.journal import Journal
from sipnode.acc.service import Accounting
from sipnode.acc.sinks import KamailioTables, LineFile, Sink, Webhook
from sipnode.base.trace import Tracing
from sipnode.dialog.call import CONFIRMED, TERMINATED
from sipnode.errors import ConfigError
from sipnode.routing.http import HttpClient
from sipnode.storage.worker import Worker

if TYPE_CHECKING:
    from sipnode.acc.record import Key
    from sipnode.media.service import MediaService
    from sipnode.routing.core import Core
    from sipnode.settings import Settings

FILE: Final = "acc.sqlite"
DAY: Final = 86400.0


def sinks_of(settings: Settings, state_dir: Path, storage: Any, reactor: Any, worker: Worker) -> list[Sink]:
    """Those that get records, beside the journal's own tables.

    Raises:
        ConfigError: a file in a folder that isn't there.
    """
    acc = settings.acc
    sinks: list[Sink] = []
    if acc.tables and in_postgres(settings):
        sinks.append(KamailioTables(storage.command))
    if acc.file:
        path = state_dir / acc.file
        if not path.parent.is_dir() or path.is_dir():
            raise ConfigError(f"{path} can't be a file: {'it is a folder' if path.is_dir() else 'its folder is not there'}", key="acc.file")
        sinks.append(LineFile(str(path), worker.run))
    if acc.webhook:
        parent = Tracing(settings.node.id, settings.otel.share).parent if settings.otel.endpoint else None
        sinks.append(Webhook(HttpClient(reactor), acc.webhook, acc.webhook_secret, reactor.seconds, parent))
    return sinks


def in_postgres(settings: Settings) -> bool:
    """Whether the tables are those of the store's database."""
    return settings.storage.url.partition(":")[0].lower() in ("postgres", "postgresql")


def build_accounting(core: Core, state_dir: Path, storage: Any, media: MediaService, reactor: Any) -> Accounting | None:
    """Account for the calls of a core, where somebody wants records.

    Args:
        storage: IStorage; its ``command`` is used where it is PostgreSQL.

    Returns:
        The service, None where nobody wants records.

    Raises:
        ConfigError: a sink that can't be.
    """
    settings, acc = core.settings, core.settings.acc
    if not acc.wanted:
        return None
    worker = Worker(reactor, "acc")
    sinks = sinks_of(settings, state_dir, storage, reactor, worker)
    own_tables = acc.tables and not in_postgres(settings)
    names = [sink.name for sink in sinks]

    def opened() -> Journal:
        return Journal(str(state_dir / FILE), names, own_tables, acc.queue)

    def living() -> list[Key]:
        return [(call.call_id, call.from_tag, call.to_tag) for call in core.dialogs.list()]

    lifetime, keep = settings.dialog.max_seconds, acc.keep_days * DAY
    accounting = Accounting(reactor, opened, worker.run, sinks, settings.node.id, lifetime, living, keep, worker.stop)
    core.dialogs.on_change(accounting.confirmed, CONFIRMED)
    core.dialogs.on_change(accounting.terminated, TERMINATED)
    former = core.dialogs.on_unknown

    def passed(method: str, call_id: str, from_tag: str, to_tag: str) -> None:
        if former is not None:
            former(method, call_id, from_tag, to_tag)
        accounting.passed(method, call_id, from_tag, to_tag)

    core.dialogs.on_unknown = passed
    media.measured_by(accounting.deleted)
    media.unrecorded_by(accounting.unrecorded)
    return accounting
