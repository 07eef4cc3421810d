"""Wiring of the recorder, and of those who explain what it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.insight.recorder import Recorder
from sipnode.insight.ring import Ring
from sipnode.insight.service import Insight

if TYPE_CHECKING:
    from sipnode.base.tap import Tap
    from sipnode.settings import RecorderSettings, Settings


def recorder_of(settings: RecorderSettings) -> Recorder | None:
    """The recorder, None where nothing is to be recorded."""
    if not settings.enabled:
        return None
    ring = Ring(settings.megabytes * 1048576, settings.calls, settings.seconds, settings.failed_seconds)
    return Recorder(ring, settings.everything)


def insight_of(settings: Settings, tap: Tap) -> Insight:
    """Knowledge of calls; the recorder watches from now on, where there is one."""
    recorder = recorder_of(settings.recorder)
    if recorder is not None:
        tap.subscribe(recorder)
    return Insight(recorder)
