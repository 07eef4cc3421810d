"""Phones that have shown a password over UDP: each pair of address and port keeps a share of its own. Pure: the time is given.

Messages forged in the name of an office take away the share of the office. A forger knows its address, but hardly the ports that
its NAT gave to its phones. The invariant: at most ``most`` pairs; who proved itself longest ago is forgotten first.
"""

from __future__ import annotations

from sipnode.defence.bucket import Bucket

Address = tuple[str, int]


class _Peer:
    __slots__ = ("bucket", "until", "user")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.user = ""
        self.until = 0.0


class PeerTable:
    """The pairs.

    Args:
        most: Pairs that are kept.
        rate: Messages a second of one pair. burst: Messages at once.
    """

    def __init__(self, most: int, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self._most = most
        self._peers: dict[Address, _Peer] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def proved(self, peer: Address, user: str, now: float, until: float) -> None:
        """That user's password came from there, and will count until then."""
        # A dictionary keeps the order of insertion: who proved itself lately stands at the end.
        known = self._peers.pop(peer, None)
        if known is None:
            known = _Peer(Bucket(self.rate, self.burst, now))
            if len(self._peers) >= self._most:
                del self._peers[next(iter(self._peers))]
        known.user, known.until = user, until
        self._peers[peer] = known

    def take(self, peer: Address, now: float) -> bool:
        """Take one message from the share of a pair; False for none that is known, or when it is used up."""
        known = self._peers.get(peer)
        return known is not None and known.until > now and known.bucket.take(now)

    def user(self, peer: Address, now: float) -> str:
        """The user that has shown a password from there, "" for nobody."""
        known = self._peers.get(peer)
        return known.user if known is not None and known.until > now else ""

    def forget(self) -> None:
        """Forget all of them: other limits hold now."""
        self._peers.clear()
