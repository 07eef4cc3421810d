"""Plugins found: by entry point of an installed distribution, or as an object in a ``sipnode/plugins`` folder of the path.

A kind of plugin is a row of :data:`KINDS`: the group of its entry points, the interface of its objects, the setting that names them.

Invariant: what the configuration doesn't name is neither imported nor run, and whatever is wrong with it stops nothing. Folders are the one
exception, as a file there says what it has only when it is imported: they are looked through when a name is no entry point's. What the
configuration does name and can't be used is a ConfigError with distribution, entry point and reason.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions
from types import ModuleType
from typing import Final, Generic, TypeVar

from twisted.plugin import IPlugin
from zope.interface.exceptions import BrokenImplementation, BrokenMethodImplementation, Invalid
from zope.interface.interface import Attribute, InterfaceClass
from zope.interface.verify import verifyObject

import sipnode.plugins
from sipnode.errors import ConfigError, StorageError
from sipnode.interfaces import ICredentialsPlugin, IEventPackage, IRelayPlugin, IRequestStage, IRpcCommands, IStorePlugin

PREFIX: Final = "sipnode."
_NAME_APART: Final = re.compile(r"[-_.]+")
_FAULTS: Final = (Exception, SystemExit)
"""Exceptions that an import or a call of somebody else's code may end with. An interrupt is ours."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of plugin.

    Attributes:
        group: Of its entry points.
        provides: The interface of its objects.
        key: The setting that names them, ``section.name``.
        word: What people call one.
        built_in: Names that are ours; a plugin can't have them.
        optional: Parts of the interface that an object may leave out.
    """

    group: str
    provides: InterfaceClass
    key: str
    word: str
    built_in: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()


STAGES: Final[Kind[IRequestStage]] = Kind("sipnode.stages", IRequestStage, "routing.stages", "stage")
PACKAGES: Final[Kind[IEventPackage]] = Kind(
    "sipnode.packages",
    IEventPackage,
    "presence.packages",
    "event package",
    frozenset(("presence", "presence.winfo", "dialog", "reg", "message-summary")),
    frozenset(("private", "source")),
)
RPC: Final[Kind[IRpcCommands]] = Kind("sipnode.rpc", IRpcCommands, "rpc.plugins", "family of methods")
STORES: Final[Kind[IStorePlugin]] = Kind(
    "sipnode.stores", IStorePlugin, "storage.url", "store", frozenset(("sqlite", "memory", "postgres", "postgresql"))
)
CREDENTIALS: Final[Kind[ICredentialsPlugin]] = Kind(
    "sipnode.credentials", ICredentialsPlugin, "auth.backend", "credential backend", frozenset(("store",))
)
RELAYS: Final[Kind[IRelayPlugin]] = Kind("sipnode.relays", IRelayPlugin, "media.relay", "media relay", frozenset(("rtpengine",)))

KINDS: Final = (STAGES, PACKAGES, RPC, STORES, CREDENTIALS, RELAYS)


@dataclass(frozen=True, slots=True)
class Plugin(Generic[T]):
    """A plugin that can be used.

    Attributes:
        place: Where it comes from: entry point and distribution, or file.
        object: Provides the interface of its kind.
    """

    kind: Kind[T]
    name: str
    place: str
    object: T

    def made(self, call: Callable[[T], R], wanted: InterfaceClass | None = None) -> R:
        """The result of calling the plugin.

        Args:
            call: Gets the object.
            wanted: An interface that the result has to provide.

        Raises:
            ConfigError: the plugin's own (with its key, or that of the kind where it has none), or the fault of a plugin that raised
                something else or gave something else, by its name.
            StorageError: the plugin's own.
        """
        try:
            result = call(self.object)
        except ConfigError as error:
            raise ConfigError(f"{self}: {error.reason}", error.file, error.line, error.key or self.kind.key) from error
        except StorageError:
            raise
        except _FAULTS as error:
            raise ConfigError(f"{self}: {_said(error)}", key=self.kind.key) from error
        if wanted is not None:
            reason = _complaint(result, wanted)
            if reason:
                raise ConfigError(f"{self}: what it made {reason}", key=self.kind.key)
        return result

    def __str__(self) -> str:
        return f"{self.kind.word} {self.name!r} ({self.place})"


def find(kind: Kind[T], name: str) -> Plugin[T]:
    """The plugin of that name.

    Raises:
        ConfigError: it isn't installed; or it is, and can't be used.
    """
    found = look_for(kind, name)
    if found is None:
        raise ConfigError(missing(kind, name), key=kind.key)
    return found


def look_for(kind: Kind[T], name: str) -> Plugin[T] | None:
    """The plugin of that name, None where none is installed.

    Raises:
        ConfigError: it can't be imported, isn't what its kind has to be, or there are two.
    """
    points = [point for point in _entry_points(kind.group) if point.name == name]
    if len(points) > 1:
        places = " and ".join(sorted(map(_place, points)))
        raise ConfigError(f"{kind.word} {name!r} is there more than once: {places}; uninstall one", key=kind.key)
    if points:
        (point,) = points
        where = f"{kind.word} {name!r} ({_place(point)})"
        try:
            thing: object = point.load() if EntryPoint.pattern.match(point.value) else None
        except _FAULTS as error:
            raise ConfigError(f"{where} can't be loaded: {_said(error)}", key=kind.key) from error
        reason = "isn't of the form 'module:object'" if thing is None else _complaint(thing, kind.provides, kind.optional, name)
        if reason:
            raise ConfigError(f"{where} {reason}", key=kind.key)
        return Plugin(kind, name, _place(point), thing)  # type: ignore[arg-type]  # its interface was looked at
    found = [(place, thing) for place, thing in Folders().objects(kind) if getattr(thing, "name", None) == name]
    if len(found) > 1:
        places = " and ".join(place for place, _ in found)
        raise ConfigError(f"{kind.word} {name!r} is there more than once: {places}; take one away", key=kind.key)
    for place, thing in found:
        reason = _complaint(thing, kind.provides, kind.optional, name)
        if reason:
            raise ConfigError(f"{kind.word} {name!r} ({place}) {reason}", key=kind.key)
        return Plugin(kind, name, place, thing)  # type: ignore[arg-type]  # as above
    return None


def names(kind: Kind[T]) -> list[str]:
    """Installed plugins of a kind, sorted; whether one can be used isn't looked at."""
    folders = {str(getattr(thing, "name", "")) for _, thing in Folders().objects(kind)}
    return sorted({point.name for point in _entry_points(kind.group)} | folders - {""})


def missing(kind: Kind[T], name: str) -> str:
    """The reason of a fault: no plugin has that name."""
    there = names(kind)
    near = difflib.get_close_matches(name, {*there, *kind.built_in}, 1)
    known = sorted({*there, *kind.built_in})
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}" if known else "none is installed"
    broken = Folders().broken()
    return f"no plugin has a {kind.word} {name!r}; {hint}{''.join(f'; {text}' for text in broken)}"


def complaints() -> list[str]:
    """Faults of installed plugins as far as they show without importing one: names that two have, or that are ours, and entry
    points that name nothing. It matters only to who wants to use them.
    """
    installed = [(each, _points_of(each)) for each in _installed()]
    found = [f"the entry points of {_label(each)} can't be read" for each, points in installed if points is None]
    # A folder has no order of its own, and the same fault is told in the same words.
    every = sorted((point for _, points in installed for point in points or ()), key=lambda point: (point.name, _place(point)))
    for kind in KINDS:
        seen: dict[str, EntryPoint] = {}
        for point in (each for each in every if each.group == kind.group):
            where = f"{kind.word} {point.name!r} ({_place(point)})"
            match = EntryPoint.pattern.match(point.value)
            if point.name in kind.built_in:
                found.append(f"{where} has a name that is built in")
            elif point.name in seen:
                found.append(f"{where} has the name of {_place(seen[point.name])}")
            elif match is None or not match["attr"]:
                found.append(f"{where} isn't of the form 'module:object'")
            elif not _is_there(match["module"].partition(".")[0]):
                found.append(f"{where}: there is no module {match['module'].partition('.')[0]}")
            seen.setdefault(point.name, point)
    return found


class Folders:
    """The modules of all ``sipnode/plugins`` folders, as twisted.plugin has them, but without its cache."""

    def __init__(self) -> None:
        importlib.invalidate_caches()
        self._modules: list[ModuleType] = []
        self._broken: list[str] = []
        for found in pkgutil.iter_modules(sipnode.plugins.__path__, f"{sipnode.plugins.__name__}."):
            try:
                self._modules.append(importlib.import_module(found.name))
            except _FAULTS as error:
                folder = getattr(found.module_finder, "path", "")
                self._broken.append(f"{folder}/{found.name.rpartition('.')[2]}.py can't be imported: {_said(error)}")

    def objects(self, kind: Kind[T]) -> Iterator[tuple[str, object]]:
        """``(file: object, object)`` of each plugin of a kind."""
        seen: set[int] = set()
        for module in self._modules:
            for name, thing in vars(module).items():
                if _provides(thing, IPlugin) and _provides(thing, kind.provides):
                    if id(thing) not in seen:
                        yield f"{module.__file__}: {name}", thing
                    seen.add(id(thing))

    def broken(self) -> list[str]:
        """Imports that fail, a sentence each."""
        return self._broken


def _installed() -> Iterator[Distribution]:
    """Every distribution on the path with a word of ours in its entry points; of two with one name the first, as an import has it."""
    seen = set()
    for each in distributions():
        # Their names are a second file to read, so the few that matter are sorted out before.
        if PREFIX not in (each.read_text("entry_points.txt") or ""):
            continue
        name = _NAME_APART.sub("-", _label(each, False)).lower()
        if name not in seen:
            yield each
        seen.add(name)


def _points_of(distribution: Distribution) -> list[EntryPoint] | None:
    try:
        return list(distribution.entry_points)
    except Exception:
        # A file that no tool has made; it says nothing of what the parser raises.
        return None


def _entry_points(group: str) -> Iterator[EntryPoint]:
    for each in _installed():
        for point in _points_of(each) or ():
            if point.group == group:
                yield point


def _label(distribution: Distribution, version: bool = True) -> str:
    about = distribution.metadata
    name = about["Name"] or "a distribution without a name"
    return f"{name} {about['Version']}" if version and about["Version"] else name


def _place(point: EntryPoint) -> str:
    of = f" of {_label(point.dist)}" if point.dist is not None else ""
    return f"{point.group} {point.value}{of}"


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _complaint(thing: object, wanted: InterfaceClass, optional: frozenset[str] = frozenset(), name: str = "") -> str:
    """Why an object isn't what it has to be, "" where it is."""
    kind = wanted.__name__
    if not _provides(thing, wanted):
        if isinstance(thing, ModuleType):
            return f"is a module, and has to be an object that provides {kind}: write 'module:object'"
        if isinstance(thing, type):
            return f"is a class, and has to be an object that provides {kind}"
        return f"is {type(thing).__name__}, which doesn't provide {kind}: is @implementer({kind}) missing?"
    try:
        verifyObject(wanted, thing)
    except Invalid as error:
        # Several faults are one error with all of them.
        faults = [fault for each in getattr(error, "exceptions", (error,)) if (fault := _broken_part(each, optional))]
    except Exception as error:
        faults = [f"can't be looked at: {_said(error)}"]
    else:
        faults = []
    if faults:
        return f"doesn't provide {kind}: {', '.join(faults)}"
    called = getattr(thing, "name", name)
    return f"calls itself {called!r}" if name and called != name else ""


def _provides(thing: object, wanted: InterfaceClass) -> bool:
    return bool(wanted.providedBy(thing))


def _broken_part(error: Invalid, optional: frozenset[str]) -> str:
    if isinstance(error, BrokenImplementation):
        part = _name_of(error.name)
        return "" if part in optional else f"it has no {part}"
    if isinstance(error, BrokenMethodImplementation):
        return f"{_name_of(error.method)}(): {error.mess}"
    return str(error)


def _name_of(part: object) -> str:
    return str(part.__name__) if isinstance(part, Attribute) else str(part)
