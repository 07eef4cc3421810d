"""The other nodes: which are there, and which have fallen silent.

A sister is known by the paths of her bindings and asked with OPTIONS every ``ping_seconds`` while she has any. With any
answer she lives. After as many unanswered questions as ``lost_seconds`` has room for, her bindings aren't used any more and
requests that wait for her fail, until she answers again.

The invariant: a sister is down only by questions that were really sent; a reactor of ours that stood still proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2s
from hmac import compare_digest
from itertools import count
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from sipnode.errors import ParseError
from sipnode.sip import build
from sipnode.transaction.proof import from_same

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from sipnode.base.flow import Flow
    from sipnode.nodes.address import NodeAddress
    from sipnode.settings import NodeSettings
    from sipnode.sip.message import SipRequest, SipResponse

MOST_SISTERS: Final = 1000
_CALL_ID: Final = "sipnode-node-"


@dataclass(slots=True)
class Sister:
    """Another node.

    Attributes:
        address: Where she is asked.
        until: Epoch seconds when the last of her bindings that we know expires.
        unanswered: Questions since her last answer.
        down: She is silent.
        flow: Flow that she was asked by.
    """

    address: NodeAddress
    until: float
    unanswered: int = 0
    down: bool = False
    flow: Flow | None = None


class SisterWatch(Service):
    """Asks the sisters.

    Args:
        settings: ``[node]``.
        clock: Of seconds and delayed calls.
        send: Sends a request without a transaction to an address; fires with the flow when it is out, fails when nobody is there.
        lost: Told of the address of one that has fallen silent.
        identity: ``sip:`` URI of this server, for From.
        secret: Tells answers to our questions from invented ones.
    """

    name = "sisters"

    def __init__(
        self,
        settings: NodeSettings,
        clock: IReactorTime,
        send: Callable[[NodeAddress, SipRequest], Deferred[Any]],
        lost: Callable[[NodeAddress], None],
        identity: str,
        secret: bytes,
    ) -> None:
        self._interval = settings.ping_seconds
        self._limit = ceil(settings.lost_seconds / settings.ping_seconds)
        self._clock = clock
        self._send = send
        self._lost = lost
        self._identity = identity
        self._secret = secret[:32]
        self._sisters: dict[NodeAddress, Sister] = {}
        self._numbers = count(1)
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock
        self._log = Logger(namespace="sipnode.nodes")

    def startService(self) -> None:
        """Begin to ask."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self._loop.start(self._interval, now=False)

    def stopService(self) -> None:
        """Ask no more."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        if self._loop.running:
            self._loop.stop()

    def sisters(self) -> list[Sister]:
        """All that are known."""
        return list(self._sisters.values())

    def is_down(self, address: NodeAddress) -> bool:
        """Whether that one has fallen silent."""
        sister = self._sisters.get(address)
        return sister is not None and sister.down

    def note(self, address: NodeAddress, until: float) -> None:
        """A binding of hers is known that expires then; who is new is asked at once."""
        sister = self._sisters.get(address)
        if sister is not None:
            sister.until = max(sister.until, until)
        elif len(self._sisters) < MOST_SISTERS:
            self._sisters[address] = sister = Sister(address, until)
            if self.running:
                self._ask(sister)

    def answered(self, response: SipResponse, flow: Flow) -> bool:
        """Take a response in; it counts where it comes from where she was asked.

        Returns:
            Whether it answers a question of ours; then nobody else needs it.
        """
        call_id = response.get("call-id")
        if call_id is None or not call_id.startswith(_CALL_ID):
            return False
        try:
            tag, uri = response.from_.tag, response.to.uri
        except ParseError:
            return False
        for sister in self._sisters.values():
            host, port, _ = sister.address
            if (uri.host.lower(), uri.port) == (host, port) and compare_digest(
                tag.encode("utf-8", "surrogateescape"), self._tag(sister.address).encode()
            ):
                if flow is not sister.flow and (sister.flow is None or not from_same(sister.flow, flow)):
                    return False
                flow.proved = True
                self._heard(sister)
                return True
        return False

    def _heard(self, sister: Sister) -> None:
        sister.unanswered = 0
        if sister.down:
            sister.down = False
            self._log.info("node {node} answers again", node=sister.address.hostport)

    def _tick(self) -> None:
        now = self._clock.seconds()
        for sister in self.sisters():
            if sister.until < now:
                del self._sisters[sister.address]
                continue
            if sister.unanswered >= self._limit:
                self._silent(sister, "no answer")
            self._ask(sister)

    def _silent(self, sister: Sister, reason: str) -> None:
        if sister.down:
            return
        sister.down = True
        self._log.warn("node {node} is gone ({reason}): its bindings aren't used", node=sister.address.hostport, reason=reason)
        self._lost(sister.address)

    def _ask(self, sister: Sister) -> None:
        sister.unanswered += 1
        asking = self._send(sister.address, self._question(sister.address))
        asking.addCallbacks(self._sent, self._unsent, callbackArgs=(sister,), errbackArgs=(sister,))

    def _sent(self, flow: Flow, sister: Sister) -> None:
        sister.flow = flow

    def _unsent(self, failure: Failure, sister: Sister) -> None:
        # Nobody takes a connection there, which says more than silence.
        if sister.address in self._sisters:
            sister.unanswered = max(sister.unanswered, self._limit)
            self._silent(sister, failure.getErrorMessage())

    def _question(self, address: NodeAddress) -> SipRequest:
        uri = f"sip:{address.hostport}"
        number = next(self._numbers)
        return build.request(
            "OPTIONS",
            uri,
            (
                ("max-forwards", "1"),
                ("from", f"<{self._identity}>;tag={self._tag(address)}"),
                ("to", f"<{uri}>"),
                ("call-id", f"{_CALL_ID}{number:x}"),
                ("cseq", f"{number & 0x7FFFFFFF} OPTIONS"),
            ),
        )

    def _tag(self, address: NodeAddress) -> str:
        return blake2s(address.hostport.encode(), key=self._secret, digest_size=8).hexdigest()
