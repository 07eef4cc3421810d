"""Whether a trunk is there: out after some questions without an answer, back with the first answer. Pure."""

from __future__ import annotations


class Health:
    """The state of a trunk.

    Args:
        misses: After so many questions without an answer, in a row, it is out.

    Attributes:
        up: It gets new calls; as long as nothing was asked it does.
        missed: Questions without an answer since the last answer.
        reason: What its last answer was, or why there was none.
    """

    __slots__ = ("_misses", "missed", "reason", "up")

    def __init__(self, misses: int) -> None:
        self._misses = misses
        self.up = True
        self.missed = 0
        self.reason = ""

    def heard(self, status: int, phrase: str) -> bool:
        """It has answered; a 503 says that it takes nothing. Whether it came back or went out by that."""
        if status == 503:
            return self.silent(f"503 {phrase}".strip())
        self.missed, self.reason = 0, f"{status} {phrase}".strip()
        back, self.up = not self.up, True
        return back

    def silent(self, reason: str) -> bool:
        """A question had no answer. Whether it is out by that."""
        self.missed += 1
        self.reason = reason
        gone = self.up and self.missed >= self._misses
        self.up = self.up and not gone
        return gone
