"""The true sender of an HTTP request that a proxy brings; pure.

Implements: RFC 7239 §4 to §6 (Forwarded), and X-Forwarded-For, X-Forwarded-Proto as nginx and HAProxy write them. Invariant: what is
taken is the nearest hop that is no proxy of ours; what stands left of it, the client may have written itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sipnode.transport.listen import family_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MOST_HOPS: Final = 16
MOST_OCTETS: Final = 2048
"""Of the end of a list: what our own proxies wrote stands there."""
# RFC 7239 §4: pairs with ";" between them; a value is a token or a quoted string.
_PAIR: Final = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s",;]*)\s*(;|,|$)')


class Client(NamedTuple):
    """One element.

    Attributes:
        host: IP literal without brackets, "" where it says nothing that can be used.
        secure: It came by https.
    """

    host: str
    secure: bool


def client_of(
    peer: str,
    is_proxy: Callable[[str], bool],
    x_forwarded_for: Iterable[str] = (),
    x_forwarded_proto: Iterable[str] = (),
    forwarded: Iterable[str] = (),
) -> Client:
    """The client, and whether it came by https as far as proxies of ours say.

    Args:
        peer: Where the connection comes from, one of our proxies.
        is_proxy: Whether an address is one of our proxies.
        x_forwarded_for: The values of that header, in order. Where there are any, ``forwarded`` isn't looked at: a proxy writes one of
            the two, and passes on what a client wrote into the other.
        x_forwarded_proto: The values of that header.
        forwarded: The values of that header.
    """
    listed = ",".join(x_forwarded_for)
    if listed:
        protos = ",".join(x_forwarded_proto)[-MOST_OCTETS:].split(",")
        secure = protos[-1].strip().lower() in ("https", "wss")
        hops = [Client(_host(text), secure) for text in listed[-MOST_OCTETS:].split(",")[-MOST_HOPS:]]
    else:
        hops = list(_elements(",".join(forwarded)[-MOST_OCTETS:]))[-MOST_HOPS:]
    found = Client(peer, False)
    for hop in reversed(hops):
        if not hop.host:
            break
        found = hop
        if not is_proxy(hop.host):
            break
    return found


def _elements(text: str) -> Iterator[Client]:
    at, host, secure = 0, "", False
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            # Cut, or none at all: begin again behind the next comma, where the next proxy wrote.
            at = text.find(",", at) + 1
            host, secure = "", False
            yield Client("", False)
            if not at:
                return
            continue
        name, value = pair[1].lower(), pair[2]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        if name == "for":
            host = _host(value)
        elif name == "proto":
            secure = value.lower() in ("https", "wss")
        at = pair.end()
        if pair[3] != ";":
            yield Client(host, secure)
            host, secure = "", False


def _host(text: str) -> str:
    """``192.0.2.1``, ``192.0.2.1:80``, ``2001:db8::1``, ``[2001:db8::1]:80`` to the address; "" for unknown and for hidden names."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return text if family_of(text) and "%" not in text else ""
