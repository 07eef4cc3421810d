"""The trunk as a branch that goes to it knows it: how its challenges are answered, and whom its failures are told. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.base.native import mypyc_attr

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.sip.message import SipResponse


@mypyc_attr(allow_interpreted_subclasses=True)
class Provider:
    """A trunk, as the proxy meets it."""

    def proof(self, method: str, uri: str, response: SipResponse, flow: Flow, asked: int) -> tuple[str, str] | None:
        """The header that answers a challenge (RFC 3261 §22.3), as ``(canonical name, value)``.

        Args:
            method, uri: Of the request that was challenged, as it was sent.
            response: The 401 or 407. flow: That it came by.
            asked: How many challenges to this request were answered before.

        Returns:
            None where it isn't to be answered: it isn't the trunk that asks, not for its realm, or once more.
        """
        return None

    def ended(self, status: int) -> None:
        """A request to it has ended with 300 or more, received or made here."""
