"""The routing policy: what a kamailio.cfg says, on one page, in its words.

``REQUEST_ROUTE`` names the stages in order; the engine takes each request through them until one gives a Verdict. A site
changes it by settings, by a plugin stage, or by a subclass in ``conf/routing.py`` that overrides one method.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.defer import Deferred
from zope.interface import implementer

from sipnode.auth.claims import is_anonymous
from sipnode.errors import Reject
from sipnode.interfaces import IRoutingScript
from sipnode.nat.alias import PROTO, handle_ruri_alias, set_contact_alias, with_uri_param
from sipnode.nat.fixup import fix_nated_register
from sipnode.nat.rules import is_natted, is_pinged
from sipnode.nat.tests import from_neighbour, nat_uac_test
from sipnode.proxy.identity import is_harmless, judge
from sipnode.proxy.record_route import loose_route, taken_over
from sipnode.proxy.relay import relay
from sipnode.proxy.sides import callee_reach
from sipnode.proxy.target import Target
from sipnode.registrar.register import aor_of
from sipnode.routing import capabilities
from sipnode.routing.natmanage import NatManage
from sipnode.routing.order import on
from sipnode.routing.passedon import device_of
from sipnode.routing.verdict import BranchFlag, Flag, Verdict
from sipnode.sip import sanity

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.proxy.seal import RouteState
    from sipnode.records import Reach
    from sipnode.registrar.lookup import LookupResult
    from sipnode.routing.core import Core
    from sipnode.routing.request import Request
    from sipnode.sip.message import SipMessage, SipResponse

CONTACT_METHODS = frozenset(("INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"))
"""Their Contact is where requests inside the dialog go (target refresh)."""

NEW_WORK = frozenset(("INVITE", "SUBSCRIBE", "MESSAGE"))
"""What is refused outside of dialogs while the server has too much to do or is about to stop; registrations are kept up."""


@implementer(IRoutingScript)
class RoutingScript:
    """The policy of the package."""

    REQUEST_ROUTE: ClassVar[tuple[str, ...]] = (
        "reqinit", "natdetect", on("CANCEL", "cancel"), "withindlg", "path", on("OPTIONS", "options"), "auth", "record", "sipout",
        on("PUBLISH SUBSCRIBE", "presence"), on("REGISTER", "registrar"), "address_complete", "location",
    )  # fmt: skip

    def __init__(self, core: Core) -> None:
        self.core = core
        self.media = NatManage(core)
        self.nat = core.settings.nat

    # -- request_route

    def reqinit(self, ctx: Request) -> Verdict | None:
        """Refuse what can't be routed: maxfwd, sanity, Proxy-Require."""
        request = ctx.request
        sanity.check(request)
        if sanity.max_forwards(request) == 0:
            raise Reject(483)
        if "proxy-require" in request:
            raise Reject(420, "", (("unsupported", ", ".join(request.values("proxy-require"))),))
        if not request.to.tag or request.method == "REGISTER":
            # A REGISTER makes no dialog and is in none, whatever tag a phone has kept from an answer (RFC 3261 §10.2).
            ctx.set(Flag.INITIAL)
            if self.core.busy and (request.method in NEW_WORK or (request.method == "REGISTER" and self.would_be_cut(ctx.flow))):
                ctx.blame("busy")
                seconds = max(wait() for wait in self.core.busy.values())
                raise Reject(503, "", (("retry-after", str(seconds)),))
        return None

    def would_be_cut(self, flow: Flow) -> bool:
        """Whether the server is about to stop and a connection has no binding yet: one would be gone with it in a moment."""
        return "drain" in self.core.busy and flow.reliable and not self.core.registrar.table.on_flow(flow.token)

    def natdetect(self, ctx: Request) -> None:
        """Find out whether the sender is where it says (nat_uac_test), and remember where it really is."""
        flow = ctx.flow
        if flow.websocket:
            ctx.flags |= Flag.WS | Flag.NATS
            return
        rules = self.core.nat_rules
        natted = is_natted(rules, ctx.request, flow.remote[0]) if rules is not None else None
        if natted is None:
            natted = nat_uac_test(self.nat.uac_test, ctx.request, flow.remote[0], flow.remote[1], False) > 0
        if natted:
            ctx.flags |= Flag.NATS

    def cancel(self, ctx: Request) -> Verdict | None:
        """CANCEL goes to the branches of the INVITE that it cancels."""
        if ctx.request.method != "CANCEL":
            return None
        return self.core.cancel(ctx)

    def withindlg(self, ctx: Request) -> Any:
        """A request inside a dialog goes on by our own signed Route, or not at all."""
        request = ctx.request
        if ctx.flags & Flag.INITIAL:
            return None if request.method != "ACK" else Verdict.DROPPED
        route = loose_route(request, self.core.signer, self.core.is_own)
        if route is None:
            if request.method == "ACK":
                return Verdict.DROPPED
            if request.method == "SUBSCRIBE" and ctx.domain_is_local(request.ruri.host):
                # From elsewhere than its subscription it takes the way of a new request, by way of its sender's password.
                presence = self.core.presence
                return self.presence(ctx) if presence is None or presence.is_at_home(ctx) else None
            raise Reject(404, "Not here")
        if not self.core.dialogs.access.is_open(ctx, route):
            raise Reject(481)
        if not self.core.may_speak(ctx, route):
            return self.strange_end(ctx, route)
        return self.follow(ctx, route)

    def strange_end(self, ctx: Request, route: RouteState) -> Any:
        """A request in a dialog that comes from elsewhere: a user of ours may have moved and can prove it, nobody else is believed."""
        self.core.counters["strange_ends"] += 1
        if ctx.request.method == "ACK":
            return Verdict.DROPPED
        if not self.core.authenticator.needs_auth(ctx):
            raise Reject(403, "Not Your Dialog")

        def checked(verdict: Any) -> Any:
            if verdict is not None:
                return verdict
            if not self.core.proved(ctx, route):
                raise Reject(403, "Not Your Dialog")
            self.record(ctx)
            return self.follow(ctx, route)

        asked = self.core.authenticator.check(ctx, True)
        return asked.addCallback(checked) if isinstance(asked, Deferred) else checked(asked)

    def follow(self, ctx: Request, route: RouteState) -> Verdict:
        """loose_route(): on to the other end of the dialog."""
        request = ctx.request
        ctx.route = route
        ctx.record_route = request.method == "NOTIFY"
        self.core.dialogs.request(ctx)
        far = taken_over(route, request, self.core.signer, self.core.has_key) if route.routes else route.far
        if request.method == "BYE":
            self.media.bye(ctx, route)
        ctx.targets = [self.dlguri(ctx, route, far)]
        return self.relay(ctx)

    def path(self, ctx: Request) -> Verdict | None:
        """A request that another node sends by the Path of one of our bindings goes down its flow, and nowhere else; who may
        send it was that node's to ask.
        """
        if self.core.nodes is None:
            return None
        reach = self.core.nodes.arrived(ctx.request)
        if reach is None:
            return None
        ctx.flags = ctx.flags & ~Flag.NATS | Flag.PATH
        ctx.record_route = ctx.request.method in ("INVITE", "SUBSCRIBE", "REFER")
        ctx.targets = [self.core.from_path(ctx, reach)]
        return self.relay(ctx)

    def dlguri(self, ctx: Request, route: RouteState, far: Reach) -> Target:
        """The other end of a dialog: as our Route says, or a Contact of it that we have sealed since; never as the message alone says.

        Raises:
            Reject: 403, Routes of other proxies remain and aren't those of this dialog.
        """
        signer, request = self.core.signer, ctx.request
        uri, seal = signer.unsealed(route.uri or request.uri)
        moved = signer.read_contact(seal, request.call_id, request.to.tag, ctx.now) if seal else None
        if (route.routes or route.mark) and not signer.agrees(route, None if moved is not None else uri):
            raise Reject(403, "Not The Way Of This Dialog")
        if not route.routes:
            # Else it is the next proxy's to read: it or one behind it wrote it.
            uri, _ = handle_ruri_alias(uri)
            far = moved or far
        target = Target(uri if uri != request.uri else "", far.flow, far.key, websocket=far.websocket, reach=far)
        if far.natted:
            target.flags = BranchFlag.NATB
            if not far.flow:
                target.host, target.port = far.host, far.port
        return target

    def options(self, ctx: Request) -> Verdict | None:
        """OPTIONS to the server itself is answered, also to strangers: it tells nothing that a challenge wouldn't."""
        request = ctx.request
        if request.method != "OPTIONS" or request.ruri.user or not ctx.domain_is_local(request.ruri.host):
            return None
        return ctx.reply(200, "", capabilities.HEADERS)

    def auth(self, ctx: Request) -> Any:
        """Digest for REGISTER and for everybody who says to be one of ours (auth_check, auth_challenge)."""
        return self.core.authenticator.check(ctx, ctx.request.method != "REGISTER")

    def record(self, ctx: Request) -> None:
        """Stay in the path of dialogs; strangers don't steer phones outside of them."""
        request = ctx.request
        if ctx.flags & Flag.INITIAL:
            if not ctx.identity and self.core.authenticator.is_stranger(ctx):
                self.stranger(ctx)
            self.core.dialogs.access.admit(ctx)
        if request.method in ("INVITE", "SUBSCRIBE", "REFER"):
            ctx.record_route = True
        if self.core.history is not None and ctx.identity and request.method == "INVITE":
            self.core.history.step(request.call_id, "auth", "%s has proved its password", ctx.identity)

    def stranger(self, ctx: Request) -> None:
        """What anybody may send: calls, messages and questions, with a name or without one."""
        request, proxy = ctx.request, self.core.settings.proxy
        method = request.method
        if method not in proxy.strangers and method != "REGISTER" and not proxy.strangers_may(method, request.get("event")):
            ctx.blame("strangers")
            raise Reject(403, "Not for Strangers")
        if not proxy.anonymous and is_anonymous(request.from_.uri):
            ctx.blame("anonymous")
            raise Reject(433, "Anonymity Disallowed")

    def sipout(self, ctx: Request) -> Verdict | None:
        """Foreign domains, and devices of ours by a Contact that we passed on: for users of ours and trusted addresses only.
        Nobody else's Route is followed anywhere.
        """
        request = ctx.request
        uri = request.ruri
        if uri.scheme == "tel" or ctx.domain_is_local(uri.host):
            return None
        if self.core.authenticator.trusts(ctx.flow):
            ctx.set(Flag.TRUSTED)
        if request.method == "REGISTER":
            self.core.foreign_register(uri.host)
        if "alias" in uri.params and (ctx.identity or ctx.has(Flag.TRUSTED)) and request.method not in ("REGISTER", "PUBLISH"):
            device = device_of(self.core, request.uri)
            if device is not None:
                ctx.targets = [device]
                return self.relay(ctx)
        if self.core.settings.proxy.foreign != "users" or not (ctx.identity or ctx.has(Flag.TRUSTED)):
            ctx.blame("relaying")
            raise Reject(403, "Relaying Denied")
        if request.method == "REGISTER":
            raise Reject(403, "Not Our Domain")
        ctx.extra.append(("p-hint", "outbound"))
        ctx.targets = [Target(routes=self.core.preloaded(request) if "route" in request else ())]
        return self.relay(ctx)

    def presence(self, ctx: Request) -> Any:
        """PUBLISH and SUBSCRIBE; nobody keeps mailboxes where no package for them is served."""
        request, service = ctx.request, self.core.presence
        if request.method not in ("PUBLISH", "SUBSCRIBE"):
            return None
        event = (request.get("event") or "").partition(";")[0].strip().lower()
        if event == "message-summary" and (service is None or event not in service.packages):
            raise Reject(404, "No voicemail service")
        if service is None:
            raise Reject(489, "", (("allow-events", ", ".join(capabilities.EVENTS)),))
        ctx.begin()
        if request.method == "PUBLISH":
            return service.publish(ctx, self.core.authenticator.trusts(ctx.flow))
        return service.subscribe(ctx)

    def registrar(self, ctx: Request) -> Any:
        """REGISTER: save("location")."""
        if ctx.request.method != "REGISTER":
            return None
        domain = aor_of(ctx.request).rpartition("@")[2]
        if not ctx.domain_is_local(domain):
            self.core.foreign_register(domain)
            raise Reject(404, "Not Our Domain")
        if "path" in ctx.request and not self.takes_path(ctx):
            raise Reject(403, "Path Not Taken From Here")
        cflags, rules = fix_nated_register(ctx.flags & Flag.NATS, ctx.flow.transport), self.core.nat_rules
        if rules is not None and not is_pinged(rules, ctx.request, ctx.flow.remote[0]):
            cflags &= ~BranchFlag.NATSIPPING
        return self.core.registrar.save(ctx, cflags)

    def takes_path(self, ctx: Request) -> bool:
        """Whether an edge proxy may say in this REGISTER that its user is reached through it (RFC 3327)."""
        who = self.core.settings.location.path
        return who == "users" or (who == "trusted" and self.core.authenticator.trusts(ctx.flow))

    def address_complete(self, ctx: Request) -> None:
        """A URI without a user names nobody."""
        if not ctx.request.ruri.user:
            raise Reject(484)

    def location(self, ctx: Request) -> Any:
        """lookup("location"): where the user is now."""
        request = ctx.request
        result = self.core.registrar.lookup(request.ruri.aor, request.method)
        if isinstance(result, Deferred):
            return result.addCallback(self.located, ctx)
        return self.located(result, ctx)

    def located(self, result: LookupResult, ctx: Request) -> Verdict:
        """Relay to what the lookup found."""
        if result.status != 200:
            headers = (("allow", capabilities.METHODS),) if result.status == 405 else ()
            raise Reject(result.status, "", headers or ((("retry-after", "5"),) if result.status == 503 else ()))
        ctx.targets = [self.core.target(binding) for binding in result.bindings]
        if self.core.history is not None and ctx.request.method == "INVITE":
            first = result.bindings[0]
            found = first.contact if len(result.bindings) == 1 else ", ".join(binding.contact for binding in result.bindings)
            self.core.history.step(ctx.request.call_id, "location", "%s is at %s", first.aor, found)
        return self.relay(ctx)

    def relay(self, ctx: Request) -> Verdict:
        """t_relay()."""
        line, request = "", ctx.request
        if not (is_harmless(request) or ctx.flags & Flag.PATH):
            self.remove_claims(ctx)
        if request.method in CONTACT_METHODS and (ctx.flags & Flag.NATS or ctx.route is not None):
            seal = "" if ctx.route is None else self.core.contact_seal(ctx, self.core.near_side(ctx), request.from_.tag)
            # Whoever sent it to the proxy before us has its alias from that one.
            line = self.contact_line(request, ctx.flow, bool(ctx.flags & Flag.NATS) and from_neighbour(request), seal)
        relay(ctx, line)
        return Verdict.RELAYED

    def remove_claims(self, ctx: Request) -> None:
        """Who sends it says who it is only as far as that is proved; nobody makes another's phone answer; our credentials end here."""
        core = self.core
        trusted = core.authenticator.trusts(ctx.flow)
        may_answer = trusted or (ctx.identity != "" and core.settings.proxy.auto_answer == "users")
        gone, added, claims = judge(ctx.request, ctx.identity, trusted, may_answer, core.is_local)
        if gone:
            ctx.dropped.extend(gone)
            ctx.extra.extend(added)
            core.counters["removed_claims"] += claims

    def contact_line(self, message: SipMessage, flow: Flow, natted: bool, seal: str) -> str:
        """set_contact_alias(): the Contact with the true source of its sender, once, and inside a dialog sealed; "" where it stays
        as it is.
        """
        value = message.get("contact")
        aliased = natted and self.nat.contact_alias
        if not value or not (aliased or seal):
            return ""
        if aliased:
            host, port = flow.remote
            value = set_contact_alias(value, host, port, PROTO[flow.transport])
        if seal:
            value = with_uri_param(value, seal, lambda uri: self.core.signer.unsealed(uri)[0])
        return f"Contact: {value}"

    # -- branch_route, onreply_route, failure_route

    def manage_branch(self, branch: Any) -> Any:
        """branch_route[MANAGE_BRANCH]."""
        return self.media.branch(branch)

    def manage_reply(self, branch: Any, response: SipResponse) -> Any:
        """onreply_route[MANAGE_REPLY]: each 1xx and 2xx of a branch."""
        flow, ctx = branch.flow, branch.fork.ctx
        target = branch.target
        natted = flow.websocket or bool(target.host or (flow.reliable and target.flags & BranchFlag.NATB and not target.beyond))
        if (natted or ctx.route is not None) and response.cseq_method in CONTACT_METHODS:
            seal = "" if ctx.route is None else self.core.contact_seal(ctx, callee_reach(branch, response, []), response.to.tag)
            branch.contact_line = self.contact_line(response, flow, natted, seal)
        return self.media.reply(branch, response)

    def branch_failure(self, branch: Any, response: SipResponse) -> None:
        """event_route[tm:branch-failure:rtpengine]."""
        self.media.failure(branch, response.status)

    def manage_failure(self, fork: Any) -> Any:
        """failure_route[MANAGE_FAILURE]: who has left a node that died is looked up once more; a site adds targets here."""
        return self.core.follow(fork)

    def onreply_route(self, response: SipResponse, flow: Flow) -> bool:
        """Every reply, before it is matched: plain SIP has no business on a WebSocket port."""
        return flow.websocket or not flow.listener.websocket_port

    # -- events

    def presence_policy(self, watcher: str, resource: str, event: str) -> str | None:
        """Who may watch whom: 'active', 'pickup' (with all that it takes to pick up a call), 'pending', 'rejected', or None to leave it
        to ``[presence] policy``.
        """
        return None

    def xhttp_request(self, http: Any) -> int | None:
        """event_route[xhttp:request]: a status refuses the request, None lets it go on."""
        return None

    def websocket_closed(self, flow: Flow) -> None:
        """event_route[websocket:closed]."""


