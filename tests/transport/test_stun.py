"""Promises of ``sipnode.transport.stun``."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from sipnode.transport.stun import binding_response

TRANSACTION = b"0123456789ab"
REQUEST = bytes.fromhex("000100002112a442") + TRANSACTION


def unmask(answer: bytes) -> tuple[str, int]:
    """The XOR-MAPPED-ADDRESS of a response (RFC 8489 §14.2), read the other way round."""
    family = socket.AF_INET if answer[25] == 1 else socket.AF_INET6
    mask = b"\x21\x12\xa4\x42" + TRANSACTION
    address = bytes(a ^ b for a, b in zip(answer[28:], mask, strict=False))
    return socket.inet_ntop(family, address), int.from_bytes(answer[26:28], "big") ^ 0x2112


class BindingResponse(SynchronousTestCase):
    """The one exchange."""

    def test_addresses(self) -> None:
        """The answer carries the source address, of either family, and the request's transaction."""
        for source in (("192.0.2.33", 32853), ("2001:db8::7", 5060)):
            answer = binding_response(REQUEST, source)
            self.assertEqual(unmask(answer), source)
            self.assertEqual(answer[4:20], REQUEST[4:20])
            self.assertEqual(len(answer) - 20, int.from_bytes(answer[2:4], "big"))

    def test_anything_else(self) -> None:
        """Other octets get nothing: an answer, an indication, a wrong length, no cookie."""
        for data in (b"", REQUEST[:19], b"\x01\x01" + REQUEST[2:], REQUEST + b"x", REQUEST[:4] + b"abcd" + TRANSACTION, b"\0" * 28):
            self.assertEqual(binding_response(data, ("192.0.2.1", 1)), b"")
