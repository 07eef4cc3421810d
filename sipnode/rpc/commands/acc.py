"""acc.*: records of calls: how many were made, and who hasn't got his yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from sipnode.rpc.registry import rpc

if TYPE_CHECKING:
    from sipnode.rpc.parts import Parts


class SinkState(TypedDict):
    name: str
    waiting: int
    fault: str


class AccState(TypedDict):
    records: int
    unwritten: int
    given_up: int
    fault: str
    sinks: list[SinkState]


class AccCommands:
    """acc.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @rpc("acc.status")
    def status(self) -> AccState:
        """Records of calls: ``records`` were made since the start; ``unwritten`` changes wait for the disk, which has ``fault``; for
        each sink how many records wait for it, and why it takes none; ``given_up`` found no room."""
        acc = self._parts.acc
        if acc is None:
            return AccState(records=0, unwritten=0, given_up=0, fault="", sinks=[])
        sinks = [SinkState(name=name, waiting=waiting, fault=fault) for name, waiting, fault in acc.sinks]
        return AccState(records=acc.records, unwritten=acc.unwritten, given_up=acc.given_up, fault=acc.fault, sinks=sinks)
