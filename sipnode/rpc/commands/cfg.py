"""cfg.*: the settings in force, read and changed one by one as Kamailio's cfg_rpc does; a group is a section of the file.

Nothing is written to the file: a change holds until the next reload or start.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, TypedDict

from sipnode.errors import ConfigError, RpcError
from sipnode.rpc.registry import rpc
from sipnode.settings import sections

if TYPE_CHECKING:
    from sipnode.rpc.parts import Parts


_MOST: Final = 300
"""Characters of a refusal, which may repeat what was given."""
_GROUPS: Final = sections()


class Nothing(TypedDict):
    pass


Change = TypedDict("Change", {"group name": str, "variable name": str, "old value": Any, "new value": Any})


def _logged(arguments: list[Any]) -> list[Any]:
    """The value of a secret, or of what may be one that is misspelt, isn't told."""
    group, name, value = arguments
    kind = _GROUPS.get(group)
    plain = kind is not None and any(each.name == name and not each.metadata["secret"] for each in fields(kind))
    return [group, name, value if plain else "(not shown)"]


class ConfigCommands:
    """cfg.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._live = parts.live

    # -- reading

    @rpc("cfg.list")
    def list_variables(self, group: str = "") -> list[str]:
        """Every setting as ``group: name``; those of one group when it is named."""
        return [f"{section}: {name}" for section, name in self._live.names(group)]

    @rpc("cfg.get")
    def get(self, group: str, name: str = "") -> Any:
        """A setting in force, or all of a group; secrets are masked."""
        try:
            if name:
                return self._live.value(group, name)
            return {each: self._live.value(section, each) for section, each in self._live.names(group)}
        except ConfigError as error:
            raise RpcError(400, f"Failed to get the variable: {error}") from None

    @rpc("cfg.help")
    def explain(self, group: str, name: str) -> str:
        """Purpose of a setting, its bounds, its type, and whether it can change while the server runs."""
        try:
            return str(self._live.help(group, name))
        except ConfigError as error:
            raise RpcError(400, f"Failed to get the variable description: {error}") from None

    @rpc("cfg.diff")
    def diff(self) -> list[Change]:
        """Changes that ``cfg.set_delayed`` has prepared and nobody has committed yet."""
        return [
            {"group name": each.group, "variable name": each.name, "old value": each.old, "new value": each.new}
            for each in self._live.pending()
        ]

    # -- changing

    @rpc("cfg.set", changes=True, logged=_logged)
    def set(self, group: str, name: str, value: int | float | bool | str | list[str]) -> Nothing:
        """Change a setting until the next reload or start.

        Only what a reload could take can be changed (``cfg.help`` says which: limits, defence, log, media nodes, who may call
        abroad), and never a secret. A list is given as JSON, or as words between commas.
        """
        return self._changed(self._live.set, group, name, value)

    @rpc("cfg.seti", changes=True, logged=_logged)
    def seti(self, group: str, name: str, value: int) -> Nothing:
        """``cfg.set`` with a whole number."""
        return self.set(group, name, value)

    @rpc("cfg.sets", changes=True, logged=_logged)
    def sets(self, group: str, name: str, value: str) -> Nothing:
        """``cfg.set`` with text."""
        return self.set(group, name, value)

    @rpc("cfg.set_now_int", changes=True, logged=_logged)
    def set_now_int(self, group: str, name: str, value: int) -> Nothing:
        """The older name of ``cfg.seti``."""
        return self.set(group, name, value)

    @rpc("cfg.set_now_string", changes=True, logged=_logged)
    def set_now_string(self, group: str, name: str, value: str) -> Nothing:
        """The older name of ``cfg.sets``."""
        return self.set(group, name, value)

    @rpc("cfg.set_delayed", changes=True, logged=_logged)
    def set_delayed(self, group: str, name: str, value: int | float | bool | str | list[str]) -> Nothing:
        """Prepare a change for ``cfg.commit``, so that several come into force together."""
        return self._changed(self._live.delay, group, name, value)

    @rpc("cfg.set_delayed_int", changes=True, logged=_logged)
    def set_delayed_int(self, group: str, name: str, value: int) -> Nothing:
        """``cfg.set_delayed`` with a whole number."""
        return self.set_delayed(group, name, value)

    @rpc("cfg.set_delayed_string", changes=True, logged=_logged)
    def set_delayed_string(self, group: str, name: str, value: str) -> Nothing:
        """``cfg.set_delayed`` with text."""
        return self.set_delayed(group, name, value)

    @rpc("cfg.commit", changes=True)
    def commit(self) -> Nothing:
        """Put in force what was prepared."""
        return self._changed(self._live.commit)

    @rpc("cfg.rollback", changes=True)
    def rollback(self) -> Nothing:
        """Drop what was prepared."""
        return self._changed(self._live.rollback)

    @rpc("cfg.reset", changes=True)
    def reset(self, group: str) -> Nothing:
        """Put a group back to what the file said at the last start or reload."""
        return self._changed(self._live.reset, group)

    def _changed(self, change: Any, *arguments: Any) -> Nothing:
        try:
            change(*arguments)
        except ConfigError as error:
            raise RpcError(400, f"Failed to set the variable: {error}"[:_MOST]) from None
        return {}
