"""A browser of others: ``bundlePolicy: "max-bundle"`` in a real Chromium, in calls with a phone.

Our own page asks for ``max-compat``; most libraries ask for ``max-bundle``. The page gives JsSIP and the line to the server, and the calls
are made of these alone.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from sipnode.media.sdp import UNBUNDLED

from .support.browser import Page, missing_browser
from .support.call import media_of
from .support.site import DOMAIN, Site, missing
from .support.waiting import until

# JsSIP as any other page would use it: no handler of ours is left, so that SDP goes to the browser as the server sent it.
BUNDLED = """
async () => {
  const ua = window.sipnode.ua;
  ua.removeAllListeners('newRTCSession');
  const heard = new AudioContext();
  const analyser = heard.createAnalyser();
  analyser.fftSize = 8192;
  const options = async (video) => ({
    mediaStream: await navigator.mediaDevices.getUserMedia({ audio: true }).then(async (stream) => {
      if (video) (await navigator.mediaDevices.getUserMedia({ video: true })).getTracks().forEach((track) => stream.addTrack(track));
      return stream;
    }),
    pcConfig: { bundlePolicy: 'max-bundle', iceServers: [] },
  });
  const state = { state: 'new', cause: '', warning: '', got: [], sent: [] };
  const follow = (session) => {
    state.session = session;
    const connected = (pc) => {
      pc.addEventListener('track', ({ track, streams }) => {
        if (track.kind !== 'audio') return;
        const stream = streams[0] || new MediaStream([track]);
        // Chromium pulls what comes from afar only where an element plays it.
        const element = new Audio();
        element.srcObject = stream;
        element.play();
        state.element = element;
        heard.createMediaStreamSource(stream).connect(analyser);
      });
    };
    session.on('peerconnection', ({ peerconnection }) => connected(peerconnection));
    if (session.connection) connected(session.connection);
    session.on('sdp', ({ originator, sdp }) => (originator === 'remote' ? state.got : state.sent).push(sdp));
    session.on('accepted', ({ response }) => {
      state.warning = (response && response.getHeader('Warning')) || '';
      state.state = 'up';
    });
    session.on('ended', ({ cause }) => { state.state = 'ended'; state.cause = cause; });
    session.on('failed', ({ cause }) => { state.state = 'failed'; state.cause = cause; });
  };
  ua.on('newRTCSession', async ({ originator, session }) => {
    if (originator !== 'remote') return;
    follow(session);
    session.answer(await options(false));
  });
  window.bundled = {
    call: async (target, video) => {
      state.state = 'new';
      follow(ua.call(target, await options(video)));
    },
    hangup: () => state.session.terminate(),
    status: () => ({ state: state.state, cause: state.cause, warning: state.warning, got: state.got, sent: state.sent }),
    heard: () => {
      const bins = new Float32Array(analyser.frequencyBinCount);
      analyser.getFloatFrequencyData(bins);
      const most = bins.indexOf(Math.max(...bins));
      return { hz: most * heard.sampleRate / analyser.fftSize, db: bins[most] };
    },
  };
}
"""


class MaxBundleTests(TestCase):
    """One such browser and a phone."""

    timeout = 120
    skip = missing("rtpengine") or missing_browser()

    async def status(self, page: Page) -> dict[str, Any]:
        found: dict[str, Any] = await page.ask("() => window.bundled.status()")
        return found

    async def reaches(self, page: Page, state: str) -> dict[str, Any]:
        """Wait for a state of its call."""
        last: dict[str, Any] = {}

        async def ask() -> bool:
            nonlocal last
            last = await self.status(page)
            return bool(last["state"] == state)

        await until(ask, lambda: f"the call is {state}; it is {last}")
        return last

    async def hears(self, page: Page, hz: float) -> None:
        """Wait until the browser hears that pitch."""
        last: dict[str, Any] = {}

        async def ask() -> bool:
            nonlocal last
            last = await page.ask("() => window.bundled.heard()")
            return bool(abs(last["hz"] - hz) < 12 and last["db"] is not None and last["db"] > -60)

        await until(ask, lambda: f"the browser should hear {hz} Hz and hears {last}")

    async def test_to_a_phone_and_back(self) -> None:
        """It calls a phone and is called by it, and both hear each other; with video it has a call with sound, and is told why."""
        site = await Site(self).start()
        page = await Page.ready(self, site.page("alice", 440, auto=False))
        bob = await site.registered("bob", 700)
        await page.ask(f"({BUNDLED})()")

        await page.ask("(target) => window.bundled.call(target, false)", f"sip:bob@{DOMAIN}")
        said = await self.reaches(page, "up")
        self.assertIn("a=group:BUNDLE", said["sent"][-1])
        self.assertIn("a=group:BUNDLE", said["got"][-1])
        self.assertEqual(said["warning"], "")
        await self.hears(page, 700)
        await bob.calls[-1].hears(440)
        site.assert_relayed(media_of(bob.calls[-1].remote_sdp))
        await page.ask("() => window.bundled.hangup()")
        await bob.calls[-1].ended("BYE")
        await site.no_calls()

        call = bob.dial(f"sip:alice@{DOMAIN}")
        self.assertEqual((await call.outcome).status, 200)
        await self.reaches(page, "up")
        await self.hears(page, 700)
        await call.hears(440)
        await call.hang_up()
        await self.reaches(page, "ended")
        await site.no_calls()

        await page.ask("(target) => window.bundled.call(target, true)", f"sip:bob@{DOMAIN}")
        said = await self.reaches(page, "up")
        self.assertEqual(said["warning"], UNBUNDLED)
        self.assertRegex(said["got"][-1], "(?m)^m=video 0 ")
        self.assertRegex(bob.calls[-1].remote_sdp, rb"(?m)^m=video 0 ")
        await self.hears(page, 700)
        await bob.calls[-1].hears(440)
        await page.ask("() => window.bundled.hangup()")
        await bob.calls[-1].ended("BYE")
        await site.no_calls()
        self.assertEqual(page.errors, [])
