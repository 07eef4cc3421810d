"""Tests of the registrar service: loading, REGISTER to disk and back, lookups, connections, expiry."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.base.verdict import Verdict
from sipnode.errors import StorageError
from sipnode.interfaces import IFlow, IFlowTable, ILocationBackend, ILocationWriter
from sipnode.records import Binding, BindingFlag
from sipnode.registrar.location import instance_key
from sipnode.registrar.lookup import LookupResult
from sipnode.registrar.service import RegistrarService
from sipnode.settings import LocationSettings
from tests.registrar.kit import AOR, NOW, FakeBackend, FakeContext, FakeFlow, FakeFlows, FakeWriter, binding, register

UA = "<sip:a@192.0.2.1>"
OTHER = "<sip:b@192.0.2.2>"
PAGE = '<sip:{}@{}.invalid;transport=ws>;+sip.instance="<urn:uuid:1>";reg-id=1'
WEB = int(BindingFlag.NATB | BindingFlag.RTPWS)


class FakeTests(SynchronousTestCase):
    """The fakes are what they stand for."""

    def test_fakes(self) -> None:
        """Every fake provides its interface."""
        verifyObject(IFlow, FakeFlow())
        verifyObject(IFlowTable, FakeFlows())
        verifyObject(ILocationWriter, FakeWriter())
        verifyObject(ILocationBackend, FakeBackend())


class _ServiceCase(SynchronousTestCase):
    db_mode = 1

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.writer = FakeWriter()
        self.flows = FakeFlows()
        self.told: list[tuple[str, str]] = []
        self.service = self.make()

    def make(self, backend: FakeBackend | None = None, start: bool = True, **settings: Any) -> RegistrarService:
        conf = LocationSettings(db_mode=self.db_mode, min_expires=5, **settings)
        service = RegistrarService(conf, self.clock, backend or FakeBackend(), self.writer, self.flows)
        service.on_change(lambda kind, changed: self.told.append((kind, changed.ruid)))
        if start:
            service.startService()
            self.addCleanup(lambda: service.running and service.stopService())
        return service

    def send(self, *contacts: str, flow: FakeFlow | None = None, cflags: int = 0, **fields: Any) -> FakeContext:
        context = FakeContext(register(*contacts, **fields), flow)
        self.result = self.service.save(context, cflags)
        return context

    def page(self, token: str, name: str = "x", **fields: Any) -> tuple[FakeContext, FakeFlow]:
        flow = FakeFlow("WS", token, ("192.0.2.7", 40000))
        self.flows.live[token] = flow
        return self.send(PAGE.format(name, name), flow=flow, cflags=WEB, call_id="call-" + name, **fields), flow

    def close(self, flow: FakeFlow) -> None:
        flow.closed = True
        self.flows.live.pop(flow.token)
        self.service.flow_closed(flow)

    def contacts(self) -> list[str]:
        return [b.contact for b in self.service.table.lookup(AOR, self.clock.seconds())]

    def rows(self) -> list[str]:
        return [b.contact for b in self.writer.rows.values()]


class MemoryTests(_ServiceCase):
    """db_mode 0."""

    db_mode = 0

    def test_save(self) -> None:
        """A REGISTER is answered at once, without a Deferred, and nothing is written."""
        context = self.send(UA, expires="600")
        self.assertEqual(self.result, Verdict.REPLIED)
        self.assertEqual((context.status, context.contacts), (200, [UA + ";expires=600"]))
        self.assertEqual(self.contacts(), ["sip:a@192.0.2.1"])
        self.assertEqual(self.writer.puts, [])

    def test_ready_at_once(self) -> None:
        """There is nothing to load, and nothing to wait for at the end."""
        self.assertTrue(self.service.ready)
        self.successResultOf(self.service.stopService())
        self.assertFalse(self.service.ready)

    def test_told(self) -> None:
        """Watchers are told what happened to each binding."""
        self.send(UA)
        self.send(UA, cseq=2)
        self.send(UA, cseq=3, expires="0")
        kinds = [kind for kind, ruid in self.told]
        self.assertEqual(kinds, ["registered", "refreshed", "unregistered"])
        self.assertEqual(len({ruid for _, ruid in self.told}), 1)

    def test_watcher_that_fails(self) -> None:
        """A watcher that raises is logged and hurts nobody."""
        service = self.service
        service._watchers._all.insert(0, lambda kind, changed: 1 / 0)  # type: ignore[arg-type,return-value]  # it raises
        self.assertEqual(self.send(UA).status, 200)
        self.assertEqual(len(self.told), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_names_are_unique(self) -> None:
        """Two bindings never share a ruid, over services of one process neither."""
        self.send(UA, OTHER)
        names = {b.ruid for b in self.service.table}
        self.assertEqual(len(names), 2)

    def test_refusals(self) -> None:
        """A refusal of the plan and a To that can't be are answered with their status, and change nothing."""
        self.assertEqual(self.send(UA, expires="1").status, 423)
        self.assertEqual(self.send(UA, to="<tel:+1>").status, 400)
        self.assertEqual(self.send(UA, to="<sip:example.com>").status, 404)
        self.assertEqual((self.contacts(), self.told), ([], []))

    def test_use_domain(self) -> None:
        """Users of different domains are apart, unless use_domain is off."""
        self.send(UA)
        self.assertEqual(self.service.lookup("alice@other.example").status, 404)
        self.service = self.make(use_domain=False)
        self.send(UA)
        self.assertEqual(self.service.lookup("alice@other.example").status, 200)
        self.assertEqual(self.service.lookup("bob@example.com").status, 404)


class SourceTests(_ServiceCase):
    """What a binding keeps of its flow."""

    db_mode = 0

    def bound(self, flow: FakeFlow, cflags: int = 0) -> Binding:
        self.send(UA, flow=flow, cflags=cflags)
        (found,) = self.service.table.lookup(AOR, NOW)
        return found

    def test_udp(self) -> None:
        """A phone without a translator is reached at its contact."""
        found = self.bound(FakeFlow())
        self.assertEqual((found.received, found.connection_id, found.socket), ("", "", "udp:192.0.2.100:5060"))

    def test_natted_udp(self) -> None:
        """A natted one at its source."""
        flags = BindingFlag.NATB | BindingFlag.NATSIPPING
        found = self.bound(FakeFlow(remote=("203.0.113.9", 1234)), flags)
        self.assertEqual((found.received, found.cflags), ("sip:203.0.113.9:1234;transport=udp", 192))
        self.assertIs(type(found.cflags), int)

    def test_streams(self) -> None:
        """A stream always at its source; in a URI both kinds of WebSocket are ws."""
        for transport, token in (("TCP", "tcp"), ("TLS", "tls"), ("WS", "ws"), ("WSS", "ws")):
            self.service = self.make()
            found = self.bound(FakeFlow(transport, "tok", ("203.0.113.9", 1234)))
            self.assertEqual((found.received, found.connection_id), (f"sip:203.0.113.9:1234;transport={token}", "tok"))
            self.assertEqual(found.socket, f"{transport.lower()}:192.0.2.100:5060")

    def test_ipv6(self) -> None:
        """An IPv6 source stands in brackets."""
        found = self.bound(FakeFlow("TCP", "tok", ("2001:db8::9", 1234)))
        self.assertEqual(found.received, "sip:[2001:db8::9]:1234;transport=tcp")

    def test_closed(self) -> None:
        """A REGISTER whose connection closed while it was checked leaves no binding."""
        flow = FakeFlow("WS", "tok")
        flow.closed = True
        self.assertEqual(self.send(UA, flow=flow).status, 503)
        self.assertEqual(self.contacts(), [])


class LookupTests(_ServiceCase):
    """Where requests go."""

    db_mode = 0

    def status(self, method: str = "INVITE") -> int:
        return self.service.lookup(AOR, method).status

    def test_unknown(self) -> None:
        """Nobody registered: 404."""
        self.assertEqual(self.service.lookup(AOR, "INVITE"), LookupResult(404, []))
        self.assertFalse(self.service.online(AOR))

    def test_methods(self) -> None:
        """Only contacts that allow the method are given; none of them: 405."""
        self.send(UA + ";q=0.9", extra=["Allow: INVITE, ACK"])
        self.assertEqual((self.status("INVITE"), self.status("MESSAGE"), self.status("FOO")), (200, 405, 405))
        self.send(OTHER, call_id="c2", extra=["Allow: INVITE, MESSAGE"])
        self.assertEqual([b.contact for b in self.service.lookup(AOR, "MESSAGE").bindings], ["sip:b@192.0.2.2"])
        self.assertEqual(len(self.service.lookup(AOR, "INVITE").bindings), 2)
        self.assertEqual(len(self.service.lookup(AOR).bindings), 2)

    def test_methods_of_a_page(self) -> None:
        """The same for a single binding on a connection."""
        self.page("t1", extra=["Allow: INVITE"])
        self.assertEqual((self.status("INVITE"), self.status("MESSAGE"), self.status("")), (200, 405, 200))
        self.send(OTHER + ";q=0.1", extra=["Allow: MESSAGE"])
        self.assertEqual([b.contact for b in self.service.lookup(AOR, "MESSAGE").bindings], ["sip:b@192.0.2.2"])

    def test_no_filter(self) -> None:
        """With method_filtering off everybody gets everything."""
        self.service = self.make(method_filtering=False)
        self.send(UA, extra=["Allow: INVITE"])
        self.assertEqual(self.status("MESSAGE"), 200)

    def test_online(self) -> None:
        """Somebody who can be reached is online."""
        self.send(UA)
        self.assertTrue(self.service.online(AOR))


class LoadTests(_ServiceCase):
    """The start."""

    def load(self, *rows: Binding, **settings: Any) -> None:
        self.service = self.make(FakeBackend(rows), **settings)

    def test_rows(self) -> None:
        """What was registered before is there; what has expired is not, and its row is deleted."""
        self.load(binding(OTHER, "r2", expires=NOW), binding())
        self.assertTrue(self.service.ready)
        self.assertEqual(self.contacts(), ["sip:a@192.0.2.1"])
        self.assertEqual([(c.delete, c.binding.ruid) for put in self.writer.puts for c in put], [(True, "r2")])
        self.assertEqual(self.told, [("registered", "r1")])

    def test_gate(self) -> None:
        """While rows are being read the address that is asked for is read by itself; another is not waited for."""
        backend = FakeBackend([binding()])
        backend.gate = Deferred()
        self.service = self.make(backend)
        ready = self.service.when_ready()
        self.assertEqual([b.ruid for b in self.successResultOf(self.service.lookup(AOR, "INVITE")).bindings], ["r1"])
        self.assertEqual(self.service.lookup(AOR, "INVITE").status, 200)
        self.assertEqual(len(self.send(OTHER).contacts), 2)
        self.assertNoResult(ready)
        backend.gate.callback(None)
        self.successResultOf(ready)
        self.successResultOf(self.service.when_ready())
        self.assertEqual(len(self.contacts()), 2)

    def test_gate_without_store(self) -> None:
        """Where the store gives no answer REGISTER and lookups get 503 and a time to come back."""
        backend = FakeBackend([binding()])
        backend.gate = Deferred()
        backend.fetches = "fail"
        self.service = self.make(backend)
        self.assertEqual(self.send(OTHER).replies, [(503, "", {"retry-after": ["5"]})])
        self.assertEqual(self.successResultOf(self.service.lookup(AOR, "INVITE")), LookupResult(503, []))
        self.assertEqual(LookupResult(503, []), self.successResultOf(self.make(start=False).lookup(AOR)))

    def test_retry(self) -> None:
        """A store that can't be read is asked again, at growing intervals."""
        self.service = self.make(FakeBackend([binding()], failures=2))
        self.clock.advance(1)
        self.assertFalse(self.service.ready)
        self.clock.advance(1.5)
        self.assertFalse(self.service.ready)
        self.clock.advance(0.5)
        self.assertTrue(self.service.ready)

    def test_stop_while_loading(self) -> None:
        """A stop ends the attempts."""
        self.service = self.make(FakeBackend([binding()], failures=1))
        self.successResultOf(self.service.stopService())
        self.assertEqual([call for call in self.clock.getDelayedCalls() if call.getTime() > NOW + 1], [])
        self.clock.advance(60)
        self.assertFalse(self.service.ready)

    def test_many(self) -> None:
        """Many rows come in steps between which the reactor breathes, and none is lost; who looks after memory is told of each."""
        self.service = self.make(FakeBackend([binding(f"sip:{n}@h", f"r{n}", aor=f"u{n}@x") for n in range(4001)]))
        self.assertEqual((self.service.ready, self.service.table.count()), (False, 2000))
        settled: list[int] = []
        self.service.settle = lambda: settled.append(self.service.table.count())
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual((self.service.ready, self.service.table.count()), (True, 4001))
        self.assertEqual(settled, [4000, 4001])

    def test_page_is_lost(self) -> None:
        """A page of an earlier run is known but can't be reached: 480 and not online, but its owner still sees it."""
        self.load(binding("sip:x@x.invalid", socket="ws:192.0.2.100:80", connection_id="old", instance="<urn:uuid:1>"))
        self.assertEqual(self.service.lookup(AOR, "INVITE"), LookupResult(480, []))
        self.assertFalse(self.service.online(AOR))
        self.assertEqual(len(self.send().contacts), 1)
        lost = self.service.by_instance(AOR, "<urn:uuid:1>")
        assert lost is not None
        self.assertEqual((lost.ruid, lost.connection_id), ("r1", ""))

    def test_page_comes_back(self) -> None:
        """The page registers from its new connection: same ruid, and requests reach it again."""
        self.load(binding("sip:x@x.invalid", socket="ws:192.0.2.100:80", connection_id="old", instance="<urn:uuid:1>", call_id="c"))
        context, _ = self.page("new", "y")
        self.assertEqual((context.status, len(context.contacts)), (200, 1))
        (found,) = self.service.lookup(AOR, "INVITE").bindings
        self.assertEqual((found.ruid, found.connection_id), ("r1", "new"))

    def test_lost_beside_live(self) -> None:
        """A lost binding doesn't stand in the way of one that can be reached."""
        self.load(binding("sip:x@x.invalid", socket="wss:192.0.2.100:443"), binding(OTHER, "r2"))
        self.assertEqual([b.ruid for b in self.service.lookup(AOR, "INVITE").bindings], ["r2"])

    def test_old_connection_id(self) -> None:
        """The token of a connection of an earlier run names nothing now."""
        self.load(binding(socket="tcp:192.0.2.100:5060", connection_id="old"))
        self.service.flow_closed(FakeFlow("TCP", "old"))
        self.assertEqual(self.contacts(), ["sip:a@192.0.2.1"])

    def test_phone_on_tcp(self) -> None:
        """A phone that listens is tried at its contact, not at the source port of a connection that is gone; a natted
        one is lost."""
        self.load(binding(socket="tcp:192.0.2.100:5060", connection_id="o", received="sip:192.0.2.1:40000;transport=tcp"))
        (found,) = self.service.lookup(AOR, "INVITE").bindings
        self.assertEqual((found.received, found.connection_id), ("", ""))
        self.load(binding(socket="tcp:192.0.2.100:5060", connection_id="o", received="sip:192.0.2.1:40000", cflags=64))
        self.assertEqual(self.service.lookup(AOR, "INVITE").status, 480)

    def test_natted_phone_on_udp(self) -> None:
        """A natted UDP phone keeps its source: the translator still knows it."""
        self.load(binding(received="sip:192.0.2.1:40000;transport=udp", cflags=64))
        (found,) = self.service.lookup(AOR, "INVITE").bindings
        self.assertEqual(found.received, "sip:192.0.2.1:40000;transport=udp")

    def test_needs_a_store(self) -> None:
        """db_mode 1 without a store is a mistake of whoever composes."""
        self.assertRaises(ValueError, RegistrarService, LocationSettings(db_mode=1), self.clock)


class WriteTests(_ServiceCase):
    """db_mode 1: a 200 when it is on disk."""

    def test_after_commit(self) -> None:
        """The 200 goes out when the write is done and not before; then watchers are told."""
        self.writer.mode = "wait"
        context = self.send(UA)
        self.assertEqual((context.status, self.told), (0, []))
        self.writer.waiting.pop().callback(None)
        self.assertEqual(context.status, 200)
        self.assertEqual(self.successResultOf(self.result), Verdict.REPLIED)
        self.assertEqual([kind for kind, _ in self.told], ["registered"])
        self.assertEqual(self.rows(), ["sip:a@192.0.2.1"])

    def test_query_waits_for_nothing(self) -> None:
        """A query writes nothing and is answered at once."""
        self.writer.mode = "wait"
        self.assertEqual(self.send().status, 200)
        self.assertEqual(self.writer.puts, [])

    def test_failure(self) -> None:
        """A write that fails, at once or later, or a queue that is full: 503, and memory is as it was."""
        for mode in ("fail", "busy", "wait"):
            self.service = self.make()
            self.writer.mode = mode
            context = self.send(UA)
            if mode == "wait":
                self.writer.waiting.pop().errback(StorageError("disk full"))
            self.assertEqual(context.replies, [(503, "", {"retry-after": ["5"]})], mode)
            self.assertEqual((self.contacts(), self.told), ([], []), mode)
            self.assertEqual(self.service.lookup(AOR).status, 404)

    def test_failed_refresh(self) -> None:
        """A refresh that isn't stored leaves the binding with its old time, and the next one may use the same CSeq rules."""
        self.send(UA, expires="100")
        self.writer.mode = "fail"
        self.assertEqual(self.send(UA, cseq=2, expires="3000").status, 503)
        (found,) = self.service.table.lookup(AOR, NOW)
        self.assertEqual((found.expires, found.cseq), (NOW + 100, 1))
        self.writer.mode = "succeed"
        self.assertEqual(self.send(UA, cseq=3).status, 200)

    def test_failed_removal(self) -> None:
        """A removal that isn't stored brings the bindings back."""
        self.send(UA, OTHER)
        self.writer.mode = "fail"
        self.assertEqual(self.send("*", cseq=2, expires="0").status, 503)
        self.assertEqual(sorted(self.contacts()), ["sip:a@192.0.2.1", "sip:b@192.0.2.2"])

    def test_unexpected_failure(self) -> None:
        """A writer that fails with anything else draws 503 too."""
        self.writer.mode = "wait"
        context = self.send(UA)
        self.writer.waiting.pop().errback(ZeroDivisionError())
        self.assertEqual((context.status, self.contacts()), (503, []))

    def test_no_answer(self) -> None:
        """A store that never answers: 503 after the time of a write, once, and memory is as it was."""
        self.writer.mode = "wait"
        context = self.send(UA)
        self.clock.pump([1] * 7)
        self.assertEqual(context.status, 0)
        self.clock.pump([1] * 2)
        self.assertEqual((context.status, self.contacts()), (503, []))

    def test_too_late(self) -> None:
        """A write that gets through after its 503 is undone on disk: disk and memory say the same."""
        self.writer.mode = "wait"
        context = self.send(UA)
        self.clock.pump([1] * 9)
        for write in self.writer.waiting:
            write.callback(None)
        self.assertEqual((context.status, self.rows(), self.contacts()), (503, [], []))

    def test_many_too_late(self) -> None:
        """Writes that are all too late at once are given up in steps between which the reactor breathes."""
        self.writer.mode = "wait"
        contexts = [self.send(UA, to=f"<sip:user{number}@example.com>") for number in range(450)]
        answered: list[int] = []

        def breathe() -> None:
            answered.append(sum(context.status == 503 for context in contexts))
            if len(answered) < 6:
                self.clock.callLater(0, breathe)

        self.clock.callLater(8, breathe)
        self.clock.pump([1] * 9)
        self.assertEqual((sorted({*answered, 0}), self.service.table.count()), ([0, 200, 400, 450], 0))

    def test_too_late_refresh(self) -> None:
        """The same for a refresh: the row goes back to what memory holds."""
        self.send(UA, expires="100")
        self.writer.mode = "wait"
        self.send(UA, cseq=2, expires="3000")
        self.clock.pump([1] * 9)
        for write in self.writer.waiting:
            write.callback(None)
        self.assertEqual([row.expires for row in self.writer.rows.values()], [NOW + 100])

    def test_two_under_way_both_fail(self) -> None:
        """Two writes of one binding that both fail leave what was there before the first."""
        self.writer.mode = "wait"
        first, second = self.send(UA), self.send(UA, cseq=2)
        for write in self.writer.waiting:
            write.errback(StorageError("disk full"))
        self.assertEqual((first.status, second.status, self.contacts()), (503, 503, []))

    def test_two_under_way_second_fails(self) -> None:
        """When the first is stored and the second isn't, memory holds the first."""
        self.writer.mode = "wait"
        first, second = self.send(UA, expires="100"), self.send(UA, cseq=2, expires="200")
        self.writer.waiting[0].callback(None)
        self.writer.waiting[1].errback(StorageError("disk full"))
        self.assertEqual((first.status, second.status), (200, 503))
        (found,) = self.service.table.lookup(AOR, NOW)
        self.assertEqual((found.expires, found.cseq), (NOW + 100, 1))

    def test_two_under_way_first_fails(self) -> None:
        """When only the second is stored, memory holds the second."""
        self.writer.mode = "wait"
        first, second = self.send(UA, expires="100"), self.send(UA, cseq=2, expires="200")
        self.writer.waiting[0].errback(StorageError("disk full"))
        self.writer.waiting[1].callback(None)
        self.assertEqual((first.status, second.status), (503, 200))
        (found,) = self.service.table.lookup(AOR, NOW)
        self.assertEqual(found.expires, NOW + 200)

    def test_part_under_way_twice(self) -> None:
        """Of a failed write the part that a later write decides about stays, the rest goes back."""
        self.writer.mode = "wait"
        self.send(UA, OTHER)
        self.send(UA, cseq=2)
        self.writer.waiting[0].errback(StorageError("disk full"))
        self.assertEqual(self.contacts(), ["sip:a@192.0.2.1"])
        self.writer.waiting[1].errback(StorageError("disk full"))
        self.assertEqual(self.contacts(), [])

    def test_repeat_while_waiting(self) -> None:
        """A repeat of a REGISTER whose write is under way makes no second binding."""
        self.writer.mode = "wait"
        self.send(UA)
        self.send(UA)
        self.assertEqual(len(self.contacts()), 1)
        self.assertEqual(len({put[0].binding.ruid for put in self.writer.puts}), 1)

    def test_complains_once(self) -> None:
        """A store that is down writes one line a minute, not one for each REGISTER."""
        self.writer.mode = "fail"
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        for number in range(5):
            self.send(UA, cseq=number + 1)
        self.assertEqual(len([e for e in events if e.get("log_namespace", "").startswith("sipnode")]), 1)

    def test_stop_drains(self) -> None:
        """A stop waits for the writer, but not longer than one write takes."""
        self.writer.draining = Deferred()
        stopped = self.service.stopService()
        self.assertNoResult(stopped)
        self.clock.advance(8)
        self.successResultOf(stopped)


class FlowTests(_ServiceCase):
    """Bindings end with their connection."""

    def test_closed(self) -> None:
        """The connection is gone: so is the binding, at once, in memory and on disk."""
        context, flow = self.page("t1")
        self.assertEqual((context.status, len(self.rows())), (200, 1))
        self.close(flow)
        self.assertEqual((self.contacts(), self.rows()), ([], []))
        self.assertEqual(self.service.lookup(AOR).status, 404)
        self.assertEqual([kind for kind, _ in self.told], ["registered", "closed"])

    def test_udp(self) -> None:
        """A UDP flow has no end that would take anything along."""
        self.send(UA)
        self.service.flow_closed(FakeFlow())
        self.assertEqual(len(self.contacts()), 1)

    def test_moved(self) -> None:
        """A page that came back before its old connection was seen to close stays registered."""
        _, old = self.page("t1", "x")
        self.page("t2", "y")
        self.close(old)
        self.assertEqual(self.contacts(), ["sip:y@y.invalid;transport=ws"])
        self.assertEqual(self.rows(), ["sip:y@y.invalid;transport=ws"])

    def test_closed_phone_that_listens(self) -> None:
        """A phone that closes its TCP connection and listens at its contact stays registered until it expires: where nothing shows a
        translator, or where its contact asks for TCP at the address that it came from."""
        natted = int(BindingFlag.NATB)
        for contact, cflags, stays in (
            ("<sip:a@192.0.2.1;transport=tcp>", 0, True),
            ("<sip:a@192.0.2.1>", 0, True),
            ("<sip:a@192.0.2.7:5070;transport=tcp>", natted, True),
            ("<sip:a@192.0.2.1:5070;transport=tcp>", natted, False),
            ("<sip:a@192.0.2.7:5070>", natted, False),
            ("<sips:a@192.0.2.7;transport=tcp>", 0, False),
            ('<sip:a@192.0.2.1;transport=tcp>;+sip.instance="<urn:uuid:1>";reg-id=1', 0, False),
        ):
            self.service = self.make()
            flow = FakeFlow("TCP", "t1", ("192.0.2.7", 40000))
            self.flows.live["t1"] = flow
            self.send(contact, flow=flow, cflags=cflags, extra=("Supported: outbound",) if "reg-id" in contact else ())
            self.close(flow)
            self.assertEqual(self.service.lookup(AOR).status, 200 if stays else 404, contact)
            if stays:
                (left,) = self.service.lookup(AOR).bindings
                self.assertEqual((left.connection_id, self.service.table.on_flow("t1")), ("", []))
                self.clock.advance(4000)
                self.assertEqual(self.service.lookup(AOR).status, 404)

    def test_closed_while_writing(self) -> None:
        """A connection that closes while its write is under way leaves nothing, whether the write gets through or not."""
        for good in (True, False):
            self.service = self.make()
            self.told.clear()
            self.writer.mode = "wait"
            context, flow = self.page("t1")
            self.writer.mode = "succeed"
            self.close(flow)
            write = self.writer.waiting.pop()
            if good:
                write.callback(None)
            else:
                write.errback(StorageError("disk full"))
            self.assertEqual(context.status, 200 if good else 503)
            self.assertEqual(self.contacts(), [])
            self.assertEqual([kind for kind, _ in self.told], ["closed"])

    def test_closed_refresh_fails(self) -> None:
        """A refresh under way that fails doesn't bring back a binding whose connection has closed."""
        _, flow = self.page("t1")
        self.writer.mode = "wait"
        self.page("t1", cseq=2)
        self.writer.mode = "succeed"
        self.close(flow)
        self.writer.waiting.pop().errback(StorageError("disk full"))
        self.assertEqual((self.contacts(), self.rows()), ([], []))

    def test_move_fails(self) -> None:
        """A move to a new connection that isn't stored can't go back to an old one that has closed: the binding and its
        row go."""
        _, old = self.page("t1", "x")
        self.writer.mode = "wait"
        context, _ = self.page("t2", "y")
        self.writer.mode = "succeed"
        self.close(old)
        self.writer.waiting.pop().errback(StorageError("disk full"))
        self.assertEqual((context.status, self.contacts(), self.rows()), (503, [], []))

    def test_move_fails_old_alive(self) -> None:
        """While the old connection is alive the binding goes back to it."""
        self.page("t1", "x")
        self.writer.mode = "fail"
        self.page("t2", "y")
        self.assertEqual(self.contacts(), ["sip:x@x.invalid;transport=ws"])
        self.assertEqual([b.connection_id for b in self.service.table.on_flow("t1")], ["t1"])

    def test_hold(self) -> None:
        """During a planned stop closing connections leave their bindings, for the next run to know."""
        _, flow = self.page("t1")
        self.service.hold()
        self.close(flow)
        self.assertEqual(len(self.rows()), 1)

    def test_after_stop(self) -> None:
        """After the stop nothing is touched any more."""
        _, flow = self.page("t1")
        self.service.stopService()
        self.close(flow)
        self.assertEqual(len(self.rows()), 1)

    def test_delete_refused(self) -> None:
        """A delete that the store refuses, in either way, leaves memory right and raises nothing."""
        for mode in ("busy", "fail"):
            self.writer.mode = "succeed"
            _, flow = self.page("t1")
            self.writer.mode = mode
            self.close(flow)
            self.assertEqual(self.contacts(), [])

    def test_key(self) -> None:
        """In-dialog requests find a page's new connection by the key of its old one."""
        self.page("t1", "x")
        key = instance_key(AOR, "<urn:uuid:1>", "sip:x@x.invalid;transport=ws")
        self.page("t2", "y")
        found = self.service.by_key(key)
        assert found is not None
        self.assertEqual(found.connection_id, "t2")


class ExpiryTests(_ServiceCase):
    """Time goes by."""

    def test_expires(self) -> None:
        """A binding goes within a second of its time, from memory and from disk."""
        self.send(UA, expires="5")
        self.clock.pump([1] * 4)
        self.assertEqual(self.service.lookup(AOR).status, 200)
        self.clock.advance(1)
        self.assertEqual(self.service.lookup(AOR).status, 404)
        self.clock.pump([1] * 2)
        self.assertEqual((self.service.table.count(), self.rows()), (0, []))
        self.assertEqual([kind for kind, _ in self.told], ["registered", "expired"])

    def test_crowd(self) -> None:
        """A crowd that expires at once goes in steps."""
        for number in range(2500):
            self.service.table.save(f"u{number}@x", binding(f"sip:{number}@h", f"r{number}", aor=f"u{number}@x", expires=NOW + 5))
        left: list[int] = []
        self.service.on_change(lambda kind, gone: left.append(self.service.table.count()))
        self.clock.advance(7)
        self.assertEqual(Counter(left), {1500: 1000, 500: 1000, 0: 500})
        self.assertTrue(all(len(put) <= 500 for put in self.writer.puts))

    def test_remove(self) -> None:
        """A binding can be taken out by name, once."""
        self.send(UA)
        (found,) = self.service.table.lookup(AOR, NOW)
        self.service.remove(found)
        self.service.remove(found)
        self.assertEqual((self.contacts(), self.rows()), ([], []))
        self.assertEqual([kind for kind, _ in self.told], ["registered", "removed"])

    def test_stop_ends_the_ticks(self) -> None:
        """Nothing is left in the reactor after a stop."""
        self.service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
