"""By which flow a branch goes: its connection, its address behind NAT, or what the next URI resolves to.

Implements: RFC 3261 §16.6 (6)-(7), RFC 5626 §5.3, RFC 3263 through IResolver. Where nothing has to be waited for,
nothing is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from sipnode.base.asking import told
from sipnode.base.tap import BARRED, DNS
from sipnode.errors import NoRoute
from sipnode.proxy.destinations import Refused
from sipnode.proxy.reach import literal
from sipnode.records import BindingFlag, Hop
from sipnode.sip.address import NameAddr
from sipnode.sip.uri import SipUri

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.proxy.core import Branch, ProxyCore, Request
    from sipnode.sip.message import SipRequest
    from sipnode.transaction.machine import ClientTransaction


def flow_for(branch: Branch) -> Flow | Deferred[Flow]:
    """The flow that a branch goes by, or a Deferred of it.

    Raises:
        NoRoute: there is none and waiting won't bring one.
    """
    ctx = branch.fork.ctx
    core, target = branch.core, branch.target
    if target.flow or target.key:
        flow = core.flows.by_token(target.flow) if target.flow else None
        if flow is not None and not flow.closed:
            return flow
        if target.key:
            flow = core.flow_by_key(target.key)
            if flow is not None:
                return flow
            elsewhere = target.reach is not None and target.reach.host
            if not ctx.initial and (target.websocket or (target.flags & BindingFlag.NATB and not elsewhere)):
                is_gone(branch)
                return core.wait_for_key(target.key)
        if target.websocket:
            is_gone(branch)
            raise NoRoute("its connection is gone", 480 if ctx.initial else 481)
    if target.host:
        allow(branch, [Hop("UDP", target.host, target.port)], target.host)
        flow = core.flows.udp(Hop("UDP", target.host, target.port))
        if flow is not None:
            return flow
        raise NoRoute("no UDP listener reaches it", 503)
    if target.reach is not None:
        sealed = target.reach
        if not sealed.host:
            is_gone(branch)
            raise NoRoute("its connection is gone", 481)
        host, port, transport, secure = literal(sealed.host), sealed.port, sealed.transport, False
        # Whether its owner may be there was judged when it was sealed.
        peer = sealed.host
    else:
        uri = next_uri(branch)
        if uri.scheme == "tel":
            raise NoRoute("a tel URI has no address", 404)
        if uri.host.endswith(".invalid"):
            raise NoRoute("its connection is gone", 480 if ctx.initial else 481)
        transport = uri.params.get("transport", "").upper()
        if transport in ("WS", "WSS"):
            raise NoRoute("a WebSocket can't be opened from here", 480 if ctx.initial else 481)
        host, port, secure = uri.params.get("maddr") or uri.host, uri.port, uri.secure
        peer = target.named_by or ctx.flow.remote[0]
    hops = core.resolver.numeric(host, port, transport, secure)
    if hops is not None:
        if not target.beyond:
            allow(branch, hops, peer)
        if hops[0].transport == "UDP":
            flow = core.flows.udp(hops[0])
            if flow is None:
                raise NoRoute("no UDP listener reaches it", 503)
            return flow
        branch.hops = list(hops)
        return flow_to_hops(branch)
    target.resolved = True
    asked = core.resolver.resolve(host, port, transport, secure)
    call_id = ctx.request.get("call-id") or ""
    resolving = told(core.tap, core.clock, call_id, DNS, host, asked, lambda found: tuple(map(_address, found)))

    def resolved(hops: list[Hop]) -> Deferred[Flow]:
        branch.hops = list(hops) if target.beyond else list(allow(branch, hops, peer))
        return flow_to_hops(branch)

    return resolving.addCallback(resolved)


def is_gone(branch: Branch) -> None:
    """Tell that the connection of a branch is."""
    branch.core.lost_flows.met(branch.fork.ctx.request, branch.target.flow, branch.index, branch.core.clock())


def _address(hop: Hop) -> str:
    return f"{hop.transport.lower()}:{hop.host}:{hop.port}"


def allow(branch: Branch, hops: list[Hop], peer: str) -> list[Hop]:
    """Those of the hops that may be sent to because the peer named them.

    Raises:
        Refused: none of them; the request and a counter know why.
    """
    ctx = branch.fork.ctx
    destinations = branch.core.destinations
    if len(hops) == 1 and not destinations.refusal(hops[0].host, hops[0].port, peer):
        return hops
    try:
        return destinations.permitted(hops, peer)
    except Refused as refused:
        ctx.blame(f"destination_{refused.rule}")
        watcher = branch.core.tap.on_noted
        if watcher is not None:
            watcher.noted(branch.core.clock(), ctx.request.get("call-id") or "", BARRED, (branch.index, refused.reason))
        raise


def next_uri(branch: Branch) -> SipUri:
    """The topmost Route's URI, or the Request-URI."""
    ctx = branch.fork.ctx
    routes = branch.target.routes or (ctx.route.routes if ctx.route is not None else ())
    if routes:
        return NameAddr.parse(routes[0]).uri
    return SipUri.parse(branch.target.uri) if branch.target.uri else branch.request.ruri


def too_large(branch: Branch, request: SipRequest) -> bool:
    """Whether a request should rather go by TCP than in one datagram (RFC 3261 §18.1.1)."""
    mtu = branch.core.udp_mtu
    return mtu > 0 and not branch.flow.reliable and len(request.to_bytes()) > mtu


def over_tcp(branch: Branch) -> Deferred[Flow]:
    """A TCP connection to where the branch's UDP flow goes, or that flow where none is taken (§18.1.1). Asked once only."""
    flow = branch.flow
    branch.target.resolved = False
    connecting = branch.core.flows.connect(
        Hop("TCP", *flow.remote), cause_of(branch.fork.ctx)
    )
    return connecting.addErrback(lambda failure: flow)


def flow_to_hops(branch: Branch) -> Deferred[Flow]:
    """Connect to the first of the remaining hops that takes the connection."""
    core = branch.core
    if not branch.hops:
        failed: Deferred[Flow] = Deferred()
        failed.errback(NoRoute("no address of it answers", 503))
        return failed
    hop = branch.hops.pop(0)
    # Only names have a choice of addresses to remember failures for.
    branch.hop = hop if branch.target.resolved else None
    if branch.target.server_id and hop.transport == "TLS":
        hop = replace(hop, server_id=branch.target.server_id)
    connecting = core.flows.connect(hop, cause_of(branch.fork.ctx))
    if branch.hops and not connecting.called:
        connecting.addTimeout(core.next_host_seconds, core.reactor)

    def next_one(failure: Failure) -> Deferred[Flow]:
        if branch.hop is not None:
            core.resolver.failed(hop)
        if branch.hops:
            return flow_to_hops(branch)
        if failure.check(NoRoute):
            return fail(failure)
        raise NoRoute(f"{hop.transport.lower()}:{hop.host}:{hop.port} doesn't answer", 503)

    return connecting.addErrback(next_one)


def cause_of(ctx: Request) -> str:
    """On whose behalf a connection is opened for a request: its user, else where it came from; "" for those who are trusted."""
    if ctx.proxy.authenticator.trusts(ctx.flow):
        return ""
    return str(ctx.identity or ctx.proxy.transactions.place_of(ctx.flow))


def hurry(core: ProxyCore, transaction: ClientTransaction, sister: bool) -> None:
    """Don't wait for timers B and F where another address is left, or nobody but a dead node would be silent.

    Args:
        sister: It goes to a sister node: if she lives she says 100 to an INVITE at once. Else it goes to one of several hosts of a
            domain, and who is there says 100 within 200 ms; to another method only within 4 s (RFC 4320 §4.1).
    """
    if transaction.invite:
        seconds = core.node_seconds if sister else core.next_host_seconds
    elif sister:
        return
    else:
        seconds = 4 * core.next_host_seconds
    transaction.expires_at = min(transaction.expires_at, core.clock() + seconds)
    core.transactions.reschedule(transaction)
