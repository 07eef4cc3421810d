"""Presence over two real nodes on one PostgreSQL: who watches is at one of them, who is watched at the other."""

from __future__ import annotations

from typing import Any

from sipnode.sip.address import NameAddr
from sipnode.sip.ids import new_call_id, new_tag
from sipnode.sip.message import SipRequest, SipResponse

from .support import nodes
from .support.browser import Page, missing_browser
from .support.phone import Phone
from .support.site import DOMAIN, HOST
from .support.waiting import until
from .test_nodes import NodeCase
from .test_softphone_presence import sees

BOB = f"sip:bob@{DOMAIN}"
_PIDF = (
    '<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="{0}"><tuple id="t1"><status><basic>{1}</basic></status>'
    "<note>{2}</note></tuple></presence>"
)


class Watcher:
    """A subscription of a phone's.

    Attributes:
        bodies: Of each NOTIFY, latest last.
        states: Their Subscription-State.
    """

    def __init__(self, phone: Phone, resource: str) -> None:
        self.phone = phone
        self._resource = resource
        self._head = [f"<{resource}>", f"<{phone.aor}>;tag={new_tag()}", new_call_id()]
        self._target, self._routes, self._cseq = resource, list[str](), 1

    def _notifies(self) -> list[SipRequest]:
        return [one for one in self.phone.requests if one.method == "NOTIFY" and one.call_id == self._head[2]]

    @property
    def bodies(self) -> list[str]:
        return [one.body.decode() for one in self._notifies()]

    @property
    def states(self) -> list[str]:
        return [one.get("subscription-state") or "" for one in self._notifies()]

    async def subscribe(self, expires: int = 600) -> SipResponse:
        """Begin, or refresh within the dialog."""
        headers = [("event", "presence"), ("accept", "application/pidf+xml"), ("expires", str(expires))]
        headers.append(("contact", f"<{self.phone.contact}>"))
        head: Any = tuple(self._head)
        response = await self.phone.exchange("SUBSCRIBE", self._target, head, self._cseq, routes=self._routes, headers=headers)
        self._cseq += 2
        if response.status == 200 and not self._routes:
            self._head[0] = response.get("to") or ""
            self._target = NameAddr.parse(response.values("contact")[0]).uri_text
            self._routes = list(reversed(response.values("record-route")))
        return response

    async def hears(self, text: str) -> None:
        """Wait until the last NOTIFY has that in its body."""
        await until(lambda: self.bodies and text in self.bodies[-1], lambda: f"{text!r} in a NOTIFY; heard: {self.bodies}")


async def publish(phone: Phone, basic: str, note: str, etag: str = "") -> str:
    """Publish a state; the entity-tag."""
    head = (f"<{phone.aor}>", f"<{phone.aor}>;tag={new_tag()}", new_call_id())
    headers = [("event", "presence"), ("expires", "600"), ("content-type", "application/pidf+xml")]
    headers += [("sip-if-match", etag)] if etag else []
    body = _PIDF.format(phone.aor, basic, note).encode()
    response = await phone.exchange("PUBLISH", phone.aor, head, 1, headers=headers, body=body)
    if response.status != 200:
        raise AssertionError(f"PUBLISH: {response.start_line}")
    return response.get("sip-etag") or ""


class PhoneTests(NodeCase):
    """Without a browser."""

    async def test_watched_across(self) -> None:
        """Alice at node 1 watches Bob, who publishes at node 2 and then, with the entity-tag of there, at node 1."""
        alice = Watcher(await self.one.registered("alice"), BOB)
        self.assertEqual((await alice.subscribe()).status, 200)
        bob = self.two.phone("bob")
        etag = await publish(bob, "open", "At node two")
        await alice.hears("At node two")
        bob.server = (HOST, self.one.sip)
        etag = await publish(bob, "open", "Gone to node one", etag)
        await alice.hears("Gone to node one")
        self.assertNotIn("At node two", alice.bodies[-1])
        bob.server = (HOST, self.two.sip)
        await publish(bob, "closed", "Back", etag)
        await alice.hears("Back")
        self.show("\nNOTIFYs of node 1 for what was published at 2, 1 and 2:", len(alice.bodies), alice.states[-1])

    async def test_publisher_s_node_is_killed(self) -> None:
        """What Bob published at node 2 stands after that node was killed, for who watches at node 1 and who begins to."""
        alice = Watcher(await self.one.registered("alice"), BOB)
        await alice.subscribe()
        await publish(self.two.phone("bob"), "open", "Durable")
        await alice.hears("Durable")
        await self.two.kill()
        carol = Watcher(await self.one.registered("carol"), BOB)
        self.assertEqual((await carol.subscribe()).status, 200)
        await carol.hears("Durable")
        self.assertIn("active", alice.states[-1])

    async def test_watcher_s_node_is_killed(self) -> None:
        """Node 1 is killed under a subscription and started again: it goes on with the same dialog, and has what was missed."""
        alice = Watcher(await self.one.registered("alice"), BOB)
        await alice.subscribe()
        bob = self.two.phone("bob")
        etag = await publish(bob, "open", "Before")
        await alice.hears("Before")
        await self.one.kill()
        await publish(bob, "open", "Meanwhile", etag)
        await self.one.start_again()

        async def subscribed() -> bool:
            # 503 until its tables are read, and while the greeting of the start is on its way.
            return (await alice.subscribe()).status == 200

        await until(subscribed, "her subscription goes on")
        await alice.hears("Meanwhile")

    async def test_watcher_moves(self) -> None:
        """Alice refreshes at node 2 what she began at node 1, which is dead: node 2 goes on with her dialog."""
        alice = Watcher(await self.one.registered("alice"), BOB)
        await alice.subscribe()
        bob = self.two.phone("bob")
        etag = await publish(bob, "open", "Before")
        await alice.hears("Before")
        await self.one.kill()
        alice.phone.server = (HOST, self.two.sip)
        alice._routes = [route.replace(f":{self.one.sip}", f":{self.two.sip}") for route in alice._routes]
        response = await alice.subscribe()
        self.assertEqual(response.status, 200, response.start_line)
        await publish(bob, "closed", "After", etag)
        await alice.hears("After")
        rows = self.cluster.execute("SELECT count(*) FROM active_watchers", database=self.database)
        self.assertEqual(rows, [(1,)])


class BrowserTests(NodeCase):
    """With Chromium."""

    skip = NodeCase.skip or missing_browser()

    async def watching(self, page: str) -> Page:
        made = await Page.ready(self, page)
        await made.until(lambda status: status["presence"], "presence works")
        return made

    async def test_pages_of_two_nodes(self) -> None:
        """A page at node 1 shows what one at node 2 says, call included; node 2 is killed, its page comes to node 1 and is shown again."""
        balancer = nodes.Balancer(self, self.two)
        alice = await self.watching(self.one.page("alice", 440))
        bob = await self.watching(balancer.page(self.two, "bob", 610))
        await sees(alice, "bob", "online")
        await sees(bob, "alice", "online")
        await bob.do("setState", "away", "At lunch")
        await sees(alice, "bob", "away", "At lunch")
        self.assertTrue(await alice.do("call", BOB))
        await alice.call("up")
        await sees(alice, "bob", "phone", "At lunch")
        await alice.do("hangup")
        await sees(alice, "bob", "away", "At lunch")
        balancer.choose(self.one)
        await self.two.kill()
        await bob.line("ready")
        await bob.do("setState", "busy", "Moved")
        await sees(alice, "bob", "busy", "Moved")
        await alice.do("setState", "away")
        await sees(bob, "alice", "away")
        self.assertEqual(alice.errors, [])
