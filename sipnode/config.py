"""The configuration: ``sipnode.toml`` and the environment read against the table of :mod:`sipnode.settings`, and written from it.

Invariant: no text reaches a room unread. A section or key that the table doesn't know, a value of another type or out of its
bounds is a :class:`~sipnode.errors.ConfigError` that names file, line (or the variable), key and what to write instead. Faults that only a
room can judge (that an address is one, that a file exists) are checked by that room, whose error :func:`placed` completes.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import os
import re
import sys
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sipnode import environment
from sipnode.errors import ConfigError
from sipnode.forms import FORMS
from sipnode.settings import NAMED, Settings, contents, sections

FILE_NAME = "sipnode.toml"

_SECTION = re.compile(r"\s*\[\s*([\w-]+(?:\.[\w-]+)?)\s*\]\s*(?:#.*)?$")
_NAME = re.compile(r"[a-z0-9_]{1,32}")
_KEY = re.compile(r"\s*([\"']?)([\w-]+)\1\s*(?:\.\s*([\"']?)([\w-]+)\3\s*)?=")
_TOML_PLACE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")
_NOTHING: Mapping[str, str] = {}

_KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "text in quotes"),
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
}


def find(path: str) -> Path:
    """The file that ``-c PATH`` means: PATH itself, or ``sipnode.toml`` in it.

    Raises:
        ConfigError: There is no such file.
    """
    place = Path(path).absolute()
    file = place / FILE_NAME if place.is_dir() else place
    if not file.is_file():
        raise ConfigError(f"there is no such file; -c takes a folder with {FILE_NAME} in it, or a file", file=str(file))
    return file


def load(path: str) -> Settings:
    """Settings from a folder or file, and from the environment of this process, which goes before the file.

    Raises:
        ConfigError: The first fault; :func:`read` gives them all.
    """
    file = find(path)
    settings, errors = read(_text_of(file), str(file), os.environ)
    if errors:
        raise errors[0]
    return settings


def read(text: str, file: str = "", variables: Mapping[str, str] = _NOTHING) -> tuple[Settings, list[ConfigError]]:
    """Settings from the text of a file, with every fault of it in the order of its lines.

    A setting with a fault has its default in the settings returned.

    Args:
        variables: The environment (:mod:`sipnode.environment`): its settings take the place of the file's.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return Settings(), [_not_toml(str(error), text, file)]
    lines = _Lines(text)
    errors: list[ConfigError] = []
    found: dict[str, Any] = {}
    known = sections()
    for name, content in document.items():
        line = lines.of(name)
        if name in NAMED:
            found[name] = _named(name, content, file, lines, errors)
        elif name not in known:
            errors.append(ConfigError(_unknown("section", name, [*known, *NAMED], _owners(name)), file, line, name))
        elif not isinstance(content, dict):
            errors.append(ConfigError(f"is a section; write [{name}] on a line of its own, its settings below", file, line, name))
        else:
            found[name] = _section(known[name], name, content, file, lines, errors)
    errors.sort(key=lambda error: error.line)
    given, faults = _given(variables)
    for (section, key), value in given.items():
        group, _, name = section.partition(".")
        if name:
            several = found.setdefault(group, {})
            several[name] = dataclasses.replace(several.get(name) or NAMED[group](), **{key: value})
        else:
            found[section] = dataclasses.replace(found.get(section) or known[section](), **{key: value})
        # A value that nobody will use isn't at fault.
        errors = [error for error in errors if error.key != f"{section}.{key}"]
    return Settings(**found), errors + faults


def is_toml(text: str) -> bool:
    """Whether a text can be read at all, whatever its settings are."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _not_toml(reason: str, text: str, file: str) -> ConfigError:
    place = _TOML_PLACE.search(reason)
    number = int(place[1]) if place and place[1] else text.count("\n") + 1
    line = text.splitlines()[number - 1] if number <= len(text.splitlines()) else ""
    before = "\n".join(text.splitlines()[: number - 1])
    head, pair = _SECTION.match(line), _KEY.match(line)
    if reason.startswith("Cannot declare") and head:
        first = _Lines(before).of(head[1])
        return ConfigError(f"stands twice, first on line {first}: put all its settings below one [{head[1]}]", file, number, head[1])
    if reason.startswith("Cannot overwrite") and pair:
        known = _Lines(before)
        section, key = (known.last, pair[2]) if known.last else (pair[2], pair[4] or "")
        first = known.of(section, key)
        return ConfigError(f"stands twice, first on line {first}: take one out", file, number, f"{section}.{key}".rstrip("."))
    return ConfigError(f"not TOML: {_TOML_PLACE.sub('', reason)}", file=file, line=number)


def _given(variables: Mapping[str, str]) -> tuple[dict[tuple[str, str], Any], list[ConfigError]]:
    """Settings of the environment, and their faults."""
    known = sections()
    given: dict[tuple[str, str], Any] = {}
    errors = []
    for variable, (section, key) in environment.named(variables).items():
        section, kind = _given_section(section, known)
        fields = {field.name: field for field in dataclasses.fields(kind)} if kind is not None else {}
        if key not in fields:
            every = [environment.variable(each, name) for each, of in known.items() for name in typing.get_type_hints(of)]
            near = difflib.get_close_matches(variable, every, 1)
            hint = f"; did you mean {near[0]}?" if near else "; `sipnode conf` prints all settings: it is SIPNODE_SECTION__NAME"
            errors.append(ConfigError(f"there is no setting of this name{hint}", variable))
            continue
        wanted = typing.get_type_hints(kind)[key]
        faults: list[str] = []
        try:
            given[section, key] = _value(environment.value_of(variables[variable], wanted), wanted, fields[key], faults)
        except ValueError as error:
            faults.append(str(error))
        if faults:
            given.pop((section, key), None)
        errors += [ConfigError(fault, variable, key=f"{section}.{key}") for fault in faults]
    return given, errors


def state_folder(settings: Settings, conf_folder: Path) -> Path:
    """Where the server keeps its database and secret: ``[core] state_dir``, relative to the conf folder."""
    return conf_folder / settings.core.state_dir


def placed(error: ConfigError, path: str) -> ConfigError:
    """The error of a room, which knows only its key, completed with file and line, or with the variable that gave the value."""
    if error.file or not error.key:
        return error
    section, _, key = error.key.rpartition(".") if "." in error.key else (error.key, "", "")
    if environment.variable(section, key) in os.environ:
        return ConfigError(error.reason, environment.variable(section, key), key=error.key)
    try:
        file = find(path)
        lines = _Lines(_text_of(file))
    except ConfigError:
        return error
    return ConfigError(error.reason, str(file), lines.of(error.key) or lines.of(section, key), error.key)


def render(settings: Settings | None = None) -> str:
    """A whole ``sipnode.toml``: every setting with its value (the default without ``settings``) and one comment."""
    shown = Settings() if settings is None else settings
    parts = ["# Every setting of sipnode with its default. A line left out means its default; a name that isn't known stops the start."]
    for section, content in contents(shown):
        parts.append(f"\n[{section}]")
        for field in dataclasses.fields(content):
            parts.append(f"# {field.metadata['meaning']}{bounds_text(field)}")
            parts.append(f"{field.name} = {toml_value(getattr(content, field.name))}")
    for group, kind in NAMED.items():
        if not getattr(shown, group):
            parts.append(f"\n# [{group}.NAME]")
            for field in dataclasses.fields(kind):
                parts.append(f"# {field.metadata['meaning']}{bounds_text(field)}")
                parts.append(f"# {field.name} = {toml_value(field.default)}")
    return "\n".join(parts) + "\n"


def masked(settings: Settings) -> Settings:
    """The same settings fit to be shown: what is secret reads ``(set)``."""
    shown: dict[str, Any] = {}
    for section, content in contents(settings):
        hidden = {field.name: "(set)" for field in dataclasses.fields(content) if field.metadata["secret"]}
        group, _, name = section.partition(".")
        if name:
            shown.setdefault(group, {})[name] = dataclasses.replace(content, **hidden)
        else:
            shown[section] = dataclasses.replace(content, **hidden)
    return Settings(**shown)


class Shown(typing.NamedTuple):
    """A setting in force, explained.

    Attributes:
        key: ``section.name``.
        value: As the file has it; ``"(set)"`` for a secret.
        default: Alike.
        place: ``FILE:LINE`` or ``environment VARIABLE`` that it comes from, "" for the default.
        meaning: What it is for, with its bounds.
    """

    key: str
    value: str
    default: str
    place: str
    meaning: str


def explained(path: str) -> list[Shown]:
    """Every setting in force with where it comes from; secrets masked.

    Raises:
        ConfigError: the file or the environment has a fault.
    """
    file = find(path)
    text = _text_of(file)
    settings, errors = read(text, str(file), os.environ)
    if errors:
        raise errors[0]
    document, lines, shown = tomllib.loads(text), _Lines(text), []
    for section, content in contents(settings):
        group, _, one = section.partition(".")
        written = document.get(group, {}).get(one, {}) if one else document.get(group, {})
        for field in dataclasses.fields(content):
            value = getattr(content, field.name)
            place = f"{file}:{lines.of(section, field.name)}" if field.name in written else ""
            if environment.variable(section, field.name) in os.environ:
                place = f"environment {environment.variable(section, field.name)}"
            secret = field.metadata["secret"] and value != field.default
            shown.append(
                Shown(
                    f"{section}.{field.name}",
                    toml_value("(set)" if secret else value),
                    toml_value(field.default),
                    place,
                    field.metadata["meaning"] + bounds_text(field),
                )
            )
    return shown


def bounds_text(field: dataclasses.Field[Any]) -> str:
    """`` [1 .. 255]``, `` [at least 1]``, or nothing, for one field of the table."""
    low, high = field.metadata["minimum"], field.metadata["maximum"]
    if low is None and high is None:
        return ""
    return f" [at least {low}]" if high is None else f" [at most {high}]" if low is None else f" [{low} .. {high}]"


class _Lines:
    """Where keys stand; tomllib doesn't say."""

    def __init__(self, text: str) -> None:
        self.places: dict[tuple[str, str], int] = {}
        self.last = ""
        section, multiline = "", False
        for number, line in enumerate(text.splitlines(), 1):
            inside = multiline
            if (line.count('"""') + line.count("'''")) % 2:
                multiline = not multiline
            if inside:
                continue
            if head := _SECTION.match(line):
                self.last = section = head[1]
                self.places.setdefault((section, ""), number)
            elif pair := _KEY.match(line):
                name = (section, pair[2]) if section else (pair[2], pair[4] or "")
                self.places.setdefault(name, number)
                self.places.setdefault((name[0], ""), number)

    def of(self, section: str, key: str = "") -> int:
        return self.places.get((section, key)) or self.places.get((section, ""), 0)


def _text_of(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", file=str(file)) from error


def _section(kind: type, name: str, content: dict[str, Any], file: str, lines: _Lines, errors: list[ConfigError]) -> Any:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in content.items():
        faults: list[str] = []
        if key not in fields:
            faults.append(_unknown("setting", key, fields, _owners(key)))
        else:
            read_value = _value(value, hints[key], fields[key], faults)
            if not faults:
                values[key] = read_value
        errors += [ConfigError(fault, file, lines.of(name, key), f"{name}.{key}") for fault in faults]
    return kind(**values)


def _named(group: str, content: Any, file: str, lines: _Lines, errors: list[ConfigError]) -> dict[str, Any]:
    """The sections of a kind that there are several of, by their names."""
    found: dict[str, Any] = {}
    for name, settings in content.items() if isinstance(content, dict) else [("", content)]:
        key, line = f"{group}.{name}".rstrip("."), lines.of(f"{group}.{name}") or lines.of(group, name)
        if not isinstance(settings, dict):
            errors.append(ConfigError(f"each has a name: write [{group}.NAME] on a line of its own, its settings below", file, line, key))
        elif not _NAME.fullmatch(name):
            errors.append(ConfigError(f"the name of a section is of a-z, 0-9 and _, not {name!r}", file, line, key))
        else:
            found[name] = _section(NAMED[group], key, settings, file, lines, errors)
    return found


def _given_section(section: str, known: Mapping[str, type]) -> tuple[str, type | None]:
    """The section that a variable is for, as ``trunk.main`` of ``SIPNODE_TRUNK_MAIN__…``, and its class, None for one that isn't there."""
    for group, kind in NAMED.items():
        name = section.removeprefix(f"{group}_")
        if name != section and _NAME.fullmatch(name):
            return f"{group}.{name}", kind
    return section, known.get(section)


def _value(value: Any, wanted: Any, field: dataclasses.Field[Any], faults: list[str]) -> Any:
    """The value of a setting, of use where nothing was added to ``faults``: of a list each item that can't be is told."""
    several = typing.get_origin(wanted) is tuple
    if several and not isinstance(value, list):
        faults.append(f"has to be a list, as {toml_value(field.default) if field.default else '[…]'}{_got(value, field)}")
        return ()
    kind = typing.get_args(wanted)[0] if several else wanted
    items = []
    for item in value if several else [value]:
        try:
            items.append(_scalar(item, kind, field))
        except ValueError as error:
            if str(error) not in faults:
                faults.append(str(error))
    return tuple(items) if several else items[0] if items else None


def _scalar(value: Any, wanted: Any, field: dataclasses.Field[Any]) -> Any:
    types, words = _KINDS[wanted]
    if not isinstance(value, types) or (isinstance(value, bool) and wanted is not bool):
        raise ValueError(f"has to be {words}{_got(value, field)}")
    if isinstance(value, str) and (value or field.default != ""):
        FORMS[field.metadata["form"]](value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("has to be a finite number")
    choices, low, high = field.metadata["choices"], field.metadata["minimum"], field.metadata["maximum"]
    if choices and value not in choices:
        near = difflib.get_close_matches(str(value), [str(choice) for choice in choices], 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"has to be one of {', '.join(map(str, choices))}{_got(value, field)}{hint}")
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"is out of bounds{bounds_text(field)}{_got(value, field)}")
    return float(value) if isinstance(value, int) and wanted is float else value


def _got(value: Any, field: dataclasses.Field[Any]) -> str:
    return "" if field.metadata["secret"] else f", not {value!r}"


def _owners(name: str) -> list[str]:
    """Sections that have a setting of that name."""
    return [section for section, kind in sections().items() if name in {field.name for field in dataclasses.fields(kind)}]


def _unknown(what: str, name: str, known: typing.Iterable[str], owners: list[str]) -> str:
    reason = f"there is no {what} of this name"
    if owners:
        return f"{reason} here; it belongs below [{owners[0]}]"
    near = difflib.get_close_matches(name, list(known), 1)
    return f"{reason}; did you mean {near[0]}?" if near else f"{reason}; known are {', '.join(known)}"


def toml_value(value: Any) -> str:
    """A setting's value as the file has it."""
    if isinstance(value, tuple):
        items = [toml_value(item) for item in value]
        one_line = f"[{', '.join(items)}]"
        return one_line if len(one_line) < 110 else "[\n" + "".join(f"    {item},\n" for item in items) + "]"
    # A JSON string is a TOML basic string, and so are JSON's numbers and booleans.
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    sys.stdout.write(render())
