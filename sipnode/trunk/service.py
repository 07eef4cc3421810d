"""Trunks while the server runs: names are resolved, OPTIONS asked, registrations kept. The pure parts decide what comes of it.

The invariant: whatever a trunk answers, or doesn't, costs one request for each question and a bounded wait before the next one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twisted.application.service import Service

from sipnode.sip import build, ids
from sipnode.transaction.machine import TransactionUser
from sipnode.trunk.registration import Registration
from sipnode.trunk.way import Way

if TYPE_CHECKING:

    from sipnode.proxy.core import ProxyCore
    from sipnode.sip.message import SipRequest, SipResponse
    from sipnode.trunk.trunk import Trunk
    from sipnode.trunk.trunks import Trunks

RESOLVE_SECONDS: Final = 60.0
"""Between two looks at what a name resolves to, where no OPTIONS asks for it."""


class TrunkService(Service):
    """Asks the trunks whether they are there, and registers at those that want it.

    Args:
        trunks: All of them.
        core: The way out.
        known: Told of each address of a trunk that is believed by its address.
        chance: 0..1, so that many servers don't come back at the same time.
    """

    name = "trunks"

    def __init__(
        self, trunks: Trunks, core: ProxyCore, known: Callable[[str], None] = lambda host: None, chance: Callable[[], float] = random.random
    ) -> None:
        self._trunks = trunks
        self._way = Way(trunks, core, known)
        self._registrations = [Registration(trunk, self._way, chance) for trunk in trunks if trunk.settings.register]

    def startService(self) -> None:
        """Begin."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        for trunk in self._trunks:
            self._look(trunk)
        for registration in self._registrations:
            registration.start()

    def stopService(self) -> None:
        """End: a trunk that we are registered at is told."""
        super().stopService()  # type: ignore[no-untyped-call]  # as above
        for registration in self._registrations:
            registration.stop()
        self._way.end()

    # -- is it there?

    def _look(self, trunk: Trunk) -> None:
        every = trunk.settings.ping_seconds
        self._way.later(f"look {trunk.name}", every or RESOLVE_SECONDS, lambda: self._look(trunk))
        if every:
            ping = Ping(trunk, self)
            self._way.ask(trunk, _options(trunk), ping, every, ping.unsent)
        elif not trunk.literals():
            self._way.hops(trunk).addErrback(lambda failure: None)

    def heard(self, trunk: Trunk, status: int, phrase: str) -> None:
        """It has answered a question."""
        if trunk.health.heard(status, phrase[:80]):
            self._changed(trunk)

    def silent(self, trunk: Trunk, reason: str) -> None:
        """It hasn't."""
        if trunk.health.silent(reason[:200]):
            self._changed(trunk)

    def _changed(self, trunk: Trunk) -> None:
        if trunk.up:
            self._way.log.info("trunk {name} is back: it answers {reason}", name=trunk.name, reason=trunk.health.reason)
        else:
            text = "trunk {name} is out, no new calls go to it: {reason}, {missed} times"
            self._way.log.warn(text, name=trunk.name, reason=trunk.health.reason, missed=trunk.health.missed)


class Ping(TransactionUser):
    """One OPTIONS to a trunk."""

    __slots__ = ("_service", "_trunk")

    def __init__(self, trunk: Trunk, service: TrunkService) -> None:
        self._trunk = trunk
        self._service = service

    def response_received(self, response: SipResponse) -> None:
        """Count any answer but 503 as a sign of life."""
        if response.status >= 200:
            self._service.heard(self._trunk, response.status, response.reason)

    def timed_out(self) -> None:
        """It isn't, or the question was lost."""
        self._service.silent(self._trunk, "no answer")

    def send_failed(self) -> None:
        """There is no way to it."""
        self._service.silent(self._trunk, "its connection is gone")

    def unsent(self, reason: str) -> None:
        """There was none to begin with."""
        self._service.silent(self._trunk, reason)


def _options(trunk: Trunk) -> SipRequest:
    user = f"{trunk.settings.user}@" if trunk.settings.user else ""
    return build.request(
        "OPTIONS",
        f"sip:{trunk.domain}",
        (
            ("max-forwards", "70"),
            ("from", f"<sip:{user}{trunk.domain}>;tag={ids.new_tag()}"),
            ("to", f"<sip:{trunk.domain}>"),
            ("call-id", ids.new_call_id()),
            ("cseq", "1 OPTIONS"),
        ),
    )
