"""Calls whose media relay is lost: both ends hear nothing any more, and are told so.

This server moves a call to another node (:mod:`sipnode.dialog.mediamove`), and so does an end that makes a new offer meanwhile (re-INVITE,
UPDATE); what hasn't moved when the node counts as lost is ended. Implements: RFC 3326 (Reason).

The one invariant: a call ends only while its node is still lost, and a node of thousands of calls stops nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from sipnode.dialog.bye import NO_MEDIA
from sipnode.dialog.call import CONFIRMED, LOST

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from sipnode.dialog.call import Call
    from sipnode.dialog.service import DialogService
    from sipnode.proxy.core import ProxyCore

AT_ONCE: Final = 25
"""Calls that are ended in one go."""
PAUSE: Final = 0.05
"""Seconds between two goes: 500 calls, 1000 BYEs a second."""
WAIT: Final = 1.0
"""Seconds until it is looked again whether all calls that can be moved have had their turn."""

_log = Logger(namespace="sipnode.dialog")


class MediaLost:
    """Ends calls of lost nodes.

    Args:
        core: Knows what the relay holds.
        dialogs: The calls.
        clock: For the pauses.
        busy: Whether calls wait to be moved still: none is ended before.
    """

    def __init__(
        self, core: ProxyCore, dialogs: DialogService, clock: IReactorTime, busy: Callable[[], bool] = lambda: False
    ) -> None:
        self._core = core
        self._dialogs = dialogs
        self._clock = clock
        self._busy = busy

    def lost(self, name: str, place: str, still: Callable[[], bool]) -> None:
        """End the calls of a node.

        Args:
            name: Its name in the calls. place: As configured, for the log.
            still: Whether it is lost still.
        """
        if self._busy():
            self._clock.callLater(WAIT, self.lost, name, place, still)
            return
        calls = [call for call in self._dialogs.list() if self._is_there(call, name)]
        if calls and still():
            _log.warn("{count} calls are at {place} and end", count=len(calls), place=place)
            self._some(calls, name, still)

    def _is_there(self, call: Call, name: str) -> bool:
        if not call.bridged or call.state is not CONFIRMED:
            return False
        pair = (call.from_tag, call.to_tag)
        return (self._core.media_control.held.node_of(call.media_call or call.call_id, pair) or call.node) == name

    def _some(self, calls: list[Call], name: str, still: Callable[[], bool]) -> None:
        if not self._dialogs.running or not still():
            return
        for call in calls[:AT_ONCE]:
            # It may have ended, or moved, during a pause.
            if self._is_there(call, name):
                self._dialogs.lost += 1
                self._dialogs.end(call.call_id, call.from_tag, call.to_tag, NO_MEDIA, LOST)
        if len(calls) > AT_ONCE:
            self._clock.callLater(PAUSE, self._some, calls[AT_ONCE:], name, still)
