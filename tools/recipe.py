"""``make recipe``: the README's recipe, line by line as it stands there, on a Debian 12 that has Python only.

Then a phone registers over UDP and TCP, the page is fetched, and Ctrl-C ends the server. Prints the seconds that each line took and what
it said last; the last line is ``N passed, N failed``.
"""

from __future__ import annotations

import os
import pty
import re
import secrets
import select
import shutil
import signal
import socket
import sys
import time

import freshroot
from harness import TOP, WORK

from sipnode.demo import ports, probes
from sipnode.sip import build, digest
from sipnode.sip.ids import new_branch, new_call_id, new_tag
from sipnode.sip.message import SipResponse
from sipnode.sip.parser import parse_message

HOST, SIP, WEB = "127.0.0.1", 5060, 8080
USER, DOMAIN, PASSWORD = "erika", "example.com", "correct-horse-7"
_MARK = ".. recipe:"
_PROMPT = "recipe> "
_ASKS = ("Password: ", "Again: ")
_READY = "is ready for"
_PATIENCE = 600.0
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def recipe(text: str) -> list[str]:
    """The lines of the literal block behind the mark in a README."""
    _, found, rest = text.partition(f"\n{_MARK}")
    lines = rest.partition("::\n\n")[2].splitlines() if found else []
    taken = []
    for line in lines:
        if line and not line.startswith("    "):
            break
        if line.strip():
            taken.append(line.strip())
    return taken


class Shell:
    """A shell on a terminal.

    Args:
        command: Of the shell.
    """

    def __init__(self, command: list[str]) -> None:
        self._pid, self._file = pty.fork()
        if not self._pid:
            os.execvp(command[0], command)
        self.wait(_PROMPT)

    def wait(self, *ends: str) -> tuple[str, str]:
        """Read until it says one of these at its end (or :data:`_READY` anywhere); what it said, and which it was.

        Raises:
            TimeoutError: it doesn't, or it has ended.
        """
        said, until = "", time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            if select.select([self._file], [], [], 1.0)[0]:
                try:
                    data = os.read(self._file, 65536)
                except OSError:
                    data = b""
                if not data:
                    break
                said = _CODES.sub("", said + data.decode("utf-8", "replace"))
                for end in ends:
                    if said.endswith(end) or (end == _READY and end in said):
                        return said, end
        raise TimeoutError(f"it never said {' or '.join(ends)}:\n{said[-2000:]}")

    def type(self, text: str) -> None:
        """What a person types."""
        os.write(self._file, text.encode())

    def close(self) -> None:
        """End it, and what it has started."""
        os.close(self._file)  # its session hears HUP
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def register(transport: str) -> int:
    """Register as the recipe's user, as a phone does; the last status."""
    kind = socket.SOCK_DGRAM if transport == "UDP" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.settimeout(10)
        sock.connect((HOST, SIP))
        contact = f"{HOST}:{sock.getsockname()[1]}"
        call_id, tag, aor = new_call_id(), new_tag(), f"sip:{USER}@{DOMAIN}"
        proof: list[tuple[str, str]] = []
        for cseq in (1, 2):
            lines = [
                ("via", f"SIP/2.0/{transport} {contact};rport;branch={new_branch()}"), ("max-forwards", "70"), ("to", f"<{aor}>"),
                ("from", f"<{aor}>;tag={tag}"), ("call-id", call_id), ("cseq", f"{cseq} REGISTER"),
                ("contact", f"<sip:{USER}@{contact};transport={transport.lower()}>"), *proof,
            ]  # fmt: skip
            sock.sendall(build.request("REGISTER", f"sip:{DOMAIN}", lines, b"").to_bytes())
            answer = parse_message(sock.recv(65536))
            assert isinstance(answer, SipResponse)
            if answer.status != 401:
                return answer.status
            offer = digest.parse_challenge(answer.get_all("www-authenticate")[0])
            made = digest.authorization(offer, "REGISTER", f"sip:{DOMAIN}", USER, PASSWORD, secrets.token_hex(8))
            proof = [("authorization", made)]
        return 401


def last_line(said: str) -> str:
    """What a person sees last, before the prompt."""
    lines = [line for line in said.removesuffix(_PROMPT).splitlines() if line.replace("(venv)", "").strip()]
    return lines[-1].strip()[:200] if lines else ""


def follow(shell: Shell, lines: list[str]) -> None:
    """Type every line; the last one is the server, which is left running."""
    for number, line in enumerate(lines, 1):
        began = time.monotonic()
        shell.type(f"{line}\n")
        said = ""
        while True:
            more, end = shell.wait(_PROMPT, *_ASKS, *((_READY,) if number == len(lines) else ()))
            said += more
            if end not in _ASKS:
                break
            shell.type(f"{PASSWORD}\n")
        print(f"{time.monotonic() - began:6.1f} s  $ {line}\n          {last_line(said)}", flush=True)
        if number < len(lines):
            shell.type("echo status=$?\n")
            status = shell.wait(_PROMPT)[0]
            if "status=0" not in status.replace("status=$?", ""):
                raise TimeoutError(f"{line} failed:\n{said[-3000:]}")
        elif end != _READY:
            raise TimeoutError(f"{line} ended:\n{said[-3000:]}")


def main() -> int:
    reason = freshroot.why_not()
    for protocol, port in (("udp", SIP), ("tcp", SIP), ("tcp", WEB)):
        if not reason and not ports.is_free(protocol, HOST, port):
            reason = f"{protocol.upper()} port {port} is taken by {ports.holder(protocol, port)}"
    if reason:
        print(f"{reason}\n0 passed, 1 failed")
        return 1
    lines = recipe((TOP / "README.rst").read_text("utf-8"))
    began = time.monotonic()
    root = freshroot.make(WORK / "recipe")
    freshroot.sources(root / "root" / "sipnode")
    (root / "root" / "empty").mkdir()
    print(f"{time.monotonic() - began:6.1f} s  a Debian 12 with python3-venv, the checkout in ../sipnode", flush=True)
    began = time.monotonic()
    words = {"PS1": _PROMPT, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    shell = Shell(freshroot.inside(root, "bash", "--norc", "--noprofile", home="/root/empty", **words))
    passed = failed = 0
    try:
        follow(shell, lines)
        print(f"{time.monotonic() - began:6.1f} s  for all of it")
        results = {
            "a phone registers over UDP": register("UDP") == 200,
            "a phone registers over TCP": register("TCP") == 200,
            "the page is served": probes.web_page(HOST, WEB),
        }
        began = time.monotonic()
        shell.type("\x03")
        shell.wait(_PROMPT)
        results[f"Ctrl-C ends it, after {time.monotonic() - began:.1f} s"] = True
        for name, good in results.items():
            print(f"{'PASS' if good else 'FAIL'} {name}")
            passed, failed = passed + good, failed + (not good)
    except TimeoutError as error:
        print(f"FAIL {error}")
        failed += 1
    finally:
        shell.close()
        shutil.rmtree(root, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
