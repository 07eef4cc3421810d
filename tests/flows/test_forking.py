"""Forks: RFC 3261 §16.6, §16.7; RFC 5393."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import FlowClosed, NoRoute, Reject
from sipnode.proxy.destinations import Destinations
from sipnode.proxy.target import Target
from sipnode.records import Hop
from sipnode.routing.script import RoutingScript
from sipnode.settings import ProxySettings, Settings
from sipnode.sip.message import SipRequest
from sipnode.testing import FakeFlow, Phone, World


class DyingFlow(FakeFlow):
    """A connection that looks alive until somebody writes."""

    __slots__ = ()

    def send(self, data: bytes) -> None:
        raise FlowClosed("reset by peer")


def settings(**changes: Any) -> Settings:
    """Settings with changes in [proxy]."""
    return Settings(proxy=replace(ProxySettings(), **changes))


class ForkCase(SynchronousTestCase):
    """Alice calls bob, who has several phones."""

    def begin(self, phones: int, world: World | None = None, q: tuple[float, ...] = ()) -> None:
        """Register bob's phones and let alice call him."""
        self.world = world or World()
        self.alice = self.world.phone("alice")
        self.bobs = [self.world.phone("bob") for _ in range(phones)]
        for number, phone in enumerate(self.bobs):
            if q:
                phone.params = f";q={q[number]}"
            phone.register()
            phone.take()

    def invite(self) -> SipRequest:
        """Alice's INVITE."""
        return self.alice.send("INVITE", "sip:bob@example.test")

    def ringing(self) -> list[Phone]:
        """Bob's phones that have an INVITE."""
        return [phone for phone in self.bobs if any(isinstance(m, SipRequest) and m.method == "INVITE" for m in phone.inbox)]


class ParallelTests(ForkCase):
    """All at once."""

    def test_all_ring(self) -> None:
        """Every phone gets the INVITE, each with a branch of its own; every 180 reaches the caller with its own To tag."""
        self.begin(3)
        self.invite()
        received = [phone.got("INVITE") for phone in self.bobs]
        self.assertEqual(len({one.via.branch for one in received}), 3)
        for phone, one in zip(self.bobs, received, strict=True):
            phone.reply(one, 180)
        messages = self.alice.take()
        self.assertEqual([m.status for m in messages if not isinstance(m, SipRequest)], [100, 180, 180, 180])
        self.assertEqual({m.to.tag for m in messages[1:]}, {phone.tag for phone in self.bobs})

    def test_100_stays(self) -> None:
        """A 100 of a phone isn't forwarded."""
        self.begin(1)
        self.invite()
        self.bobs[0].reply(self.bobs[0].got("INVITE"), 100)
        self.assertEqual(self.alice.statuses(), [100])

    def test_failures_wait_for_the_last(self) -> None:
        """The caller gets one final failure, the best one, when the last phone has spoken."""
        self.begin(3)
        self.invite()
        received = [phone.got("INVITE") for phone in self.bobs]
        self.bobs[0].reply(received[0], 500)
        self.bobs[1].reply(received[1], 486)
        self.assertEqual(self.alice.statuses(), [100])
        self.bobs[2].reply(received[2], 503)
        self.assertEqual(self.alice.statuses(), [486])

    def test_every_2xx(self) -> None:
        """Two phones that are picked up at once: both 200 reach the caller."""
        self.begin(2)
        self.invite()
        received = [phone.got("INVITE") for phone in self.bobs]
        for phone, one in zip(self.bobs, received, strict=True):
            phone.reply(one, 180)
        self.alice.take()
        for phone, one in zip(self.bobs, received, strict=True):
            phone.reply(one, 200)
        self.assertEqual([m.to.tag for m in self.alice.take()], [phone.tag for phone in self.bobs])

    def test_repeated_2xx(self) -> None:
        """A 200 that is repeated goes to the caller again (RFC 6026)."""
        self.begin(1)
        self.invite()
        received = self.bobs[0].got("INVITE")
        for _ in range(3):
            self.bobs[0].reply(received, 200)
            self.world.advance(4)
        self.assertEqual(self.alice.statuses(), [100, 200, 200, 200])

    def test_decline_ends_the_search(self) -> None:
        """A 603 cancels the others, and is what the caller gets when they have ended."""
        self.begin(2)
        self.invite()
        received = [phone.got("INVITE") for phone in self.bobs]
        self.bobs[1].reply(received[1], 180)
        self.bobs[0].reply(received[0], 603)
        self.assertEqual(self.alice.statuses(), [100, 180])
        self.bobs[1].got("CANCEL")
        self.bobs[1].reply(received[1], 487)
        self.assertEqual(self.alice.statuses(), [603])

    def test_2xx_after_decline(self) -> None:
        """A 200 that crosses the CANCEL of a 603 wins: the caller may hang it up."""
        self.begin(2)
        self.invite()
        received = [phone.got("INVITE") for phone in self.bobs]
        self.bobs[1].reply(received[1], 180)
        self.bobs[0].reply(received[0], 603)
        self.bobs[1].reply(received[1], 200)
        self.assertEqual(self.alice.statuses(), [100, 180, 200])

    def test_challenges_are_gathered(self) -> None:
        """The one 401 or 407 that goes up has the challenges of all."""
        self.begin(3)
        self.invite()
        received = [phone.got("INVITE") for phone in self.bobs]
        self.bobs[0].reply(received[0], 407, headers=[("proxy-authenticate", 'Digest realm="a"')])
        self.bobs[1].reply(received[1], 401, headers=[("www-authenticate", 'Digest realm="b"')])
        self.bobs[2].reply(received[2], 486)
        answer = self.alice.response("INVITE")
        self.assertEqual(answer.status, 401)
        self.assertEqual(answer.get_all("www-authenticate"), ['Digest realm="b"'])
        self.assertEqual(answer.get_all("proxy-authenticate"), ['Digest realm="a"'])

    def test_503(self) -> None:
        """Of several branches a 503 goes up as 500; alone it stays what it is."""
        self.begin(2)
        self.invite()
        for phone in self.bobs:
            phone.reply(phone.got("INVITE"), 503)
        self.assertEqual(self.alice.statuses(), [100, 500])
        self.begin(1)
        self.invite()
        self.bobs[0].reply(self.bobs[0].got("INVITE"), 503)
        self.assertEqual(self.alice.statuses(), [100, 503])

    def test_3xx_passes(self) -> None:
        """A 302 goes up with the Contact that it came with, also after a 180 of the same browser had one."""
        world = World()
        alice, tab = world.phone("alice"), world.phone("bob", "WS")
        tab.register()
        alice.send("INVITE", tab.aor)
        received = tab.got("INVITE")
        tab.reply(received, 180)
        tab.contact = "sip:elsewhere@198.51.100.9"
        tab.reply(received, 302)
        answer = alice.response("INVITE")
        self.assertEqual((answer.status, answer.get("contact")), (302, "<sip:elsewhere@198.51.100.9>"))

    def test_stale_and_live(self) -> None:
        """A phone whose connection is dead doesn't keep the live one from ringing, and its failure is never the answer."""
        self.begin(1)
        dead = self.world.phone("bob", "WS")
        dead.register()
        dead.flow.closed = True
        self.invite()
        received = self.bobs[0].got("INVITE")
        self.bobs[0].reply(received, 180)
        self.bobs[0].reply(received, 486)
        self.assertEqual(self.alice.statuses(), [100, 180, 486])

    def test_all_stale(self) -> None:
        """Where every connection is dead the caller is told 480 at once."""
        self.begin(0)
        for _ in range(2):
            dead = self.world.phone("bob", "WS")
            dead.register()
            dead.flow.closed = True
        self.invite()
        self.assertEqual(self.alice.statuses(), [100, 480])

    def test_connection_lost_while_ringing(self) -> None:
        """A browser that goes while it rings ends its branch; the other phone is still picked up."""
        self.begin(1)
        tab = self.world.phone("bob", "WS")
        tab.register()
        self.invite()
        tab.reply(tab.got("INVITE"), 180)
        received = self.bobs[0].got("INVITE")
        self.world.close(tab)
        self.bobs[0].reply(received, 200)
        self.assertEqual(self.alice.statuses(), [100, 180, 200])

    def test_only_phone_lost_while_ringing(self) -> None:
        """A browser that goes while it rings alone: the caller gets 480."""
        self.begin(0)
        tab = self.world.phone("bob", "WS")
        tab.register()
        self.invite()
        tab.reply(tab.got("INVITE"), 180)
        self.world.close(tab)
        self.assertEqual(self.alice.statuses(), [100, 180, 480])

    def test_send_fails(self) -> None:
        """A branch whose flow refuses the octets ends at once, and the live one rings."""
        self.begin(1)
        tab = self.world.phone("bob", "WS")
        tab.register()
        tab.flow.__class__ = DyingFlow
        self.invite()
        self.assertEqual(self.ringing(), self.bobs)
        self.bobs[0].reply(self.bobs[0].got("INVITE"), 404)
        self.assertEqual(self.alice.statuses(), [100, 404])

    def test_most_branches(self) -> None:
        """More contacts than max_branches: the best ones ring, the others don't."""
        self.begin(4, World(settings(max_branches=2)), q=(0.1, 0.9, 0.5, 0.8))
        self.invite()
        self.assertEqual(self.ringing(), [self.bobs[1], self.bobs[3]])

    def test_non_invite_fork(self) -> None:
        """Of a MESSAGE's answers one goes up, and nobody gets a CANCEL."""
        self.begin(2)
        self.alice.send("MESSAGE", "sip:bob@example.test", body=b"hi", content_type="text/plain")
        received = [phone.got("MESSAGE") for phone in self.bobs]
        self.bobs[0].reply(received[0], 100)
        self.bobs[1].reply(received[1], 200)
        self.bobs[0].reply(received[0], 200)
        self.assertEqual(self.alice.statuses(), [200])
        self.assertEqual([m for phone in self.bobs for m in phone.methods()], [])


class SerialTests(ForkCase):
    """Groups of equal q, one after the other."""

    def test_by_q(self) -> None:
        """The best q rings first, equal ones together, the next when all of these have failed."""
        self.begin(4, World(settings(fork="serial")), q=(0.5, 0.9, 0.9, 0.1))
        self.invite()
        self.assertEqual(self.ringing(), self.bobs[1:3])
        received = [phone.got("INVITE") for phone in self.bobs[1:3]]
        self.bobs[1].reply(received[0], 486)
        self.assertEqual(self.ringing(), [])
        self.bobs[2].reply(received[1], 480)
        self.assertEqual(self.ringing(), [self.bobs[0]])
        self.bobs[0].reply(self.bobs[0].got("INVITE"), 404)
        self.bobs[3].reply(self.bobs[3].got("INVITE"), 200)
        self.assertEqual(self.alice.statuses(), [100, 200])

    def test_6xx_stops(self) -> None:
        """A 6xx ends the search: the next group never rings."""
        self.begin(2, World(settings(fork="serial")), q=(0.9, 0.1))
        self.invite()
        self.bobs[0].reply(self.bobs[0].got("INVITE"), 600)
        self.assertEqual(self.ringing(), [])
        self.assertEqual(self.alice.statuses(), [100, 600])

    def test_best_of_all_groups(self) -> None:
        """The answer is the best of all groups, not of the last."""
        self.begin(2, World(settings(fork="serial")), q=(0.9, 0.1))
        self.invite()
        self.bobs[0].reply(self.bobs[0].got("INVITE"), 486)
        self.bobs[1].reply(self.bobs[1].got("INVITE"), 500)
        self.assertEqual(self.alice.statuses(), [100, 486])


class FailureRouteTests(SynchronousTestCase):
    """failure_route[MANAGE_FAILURE]."""

    def world_with(self, manage: Any) -> World:
        """A world whose failure route is a function."""

        class Site(RoutingScript):
            def manage_failure(self, fork: Any) -> Any:
                return manage(fork)

        self.world = World(script=Site)
        self.alice, self.bob, self.mail = (self.world.phone(name) for name in ("alice", "bob", "mail"))
        self.bob.register()
        self.bob.take()
        self.alice.send("INVITE", self.bob.aor)
        self.bob.reply(self.bob.got("INVITE"), 486)
        return self.world

    def to_mail(self, fork: Any) -> None:
        """Send to the mailbox, once."""
        if len(fork.branches) == 1:
            fork.add_targets([Target(self.mail.contact)])

    def test_next_target(self) -> None:
        """A busy phone's call goes on to the mailbox that the script names, and the answer of that one counts."""
        self.world_with(self.to_mail)
        received = self.mail.got("INVITE")
        self.assertEqual(received.uri, self.mail.contact)
        self.mail.reply(received, 200)
        self.assertEqual(self.alice.statuses(), [100, 200])

    def test_last_code_is_kept(self) -> None:
        """Where the mailbox fails too, the best of both answers goes up."""
        self.world_with(self.to_mail)
        self.mail.reply(self.mail.got("INVITE"), 500)
        self.assertEqual(self.alice.statuses(), [100, 486])

    def test_later(self) -> None:
        """A failure route that waits holds the answer until it has decided; it may be a coroutine."""
        waiting: Deferred[None] = Deferred()

        async def decide(fork: Any) -> None:
            await waiting
            self.to_mail(fork)

        self.world_with(lambda fork: decide(fork) if len(fork.branches) == 1 else None)
        self.assertEqual(self.alice.statuses(), [100])
        waiting.callback(None)
        self.mail.got("INVITE")

    def test_cancel_while_it_waits(self) -> None:
        """A CANCEL while the failure route waits is answered with 487 at once, and what it decides later does nothing."""
        waiting: Deferred[None] = Deferred()
        self.world_with(lambda fork: waiting.addCallback(lambda _: self.to_mail(fork)))
        invite_via = next(iter(self.world.core.transactions.servers.values())).user.request
        self.alice.cancel(invite_via)
        self.assertEqual(self.alice.statuses(), [100, 200, 487])
        waiting.callback(None)
        self.assertEqual(self.mail.inbox, [])

    def test_reject(self) -> None:
        """A Reject of the failure route is the answer, with its reason and headers."""

        def refuse(fork: Any) -> None:
            raise Reject(480, "Gone Fishing", (("retry-after", "3600"),))

        self.world_with(refuse)
        answer = self.alice.response("INVITE")
        self.assertEqual((answer.status, answer.reason, answer.get("retry-after")), (480, "Gone Fishing", "3600"))

    def test_exception(self) -> None:
        """An exception of the failure route is logged and answered with 500, at once or later."""

        def broken(fork: Any) -> None:
            raise ValueError("a fault of the site")

        self.world_with(broken)
        self.assertEqual(self.alice.statuses(), [100, 500])
        self.world_with(lambda fork: fail(ValueError("later")))
        self.assertEqual(self.alice.statuses(), [100, 500])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_no_endless_loop(self) -> None:
        """A failure route that always adds a target is stopped by max_branches."""

        def again(fork: Any) -> None:
            fork.add_targets([Target("sip:x@name.invalid")])

        self.world_with(again)
        self.assertEqual(self.alice.statuses(), [100, 486])


class BreadthTests(ForkCase):
    """Max-Breadth."""

    def test_used_up(self) -> None:
        """More phones than Max-Breadth allows: 440, and nobody rings."""
        self.begin(3)
        self.alice.send("INVITE", "sip:bob@example.test", [("max-breadth", "2")])
        self.assertEqual(self.alice.statuses()[-1], 440)
        self.assertEqual(self.ringing(), [])

    def test_shared_out(self) -> None:
        """What is left is shared among the branches, whatever the header was."""
        self.begin(2)
        self.alice.send("INVITE", "sip:bob@example.test", [("max-breadth", "7")])
        for phone in self.bobs:
            self.assertEqual(phone.got("INVITE").get_all("max-breadth"), ["3"])

    def test_unreadable(self) -> None:
        """A Max-Breadth that is no number counts as none."""
        self.begin(2)
        self.alice.send("INVITE", "sip:bob@example.test", [("max-breadth", "\u00b2")])
        self.assertEqual(self.ringing(), self.bobs)
        self.assertEqual(self.bobs[0].got("INVITE").get_all("max-breadth"), ["30"])


class LoopTests(SynchronousTestCase):
    """Requests that come back."""

    def setUp(self) -> None:
        # Elsewhere a server's own address is nowhere to send to.
        self.world = World(destinations=Destinations())
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.us = self.world.phone("us", host="192.0.2.1")
        self.world.resolver.names["example.test"] = [Hop("UDP", "192.0.2.1", 5060)]

    def round(self) -> list[int]:
        """Feed what was sent to our own address back in until nothing comes; the statuses that alice gets at the end."""
        for _ in range(10):
            for data in self.us.flow.sent[:]:
                self.us.flow.sent.remove(data)
                self.world.sink.received(data, self.us.flow)
        return self.alice.statuses()

    def test_loop(self) -> None:
        """A request that comes back unchanged is ended with 482, long before Max-Forwards would."""
        self.world.core.registrar.contact_refusal = None
        self.bob.contact = "sip:bob@example.test"
        self.bob.register()
        self.alice.send("MESSAGE", self.bob.aor, body=b"hi", content_type="text/plain")
        self.assertEqual(self.round(), [482])

    def test_spiral(self) -> None:
        """A request that comes back with another Request-URI is no loop, even where a database brought such contacts in."""
        self.world.core.registrar.contact_refusal = None
        self.bob.contact = "sip:carol@example.test"
        self.bob.register()
        carol = self.world.phone("carol")
        carol.contact = "sip:dave@example.test"
        carol.register()
        dave = self.world.phone("dave")
        dave.register()
        dave.take()
        self.alice.send("MESSAGE", self.bob.aor, body=b"hi", content_type="text/plain")
        self.round()
        self.assertEqual(dave.got("MESSAGE").uri, dave.contact)


class NextHopTests(ForkCase):
    """Resolving, connecting, the next address."""

    def call_outside(self, hops: list[Hop], user: str = "x") -> None:
        """Alice calls a foreign domain that has these addresses."""
        self.world = World()
        self.world.resolver.names["other.test"] = hops
        self.alice = self.world.phone("alice")
        self.first = self.world.phone("x", host="198.51.100.1")
        self.second = self.world.phone("x", host="198.51.100.2")
        self.alice.send("INVITE", f"sip:{user}@other.test")

    def test_no_address(self) -> None:
        """A domain without address: 503 or what the resolver says, never silence."""
        self.call_outside([])
        self.world.resolver.names.clear()
        self.alice.take()
        self.alice.send("INVITE", "sip:x@nowhere.test")
        self.assertEqual(self.alice.statuses(), [100, 503])

    def test_timeout_takes_the_next_address(self) -> None:
        """A server that says nothing is left for the next address, with a new branch (RFC 3263 §4.3)."""
        self.call_outside([Hop("UDP", "198.51.100.1", 5060), Hop("UDP", "198.51.100.2", 5060)])
        first = self.first.got("INVITE")
        self.world.advance(1.9)
        self.assertEqual(self.second.inbox, [])
        self.world.advance(0.2)
        second = self.second.got("INVITE")
        self.assertNotEqual(first.via.branch, second.via.branch)
        self.second.reply(second, 200)
        self.assertEqual(self.alice.statuses(), [100, 200])
        self.assertEqual(self.world.resolver.rested, [Hop("UDP", "198.51.100.1", 5060)])

    def test_each_address_has_its_turn(self) -> None:
        """The last address has the time of any other, and so has one that has said 100."""
        self.call_outside([Hop("UDP", "198.51.100.1", 5060), Hop("UDP", "198.51.100.2", 5060)])
        self.first.reply(self.first.got("INVITE"), 100)
        self.world.advance(30)
        self.assertEqual((self.second.inbox, self.alice.statuses()), ([], [100]))
        self.call_outside([Hop("UDP", "198.51.100.1", 5060), Hop("UDP", "198.51.100.2", 5060)])
        self.world.advance(31)
        self.assertEqual(self.alice.statuses(), [100])
        self.world.advance(3.5)
        self.assertEqual(self.alice.statuses(), [408])

    def test_other_methods_wait_longer(self) -> None:
        """A MESSAGE needn't be answered by anything for some seconds (RFC 4320); after a 100 it isn't sent anywhere else."""
        for provisional in (False, True):
            self.call_outside([Hop("UDP", "198.51.100.1", 5060), Hop("UDP", "198.51.100.2", 5060)])
            self.second.take()
            self.first.take()
            self.alice.send("MESSAGE", "sip:x@other.test")
            request = self.first.got("MESSAGE")
            self.world.advance(1)
            if provisional:
                self.first.reply(request, 100)
            self.world.advance(6.8)
            self.assertNotIn("MESSAGE", self.second.methods())
            self.world.advance(0.4)
            self.assertEqual("MESSAGE" in self.second.methods(), not provisional)
            if provisional:
                self.world.advance(20)
                self.first.reply(request, 200)
                self.assertEqual(self.alice.statuses()[-1], 200)

    def test_silent_connection(self) -> None:
        """A host that neither takes nor refuses a connection costs no more."""
        world = World()
        world.resolver.names["other.test"] = [Hop("TCP", "198.51.100.1", 5060), Hop("UDP", "198.51.100.2", 5060)]
        alice, second = world.phone("alice"), world.phone("x", host="198.51.100.2")
        connect = world.flows.connect
        world.flows.connect = lambda hop, cause=None: Deferred() if hop.transport == "TCP" else connect(hop)  # type: ignore[method-assign]
        alice.send("INVITE", "sip:x@other.test")
        world.advance(1.9)
        self.assertEqual(second.inbox, [])
        world.advance(0.2)
        second.reply(second.got("INVITE"), 200)
        self.assertEqual(alice.statuses(), [100, 200])
        self.assertEqual(world.resolver.rested, [Hop("TCP", "198.51.100.1", 5060)])

    def test_dns_has_words(self) -> None:
        """Why no host was found is told in words, and no address of ours in them."""
        world = World()
        alice = world.phone("alice")
        world.resolver.resolve = lambda *_: fail(NoRoute("no answer of 10.0.0.53", 503, "No Answer From DNS"))  # type: ignore[method-assign]
        alice.send("INVITE", "sip:x@other.test")
        answer = alice.response("INVITE")
        self.assertEqual((answer.status, answer.reason), (503, "No Answer From DNS"))

    def test_literal_address_is_not_rested(self) -> None:
        """Of an address given as a number nothing is remembered: there is no other."""
        world = World()
        alice = world.phone("alice")
        alice.send("INVITE", "sip:x@198.51.100.1;transport=tcp")
        self.assertEqual((alice.statuses(), world.resolver.rested), ([100, 503], []))

    def test_503_takes_the_next_address(self) -> None:
        """So is one that says 503, also after a 100."""
        self.call_outside([Hop("UDP", "198.51.100.1", 5060), Hop("UDP", "198.51.100.2", 5060)])
        first = self.first.got("INVITE")
        self.first.reply(first, 100)
        self.first.reply(first, 503)
        self.first.got("ACK")
        self.second.reply(self.second.got("INVITE"), 200)
        self.assertEqual(self.alice.statuses(), [100, 200])

    def test_refused_connection_takes_the_next_address(self) -> None:
        """So is one that takes no connection."""
        self.call_outside([Hop("TCP", "203.0.113.9", 5060), Hop("UDP", "198.51.100.2", 5060)])
        self.second.got("INVITE")
        self.assertEqual(self.world.resolver.rested, [Hop("TCP", "203.0.113.9", 5060)])

    def test_connection_that_dies_at_once(self) -> None:
        """A connection that is gone when the request is written leads to the next address, which a CANCEL then reaches."""
        world = World()
        world.resolver.names["other.test"] = [Hop("TCP", "198.51.100.1", 5060), Hop("UDP", "198.51.100.2", 5060)]
        alice, second = world.phone("alice"), world.phone("x", host="198.51.100.2")
        dying = world.phone("x", "TCP", host="198.51.100.1")
        by_address = world.flows.by_address

        def first_closes(transport: str, host: str, port: int) -> Any:
            found = by_address(transport, host, port)
            if found is dying.flow:
                dying.flow.closed = True
            return found

        world.flows.by_address = first_closes  # type: ignore[method-assign]  # the connection goes between two calls
        invite = alice.send("INVITE", "sip:x@other.test")
        received = second.got("INVITE")
        second.reply(received, 180)
        alice.cancel(invite)
        self.assertEqual(second.methods(), ["CANCEL"])

    def test_large_request_goes_by_tcp(self) -> None:
        """A request over the datagram limit goes to a resolved host by TCP, where that takes connections."""
        world = World()
        world.resolver.names["other.test"] = [Hop("UDP", "198.51.100.1", 5060)]
        alice, stream = world.phone("alice"), world.phone("x", "TCP", host="198.51.100.1")
        alice.send("INVITE", "sip:x@other.test", body=b"v=0\r\n" + b"a=x\r\n" * 300)
        received = stream.got("INVITE")
        self.assertEqual(received.via.transport, "TCP")
        self.assertIn("transport=tcp", received.get_all("record-route")[0])

    def test_large_request_falls_back(self) -> None:
        """Where TCP is refused it goes by UDP after all (RFC 3261 §18.1.1)."""
        self.call_outside([Hop("UDP", "198.51.100.1", 5060)])
        self.first.take()
        self.alice.send("INVITE", "sip:x@other.test", body=b"v=0\r\n" + b"a=x\r\n" * 300)
        self.assertEqual(self.first.got("INVITE").via.transport, "UDP")

    def test_cancel_while_resolving(self) -> None:
        """A CANCEL while the name is still looked up ends the call when that comes back; nothing is sent."""
        world = World()
        alice, outside = world.phone("alice"), world.phone("x", host="198.51.100.1")
        looked_up: Deferred[list[Hop]] = Deferred()
        world.resolver.resolve = lambda *a: looked_up  # type: ignore[method-assign]  # an answer that takes its time
        invite = alice.send("INVITE", "sip:x@slow.test")
        alice.cancel(invite)
        looked_up.callback([Hop("UDP", "198.51.100.1", 5060)])
        self.assertEqual(alice.statuses(), [100, 200, 487])
        self.assertEqual(outside.inbox, [])

    def test_failed_lookup_spares_the_others(self) -> None:
        """A contact whose name doesn't resolve doesn't keep the other phone from ringing."""
        self.begin(1)
        odd = self.world.phone("bob", contact="sip:bob@nowhere.test")
        odd.register()
        odd.take()
        self.invite()
        self.bobs[0].reply(self.bobs[0].got("INVITE"), 486)
        self.assertEqual(self.alice.statuses(), [100, 486])

    def test_a_websocket_is_never_opened(self) -> None:
        """A URI that asks for a WebSocket has no address but its own connection."""
        self.begin(0)
        self.alice.send("INVITE", "sip:x@198.51.100.1;transport=ws")
        self.alice.send("INVITE", "sip:x@y.invalid")
        self.assertEqual(self.alice.statuses(), [100, 480, 100, 480])

    def test_resolver_that_fails_oddly(self) -> None:
        """Whatever a lookup fails with, the caller gets an answer."""
        world = World()
        alice = world.phone("alice")
        world.resolver.resolve = lambda *a: fail(NoRoute("gone", 404))  # type: ignore[method-assign]
        alice.send("INVITE", "sip:x@slow.test")
        world.resolver.resolve = lambda *a: fail(OSError("odd"))  # type: ignore[method-assign]
        alice.send("INVITE", "sip:x@slow.test")
        self.assertEqual(alice.statuses(), [100, 404, 100, 503])
