"""A world whose calls are recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.insight.explain import Explanation
from sipnode.insight.service import Insight
from sipnode.insight.story import Story
from sipnode.settings import RecorderSettings, Settings
from sipnode.testing import RecordingMediaRelay, World

SDP = b"v=0\r\no=- 1 1 IN IP4 10.1.1.1\r\ns=-\r\nc=IN IP4 10.1.1.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


class RecordedCase(SynchronousTestCase):
    """A world with alice and bob registered, and a recorder.

    Attributes:
        everything: Not only calls.
    """

    everything = False
    settings: Settings | None = None
    media = True
    script: Any = None

    def setUp(self) -> None:
        self.relay = RecordingMediaRelay() if self.media else None
        self.world = self.recorded()
        self.insight: Insight = self.world.insight
        assert self.insight.keeper is not None
        self.recorder = self.insight.keeper
        self.ring = self.recorder.ring
        self.alice = self.world.phone("alice")
        self.bob = self.world.phone("bob", "WS")
        for phone in (self.alice, self.bob):
            phone.register()
            phone.take()

    def recorded(self, settings: Settings | None = None, **options: Any) -> World:
        """A world with a recorder."""
        recorder = RecorderSettings(enabled=True, megabytes=1, calls=1000, seconds=600, failed_seconds=3600, everything=self.everything)
        return World(replace(settings or self.settings or Settings(), recorder=recorder), media=self.relay, script=self.script, **options)

    def story(self, call_id: str) -> Story:
        """The story of a call.

        Raises:
            AssertionError: it isn't recorded.
        """
        story = self.insight.story(call_id)
        assert story is not None, f"{call_id} isn't recorded"
        return story

    def why(self, call_id: str) -> Explanation:
        """Why a call failed."""
        return self.insight.explain(call_id)
