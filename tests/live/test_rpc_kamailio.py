"""The RPC beside that of a real Kamailio 5.6: the same scene at both, the same questions, answers of the same names and shapes."""

from __future__ import annotations

import json
import re
import shutil
import socket
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode import config
from sipnode.demo import certificate, ports
from sipnode.demo.parts import Part, rtpengine_command, server_command
from sipnode.demo.probes import media_relay, sip_server
from sipnode.rpc.client import Caller, Refused
from sipnode.rpc.elsewhere import REASONS, reason
from sipnode.settings import AuthSettings, CoreSettings, LocationSettings, MediaSettings, Settings, TLSSettings
from tests.live.support.rpc_scene import HOST, Scene
from tests.live.support.site import free_port, missing

SCRIPT = Path(__file__).parent / "support" / "kamailio_rpc.cfg"
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "rpc_reference.rst"
AOR = f"alice@{HOST}"
CAROL = ("location", f"carol@{HOST}", f"sip:carol@{HOST}:5099")

STRANGER = ("ipban", "198.51.100.7")

QUESTIONS: tuple[tuple[Any, ...], ...] = (
    ("core.version",), ("core.info",), ("core.flags",), ("core.runinfo",), ("core.uptime",), ("core.ps",), ("core.psx",), ("core.psa",),
    ("core.echo", "a", "b"), ("core.pwd",), ("core.arg",), ("core.sockets_list",), ("core.aliases_list",), ("core.tcp_info",),
    ("core.tcp_list",), ("corex.list_sockets",),
    ("ul.dump",), ("ul.dump", "brief"), ("ul.lookup", "location", AOR), ("ul.add", *CAROL, 120, 0.5, ".", 0, 0, 255),
    ("ul.lookup", *CAROL[:2]), ("ul.rm_contact", *CAROL), ("ul.rm", *CAROL[:2]), ("ul.flush",),
    ("tm.stats",), ("tm.list",), ("tm.clean",),
    ("dlg.list",), ("dlg.list_ctx",), ("dlg.dlg_list", "call-1", "falice"), ("dlg.dlg_list", "nosuch"),
    ("dlg.list_match", "ruri", "sw", "sip:bob"),
    ("dlg.briefing",), ("dlg.stats_active",), ("dlg.is_alive", "call-1", "falice", "tbob"),
    ("stats.get_statistics", "usrloc:"), ("stats.get_statistics", "nosuch"), ("stats.fetch", "usrloc:"), ("stats.fetchn", "usrloc:"),
    ("tls.list",), ("tls.info",), ("tls.options",), ("tls.reload",), ("ws.dump",), ("ws.dump", "used_desc"),
    ("rtpengine.show", "all"), ("rtpengine.ping", "all"), ("rtpengine.enable", "all", 0), ("rtpengine.enable", "all", 1),
    ("rtpengine.get_hash_total",),
    ("htable.listTables",), ("htable.sets", *STRANGER, "scanner"), ("htable.setex", *STRANGER, 600), ("htable.get", *STRANGER),
    ("htable.dump", "ipban"), ("htable.stats",), ("htable.delete", *STRANGER), ("htable.setxs", *STRANGER, "x", 60),
    ("htable.setxi", *STRANGER, 1, 60), ("htable.seti", *STRANGER, 1), ("htable.flush", "ipban"), ("htable.dump", "ipban"),
    ("corex.debug",), ("corex.debug", 2), ("system.listMethods",), ("system.methodHelp", "ul.dump"),
)  # fmt: skip
"""Asked at both; the shapes of the answers have to be the same."""

REFUSED: tuple[tuple[Any, ...], ...] = (
    ("ul.lookup", "location", f"nobody@{HOST}"), ("ul.lookup", "nosuch", AOR), ("ul.rm_contact", *CAROL), ("ul.db_users", "location"),
    ("dlg.is_alive", "call-2", "a", "b"), ("dlg.end_dlg", 1, 1), ("dlg.terminate_dlg", "nosuch", "a", "b"),
    ("dlg.list_match", "callid", "eq", "zz"),
    ("ws.close", 99999), ("ws.dump", "nosuch"), ("tm.cancel", "nosuch", 1), ("rtpengine.ping", "udp:192.0.2.1:1"),
    ("htable.get", *STRANGER), ("htable.get", "nosuch", "x"), ("htable.delete", *STRANGER), ("system.methodHelp", "nosuch"),
)  # fmt: skip
"""Refused by both, with the same code and the same words."""

OTHER_WORDS = {"tm.cancel": "Kamailio takes the CSeq as text and finds nothing either way"}
"""Refused by both, in other words."""

FAMILIES = ("cfg", "core", "corex", "dlg", "htable", "rtpengine", "stats", "system", "tls", "tm", "ul", "ws")
"""Families of which every method of Kamailio's is here, or has a reason of its own for which it isn't."""


def shape(value: Any) -> Any:
    """A value without its content: names of fields and types; of a list the shapes of its items."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [json.loads(text) for text in sorted({json.dumps(shape(item), sort_keys=True) for item in value})]
    if isinstance(value, bool) or value is None:
        return str(value)
    return "number" if isinstance(value, (int, float)) else "text"


class RpcBesideKamailioTests(SynchronousTestCase):
    """Two servers, one scene."""

    skip = missing("kamailio", "rtpengine")

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sipnode-rpc-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        certificate.ensure(self.folder / "cert.pem", self.folder / "key.pem", "live.test", HOST)
        pair = f"private_key = {self.folder}/key.pem\ncertificate = {self.folder}/cert.pem\n"
        (self.folder / "tls.cfg").write_text(f"[server:default]\nmethod = TLSv1.2+\n{pair}[client:default]\nmethod = TLSv1.2+\n")
        self.relay = f"{HOST}:{_port()}"
        self._start_all()

    def _start_all(self) -> None:
        command = rtpengine_command(HOST, self.relay, ports.free_range(30000, 100))
        self._launch(command, lambda: media_relay(HOST, int(self.relay.rpartition(":")[2])))
        self.kamailio_ports = _port(), _port()
        self._start_kamailio(*self.kamailio_ports)
        self.sipnode_ports = _port(), _port(), _port()
        self._start_sipnode(*self.sipnode_ports)

    def _launch(self, command: list[str], answers: Any) -> None:
        part = Part(command[0], command, self.folder / f"{Path(command[0]).name}.log")
        part.start()
        self.addCleanup(part.stop)
        if not part.wait_ready(answers, 30):
            raise AssertionError(f"{part.name} didn't start:\n{part.last_words(30)}")

    def _start_kamailio(self, sip: int, tls: int) -> None:
        text = SCRIPT.read_text().replace("RTPENGINE", self.relay).replace("TLSCFG", f"{self.folder}/tls.cfg")
        script = self.folder / "kamailio.cfg"
        script.write_text(text)
        program = shutil.which("kamailio", path="/usr/sbin:/usr/local/sbin:/usr/bin") or "kamailio"
        listen = [f"-l{kind}:{HOST}:{port}" for kind, port in (("udp", sip), ("tcp", sip), ("tls", tls))]
        command = [program, "-DD", "-E", "-f", str(script), "-Y", str(self.folder), "-m", "64", "-M", "8", *listen]
        self._launch(command, self._kamailio_is_up)

    def _kamailio_is_up(self) -> bool:
        try:
            return bool(self.kamailio("core.version"))
        except OSError:
            return False

    def _start_sipnode(self, sip: int, http: int, tls: int) -> None:
        listen = (f"udp:{HOST}:{sip}", f"tcp:{HOST}:{sip}", f"ws:{HOST}:{http}", f"tls:{HOST}:{tls}")
        settings = Settings(
            core=CoreSettings(listen=listen),
            auth=AuthSettings(enabled=False),
            location=LocationSettings(db_mode=0),
            media=MediaSettings(nodes=(self.relay,)),
            tls=TLSSettings(config="tls.cfg"),
        )
        (self.folder / config.FILE_NAME).write_text(config.render(settings))
        self._launch(server_command(self.folder), lambda: sip_server(HOST, sip) and (self.folder / "rpc.sock").exists())

    # -- asking

    def kamailio(self, method: str, *params: Any) -> Any:
        """Its result, or ``(code, message)``."""
        body = json.dumps({"jsonrpc": "2.0", "method": method, "id": 1, **({"params": list(params)} if params else {})})
        request = urllib.request.Request(f"http://{HOST}:{self.kamailio_ports[0]}/RPC", body.encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)["result"]
        except urllib.error.HTTPError as error:
            said = json.load(error)["error"]
            return said["code"], said["message"]

    def sipnode(self, method: str, *params: Any) -> Any:
        """Its result, or ``(code, message)``."""
        with Caller(str(self.folder / "rpc.sock")) as caller:
            try:
                return caller.call(method, list(params))
            except Refused as error:
                message, _, code = str(error).rpartition(" (")
                return int(code.rstrip(")")), message

    def _scenes(self) -> None:
        sip, tls = self.kamailio_ports
        for scene in (Scene(sip, sip, tls), Scene(*self.sipnode_ports)):
            self.addCleanup(scene.close)

    # -- tests

    def test_same_shapes(self) -> None:
        """Each answer has Kamailio's fields, each of Kamailio's type; ``advertise`` and tm's From, which ours may lack, apart."""
        self._scenes()
        wrong = []
        for method, *params in QUESTIONS:
            theirs = self.kamailio(method, *params)
            ours = self.sipnode(method, *params)
            if method.startswith("stats."):
                theirs, ours = _common(theirs, ours)
            if shape(theirs) != shape(ours):
                wrong.append(f"{method} {params}\n  Kamailio {json.dumps(shape(theirs))}\n  sipnode  {json.dumps(shape(ours))}")
        self.assertEqual(wrong, [], "\n".join(wrong))

    def test_same_refusals(self) -> None:
        """What Kamailio refuses is refused with its code and its words."""
        self._scenes()
        wrong = []
        for method, *params in REFUSED:
            theirs = self.kamailio(method, *params)
            ours = self.sipnode(method, *params)
            if method in OTHER_WORDS:
                theirs, ours = theirs[0], ours[0]
            if theirs != ours:
                wrong.append(f"{method} {params}: Kamailio {theirs}, sipnode {ours}")
        self.assertEqual(wrong, [], "\n".join(wrong))

    def test_cfg(self) -> None:
        """A setting is listed, read, explained and changed by the same methods with the same answers, each with its own names."""
        theirs, ours = ("tm", "default_code"), ("defence", "rate")
        for method, more in (
            ("cfg.list", ()), ("cfg.get", ()), ("cfg.help", ()), ("cfg.set", (501,)), ("cfg.seti", (502,)), ("cfg.set_now_int", (503,)),
            ("cfg.set_delayed", (504,)), ("cfg.commit", ()), ("cfg.rollback", ()), ("cfg.get", ()), ("cfg.seti", ("x",)),
        ):  # fmt: skip
            named = method not in ("cfg.list", "cfg.commit", "cfg.rollback")
            one = self.kamailio(method, *(theirs if named else ()), *more)
            two = self.sipnode(method, *(ours if named else ()), *more)
            self.assertEqual(shape(one), shape(two), method)
        self.assertEqual((self.kamailio("cfg.get", *theirs), self.sipnode("cfg.get", *ours)), (504, 504))
        for method in ("cfg.get", "cfg.help"):
            code, words = self.kamailio(method, "tm", "nosuch")
            said = self.sipnode(method, "defence", "nosuch")
            self.assertEqual((said[0], said[1].partition(":")[0]), (code, words), method)

    def test_names(self) -> None:
        """Every method of Kamailio's families is here, but for those that are named with a reason."""
        theirs = self.kamailio("system.listMethods")
        ours = set(self.sipnode("system.listMethods"))
        silent = {name for name in set(theirs) - ours if name.partition(".")[0] in FAMILIES and name not in REASONS}
        self.assertEqual(silent, set())
        # Of the other families some word at least.
        self.assertEqual({name for name in set(theirs) - ours if not reason(name)}, set())
        # What the reference marks as Kamailio's is what it has.
        marked = set(re.findall(r"(?m)^~+\n\n``([\w.]+)[^`]*``\n\n\*Kamailio[*;]", REFERENCE.read_text()))
        self.assertEqual(marked, ours & set(theirs))

    def test_end_dlg(self) -> None:
        """The same two numbers of dlg.list end the call at both, with a BYE to each phone."""
        sip, tls = self.kamailio_ports
        for ask, scene in ((self.kamailio, Scene(sip, sip, tls)), (self.sipnode, Scene(*self.sipnode_ports))):
            self.addCleanup(scene.close)
            (call,) = ask("dlg.list")
            self.assertEqual(ask("dlg.end_dlg", call["h_entry"], call["h_id"]), {})
            for phone in (scene.alice, scene.bob):
                self.assertEqual(phone.recv(9000)[:4], b"BYE ")


def _common(theirs: Any, ours: Any) -> tuple[Any, Any]:
    """Only the statistics that both have."""
    if isinstance(theirs, dict):
        names = theirs.keys() & ours.keys()
        return {name: theirs[name] for name in names}, {name: ours[name] for name in names}
    names = {line.partition(" = ")[0] for line in theirs} & {line.partition(" = ")[0] for line in ours}
    return sorted(names), sorted(line.partition(" = ")[0] for line in ours if line.partition(" = ")[0] in names)


def _port() -> int:
    return free_port(socket.SOCK_STREAM, socket.SOCK_DGRAM)
