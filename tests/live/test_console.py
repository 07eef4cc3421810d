"""The web console of a whole server in real Chromium: calls as they happen, the diff, the explanation, hostile messages, keys, roles."""

from __future__ import annotations

import socket
from typing import Any

from twisted.trial.unittest import TestCase

from sipnode.console.members import hashed
from sipnode.settings import ConsoleSettings, DefenceSettings, RecorderSettings

from .support.browser import Page, missing_browser
from .support.site import DOMAIN, HOST, Site, free_port, missing, passwords
from .support.waiting import until

PASSWORD = "a password of the console"
MANY = 5000
LABELS = "() => Array.from(document.querySelectorAll('#ladder .event'), (one) => one.getAttribute('aria-label'))"
LANES = "() => Array.from(document.querySelectorAll('#ladder .lane-head .name'), (one) => one.textContent)"
TITLE = "() => Array.from(document.querySelectorAll('#detail-title'), (one) => one.textContent)"
WATCH = """() => {
  window.ran = [];
  window.alert = (text) => window.ran.push(text);
  document.addEventListener('securitypolicyviolation', (event) => window.ran.push(`${event.violatedDirective} ${event.blockedURI}`));
}"""
CUT_OFF = """() => {
  const found = [];
  if (document.documentElement.scrollWidth > innerWidth) found.push(`the page is ${document.documentElement.scrollWidth} px wide`);
  for (const node of document.querySelectorAll('button, a, input')) {
    if (!node.checkVisibility() || node.closest('.skip, .ladder, .calls, .chips, nav')) continue;
    const box = node.getBoundingClientRect();
    if (box.left < -1 || box.right > innerWidth + 1) found.push(`${node.id || node.className} ${node.textContent.slice(0, 20)}`);
  }
  return found;
}"""
HOSTILE = (
    b"INVITE sip:bob@%s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK-evil\r\nMax-Forwards: 70\r\n"
    b'From: "<script>alert(1)</script><img src=x onerror=alert(2)>" <sip:"><svg onload=alert(3)>@evil.test>;tag=<b>\r\n'
    b"To: <sip:bob@%s>\r\nCall-ID: <img/src=x/onerror=alert(4)>/'\"%%27\r\nCSeq: 1 INVITE\r\nContact: <sip:x@127.0.0.1:9>\r\n"
    b"User-Agent: <script>alert(5)</script>\x1b[31m\r\nSubject: javascript:alert(6)\x1b]0;title\x07\r\nContent-Length: 0\r\n\r\n"
)  # fmt: skip


def settings(listen: str = "", **more: Any) -> dict[str, Any]:
    """Sections of a server with a recorder and a console."""
    users = (f"root admin {hashed(PASSWORD)}", f"watcher viewer {hashed(PASSWORD)}", f"carol@{DOMAIN} viewer")
    console = ConsoleSettings(enabled=True, users=users, listen=listen)
    return {"recorder": RecorderSettings(enabled=True), "console": console, **more}


class ConsoleTests(TestCase):
    """A server, its console, and those who call."""

    timeout = 180
    skip = missing("rtpengine") or missing_browser()
    port = 0

    async def console(self, site: Site, user: str = "root", password: str = PASSWORD) -> Page:
        """The console, after the attempt to sign in."""
        page = await Page.open(self, f"http://{HOST}:{self.port or site.http}/console/")
        await page.at("wait_for_selector", "#signin:not([hidden])")
        await page.at("fill", "#user", user)
        await page.at("fill", "#password", password)
        await page.at("click", "#signin-button")
        return page

    async def inside(self, site: Site, user: str = "root") -> Page:
        """The console, signed in and live."""
        page = await self.console(site, user)
        await page.at("wait_for_selector", "#live[data-live=yes]")
        return page

    async def has(self, page: Page, script: str, part: str) -> list[str]:
        """Wait until a script in the page gives a list in which a text has that part."""
        found: list[str] = []

        async def ask() -> bool:
            nonlocal found
            found = await page.ask(script)
            return any(part in each for each in found)

        await until(ask, lambda: f"{part!r} in {found} {page.errors}")
        return found

    async def test_call(self) -> None:
        """A call from a browser to a phone is drawn while it goes on, with the relay's lane; a click shows what was changed, and where."""
        site = await Site(self, **settings()).start()
        phone = await site.registered("bob")
        phone.reaction = "ring"
        alice = await Page.ready(self, site.page("alice", 440))
        console = await self.inside(site)
        await alice.do("call", phone.aor)
        await console.at("click", ".call[data-state=live]")
        labels = await self.has(console, LABELS, "180 Ringing")
        self.assertFalse(any("200 OK (INVITE)" in each for each in labels))
        self.assertEqual(await console.ask(LANES), ["alice", "sipnode", "bob", "script", "rtpengine"])
        phone.calls[-1].answer()
        labels = await self.has(console, LABELS, "200 OK (INVITE)")
        await self.has(console, LABELS, "ACK sip:")

        number = max(place for place, label in enumerate(labels) if ": INVITE sip:bob@live.test [SDP]" in label)
        await console.at("click", f"#ladder .event[data-n='{number}'] .row")
        await console.at("wait_for_selector", "#diff")
        diff = await console.ask("() => document.getElementById('diff').textContent")
        self.assertRegex(diff, r"(?m)^\+Record-Route: <sip:")
        self.assertRegex(diff, r"(?m)^-Max-Forwards: \d+\n\+Max-Forwards: \d+$")
        self.assertRegex(diff, r"(?m)^\+m=audio \d+ RTP/AVP ", "the relay has made plain RTP of it")
        decided = await console.ask("() => document.getElementById('decided').innerText")
        self.assertRegex(decided, r"INVITE: stage location: RELAYED\s+script\.py:\d+")
        self.assertRegex(await console.ask("() => location.hash"), rf"^#/call/[^/]+/{number}$")
        reasons = await console.ask("() => Array.from(document.querySelectorAll('#diff em'), (one) => one.textContent)")
        self.assertTrue(any("as the media relay answered · manage_branch, script.py:" in each for each in reasons), reasons)
        await self.has(console, "() => Array.from(document.querySelectorAll('.heard td'), (one) => one.textContent)", "caller 127.0.0.1:")
        await alice.do("hangup")
        await self.has(console, LABELS, "completed, 200, ended by caller")
        self.assertEqual(console.errors, [])

    async def test_failed(self) -> None:
        """A call that failed is found by a word, and says why and what to do; the address of a message opens it in another tab."""
        site = await Site(self, **settings()).start()
        alice = await Page.ready(self, site.page("alice", 440))
        console = await self.inside(site, "watcher")
        await alice.do("call", f"sip:carol@{DOMAIN}")
        await console.at("click", ".chip[data-word=problems]")
        await console.at("wait_for_selector", ".call[data-state=failed]")
        # By keys alone.
        for key in ("ArrowDown", "Enter"):
            await console.at("press", "body", key)
        await console.at("wait_for_selector", "#sentence")
        self.assertIn(f"carol@{DOMAIN} isn't registered", await console.ask("() => document.getElementById('sentence').textContent"))
        await self.has(console, LABELS, "404")
        for key in ("j", "j", "Enter"):
            await console.at("press", "body", key)
        await console.at("wait_for_selector", "#detail:not([hidden])")
        address = await console.ask("() => location.href")
        other = await console.tab(address)
        await other.at("wait_for_selector", "#detail-title")
        self.assertEqual(
            await other.ask("() => document.getElementById('detail-title').textContent"),
            await console.ask("() => document.getElementById('detail-title').textContent"),
        )
        for key in ("Escape", "Escape"):
            await console.at("press", "body", key)
        await console.at("wait_for_selector", "#search")
        self.assertEqual((console.errors, other.errors), ([], []))

    async def test_hostile(self) -> None:
        """Scripts, pictures and terminal escapes in a message are shown as they are, and nothing of them runs, in any view."""
        site = await Site(self, **settings(recorder=RecorderSettings(enabled=True, everything=True))).start()
        console = await self.inside(site)
        await console.ask(WATCH)
        domain = DOMAIN.encode()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.sendto(HOSTILE % (domain, domain), (HOST, site.sip))
            wire.sendto(b"\x00<script>alert(7)</script>\r\nCall-ID: <b>broken</b>\r\n\r\n", (HOST, site.sip))
        await console.at("wait_for_selector", ".call[href*='onerror']")
        await console.at("click", ".call[href*='onerror']")
        labels = await self.has(console, LABELS, "INVITE")
        for number in range(len(labels)):
            await console.ask("(n) => { location.hash = location.hash.split('/').slice(0, 3).concat(n).join('/'); }", str(number))
            await self.has(console, TITLE, f"#{number} ")
        await console.ask("() => { location.hash = `${location.hash.split('/').slice(0, 3).join('/')}/0`; }")
        shown = "() => Array.from(document.querySelectorAll('.message'), (one) => one.textContent)"
        await self.has(console, shown, "<script>alert(5)</script>")
        made = await console.ask("() => document.querySelectorAll('#main script, #main img, #main [onload], #main [onerror]').length")
        self.assertEqual((await console.ask("() => window.ran"), made, console.errors), ([], 0, []))

    async def test_roles(self) -> None:
        """A user without a role gets no further than the door, whatever it asks; a viewer has no button that does anything."""
        site = await Site(self, **settings()).start()
        await site.registered("bob")
        page = await self.console(site, "bob", passwords()["bob"])
        await page.at("wait_for_selector", "#signin-fault:not([hidden])")
        self.assertIn("no role", await page.ask("() => document.getElementById('signin-fault').textContent"))
        asked = "async (path) => (await fetch(path)).status"
        paths = ("api/session", "api/calls", "api/call?id=x", "api/feed", "api/view?name=settings")
        self.assertEqual([await page.ask(asked, path) for path in paths], [401] * len(paths))
        viewer = await self.console(site, "carol", passwords()["carol"])
        await viewer.at("wait_for_selector", "#live[data-live=yes]")
        forged = """async () => (await fetch('api/act', { method: 'POST', headers: { 'content-type': 'application/json',
            'x-sipnode-proof': (await (await fetch('api/session')).json()).proof },
            body: JSON.stringify({ method: 'sipnode.reload' }) })).status"""
        self.assertEqual(await viewer.ask(forged), 403)
        for name in ("registrations", "flows", "nodes", "certificates", "bans", "settings", "history"):
            await viewer.at("click", f"nav a[data-view={name}]")
            await viewer.at("wait_for_selector", f"nav a[data-view={name}][aria-current=page]")
            drawn = "() => [document.querySelector('.view .note, .view .info:not([hidden]), .view td') ? 'drawn' : '']"
            await self.has(viewer, drawn, "drawn")
            self.assertEqual(await viewer.ask("() => document.querySelectorAll('.view button').length"), 0, name)
        self.assertEqual(viewer.errors, [])
        await viewer.at("click", "#signout")
        await viewer.at("wait_for_selector", "#signin:not([hidden])")
        self.assertEqual(await viewer.ask(asked, "api/calls"), 401)

    async def test_one_way(self) -> None:
        """A call of which one end's sound never arrives is found by a word, and says so in the sentence and at the leg."""
        site = await Site(self, **settings()).start()
        phone = await site.registered("bob")
        phone.reaction = "ring"
        caller = await site.registered("alice")
        call = caller.dial(phone.aor)
        ringing = await until(lambda: phone.calls and phone.calls[-1], "it rings")
        self.patch(ringing.sound, "start", lambda *_: None)
        ringing.answer()
        self.assertEqual((await call.outcome).status, 200)

        async def heard() -> bool:
            legs = await site.rpc("rtpengine.query", call.call_id)
            # Two seconds and a half: before that silence tells nothing.
            return max(leg["packets"] for leg in legs) > 125

        await until(heard, "the caller's sound arrives at the relay")
        await call.hang_up()
        console = await self.inside(site)
        await console.at("click", ".chip[data-word=one-way]")
        await console.at("click", ".call:has(em[data-word=one-way])")
        await self.has(console, "() => [document.getElementById('sentence').textContent]", "Audio went one way")
        cells = "() => Array.from(document.querySelectorAll('.heard tr[data-bad=true] td'), (one) => one.textContent)"
        await self.has(console, cells, "nothing arrives from here")
        self.assertEqual(console.errors, [])

    async def test_acts(self) -> None:
        """An admin ends a call and removes a registration from the console, here at a port of its own; the log says who did it."""
        self.port = free_port(socket.SOCK_STREAM)
        site = await Site(self, **settings(f"{HOST}:{self.port}")).start()
        phone = await site.registered("bob")
        caller = await site.registered("alice")
        call = caller.dial(phone.aor)
        self.assertEqual((await call.outcome).status, 200)
        console = await self.inside(site)
        await console.at("click", ".call[data-state=live]")
        await console.at("click", "text=End this call")
        await console.at("click", "dialog button[value=yes]")
        await call.ended("BYE")
        await phone.calls[-1].ended("BYE")
        await console.at("press", "body", "2")
        await self.has(console, "() => Array.from(document.querySelectorAll('.k-name'), (one) => one.textContent)", f"bob@{DOMAIN}")
        await console.at("click", f"tr:has-text('bob@{DOMAIN}') button")
        await console.at("click", "dialog button[value=yes]")

        async def gone() -> bool:
            return "bob" not in str(await site.rpc("ul.dump", "brief"))

        await until(gone, "bob isn't registered any more")
        self.assertIn("console root 127.0.0.1: ul.rm_contact", site.server.log.read_text("utf-8", "replace"))
        self.assertEqual(console.errors, [])

    async def test_many(self) -> None:
        """Five thousand calls are one list, of which only what is in sight is there; it scrolls to its end, and fits a small telephone."""
        recorder = RecorderSettings(enabled=True, everything=True, megabytes=64)
        site = await Site(self, **settings(recorder=recorder, defence=DefenceSettings(enabled=False))).start()
        line = b"OPTIONS sip:127.0.0.1:%d SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;rport;branch=z9hG4bKmany%d\r\nMax-Forwards: 70\r\n"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.bind((HOST, 0))
            for number in range(MANY):
                head = line % (site.sip, wire.getsockname()[1], number) + b"From: <sip:caller%d@many.test>;tag=1\r\n" % number
                rest = b"To: <sip:127.0.0.1>\r\nCall-ID: many-%d\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n" % number
                wire.sendto(head + rest, (HOST, site.sip))
                if number % 50 == 49:
                    # Answered, before the kernel's buffer is full.
                    wire.settimeout(20)
                    for _ in range(50):
                        wire.recv(65535)
        console = await self.inside(site)
        await self.has(console, "() => [document.querySelector('.count').textContent]", "5000 of 5000")
        self.assertLess(await console.ask("() => document.querySelectorAll('.call').length"), 80)
        await console.at("press", "body", "End")
        last = "() => Array.from(document.querySelectorAll('.call'), (one) => one.textContent)"
        await self.has(console, last, "caller")
        self.assertLess(await console.ask("() => document.querySelectorAll('.call').length"), 80)
        await console.at("fill", "#search", "caller777@")
        await self.has(console, "() => [document.querySelector('.count').textContent]", "1 of 5000")
        for width, height in ((390, 844), (320, 568), (1280, 800)):
            await console.ask("() => { location.hash = '#/calls'; }")
            await console._browser.run(console._page.set_viewport_size, {"width": width, "height": height})
            self.assertEqual(await console.ask(CUT_OFF), [], width)
            await console.ask("() => { location.hash = '#/call/many-777/0'; }")
            await console.at("wait_for_selector", "#detail-title")
            self.assertEqual(await console.ask(CUT_OFF), [], width)
        self.assertEqual(console.errors, [])
