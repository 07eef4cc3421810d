"""What the wire trace shows of whole calls: every message, whoever sends it and whyever."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.observe.wiretrace import WireTrace
from sipnode.testing import World

_MARKS = {"received from": "<", "received, and can't be read, from": "<?", "sent to": ">", "sent again to": ">>"}


class Lines(WireTrace):
    """Keeps what it would write: a mark, the method or status, and what a response answers."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def _write(self, what: str, data: bytes, flow: Any) -> None:
        head, _, rest = data.decode().partition("\r\n")
        word = head.split()[1] if head.startswith("SIP/") else head.split()[0]
        method = next((line.split()[-1] for line in rest.split("\r\n") if line.lower().startswith("cseq:")), "")
        self.seen.append(f"{_MARKS[what]}{word}" + (f" {method}" if word.isdigit() and method else ""))


class WireTests(SynchronousTestCase):
    """In the order in which they pass."""

    def setUp(self) -> None:
        self.world = World()
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.bob.register()
        self.bob.take()
        self.trace = Lines()
        self.world.core.tap.subscribe(self.trace)

    def seen(self) -> list[str]:
        """Since the last look."""
        seen, self.trace.seen = self.trace.seen, []
        return seen

    def test_hop_by_hop_ack(self) -> None:
        """The ACK that acknowledges a refusal to the next hop is there, and the caller's own."""
        invite = self.alice.send("INVITE", self.bob.aor)
        self.bob.reply(self.bob.got("INVITE"), 486)
        self.alice.ack(invite, self.alice.response("INVITE"))
        self.assertEqual(self.seen(), ["<INVITE", ">100 INVITE", ">INVITE", "<486 INVITE", ">ACK", ">486 INVITE", "<ACK"])

    def test_repeats(self) -> None:
        """So is what is sent again: since nobody answers, and since what it answers has come again."""
        invite = self.alice.send("INVITE", self.bob.aor)
        self.seen()
        self.world.advance(0.6)
        self.assertEqual(self.seen(), [">>INVITE"])
        refused = self.bob.got("INVITE")
        self.bob.reply(refused, 486)
        self.seen()
        self.bob.reply(refused, 486)
        self.assertEqual(self.seen(), ["<486 INVITE", ">>ACK"])
        self.world.sink.received(invite.to_bytes(), self.alice.flow)
        self.assertEqual(self.seen(), ["<INVITE", ">>486 INVITE"])
        self.world.advance(0.6)
        self.assertEqual(self.seen(), [">>486 INVITE"])

    def test_cancel(self) -> None:
        """Both CANCELs and what answers them."""
        invite = self.alice.send("INVITE", self.bob.aor)
        rings = self.bob.got("INVITE")
        self.bob.reply(rings, 180)
        self.seen()
        self.alice.cancel(invite)
        self.assertEqual(self.seen(), ["<CANCEL", ">200 CANCEL", ">CANCEL"])
        self.bob.reply(self.bob.got("CANCEL"), 200)
        self.bob.reply(rings, 487)
        self.assertEqual(self.seen(), ["<200 CANCEL", "<487 INVITE", ">ACK", ">487 INVITE"])

    def test_without_a_transaction(self) -> None:
        """What is refused since it can't be read, and a 2xx that goes back though its call is forgotten."""
        broken = b"INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa\r\nno header\r\n\r\n"
        self.world.sink.received(broken, self.alice.flow)
        self.assertEqual(self.seen(), ["<?INVITE", ">400"])
        self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        layer = self.world.core.transactions
        for transaction in (*layer.clients.values(), *layer.servers.values()):
            layer.end(transaction)
        self.seen()
        self.bob.reply(received, 200)
        self.assertEqual(self.seen(), ["<200 INVITE", ">200 INVITE"])
