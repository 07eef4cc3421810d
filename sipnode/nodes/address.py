"""``[node] address`` and the addresses of sister nodes, read; pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sipnode.errors import ConfigError, ParseError
from sipnode.sip.address import NameAddr
from sipnode.sip.uri import SipUri

_FORM: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+):([0-9]{1,5})(?:;(?:transport=)?(udp|tcp|tls))?", re.IGNORECASE)


class NodeAddress(NamedTuple):
    """Where a node is reached over plain SIP.

    Attributes:
        host: In lower case, IPv6 in brackets.
        port: 1..65535.
        transport: 'UDP', 'TCP' or 'TLS'.
    """

    host: str
    port: int
    transport: str

    @property
    def hostport(self) -> str:
        """As in a URI, with the transport where it isn't UDP."""
        kind = "" if self.transport == "UDP" else f";transport={self.transport.lower()}"
        return f"{self.host}:{self.port}{kind}"


def parse_address(text: str, key: str = "node.address") -> NodeAddress:
    """Read ``HOST:PORT[;transport=udp|tcp|tls]``.

    Args:
        key: The setting that it is from.

    Raises:
        ConfigError: another form.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None or not 0 < int(found[2]) < 65536:
        raise ConfigError(f"{text!r}: write HOST:PORT or HOST:PORT;transport=udp|tcp|tls", key=key)
    return NodeAddress(found[1].lower(), int(found[2]), (found[3] or "udp").upper())


def address_of(uri: SipUri) -> NodeAddress:
    """The address that a Route leads to."""
    transport = uri.params.get("transport", "udp").upper()
    return NodeAddress(uri.host.lower(), uri.port or (5061 if transport == "TLS" else 5060), transport)


def path_uri(path: str) -> SipUri | None:
    """The first URI of a column ``path``, None where it can't be read."""
    try:
        return NameAddr.parse(path.partition(",")[0]).uri
    except ParseError:
        return None
