"""A place of its own for a browser, with two networks: each behind a translator (iptables' MASQUERADE), as at home and on the road.

Network namespaces of this test alone, on this machine; the server's address stands on loopback. It takes root.
"""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from twisted.trial.unittest import TestCase

from .browser import Browser, program
from .site import Site

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def missing() -> str | None:
    """Why there can be no networks here, or None. With CI set tests with them run and fail."""
    if os.environ.get("CI"):
        return None
    if os.geteuid():
        return "root alone makes network namespaces"
    return next((f"not installed: {name}" for name in ("ip", "iptables") if shutil.which(name, path=_PATH) is None), None)


def _run(words: str) -> None:
    subprocess.run(shlex.split(words), check=True, capture_output=True, text=True, env={**os.environ, "PATH": _PATH})


class Networks:
    """Made at once, taken away with the test.

    Attributes:
        server: The address where the place finds the server, by either network.
        networks: Public addresses of the two, as the server sees who comes from them.
    """

    def __init__(self, case: TestCase) -> None:
        tag = secrets.token_hex(2)
        net = 16 + secrets.randbelow(200)
        self.server = f"10.{net}.0.1"
        self.networks = (f"10.{net}.1.2", f"10.{net}.2.2")
        self._place = f"sn-{tag}"
        self._private = ("192.168.77", "100.64.77")
        _run(f"ip addr add {self.server}/32 dev lo")
        case.addCleanup(_run, f"ip addr del {self.server}/32 dev lo")
        self._namespace(case, self._place)
        for number, private in enumerate(self._private, 1):
            router, public = f"sn-{tag}{number}", f"10.{net}.{number}"
            self._namespace(case, router)
            _run(f"ip link add sn{tag}{number} type veth peer name outer netns {router}")
            _run(f"ip addr add {public}.1/24 dev sn{tag}{number}")
            _run(f"ip link set sn{tag}{number} up")
            _run(f"ip -n {router} addr add {public}.2/24 dev outer")
            _run(f"ip -n {router} link set outer up")
            _run(f"ip -n {router} route add default via {public}.1")
            _run(f"ip -n {router} link add inner type veth peer name net{number} netns {self._place}")
            _run(f"ip -n {router} addr add {private}.1/24 dev inner")
            _run(f"ip -n {router} link set inner up")
            _run(f"ip netns exec {router} sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'")
            _run(f"ip netns exec {router} iptables -w 20 -t nat -A POSTROUTING -o outer -j MASQUERADE")
            if number == 1:
                self._join(number)

    @staticmethod
    def _namespace(case: TestCase, name: str) -> None:
        _run(f"ip netns add {name}")
        case.addCleanup(_run, f"ip netns del {name}")
        _run(f"ip -n {name} link set lo up")

    def _join(self, number: int) -> None:
        private = self._private[number - 1]
        _run(f"ip -n {self._place} addr add {private}.2/24 dev net{number}")
        _run(f"ip -n {self._place} link set net{number} up")
        _run(f"ip -n {self._place} route add default via {private}.1")

    def move(self) -> None:
        """Out of reach of the first network, and then into the second: what comes for the old address goes nowhere, without a word."""
        _run(f"ip -n {self._place} link set net1 down")
        self._join(2)

    def browser(self, case: TestCase, site: Site) -> Browser:
        """A browser in this place, which trusts the page of that site with a microphone, as it would one over https."""
        browser = Browser(self._start(case), f"--unsafely-treat-insecure-origin-as-secure=http://{self.server}:{site.http}")
        case.addCleanup(browser.close)
        return browser

    def within(self) -> tuple[str, ...]:
        """What stands before a command that is to run in this place."""
        return (str(shutil.which("ip", path=_PATH)), "netns", "exec", self._place)

    @property
    def private(self) -> str:
        """The place's address in its first network."""
        return f"{self._private[0]}.2"

    def _start(self, case: TestCase) -> str:
        folder = tempfile.mkdtemp(prefix="sipnode-n-")
        case.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        script = Path(folder) / "start"
        script.write_text(f'#!/bin/sh\nexec {" ".join(self.within())} {program()} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return str(script)
