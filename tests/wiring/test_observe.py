"""Who is told the numbers of calls that the media relay ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

import sipnode.app
from sipnode.settings import AccSettings, MediaSettings, MetricsSettings, RecorderSettings, Settings


class MeasuredTests(SynchronousTestCase):
    """A whole server, not started."""

    def measured(self, **sections: Any) -> Any:
        """What the relay calls with the numbers of a call, and the histogram of scores."""
        folder = Path(self.mktemp())
        folder.mkdir()
        built: Any = sipnode.app.build(Settings(media=MediaSettings(nodes=("127.0.0.1:2223",)), **sections), folder, MemoryReactorClock())
        return built.core.media_control.relay.measured, built.calls.timings.scores

    def test_asked_anyway(self) -> None:
        """Where accounting or the recorder has the relay asked, the scores are counted; for them alone it isn't asked."""
        report = {b"average MOS": {b"MOS": 40}}
        stream = {b"flags": [b"RTP"], b"SSRC": 1, b"stats": {b"packets": 9}}
        reply = {b"tags": {b"t": {b"medias": [{b"streams": [stream]}]}}, b"SSRC": {b"1": report}}
        for sections in ({"recorder": RecorderSettings(enabled=True)}, {"acc": AccSettings(tables=True)}):
            measured, scores = self.measured(**sections)
            measured("a call", reply)
            self.assertEqual(scores.total, 4.0)
        self.assertIsNone(self.measured()[0])
        off = {"metrics": MetricsSettings(enabled=False), "recorder": RecorderSettings(enabled=True)}
        measured, scores = self.measured(**off)
        measured("a call", reply)
        self.assertEqual(scores.total, 0.0)
