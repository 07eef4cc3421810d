"""The media rooms against a real rtpengine, started and ended by the test itself."""

from __future__ import annotations

import os
import re
import shutil
import socket
from typing import Any

from twisted.internet import defer, protocol, reactor
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial import unittest

from sipnode.errors import MediaError
from sipnode.media import ng
from sipnode.media.client import NgClient
from sipnode.media.flags import newer, parse, words
from sipnode.media.service import MediaService
from sipnode.records import MediaForm, MediaKey, MediaProfile
from sipnode.settings import MediaSettings

RTPENGINE = shutil.which("rtpengine")
BROWSER = MediaProfile(MediaForm.WEBRTC, protocol="UDP/TLS/RTP/SAVPF")
PHONE = MediaProfile(MediaForm.PLAIN, protocol="RTP/AVP")

PHONE_SDP = b"""v=0
o=phone 1 1 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio 4000 RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=sendrecv
""".replace(b"\n", b"\r\n")

BROWSER_SDP = b"""v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
m=audio 9 UDP/TLS/RTP/SAVPF 111 0
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:F7gI
a=ice-pwd:x9cml6YbVTpLyjSo6aULQ0LC
a=ice-options:trickle
a=fingerprint:sha-256 D2:FA:0E:C3:22:59:5E:14:95:69:92:3D:13:B4:84:24:2C:C2:A2:C0:3E:FD:34:8E:5E:EA:6F:AF:52:CE:E6:0F
a=setup:actpass
a=mid:0
a=sendrecv
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=rtpmap:0 PCMU/8000
a=candidate:1 1 udp 2122260223 127.0.0.1 51234 typ host
""".replace(b"\n", b"\r\n")

BROWSER_ANSWER = BROWSER_SDP.replace(b"setup:actpass", b"setup:active").replace(b"51234", b"51235").replace(b"F7gI", b"G8hJ")


def free_port(kind: socket.SocketKind) -> int:
    """A port that nobody holds on 127.0.0.1 at this moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_range(count: int) -> int:
    """The first of so many UDP ports in a row, an even number, all of them free at this moment."""
    for _ in range(200):
        first = free_port(socket.SOCK_DGRAM) & ~1
        if first < 1026 or first + count > 65535:
            continue
        probes = []
        try:
            for port in range(first, first + count):
                probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                probes.append(probe)
                probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
        return first
    raise AssertionError("no free range of ports")


class Daemon(protocol.ProcessProtocol):
    """One rtpengine of our own."""

    def __init__(self, ports: int, *extra: str) -> None:
        self.ng_port = free_port(socket.SOCK_DGRAM)
        first = free_range(ports)
        self.arguments = [
            "rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=6", "--table=-1", "--interface=127.0.0.1",
            f"--listen-ng=127.0.0.1:{self.ng_port}", f"--port-min={first}", f"--port-max={first + ports - 1}", "--delete-delay=0",
            "--num-threads=2", "--timeout=60", *extra,
        ]  # fmt: skip
        self.log = b""
        self.ended: defer.Deferred[None] = defer.Deferred()
        self.line = f"127.0.0.1:{self.ng_port}"

    def start(self) -> None:
        reactor.spawnProcess(self, RTPENGINE, self.arguments, env=dict(os.environ))

    def errReceived(self, data: bytes) -> None:
        self.log += data

    def processEnded(self, reason: object) -> None:
        self.ended.callback(None)

    async def end(self, signal: str = "TERM") -> None:
        if not self.ended.called:
            self.transport.signalProcess(signal)
            await self.ended


class LiveCase(unittest.TestCase):
    """Starts daemons and a MediaService over them, ends all."""

    timeout = 30
    if RTPENGINE is None:
        skip = "no rtpengine on this machine"

    async def daemon(self, ports: int = 100, *extra: str) -> Daemon:
        daemon = Daemon(ports, *extra)
        daemon.start()
        self.addCleanup(lambda: defer.ensureDeferred(daemon.end("KILL")))
        client = NgClient(reactor, [0.05] * 100)
        port = reactor.listenUDP(0, client, interface="127.0.0.1", maxPacketSize=65535)
        self.addCleanup(port.stopListening)
        await client.command(("127.0.0.1", daemon.ng_port), ng.ping())
        return daemon

    def service(self, *lines: str, **settings: Any) -> MediaService:
        service = MediaService(MediaSettings(nodes=lines, **settings), reactor)
        service.startService()
        self.addCleanup(service.stopService)
        return service

    async def ask(self, daemon: Daemon, command: dict[str, Any]) -> dict[bytes, Any]:
        client = NgClient(reactor, [0.3, 0.6, 1.2])
        port = reactor.listenUDP(0, client, interface="127.0.0.1", maxPacketSize=65535)
        try:
            return await client.command(("127.0.0.1", daemon.ng_port), command)
        finally:
            client.stop()
            await port.stopListening()

    async def calls(self, daemon: Daemon) -> list[bytes]:
        return (await self.ask(daemon, ng.list_calls()))[b"calls"]

    async def until_calls(self, daemon: Daemon, expected: list[bytes]) -> None:
        """Wait until the daemon holds just these calls; the test's timeout ends it otherwise."""
        while sorted(await self.calls(daemon)) != sorted(expected):
            await deferLater(reactor, 0.01)


def audio_port(sdp: bytes) -> int:
    return int(re.search(rb"^m=audio (\d+) ", sdp, re.MULTILINE).group(1))


def name_taking(service: MediaService, node_line: str) -> str:
    """A Call-ID whose first choice is the node of that line."""
    port = int(node_line.rpartition(":")[2])
    return next(c for c in (f"call-{i}" for i in range(1000)) if service.nodes.choose(c).port == port)


class RowTests(LiveCase):
    """The rows of sipnode.media.profiles and the table of sipnode.media.manage."""

    async def test_offer_to_a_browser_is_webrtc(self) -> None:
        """A phone's offer becomes one that a browser takes: its profile, ICE, DTLS, rtcp-mux, mid, the daemon's address and no SDES."""
        service = self.service((await self.daemon()).line)
        sdp = await service.relay.offer(MediaKey("c", "f", via_branch="z.0"), PHONE_SDP, BROWSER)
        self.assertRegex(sdp, rb"m=audio \d+ UDP/TLS/RTP/SAVPF ")
        for wanted in (b"a=setup:actpass", b"a=fingerprint:sha-256 ", b"a=rtcp-mux", b"a=mid:", b"a=ice-ufrag:", b"a=candidate:"):
            self.assertIn(wanted, sdp)
        self.assertNotIn(b"a=crypto", sdp)

    async def test_answer_to_a_browser_has_it_begin(self) -> None:
        """A phone's answer to a browser's offer says setup:passive, as the offer told the daemon: the browser begins DTLS."""
        service = self.service((await self.daemon()).line)
        key = MediaKey("c", "f", via_branch="z.0")
        offered = await service.relay.offer(key, BROWSER_SDP, PHONE)
        self.assertRegex(offered, rb"m=audio \d+ RTP/AVP ")
        for unwanted in (b"a=ice-", b"a=candidate", b"a=fingerprint", b"a=setup", b"a=crypto", b"a=rtcp-mux"):
            self.assertNotIn(unwanted, offered)
        self.assertIn(b"a=rtcp:%d" % (audio_port(offered) + 1), offered)
        key.to_tag = "t"
        sdp = await service.relay.answer(key, PHONE_SDP, BROWSER)
        for wanted in (b" UDP/TLS/RTP/SAVPF ", b"a=setup:passive", b"a=rtcp-mux", b"a=ice-pwd:", b"a=fingerprint:sha-256 "):
            self.assertIn(wanted, sdp)

    async def test_browser_answers_phone(self) -> None:
        """A browser's answer to a phone's offer comes back as plain RTP."""
        service = self.service((await self.daemon()).line)
        key = MediaKey("c", "f", via_branch="z.0")
        await service.relay.offer(key, PHONE_SDP, BROWSER)
        key.to_tag = "t"
        sdp = await service.relay.answer(key, BROWSER_ANSWER, PHONE)
        self.assertRegex(sdp, rb"m=audio \d+ RTP/AVP ")
        for unwanted in (b"a=ice-", b"a=candidate", b"a=fingerprint", b"a=setup", b"a=crypto"):
            self.assertNotIn(unwanted, sdp)

    async def test_browser_to_browser(self) -> None:
        """Between browsers both directions stay WebRTC, with the daemon's own candidates only."""
        service = self.service((await self.daemon()).line)
        key = MediaKey("c", "f", via_branch="z.0")
        offered = await service.relay.offer(key, BROWSER_SDP, BROWSER)
        key.to_tag = "t"
        answered = await service.relay.answer(key, BROWSER_ANSWER, BROWSER)
        for sdp in (offered, answered):
            self.assertIn(b" UDP/TLS/RTP/SAVPF ", sdp)
            self.assertNotIn(b"5123", sdp)
        self.assertIn(b"a=setup:actpass", offered)
        self.assertIn(b"a=setup:passive", answered)

    async def test_phone_to_phone(self) -> None:
        """Between phones both directions are RTP/AVP at the daemon's ports."""
        service = self.service((await self.daemon()).line)
        key = MediaKey("c", "f")
        offered = await service.relay.offer(key, PHONE_SDP, PHONE)
        key.to_tag = "t"
        answered = await service.relay.answer(key, PHONE_SDP.replace(b"4000", b"4002"), PHONE)
        self.assertEqual(len({4000, 4002, audio_port(offered), audio_port(answered)}), 4)

    async def test_replaces_origin_and_connection(self) -> None:
        """Neither o= nor c= gives the sender's own address away."""
        service = self.service((await self.daemon()).line)
        sdp = await service.relay.offer(MediaKey("c", "f"), PHONE_SDP.replace(b"127.0.0.1", b"10.9.8.7"), PHONE)
        self.assertNotIn(b"10.9.8.7", sdp)
        self.assertIn(b"IN IP4 127.0.0.1", sdp)

    async def test_media_address_setting(self) -> None:
        """The address of the setting is what c= holds."""
        service = self.service((await self.daemon()).line, media_address="203.0.113.9")
        sdp = await service.relay.offer(MediaKey("c", "f"), PHONE_SDP, PHONE)
        self.assertIn(b"c=IN IP4 203.0.113.9\r\n", sdp)

    async def endpoint(self, daemon: Daemon, call_id: str) -> bytes:
        """Where the daemon would send the offerer's media to."""
        reply = await self.ask(daemon, ng.query(call_id))
        return reply[b"tags"][b"f"][b"medias"][0][b"streams"][0][b"endpoint"][b"address"]

    async def test_private_sdp_of_a_natted_phone(self) -> None:
        """The daemon sends to the address that the SIP message came from where the SDP can't be trusted, also over IPv6 signalling."""
        daemon = await self.daemon()
        service = self.service(daemon.line)
        private = PHONE_SDP.replace(b"127.0.0.1", b"10.9.8.7")
        await service.relay.offer(MediaKey("nat", "f"), private, MediaProfile(MediaForm.PLAIN, protocol="RTP/AVP", nat_source="127.0.0.1"))
        self.assertEqual(await self.endpoint(daemon, "nat"), b"127.0.0.1")
        await service.relay.offer(MediaKey("nat6", "f"), private, MediaProfile(MediaForm.PLAIN, protocol="RTP/AVP", nat_source="::1"))
        self.assertEqual(await self.endpoint(daemon, "nat6"), b"::1")

    async def test_public_sdp_is_trusted(self) -> None:
        """Without nat_source the SDP's own address counts, even at a daemon that is told to prefer the source."""
        daemon = await self.daemon(100, "--sip-source")
        service = self.service(daemon.line)
        await service.relay.offer(MediaKey("c", "f"), PHONE_SDP.replace(b"127.0.0.1", b"127.0.0.9"), PHONE)
        self.assertEqual(await self.endpoint(daemon, "c"), b"127.0.0.9")

    async def test_record_call_without_a_folder_goes_on(self) -> None:
        """A daemon asked to record without a spool folder says so in its log, and relays the call."""
        daemon = await self.daemon()
        service = self.service(daemon.line, record_call=True)
        await service.relay.offer(MediaKey("c", "f"), PHONE_SDP, PHONE)
        while b"no spool directory" not in daemon.log:
            await deferLater(reactor, 0.01)
        self.assertEqual(await self.calls(daemon), [b"c"])

    async def test_branches_have_ports_of_their_own(self) -> None:
        """Two branches of a fork get different ports, each can be answered, and ending one leaves the other."""
        daemon = await self.daemon()
        relay = self.service(daemon.line).relay
        one, two = MediaKey("c", "f", via_branch="z.0"), MediaKey("c", "f", via_branch="z.1")
        ports = {audio_port(await relay.offer(key, BROWSER_SDP, profile)) for key, profile in ((one, PHONE), (two, BROWSER))}
        self.assertEqual(len(ports), 2)
        await relay.delete(one)
        self.assertEqual(await self.calls(daemon), [b"c"])
        two.to_tag = "t2"
        self.assertIn(b"m=audio", await relay.answer(two, BROWSER_ANSWER, BROWSER))
        await relay.delete(two)
        self.assertEqual(await self.calls(daemon), [])

    async def test_repeated_answer_keeps_its_ports(self) -> None:
        """183 and 200 with SDP of the same answerer get the same ports."""
        relay = self.service((await self.daemon()).line).relay
        key = MediaKey("c", "f", via_branch="z.0")
        await relay.offer(key, PHONE_SDP, PHONE)
        key.to_tag = "t"
        self.assertEqual(await relay.answer(key, PHONE_SDP, PHONE), await relay.answer(key, PHONE_SDP, PHONE))

    async def test_late_offer(self) -> None:
        """An offer in a 200 and its answer in the ACK, which has no via-branch, make one call that a BYE ends."""
        daemon = await self.daemon()
        relay = self.service(daemon.line).relay
        await relay.offer(MediaKey("c", "callee", "caller", via_branch="z.0"), PHONE_SDP, BROWSER)
        sdp = await relay.answer(MediaKey("c", "callee", "caller"), BROWSER_ANSWER, PHONE)
        self.assertRegex(sdp, rb"m=audio \d+ RTP/AVP ")
        await relay.delete(MediaKey("c", "caller", "callee"))
        self.assertEqual(await self.calls(daemon), [])

    async def test_reoffer_from_the_other_side(self) -> None:
        """A re-INVITE by the callee, with its tags the other way about, keeps the ports of both sides."""
        relay = self.service((await self.daemon()).line).relay
        key = MediaKey("c", "f", via_branch="z.0")
        to_callee = await relay.offer(key, PHONE_SDP, PHONE)
        key.to_tag = "t"
        to_caller = await relay.answer(key, PHONE_SDP.replace(b"4000", b"4002"), PHONE)
        again = MediaKey("c", "t", "f")
        self.assertEqual(audio_port(await relay.offer(again, PHONE_SDP.replace(b"4000", b"4002"), PHONE)), audio_port(to_caller))
        self.assertEqual(audio_port(await relay.answer(again, PHONE_SDP, PHONE)), audio_port(to_callee))

    async def test_bye_frees_whichever_side_sends_it(self) -> None:
        """After a delete of the call the daemon holds none, and a second delete hurts nobody."""
        daemon = await self.daemon()
        relay = self.service(daemon.line).relay
        key = MediaKey("c", "f", via_branch="z.0")
        await relay.offer(key, PHONE_SDP, PHONE)
        await relay.delete(MediaKey("c", "t", "f", node=key.node))
        self.assertEqual(await self.calls(daemon), [])
        await relay.delete(MediaKey("c", "t", "f", node=key.node))

    async def test_delete_delay_of_the_daemon(self) -> None:
        """With -1 the daemon's own delay holds, and 0 overrides it."""
        daemon = await self.daemon(100, "--delete-delay=50")
        for call_id, delay, left in (("now", 0, []), ("later", -1, [b"later"])):
            relay = self.service(daemon.line, delete_delay=delay).relay
            await relay.offer(MediaKey(call_id, "f"), PHONE_SDP, PHONE)
            await relay.delete(MediaKey(call_id, "f"))
            self.assertEqual(await self.calls(daemon), left)


class WordTests(LiveCase):
    """The vocabulary of sipnode.media.flags against the daemon's own."""

    VALUES = {
        "media-address": "127.0.0.1", "xmlrpc-callback": "127.0.0.1", "ICE": "force", "ICE-lite": "both", "DTLS": "passive",
        "DTLS-reverse": "active", "DTLS-fingerprint": "sha-256", "passthrough": "off", "transport-protocol": "RTP/AVP",
        "address-family": "IP4", "record-call": "off", "generate-RTCP": "on", "media-echo": "both", "drop-traffic": "stop",
        "DTMF-security": "off", "DTMF-security-trigger": "off", "DTMF-security-trigger-end": "off", "audio-player": "off", "bundle": "off",
        "codec-strip": "PCMA", "codec-offer": "PCMU", "codec-mask": "PCMA", "codec-set": "PCMA", "codec-except": "PCMU",
        "codec-accept": "PCMU", "codec-consume": "PCMU", "codec-transcode": "PCMA",
    }  # fmt: skip
    NO_OFFERS = frozenset(("call-id", "from-tag", "to-tag", "force-answer", "via-branch", "repacketize", "received-from", "direction"))
    """They have no value here, or none of their own."""

    async def test_every_word_is_known(self) -> None:
        """The daemon takes each word that isn't said to be newer, and finds none of them unknown."""
        daemon = await self.daemon(1000)
        client = NgClient(reactor, [0.3, 0.6, 1.2])
        port = reactor.listenUDP(0, client, interface="127.0.0.1", maxPacketSize=65535)
        self.addCleanup(port.stopListening)
        self.addCleanup(client.stop)
        known = 0
        for number, word in enumerate(one for one in words() if one not in self.NO_OFFERS):
            flags = parse(f"{word}{self.VALUES.get(word[:-1], '1')}" if word.endswith("=") else word)
            if newer(flags):
                continue
            known += 1
            # Without where the message came from, that word leaves no address at all.
            fields = {**flags.fields, "received-from": ("IP4", "127.0.0.1")}
            key = MediaKey(f"c{number}", "f")
            await client.command(("127.0.0.1", daemon.ng_port), ng.offer(key, PHONE_SDP, fields))
            await client.command(("127.0.0.1", daemon.ng_port), ng.delete(MediaKey(key.call_id, ""), 0))
        await daemon.end()
        self.assertEqual([line for line in daemon.log.splitlines() if b"Unknown" in line], [])
        self.assertGreater(known, 130)


class ErrorTests(LiveCase):
    """What the daemon refuses, and what its silence does."""

    async def fails(self, deferred: defer.Deferred[Any]) -> MediaError:
        try:
            result = await deferred
        except MediaError as error:
            return error
        raise self.failureException(f"no MediaError but {result!r}")

    async def test_same_cookie_is_one_call(self) -> None:
        """A command sent twice with its cookie gets the same SDP and makes one call with one set of ports."""
        daemon = await self.daemon()
        replies = []
        for _ in range(2):
            client = NgClient(reactor, [0.3, 0.6, 1.2], cookie=lambda: b"always-the-same")
            port = reactor.listenUDP(0, client, interface="127.0.0.1", maxPacketSize=65535)
            command = ng.offer(MediaKey("c", "f"), PHONE_SDP, {"ICE": "remove"})
            replies.append(await client.command(("127.0.0.1", daemon.ng_port), command))
            await port.stopListening()
        self.assertEqual(replies[0], replies[1])
        self.assertEqual(await self.calls(daemon), [b"c"])
        self.assertEqual(daemon.log.count(b"Creating new call"), 1)

    async def test_lost_request_and_lost_reply(self) -> None:
        """Behind a path that loses the first request and the first reply the offer is answered and makes one call."""
        daemon = await self.daemon()
        lossy = LossyPath(daemon.ng_port)
        port = reactor.listenUDP(0, lossy, interface="127.0.0.1", maxPacketSize=65535)
        self.addCleanup(port.stopListening)
        client = NgClient(reactor, [0.05, 0.05, 5.0])
        ours = reactor.listenUDP(0, client, interface="127.0.0.1", maxPacketSize=65535)
        self.addCleanup(ours.stopListening)
        command = ng.offer(MediaKey("c", "f"), PHONE_SDP, {"ICE": "remove"})
        reply = await client.command(("127.0.0.1", port.getHost().port), command)
        self.assertIn(b"sdp", reply)
        self.assertEqual((lossy.requests_lost, lossy.replies_lost), (1, 1))
        self.assertEqual(daemon.log.count(b"Creating new call"), 1)

    async def test_answer_to_an_unknown_call(self) -> None:
        """The error names the node and that no offer is known; after a delete it says when that was."""
        service = self.service((await self.daemon()).line)
        error = await self.fails(service.relay.answer(MediaKey("c", "f", "t"), PHONE_SDP, PHONE))
        self.assertIsInstance(error, ng.UnknownCall)
        self.assertEqual(error.status, 500)
        self.assertIn("no offer known", error.reason)
        self.assertIn(service.nodes.nodes[0].name, error.reason)
        await service.relay.offer(MediaKey("c", "f"), PHONE_SDP, PHONE)
        await service.relay.delete(MediaKey("c", "f"))
        error = await self.fails(service.relay.answer(MediaKey("c", "f", "t"), PHONE_SDP, PHONE))
        self.assertRegex(error.reason, r"offered \d+\.\d s ago, deleted \d+\.\d s ago")

    async def test_bad_sdp_is_488(self) -> None:
        """SDP that the daemon can't read, or that is empty, is the caller's fault."""
        relay = self.service((await self.daemon()).line).relay
        for sdp in (b"v=0\r\nfoo\r\n", b"hello", b""):
            error = await self.fails(relay.offer(MediaKey("c", "f"), sdp, PHONE))
            self.assertEqual(error.status, 488, sdp)

    async def test_killed_daemon(self) -> None:
        """The only node being dead, the call fails with 503 by the last wait; one that is back is used at once, without a ping."""
        daemon = await self.daemon()
        service = self.service(daemon.line, timeouts=(0.05, 0.05, 0.1))
        await daemon.end("KILL")
        error = await self.fails(service.relay.offer(MediaKey("c", "f"), PHONE_SDP, PHONE))
        self.assertIsInstance(error, ng.NoAnswer)
        self.assertEqual(error.status, 503)
        self.assertFalse(service.nodes.is_up(service.nodes.nodes[0]))
        again = Daemon(100)
        again.arguments = daemon.arguments
        again.start()
        self.addCleanup(lambda: defer.ensureDeferred(again.end("KILL")))
        offered = service.relay.offer(MediaKey("c2", "f"), PHONE_SDP, PHONE)
        while not offered.called:
            await deferLater(reactor, 0.01)
            if offered.called and isinstance(offered.result, Failure):
                # It wasn't up yet.
                await self.fails(offered)
                offered = service.relay.offer(MediaKey("c2", "f"), PHONE_SDP, PHONE)
        self.assertIn(b"m=audio", await offered)

    async def test_killed_daemon_fails_over_and_comes_back(self) -> None:
        """A call whose node died is taken by the other node, which the key names; a ping brings the dead one back."""
        first, second = await self.daemon(), await self.daemon()
        service = self.service(first.line, second.line, timeouts=(0.05, 0.05, 0.1), ping_seconds=0.5)
        call_id = name_taking(service, first.line)
        key = MediaKey(call_id, "f", node=service.relay.choose(call_id))
        await first.end("KILL")
        await service.relay.offer(key, PHONE_SDP, PHONE)
        self.assertEqual(service.nodes.named(key.node).port, second.ng_port)
        self.assertEqual(await self.calls(second), [call_id.encode()])
        key.to_tag = "t"
        self.assertIn(b"m=audio", await service.relay.answer(key, PHONE_SDP, PHONE))
        again = Daemon(100)
        again.arguments = first.arguments
        again.start()
        self.addCleanup(lambda: defer.ensureDeferred(again.end("KILL")))
        while service.nodes.choose(call_id).port != first.ng_port:
            await deferLater(reactor, 0.01)

    async def test_media_moves_inside_a_dialog(self) -> None:
        """A re-INVITE whose Route names a dead node is relayed by the other one, its answer and BYE too."""
        first, second = await self.daemon(), await self.daemon()
        service = self.service(first.line, second.line, timeouts=(0.05, 0.05, 0.1))
        call_id = name_taking(service, first.line)
        key = MediaKey(call_id, "f")
        await service.relay.offer(key, PHONE_SDP, PHONE)
        key.to_tag = "t"
        await service.relay.answer(key, PHONE_SDP, PHONE)
        route = key.node
        await first.end("KILL")
        again = MediaKey(call_id, "f", "t", node=route)
        await service.relay.offer(again, PHONE_SDP, PHONE)
        self.assertNotEqual(again.node, route)
        await service.relay.answer(MediaKey(call_id, "f", "t", node=route), PHONE_SDP, PHONE)
        self.assertEqual(await self.calls(second), [call_id.encode()])
        await service.relay.delete(MediaKey(call_id, "t", "f", node=route))
        self.assertEqual(await self.calls(second), [])

    async def test_out_of_ports(self) -> None:
        """A node without ports passes new calls to the next one; when that is full too, the caller gets 503 with the cause."""
        small, large = await self.daemon(4), await self.daemon(8)
        service = self.service(small.line, large.line)
        calls = [f"call-{i}" for i in range(400)]
        mine = [c for c in calls if service.nodes.choose(c).port == small.ng_port][:4]
        keys = [MediaKey(call_id, "f", node=service.relay.choose(call_id)) for call_id in mine]
        for key in keys[:3]:
            await service.relay.offer(key, PHONE_SDP, PHONE)
        taken = [service.nodes.named(key.node).port for key in keys[:3]]
        self.assertEqual(taken, [small.ng_port, large.ng_port, large.ng_port])
        error = await self.fails(service.relay.offer(keys[3], PHONE_SDP, PHONE))
        self.assertIsInstance(error, ng.NodeFull)
        self.assertEqual(error.status, 503)
        self.assertIn("Ran out of ports", error.reason)
        await service.relay.delete(keys[1])
        await service.relay.offer(keys[3], PHONE_SDP, PHONE)

    async def test_fork_on_a_full_node(self) -> None:
        """A branch that runs its node out of ports moves on; the daemon has then dropped the other branch too, and its answer says so."""
        small, large = await self.daemon(4), await self.daemon()
        service = self.service(small.line, large.line)
        call_id = name_taking(service, small.line)
        one, two = (MediaKey(call_id, "f", via_branch=f"z.{i}", node=service.relay.choose(call_id)) for i in range(2))
        await service.relay.offer(one, PHONE_SDP, PHONE)
        await service.relay.offer(two, PHONE_SDP, PHONE)
        self.assertEqual([service.nodes.named(key.node).port for key in (one, two)], [small.ng_port, large.ng_port])
        two.to_tag = one.to_tag = "t"
        self.assertIn(b"m=audio", await service.relay.answer(two, PHONE_SDP, PHONE))
        self.assertIsInstance(await self.fails(service.relay.answer(one, PHONE_SDP, PHONE)), ng.UnknownCall)
        await service.relay.delete(MediaKey(call_id, "f", "t", node=two.node))
        self.assertEqual([await self.calls(small), await self.calls(large)], [[], []])

    async def test_reinvite_on_a_full_node_moves(self) -> None:
        """A re-INVITE that adds a stream which its node has no ports for goes on at another node with all its streams."""
        small, large = await self.daemon(4), await self.daemon()
        service = self.service(small.line, large.line)
        call_id = name_taking(service, small.line)
        key = MediaKey(call_id, "f")
        await service.relay.offer(key, PHONE_SDP, PHONE)
        key.to_tag = "t"
        await service.relay.answer(key, PHONE_SDP, PHONE)
        again = MediaKey(call_id, "f", "t", node=key.node)
        sdp = await service.relay.offer(again, PHONE_SDP + b"m=video 4010 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n", PHONE)
        self.assertEqual(service.nodes.named(again.node).port, large.ng_port)
        self.assertEqual(sdp.count(b"\r\nm="), 2)
        self.assertEqual([await self.calls(small), await self.calls(large)], [[], [call_id.encode()]])

    async def test_load_limit(self) -> None:
        """A node over its own limit of sessions passes new calls to the next one, else 503."""
        service = self.service((await self.daemon(100, "--max-sessions=1")).line)
        await service.relay.offer(MediaKey("c1", "f"), PHONE_SDP, PHONE)
        error = await self.fails(service.relay.offer(MediaKey("c2", "f"), PHONE_SDP, PHONE))
        self.assertIsInstance(error, ng.NodeFull)
        self.assertEqual(error.status, 503)


class LossyPath(protocol.DatagramProtocol):
    """Passes datagrams between one client and the daemon, losing the first one each way."""

    def __init__(self, daemon_port: int) -> None:
        self.daemon = ("127.0.0.1", daemon_port)
        self.client: tuple[str, int] | None = None
        self.requests_lost = self.replies_lost = 0

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if addr == self.daemon:
            if not self.replies_lost:
                self.replies_lost += 1
            else:
                self.transport.write(datagram, self.client)
        elif not self.requests_lost:
            self.requests_lost += 1
        else:
            self.client = addr
            self.transport.write(datagram, self.daemon)
