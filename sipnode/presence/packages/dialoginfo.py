"""dialog-info documents: the calls of one party. Pure.

Implements: RFC 4235 §3.7, §4 (state machine of a dialog, documents), §3.8 by the package. The invariant: what is made is well-formed, is
a full state, has each id once, and fits into a datagram.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from sipnode.errors import ParseError
from sipnode.presence.packages.xmlbody import HEAD, read, text, uri
from sipnode.records import PartyCall
from sipnode.sip.uri import SipUri

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

DIALOG_INFO: Final = "urn:ietf:params:xml:ns:dialog-info"
CONTENT_TYPE: Final = "application/dialog-info+xml"
MOST: Final = 64
"""Dialogs of a document; of more the newest are told."""
LARGEST: Final = 48000
"""Octets of its dialogs, alike."""

_OURS: Final = "x-sipnode:call"
_STATES: Final = frozenset(("trying", "proceeding", "early", "confirmed", "terminated"))
_NOBODY: Final = "sip:anonymous@anonymous.invalid"
_LONGEST: Final = 255


def compose(entity: str, calls: Iterable[PartyCall], version: int, for_the_table: bool = False) -> bytes:
    """The document of a party.

    Args:
        entity: Its URI.
        calls: Oldest first.
        for_the_table: Also what only this program reads: the node, the session interval, the browsers.
    """
    dialogs: list[str] = []
    seen: set[str] = set()
    room = LARGEST
    for number, call in enumerate(list(calls)[: -MOST - 1 : -1]):
        name = call.id if call.id not in seen else f"{call.id}.{number}"
        seen.add(name)
        ours = _ours(call) if for_the_table else ""
        dialog = "".join((*_dialog(name, call), ours, "</dialog>"))
        room -= len(dialog.encode("utf-8", "replace"))
        if room < 0:
            break
        dialogs.append(dialog)
    head = f'{HEAD}<dialog-info xmlns="{DIALOG_INFO}" version="{version}" state="full" entity="{text(entity)}">'
    return "".join((head, *reversed(dialogs), "</dialog-info>\n")).encode("utf-8", "replace")


def public(resource: str, calls: Iterable[PartyCall]) -> list[PartyCall]:
    """Of calls what everybody may know who watches a party: that they are there, their direction and state. The other end stands
    there as anonymous (RFC 3323 §4.1.1.3) while the call lives: phones light no lamp for a document without one.

    The other end of a call has an id for it that is nearly the same; here neither leads to the other, nor either to the Call-ID.
    """
    return [
        PartyCall(_pseudonym(resource, call.id), direction=call.direction, state=call.state, remote="" if over else _NOBODY)
        for call in calls
        for over in (call.state == "terminated",)
    ]


def _pseudonym(resource: str, name: str) -> str:
    return blake2b(f"{resource} {name}".encode("utf-8", "replace"), digest_size=8).hexdigest()


def _ours(call: PartyCall) -> str:
    browsers = " ".join(map(uri, call.browsers))
    return f'<sn:call xmlns:sn="{_OURS}" node="{call.node}" session="{call.session}" browsers="{text(browsers)}"/>'


def _dialog(name: str, call: PartyCall) -> Iterator[str]:
    yield f'<dialog id="{text(name)}"'
    if call.call_id:
        yield f' call-id="{text(call.call_id[:_LONGEST])}"'
    if call.local_tag:
        yield f' local-tag="{text(call.local_tag[:_LONGEST])}"'
    if call.remote_tag:
        yield f' remote-tag="{text(call.remote_tag[:_LONGEST])}"'
    yield f' direction="{call.direction}"><state'
    if call.event:
        yield f' event="{call.event}"'
    if call.code:
        yield f' code="{call.code}"'
    yield f">{call.state}</state>"
    for side, address, display in (("local", call.local, ""), ("remote", call.remote, call.remote_name)):
        if not address:
            continue
        if address == _NOBODY:
            yield f'<{side}><identity display="Anonymous">{_NOBODY}</identity></{side}>'
            continue
        shown = f' display="{text(display[:_LONGEST])}"' if display else ""
        where = text(address[:_LONGEST])
        yield f'<{side}><identity{shown}>{where}</identity><target uri="{where}"/></{side}>'


def parse(body: bytes) -> tuple[PartyCall, ...]:
    """The calls of a document, ours or another program's.

    Raises:
        ParseError: it isn't one.
    """
    root = read(body)
    if root.tag != f"{{{DIALOG_INFO}}}dialog-info":
        raise ParseError("not a dialog-info document")
    found = (_read(element) for element in root.findall(f"{{{DIALOG_INFO}}}dialog")[:MOST])
    return tuple(call for call in found if call is not None)


def _read(element: Element) -> PartyCall | None:
    state = (element.findtext(f"{{{DIALOG_INFO}}}state") or "").strip()
    if state not in _STATES or not element.get("id"):
        return None
    local, _ = _identity(element, "local")
    remote, name = _identity(element, "remote")
    call = PartyCall(
        element.get("id", ""),
        element.get("call-id", ""),
        element.get("local-tag", ""),
        element.get("remote-tag", ""),
        "initiator" if element.get("direction") == "initiator" else "recipient",
        state,
        local,
        remote,
        name,
    )
    ours = element.find(f"{{{_OURS}}}call")
    if ours is not None:
        call.node, call.session = _number(ours.get("node", "")), _number(ours.get("session", ""))
        call.browsers = tuple(SipUri.parse(each).aor for each in ours.get("browsers", "").split())
    return call


def _identity(element: Element, side: str) -> tuple[str, str]:
    found = element.find(f"{{{DIALOG_INFO}}}{side}/{{{DIALOG_INFO}}}identity")
    return ("", "") if found is None else ((found.text or "").strip(), found.get("display", ""))


def _number(value: str) -> int:
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else -1
