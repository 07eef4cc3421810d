"""Single settings read and changed while the server runs, as the ``cfg.*`` methods of the RPC ask for.

Nothing of it is written to the file, so a reload or a restart ends it. The invariant: a value passes the same checks as one in the file,
and only what a reload could take is taken; everything else is refused and stays as it is.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import typing
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from sipnode import config
from sipnode.errors import ConfigError
from sipnode.lifecycle.reload import Reloader
from sipnode.settings import Settings, sections

SECRET: Final = "(set)"
_MOST: Final = 1e15
"""Beyond it a number isn't one that anybody means, and floats of it aren't exact any more."""
_SWITCH: Final = {"yes": True, "on": True, "1": True, "true": True, "no": False, "off": False, "0": False, "false": False}
Value = int | float | bool | str | list[str]
_GROUPS: Final = sections()


class Pending(NamedTuple):
    """A change that waits for :meth:`LiveSettings.commit`."""

    group: str
    name: str
    old: Any
    new: Any


class LiveSettings:
    """The settings in force, one by one.

    Args:
        reloader: Puts settings in force; None where this server can't be changed.
        settings: Of the start, for a server without one.
        in_force: Settings as the parts have them by now, since limits and levels have other ways to be changed, too.
    """

    def __init__(self, reloader: Reloader | None, settings: Settings, in_force: Callable[[Settings], Settings]) -> None:
        self._reloader = reloader
        self._started = settings
        self._in_force = in_force
        self._pending: dict[tuple[str, str], Any] = {}

    def settings(self) -> Settings:
        """The settings in force now."""
        reloader = self._reloader
        return self._in_force(self._started if reloader is None else reloader.settings)

    # -- reading

    def names(self, group: str = "") -> list[tuple[str, str]]:
        """``(group, name)`` of every setting, or of those of one group; none for a group that isn't there."""
        return [(section, each.name) for section, kind in _GROUPS.items() if group in ("", section) for each in dataclasses.fields(kind)]

    def value(self, group: str, name: str) -> Any:
        """One value as JSON has it; a secret that is set reads ``(set)``.

        Raises:
            ConfigError: there is none of that name.
        """
        return _shown(_field(group, name), getattr(getattr(self.settings(), group), name))

    def help(self, group: str, name: str) -> str:
        """Its purpose, its bounds, its type, and whether it changes while the server runs; raises as :meth:`value`."""
        field = _field(group, name)
        kind = {int: "integer", float: "number", bool: "boolean", str: "string"}.get(_type(group, name), "list")
        when = "changes while the server runs" if self._can_change(group, name) else "needs a restart"
        return f"{field.metadata['meaning']}{config.bounds_text(field)} (parameter type is {kind}; {when})"

    # -- changing

    def set(self, group: str, name: str, value: Value) -> None:
        """Put a value in force at once.

        Raises:
            ConfigError: no such setting, one that needs a restart, a secret, a value that can't be, or a part that refuses it.
        """
        self._take({(group, name): self._checked(group, name, value)})

    def delay(self, group: str, name: str, value: Value) -> None:
        """Keep a value until :meth:`commit`; raises as :meth:`set`, but for what only the part itself can say."""
        self._pending[group, name] = self._checked(group, name, value)

    def pending(self) -> list[Pending]:
        """Changes that wait, in the order in which they came."""
        return [Pending(group, name, self.value(group, name), _plain(new)) for (group, name), new in self._pending.items()]

    def commit(self) -> None:
        """Put in force what waits; raises as :meth:`set`, and then nothing waits any more either."""
        waiting, self._pending = self._pending, {}
        self._take(waiting)

    def rollback(self) -> None:
        """Forget what waits."""
        self._pending = {}

    def reset(self, group: str) -> None:
        """Put a group back to what the file said at the last start or reload.

        Raises:
            ConfigError: there is no such group, or a part refuses.
        """
        if group not in _GROUPS:
            raise _no_group(group)
        filed = getattr(self._changer().filed, group)
        self._take({(group, name): getattr(filed, name) for group, name in self.names(group) if self._can_change(group, name)})

    def _take(self, values: dict[tuple[str, str], Any]) -> None:
        old = new = self.settings()
        for (group, name), value in values.items():
            new = dataclasses.replace(new, **{group: dataclasses.replace(getattr(new, group), **{name: value})})
        report = self._changer().change(old, new)
        if report.refused:
            raise ConfigError("; ".join(report.refused))

    def _changer(self) -> Reloader:
        reloader = self._reloader
        if reloader is None:
            raise ConfigError("this server takes no changes while it runs")
        return reloader

    def _can_change(self, group: str, name: str) -> bool:
        reloader = self._reloader
        return reloader is not None and not _field(group, name).metadata["secret"] and reloader.takes(f"{group}.{name}")

    def _checked(self, group: str, name: str, value: Value) -> Any:
        field = _field(group, name)
        reloader = self._changer()
        if field.metadata["secret"]:
            raise ConfigError("is a secret: write it into the file and reload, so that no log shows it", key=f"{group}.{name}")
        if not reloader.takes(f"{group}.{name}"):
            raise ConfigError("can't change while the server runs: write it into the file and restart", key=f"{group}.{name}")
        given = _read(value, _type(group, name))
        if isinstance(given, (int, float)) and not abs(given) < _MOST:
            raise ConfigError("is out of bounds", key=f"{group}.{name}")
        text = f"[{group}]\n{name} = {config.toml_value(tuple(given) if isinstance(given, list) else given)}\n"
        settings, faults = config.read(text)
        if faults:
            raise ConfigError(faults[0].reason, key=f"{group}.{name}")
        return getattr(getattr(settings, group), name)


def _read(value: Value, kind: Any) -> Any:
    """Convert a given value to the wanted type: at a shell there is only text, and Kamailio's switches are numbers."""
    if isinstance(value, str) and kind is not str:
        if kind is bool:
            return _SWITCH.get(value.lower(), value)
        try:
            read = json.loads(value)
        except (ValueError, RecursionError):
            read = value
        if kind not in (int, float) and not isinstance(read, list):
            return [word.strip() for word in value.split(",")]
        return read
    if kind is bool and isinstance(value, int) and value in (0, 1):
        return bool(value)
    return value


def _field(group: str, name: str) -> dataclasses.Field[Any]:
    if group not in _GROUPS:
        raise _no_group(group)
    fields = {each.name: each for each in dataclasses.fields(_GROUPS[group])}
    if name not in fields:
        raise ConfigError(f"there is no {group}.{name[:60]}{_near(name, fields)}")
    return fields[name]


def _type(group: str, name: str) -> Any:
    return typing.get_type_hints(_GROUPS[group])[name]


def _no_group(group: str) -> ConfigError:
    return ConfigError(f"there is no group {group[:60]}{_near(group, _GROUPS)}")


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name[:60], list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _shown(field: dataclasses.Field[Any], value: Any) -> Any:
    return SECRET if field.metadata["secret"] and value else _plain(value)
