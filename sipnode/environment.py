"""Settings by environment: ``SIPNODE_SECTION__NAME``, as ``SIPNODE_CORE__DOMAINS='["example.com"]'``. Pure.

A text is taken as it stands, a list is JSON, a number or switch is as in the file. A name without two underscores isn't ours: Kubernetes
gives every process ``SIPNODE_SERVICE_HOST`` and the like for a service of that name.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from typing import Any, Final

PREFIX: Final = "SIPNODE_"
_APART: Final = "__"


def variable(section: str, name: str) -> str:
    """The variable of a setting."""
    return f"{PREFIX}{section.replace('.', '_')}{_APART}{name}".upper()


def named(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The variables that are meant for settings, each with the section and name that it says, in the order of their names."""
    found = {}
    for name in sorted(environment):
        section, apart, key = name.removeprefix(PREFIX).partition(_APART)
        if name.startswith(PREFIX) and apart and section and key:
            found[name] = (section.lower(), key.lower())
    return found


def value_of(text: str, wanted: Any) -> Any:
    """The value of a variable, for a setting of that type, as a file of TOML would have given it; bounds and choices aren't looked at.

    Args:
        wanted: ``str``, ``bool``, ``int``, ``float`` or a tuple of one of them.

    Raises:
        ValueError: it can't be that; says what is wanted, without the value, which may be a secret.
    """
    if wanted is str:
        return text
    if typing.get_origin(wanted) is tuple:
        of_text = typing.get_args(wanted)[0] is str
        example = '["a", "b"]' if of_text else "[1, 2.5]"
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, list):
            raise ValueError(f"has to be a list in JSON, as {example}")
        return value
    if wanted is bool:
        if text.strip() not in ("true", "false"):
            raise ValueError("has to be true or false")
        return text.strip() == "true"
    try:
        return int(text)
    except ValueError:
        if wanted is int:
            raise ValueError("has to be a whole number") from None
    try:
        return float(text)
    except ValueError:
        raise ValueError("has to be a number") from None
