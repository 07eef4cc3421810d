"""The server built as a start builds it, but for its folder: what a room refuses is written down, and taken out for the next try.

So every room's own word is heard, and none is said twice in this code.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sipnode.app import build
from sipnode.errors import ConfigError, StorageError
from sipnode.settings import NAMED, Settings, sections

MOST_TRIES: Final = 60
_SECURE: Final = ("tls", "wss")
_WHOLE: Final = ("manhole", "node")
"""Sections whose settings are about one another."""

Build = Callable[..., Any]


def built(
    settings: Settings, folder: Path, file: str, reactor: Any, fault: Callable[[ConfigError], None], make: Build = build
) -> Any:
    """The server, not started, of what could be used; None where nothing could.

    Args:
        fault: Told of each fault.
        make: As :func:`sipnode.app.build`.
    """
    with tempfile.TemporaryDirectory(prefix="sipnode-check-") as state:
        # Files of a first start (secret, token) are made there and go with it.
        left: Settings | None = dataclasses.replace(settings, core=dataclasses.replace(settings.core, state_dir=state))
        for _ in range(MOST_TRIES):
            if left is None:
                return None
            try:
                return make(left, folder, reactor, conf_file=file)
            except ConfigError as error:
                fault(error)
                left = without(left, error)
            except StorageError as error:
                fault(ConfigError(str(error), key="storage.url"))
                left = dataclasses.replace(left, storage=dataclasses.replace(left.storage, url="memory:"))
    return None


def without(settings: Settings, error: ConfigError) -> Settings | None:
    """The settings without what an error is about; None where that can't be told.

    Of a list only the items go that the error names; a setting that is as it comes already takes its whole section with it.
    """
    section, _, name = error.key.partition(".")
    if error.key.startswith("[") or section == "tls" or (error.file and section not in _sections()):
        return _without_tls(settings)
    if section in NAMED:
        # As a whole: what is left of one can't be told.
        every: dict[str, Any] = dict(getattr(settings, section))
        gone: Any = every.pop(name.partition(".")[0], None)
        changed: dict[str, Any] = {section: every}
        return dataclasses.replace(settings, **changed) if gone is not None else None
    if section not in _sections():
        return None
    content = getattr(settings, section)
    fresh = type(content)()
    if name not in {field.name for field in dataclasses.fields(content)}:
        return None
    value, default = getattr(content, name), getattr(fresh, name)
    if isinstance(value, tuple):
        kept = tuple(item for item in value if str(item) not in error.reason)
        if 0 < len(kept) < len(value):
            return dataclasses.replace(settings, **{section: dataclasses.replace(content, **{name: kept})})
    if value != default and section not in _WHOLE:
        return dataclasses.replace(settings, **{section: dataclasses.replace(content, **{name: default})})
    if content == fresh or section == "core":
        return None
    return dataclasses.replace(settings, **{section: fresh})


def _sections() -> set[str]:
    return {*sections(), *NAMED}


def _without_tls(settings: Settings) -> Settings | None:
    plain = tuple(line for line in settings.core.listen if not line.lower().startswith(_SECURE))
    nowhere = "no-such-tls.cfg"
    if settings.tls.config == nowhere:
        return None
    core = dataclasses.replace(settings.core, listen=plain or type(settings.core)().listen)
    return dataclasses.replace(settings, core=core, tls=dataclasses.replace(settings.tls, config=nowhere))
