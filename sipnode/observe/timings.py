"""How long callers waited, how long it rang, and how calls sounded, as histograms.

Implements: RFC 6076 §4.3 (session request delay, successful and failed). The invariant: a call costs two additions, and memory is the same
whatever comes. Calls of strangers that this server has refused aren't among them: a scanner makes thousands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sipnode.acc.quality import least_mos, quality_of
from sipnode.observe.pulse import Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping

SETUP_BOUNDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 16.0, 32.0)
"""Seconds; 3 s is the mean that ITU-T E.721 allows a local call, 8 s one to another country."""
RING_BOUNDS: Final = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0)
"""Seconds."""
MOS_BOUNDS: Final = (1.5, 2.0, 2.6, 3.1, 3.6, 4.0, 4.3)
"""Mean opinion scores, at the limits of ITU-T G.107 annex B: below 2.6 nearly nobody is satisfied, from 4.3 on everybody."""


class Timings:
    """The histograms.

    Attributes:
        rung: Seconds from the INVITE until its caller heard that it rings, or the answer. failed: The same until a refusal before that.
        answered: Seconds that it rang until the answer. unanswered: The same until it was given up.
        scores: The worst score of each call that the media relay has measured.
    """

    __slots__ = ("answered", "failed", "rung", "scores", "unanswered")

    def __init__(self) -> None:
        self.rung, self.failed = Histogram(SETUP_BOUNDS), Histogram(SETUP_BOUNDS)
        self.answered, self.unanswered = Histogram(RING_BOUNDS), Histogram(RING_BOUNDS)
        self.scores = Histogram(MOS_BOUNDS)

    def ended(self, call: Any) -> None:
        """A call has ended: :class:`sipnode.dialog.call.Call`."""
        rang, answered = call.rang, call.answered
        heard = rang or answered
        if heard:
            self.rung.add(heard - call.started)
        else:
            self.failed.add(call.ended - call.started)
        if rang:
            if answered:
                self.answered.add(answered - rang)
            else:
                self.unanswered.add(call.ended - rang)

    def measured(self, name: str, reply: Mapping[bytes, Any]) -> None:
        """The media relay has told the numbers of a call that it ends.

        Args:
            name: Of the call. reply: As it came.
        """
        score = least_mos(quality_of(reply))
        if score:
            self.scores.add(score)
