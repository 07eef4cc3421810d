"""RTP with G.711 µ-law: a tone that is sent, and an ear that knows the pitch of what arrives.

Implements: RFC 3550 §5.1 (header), RFC 3551 payload type 0, as much of them as a test needs.
"""

from __future__ import annotations

import math
import secrets
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import LoopingCall

reactor: Any = _reactor
RATE = 8000
FRAME = 160
_LOWEST, _HIGHEST = 200, 1600


def _linear(code: int) -> int:
    """One µ-law octet as a 16-bit sample (ITU-T G.711, table 2)."""
    code = ~code & 0xFF
    size = ((((code & 0x0F) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84
    return -size if code & 0x80 else size


LINEAR = [_linear(code) for code in range(256)]
_BY_SIZE = sorted((sample, code) for code, sample in enumerate(LINEAR))
_SIZES = [sample for sample, _code in _BY_SIZE]


def mu_law(sample: int) -> int:
    """The octet whose sample is nearest."""
    at = bisect_left(_SIZES, sample)
    near = _BY_SIZE[max(0, at - 1) : at + 1]
    return min(near, key=lambda pair: abs(pair[0] - sample))[1]


def tone(hz: int, amplitude: int = 9000) -> list[bytes]:
    """Fifty frames, one second, of a sine whose frequency is a whole number: played in a circle it has no seam."""
    samples = bytes(mu_law(round(amplitude * math.sin(2 * math.pi * hz * n / RATE))) for n in range(RATE))
    return [samples[at : at + FRAME] for at in range(0, RATE, FRAME)]


def power(samples: Sequence[float], hz: float, rate: int = RATE) -> float:
    """Goertzel: the share of all energy that stands at that frequency, 1.0 for a sine of just that pitch."""
    factor = 2 * math.cos(2 * math.pi * hz / rate)
    before = now = energy = 0.0
    for sample in samples:
        energy += sample * sample
        before, now = now, sample + factor * now - before
    if not energy:
        return 0.0
    return 2 * (now * now + before * before - factor * now * before) / (energy * len(samples))


@dataclass(frozen=True)
class Heard:
    """The loudest pitch in Hz, how much of the energy is in it (0…1), and the level in dB below full scale."""

    hz: float
    share: float
    db: float


SILENCE = Heard(0.0, 0.0, -100.0)


def listen(samples: Sequence[float], rate: int = RATE) -> Heard:
    """What 0.2 s of samples sound like: a coarse search over 40 ms, then a fine one over all."""
    mean_square = sum(sample * sample for sample in samples) / len(samples) if samples else 0.0
    if mean_square < 4:
        return SILENCE
    some = samples[: rate // 25]
    rough = max(range(_LOWEST, _HIGHEST, 15), key=lambda hz: power(some, hz, rate))
    hz = max(range(rough - 20, rough + 21, 2), key=lambda near: power(samples, near, rate))
    return Heard(hz, power(samples, hz, rate), 10 * math.log10(mean_square) - 90.3)


class Sound(DatagramProtocol):
    """One RTP socket on loopback.

    Attributes:
        received: Packets so far.
        gap: The longest time without a packet, in seconds; whoever wants it of some time sets it to 0 before.
        to: Where we send; the SDP of the other side says it.
    """

    def __init__(self, hz: int) -> None:
        self._frames = tone(hz)
        self._sender = LoopingCall(self._send)
        self._sequence = secrets.randbelow(1 << 15)
        self._source = secrets.token_bytes(4)
        self._samples: list[int] = []
        self.received = 0
        self.gap = 0.0
        self._came = reactor.seconds()
        self.to: tuple[str, int] = ("", 0)
        self._listen("127.0.0.1")

    def _listen(self, host: str) -> None:
        self.host = host
        self._wire = reactor.listenUDP(0, self, interface=host)
        self.port: int = self._wire.getHost().port

    async def move(self, host: str) -> None:
        """To a socket at another address; what is sent goes on from there."""
        await self._wire.stopListening()
        self._listen(host)

    def start(self, address: str, port: int) -> None:
        """Send there from now on."""
        self.to = (address, port)
        if not self._sender.running and not self._wire.disconnected:
            self._sender.start(FRAME / RATE)

    def pause(self) -> None:
        """Send nothing."""
        if self._sender.running:
            self._sender.stop()

    def forget(self) -> None:
        """Begin to listen anew."""
        self._samples.clear()

    @property
    def full(self) -> bool:
        """Whether there is enough since :meth:`forget` to judge."""
        return len(self._samples) >= RATE // 5

    def heard(self) -> Heard:
        """The last 0.2 s; silence until there is so much."""
        return listen(self._samples[-RATE // 5 :]) if self.full else SILENCE

    def close(self) -> Any:
        """No more; the Deferred of the socket."""
        self.pause()
        return None if self._wire.disconnected else self._wire.stopListening()

    def _send(self) -> None:
        self._sequence += 1
        head = b"\x80\x00" + (self._sequence & 0xFFFF).to_bytes(2, "big") + (self._sequence * FRAME & 0xFFFFFFFF).to_bytes(4, "big")
        self.transport.write(head + self._source + self._frames[self._sequence % len(self._frames)], self.to)

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        if len(datagram) > 12 and datagram[0] >> 6 == 2 and datagram[1] & 0x7F == 0:
            self.received += 1
            now = reactor.seconds()
            self.gap, self._came = max(self.gap, now - self._came), now
            self._samples.extend(LINEAR[code] for code in datagram[12 + 4 * (datagram[0] & 15) :])
            del self._samples[:-RATE]
