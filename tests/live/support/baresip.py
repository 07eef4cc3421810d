"""baresip, a telephone that others have written: answers by itself, sends a tone, records what it hears."""

from __future__ import annotations

import shutil
import socket
import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sipnode.demo.parts import Part

from .site import DOMAIN, Site, free_port, passwords
from .sound import SILENCE, Heard, listen
from .waiting import until

MODULES = ("/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules")
# An address and no name: "lo" is refused where nothing but loopback is up, and 127.0.0.1 counts as no address.
ADDRESS = "127.0.0.4"


class Baresip:
    """One account of a site.

    Args:
        hz: Its tone.
        modules: More of its modules, as they are called without ``.so``.
        params: More parameters of its account.
        contacts: Lines of its list of contacts.
        authority: PEM of whom it believes: it comes over TLS then, and checks who it talks to.
        address: Its own. start: What stands before its command, and starts it.
        proxies: Its outbound proxies, where that isn't the site itself.
    """

    def __init__(
        self,
        case: TestCase,
        site: Site,
        user: str,
        hz: int,
        modules: Sequence[str] = (),
        params: str = "",
        contacts: Sequence[str] = (),
        authority: Path | None = None,
        address: str = ADDRESS,
        start: Sequence[str] = (),
        proxies: Sequence[str] = (),
    ) -> None:
        self._site, self._user = site, user
        # Not below trial's folder: baresip cuts the name of its recording at 127 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="ear-"))
        case.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        place = next((folder for folder in MODULES if Path(folder).is_dir()), MODULES[0])
        (self.folder / "config").write_text(
            f"sip_listen {address}:{free_port(socket.SOCK_DGRAM, socket.SOCK_STREAM)}\nnet_interface {address}\n"
            # The sine comes in stereo at 48 kHz or not at all; a source without a device to play to needs aubridge.
            f"audio_source ausine,{hz}\naudio_player aubridge,ear\naudio_alert aubridge,bell\n"
            f"ausrc_srate 48000\nausrc_channels 2\nauplay_channels 1\nmodule_path {place}\n"
            "module g711.so\nmodule sndfile.so\nmodule ausine.so\nmodule aubridge.so\nmodule_tmp uuid.so\n"
            "module_tmp account.so\nmodule_app menu.so\n"
            + "".join(f"module_app {module}.so\n" for module in modules)
            + (f"sip_cafile {authority}\nsip_verify_server yes\n" if authority is not None else "")
            + f"snd_path {self.folder}\n"
        )
        transport, port = ("udp", site.sip) if authority is None else ("tls", site.sips)
        proxies = proxies or [f"sip:{site.host}:{port};transport={transport}"]
        outbound = ";".join(f'outbound{number}="{proxy}"' for number, proxy in enumerate(proxies, 1))
        (self.folder / "accounts").write_text(
            f'<sip:{user}@{DOMAIN};transport={transport}>;auth_user={user};auth_pass={passwords()[user]};{outbound};'
            f"answermode=auto;regint=300;audio_codecs=pcmu/8000{params}\n"
        )
        (self.folder / "contacts").write_text("".join(f"{line}\n" for line in contacts))
        self._part = Part("baresip", [*start, "baresip", "-f", str(self.folder), "-s"], self.folder / "baresip.log")
        case.addCleanup(self.stop)

    async def start(self) -> Baresip:
        """Up, and known to the registrar."""
        self._part.start()

        async def bound() -> Any:
            return await self._site.phone(self._user).bindings()

        await until(bound, lambda: f"baresip is registered\n{self._part.last_words(60)}")
        return self

    def said(self) -> str:
        """Its log so far."""
        return self._part.log.read_text("utf-8", "replace")

    def stop(self) -> Any:
        """End it."""
        return deferToThread(self._part.stop)

    def heard(self) -> Heard:
        """The last fifth of a second of what it recorded."""
        for file in self.folder.glob("*-dec.wav"):
            octets = file.read_bytes()
            rate = int.from_bytes(octets[24:28], "little")
            samples = octets[octets.find(b"data") + 8 :]
            recorded = array("h", samples[: len(samples) & ~1])
            if rate and len(recorded) >= rate // 5:
                return listen(recorded[-rate // 5 :], rate)
        return SILENCE
