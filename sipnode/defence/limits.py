"""One limit of ``[defence]`` changed while the server runs. Pure."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from sipnode.errors import ConfigError

if TYPE_CHECKING:
    from sipnode.settings import DefenceSettings


def changed(limits: DefenceSettings, name: str, value: object) -> DefenceSettings:
    """Limits with another number.

    Raises:
        ConfigError: no limit of that name, or a value out of its bounds.
    """
    found = {each.name: each for each in fields(limits) if isinstance(getattr(limits, each.name), (int, float))}
    if name not in found or isinstance(getattr(limits, name), bool) or name in ("sources", "ipv4_prefix", "ipv6_prefix"):
        raise ConfigError(f"there is no limit {name!r} that can be changed", key=f"defence.{name}")
    low, high = found[name].metadata["minimum"], found[name].metadata["maximum"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError("a number is needed", key=f"defence.{name}")
    if not (low is None or value >= low) or not (high is None or value <= high):
        raise ConfigError(f"{value} is out of bounds", key=f"defence.{name}")
    return replace(limits, **{name: type(getattr(limits, name))(value)})
