"""The record of a call: its fields, its JSON, and its row in Kamailio's tables. Pure.

Implements: the columns of Kamailio's acc module (``acc``, ``missed_calls``) with those that its standard configuration adds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sipnode.acc.quality import Quality, least_mos
from sipnode.sip.status import reason_of

if TYPE_CHECKING:
    from sipnode.dialog.call import Call

TIME: Final = "%Y-%m-%d %H:%M:%S"
"""Of the column ``time``, in UTC."""
LOST: Final = "lost"
UNKNOWN_END: Final = "its end was not seen"
WIDTHS: Final[Mapping[str, int]] = {
    "method": 16, "from_tag": 128, "to_tag": 128, "callid": 255, "sip_code": 3, "sip_reason": 128, "src_user": 64, "src_domain": 128,
    "src_ip": 64, "dst_ouser": 64, "dst_user": 64, "dst_domain": 128, "outcome": 16, "ended_by": 128, "record_id": 32, "quality": 4096,
}  # fmt: skip
"""Column to its width; what is longer is cut."""

Key = tuple[str, str, str]
"""Call-ID, caller's tag, callee's tag."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call.

    Attributes:
        id: Unique, for those who get it twice.
        node: ``[node] id``.
        call_id, from_tag, to_tag: Of its dialog.
        caller, callee: ``user@domain``, or the URI of who isn't ours.
        target: Request-URI that the caller asked for.
        caller_address, callee_address: ``transport:host:port``.
        started, answered, ended: Epoch seconds; 0 for what hasn't been.
        status: Last status of the INVITE. outcome, ended_by, rule: As :class:`sipnode.dialog.call.Call` has them.
        media: The relay's node, "" where media went directly.
        quality: A mapping of each leg (:class:`sipnode.acc.quality.Quality`).
        unrecorded: Why it wasn't recorded though it should have been, "" for nothing of that.
    """

    id: str
    node: int
    call_id: str
    from_tag: str
    to_tag: str
    caller: str
    callee: str
    target: str
    caller_address: str
    callee_address: str
    started: float
    answered: float = 0.0
    ended: float = 0.0
    status: int = 0
    outcome: str = ""
    ended_by: str = ""
    rule: str = ""
    media: str = ""
    quality: list[dict[str, Any]] = field(default_factory=list)
    unrecorded: str = ""

    @property
    def key(self) -> Key:
        """What it is found by."""
        return self.call_id, self.from_tag, self.to_tag

    @property
    def missed(self) -> bool:
        """Nobody answered it."""
        return not self.answered

    @property
    def setup_seconds(self) -> float:
        """From the INVITE to the answer, or to the end of one without."""
        return max(0.0, (self.answered or self.ended) - self.started)

    @property
    def duration_seconds(self) -> float:
        """From the answer to the end."""
        return max(0.0, self.ended - self.answered) if self.answered and self.ended else 0.0

    def closed(self, now: float, outcome: str, by: str) -> CallRecord:
        """The same, ended now."""
        return replace(self, ended=now, outcome=outcome, ended_by=by)

    def measured(self, legs: list[Quality]) -> CallRecord:
        """The same with the quality of its legs."""
        return replace(self, quality=[leg.shown for leg in legs])

    def shown(self) -> dict[str, Any]:
        """For JSON: the fields, and what follows from them."""
        legs = [Quality(**leg) for leg in self.quality]
        return {
            **asdict(self),
            "setup_seconds": round(self.setup_seconds, 3),
            "duration_seconds": round(self.duration_seconds, 3),
            "mos": least_mos(legs),
        }

    def to_json(self) -> str:
        """One line."""
        return json.dumps(self.shown(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> CallRecord:
        """Of what :meth:`to_json` has written.

        Raises:
            ValueError: it is none.
        """
        fields = json.loads(text)
        try:
            # A release that knows one field more or less reads what another has left to be handed over.
            return cls(**{name: fields[name] for name in cls.__dataclass_fields__ if name in fields})
        except TypeError as error:
            raise ValueError(f"no record of a call: {error}") from None

    def row(self) -> dict[str, Any]:
        """Its columns in ``acc``, or in ``missed_calls`` where nobody answered."""
        source, place = _user_and_domain(self.caller), _user_and_domain(self.callee)
        row: dict[str, Any] = {
            "method": "INVITE",
            "from_tag": self.from_tag,
            "to_tag": self.to_tag,
            "callid": self.call_id,
            "sip_code": f"{self.status:03d}",
            "sip_reason": reason_of(self.status) if self.status else "",
            "time": datetime.fromtimestamp(self.started, UTC).strftime(TIME),
            "src_user": source[0],
            "src_domain": source[1],
            "src_ip": self.caller_address.partition(":")[2].rpartition(":")[0].strip("[]"),
            "dst_ouser": _user_and_domain(self.target)[0],
            "dst_user": place[0],
            "dst_domain": place[1],
            "setup_ms": round(self.setup_seconds * 1000),
            "duration_ms": round(self.duration_seconds * 1000),
            "outcome": self.outcome,
            "ended_by": self.ended_by,
            "mos": least_mos([Quality(**leg) for leg in self.quality]),
            "quality": json.dumps(self.quality, separators=(",", ":")) if self.quality else "",
            "record_id": self.id,
        }
        return {name: _fitting(name, value) for name, value in row.items()}


COLUMNS: Final = (
    "method", "from_tag", "to_tag", "callid", "sip_code", "sip_reason", "time", "src_user", "src_domain", "src_ip", "dst_ouser", "dst_user",
    "dst_domain", "setup_ms", "duration_ms", "outcome", "ended_by", "mos", "quality", "record_id",
)  # fmt: skip
"""Of both tables, in the order of :meth:`CallRecord.row`."""


def record_of(call: Call, identity: str, node: int) -> CallRecord:
    """The record of a call as it is now.

    Args:
        identity: Of the record, unique.
    """
    return CallRecord(
        identity, node, call.call_id, call.from_tag, call.to_tag, call.caller or call.from_uri, call.callee or call.uri, call.uri,
        _address(call.caller_flow), _address(call.callee_flow), call.started, call.answered, call.ended, call.status, call.outcome,
        call.ended_by, call.rule, call.media_place,
    )  # fmt: skip


def _fitting(name: str, value: Any) -> Any:
    """PostgreSQL takes no NUL, no surrogate, and in a column no more than its width."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "replace").decode().replace("\0", "")[: WIDTHS.get(name)]


def _address(source: tuple[str, tuple[str, int]]) -> str:
    transport, (host, port) = source
    return f"{transport.lower()}:{f'[{host}]' if ':' in host else host}:{port}" if transport else ""


def _user_and_domain(text: str) -> tuple[str, str]:
    """Of ``user@domain`` or a URI."""
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in ("sip", "sips", "tel"):
        text = rest
    text = text.partition(";")[0].partition("?")[0]
    user, at, domain = text.rpartition("@")
    return (user.partition(":")[0], domain) if at else (text, "") if scheme.lower() == "tel" else ("", text)
