"""Chromium with the softphone page in it.

Playwright's plain interface blocks, so one thread of its own drives the browser; what the tests see are Deferreds.
One Chromium serves all tests of a run, each page in a context of its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from twisted.internet import reactor as _reactor
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase

import sipnode.web

from .waiting import until

reactor: Any = _reactor
PAGES = Path(sipnode.web.__file__).with_name("static") / "build"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    # With nothing but loopback up a browser would have no candidate to offer.
    "--allow-loopback-in-peer-connection",
    # Nobody clicks, and a page that nobody has clicked is silent.
    "--autoplay-policy=no-user-gesture-required",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
# What a page is given from outside, as nothing of it is the page's own: a tone in the place of the microphone, a finger on "Answer".
_VOICE = """
const asked = navigator.mediaDevices && navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
if (asked) navigator.mediaDevices.getUserMedia = async (wish) => {
  if (wish.video) return asked(wish);
  const ctx = new AudioContext();
  const osc = ctx.createOscillator();
  const gain = ctx.createGain();
  const out = ctx.createMediaStreamDestination();
  osc.frequency.value = %d;
  gain.gain.value = 0.4;
  osc.connect(gain).connect(out);
  osc.start();
  return out.stream;
};
"""
_ANSWER = """
new MutationObserver(() => {
  const button = document.getElementById('answer');
  if (button && !button.hidden && !button.closest('[hidden]')) button.click();
}).observe(document, { subtree: true, attributes: true, attributeFilter: ['hidden', 'data-state'] });
"""
_RELAYED = """
const Plain = RTCPeerConnection;
window.RTCPeerConnection = class extends Plain {
  constructor(config, ...rest) {
    super({ ...config, iceTransportPolicy: 'relay' }, ...rest);
  }
};
"""
_ELSEWHERE = """
const Here = window.WebSocket;
window.WebSocket = class extends Here {
  constructor(url, words) { super('ws://%s', words); }
};
"""
_ASK = "([name, given]) => window.sipnode[name](...given)"


def program() -> str | None:
    """Which browser there is."""
    return next((found for found in map(shutil.which, PROGRAMS) if found), None)


def missing_browser() -> str | None:
    """Why no page can be opened here, or None; with CI set everything has to be there."""
    if os.environ.get("CI"):
        return None
    if program() is None:
        return f"not installed: {PROGRAMS[0]}"
    if find_spec("playwright") is None:
        return "not installed: playwright"
    return None if (PAGES / "app.js").exists() else "the page isn't built: python -m sipnode.web.build"


class Browser:
    """The one browser of a run.

    Args:
        start: What starts it, where that isn't the program itself.
        flags: More flags.
    """

    _one: Browser | None = None

    def __init__(self, start: str = "", *flags: str) -> None:
        self._start = start
        self._flags = [*FLAGS, *flags]
        self._thread = ThreadPool(1, 1, "browser")
        self._thread.start()
        self._driver: Any = None
        self._chromium: Any = None

    @classmethod
    def of_this_run(cls) -> Browser:
        """Started when the first test asks."""
        if cls._one is None:
            cls._one = Browser()
            reactor.addSystemEventTrigger("before", "shutdown", cls._one._stop)
        return cls._one

    def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do something in the browser's thread; a Deferred."""
        return deferToThreadPool(reactor, self._thread, work, *arguments)

    def open(self, address: str, **options: Any) -> Any:
        """A new context with a page of that address; blocks, so through :meth:`run`.

        Args:
            address: Behind ``#`` may stand ``voice``, the pitch of a tone that is spoken, ``answer``, which has calls answered,
                ``relayed``, which lets media go by TURN servers alone, and ``socket``, where another server's WebSockets are; they
                are of this class. What is left there is the page's own, and signed in with by a click.
            options: Playwright's for the context.
        """
        if self._chromium is None:
            from playwright.sync_api import sync_playwright

            self._driver = sync_playwright().start()
            self._chromium = self._driver.chromium.launch(executable_path=self._start or program(), args=self._flags)
        place, _, words = address.partition("#")
        account = dict(parse_qsl(words))
        elsewhere = account.pop("socket", "")
        # A page of ours connects to nothing but its own server.
        options = {**options, "bypass_csp": bool(elsewhere)}
        context = self._chromium.new_context(permissions=["microphone", "camera"], **options)
        voice = account.pop("voice", "")
        if voice:
            context.add_init_script(_VOICE % int(voice))
        if account.pop("answer", ""):
            context.add_init_script(_ANSWER)
        if account.pop("relayed", ""):
            context.add_init_script(_RELAYED)
        if elsewhere:
            context.add_init_script(_ELSEWHERE % elsewhere)
        page = context.new_page()
        page.set_default_timeout(20000)
        page.goto(f"{place}#{urlencode(account)}" if account else place)
        if account:
            page.click("#signin-button")
        return page

    def close(self) -> Any:
        """End one that isn't that of the run."""
        return self.run(self._end).addBoth(lambda _result: self._thread.stop())

    def _stop(self) -> Any:
        Browser._one = None
        return self.close()

    def _end(self) -> None:
        if self._chromium is not None:
            self._chromium.close()
        if self._driver is not None:
            self._driver.stop()


class Page:
    """One tab with the softphone."""

    def __init__(self, case: TestCase, browser: Browser, page: Any) -> None:
        self._case = case
        self._browser = browser
        self._page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        # "Leave this page?": whoever loads it anew wants to.
        page.on("dialog", lambda dialog: dialog.accept())
        case.addCleanup(self.close)

    @classmethod
    async def open(cls, case: TestCase, address: str, browser: Browser | None = None) -> Page:
        """Open it in a context of its own."""
        browser = browser or Browser.of_this_run()
        return cls(case, browser, await browser.run(browser.open, address))

    @classmethod
    async def ready(cls, case: TestCase, address: str, browser: Browser | None = None) -> Page:
        """Open it and wait until it is signed in."""
        page = await cls.open(case, address, browser)
        await page.line("ready")
        return page

    async def do(self, name: str, *given: Any) -> Any:
        """Call one function of the page's own hook, ``window.sipnode``."""
        return await self._browser.run(self._page.evaluate, _ASK, [name, list(given)])

    async def ask(self, script: str, given: Any = None) -> Any:
        """What a script in the page says."""
        return await self._browser.run(self._page.evaluate, script, given)

    async def at(self, deed: str, *given: Any) -> Any:
        """One of Playwright's deeds of a person: ``click``, ``press``, ``fill``, ``goto`` …"""
        return await self._browser.run(getattr(self._page, deed), *given)

    async def visit(self, address: str) -> None:
        """Send the tab there from a blank page, as a link in a mail does, and wait until the page shows what it made of it."""
        await self.at("goto", "about:blank")
        await self.at("goto", address)
        # It has loaded, and still asks the server for its settings.
        await self.at("wait_for_selector", "body:not([data-screen=start])")

    async def status(self) -> dict[str, Any]:
        """What the page says about itself; {} while it is loading."""
        status: dict[str, Any] = await self._browser.run(self._page.evaluate, "() => window.sipnode ? window.sipnode.status() : {}")
        return status

    async def text(self) -> str:
        """What a person reads."""
        text: str = await self._browser.run(self._page.evaluate, "() => document.body.innerText")
        return text

    async def until(self, holds: Callable[[dict[str, Any]], Any], what: str) -> dict[str, Any]:
        """Wait until its status is such."""
        last: dict[str, Any] = {}

        async def ask() -> bool:
            nonlocal last
            last = await self.status()
            return bool(last) and bool(holds(last))

        await until(ask, lambda: f"{what}; the page says {last} {self.errors}")
        return last

    async def line(self, state: str) -> dict[str, Any]:
        """Wait for a state of the line to the server."""
        return await self.until(lambda status: status["line"] == state, f"the line is {state}")

    async def call(self, state: str) -> dict[str, Any]:
        """Wait for a state of its call; "" for none."""
        return await self.until(lambda status: (status["call"] or {"state": ""})["state"] == state, f"the call is {state!r}")

    async def hears(self, hz: float, tolerance: float = 8.0) -> float:
        """Wait until that pitch is what it hears."""
        last: dict[str, Any] = {}

        async def ask() -> bool:
            nonlocal last
            last = (await self.do("levels"))["heard"]
            return bool(abs(last["hz"] - hz) <= tolerance and last["db"] > -50)

        await until(ask, lambda: f"the page should hear {hz} Hz and hears {last}")
        heard: float = last["hz"]
        return heard

    async def reload(self) -> None:
        """Load the page again, as F5 does."""
        await self._browser.run(self._page.reload)

    async def tab(self, address: str) -> Page:
        """Another tab of the same browser and the same person, as a link opens one."""
        return Page(self._case, self._browser, await self._browser.run(self._new_tab, address))

    def _new_tab(self, address: str) -> Any:
        page = self._page.context.new_page()
        page.goto(address)
        return page

    async def close_tab(self) -> None:
        """Close this tab only."""
        await self._browser.run(self._page.close)

    async def close(self) -> None:
        """Close the tab; the page still has the time to say goodbye."""
        await self._browser.run(self._page.context.close)

    async def crash(self) -> None:
        """Kill the tab's process: the page says nothing any more, its connection just ends."""
        await self._browser.run(self._crash)

    def _crash(self) -> None:
        from playwright.sync_api import Error

        with suppress(Error):  # which says that the page has crashed
            self._page.goto("chrome://crash")
