"""The signed name of a flow, as it stands in the Path of a binding.

Implements: RFC 5626 §5.2 (a flow token that nobody else can make up). Pure.

Form: ``n1!UNTIL!REACH!SIGNATURE`` in the user part of a Route; UNTIL in hexadecimal epoch seconds, REACH ``c<connection>`` or
``u<host>~<port>`` (a UDP address behind NAT, colons of IPv6 as ``+``). The invariant: what was read was signed with the secret
of the nodes, for this node, and its time hasn't passed.
"""

from __future__ import annotations

from hashlib import blake2s
from hmac import compare_digest
from typing import Final, NamedTuple

from sipnode.records import FLOW_TOKEN

PREFIX: Final = FLOW_TOKEN


class Reach(NamedTuple):
    """Where a token leads.

    Attributes:
        flow: Token of a connection, "" for UDP.
        host: UDP address behind NAT, "" for a connection; IPv6 without brackets.
        port: See ``host``.
    """

    flow: str
    host: str = ""
    port: int = 0


class FlowTokens:
    """Makes and reads them.

    Args:
        secret: At least 16 octets.
        node_id: Of the node that holds the flows; a token of one node is none of another's.
    """

    def __init__(self, secret: bytes, node_id: int) -> None:
        self._key = blake2s(secret, person=b"path").digest()
        self._node = f"\n{node_id}"

    def make(self, reach: Reach, until: float) -> str:
        """The token of a flow, good until then (epoch seconds)."""
        where = f"c{reach.flow}" if reach.flow else f"u{reach.host.replace(':', '+')}~{reach.port}"
        payload = f"{PREFIX}{int(until):x}!{where}"
        return f"{payload}!{self._signature(payload)}"

    def read(self, token: str, now: float) -> Reach | None:
        """The content of a token; None where it isn't ours or its time has passed."""
        payload, _, signature = token.rpartition("!")
        # compare_digest takes ASCII only.
        if not signature.isascii() or not compare_digest(signature, self._signature(payload)):
            return None
        until, _, where = payload[len(PREFIX) :].partition("!")
        if int(until, 16) < now:
            return None
        if where[0] == "c":
            return Reach(where[1:])
        host, _, port = where[1:].partition("~")
        return Reach("", host.replace("+", ":"), int(port))

    def _signature(self, payload: str) -> str:
        text = (payload + self._node).encode("utf-8", "surrogateescape")
        return blake2s(text, key=self._key, digest_size=10).hexdigest()
