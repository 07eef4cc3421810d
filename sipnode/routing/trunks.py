"""Trunks for the verbs of the page: which one a request goes to, and which is the next one when that fails.

The invariant: nobody's request goes to a trunk but that of a user of ours, of a trusted source, or one that the script sends there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipnode.errors import ParseError, Reject
from sipnode.sip.hosts import normal_host
from sipnode.sip.uri import SipUri, unescape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sipnode.proxy.core import Fork, Request
    from sipnode.proxy.target import Target
    from sipnode.trunk.trunk import Trunk
    from sipnode.trunk.trunks import Trunks

_LEFT: Final = "trunks left"
NEXT: Final = frozenset((408, 430, 500, 502, 503, 504))
"""Statuses of a trunk's own faults, so that another one may do better; a callee that is busy is so by any trunk."""


def chosen(trunks: Trunks | None, named: Iterable[str | Trunk]) -> list[Trunk]:
    """Those of them that are there, in the order to try.

    Raises:
        ValueError: there is no trunk of that name.
    """
    found: list[Trunk] = []
    for each in named:
        trunk = (trunks.get(each) if trunks is not None else None) if isinstance(each, str) else each
        if trunk is None:
            raise ValueError(f"there is no [trunk.{each}]")
        found.append(trunk)
    return trunks.ordered(found) if trunks is not None else []


def route_to(r: Request, trunks: Trunks | None, named: Iterable[str | Trunk]) -> None:
    """See :meth:`Request.route_to`."""
    found = chosen(trunks, named)
    if not found:
        raise Reject(503, "Trunk Unavailable", (("retry-after", "10"),), rule="trunk")
    r.targets = [_target(r, found[0])]
    if found[1:]:
        r.vars[_LEFT] = found[1:]


def next_trunk(fork: Fork, trunks: Trunks | None, named: Iterable[str | Trunk] = ()) -> bool:
    """See :meth:`ScriptHooks.next_trunk`."""
    if not any(branch.target.provider is not None for branch in fork.branches) or fork.status not in NEXT:
        return False
    r = fork.ctx
    left: list[Trunk] = r.vars.get(_LEFT, [])
    tried = [branch.target.provider for branch in fork.branches]
    more = [trunk for trunk in (*left, *chosen(trunks, named)) if trunk.up and trunk not in tried]
    r.vars[_LEFT] = more[1:]
    if more:
        fork.add_targets([_target(r, more[0])])
    return bool(more)


def callee_of(uri: SipUri, trunk: Trunk, domains: Sequence[str]) -> str:
    """The address-of-record that a request of a trunk is for: what it sends to our address is for our first domain, what it sends to its
    own user for whom ``[trunk.NAME] incoming`` names.

    Args:
        domains: Ours.
    """
    user, host = unescape(uri.user), uri.host
    if trunk.settings.incoming and user == trunk.settings.user:
        user, _, host = trunk.settings.incoming.partition("@")
    ours = [normal_host(domain) for domain in domains]
    host = normal_host(host)
    return f"{user}@{host if host in ours or not ours else ours[0]}"


def _target(r: Request, trunk: Trunk) -> Target:
    try:
        target = trunk.target(r.request.ruri)
        if target.uri:
            SipUri.parse(target.uri)
    except ParseError:
        raise Reject(484) from None
    return target
