"""Event package ``presence``: whether somebody can be reached, and is on the phone.

The state is what was published, newest first, then a tuple for each registration, and the activity "on the phone" while a call is up. Who
has none of it is closed.

Implements: RFC 3856 §6, RFC 3863, RFC 4480 §3.2. Pure.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sipnode.presence.packages.base import EventPackage
from sipnode.presence.packages.pidf import CONTENT_TYPE, Place, Presence, compose, parse
from sipnode.presence.packages.xmlbody import uri

if TYPE_CHECKING:
    from sipnode.records import Binding, Publication

_CONFIRMED: Final = "confirmed"
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


class PresencePackage(EventPackage):
    """See the module."""

    name: ClassVar[str] = "presence"
    content_types: ClassVar[tuple[str, ...]] = (CONTENT_TYPE,)
    publish_types: ClassVar[tuple[str, ...]] = (CONTENT_TYPE,)
    follows: ClassVar[frozenset[str]] = frozenset(("bindings", "calls"))

    def check(self, body: bytes, content_type: str) -> Any:
        """Read a PIDF document.

        Raises:
            ParseError: it isn't one.
        """
        return parse(body)

    def source(self, parsed: Any) -> str:
        """The id of the person, where it has a UUID in it (RFC 9562): others are the same on every device of a kind."""
        if isinstance(parsed, Presence) and parsed.person is not None and _UUID.search(parsed.person.id):
            return parsed.person.id
        return ""

    def state(self, resource: str, watcher: str, publications: list[Publication], version: int, content_type: str) -> bytes:
        """The merged document."""
        sources = self.sources
        entity = uri(resource)
        published = [one.parsed for one in sorted(publications, key=_weight, reverse=True) if isinstance(one.parsed, Presence)]
        places = [
            Place(_place_id(binding), sources.is_reachable(binding), entity, max(0.0, min(1.0, binding.q)))
            for binding in sources.bindings(resource)
        ]
        on_the_phone = any(call.state == _CONFIRMED for call in sources.calls(resource))
        return compose(entity, published, places, on_the_phone)


def _weight(publication: Publication) -> tuple[int, float]:
    return publication.priority, publication.received


def _place_id(binding: Binding) -> str:
    """A name that stays the device's own over its refreshes, and tells nobody its address."""
    device = binding.instance or binding.contact
    return "reg-" + blake2b(device.encode("utf-8", "replace"), digest_size=6).hexdigest()
