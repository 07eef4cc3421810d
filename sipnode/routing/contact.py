"""Which Contact a message goes on with: one that leads back to where its sender really is.

Implements: RFC 3261 §12.2 (where requests inside a dialog go), Kamailio's ``set_contact_alias()``. The invariant: inside a dialog a Contact
goes on sealed, so that a request by it opens the way to its owner and to nobody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipnode.errors import ParseError
from sipnode.nat.alias import PROTO, set_contact_alias, with_uri_param
from sipnode.proxy.sides import callee_reach
from sipnode.routing.verdict import BranchFlag
from sipnode.sip.address import NameAddr

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.proxy.core import Branch, ProxyCore
    from sipnode.sip.message import SipMessage, SipResponse

CONTACT_METHODS: Final = frozenset(("INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"))
"""Their Contact is where requests inside the dialog go (target refresh)."""


def contact_line(core: ProxyCore, message: SipMessage, flow: Flow, natted: bool, seal: str) -> str:
    """The Contact with the true source of its sender, once, and inside a dialog sealed; "" where it stays as it is.

    Args:
        natted: Its sender isn't where the message says.
        seal: The parameter that seals it, "" outside of dialogs.
    """
    value = message.get("contact")
    aliased = natted and core.aliases and not (value and ";gr" in value and _is_gruu(core, value))
    if not value or not (aliased or seal):
        return ""
    if aliased:
        host, port = flow.remote
        value = set_contact_alias(value, host, port, PROTO[flow.transport])
    if seal:
        value = with_uri_param(value, seal, lambda uri: core.signer.unsealed(uri)[0])
    return f"Contact: {value}"


def _is_gruu(core: ProxyCore, value: str) -> bool:
    """Whether a Contact is a GRUU of ours: that leads back by itself, and a temporary one is there to hide the address."""
    try:
        uri = NameAddr.parse(value).uri
    except ParseError:
        return False
    return "gr" in uri.params and core.is_local(uri.host)


def set_reply_contact(branch: Branch, response: SipResponse) -> None:
    """Have a reply of a branch go back with the Contact by which its sender is really reached (``set_contact_alias`` in onreply_route)."""
    flow, ctx, target = branch.flow, branch.fork.ctx, branch.target
    natted = flow.websocket or bool(target.host or (flow.reliable and target.flags & BranchFlag.NATB and not target.beyond))
    if (natted or ctx.route is not None) and response.cseq_method in CONTACT_METHODS:
        core = branch.core
        seal = "" if ctx.route is None else core.contact_seal(ctx.request, callee_reach(branch, response, []), response.to.tag)
        branch.contact_line = contact_line(core, response, flow, natted, seal)
