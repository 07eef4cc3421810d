"""The native leaf beside the functions in Python that it has to agree with: used by its tests and by ``tools/leaf.py``.

Each function asks both and raises AssertionError where the leaf says something else; it may always say None, which is "ask the other".
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from sipnode.errors import ParseError
from sipnode.sip.grammar import line_value
from sipnode.sip.headers import SINGLE, SPELLINGS
from sipnode.sip.leaf import joined
from sipnode.sip.message import SipResponse
from sipnode.sip.methods import METHODS
from sipnode.sip.parser import DEFAULT_LIMITS, BrokenMessage, Limits, read_message
from sipnode.sip.via import Via
from tests.sip import kit


def load(file: Path) -> Any:
    """The leaf of a file, as a module of its own."""
    spec = importlib.util.spec_from_file_location("sipnode.sip._leaf", file)
    assert spec is not None and spec.loader is not None
    leaf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(leaf)
    leaf.learn(SPELLINGS, SINGLE, METHODS)
    return leaf


def scan(leaf: Any, data: bytes, limits: Limits = DEFAULT_LIMITS, exact: bool = False) -> bool:
    """Compare the reading of a message; whether the leaf read it."""
    bounds = (limits.message_bytes, limits.header_lines, limits.line_bytes, limits.via_values)
    found = leaf.scan(data, *bounds, exact)
    if found is None:
        return False
    try:
        message = read_message(data, limits, exact)
    except BrokenMessage as error:
        raise AssertionError(f"read by the leaf, and broken: {error.reason}: {data!r}") from error
    if isinstance(message, SipResponse):
        head: tuple[int, str, str] = (message.status, message.reason, "")
    else:
        assert message.version == "SIP/2.0"
        head = (0, message.method, message.uri)
    expected = (*head, message.names, message.lines, message.index(), message.body)
    assert found == expected, f"{found}\n{expected}\n{data!r}"
    return True


def join(leaf: Any, start: str, lines: list[str], body: bytes) -> bool:
    """Compare the writing of a message; whether the leaf wrote it."""
    found = leaf.join(start, lines, body)
    assert found is None or found == joined(start, lines, body), (start, lines, body)
    return found is not None


def value(leaf: Any, line: str) -> bool:
    """Compare the value of a header line; whether the leaf had one."""
    found = leaf.value(line)
    assert found is None or found == line_value(line), repr(line)
    return found is not None


def via(leaf: Any, text: str) -> bool:
    """Compare the reading of a Via value; whether the leaf read it."""
    found = leaf.via(text)
    if found is None:
        return False
    try:
        read = Via.read(text)
    except ParseError as error:
        raise AssertionError(f"read by the leaf, and no Via: {text!r}") from error
    expected = ("2.0", read.transport, read.host, read.port, read.param_text, read.branch)
    assert ("2.0", *found) == expected, (found, expected, text)
    return True


# -- strategies

PIECES = (
    b"\r\n", b"\r", b"\n", b"\r\n ", b"\r\n\t", b"\r\n\r\n", b":", b" :", b": ", b" ", b"\t", b",", b";", b"\0", b"\x7f", b"\x1f", b"\xff",
    b"\xc3\xa4", b"\xe2\x82", b"\xed\xa0\x80", b"a", b"Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n", b"v: x,y,z\r\n", b"l: 0\r\n", b"l: 3\r\n",
    b"Content-Length: 3\r\n", b"cOnTent-lEngth:   003 \r\n", b"i:x\r\n", b"cALL-id: x\r\n", b"X-Ours: 1\r\n", b"x-ours:2\r\n", b"Q:\r\n",
    b"x" * 31 + b": 1\r\n", b"x" * 32 + b": 1\r\n", b":empty\r\n", b"no colon\r\n", b"Od\xc3d: 1\r\n", b"SIP/2.0", b" SIP/2.0", b"0",
    b"699",
)  # fmt: skip
"""What is put into messages, or in the place of a part of them."""
starts = st.one_of(
    st.sampled_from([
        "INVITE sip:a@b SIP/2.0", "SIP/2.0 200 OK", "SIP/2.0 200", "SIP/2.0 200 ", "SIP/2.0 099 x", "SIP/2.0 700 x", "SIP/2.0 2000 x",
        "SIP/2.0 \uff11\uff12\uff13 x", "sip/2.0 200 OK", "OPTIONS  sip:a SIP/2.0", "OPTIONS sip:a SIP/2.0 ", "invite sip:a SIP/2.0",
        "INVITE sip:a SIP/3.0", "INVITE sip:a sip/2.0", "INVITE SIP/2.0", "INVITE  SIP/2.0", "INVITE sip:\u00e4 SIP/2.0", "A B SIP/2.0", "",
        "SIP/2.0 404 \u00e4", " INVITE sip:a SIP/2.0", "INVITE sip:a\tb SIP/2.0",
    ]),
    st.text(max_size=20),
)  # fmt: skip

USUAL = (kit.octets(), kit.octets("SIP/2.0 180 Ringing", "s: \u00e4"), kit.octets("MESSAGE sip:a SIP/2.0", "X-A:", "x-a: 1", body=b"abc"))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Messages of all kinds, some of whose parts have been replaced, doubled or cut."""
    usual = st.sampled_from(USUAL)
    data = bytearray(draw(st.one_of(usual, usual, kit.messages(), starts.map(lambda start: kit.octets(start)))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        end = at + draw(st.sampled_from([0, 0, 1, 2, 9]))
        data[at:end] = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=3)))
    return bytes(data)


limits = st.one_of(
    st.just(DEFAULT_LIMITS),
    st.just(DEFAULT_LIMITS),
    st.builds(Limits, st.integers(0, 600), st.integers(0, 12), st.integers(0, 60), st.integers(-1, 8)),
)
lines = st.one_of(
    st.sampled_from(["Subject: x", "a:", "a: \t b \t ", "nothing", "", ":", "a: b\r\n c", "a: b\nc", "a:\u00e4", "a: \udcff"]),
    st.text(max_size=20), kit.header_lines(),
)  # fmt: skip
vias = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["SIP/2.0/UDP ", "SIP/2.0/TCP ", "SIP/2.0/WS ", "SIP/2.0/WSS ", "SIP/2.0/TLS ", "SIP/2.0/SCTP ", "sip/2.0/UDP "]),
        st.sampled_from(["h", "192.0.2.1", "-h", "h-", "a.b", "a.", "[2001:db8::1]", "H", "", "a b"]),
        st.sampled_from(["", ":5060", ":0", ":65535", ":65536", ":99999", ":123456", ":", ":05060", ":+1", ":\u0661"]),
        st.lists(
            st.sampled_from([
                ";branch=z9hG4bK1", ";branch=", ";branch", ";rport", ";rport=5", ";received=192.0.2.7", ";received=[::1]", ";maddr=a:b",
                ";x", ";x=", ";X=1", ";x=\"a\"", "; branch=1", ";branch =1", ";branch=a=b", ";branch=a~_+", ";branchx=1", ";a=b_c", " ",
                "\t", ";", ", SIP/2.0/UDP h;branch=1", "\u00e9",
            ]),
            max_size=4,
        ).map("".join),
    ),
)  # fmt: skip
