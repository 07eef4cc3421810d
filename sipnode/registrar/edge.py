"""Bindings behind an edge proxy: the Path that it put into the REGISTER. Pure.

Implements: RFC 3327 §5.3 (the registrar stores Path, gives it back, and what goes to the user takes it as its Route). The invariant: a
Path leads to proxies that its sender may have us send to, and never back here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sipnode.errors import ParseError
from sipnode.records import FLOW_TOKEN, BindingFlag
from sipnode.registrar.columns import storable
from sipnode.registrar.outbound import supports
from sipnode.sip.address import NameAddr

if TYPE_CHECKING:
    from sipnode.registrar.origin import ContactRefusal, Source
    from sipnode.sip.message import SipRequest

MOST: Final = 8
_MAX_PATH: Final = 512
_NODE: Final = f"<sip:{FLOW_TOKEN}"
_NATB: Final = int(BindingFlag.NATB)


def is_edge_path(path: str) -> bool:
    """Whether a column ``path`` leads through edge proxies, and not to the flow of one of our nodes."""
    return bool(path) and not path.startswith(_NODE)


def behind_edge(request: SipRequest, source: Source, refusal: ContactRefusal | None) -> Source:
    """Where the bindings of a REGISTER with a Path are: behind its proxies, not at the end of the flow that it came by.

    Args:
        request: It has a Path.
        source: What the flow says.
        refusal: Judges each URI as it does contacts; None takes all.

    Raises:
        ParseError: 400 for a Path that can't be read or kept, or has no ``lr``; 403 for one that mayn't be taken.
    """
    values = request.values("path")
    path = ", ".join(values)
    if len(values) > MOST or not storable(path, _MAX_PATH):
        raise ParseError("a Path that can't be stored")
    peer = replace(source, connection_id="", cflags=0)
    for value in values:
        uri = NameAddr.parse(value).uri
        if uri.scheme not in ("sip", "sips") or "lr" not in uri.params or "<" not in value:
            raise ParseError("a Path that is no way of loose routers")
        if uri.user.startswith(FLOW_TOKEN):
            raise ParseError("Path Not Allowed", 403)
        reason = refusal(uri, peer) if refusal is not None else ""
        if reason:
            raise ParseError(reason.replace("Contact", "Path"), 403)
    received = source.received or f"sip:{f'[{source.peer}]' if ':' in source.peer else source.peer}"
    return replace(source, received=received, connection_id="", cflags=0, path=path, port=0)


def judged(source: Source) -> Source:
    """The source that a contact is judged by: behind an edge we never send to it, so only whether it leads back here counts."""
    return replace(source, cflags=_NATB) if is_edge_path(source.path) else source


def takes_path(request: SipRequest) -> bool:
    """Whether the client says that it knows Path (RFC 3327 §5.1)."""
    return supports(request, "path")
