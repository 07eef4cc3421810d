"""The site's script, read from its file: each time anew, so that a reload sees what was written since."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path

from sipnode.errors import ConfigError
from sipnode.routing.flagwords import check_words
from sipnode.routing.script import RoutingScript

KEY = "routing.script"


def load_script(named: str, folder: Path) -> type[RoutingScript]:
    """The class that ``[routing] script`` names.

    Args:
        named: ``module.Class``, "" for the script of the package.
        folder: Of the configuration.

    Raises:
        ConfigError: there is none, or its module can't be run; with its file and line. The script loaded before stays.
    """
    if not named:
        return RoutingScript
    module_name, _, class_name = named.rpartition(".")
    file = file_of(named, folder)
    if not module_name or not file.is_file():
        raise ConfigError(f"{named!r} has to be 'module.Class' of a module in {folder}", key=KEY)
    name = f"sipnode_site_{module_name}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigError("it can't be loaded", str(file), key=KEY)
    module, before = importlib.util.module_from_spec(spec), sys.modules.get(name)
    sys.modules[name] = module
    try:
        # Its source, and not what was compiled of it: two changes within a second leave the same time stamp.
        source = file.read_bytes()
        exec(compile(source, str(file), "exec"), module.__dict__)
        script = getattr(module, class_name, None)
        if not (isinstance(script, type) and issubclass(script, RoutingScript)):
            raise ConfigError(f"there is no class {class_name} that derives from RoutingScript", str(file), key=KEY)
        check_words(source, str(file))
    except BaseException as error:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        if isinstance(error, ConfigError) or not isinstance(error, (Exception, SystemExit)):
            raise
        raise ConfigError(f"{type(error).__name__}: {error}", str(file), line_of(error, str(file)), KEY) from error
    return script


def file_of(named: str, folder: Path) -> Path:
    """The file that ``[routing] script`` is read from, whether or not it is there."""
    return folder / f"{named.rpartition('.')[0]}.py"


def line_of(error: BaseException, file: str) -> int:
    """Where in a file an error is, 0 where it isn't known."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return error.lineno or 0
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return (lines[-1] or 0) if lines else 0
