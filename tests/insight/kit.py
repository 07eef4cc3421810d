"""A world whose calls are recorded."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.insight.recorder import Recorder
from sipnode.insight.ring import Ring
from sipnode.insight.service import Insight
from sipnode.insight.story import Story
from sipnode.observe.callhistory import CallHistory
from sipnode.settings import Settings
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

    def setUp(self) -> None:
        self.relay = RecordingMediaRelay() if self.media else None
        self.world = World(self.settings, media=self.relay)
        self.ring = Ring(1 << 20, 1000, 600, 3600)
        self.recorder = Recorder(self.ring, self.everything)
        self.insight = Insight(self.recorder)
        self.world.core.tap.subscribe(self.recorder)
        # Somebody has to want to know how calls end.
        self.calls = CallHistory(self.world.clock, "none", self.world.core.tap)
        self.calls.log = Silent()
        self.alice = self.world.phone("alice")
        self.bob = self.world.phone("bob", "WS")
        for phone in (self.alice, self.bob):
            phone.register()
            phone.take()

    def story(self, call_id: str) -> Story:
        """The story of a call.

        Raises:
            AssertionError: it isn't recorded.
        """
        story = self.insight.story(call_id)
        assert story is not None, f"{call_id} isn't recorded"
        return story


class Silent:
    """Takes the place of a Logger."""

    def info(self, text: str, /, **values: Any) -> None:
        """Twisted's name."""

    warn = error = failure = info
