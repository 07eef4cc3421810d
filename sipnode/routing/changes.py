"""The verbs by which a site's own stage changes a request: another target, another number, a header more or less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipnode.base.native import mypyc_attr
from sipnode.proxy.target import Target
from sipnode.routing.facts import Facts
from sipnode.routing.trunks import route_to
from sipnode.sip.headers import canonical, check_header

if TYPE_CHECKING:
    from sipnode.trunk.trunk import Trunk

_OURS: Final = frozenset(("via", "from", "to", "call-id", "cseq", "content-length", "max-forwards", "route", "record-route", "max-breadth"))
"""Headers that the proxy writes itself, or that a transaction is known by."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Changes(Facts):
    """A request that a site may change on its way."""

    __slots__ = ()

    def route_to(self, *trunks: str | Trunk) -> None:
        """Have it go to a trunk: the number of its Request-URI at the trunk's domain, after the trunk's own rules. The script says so, so
        that nobody is asked who it comes from.

        Args:
            trunks: Names or trunks. Of several the first that is there by priority and weight; ``next_trunk()`` takes the others.

        Raises:
            Reject: 503, none of them is there.
            ValueError: there is no trunk of that name.
        """
        route_to(self, self.core.trunks, trunks)

    def ring(self, targets: list[Target], after: float = 0.0, seconds: float = 0.0) -> None:
        """Have it ring there, too, beside the devices that ``location`` finds, or in their place where it finds none.

        Args:
            after: Seconds later than the others, or as soon as those have failed. seconds: For how long at most, 0 for no bound of its own.
        """
        for target in targets:
            target.after, target.seconds = after, seconds
        self.targets += targets

    def add_header(self, name: str, value: str) -> None:
        """Have it go on with one more header.

        Args:
            name: Of any spelling. value: One line.

        Raises:
            ValueError: that is no header, it would be more than one line, or the proxy alone writes it.
        """
        name = canonical(name)
        check_header(name, value)
        if name in _OURS:
            raise ValueError(f"{name} is the proxy's to write")
        self.extra.append((name, value))

    def remove_header(self, name: str) -> None:
        """Have all headers of a name not go on (``remove_hf()``).

        Raises:
            ValueError: the proxy needs it.
        """
        name = canonical(name)
        if name in _OURS:
            raise ValueError(f"{name} is the proxy's to write")
        self.dropped += [position for position, other in enumerate(self.request.names) if other == name]

    def rewrite(self, user: str = "", host: str = "") -> None:
        """Have it go to another number or domain: its Request-URI changes, To stays as the caller wrote it (RFC 3261 §16.5).

        Args:
            user: In place of the user part, as written in a URI; "" keeps it. host: Alike, with ``:port`` where one is wanted.

        Raises:
            ValueError: that can't stand in a URI.
        """
        request = self.request.copy()
        request.set_uri(request.ruri.rewritten(user, host))
        self.request = request
