"""``python docs/rpc_reference.py`` writes ``docs/reference/rpc_reference.rst``: every method of the RPC with what it really answers.

A server in memory plays a small scene, each method is called in it, and the page shows call and answer. ``--check`` only says whether
the page is up to date. Chance, time and the machine are taken out before anything of the server is imported.
"""

from __future__ import annotations

import difflib
import itertools
import os
import random
import time

_CHANCE = random.Random(5060)
os.urandom = _CHANCE.randbytes  # type: ignore[assignment]  # the same names in each run
os.environ["TZ"] = "UTC"
time.tzset()

import json  # noqa: E402  # after chance is taken out
import platform  # noqa: E402
import re  # noqa: E402
import ssl  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from dataclasses import replace  # noqa: E402
from importlib import metadata  # noqa: E402
from pathlib import Path  # noqa: E402
from types import SimpleNamespace  # noqa: E402
from typing import Any  # noqa: E402

from twisted.internet.defer import Deferred, succeed  # noqa: E402

from sipnode import config  # noqa: E402
from sipnode.fakes import FakeFlow  # noqa: E402
from sipnode.lifecycle.reload import Reloader  # noqa: E402
from sipnode.log import LogControl  # noqa: E402
from sipnode.media.bridge import RtpengineRelay  # noqa: E402
from sipnode.media.nodes import NodeSet  # noqa: E402
from sipnode.media.ongoing import OngoingMedia  # noqa: E402
from sipnode.media.service import MediaService  # noqa: E402
from sipnode.nodes.address import NodeAddress  # noqa: E402
from sipnode.nodes.sisters import Sister  # noqa: E402
from sipnode.records import LocationChange  # noqa: E402
from sipnode.rpc import schema  # noqa: E402
from sipnode.rpc.endpoint import Endpoint  # noqa: E402
from sipnode.rpc.registry import Method, Param, Registry  # noqa: E402
from sipnode.settings import LocationSettings, MediaSettings, RecorderSettings, Settings, TrunkSettings  # noqa: E402
from sipnode.storage.memory import MemoryStorage  # noqa: E402
from sipnode.testing import World, listener_of  # noqa: E402
from sipnode.transport.tls.config import TLSProfile  # noqa: E402
from sipnode.wiring.presence import named_packages  # noqa: E402
from sipnode.wiring.rpc import parts_of, registry_of  # noqa: E402

DOCS = Path(__file__).parent
PAGE = DOCS / "reference" / "rpc_reference.rst"
MOST_LINES = 44
NODE = "udp:192.0.2.50:2223"
STRANGER = "198.51.100.7"
PUBLISHED = (
    b'<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:alice@example.test">'
    b'<tuple id="page"><status><basic>open</basic></status></tuple></presence>'
)
LOCATION = ("location", "carol@example.test")
HEAD = """RPC reference
=============

.. This page is made by docs/rpc_reference.py from the methods themselves. Change those.

Every method with its parameters and what it answers, called on a server in memory. :doc:`rpc` says how to call them. Those marked
*Kamailio* are there under the same name in Kamailio 5.6, with the same fields; a test asks both.

"""
KAMAILIO = frozenset((
    "cfg.commit", "cfg.diff", "cfg.get", "cfg.help", "cfg.list", "cfg.reset", "cfg.rollback", "cfg.set", "cfg.set_delayed",
    "cfg.set_delayed_int", "cfg.set_delayed_string", "cfg.set_now_int", "cfg.set_now_string", "cfg.seti", "cfg.sets",
    "core.aliases_list", "core.arg", "core.echo", "core.flags", "core.info", "core.ps", "core.psa", "core.psx", "core.pwd",
    "core.runinfo", "core.sockets_list", "core.tcp_info", "core.tcp_list", "core.tcp_options", "core.uptime", "core.version",
    "corex.debug", "corex.list_sockets", "dlg.briefing", "dlg.dlg_list", "dlg.end_dlg", "dlg.is_alive", "dlg.list",
    "dlg.list_ctx", "dlg.list_match", "dlg.stats_active", "dlg.terminate_dlg", "htable.delete", "htable.dump", "htable.flush",
    "htable.get", "htable.listTables", "htable.setex", "htable.seti", "htable.sets", "htable.setxi", "htable.setxs",
    "htable.stats", "rtpengine.enable", "rtpengine.get_hash_total", "rtpengine.ping", "rtpengine.reload", "rtpengine.show",
    "stats.fetch", "stats.fetchn", "stats.get_statistics", "system.listMethods", "system.methodHelp", "system.methodSignature",
    "tls.info", "tls.list", "tls.options", "tls.reload", "tm.cancel", "tm.clean", "tm.list", "tm.stats", "ul.add",
    "ul.db_contacts", "ul.db_expired_contacts", "ul.db_users", "ul.dump", "ul.flush", "ul.lookup", "ul.rm", "ul.rm_contact",
    "ws.close", "ws.dump",
))  # fmt: skip
"""Names that Kamailio 5.6 has too; ``tests/live/test_rpc_kamailio.py`` compares the list with the real one."""

CALLS: tuple[tuple[Any, ...], ...] = (
    ("cfg.list", "defence"), ("cfg.get", "defence", "rate"), ("cfg.help", "defence", "rate"), ("cfg.set", "defence", "rate", 60),
    ("cfg.seti", "defence", "rate", 70), ("cfg.sets", "log", "level", "warn"), ("cfg.set_now_int", "defence", "rate", 75),
    ("cfg.set_now_string", "log", "level", "info"), ("cfg.set_delayed", "defence", "rate", 60),
    ("cfg.set_delayed_int", "defence", "rate", 80), ("cfg.set_delayed_string", "log", "level", "warn"), ("cfg.diff",), ("cfg.commit",),
    ("cfg.rollback",), ("cfg.reset", "defence"),
    ("core.version",), ("core.info",), ("core.flags",), ("core.runinfo",), ("core.uptime",), ("core.ps",), ("core.psx",), ("core.psa",),
    ("core.echo", "hello", 5), ("core.pwd",), ("core.arg",), ("core.sockets_list",), ("core.aliases_list",), ("core.tcp_info",),
    ("core.tcp_list",), ("core.tcp_options",), ("corex.list_sockets",), ("corex.debug",),
    ("ul.dump",), ("ul.lookup", "location", "alice@example.test"), ("ul.db_users", "location"), ("ul.db_contacts", "location"),
    ("ul.db_expired_contacts", "location"), ("ul.flush",),
    ("ul.add", *LOCATION, "sip:carol@192.0.2.77:5060", 3600, 0.5), ("ul.rm_contact", *LOCATION, "sip:carol@192.0.2.77:5060"),
    ("ul.rm", *LOCATION),
    ("tm.stats",), ("tm.list",), ("tm.clean",),
    ("dlg.list",), ("dlg.list_ctx",), ("dlg.dlg_list", "call-1"), ("dlg.list_match", "ruri", "sw", "sip:bob@"), ("dlg.briefing",),
    ("dlg.is_alive", "call-1", "from-alice", "bobtag2"), ("dlg.stats_active",),
    ("stats.get_statistics", "usrloc:"), ("stats.fetch", "dialog:"), ("stats.fetchn", "registered_users"),
    ("tls.list",), ("tls.info",), ("tls.options",), ("tls.reload",), ("ws.dump",),
    ("rtpengine.show", "all"), ("rtpengine.ping", NODE), ("rtpengine.enable", NODE, 0), ("rtpengine.reload",),
    ("rtpengine.get_hash_total",),
    ("htable.listTables",), ("htable.sets", "ipban", STRANGER, "scanner"), ("htable.setex", "ipban", STRANGER, 900),
    ("htable.get", "ipban", STRANGER), ("htable.dump", "ipban"), ("htable.stats",), ("htable.delete", "ipban", STRANGER),
    ("htable.seti", "ipban", STRANGER, 1), ("htable.setxi", "ipban", STRANGER, 1, 60), ("htable.setxs", "ipban", STRANGER, "test", 60),
    ("htable.flush", "ipban"),
    ("defence.ban", "198.51.100.0/24", 600, "abuse"), ("defence.list",), ("defence.unban", "198.51.100.0/24"), ("defence.limits",),
    ("defence.set_limit", "rate", 80), ("defence.trust", "203.0.113.0/24"), ("defence.trusted",), ("defence.distrust", "203.0.113.0/24"),
    ("defence.counts",),
    ("presence.counts",), ("presence.limits",), ("presence.publications",), ("presence.presentity_list", "full"),
    ("presence.subscriptions",), ("presence.watchers", "alice@example.test"),
    ("presence.refreshWatchers", "alice@example.test", "presence"), ("presence.updateWatchers", "alice@example.test", "presence"),
    ("presence.cleanup",), ("presence.allow", "alice@example.test", "bob@example.test"),
    ("presence.deny", "alice@example.test", "dave@example.test"), ("presence.decisions",),
    ("presence.forget", "alice@example.test", "dave@example.test"),
    ("presence.mwi_set", "alice@example.test", 2, 8), ("presence.mwi_list",), ("presence.mwi_remove", "alice@example.test"),
    ("presence.end", "TAG"),
    ("recorder.state",), ("recorder.list", 2), ("recorder.get", "call-1", 8),
    ("recorder.export", "call-1"), ("sipnode.explain", "call-2"),
    ("routing.script",), ("routing.stages",), ("routing.counters",), ("routing.reload",), ("routing.versions",), ("routing.rollback",),
    ("sipnode.status",), ("sipnode.memory",), ("sipnode.conf", "rpc"), ("sipnode.log_level",), ("sipnode.set_log_level", "debug"),
    ("sipnode.trace_on", "alice"), ("sipnode.trace",), ("sipnode.trace_off",), ("sipnode.reload",), ("sipnode.nodes",),
    ("system.listMethods",), ("system.methodHelp", "ul.dump"), ("system.methodSignature", "ul.add"), ("rpc.describe", "ul.rm"),
    ("rpc.discover",),
    ("trunk.list",), ("trunk.show", "provider"), ("acc.status",),
    ("rtpengine.query", "call-1"), ("rtpengine.start_recording", "call-1", "ticket:4711"), ("rtpengine.pause_recording", "call-1"),
    ("rtpengine.stop_recording", "call-1"), ("rtpengine.block_media", "call-1", "caller"),
    ("rtpengine.play_media", "call-1", "/usr/share/sounds/wait.wav", "callee"), ("rtpengine.stop_media", "call-1", "callee"),
    ("rtpengine.unblock_media", "call-1", "caller"), ("rtpengine.play_dtmf", "call-1", "42#", "callee"),
    ("rtpengine.block_dtmf", "call-1"), ("rtpengine.unblock_dtmf", "call-1"), ("rtpengine.silence_media", "call-1", "callee"),
    ("rtpengine.unsilence_media", "call-1", "callee"), ("rtpengine.subscribe_request", "call-1"),
    ("rtpengine.subscribe_answer", "call-1", "COPY", "v=0..."), ("rtpengine.unsubscribe", "call-1", "COPY"),
    ("rtpengine.add", "192.0.2.9:2223 set 1"), ("rtpengine.remove", "udp:192.0.2.9:2223"),
    ("tm.cancel", "call-2", 2), ("ws.close", "WEBSOCKET"), ("dlg.end_dlg", "ENTRY", "NUMBER"), ("dlg.terminate_dlg", "call-3", "from-dave"),
)  # fmt: skip
"""What is called, in this order; words in capitals are filled in from what is there."""


class _TlsFlow(FakeFlow):
    cipher = "TLS_AES_256_GCM_SHA384 TLSv1.3"


def scene() -> tuple[World, Registry]:
    """A server with two calls, a ringing one, and everything that a family needs."""
    trunk = TrunkSettings(domain="provider.example", address="203.0.113.9", user="us")
    packages = named_packages(("presence", "message-summary"))
    settings = Settings(recorder=RecorderSettings(enabled=True), trunk={"provider": trunk})
    world = World(settings, presence=packages, defence=True)
    alice, bob, dave = world.phone("alice", "WS"), world.phone("bob"), world.phone("dave")
    for phone in (alice, bob):
        phone.register(3600, (("user-agent", f"{phone.user.capitalize()}'s phone 1.0"),))
    world.flows.flows.append(_TlsFlow("TLS", ("192.0.2.99", 40123), token="0123456789-3"))
    for caller, call_id in ((alice, "call-1"), (dave, "call-3")):
        invite = caller.send("INVITE", bob.aor, call_id=call_id, from_tag=f"from-{caller.user}")
        bob.reply(bob.got("INVITE"), 200)
        caller.ack(invite, caller.response("INVITE"))
    dave.send("INVITE", bob.aor, call_id="call-2", from_tag="from-dave", cseq=2)
    bob.reply(bob.got("INVITE"), 180)
    world.advance(40)
    alice.send("PUBLISH", alice.aor, (("event", "presence"), ("expires", "3600")), PUBLISHED, content_type="application/pidf+xml")
    bob.send("SUBSCRIBE", alice.aor, (("event", "presence"), ("expires", "600")), call_id="watch-1", from_tag="from-bob")
    world.advance(1)
    return world, _registry(world)


def _registry(world: World) -> Registry:
    core, clock = world.core, world.clock
    listeners = [listener_of(kind) for kind in ("UDP", "TCP", "TLS", "WS")]
    transports = SimpleNamespace(listeners=listeners, admission=SimpleNamespace(refused=0))
    storage = MemoryStorage(clock)
    storage.location.write([LocationChange(binding) for binding in core.registrar.table])
    media = MediaService(MediaSettings(nodes=(NODE.removeprefix("udp:"),)), clock)
    media.nodes = NodeSet(media.nodes.nodes, _pong, clock, 60.0, 5.0)
    for call in core.dialogs.find("call-1"):
        call.bridged, call.node = True, media.nodes.nodes[0].name
    relay = RtpengineRelay(NodeSet(media.nodes.nodes, _node, clock, 60.0, 5.0), MediaSettings(), clock)
    settings = replace(world.settings, location=replace(LocationSettings(), db_mode=1))
    folder = Path(tempfile.mkdtemp())
    (folder / config.FILE_NAME).write_text(config.render(settings))
    reloader = Reloader(settings, str(folder))
    logs = LogControl(world.settings.log, core.tap)
    reloader.add("log", ("log.level",), lambda new, old: logs.apply(new.log))
    reloader.add("defence", ("defence.rate",), lambda new, old: core.defence.guard.apply(new.defence))
    lifecycle = SimpleNamespace(ready=True, reload=reloader.reload, reloader=reloader)
    parts = parts_of(core, settings, transports, media, storage, logs, lifecycle, world.insight)
    parts.ongoing_media = lambda call: OngoingMedia(relay, "", call.call_id, call.node, (call.from_tag, call.to_tag))
    parts.scripts = world.scripts
    parts.pid, parts.arguments, parts.started = 4711, ["twistd", "-n", "sipnode", "-c", "conf"], clock.seconds() - 93784
    parts.sisters = lambda: [Sister(NodeAddress("192.0.2.2", 5060, "UDP"), clock.seconds() + 3600)]
    profile = TLSProfile("server", "default", 0, "tls.cfg", 1, private_key="/etc/sipnode/key.pem", certificate="/etc/sipnode/cert.pem")
    parts.tls_profiles = lambda: [profile]
    return registry_of(parts)


def _pong(*_: Any) -> Deferred[Any]:
    return succeed({b"result": b"pong"})


def _node(node: Any, command: dict[str, Any], waits: Any) -> Deferred[Any]:
    """A node that has the first call."""
    ends = {"from-alice": ("192.0.2.10", 3), "bobtag2": ("192.0.2.11", 4)}
    tags, reports = {}, {}
    for ssrc, (tag, (host, lost)) in enumerate(ends.items(), 1):
        stats, endpoint = {b"packets": 1503 + ssrc, b"bytes": 258_516}, {b"address": host.encode(), b"port": 40_000}
        stream = {b"flags": [b"RTP"], b"SSRC": ssrc, b"stats": stats, b"endpoint": endpoint}
        tags[tag.encode()] = {b"medias": [{b"streams": [stream]}]}
        reports[str(ssrc).encode()] = {b"average MOS": {b"MOS": 44 - lost, b"packet loss": lost, b"jitter": 2}}
    copied = {b"sdp": b"v=0...", b"from-tags": [tag.encode() for tag in ends]}
    return succeed({b"result": b"ok", b"tags": tags, b"SSRC": reports, b"duration": 4200, **copied})


def answers() -> dict[str, tuple[list[Any], Any]]:
    """Parameters and answer of each method.

    Raises:
        AssertionError: an answer that isn't of the promised shape, or an error.
    """
    world, registry = scene()
    endpoint = Endpoint(registry)

    def ask(method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).encode()
        got: list[Any] = []
        endpoint.handle(body, "reference").addCallback(got.append)
        answer = json.loads(b"".join(got[0]))
        assert "error" not in answer, (method, params, answer)
        wrong = schema.fault(registry.get(method).result, answer["result"], method)
        assert not wrong, wrong
        return answer["result"]

    found: dict[str, tuple[list[Any], Any]] = {}
    for method, *params in CALLS:
        if "ENTRY" in params:
            call = next(call for call in ask("dlg.list") if call["call-id"] == "call-1")
            params = [call["h_entry"], call["h_id"]]
        elif "TAG" in params:
            params = [ask("presence.subscriptions")[0]["to_tag"]]
        elif "COPY" in params:
            params = [found["rtpengine.subscribe_request"][1]["to_tag"] if param == "COPY" else param for param in params]
        elif "WEBSOCKET" in params:
            params = [int(ask("ws.dump")["connections"][0].partition(":")[0])]
        found[method] = (params, ask(method, *params))
        world.clock.advance(0)
    missing = set(registry.names()) - set(found)
    assert not missing, f"docs/rpc_reference.py calls none of {sorted(missing)}"
    return found


_MACHINE = (
    (f"{platform.python_implementation()} {platform.python_version()}", "CPython 3.11.7"),
    (f"Twisted {metadata.version('twisted')}", "Twisted 26.10.0"),
    (ssl.OPENSSL_VERSION, "OpenSSL 3.0.17"),
    (f"({platform.machine()}/{platform.system().lower()})", "(x86_64/linux)"),
    (json.dumps(os.getcwd()), '"/"'),
)


def shown(method: str, result: Any) -> str:
    """An answer as JSON, without what differs from machine to machine."""
    if method == "sipnode.memory":
        result = {"resident_bytes": 61440000, "highest_bytes": 63488000, "collections": [12, 1, 0], "frozen_objects": 171000}
    text = json.dumps(result, indent=2)
    for here, everywhere in _MACHINE:
        text = text.replace(here, everywhere)
    text = re.sub(r'"octets": [0-9]+', '"octets": 17560', text)
    text = re.sub(r'"cell": "0x[0-9a-f]+"', '"cell": "0x7f29ee7fdc78"', text)
    # Lists and objects that fit in a line stand in one.
    text = re.sub(r"[\[{]\n[^\[\]{}]{1,120}[\]}]", lambda match: re.sub(r"\s+", " ", match[0]) if len(match[0]) < 120 else match[0], text)
    lines = text.splitlines()
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"... {len(lines) - MOST_LINES} lines more"]
    return "\n".join(lines)


def page() -> str:
    """The text of the page."""
    found = answers()
    _, registry = scene()
    lines = [HEAD.rstrip("\n"), ""]
    for family, methods in itertools.groupby(registry, key=lambda method: method.name.partition(".")[0]):
        lines += ["", f"{family}.*", "-" * (len(family) + 2), ""]
        for method in methods:
            lines += _method(method, *found[method.name])
    return "\n".join(lines).rstrip("\n") + "\n"


def _method(method: Method, params: list[Any], result: Any) -> list[str]:
    usage = method.usage()
    lines = ["", f".. _rpc-{method.name}:", "", method.name, "~" * len(method.name), "", f"``{usage}``"]
    marks = [*(["Kamailio"] if method.name in KAMAILIO else []), *(["changes something, so it is logged"] if method.changes else [])]
    if marks:
        lines += ["", f"*{'; '.join(marks)}*"]
    lines += ["", method.doc, ""]
    if method.params:
        lines += [f"Parameters: {'; '.join(map(_parameter, method.params))}.", ""]
    typed = " ".join([method.name, *(_word(value) for value in params)])
    text = shown(method.name, result)
    block = ["   " + line if line else "" for line in text.splitlines()]
    return [*lines, ".. code-block:: text", "", f"   $ sipnode rpc --json {typed}", *block, ""]


def _parameter(param: Param) -> str:
    how = ", any number" if param.rest else "" if param.required else ", may be left out"
    return f"``{param.name}`` {schema.name_of(param.kind)}{how}"


def _word(value: Any) -> str:
    text = str(value)
    return text if text.isascii() and not set(text) & set(" ;*?'\"") else f"'{text}'"


def main() -> int:
    """Write the page, or check it."""
    text = page()
    if "--check" in sys.argv[1:]:
        same = PAGE.is_file() and PAGE.read_text("utf-8") == text
        print("up to date" if same else "out of date: run python docs/rpc_reference.py")
        if not same:
            written = PAGE.read_text("utf-8").splitlines(True)
            sys.stderr.writelines(difflib.unified_diff(written, text.splitlines(True), "written", "now", n=1))
        return 0 if same else 1
    PAGE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
