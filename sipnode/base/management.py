"""The log, past calls and the server's life as an operator's rooms (RPC, manhole) ask of them, without knowing the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Report(Protocol):
    """The outcome of a reload, in sentences."""

    @property
    def done(self) -> Sequence[str]:
        """Parts that were read anew."""

    @property
    def refused(self) -> Sequence[str]:
        """Faults; what they are about stays as it was."""

    @property
    def restart(self) -> Sequence[str]:
        """Settings that need a restart."""


class Lifecycle(Protocol):
    """Start, reload and stop."""

    @property
    def ready(self) -> bool:
        """Whether new calls are welcome."""

    def reload(self) -> Report:
        """Read the configuration anew."""


class Trace(Protocol):
    """A wire trace."""

    @property
    def conditions(self) -> Mapping[str, str]:
        """Conditions that a message has to meet, by name."""


class Logs(Protocol):
    """The log's level and wire trace."""

    @property
    def level(self) -> str:
        """The level in force."""

    @property
    def trace(self) -> Trace | None:
        """The wire trace, None while there is none."""

    def set_level(self, level: str) -> None:
        """Another level from now on; raises ValueError."""

    def trace_on(self, user: str = "", address: str = "", call_id: str = "", method: str = "") -> None:
        """Write the messages that meet all conditions."""

    def trace_off(self) -> None:
        """Write no more."""


class Step(Protocol):
    """Something that happened to a call."""

    @property
    def when(self) -> float:
        """Epoch seconds."""

    @property
    def room(self) -> str:
        """The room where it happened."""

    @property
    def text(self) -> str:
        """The event in words."""


class History(Protocol):
    """The life of calls, step by step."""

    def history(self, call_id: str) -> Sequence[Step]:
        """The steps of a call, oldest first; none where it isn't known (any more)."""
