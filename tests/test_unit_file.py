"""``sipnode files sipnode.service`` takes from the server what it doesn't need."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

UNIT = Path(__file__).resolve().parents[1] / "sipnode" / "files" / "sipnode.service"
MOST_EXPOSED = 2.0
SET = {
    "User": "sipnode", "UMask": "0077", "StateDirectoryMode": "0700", "CapabilityBoundingSet": "", "AmbientCapabilities": "",
    "ProtectSystem": "strict", "ProtectProc": "invisible", "DevicePolicy": "closed", "SystemCallArchitectures": "native",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX AF_NETLINK",
}  # fmt: skip
YES = (
    "NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateMounts", "ProtectClock", "ProtectHostname",
    "ProtectControlGroups", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "RestrictNamespaces", "RestrictRealtime",
    "RestrictSUIDSGID", "RemoveIPC", "LockPersonality",
)  # fmt: skip


class UnitFileTests(SynchronousTestCase):
    """The unit as it is shipped."""

    def test_hardened(self) -> None:
        """Nothing runs as root, gains rights, writes outside of its state folder, or calls what a network server has no use for."""
        parser = configparser.RawConfigParser(strict=False, comment_prefixes=("#",), delimiters=("=",))
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # configparser's own way to keep the case of names
        parser.read(UNIT, "utf-8")
        service = dict(parser["Service"])
        self.assertEqual({name: service.get(name) for name in SET}, SET)
        self.assertEqual({name: service.get(name) for name in YES}, dict.fromkeys(YES, "yes"))
        calls = re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.MULTILINE)
        self.assertEqual(calls, ["@system-service", "~@privileged @resources"])
        self.assertEqual([name for name in service if name.startswith(("ReadWrite", "BindPaths", "ExecPaths"))], [])

    def test_exposure(self) -> None:
        """systemd itself finds the unit's exposure to be 2.0 of 10 at most; only a machine that has it can ask."""
        analyze = shutil.which("systemd-analyze")
        if analyze is not None:
            asked = [analyze, "security", "--no-pager", "--offline=true", f"--threshold={MOST_EXPOSED * 10:g}", str(UNIT)]
            done = subprocess.run(asked, capture_output=True, text=True, check=False, env={"SYSTEMD_COLORS": "0"})
            if "unrecognized option" not in done.stderr:
                self.assertEqual(done.returncode, 0, (done.stdout + done.stderr)[-400:])
