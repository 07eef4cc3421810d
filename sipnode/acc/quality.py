"""Media quality of a call, as rtpengine tells it when a call is deleted or asked for. Pure.

Implements: RFC 3550 §6.4.1 (loss, jitter), with the mean opinion score that rtpengine derives from them (ITU-T G.107).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

MOST_LEGS: Final = 8
"""Of one call; a conference of more is cut."""


class Quality(NamedTuple):
    """One leg, towards the relay.

    Attributes:
        tag: Of the end that sent it, as the relay knows it. address: ``host:port`` that it was sent from, "" for none.
        packets: RTP packets that came. octets: Of them.
        lost: Percent of packets lost by the receivers' reports. jitter: Milliseconds.
        mos: Mean opinion score, 1 to 4.5; 0 where nobody has reported.
    """

    tag: str
    address: str
    packets: int
    octets: int
    lost: float
    jitter: float
    mos: float

    @property
    def shown(self) -> dict[str, Any]:
        """For JSON, RPC and the table."""
        return dict(self._asdict())


def quality_of(reply: Mapping[bytes, Any]) -> list[Quality]:
    """The legs of a reply to ``query`` or ``delete``; [] where it has none, whatever it holds instead.

    Args:
        reply: As decoded: octets for names and texts.
    """
    tags, reports = _mapping(reply.get(b"tags")), _mapping(reply.get(b"SSRC"))
    legs: list[Quality] = []
    for tag, part in tags.items():
        for media in _list(_mapping(part).get(b"medias")):
            streams = [_mapping(stream) for stream in _list(_mapping(media).get(b"streams"))]
            streams = [stream for stream in streams if b"RTP" in _list(stream.get(b"flags"))]
            for stream in streams[:1]:
                legs.append(_leg(tag, stream, reports))
                if len(legs) == MOST_LEGS:
                    return legs
    return legs


def _leg(tag: object, stream: Mapping[bytes, Any], reports: Mapping[bytes, Any]) -> Quality:
    stats, endpoint = _mapping(stream.get(b"stats")), _mapping(stream.get(b"endpoint"))
    report = _mapping(reports.get(str(_number(stream.get(b"SSRC"))).encode()))
    average = _mapping(report.get(b"average MOS"))
    address, port = _text(endpoint.get(b"address")), _number(endpoint.get(b"port"))
    return Quality(
        _text(tag),
        f"{address}:{port}" if address and port else "",
        _number(stats.get(b"packets")),
        _number(stats.get(b"bytes")),
        float(min(100, _number(average.get(b"packet loss")))),
        float(_number(average.get(b"jitter"))),
        min(5.0, _number(average.get(b"MOS")) / 10),
    )


def least_mos(legs: list[Quality]) -> float:
    """The worst score of a call, 0 where no leg has one."""
    scores = [leg.mos for leg in legs if leg.mos > 0 and math.isfinite(leg.mos)]
    return min(scores, default=0.0)


def _mapping(value: object) -> Mapping[bytes, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: object) -> int:
    return max(0, value) if isinstance(value, int) else 0


def _text(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
    return "".join(char for char in text if char.isprintable())[:128]
