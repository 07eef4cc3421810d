"""A finding: why a call failed, in a sentence, with the remedy and the events that prove it; and what a rule may ask beside them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from sipnode.addresses import is_within, networks
from sipnode.insight.story import Entry, Story

MOST_PROOFS: Final = 12
_PRIVATE: Final = networks(
    ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "fc00::/7", "fe80::/10", "::1"), ""
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding.

    Attributes:
        rule: Name of the rule that found it.
        sentence: What went wrong, and whose fault it is.
        mend: What to do about it.
        proof: Places of the events that show it.
    """

    rule: str
    sentence: str
    mend: str
    proof: tuple[int, ...]


@dataclass(slots=True)
class Around:
    """Facts that no single call has.

    Attributes:
        gone: When ``user@domain`` lost its last registration (epoch seconds), how, and by which connection; None where that isn't known.
        trunk: Name of the trunk at a host, "" for none.
        code: File and line of a stage of the routing script, "" where that isn't known.
        foreign: Whether a host is no domain or address of ours.
    """

    gone: Callable[[str], tuple[float, str, str] | None] = lambda aor: None
    trunk: Callable[[str], str] = lambda host: ""
    code: Callable[[str], str] = lambda stage: ""
    foreign: Callable[[str], bool] = lambda host: False


Rule = Callable[[Story, Around], Finding | None]


def found(rule: str, sentence: str, mend: str, proof: Iterable[Entry | None]) -> Finding:
    """A finding with its proof."""
    places = dict.fromkeys(entry.n for entry in proof if entry is not None)
    return Finding(rule, sentence, mend, tuple(places)[:MOST_PROOFS])


def phrase(entry: Entry | None) -> str:
    """``486 Busy Here`` of a response."""
    return "" if entry is None or entry.message is None else f"{entry.status} {getattr(entry.message, 'reason', '')}".strip()


def private(host: str) -> bool:
    """Whether a host is an address that only its own network knows."""
    return is_within(host.strip("[]"), _PRIVATE)
