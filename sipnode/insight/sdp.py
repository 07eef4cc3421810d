"""What an SDP offers, as far as rules want to know: profile, codecs, direction, address, ICE and DTLS of each stream. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_STATIC: Final = {"0": "PCMU", "3": "GSM", "4": "G723", "8": "PCMA", "9": "G722", "15": "G728", "18": "G729"}
_DIRECTIONS: Final = frozenset(("sendrecv", "sendonly", "recvonly", "inactive"))
_NO_CODECS: Final = frozenset(("TELEPHONE-EVENT", "CN", "RED", "RTX", "ULPFEC"))


@dataclass(slots=True)
class Stream:
    """One ``m=`` line with what follows it.

    Attributes:
        kind: ``audio``, ``video`` …
        port: 0 for one that is refused.
        profile: ``RTP/AVP``, ``UDP/TLS/RTP/SAVPF`` …
        codecs: Their names, in order of preference.
        direction: ``sendrecv`` where none is given.
        address: Of its connection line.
        candidates: How many of ICE.
        fingerprint, crypto: Keys of DTLS-SRTP, of SDES.
    """

    kind: str
    port: int
    profile: str
    address: str
    direction: str
    codecs: list[str] = field(default_factory=list)
    candidates: int = 0
    ice: bool = False
    fingerprint: bool = False
    crypto: bool = False


def streams(body: bytes) -> list[Stream]:
    """The streams of a body; none for what is no SDP."""
    if body[:2] != b"v=" and b"\nm=" not in body:
        return []
    found: list[Stream] = []
    names: dict[str, str] = {}
    formats: list[tuple[Stream, list[str], dict[str, str]]] = []
    address, direction, ice, fingerprint = "", "sendrecv", False, False
    for line in body.decode("utf-8", "replace").splitlines()[:2000]:
        kind, _, value = line.partition("=")
        stream = found[-1] if found else None
        if kind == "m":
            parts = value.split()
            if len(parts) < 3:
                continue
            port = parts[1].partition("/")[0]
            stream = Stream(parts[0], int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0, parts[2], address, direction)
            stream.ice, stream.fingerprint = ice, fingerprint
            names = {}
            formats.append((stream, parts[3:40], names))
            found.append(stream)
        elif kind == "c":
            host = value.split()[-1].partition("/")[0] if value.split() else ""
            if stream is None:
                address = host
            else:
                stream.address = host
        elif kind == "a":
            name, _, rest = value.partition(":")
            if name in _DIRECTIONS:
                if stream is None:
                    direction = name
                else:
                    stream.direction = name
            elif name == "rtpmap":
                number, _, codec = rest.partition(" ")
                names[number] = codec.partition("/")[0]
            elif name == "candidate" and stream is not None:
                stream.candidates += 1
            elif name == "ice-ufrag":
                ice = ice or stream is None
                if stream is not None:
                    stream.ice = True
            elif name == "fingerprint":
                fingerprint = fingerprint or stream is None
                if stream is not None:
                    stream.fingerprint = True
            elif name == "crypto" and stream is not None:
                stream.crypto = True
    for stream, numbers, known in formats:
        stream.codecs = [known.get(number) or _STATIC.get(number, number) for number in numbers]
    return found


def codecs(stream: Stream) -> list[str]:
    """Codecs of a stream that carry speech or pictures."""
    return [name for name in stream.codecs if name.upper() not in _NO_CODECS]
