"""The configuration read anew while the server runs: what can change does, what can't is named.

The invariant: a file with a fault changes nothing, and a part that refuses its new values keeps the old ones.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from twisted.logger import Logger

from sipnode import config
from sipnode.errors import ConfigError, SipnodeError
from sipnode.settings import NAMED, Settings, sections

Apply = Callable[[Settings, Settings], Any]


class Part(NamedTuple):
    """Something that can take new settings.

    Attributes:
        name: What the log calls it.
        keys: ``section`` or ``section.key`` that it takes.
        apply: ``(new, old) -> what there is to say``, "" or None for nothing; raises a SipnodeError to keep the old ones.
    """

    name: str
    keys: tuple[str, ...]
    apply: Apply


class Report(NamedTuple):
    """Result of a reload.

    Attributes:
        done: A sentence for each part that was read anew.
        refused: A sentence for each fault; what it is about stays as it was.
        restart: Settings that differ from those in force and need a restart.
    """

    done: list[str]
    refused: list[str]
    restart: list[str]


class Reloader:
    """Reads the configuration anew.

    Args:
        settings: Those in force.
        path: Of the configuration, as ``-c`` takes it.

    Attributes:
        settings: Those in force now.
        filed: Those of the file, as of the last start or reload.
        around: Told ``True`` before and ``False`` after each reload.
        reported: Told what came of each.
    """

    log = Logger(namespace="sipnode.reload")

    def __init__(self, settings: Settings, path: str) -> None:
        self.settings = self.filed = settings
        self.around: Callable[[bool], Any] = lambda begins: None
        self.reported: Callable[[Report], Any] = lambda report: None
        self._path = path
        self._parts: list[Part] = []

    def add(self, name: str, keys: Iterable[str], apply: Apply) -> None:
        """Have a part take part; see :class:`Part`."""
        self._parts.append(Part(name, tuple(keys), apply))

    def reload(self) -> Report:
        """Read and apply; says in the log what came of it."""
        self.around(True)
        try:
            report = self._reload()
        finally:
            self.around(False)
        for text in report.refused:
            self.log.error("not taken: {text}", text=text)
        if report.done:
            self.log.info("read anew: {done}", done="; ".join(report.done))
        if report.restart:
            self.log.warn("these need a restart: {keys}", keys=", ".join(report.restart))
        self.reported(report)
        return report

    def takes(self, key: str) -> bool:
        """Whether a part takes a setting, ``section.key``, while the server runs."""
        return any(_has(part, key) for part in self._parts)

    def change(self, old: Settings, new: Settings) -> Report:
        """Put other settings in force until the next reload. Only parts that take what differs are asked; no file is read.

        Args:
            old: As the parts have them, which they may know better than this object.
        """
        return self._take(old, new, every=False)

    def _reload(self) -> Report:
        try:
            file = config.find(self._path)
            new, errors = config.read(file.read_text("utf-8"), str(file), os.environ)
        except (ConfigError, OSError, UnicodeDecodeError) as error:
            return Report([], [str(error)], [])
        if errors:
            return Report([], list(map(str, errors)), [])
        report = self._take(self.settings, new, every=True)
        self.filed = self.settings
        return report

    def _take(self, old: Settings, new: Settings, every: bool) -> Report:
        """Give new settings to the parts: to each, as files may have changed, or only to those whose own have."""
        report = Report([], [], [])
        changed = set(differences(old, new))
        taken: set[str] = set()
        for part in self._parts:
            keys = {key for key in changed if _has(part, key)}
            if not keys and not every:
                continue
            try:
                said = part.apply(new, old)
            except ConfigError as error:
                # Only what was read from the file has a line in it.
                report.refused.append(f"{part.name}: {config.placed(error, self._path) if every else error}")
            except (SipnodeError, OSError, ValueError) as error:
                report.refused.append(f"{part.name}: {error}")
            else:
                report.done.append(f"{part.name}: {said}" if said else part.name)
                taken |= keys
                continue
            # It was refused, and will be tried again next time.
            changed -= keys
        self.settings = _with(self.settings, new, taken)
        report.restart.extend(sorted(changed - taken))
        return report


def _has(part: Part, key: str) -> bool:
    return key in part.keys or key.partition(".")[0] in part.keys


def differences(old: Settings, new: Settings) -> list[str]:
    """``section.key`` of each setting that isn't the same."""
    found = []
    for section in sections():
        before, after = getattr(old, section), getattr(new, section)
        names = [field.name for field in dataclasses.fields(before)]
        found += [f"{section}.{name}" for name in names if getattr(before, name) != getattr(after, name)]
    for group in NAMED:
        was, now = getattr(old, group), getattr(new, group)
        found += [f"{group}.{name}" for name in sorted({*was, *now}) if was.get(name) != now.get(name)]
    return found


def _with(old: Settings, new: Settings, keys: set[str]) -> Settings:
    """The old settings, with these keys from the new ones."""
    changed: dict[str, Any] = {}
    for section in sections():
        before, after = getattr(old, section), getattr(new, section)
        names = [field.name for field in dataclasses.fields(before)]
        wanted = {name: getattr(after, name) for name in names if f"{section}.{name}" in keys}
        changed[section] = dataclasses.replace(before, **wanted)
    return dataclasses.replace(old, **changed)
