"""A layer with a clock of its own, flows that remember, users that remember."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.base import flow as base
from sipnode.errors import FlowClosed
from sipnode.sip.build import response_to
from sipnode.sip.message import SipRequest, SipResponse
from sipnode.sip.parser import parse_message
from sipnode.transaction.keys import server_key
from sipnode.transaction.layer import TransactionLayer
from sipnode.transaction.machine import ClientTransaction, ServerTransaction, TransactionUser
from sipnode.transaction.timers import TICK, Timings

START = 1_700_000_000.0
LISTENER = base.Listener("UDP", "192.0.2.1", 5060, "192.0.2.1", 5060)


def request(
    method: str = "INVITE", branch: str = "z9hG4bKone", *extra: str, via: str = "", cseq: int = 1, to: str = "<sip:b@c>"
) -> SipRequest:
    """A request with one Via."""
    lines = [
        f"{method} sip:b@c SIP/2.0",
        via or f"Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}",
        "From: <sip:a@c>;tag=f1",
        f"To: {to}",
        "Call-ID: c1",
        f"CSeq: {cseq} {method}",
        *extra,
    ]
    message = parse_message("\r\n".join([*lines, "", ""]).encode())
    assert isinstance(message, SipRequest)
    return message


def answer(to: SipRequest, status: int) -> SipResponse:
    """A response as it would arrive."""
    message = parse_message(response_to(to, status, to_tag="t1").to_bytes())
    assert isinstance(message, SipResponse)
    return message


class Flow(base.Flow):
    """Where messages go.

    Attributes:
        sent: ``(time since the start, first line)`` of all that was sent.
    """

    def __init__(self, reliable: bool, world: World) -> None:
        transport = "TCP" if reliable else "UDP"
        super().__init__(transport, LISTENER, ("192.0.2.1", 5060), ("192.0.2.5", 5060))
        self.sent: list[tuple[float, str]] = []
        self._world = world

    def send(self, data: bytes) -> None:
        if self.closed:
            raise FlowClosed("closed")
        first = data.partition(b"\r\n")[0].decode()
        self.sent.append((round(self._world.now - START, 3), first.removesuffix(" SIP/2.0").removeprefix("SIP/2.0 ")))

    def times(self, first: str) -> list[float]:
        """When what begins so was sent."""
        return [when for when, line in self.sent if line.startswith(first)]


class User(TransactionUser):
    """A transaction user that writes down what it is told, and when."""

    def __init__(self, world: World) -> None:
        self.told: list[tuple[float, str]] = []
        self._world = world

    def _note(self, what: str) -> None:
        self.told.append((round(self._world.now - START, 3), what))

    def response_received(self, response: SipResponse) -> None:
        self._note(str(response.status))

    def ack_received(self, message: SipRequest) -> None:
        self._note("ACK")

    def timed_out(self) -> None:
        self._note("timed out")

    def send_failed(self) -> None:
        self._note("failed")

    @property
    def news(self) -> list[str]:
        """What it was told, without the times."""
        return [what for _, what in self.told]


class World:
    """A layer, its clock and its wake-ups."""

    def __init__(self, timings: Timings | None = None, limit: int = 1000) -> None:
        self.now = START
        self.wakes: list[float] = []
        self.layer = TransactionLayer(timings or Timings(), self.wakes.append, limit)
        self.udp = self.flow = Flow(False, self)
        self.tcp = Flow(True, self)
        self.user = User(self)

    def client(
        self, method: str = "INVITE", flow: Flow | None = None, branch: str = "z9hG4bKone", user: User | None = None
    ) -> ClientTransaction:
        """A request sent."""
        return self.layer.send_request(request(method, branch), branch, flow or self.udp, user or self.user, self.now)

    def receive(self, sent: ClientTransaction, status: int) -> bool:
        """A response to it arrives."""
        method = sent.key.partition("\n")[2]
        return self.layer.response_received(answer(request(method, sent.key.partition("\n")[0]), status), sent.flow, self.now)

    def server(self, method: str = "INVITE", flow: Flow | None = None, branch: str = "z9hG4bKone") -> ServerTransaction:
        """A request that is new."""
        came = request(method, branch)
        flow = flow or self.udp
        return self.layer.new_server(server_key(came, flow.remote[0]), method, flow, self.user)

    def arrives(self, message: SipRequest, flow: Flow | None = None) -> bool:
        """A request comes in, from the one peer unless a flow is given; whether it belongs to a transaction."""
        flow = flow or self.layer.servers.get(server_key(message, self.udp.remote[0]), self).flow
        return self.layer.absorb(server_key(message, flow.remote[0]), message, flow, self.now)

    def respond(self, transaction: ServerTransaction, status: int) -> None:
        """The user answers."""
        self.layer.respond(transaction, status, f"SIP/2.0 {status} x\r\n\r\n".encode(), self.now)

    def advance(self, seconds: float) -> None:
        """Let time pass, and call the layer whenever it wants to be called, as its clock does."""
        until = self.now + seconds
        while True:
            wake = self.layer.next_wake()
            if not wake or wake > until:
                break
            self.now = max(self.now, wake)
            self.layer.advance(self.now)
        self.now = until

    def run_out(self) -> None:
        """Let all timers come up; what is still there afterwards never goes."""
        self.advance(1000)

    def empty(self) -> bool:
        """Whether nothing is left anywhere."""
        layer = self.layer
        return not (layer.servers or layer.clients or layer._by_flow or len(layer) or len(layer._wheel) or layer.next_wake())


class LayerCase(SynchronousTestCase):
    """A fresh world for each test."""

    def setUp(self) -> None:
        self.world = World()
        self.layer = self.world.layer
        self.user = self.world.user
        self.udp, self.tcp = self.world.udp, self.world.tcp

    def assert_times(self, found: list[float], expected: list[float]) -> None:
        """Timers come up at their second or up to a tick later."""
        self.assertEqual(len(found), len(expected), f"{found} instead of {expected}")
        for is_at, should_be in zip(found, expected, strict=True):
            self.assertTrue(should_be - 1e-3 <= is_at <= should_be + TICK + 1e-3, f"{found} instead of {expected}")

    def assert_ends(self, table: object, transaction: object, seconds: float) -> None:
        """The transaction is there until a second from now, and then nothing of it."""
        assert isinstance(table, dict)
        self.world.advance(seconds - 0.01)
        self.assertEqual(list(table.values()), [transaction])
        self.world.advance(0.01 + 2 * TICK)
        self.assertEqual(len(table), 0)
