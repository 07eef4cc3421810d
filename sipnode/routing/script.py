"""The routing policy: what a kamailio.cfg says, on one page. Each request goes through ``REQUEST_ROUTE`` until a stage gives a
Verdict; a site overrides one method. The verbs are those of :class:`~sipnode.routing.request.Request`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sipnode.base.native import mypyc_attr
from sipnode.errors import Reject
from sipnode.routing.capabilities import HEADERS
from sipnode.routing.hooks import ScriptHooks
from sipnode.routing.order import on
from sipnode.routing.verdict import DROP

if TYPE_CHECKING:
    from sipnode.routing.hooks import Branch, Fork, Managed, Passed, Request, SipResponse, Step


@mypyc_attr(allow_interpreted_subclasses=True)
class RoutingScript(ScriptHooks):
    """The policy of the package."""

    REQUEST_ROUTE: ClassVar[tuple[str, ...]] = (
        "reqinit", "natdetect", on("CANCEL", "cancel"), "withindlg", "path", on("OPTIONS", "options"), "auth", "record", "sipout",
        on("PUBLISH SUBSCRIBE", "presence"), on("REGISTER", "registrar"), "address_complete", "location",
    )  # fmt: skip

    def reqinit(self, r: Request) -> Step:
        """Refuse what can't be routed: sanity, maxfwd, Proxy-Require; and new work that there is no time for."""
        r.sanity_check()
        if r.max_forwards == 0:
            raise Reject(483)
        if "proxy-require" in r:
            raise Reject(420, headers=(("unsupported", ", ".join(r.values("proxy-require"))),))
        if seconds := r.busy_seconds():
            raise Reject(503, headers=(("retry-after", str(seconds)),), rule="busy")
        return None

    def natdetect(self, r: Request) -> Step:
        """Find out whether the sender is where it says (nat_uac_test), and remember where it really is."""
        return r.detect_nat()

    def cancel(self, r: Request) -> Step:
        """CANCEL goes to the branches of the INVITE that it cancels."""
        return r.cancel_invite()

    def withindlg(self, r: Request) -> Step:
        """A request inside a dialog goes on by our own signed Route, from the dialog's two ends only, or not at all."""
        if r.initial:
            return DROP if r.method == "ACK" else None
        if r.loose_route():
            return self.follow(r) if r.from_its_end else r.prove_end(then=self.follow)
        if r.method == "ACK":
            return DROP
        if r.method == "SUBSCRIBE" and r.to_myself:
            return self.presence(r) if r.subscribed_here else None
        raise Reject(404, "Not here")

    def follow(self, r: Request) -> Step:
        """On to the other end of the dialog."""
        r.to_other_end()
        return self.relay(r)

    def path(self, r: Request) -> Step:
        """Send a request of another node, by the Path of one of our bindings, down its flow."""
        return self.relay(r) if r.by_our_path() else None

    def options(self, r: Request) -> Step:
        """OPTIONS to the server itself is answered, also to strangers: it tells nothing that a challenge wouldn't."""
        return r.reply(200, headers=HEADERS) if r.to_myself and not r.ruri.user else None

    def auth(self, r: Request) -> Step:
        """Digest for REGISTER and for everybody who says to be one of ours (auth_check, auth_challenge)."""
        return r.authenticate()

    def record(self, r: Request) -> Step:
        """Stay in the path of dialogs (record_route); strangers don't steer phones outside of them."""
        if r.initial and r.unproved:
            self.stranger(r)
        return r.admit()

    def stranger(self, r: Request) -> None:
        """Admit strangers: calls, messages and questions, with a name or without one."""
        proxy = self.settings.proxy
        if r.method not in proxy.strangers and r.method != "REGISTER" and not proxy.strangers_may(r.method, r.get("event")):
            raise Reject(403, "Not for Strangers", rule="strangers")
        if r.anonymous and not proxy.anonymous:
            raise Reject(433, "Anonymity Disallowed", rule="anonymous")

    def sipout(self, r: Request) -> Step:
        """Domains that we are an edge of go to their registrar; other foreign ones, and devices of ours by a Contact that we passed on, are
        for users of ours and trusted addresses only.
        """
        if r.to_registrar():
            return self.relay(r)
        if not r.leaves_us():
            return None
        known = r.vouched()
        if known and r.to_device():
            return self.relay(r)
        if not known or self.settings.proxy.foreign != "users":
            raise Reject(403, "Relaying Denied", rule="relaying")
        if r.method == "REGISTER":
            raise Reject(403, "Not Our Domain")
        r.to_outside()
        return self.relay(r)

    def presence(self, r: Request) -> Step:
        """PUBLISH and SUBSCRIBE; one that is for a single device goes there. Nobody keeps mailboxes where no package for them is served."""
        if r.to_gruu:
            return self.location(r)
        if r.event == "message-summary" and not r.is_served(r.event):
            raise Reject(404, "No voicemail service")
        return r.process_event()

    def registrar(self, r: Request) -> Step:
        """REGISTER: save("location"). A setting names the edge proxies that users may be reached through (RFC 3327)."""
        if not r.registers_here():
            raise Reject(404, "Not Our Domain")
        if "path" in r and not (self.settings.location.path == "users" or (self.settings.location.path == "trusted" and r.trusted)):
            raise Reject(403, "Path Not Taken From Here")
        return r.save()

    def address_complete(self, r: Request) -> Step:
        """A URI without a user names nobody."""
        if not r.ruri.user:
            raise Reject(484)
        return None

    def location(self, r: Request) -> Step:
        """lookup("location"): where the user is now; 404, 405, 480 and 503 are its own."""
        return r.lookup(then=self.relay)

    def relay(self, r: Request) -> Step:
        """t_relay(), without claims that nobody has proved."""
        r.remove_claims()
        return r.relay()

    def bridging(self, branch: Branch) -> bool:
        """Whether the relay carries the media of a new call: browser and phone talk only through it, and phones behind NAT."""
        mixed = branch.near_websocket != branch.far_websocket
        return mixed or branch.natted_phone or self.settings.media.engage == "always"

    def manage_branch(self, branch: Branch) -> Managed:
        """branch_route[MANAGE_BRANCH]."""
        return self.media.branch(branch, self.bridging)

    def manage_reply(self, branch: Branch, response: SipResponse) -> Passed:
        """onreply_route[MANAGE_REPLY]: each 1xx and 2xx of a branch."""
        self.set_reply_contact(branch, response)
        return self.media.reply(branch, response)

    def manage_failure(self, fork: Fork) -> Managed:
        """failure_route[MANAGE_FAILURE]: the next trunk; where a callee redirects to; devices of a dead node; a site adds targets."""
        return None if self.next_trunk(fork) else self.redirected(fork) or self.look_again(fork)
