"""Messages to take apart, strategies that make them, and where the corpus lies."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from hypothesis import settings
from hypothesis import strategies as st

from sipnode.sip.message import SipRequest, SipResponse
from sipnode.sip.parser import BrokenMessage, Limits, parse_message

PROFILE = settings(max_examples=60, deadline=None)
"""For every property: no deadline, as other work shares the machine."""

HEADERS = (
    "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1;rport",
    "Max-Forwards: 70",
    'From: "Alice" <sip:alice@example.com>;tag=f1',
    "To: <sip:bob@example.com>",
    "Call-ID: c1@192.0.2.1",
    "CSeq: 7 INVITE",
)


def octets(
    start: str = "INVITE sip:bob@example.com SIP/2.0",
    *extra: str,
    body: bytes = b"",
    length: str | None = "",
    headers: Iterable[str] = HEADERS,
    without: str = "",
) -> bytes:
    """A message.

    Args:
        extra: Further header lines.
        length: Value of Content-Length; "" for the right one, None for no such line.
        without: A header line that begins so is left out, or replaced by one of ``extra``.
    """
    lines = [line for line in headers if not without or not line.lower().startswith(without.lower())]
    lines += extra
    if length is not None:
        lines.append(f"Content-Length: {length or len(body)}")
    return "\r\n".join([start, *lines, "", ""]).encode("utf-8", "surrogateescape") + body


def parsed(*args: str, **fields: object) -> SipRequest:
    """The request of :func:`octets`."""
    message = parse_message(octets(*args, **fields))  # type: ignore[arg-type]  # passed through
    assert isinstance(message, SipRequest)
    return message


def response(*extra: str, start: str = "SIP/2.0 200 OK", **fields: object) -> SipResponse:
    """A response of :func:`octets`."""
    message = parse_message(octets(start, *extra, **fields))  # type: ignore[arg-type]  # passed through
    assert isinstance(message, SipResponse)
    return message


def fault(data: bytes, limits: Limits | None = None, exact: bool = False) -> BrokenMessage:
    """The error that a message draws; AssertionError where it draws none."""
    try:
        parse_message(data, limits or Limits(), exact)
    except BrokenMessage as error:
        return error
    raise AssertionError("it was read without a fault")


@contextmanager
def no_hang(seconds: int = 20) -> Iterator[None]:
    """Turns work that doesn't come to an end into a failure; what is within takes milliseconds."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"not done after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def corpus() -> Path | None:
    """The folder of collected messages beside the project, if it is there."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "shared" / "corpus" / "EXPECT.tsv").is_file():
            return folder / "shared" / "corpus"
    return None


# -- strategies

CONTROLS = "".join(map(chr, range(32))) + "\x7f"
TOKEN_MARKS = "-.!%*_+`'~"
ALNUM = "abcXYZ019"
tokens = st.text(ALNUM + TOKEN_MARKS, min_size=1, max_size=8)
words = st.text(ALNUM, min_size=1, max_size=6)
hosts = st.one_of(
    st.lists(words, min_size=1, max_size=3).map(".".join),
    st.sampled_from(["192.0.2.7", "[2001:db8::1]", "[::ffff:192.0.2.7]", "df7jal23ls0d.invalid"]),
)
ports = st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}"))
quoted = st.text(st.characters(codec="utf-8", exclude_characters=CONTROLS), max_size=12).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
)
param_values = st.one_of(st.just(""), words.map("={}".format), tokens.map("={}".format), quoted.map("={}".format))


def param_lists(
    *reserved: str, names: st.SearchStrategy[str] = tokens, values: st.SearchStrategy[str] = param_values
) -> st.SearchStrategy[str]:
    """``;name=value`` lists whose names are all different."""
    names = names.filter(lambda name: name.lower() not in reserved)
    pairs = st.lists(st.tuples(names, values), max_size=4, unique_by=lambda pair: pair[0].lower())
    return pairs.map(lambda items: "".join(f";{name}{value}" for name, value in items))


escapes = st.sampled_from(["%20", "%41", "%61", "%3B", "%40", "%c3%a9"])
users = st.lists(st.one_of(st.text("abAB09-_.!~*'()&=+$,;?/", min_size=1, max_size=4), escapes), min_size=1, max_size=3).map("".join)
uri_params = param_lists(names=words, values=st.one_of(st.just(""), words.map("={}".format), escapes.map("={}".format)))
uri_headers = st.one_of(
    st.just(""), st.lists(st.tuples(words, words), min_size=1, max_size=3).map(lambda pairs: "?" + "&".join(f"{a}={b}" for a, b in pairs))
)


phrases = st.text(st.characters(codec="utf-8", exclude_characters=CONTROLS), max_size=9)


@st.composite
def uris(draw: st.DrawFn) -> str:
    """Valid sip and sips URIs."""
    user = draw(st.one_of(st.just(""), users))
    if user:
        user += draw(st.one_of(st.just(""), words.map(":{}".format))) + "@"
    scheme = draw(st.sampled_from(["sip", "sips", "SIP", "sIpS"]))
    return f"{scheme}:{user}{draw(hosts)}{draw(ports)}{draw(uri_params)}{draw(uri_headers)}"


blanks = st.sampled_from(["", " ", "  ", "\t", "\r\n ", " \r\n\t"])


@st.composite
def header_lines(draw: st.DrawFn) -> str:
    """Header lines that no rule but that of the frame holds for: any name, any octets, folds."""
    name = draw(st.one_of(tokens, st.sampled_from(["Subject", "s", "USER-AGENT", "X-Odd", "Allow", "k", "Contact"])))
    texts = st.text(st.characters(codec="utf-8", exclude_characters=CONTROLS.replace("\t", "")), max_size=20)
    parts = draw(st.lists(texts, min_size=1, max_size=3))
    folds = draw(st.sampled_from(["\r\n ", "\r\n\t", " \r\n  "]))
    return name + draw(st.sampled_from(["", " ", "\t"])) + ":" + draw(blanks) + folds.join(parts)


SINGLES = ("from", "to", "call-id", "cseq", "max-forwards", "content-length", "content-type", "expires", "event", "sip-if-match")
COMPACT_SINGLES = ("f", "t", "i", "l", "c", "o", "v", "via")


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Valid requests and responses with odd headers between the required ones."""
    lines = list(HEADERS)
    for line in draw(st.lists(header_lines(), max_size=4)):
        if line.partition(":")[0].strip().lower() not in SINGLES + COMPACT_SINGLES:
            lines.insert(draw(st.integers(0, len(lines))), line)
    body = draw(st.binary(max_size=60))
    start = draw(
        st.one_of(
            st.builds("{} {} SIP/2.0".format, tokens, uris()),
            st.builds(
                "SIP/2.0 {} {}".format, st.integers(100, 699), phrases
            ),
        )
    )
    spelling = draw(st.sampled_from(["Content-Length: ", "l:", "CONTENT-LENGTH\t: 0"]))
    return octets(start, f"{spelling}{len(body)}", body=body, length=None, headers=lines)
