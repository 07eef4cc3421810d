"""The routing script that a call is played through: one in a file, or that of a configuration."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

from sipnode.errors import ConfigError
from sipnode.routing.loading import load_script

if TYPE_CHECKING:
    from sipnode.routing.script import RoutingScript


def script_of(named: str, configured: str, folder: Path) -> type[RoutingScript]:
    """A class.

    Args:
        named: ``FILE`` or ``FILE:CLASS``, without one the last class in it; "" for the configured one.
        configured: ``[routing] script``. folder: Of the configuration.

    Raises:
        ConfigError: it can't be loaded.
    """
    if not named:
        return load_script(configured, folder)
    file, _, wanted = named.partition(":")
    path = Path(file)
    try:
        tree = ast.parse(path.read_text("utf-8"), str(path))
    except (OSError, ValueError, SyntaxError) as error:
        raise ConfigError(f"it can't be read: {error}", str(path)) from None
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    if not (wanted or classes):
        raise ConfigError("there is no class in it", str(path))
    return load_script(f"{path.stem}.{wanted or classes[-1]}", path.absolute().parent)
