"""A callee says where else to look (300, 301, 302): the search goes on there, instead of in the caller's phone.

Implements: RFC 3261 §16.5, §16.7 (4), §8.1.3.4, §19.1.5; RFC 5393 §3 (why there is a bound). The invariant: no redirection opens a way to
the caller that it hasn't by itself. A user of ours is looked up as for any call; what is abroad is called for users of ours and trusted
sources only, a trunk besides only where one of our own devices said so; nothing is called twice, and no more than so many in all.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, gatherResults

from sipnode.errors import ParseError
from sipnode.proxy.core import Branch, Fork
from sipnode.proxy.forkpolicy import LOCAL
from sipnode.proxy.target import Target
from sipnode.registrar.columns import q_value
from sipnode.registrar.lookup import LookupResult
from sipnode.routing.devices import devices
from sipnode.routing.request import Request
from sipnode.routing.verdict import Flag
from sipnode.sip import build, ids
from sipnode.sip.address import NameAddr
from sipnode.sip.message import SipResponse
from sipnode.sip.uri import SipUri, unescape

if TYPE_CHECKING:
    from collections.abc import Sequence

REDIRECTIONS: Final = frozenset((300, 301, 302))
MOST_READ: Final = 20
"""Contacts of one response that are looked at."""
_STATE: Final = "redirections"


class _Followed:
    """What one request has been sent on to.

    Attributes:
        seen: What was asked for and followed, in one spelling.
        abroad: URIs that were followed to outside.
        asked: Look-ups that the database hasn't answered yet.
        count: Contacts that were followed.
    """

    __slots__ = ("abroad", "asked", "count", "seen")

    def __init__(self, request: Request) -> None:
        self.seen = {_spelt(request, request.ruri)}
        self.abroad: set[str] = set()
        self.asked: list[Deferred[None]] = []
        self.count = 0


def recurse(branch: Branch, response: SipResponse, most: int) -> bool:
    """See :meth:`sipnode.routing.hooks.ScriptHooks.recurse`."""
    fork, request = branch.fork, branch.fork.ctx
    assert isinstance(request, Request)
    if most <= 0 or response.status not in REDIRECTIONS or branch.source == LOCAL or fork.cancelled or fork.finished:
        return False
    if not request.initial or request.method == "REGISTER" or request.flags & Flag.PATH:
        # What another node sends down a flow of ours is that node's to follow.
        return False
    state = _state(request)
    contacts = _contacts(response, request)
    fresh = [(q, uri) for q, uri in contacts if _spelt(request, uri) not in state.seen]
    if contacts and not fresh:
        _instead(branch, 482)
        return False
    found: list[tuple[float, Target]] = []
    waiting: list[tuple[float, Deferred[LookupResult]]] = []
    missing = 0
    for q, uri in fresh:
        if state.count >= most:
            break
        where = _where(request, branch, uri, state)
        if where is None:
            request.core.counters["redirections_refused"] += 1
            continue
        state.count += 1
        state.seen.add(_spelt(request, uri))
        if isinstance(where, Target):
            found.append((q, where))
        elif isinstance(where, LookupResult):
            missing = missing or (where.status if where.status != 200 else 0)
            found += [(q, target) for target in _targets(request, where)]
        else:
            waiting.append((q, where))
    taken = _add(fork, found)
    if taken:
        branch.followed = True
    elif missing and not waiting:
        _instead(branch, missing)
    for q, asked in waiting:
        state.asked.append(asked.addCallback(_late, branch, q))
    return bool(taken or waiting)


def redirected(fork: Fork) -> Deferred[Any] | None:
    """See :meth:`sipnode.routing.hooks.ScriptHooks.redirected`."""
    state = fork.ctx.vars.get(_STATE)
    if not isinstance(state, _Followed) or not state.asked:
        return None
    asked, state.asked = state.asked, []
    return gatherResults(asked, consumeErrors=True)


def _late(result: LookupResult, branch: Branch, q: float) -> None:
    """The database has answered."""
    fork, request = branch.fork, branch.fork.ctx
    assert isinstance(request, Request)
    if fork.finished or fork.cancelled:
        return
    if _add(fork, [(q, target) for target in _targets(request, result)]):
        branch.followed = True
    elif not branch.followed and result.status != 200:
        _instead(branch, result.status)


def _state(request: Request) -> _Followed:
    state = request.vars.get(_STATE)
    if not isinstance(state, _Followed):
        state = request.vars[_STATE] = _Followed(request)
    return state


def _contacts(response: SipResponse, request: Request) -> list[tuple[float, SipUri]]:
    """What a response names, best q first; what can't be a next target is left out: other schemes, headers in a URI, ``sip`` where ``sips``
    was asked for (§8.1.3.4).
    """
    found: list[tuple[float, SipUri]] = []
    for value in response.values("contact")[:MOST_READ] if "contact" in response else ():
        try:
            address = NameAddr.parse(value)
            uri = address.uri
            q = q_value(address.params["q"]) if "q" in address.params else 1.0
        except ParseError:
            continue
        if uri.scheme not in ("sip", "sips", "tel") or uri.query or (request.ruri.secure and not uri.secure):
            continue
        if uri.user:
            found.append((q, uri))
    return sorted(found, key=lambda each: -each[0])


def _where(request: Request, branch: Branch, uri: SipUri, state: _Followed) -> Target | LookupResult | Deferred[LookupResult] | None:
    """Where a contact leads; None where its caller may not be sent there."""
    core, trunks = request.core, request.core.trunks
    ours = uri.scheme != "tel" and core.is_local(uri.host)
    if ours and "gr" in uri.params and core.registrar.gruus is not None:
        return core.registrar.lookup_gruu(uri, request.method)
    serving = []
    if trunks is not None and (uri.scheme == "tel" or (ours and not core.registrar.online(uri.aor))):
        serving = trunks.for_number(uri.user)
    elif trunks is not None and not ours:
        serving = trunks.for_domain(uri.host)
    if serving and trunks is not None:
        there = trunks.ordered(serving)
        # What a call by a trunk costs is no stranger's to say, nor a foreign domain's.
        allowed = request.vouched() and _is_device_of_ours(request, branch, state)
        if not there or not allowed:
            return None
        target = there[0].target(uri)
        target.uri = target.uri or uri.text
        return target
    if uri.scheme == "tel":
        return None
    if ours:
        return core.registrar.lookup(_aor(request, uri), request.method)
    if not request.vouched() or request.core.settings.proxy.foreign != "users":
        return None
    state.abroad.add(uri.text)
    return Target(uri.text, named_by=branch.flow.remote[0])


def _is_device_of_ours(request: Request, branch: Branch, state: _Followed) -> bool:
    target = branch.target
    return request.to_myself and target.provider is None and target.uri not in state.abroad


def _targets(request: Request, result: LookupResult) -> list[Target]:
    return devices(request.core, result.bindings) if result.status == 200 else []


def _add(fork: Fork, found: Sequence[tuple[float, Target]]) -> int:
    """Have them tried: those of the best q at once, the others when these have failed; how many of the first there is room for."""
    groups = [[target for _, target in group] for _, group in groupby(found, key=lambda each: each[0])]
    taken = 0
    for group in groups:
        if taken:
            fork.add_targets(group)
        else:
            taken = fork.ring(group)
    return taken


def _instead(branch: Branch, status: int) -> None:
    """Have a redirection that leads nowhere count as what it comes to."""
    branch.status, branch.source, branch.blame = status, LOCAL, "callee, which redirects to where nobody is"
    branch.response = build.response_to(branch.request, status, "", ids.new_tag(), ())


def _aor(request: Request, uri: SipUri) -> str:
    """The address-of-record of a URI of ours: phones name the server's address where they mean the domain of the call."""
    if request.core.is_domain(uri.host):
        return uri.aor
    return f"{unescape(uri.user)}@{request.ruri.host}"


def _spelt(request: Request, uri: SipUri) -> str:
    """One spelling for what is the same to call."""
    if uri.scheme != "tel" and request.core.is_local(uri.host):
        return f"{_aor(request, uri)};{uri.params.get('gr', '-')}"
    return f"{uri.aor};{uri.port};{uri.params.get('transport', '').lower()}"
