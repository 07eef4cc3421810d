"""What the softphone page has beside its calls: devices, pictures, a sign of quality, languages, links, and that it fits. Real Chromium."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from .support.browser import Page, missing_browser
from .support.site import DOMAIN, Site, missing
from .support.waiting import until

BOB = f"sip:bob@{DOMAIN}"
CHOICES = "(id) => Array.from(document.getElementById(id).options, (one) => one.value)"
SINKS = "() => Array.from(document.querySelectorAll('audio'), (one) => [one.sinkId, Math.round(100 * one.volume), one.muted])"
FILM = "(id) => { const film = document.getElementById(id); return !film.hidden && film.videoWidth > 0 && !film.paused; }"
LOSSY = """() => {
  const asked = RTCPeerConnection.prototype.getStats;
  window.lost = 0;
  RTCPeerConnection.prototype.getStats = async function () {
    const all = [];
    (await asked.call(this)).forEach((one) => all.push(one.type === 'inbound-rtp' ? { ...one, packetsLost: window.lost += 20 } : one));
    return all;
  };
}"""
VIOLATIONS = """() => {
  window.violations = [];
  document.addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
}"""
ASKED = """() => {
  const real = navigator.registerProtocolHandler.bind(navigator);
  navigator.registerProtocolHandler = (...given) => { window.asked = given; real(...given); };
}"""
# What a person can't reach or read: wider than the page, under something else, or with its end cut off.
CUT_OFF = """() => {
  const found = [];
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) found.push(`the page is ${wide} px too wide`);
  const named = (node) => `${node.tagName} ${node.id || node.className} "${node.textContent.trim().slice(0, 20)}"`;
  for (const node of document.querySelectorAll('body *')) {
    if (!node.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    if (node.closest('.visually-hidden, .symbols, .art svg, [aria-hidden=true]')) continue;
    const box = node.getBoundingClientRect();
    const clips = getComputedStyle(node).overflowX !== 'visible' && !/INPUT|SELECT/.test(node.tagName);
    const words = Array.from(node.childNodes).some((one) => one.nodeType === 3 && one.data.trim());
    const control = /BUTTON|INPUT|SELECT/.test(node.tagName);
    if ((words || control) && (box.left < -1 || box.right > innerWidth + 1)) found.push(`beyond the edge: ${named(node)}`);
    if (words && clips && node.scrollWidth > node.clientWidth + 1) found.push(`cut off: ${named(node)}`);
    if (!control || node.disabled) continue;
    node.scrollIntoView({ block: 'center' });
    const now = node.getBoundingClientRect();
    const at = document.elementFromPoint(now.left + now.width / 2, now.top + now.height / 2);
    // What is opened above the page is closed again.
    if (at && at.closest('#settings') && !node.closest('#settings')) continue;
    if (!at || !(node.contains(at) || at.contains(node))) found.push(`under ${at ? named(at) : 'nothing'}: ${named(node)}`);
  }
  return found;
}"""


class SoftphoneOutfitTests(TestCase):
    """One page or two, and everything that there is to set and to see."""

    timeout = 180
    skip = missing("rtpengine") or missing_browser()

    async def says(self, page: Page, script: str, given: Any, wanted: Any, what: str) -> None:
        """Wait until a script in the page says that."""
        last: Any = None

        async def ask() -> bool:
            nonlocal last
            last = await page.ask(script, given)
            return bool(last == wanted)

        await until(ask, lambda: f"{what}; it is {last!r}")

    async def fits(self, page: Page, what: str) -> None:
        """Nothing is cut off on a small telephone, at 200 % on a small screen, and with letters twice as large."""
        for width, height, letters in ((320, 568, "100%"), (640, 360, "100%"), (640, 800, "200%")):
            await page.at("set_viewport_size", {"width": width, "height": height})
            await page.ask("(size) => { document.documentElement.style.fontSize = size }", letters)
            self.assertEqual([], await page.ask(CUT_OFF), f"{what}, {width}x{height}, letters {letters}")
        await page.at("set_viewport_size", {"width": 1280, "height": 720})
        await page.ask("() => { document.documentElement.style.fontSize = '' }")

    async def test_devices_and_pictures(self) -> None:
        """Speaker, ringer and volumes are those that were chosen; pictures go both ways and end; a lossy line shows; all of it fits."""
        site = await Site(self).start()
        alice = await Page.ready(self, site.page("alice", 440))
        bob = await Page.ready(self, site.page("bob", 610))
        await alice.ask(VIOLATIONS)
        await alice.at("click", "#settings-button")
        await self.says(alice, "() => document.getElementById('speaker').options.length > 2", None, True, "there are speakers")
        speaker, ringer = (await alice.ask(CHOICES, "speaker"))[1:3]
        await alice.at("select_option", "#speaker", speaker)
        await alice.at("select_option", "#ringer", ringer)
        for field, share in (("#volume", "40"), ("#ring-volume", "70")):
            await alice.at("fill", field, share)
        await self.fits(alice, "settings")
        await alice.at("press", "body", "Escape")
        await alice.do("call", BOB)
        await alice.call("up")
        await bob.call("up")
        await self.says(alice, SINKS, None, [[speaker, 40, False]], "the voice comes out there")
        self.assertEqual(ringer, await alice.ask("() => sipnode.sinks().ringer"))
        await alice.hears(610)
        # How good it is.
        await alice.until(lambda status: status["call"]["quality"] == "good", "a good line")
        self.assertIn("Good line", await alice.text())
        await alice.ask(LOSSY)
        await alice.until(lambda status: status["call"]["quality"] == "bad", "many packets are lost")
        self.assertIn("Bad line", await alice.text())
        # Pictures: from one, from both, from none.
        await alice.at("click", "#camera")
        await self.says(bob, FILM, "picture-theirs", True, "Bob sees Alice")
        await alice.until(lambda status: status["call"]["filming"] and not status["call"]["filmed"], "Alice sees herself only")
        await bob.at("click", "#camera")
        await self.says(alice, FILM, "picture-theirs", True, "Alice sees Bob")
        await self.says(alice, FILM, "picture-mine", True, "and herself")
        await self.fits(alice, "a call with pictures")
        await alice.at("click", "#camera")
        await bob.until(lambda status: status["call"]["filming"] and not status["call"]["filmed"], "Alice has stopped")
        await bob.at("click", "#camera")
        await alice.until(lambda status: not status["call"]["filmed"], "so has Bob")
        await alice.hears(610)
        await bob.hears(440)
        for button in ("#keys", "#pass"):
            await alice.at("click", button)
            await self.fits(alice, f"a call with {button}")
        await alice.do("hangup")
        await bob.call("")
        # A telephone without pictures refuses them, and the call goes on.
        phone = await site.registered("carol", 830)
        await alice.do("call", f"sip:carol@{DOMAIN}")
        await alice.call("up")
        await alice.at("click", "#camera")
        await alice.until(lambda status: status["call"]["note"] == "No pictures in this call.", "it says so")
        await alice.until(lambda status: status["call"]["state"] == "up" and not status["call"]["filming"], "and goes on")
        await alice.hears(830)
        await phone.calls[-1].hears(440)
        await alice.do("hold")
        await alice.do("unhold")
        await alice.hears(830)
        await alice.do("hangup")
        await phone.calls[-1].ended()
        self.assertEqual([[], [], []], [alice.errors, bob.errors, await alice.ask("window.violations")])

    async def test_words_and_links(self) -> None:
        """German at once and after a reload; a number of a link waits for a person, where one is signed in; every view fits in both."""
        site = await Site(self).start()
        place = site.page("alice", 0).partition("#")[0]
        alice = await Page.ready(self, f"{site.page('alice', 440)}&remember=1")
        await alice.until(lambda status: len(status["people"]) == 2, "the people are listed")
        # The browser is asked for tel: links, and what comes by one isn't dialled.
        await alice.ask(ASKED)
        await alice.at("click", "#settings-button")
        await alice.at("click", "#tel")
        self.assertEqual(["tel", f"{place}#call=%s"], await alice.ask("window.asked"))
        await alice.at("press", "body", "Escape")
        numbers = {"tel:+49-30-1234": "+49301234", "tel:%2B49%2030%2099;x=y": "+493099", "tel:%FF": "%FF"}
        numbers["sip:bob@live.test;x=y"] = "bob@live.test"
        for number, shown in numbers.items():
            await alice.ask("(number) => { location.hash = `call=${encodeURIComponent(number)}` }", number)
            await self.says(alice, "() => document.getElementById('address').value", None, shown, "the number waits")
            self.assertNotIn("#", await alice.ask("location.href"))
        self.assertEqual([None, None], [(await alice.status())[name] for name in ("call", "last")])
        tab = await alice.tab(f"{place}#call=tel%3A112")
        await self.says(tab, "() => document.body.innerText.includes('112 waits there')", None, True, "the tab says where it is")
        self.assertEqual("112", await alice.ask("document.getElementById('address').value"))
        await self.fits(tab, "signing in")
        await tab.close_tab()
        # Another language.
        for language, signs in (("en", ("People", "Call", "Ready")), ("de", ("Leute", "Anrufen", "Bereit"))):
            await alice.at("click", "#settings-button")
            await alice.at("select_option", "#language", language)
            await alice.at("press", "body", "Escape")
            text = await alice.text()
            for sign in signs:
                self.assertIn(sign, text)
            self.assertEqual(language, await alice.ask("document.documentElement.lang"))
            for view in ("people", "recent", "keypad"):
                await alice.ask("(name) => document.querySelector(`[data-tab=${name}]`).click()", view)
                await self.fits(alice, f"{view}, {language}")
        await alice.reload()
        await alice.line("ready")
        self.assertIn("Bereit", await alice.text())
        await alice.do("call", f"sip:nobody@{DOMAIN}")
        await alice.until(lambda status: (status["last"] or {}).get("code") == 404, "there is nobody")
        self.assertIn("nobody wurde nicht gefunden.", await alice.text())
        await self.fits(alice, "a call that failed, de")
        self.assertEqual([], alice.errors)
