"""Event package ``reg``: where a user is registered, for itself alone, since it tells its addresses.

Implements: RFC 3680 §4, §5 (documents, always a full state). Pure.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, ClassVar, Final

from sipnode.presence.packages.base import EventPackage
from sipnode.presence.packages.xmlbody import HEAD, text, uri

if TYPE_CHECKING:
    from sipnode.records import Binding, Publication

REGINFO: Final = "urn:ietf:params:xml:ns:reginfo"
MOST: Final = 64
"""Contacts of a document, which has to fit into a datagram."""

_ENDS: Final = {"unregistered": "unregistered", "expired": "expired", "closed": "deactivated", "removed": "deactivated"}
"""Registrar's change -> event (RFC 3680 §5.2): who is deactivated may register again at once."""


class RegPackage(EventPackage):
    """See the module."""

    name: ClassVar[str] = "reg"
    content_types: ClassVar[tuple[str, ...]] = ("application/reginfo+xml",)
    follows: ClassVar[frozenset[str]] = frozenset(("bindings",))
    own_only: ClassVar[bool] = True
    versioned: ClassVar[bool] = True

    def state(self, resource: str, watcher: str, publications: list[Publication], version: int, content_type: str) -> bytes:
        """All contacts of the resource, also those that ended just now."""
        now = self.sources.now()
        there = self.sources.bindings(resource)[:MOST]
        known = {one.ruid for one in there}
        gone = [(kind, one) for kind, one in self.sources.gone(resource) if one.ruid not in known][-MOST:]
        state = "active" if there else "terminated" if gone else "init"
        parts = [
            f'{HEAD}<reginfo xmlns="{REGINFO}" version="{version}" state="full">',
            f'<registration aor="{text(uri(resource))}" id="{_name(resource)}" state="{state}">',
            *[_contact(one, "active", "registered", max(0, round(one.expires - now))) for one in there],
            *[_contact(one, "terminated", _ENDS.get(kind, "deactivated"), 0) for kind, one in gone],
            "</registration></reginfo>\n",
        ]
        return "".join(parts).encode("utf-8", "replace")


def _contact(one: Binding, state: str, event: str, seconds: int) -> str:
    instance = f'<unknown-param name="+sip.instance">{text(one.instance)}</unknown-param>' if one.instance else ""
    return (
        f'<contact id="{_name(one.ruid)}" state="{state}" event="{event}" expires="{seconds}" q="{one.q:g}" '
        f'callid="{text(one.call_id)}" cseq="{one.cseq}"><uri>{text(one.contact)}</uri>{instance}</contact>'
    )


def _name(of: str) -> str:
    return "r" + blake2b(of.encode("utf-8", "replace"), digest_size=6).hexdigest()
