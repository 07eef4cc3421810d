"""The copy of a request that goes on, and of a response that goes back.

Implements: RFC 3261 §16.6 (1)-(8), §16.7 (3), §16.11 (stateless ACK). Only the lines that have to change are touched; all
others go out octet for octet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipnode.base.tap import BRANCHED
from sipnode.proxy.record_route import strict_next
from sipnode.proxy.sides import route_token
from sipnode.sip.grammar import line_value
from sipnode.sip.headers import check_header, pretty
from sipnode.sip.ids import MAGIC_COOKIE
from sipnode.sip.message import SipRequest, SipResponse
from sipnode.sip.sanity import max_forwards

if TYPE_CHECKING:
    from sipnode.base.flow import Listener
    from sipnode.proxy.core import Branch

_EVERY_RESPONSE: Final = frozenset(("via", "from", "to", "call-id", "cseq", "content-length"))


def forwarded_request(branch: Branch) -> SipRequest:
    """The request as a branch sends it: our Via on top, Record-Route where the script asked for it, Max-Forwards one less,
    our Route and consumed credentials gone.
    """
    fork = branch.fork
    ctx = fork.ctx
    core = branch.core
    target = branch.target
    request = ctx.request
    uri = target.uri or request.uri
    route = ctx.route
    routes: list[str] | None = None
    if route is not None:
        if not target.uri and route.uri:
            uri = route.uri
        routes = route.routes
    if target.routes:
        routes = [*target.routes, *(routes or ())]
    if routes:
        routes, uri = strict_next(routes, uri)
    watcher = core.tap.on_noted
    if watcher is not None and request.method == "INVITE":
        there = (branch.index, "INVITE", uri, branch.flow.transport, branch.flow.remote)
        watcher.noted(core.clock(), request.get("call-id") or "", BRANCHED, there)
    names = request.names.copy()
    lines = request.lines.copy()
    index = request.index()
    if route is not None and core.renumbering.any:
        core.renumbering.rewrite(request, lines, ctx.now)
    forwards = index.get("max-forwards")
    if forwards is not None:
        lines[forwards] = f"Max-Forwards: {max_forwards(request) - 1}"
    if fork.contact_line and "contact" in index:
        lines[index["contact"]] = fork.contact_line
    body = request.body
    if branch.body is not None:
        body = branch.body
        length = index.get("content-length")
        if length is None:
            names.append("content-length")
            lines.append(f"Content-Length: {len(body)}")
        else:
            lines[length] = f"Content-Length: {len(body)}"
    elif "content-length" not in index:
        names.append("content-length")
        lines.append(f"Content-Length: {len(body)}")
    gone = ctx.dropped
    if "route" in index:
        if request.names.count("route") == 1:
            gone = [*gone, index["route"]]
        else:
            gone = [*gone, *(i for i, name in enumerate(request.names) if name == "route")]
    if gone:
        for position in sorted(set(gone), reverse=True):
            del names[position]
            del lines[position]
    if forwards is None:
        names.append("max-forwards")
        lines.append(f"Max-Forwards: {core.max_forwards}")
    if ctx.extra or fork.extra or branch.proof:
        for name, value in (*ctx.extra, *fork.extra, *branch.proof):
            check_header(name, value)
            names.append(name)
            lines.append(f"{pretty(name)}: {value}")
    top = [f"Via: SIP/2.0/{branch.flow.transport} {via_host(branch.flow.listener)};branch={branch.branch_id}"]
    if request.method == "INVITE":
        top[0] += core.via_seal.param(branch.branch_id, request.call_id, ctx.flow.transport, *ctx.flow.remote, ctx.now)
    if branch.flow.offers_alias:
        top[0] += ";alias"
    kinds = ["via"]
    if ctx.record_route:
        branch.token = route_token(branch)
        recorded = core.signer.lines(ctx.flow.listener, branch.flow.listener, branch.token)
        top += recorded
        kinds += ["record-route"] * len(recorded)
    if target.path:
        top.append(f"Path: {target.path % own_place(branch.flow.listener)}")
        kinds.append("path")
    if routes:
        top += [f"Route: {value}" for value in routes]
        kinds += ["route"] * len(routes)
    return SipRequest(request.method, uri, kinds + names, top + lines, body)


def via_host(listener: Listener) -> str:
    """``host:port`` for Via."""
    return f"{listener.via_host}:{listener.via_port}"


def own_place(listener: Listener) -> str:
    """The same in a URI, with the transport where it isn't UDP."""
    kind = "" if listener.transport == "UDP" else f";transport={listener.transport.lower()}"
    return f"{listener.via_host}:{listener.via_port}{kind}"


def stateless_branch(request: SipRequest) -> str:
    """The branch of a request that is forwarded without state: the same for each repeat (§16.11)."""
    via = request.via
    return f"{MAGIC_COOKIE}sl{hash((via.branch, via.host, via.port, request.call_id, request.cseq)) & 0xFFFFFFFFFFFFFFFF:x}"


def returned_response(response: SipResponse, contact_line: str = "", changed: list[str] | None = None) -> SipResponse:
    """The response without our own Via (§16.7 (3)); its other lines as they came, but for another Contact if one is given.

    Args:
        changed: All its header lines as they are to go on, where some have been changed; it is taken over.
    """
    position = response.index()["via"]
    line = response.lines[position]
    names = response.names.copy()
    lines = response.lines.copy() if changed is None else changed
    if contact_line and "contact" in response:
        lines[response.index()["contact"]] = contact_line
    comma = line.find(",")
    if comma < 0:
        del names[position]
        del lines[position]
    elif '"' not in line[:comma] and "\r" not in line:
        lines[position] = "Via: " + line[comma + 1 :].lstrip()
    else:
        copy = SipResponse(response.status, response.reason, names, lines, response.body)
        copy.pop_first("via")
        return copy
    return SipResponse(response.status, response.reason, names, lines, response.body)


def renumbered(response: SipResponse, request: SipRequest) -> SipResponse:
    """The response with the number that the sender of a request inside a dialog has given it."""
    if response.cseq == request.cseq:
        return response
    copy = response.copy()
    copy.set("cseq", f"{request.cseq} {request.cseq_method}")
    return copy


def own_headers(response: SipResponse) -> list[tuple[str, str]]:
    """``(canonical name, value)`` of what a response made here has beside the headers that every response has."""
    return [
        (name, line_value(line))
        for name, line in zip(response.names, response.lines, strict=True)
        if name not in _EVERY_RESPONSE
    ]


def challenges(response: SipResponse) -> list[tuple[str, str]]:
    """``(canonical name, value)`` of the challenges of a 401 or 407, to be gathered in the one that is forwarded (§16.7 (7))."""
    return [
        (name, line_value(line))
        for name, line in zip(response.names, response.lines, strict=True)
        if name in ("www-authenticate", "proxy-authenticate")
    ]
