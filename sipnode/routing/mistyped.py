"""Parts of a site's script that nothing would ever call: a stage or a hook whose name was mistyped, or that takes other arguments.

Pure. It is told at the load, since a call that goes astray by it tells nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from types import CodeType, FunctionType
from typing import Final

from sipnode.errors import ConfigError

GONE: Final = {
    "contact_line": "relay",
    "dlguri": "follow",
    "located": "location",
    "remove_claims": "relay",
    "strange_end": "withindlg",
    "takes_path": "registrar",
    "would_be_cut": "reqinit",
}
"""Methods that scripts of earlier releases may have, and what is overridden instead."""
_ALIKE: Final = 0.8


def check(script: type, base: type, stages: Iterable[str]) -> None:
    """Look at the methods of a script that the package doesn't have.

    Args:
        script: A site's. base: That of the package, which it derives from.
        stages: Names of its REQUEST_ROUTE, and of the plugins in it.

    Raises:
        ConfigError: one can't be meant; with its file and line.
    """
    known = {name for name in dir(base) if not name.startswith("_")}
    routed = set(stages)
    for made in script.__mro__[: script.__mro__.index(base)]:
        for name, value in vars(made).items():
            if name.startswith("_"):
                continue
            function = inspect.unwrap(value) if isinstance(value, FunctionType) else None
            if function is None:
                if name not in known and name.isupper():
                    _refuse_alike(made, name, known, "", 0)
                continue
            code = function.__code__
            if name in known:
                _look_at_arguments(made, name, getattr(base, name), value)
            elif name not in routed and name not in _called(script, base):
                if name in GONE:
                    reason = f"{made.__name__}.{name} isn't called any more: override {GONE[name]}"
                    raise ConfigError(reason, code.co_filename, code.co_firstlineno, "routing.script")
                _refuse_alike(made, name, known | routed, code.co_filename, code.co_firstlineno)


def _refuse_alike(made: type, name: str, known: set[str], file: str, line: int) -> None:
    meant = get_close_matches(name, known, 1, _ALIKE)
    if meant:
        reason = f"nothing calls {made.__name__}.{name}: {meant[0]} is meant (a method of the site's own begins with _)"
        raise ConfigError(reason, file, line, "routing.script")


def _look_at_arguments(made: type, name: str, ours: object, theirs: FunctionType) -> None:
    if not callable(ours):
        return
    # Of a compiled method self can't be named, and is positional only.
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
    wanted = [each for each in inspect.signature(ours).parameters.values() if each.kind in kinds]
    try:
        inspect.signature(theirs).bind(*wanted)
    except TypeError as error:
        code = theirs.__code__
        takes = ", ".join(each.name for each in wanted)
        raise ConfigError(
            f"{made.__name__}.{name} can't be called with ({takes}): {error}", code.co_filename, code.co_firstlineno, "routing.script"
        ) from None


def _called(script: type, base: type) -> set[str]:
    """Names that the script's own functions mention, and those of its module."""
    found: set[str] = set()
    for made in script.__mro__[: script.__mro__.index(base)]:
        module = inspect.getmodule(made)
        for value in (*vars(made).values(), *(vars(module).values() if module is not None else ())):
            if isinstance(value, FunctionType):
                for code in _codes(value.__code__):
                    found.update(code.co_names)
    return found


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes(each)
