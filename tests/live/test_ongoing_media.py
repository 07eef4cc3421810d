"""What can be done with the media of a call that is up, by a real rtpengine and heard by real ears."""

from __future__ import annotations

import wave
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from sipnode.acc.quality import quality_of
from sipnode.errors import MediaError
from sipnode.media.ongoing import OngoingMedia
from sipnode.media.spool import NO_FOLDER
from sipnode.records import MediaForm, MediaKey, MediaProfile
from tests.live.support.sound import LINEAR, RATE, Sound, tone
from tests.live.support.waiting import until
from tests.live.test_rtpengine import LiveCase, audio_port

PHONE = MediaProfile(MediaForm.PLAIN, protocol="RTP/AVP")
CALLER_HZ, CALLEE_HZ, FILE_HZ = 440, 620, 1000
QUIET = -40.0
"""dB below full scale; the tones have -14."""


def sdp(port: int, direction: str = "sendrecv") -> bytes:
    """A phone that knows G.711 alone, so that digits come as tones."""
    return (
        f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
        f"a=rtpmap:0 PCMU/8000\r\na={direction}\r\n"
    ).encode()


class OngoingMediaTests(LiveCase):
    """One daemon, one call."""

    timeout = 90

    def sound(self, hz: int) -> Sound:
        sound = Sound(hz)
        self.addCleanup(sound.close)
        return sound

    async def hears(self, ear: Sound, *pitches: int, share: float = 0.8) -> None:
        """Wait until one of these is the loudest that it hears."""

        def heard() -> bool:
            now = ear.heard()
            return now.share > share and any(abs(now.hz - hz) < 15 for hz in pitches)

        await until(heard, lambda: f"{pitches} Hz, but {ear.heard()}", 60)

    async def test_one_call(self) -> None:
        """A call is recorded, one end hears a file while the other hears its peer, digits and silence arrive, a third hears a copy, and
        the daemon's numbers are read; what 10.5 can't is told."""
        spool = Path(self.mktemp()).absolute()
        spool.mkdir()
        file = spool / "tone.wav"
        with wave.open(str(file), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(RATE)
            for frame in tone(FILE_HZ) * 30:
                out.writeframes(b"".join(LINEAR[code].to_bytes(2, "little", signed=True) for code in frame))
        daemon = await self.daemon(100, f"--recording-dir={spool}", "--recording-method=pcap")
        relay = self.service(daemon.line, flags="inject-DTMF").relay
        caller, callee, third = self.sound(CALLER_HZ), self.sound(CALLEE_HZ), self.sound(300)
        key = MediaKey("c", "f", via_branch="z.0")
        callee.start("127.0.0.1", audio_port(await relay.offer(key, sdp(caller.port), PHONE)))
        key.to_tag = "t"
        caller.start("127.0.0.1", audio_port(await relay.answer(key, sdp(callee.port), PHONE)))
        media = OngoingMedia(relay, "", "c", key.node, ("f", "t"))

        await media.start_recording("why:test")
        await self.hears(callee, CALLER_HZ)
        await self.hears(caller, CALLEE_HZ)

        await media.block_media("caller")
        self.assertAlmostEqual(await media.play_media(str(file), "callee"), 30_000, delta=100)
        await self.hears(callee, FILE_HZ)
        await self.hears(caller, CALLEE_HZ)
        await media.stop_media("callee")
        await media.unblock_media("caller")
        await self.hears(callee, CALLER_HZ)

        await media.play_dtmf("1", "caller", 1000)
        await self.hears(callee, 697, 1209, share=0.3)
        await self.hears(callee, CALLER_HZ)

        await media.silence_media("caller")
        await until(lambda: callee.full and callee.heard().db < QUIET, "silence", 60)
        await media.unsilence_media("caller")
        await self.hears(callee, CALLER_HZ)
        await media.block_dtmf("caller")
        await media.unblock_dtmf()

        copy = await media.subscribe_request("caller")
        self.assertEqual(copy.parties, ["caller"])
        self.assertIn(b"a=sendonly", copy.sdp)
        await media.subscribe_answer(copy.to_tag, sdp(third.port, "recvonly"))
        await self.hears(third, CALLER_HZ)
        await media.unsubscribe(copy.to_tag)

        legs = quality_of(await media.query())
        self.assertEqual({media.party(leg.tag) for leg in legs if leg.packets > 20}, {"caller", "callee"})
        await media.stop_recording()
        recorded = list(spool.glob("pcaps/*.pcap"))
        self.assertEqual(len(recorded), 1)
        self.assertGreater(recorded[0].stat().st_size, 10_000)
        for asked, status in ((media.pause_recording(), 501), (OngoingMedia(relay, "", "x", key.node, ("f", "t")).query(), 404)):
            error = await self.refusal(asked)
            self.assertEqual(error.status, status)
        await relay.delete(MediaKey("c", "f", node=key.node))

    async def test_no_folder(self) -> None:
        """A daemon of this machine without a folder for recordings is found out: the order fails with a sentence, and the call goes on."""
        daemon = await self.daemon()
        service = self.service(daemon.line)
        told: list[tuple[str, str]] = []
        service.unrecorded_by(lambda name, why: told.append((name, why)))
        caller, callee, key = self.sound(CALLER_HZ), self.sound(CALLEE_HZ), MediaKey("c", "f", via_branch="z.0")
        callee.start("127.0.0.1", audio_port(await service.relay.offer(key, sdp(caller.port), PHONE)))
        key.to_tag = "t"
        caller.start("127.0.0.1", audio_port(await service.relay.answer(key, sdp(callee.port), PHONE)))
        error = await self.refusal(OngoingMedia(service.relay, "", "c", key.node, ("f", "t")).start_recording())
        self.assertEqual((error.status, error.words), (501, NO_FOLDER))
        self.assertEqual(told, [("c", NO_FOLDER)])
        await self.hears(callee, CALLER_HZ)
        await self.hears(caller, CALLEE_HZ)
        await service.relay.delete(MediaKey("c", "f", node=key.node))

    async def refusal(self, asked: Awaitable[Any]) -> MediaError:
        try:
            await asked
        except MediaError as error:
            return error
        raise self.failureException("no MediaError")
