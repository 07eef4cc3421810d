"""Lamps and presence of real browsers and phones, through ``kill -9`` of the server, on SQLite and on PostgreSQL."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sipnode.settings import AuthSettings, DefenceSettings, StorageSettings

from .support import nodes, postgres
from .support.baresip import Baresip
from .support.browser import Page, missing_browser
from .support.phone import Phone
from .support.site import DOMAIN, HOST, Site, free_port, missing
from .support.waiting import until
from .support.watcher import Watch, Watcher, basics, document, lamp
from .test_sipp import BOTH, MODES, Sipp

ALICE, BOB = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"


def states(watch: Watch) -> list[str]:
    """What a lamp showed, one after the other."""
    found: list[str] = []
    for state in map(lamp, watch.bodies):
        if not found or found[-1] != state:
            found.append(state)
    return found


class LampCase(TestCase):
    """A browser's call that somebody watches."""

    timeout = 120
    skip = missing("rtpengine") or missing_browser()

    async def sections(self) -> dict[str, Any]:
        """Of the configuration."""
        return {}

    async def scene(self) -> None:
        """Alice's page and bob's phone, and carol, who watches alice's lamp and her presence."""
        self.site = await Site(self, **await self.sections()).start()
        self.page = await Page.ready(self, self.site.page("alice", 440))
        self.bob = await self.site.registered("bob", 700)
        self.bob.reaction = "ring"
        self.carol = Watcher.of(self.site, "carol")
        self.dialog = await self.carol.watch("dialog", ALICE)
        self.presence = await self.carol.watch("presence", ALICE)
        self.assertEqual(lamp(self.dialog.bodies[0]), "")

    async def call_up(self) -> None:
        """The page calls; the lamp goes with it up to the answer."""
        await self.page.do("call", BOB)
        await self.dialog.until(lambda last: lamp(last.body) == "early", "it rings")
        self.bob.calls[-1].answer()
        await self.dialog.until(lambda last: lamp(last.body) == "confirmed", "it is up")
        await self.presence.until(lambda last: b"on-the-phone" in last.body, "alice is on the phone")
        await self.bob.calls[-1].hears(440)

    async def restart(self) -> None:
        """kill -9 and start; the page is back by itself."""
        told = {watch: len(watch.notifies) for watch in (self.dialog, self.presence)}
        await self.site.kill()
        await self.page.until(lambda status: status["line"] != "ready", "the page notices")
        await self.site.start_again()
        await self.page.line("ready")
        for watch, before in told.items():
            await until(lambda watch=watch, before=before: len(watch.notifies) > before, "a NOTIFY of the new server")


class LampTests(LampCase):
    """Everything in SQLite."""

    async def test_follows_a_call(self) -> None:
        """The watcher of a browser sees trying, early, confirmed and terminated."""
        await self.scene()
        await self.call_up()
        await self.page.do("hangup")
        await self.dialog.until(lambda last: lamp(last.body) == "terminated", "it is over")
        self.assertEqual(states(self.dialog), ["", "trying", "early", "confirmed", "terminated"])
        await self.presence.until(lambda last: b"on-the-phone" not in last.body, "alice isn't on the phone")
        self.assertEqual(self.page.errors, [])

    async def test_restart_in_mid_call(self) -> None:
        """After ``kill -9`` in mid-call the lamp is lit and alice is on the phone; the page hangs up, and all is dark."""
        await self.scene()
        await self.call_up()
        await self.restart()
        self.assertEqual(lamp(self.dialog.bodies[-1]), "confirmed")
        await self.presence.until(lambda last: b"on-the-phone" in last.body and "open" in basics(last.body), "alice is on the phone")
        await self.page.do("hangup")
        await self.dialog.until(lambda last: lamp(last.body) == "terminated", "it is over")
        await self.presence.until(lambda last: b"on-the-phone" not in last.body, "alice isn't on the phone")
        self.assertEqual((await self.dialog.again(0)).status, 200)
        await self.dialog.until(lambda last: "terminated" in (last.get("subscription-state") or ""), "the last NOTIFY")

    async def test_subscriptions_go_on(self) -> None:
        """After each of three kills the watchers are told by themselves, in their dialogs, with numbers that rise; what was published
        and its tag are there, and what changes is told.
        """
        await self.scene()
        alice = Watcher.of(self.site, "alice")
        tag = (await alice.publish(document("closed"))).get("sip-etag") or ""
        await self.presence.until(lambda last: "closed" in basics(last.body), "what she published")
        for _ in range(3):
            await self.restart()
            await self.presence.until(lambda last: basics(last.body) == ["closed", "open"], "her state after the restart")
        answer = await alice.publish(document("open"), tag)
        self.assertEqual(answer.status, 200, answer.start_line)
        await self.presence.until(lambda last: basics(last.body) == ["open", "open"], "her new state")


class PostgresLampTests(LampTests):
    """The same in PostgreSQL."""

    skip = LampCase.skip or postgres.missing()

    async def sections(self) -> dict[str, Any]:
        cluster, database = await nodes.database()
        return {"storage": StorageSettings(url=cluster.url(database))}


class NodesTests(TestCase):
    """A lamp at one node, the call at another."""

    timeout = 120
    skip = missing("rtpengine") or postgres.missing()

    async def test_lamp_at_another_node(self) -> None:
        """It follows the call from its ringing to its end, on the news of the database."""
        cluster, database = await nodes.database()
        one, two = [await nodes.node(self, number, cluster.url(database)).start() for number in (1, 2)]
        watch = await Watcher.of(two, "carol").watch("dialog", BOB)
        alice, bob = await one.registered("alice", 440), await one.registered("bob", 700)
        bob.reaction = "ring"

        async def known() -> bool:
            return cluster.execute("SELECT count(*) FROM active_watchers", database=database) == [(1,)]

        await until(known, "the subscription is in the table")
        call = alice.dial(bob.aor)
        await watch.until(lambda last: lamp(last.body) == "early", "it rings")
        bob.calls[-1].answer()
        await watch.until(lambda last: lamp(last.body) == "confirmed", "it is up")
        await call.hang_up()
        await watch.until(lambda last: lamp(last.body) == "", "it is over")


class BaresipTests(TestCase):
    """baresip, with its modules for presence and for mailboxes."""

    timeout = 120
    skip = missing("rtpengine", "baresip")

    async def test_buddy_and_mailbox(self) -> None:
        """It shows how its buddy is and what is in its mailbox, and its own published state reaches others."""
        site = await Site(self).start()
        alice = Watcher.of(site, "alice")
        tag = (await alice.publish(document("open"))).get("sip-etag") or ""
        await site.rpc("presence.mwi_set", BOB, 2, 8)
        baresip = Baresip(self, site, "bob", 700, ("contact", "presence", "mwi"), ";pubint=60;mwi=yes", (f"<{ALICE}>;presence=p2p",))
        await baresip.start()
        await until(lambda: "Voice-Message: 2/8" in baresip.said(), baresip.said)
        watch = await alice.watch("presence", BOB)
        await watch.until(lambda last: len(basics(last.body)) == 2, "its registration and what it published")
        for number, basic in enumerate(("open", "closed", "open")):
            told = f"<basic>{basic}</basic>"
            before = baresip.said().count(told)
            if number:
                tag = (await alice.publish(document(basic), tag)).get("sip-etag") or ""
                await until(lambda told=told, before=before: baresip.said().count(told) > before, baresip.said)
            else:
                await until(lambda told=told: told in baresip.said().partition(f'entity="{ALICE}"')[2], baresip.said)
        # It writes what it shows when it ends.
        await baresip.stop()
        shown = re.sub("\x1b\\[[0-9;]*m", "", baresip.said())
        for change in ("Online to Offline", "Offline to Online"):
            self.assertIn(f"<{ALICE}> changed status from {change}", shown)


class SippTests(TestCase):
    """SIPp."""

    timeout = 90
    skip = missing("rtpengine", "sipp")

    async def test_subscribe_and_publish(self) -> None:
        """100 subscriptions and 100 publications over UDP and as many over TCP begin, are told of, and end: none fails."""
        site = await Site(self).start()
        runs = []
        for scenario in ("subscribe", "publish"):
            for transport in MODES:
                # A user's publications are 16 at most, so six of each at a time.
                load = ("-m", "100", "-r", "25", "-l", "6", "-auth_uri", f"{'carol' if scenario == 'subscribe' else 'alice'}@{DOMAIN}")
                runs.append(Sipp(self, site, scenario, transport, free_port(*BOTH), load, watched="carol"))
        for run in runs:
            status = await run.done
            figures = run.figures()
            self.assertEqual((figures["SuccessfulCall(C)"], figures["FailedCall(C)"]), (100, 0), run.errors())
            self.assertEqual(status, 0, run.errors())
        counts = await site.rpc("presence.counts")
        self.assertEqual((counts["publications"], counts["subscriptions"]), (0, 0))


class HostileTests(TestCase):
    """Bodies from outside."""

    timeout = 120
    skip = missing("rtpengine")
    BOMB = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><a>&b;</a>'

    def ask(self, port: int, body: bytes, number: int) -> int:
        """PUBLISH over TCP; the status, 0 where the connection was closed without one."""
        head = (
            f"PUBLISH {ALICE} SIP/2.0\r\nVia: SIP/2.0/TCP {HOST}:5;branch=z9hG4bKh{number}\r\nMax-Forwards: 70\r\nFrom: <{ALICE}>;tag=1\r\n"
            f"To: <{ALICE}>\r\nCall-ID: h{number}\r\nCSeq: 1 PUBLISH\r\nEvent: presence\r\nContent-Type: application/pidf+xml\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((HOST, port), 20) as wire:
            try:
                wire.sendall(head.encode() + body)
            except OSError:
                pass
            try:
                answer = wire.recv(4096)
            except OSError:
                answer = b""
        return int(answer.split(b" ")[1]) if answer else 0

    def resident(self, site: Site) -> int:
        """Octets of memory that the server has."""
        assert site.server.process is not None
        status = Path(f"/proc/{site.server.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    async def test_refused(self) -> None:
        """Document types, entity bombs, other encodings, deep and huge documents are refused; nothing of them is kept."""
        site = await Site(self, auth=AuthSettings(enabled=False), defence=DefenceSettings(enabled=False)).start()
        deep = document("open").replace(b"<tuple", b"<a>" * 4000 + b"<tuple")
        cases = [
            (self.BOMB, (400,)),
            (b"<!DOCTYPE presence>" + document("open"), (400,)),
            (document("open").decode().encode("utf-16"), (415,)),
            (b'<?xml version="1.0" encoding="iso-8859-1"?>' + document("open"), (415,)),
            (deep, (400,)),
            (document("open") + b" " * 20000, (413,)),
            # Where the connection is closed with octets unread, its answer may be lost.
            (b" " * (1 << 20), (513, 0)),
        ]
        number = 0
        resident = []
        for _ in range(3):
            for _ in range(20):
                for body, statuses in cases:
                    number += 1
                    status = await deferToThread(self.ask, site.sip, body, number)
                    self.assertIn(status, statuses, body[:80])
            resident.append(self.resident(site))
        self.assertLess(resident[2] - resident[1], 8 << 20, resident)
        self.assertEqual((await site.rpc("presence.counts"))["publications"], 0)
        self.assertEqual((await Watcher.of(site, "alice").publish(document("open"))).status, 200)


class DeadTests(TestCase):
    """A watcher that is gone."""

    timeout = 120
    skip = missing("rtpengine")

    async def test_holds_nobody_up(self) -> None:
        """While one watcher never answers, the other one is told each change."""
        site = await Site(self).start()
        dead, living = Watcher.of(site, "bob"), Watcher.of(site, "carol")
        await dead.watch("presence", ALICE)
        watch = await living.watch("presence", ALICE)
        dead.deaf = True
        phone: Phone = site.phone("alice")
        for expires, basic in ((300, "open"), (0, "closed"), (300, "open")):
            self.assertEqual((await phone.register(expires)).status, 200)
            await watch.until(lambda last, basic=basic: basics(last.body) == [basic], f"alice is {basic}")
