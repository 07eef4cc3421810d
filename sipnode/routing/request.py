"""One request on its way through the script: the verbs of the page, in the order of ``REQUEST_ROUTE``.

Facts about it stand in :mod:`sipnode.routing.facts`, a site's changes in :mod:`sipnode.routing.changes`. The invariant: ``request`` is as
it was received; every change goes to a branch's copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred

from sipnode.base.asking import Answer, told
from sipnode.base.native import mypyc_attr
from sipnode.base.tap import DATABASE, LOCATED, PROVED
from sipnode.errors import Reject
from sipnode.nat.fixup import fix_nated_register
from sipnode.nat.rules import is_natted, is_pinged
from sipnode.nat.tests import from_neighbour, nat_uac_test
from sipnode.proxy.identity import is_harmless, judge
from sipnode.proxy.record_route import loose_route
from sipnode.proxy.relay import relay
from sipnode.proxy.target import Target
from sipnode.registrar.lookup import LookupResult
from sipnode.registrar.register import aor_of
from sipnode.routing import capabilities
from sipnode.routing.cancelling import cancel
from sipnode.routing.changes import Changes
from sipnode.routing.contact import CONTACT_METHODS, contact_line
from sipnode.routing.devices import devices
from sipnode.routing.edge import is_for
from sipnode.routing.facts import NO_TRUNKS
from sipnode.routing.passedon import device_of
from sipnode.routing.trunks import callee_of, route_to
from sipnode.routing.verdict import BranchFlag, Flag, Step, Verdict
from sipnode.routing.withindialog import other_end
from sipnode.sip import sanity

NEW_WORK: Final = frozenset(("INVITE", "SUBSCRIBE", "MESSAGE"))
"""Methods refused outside of dialogs while the server has too much to do or is about to stop; registrations are kept up."""
STAYED_IN: Final = frozenset(("INVITE", "SUBSCRIBE", "REFER"))
"""Methods that begin a dialog in whose path we stay."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Request(Changes):
    """The request that a stage works with; its methods are the verbs of the page."""

    __slots__ = ()

    def sanity_check(self) -> None:
        """Find out whether it can be routed, and whether it is in a dialog (:attr:`initial`).

        Raises:
            ParseError: it can't; with the status that answers it: 400, 416 or 505.
        """
        request = self.request
        sanity.check(request)
        # A REGISTER makes no dialog and is in none, whatever tag a phone has kept from an answer (RFC 3261 §10.2).
        if not request.to.tag or request.method == "REGISTER":
            self.flags |= Flag.INITIAL

    def busy_seconds(self) -> int:
        """In how many seconds to come again with new work: the server has too much to do, or is about to stop. 0 for now."""
        busy = self.core.busy
        if not busy or not self.flags & Flag.INITIAL:
            return 0
        method = self.request.method
        if method not in NEW_WORK and not (method == "REGISTER" and self._would_be_cut()):
            return 0
        return max(wait() for wait in busy.values())

    def _would_be_cut(self) -> bool:
        """Whether the server is about to stop and the connection has no binding yet: one would be gone with it in a moment."""
        return "drain" in self.core.busy and self.flow.reliable and not self.core.registrar.table.on_flow(self.flow.token)

    def detect_nat(self) -> Step:
        """Note whether its sender isn't where it says (:attr:`natted`): a browser never is; else by the rules of ``[nat]`` for its network,
        or by ``[nat] uac_test``.
        """
        if self.flow.websocket:
            self.flags |= Flag.WS | Flag.NATS
            return None
        host, port = self.flow.remote
        rules = self.core.nat_rules
        natted = is_natted(rules, self.request, host) if rules is not None else None
        if natted is None:
            natted = nat_uac_test(self.core.settings.nat.uac_test, self.request, host, port, False) > 0
        if natted:
            self.flags |= Flag.NATS
        return None

    def cancel_invite(self) -> Verdict:
        """It is a CANCEL: to the branches of the INVITE that it cancels (RFC 3261 §9.2)."""
        return cancel(self.core, self)

    def loose_route(self) -> bool:
        """Whether our own signed Route leads it on inside its dialog; :attr:`route` then has what that said.

        Raises:
            Reject: 481, that dialog is over.
        """
        core = self.core
        route = loose_route(self.request, core.signer, core.is_own)
        if route is None:
            return False
        if not core.dialogs.access.is_open(self, route):
            raise Reject(481)
        self.route = route
        return True

    @property
    def from_its_end(self) -> bool:
        """Whether it comes from the end of its dialog that its Route was made for: by address, connection, device, or where that end
        has proved itself since. Only after :meth:`loose_route`.
        """
        return self.route is not None and self.core.may_speak(self, self.route)

    def prove_end(self, then: Callable[[Request], Step]) -> Step:
        """It comes from elsewhere: a user of ours may have moved and can prove it, nobody else is believed.

        Args:
            then: Goes on with it when the end of its dialog has proved itself.

        Raises:
            Reject: 403, it hasn't, or can't.
        """
        core = self.core
        core.counters["strange_ends"] += 1
        if self.request.method == "ACK":
            return Verdict.DROPPED
        if not core.authenticator.needs_auth(self):
            raise Reject(403, "Not Your Dialog")

        def checked(step: Verdict | None) -> Step:
            if step is not None:
                return step
            if self.route is None or not core.proved(self, self.route):
                raise Reject(403, "Not Your Dialog")
            self._noted_identity()
            return then(self)

        asked: Deferred[Verdict | None] | Verdict | None = core.authenticator.check(self, True)
        return asked.addCallback(checked) if isinstance(asked, Deferred) else checked(asked)

    def to_other_end(self) -> None:
        """Its target is the other end of its dialog (``loose_route()`` said where); a BYE ends the call and its media.

        Raises:
            Reject: 403, Routes of other proxies remain and aren't those of this dialog.
        """
        route, core = self.route, self.core
        if route is None:
            raise Reject(404, "Not here")
        self.record_route = self.request.method == "NOTIFY"
        core.dialogs.request(self)
        self.targets = [other_end(core, self.request, route, self.now)]
        if self.request.method == "BYE":
            core.rtpengine.bye(self, route)

    @property
    def subscribed_here(self) -> bool:
        """Whether a SUBSCRIBE inside a dialog needs no password: it comes from where its subscription was made, or nobody serves any."""
        presence = self.core.presence
        return presence is None or bool(presence.is_at_home(self))

    def by_our_path(self) -> bool:
        """Whether another node, or the registrar that we are an edge of, sends it by a Path of ours: then down that flow, and nowhere
        else; who may send it was theirs to ask.

        Raises:
            Reject: 480, the flow is gone; 430 where it is the registrar that asks.
        """
        core = self.core
        if core.edge is not None and (behind := core.edge.arrived(self.request, self.now)) is not None:
            self.flags = self.flags & ~Flag.NATS | Flag.PATH
            self.record_route = self.request.method in STAYED_IN
            self.targets = [behind]
            return True
        if core.nodes is None:
            return False
        reach = core.nodes.arrived(self.request)
        if reach is None:
            return False
        self.flags = self.flags & ~Flag.NATS | Flag.PATH
        self.record_route = self.request.method in STAYED_IN
        self.targets = [core.from_path(self, reach)]
        return True

    def authenticate(self) -> Step:
        """Have its user prove itself by digest: 401 for a REGISTER, 407 else; :attr:`identity` is set (``auth_check``, ``auth_challenge``).

        Returns:
            None to go on: proved, or there is nothing to prove.
        """
        if self.from_trunk is not None:
            return None
        asked: Step = self.core.authenticator.check(self, self.request.method != "REGISTER")
        if asked is None:
            # The answer for nearly all, found without a look at the registry that an abstract class such as Deferred has.
            return None
        return self._told("credentials", asked) if isinstance(asked, Deferred) else asked

    def vouched(self) -> bool:
        """Whether somebody answers for it: a user of ours, or a trusted source (``Flag.TRUSTED``)."""
        if self.core.authenticator.trusts(self.flow):
            self.flags |= Flag.TRUSTED
        return self.identity != "" or bool(self.flags & Flag.TRUSTED)

    def admit(self) -> Step:
        """It goes on, outside of any dialog or inside: what shows the Call-ID of somebody else's call does not.

        Raises:
            Reject: 403, it does.
        """
        if self.flags & Flag.INITIAL:
            self.core.dialogs.access.admit(self)
        if self.request.method in STAYED_IN:
            self.record_route = True
        self._noted_identity()
        return None

    def _noted_identity(self) -> None:
        watcher = self.core.tap.on_noted
        if watcher is not None and self.identity and self.request.method == "INVITE":
            watcher.noted(self.core.clock(), self.request.call_id, PROVED, (self.identity,))

    def leaves_us(self) -> bool:
        """Whether it is for a domain that isn't ours, or for a number that a trunk serves and nobody has here.

        The domain of a REGISTER is noted, as the commonest fault of a first configuration.
        """
        uri = self.request.ruri
        if uri.scheme == "tel" or self.core.is_local(uri.host):
            trunks = self.core.trunks
            if trunks is None or self.request.method in NO_TRUNKS or self.from_trunk is not None:
                return False
            # A user registered by that name is called, a device is no number; and a request from a trunk doesn't go back to one.
            here = self.to_gruu or bool(uri.host and self.core.registrar.online(uri.aor))
            return not here and bool(uri.user and trunks.for_number(uri.user))
        trunk = self.from_trunk
        if trunk is not None and trunk.is_domain(uri.host):
            # Some providers leave their own domain in what they send us.
            return False
        if self.request.method == "REGISTER":
            self.core.foreign_register(uri.host)
        return True

    def to_registrar(self) -> bool:
        """Whether it is for a domain whose users sign in through us (``[edge]``): its target is their registrar, and a REGISTER gets our
        Path.
        """
        edge = self.core.edge
        if edge is None or not is_for(edge, self):
            return False
        self.targets = [edge.to_registrar(self.request, self.flow, bool(self.flags & Flag.NATS), self.now)]
        self.extra.extend(edge.spoken_for(self.request))
        return True

    def to_device(self) -> bool:
        """Whether its URI is a Contact of a device of ours that we passed on (attended transfer, a message to one device): its target is
        that device.
        """
        if "alias" not in self.request.ruri.params or self.request.method in ("REGISTER", "PUBLISH"):
            return False
        device = device_of(self.core, self.request.uri)
        if device is None:
            return False
        self.targets = [device]
        return True

    def to_outside(self) -> None:
        """Its target is the trunk that serves its domain or number, else where its URI says, by the Routes that it brings.

        Raises:
            Reject: 503, none of the trunks that serve it is there.
        """
        trunks = self.core.trunks
        if trunks is not None:
            uri = self.request.ruri
            # The number of a foreign domain that no trunk serves is that domain's affair.
            serving = trunks.for_domain(uri.host) if uri.host and not self.core.is_local(uri.host) else trunks.for_number(uri.user)
            if serving:
                route_to(self, trunks, serving)
                return
        self.extra.append(("p-hint", "outbound"))
        self.targets = [Target(routes=self.core.preloaded(self.request) if "route" in self.request else ())]

    def process_event(self) -> Step:
        """It is a PUBLISH or SUBSCRIBE: answer it (``handle_publish()``, ``handle_subscribe()``).

        Raises:
            Reject: 489, no event package is served.
        """
        service = self.core.presence
        if service is None:
            raise Reject(489, "", (("allow-events", ", ".join(capabilities.EVENTS)),))
        self.begin()
        done: Step = service.publish(self, self.trusted) if self.request.method == "PUBLISH" else service.subscribe(self)
        return done

    def is_served(self, event: str) -> bool:
        """Whether an event package of that name is served here."""
        service = self.core.presence
        return service is not None and event in service.packages

    def registers_here(self) -> bool:
        """Whether the address that a REGISTER is about is at a domain of ours; another is noted."""
        domain = aor_of(self.request).rpartition("@")[2]
        if self.core.is_local(domain):
            return True
        self.core.foreign_register(domain)
        return False

    def save(self) -> Step:
        """It is a REGISTER: keep its bindings and answer (``fix_nated_register()``, ``save("location")``)."""
        core, flow = self.core, self.flow
        cflags, rules = fix_nated_register(self.flags & Flag.NATS, flow.transport), core.nat_rules
        if rules is not None and not is_pinged(rules, self.request, flow.remote[0]):
            cflags &= ~BranchFlag.NATSIPPING
        saved: Step = core.registrar.save(self, cflags)
        return saved

    def lookup(self, then: Callable[[Request], Step], seconds: float = 0.0) -> Step:
        """Find out where the user of its Request-URI is (``lookup("location")``); those devices come before the targets that it has.

        Args:
            then: Goes on with it, as ``self.relay``.
            seconds: For how long these devices ring at most, 0 for no bound of its own: then they count as 408.

        Raises:
            Reject: It has no target: 404, nobody; 405, no device takes the method; 480, none can be reached; 503, the table is still being
                loaded.
        """
        of, method = self.core.registrar, self.request.method
        result = of.lookup_gruu(self.request.ruri, method) if self.to_gruu else of.lookup(self._callee(), method)
        if isinstance(result, LookupResult):
            return self._located(result, then, seconds)
        return self._told("bindings", result).addCallback(self._located, then, seconds)

    def _told(self, what: str, asked: Deferred[Answer]) -> Deferred[Answer]:
        """The same, and the tap is told what the database is asked for."""
        core = self.core
        return told(core.tap, core.clock, self.request.get("call-id") or "", DATABASE, what, asked, lambda result: ())

    def _callee(self) -> str:
        """The address-of-record that it is for; a trunk may send what is for us to our address, its own domain, or its own user."""
        trunk = self.from_trunk
        return self.request.ruri.aor if trunk is None else callee_of(self.request.ruri, trunk, self.core.settings.core.domains)

    def _located(self, result: LookupResult, then: Callable[[Request], Step], seconds: float) -> Step:
        status, bindings = result
        if status != 200:
            headers = {405: (("allow", capabilities.METHODS),), 503: (("retry-after", "5"),)}.get(status, ())
            if not self.targets:
                raise Reject(status, "", headers)
            return then(self)
        found = [self.core.target(binding) for binding in bindings] if len(bindings) == 1 else devices(self.core, bindings)
        if seconds:
            for target in found:
                target.seconds = seconds
        self.targets = [*found, *self.targets] if self.targets else found
        watcher = self.core.tap.on_noted
        if watcher is not None and self.request.method == "INVITE":
            parts = (bindings[0].aor, [binding.contact for binding in bindings])
            watcher.noted(self.core.clock(), self.request.call_id, LOCATED, parts)
        return then(self)

    def remove_claims(self) -> None:
        """Keep claims of identity only as far as they are proved; nobody makes another's phone answer; our credentials end here."""
        core, request = self.core, self.request
        if is_harmless(request) or self.flags & Flag.PATH:
            return
        trusted = self.trusted
        may_answer = trusted or (self.identity != "" and core.settings.proxy.auto_answer == "users")
        # A trunk is believed who calls, but makes no phone answer by itself.
        trusted = trusted or self.from_trunk is not None
        gone, added, claims = judge(request, self.identity, trusted, may_answer, core.is_local)
        if gone:
            self.dropped.extend(gone)
            self.extra.extend(added)
            core.counters["removed_claims"] += claims

    def relay(self) -> Verdict:
        """Send it to its targets, or to its Request-URI where it has none (``t_relay()``), with a Contact that leads back to its sender.

        Raises:
            Reject: 482, a loop; 440, too broad a fork; 503 or 486, too much waits for an answer; 403, the user has too many calls.
        """
        line, request, route = "", self.request, self.route
        natted = self.flags & Flag.NATS
        if (natted or route is not None) and request.method in CONTACT_METHODS:
            core = self.core
            seal = "" if route is None else core.contact_seal(request, core.near_side(self), request.from_.tag)
            # The sender has its alias from the proxy before us.
            line = contact_line(core, request, self.flow, bool(natted) and from_neighbour(request), seal)
        relay(self, line)
        return Verdict.RELAYED
