"""The guard that counts wrong passwords, as authentication knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.base.native import mypyc_attr

if TYPE_CHECKING:
    from sipnode.base.flow import Flow


@mypyc_attr(allow_interpreted_subclasses=True)
class DigestGuard:
    """A guard that counts wrong passwords."""

    def is_barred(self, host: str, user: str, flow: Flow | None = None) -> bool:
        """Whether credentials of that ``user@realm`` from there aren't to be looked at; a flow that proved that user isn't meant."""
        raise NotImplementedError

    def refuses_password(self, host: str, user: str, flow: Flow | None = None) -> bool:
        """The same, and also when everything from there is shut out."""
        raise NotImplementedError

    def right(self, host: str, user: str, flow: Flow | None = None) -> None:
        """A request from there proved that user's password, and that somebody is there.

        Args:
            flow: Where it came by, None for HTTP.
        """
        raise NotImplementedError

    def wrong(self, host: str, user: str) -> None:
        """A request that surely came from there had a wrong password or a user that doesn't exist."""
        raise NotImplementedError
