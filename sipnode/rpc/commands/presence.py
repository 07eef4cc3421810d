"""presence.*: what is published, who watches whom, and who may."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final, NotRequired, TypedDict

from twisted.internet.defer import Deferred

from sipnode.errors import ParseError, RpcError
from sipnode.records import SubscriptionStatus
from sipnode.rpc.dispatch import rows
from sipnode.rpc.registry import rpc
from sipnode.sip.uri import SipUri

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sipnode.rpc.parts import Parts

_STATUS: Final = {
    SubscriptionStatus.ACTIVE: "active",
    SubscriptionStatus.PENDING: "pending",
    SubscriptionStatus.TERMINATED: "terminated",
    SubscriptionStatus.WAITING: "waiting",
}
_PICKUP: Final = "pickup"


class Published(TypedDict):
    presentity: str
    event: str
    sender: str
    etag: str
    expires: int
    received: int
    priority: int
    octets: int


class Presentity(TypedDict):
    user: str
    domain: str
    event: str
    etag: str
    sender: str
    expires: int
    received_time: NotRequired[int]
    priority: NotRequired[int]
    ruid: NotRequired[str]
    body: NotRequired[str]
    hashid: NotRequired[int]


class Subscribed(TypedDict):
    presentity: str
    event: str
    watcher: str
    status: str
    reason: str
    expires: int
    contact: str
    callid: str
    from_tag: str
    to_tag: str
    local_cseq: int
    user_agent: str
    node: int


class Watching(TypedDict):
    watcher: str
    status: str
    reason: str
    expires: int


class Decision(TypedDict):
    presentity: str
    watcher: str
    event: str
    allowed: bool
    pickup: bool
    since: int


class MailboxOf(TypedDict):
    presentity: str
    since: int
    summary: list[str]


class Counts(TypedDict):
    publications: int
    subscriptions: int
    packages: list[str]
    ready: bool


class Limits(TypedDict):
    unanswered: int
    held: int
    shortened: int
    silenced: int
    refused_full: int
    refused_per_watcher: int
    refused_unanswered: int
    refused_silent: int
    refused_not_watcher: int


class Nothing(TypedDict):
    pass


class PresenceCommands:
    """presence.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._presence = parts.core.presence

    # -- looking

    @rpc("presence.counts")
    def counts(self) -> Counts:
        """How much there is, and which event packages are served."""
        presence = self._presence
        return Counts(
            publications=len(presence.publications),
            subscriptions=len(presence.subscriptions),
            packages=sorted(presence.packages),
            ready=presence.ready,
        )

    @rpc("presence.limits")
    def limits(self) -> Limits:
        """Refusals and delays since the start, counted: SUBSCRIBEs by reason, and NOTIFYs to addresses that have answered nothing yet
        (``unanswered`` wait now; ``held`` had to, ``shortened`` came without their document, ``silenced`` were given up).
        """
        presence = self._presence
        refused = presence.counters
        return Limits(
            unanswered=len(presence.proving),
            held=presence.proving.held,
            shortened=presence.notifier.shortened,
            silenced=presence.proving.silenced,
            refused_full=refused["refused_full"],
            refused_per_watcher=refused["refused_per_watcher"],
            refused_unanswered=refused["refused_unanswered"],
            refused_silent=refused["refused_silent"],
            refused_not_watcher=refused["refused_not_watcher"],
        )

    @rpc("presence.publications")
    def publications(self, presentity: str = "", event: str = "") -> list[Published]:
        """Published state: all, that of one presentity, that of one event package; ``expires`` is in seconds from now."""
        wanted = _canonical(presentity) if presentity else ""
        found = [row for row in self._presence.publications if wanted in ("", row.resource) and event in ("", row.event)]
        return rows(self._published(found))

    def _published(self, found: list[Any]) -> Iterator[Published]:
        now = self._parts.clock()
        for row in found:
            yield Published(
                presentity=row.resource,
                event=row.event,
                sender=row.sender,
                etag=row.etag,
                expires=max(0, int(row.expires - now)),
                received=int(row.received),
                priority=row.priority,
                octets=len(row.body),
            )

    @rpc("presence.presentity_list")
    def presentity_list(self, mode: str = "basic") -> list[Presentity]:
        """Published state in Kamailio's fields; ``expires`` is in epoch seconds.

        Args:
            mode: ``full`` has the document as well.
        """
        return rows(self._presentities(list(self._presence.publications), mode == "full"))

    def _presentities(self, found: list[Any], full: bool) -> Iterator[Presentity]:
        for row in found:
            user, _, domain = row.resource.rpartition("@")
            shown = Presentity(user=user, domain=domain, event=row.event, etag=row.etag, sender=row.sender, expires=int(row.expires))
            if full:
                shown["received_time"] = int(row.received)
                shown["priority"] = row.priority
                shown["ruid"] = row.ruid
                shown["body"] = row.body.decode("utf-8", "replace")
                shown["hashid"] = zlib.crc32(row.resource.encode("utf-8", "replace"))
            yield shown

    @rpc("presence.subscriptions")
    def subscriptions(self, presentity: str = "", event: str = "") -> list[Subscribed]:
        """Watchers: all, those of one presentity, those of one event package."""
        wanted = _canonical(presentity) if presentity else ""
        every = list(self._presence.subscriptions.by_tag.values())
        return rows(self._subscribed([row for row in every if wanted in ("", row.resource) and event in ("", row.event)]))

    def _subscribed(self, found: list[Any]) -> Iterator[Subscribed]:
        now = self._parts.clock()
        for row in found:
            yield Subscribed(
                presentity=row.resource,
                event=row.event,
                watcher=row.watcher,
                status=_STATUS[row.status],
                reason=row.reason,
                expires=max(0, int(row.expires - now)),
                contact=row.contact,
                callid=row.call_id,
                from_tag=row.from_tag,
                to_tag=row.to_tag,
                local_cseq=row.local_cseq,
                user_agent=row.user_agent,
                node=row.node,
            )

    @rpc("presence.watchers")
    def watchers(self, presentity: str, event: str = "presence") -> list[Watching]:
        """Watchers of one presentity, also those who wait for its word."""
        now = self._parts.clock()
        return [
            Watching(watcher=each.watcher, status=_STATUS[each.status], reason=each.reason, expires=max(0, int(each.expires - now)))
            for each in self._presence.watchers(_canonical(presentity), self._event(event))
        ]

    @rpc("presence.decisions")
    def decisions(self, presentity: str = "") -> list[Decision]:
        """Decisions of presentities about their watchers: the contacts list of one, or all."""
        wanted = _canonical(presentity) if presentity else ""
        return rows(self._decided([row for row in self._presence.decisions if wanted in ("", row.resource)]))

    def _decided(self, found: list[Any]) -> Iterator[Decision]:
        for row in found:
            yield Decision(
                presentity=row.resource,
                watcher=row.watcher,
                event=row.event,
                allowed=row.status == SubscriptionStatus.ACTIVE,
                pickup=row.status == SubscriptionStatus.ACTIVE and row.reason == _PICKUP,
                since=int(row.since),
            )

    @rpc("presence.mwi_list")
    def mwi_list(self) -> list[MailboxOf]:
        """All mailboxes, and what was last told of them."""
        return rows(self._mailboxes(self._presence.mailboxes.all()))

    def _mailboxes(self, found: list[Any]) -> Iterator[MailboxOf]:
        for row in found:
            yield MailboxOf(presentity=row.resource, since=int(row.received), summary=row.body.decode("utf-8", "replace").splitlines())

    # -- steering

    @rpc("presence.refreshWatchers", changes=True)
    def refresh_watchers(self, presentity: str, event: str, kind: int = 0) -> Nothing:
        """Tell the watchers of a presentity its state once more.

        Args:
            kind: Kamailio's refresh type; of no meaning here.
        """
        self._presence.changed(self._event(event), _canonical(presentity))
        return {}

    @rpc("presence.updateWatchers", changes=True)
    def update_watchers(self, presentity: str, event: str) -> Nothing:
        """Judge the watchers of a presentity anew, after its rules have changed."""
        resource = _canonical(presentity)
        for watcher in {each.watcher for each in self._presence.watchers(resource, self._event(event))}:
            self._presence.judge_again(resource, watcher, event)
        return {}

    @rpc("presence.cleanup")
    def cleanup(self) -> str:
        """Nothing to do: what has expired goes by itself."""
        return "Ok"

    @rpc("presence.allow", changes=True)
    def allow(self, presentity: str, watcher: str, event: str = "presence", pickup: bool = False) -> Deferred[Nothing]:
        """Let somebody watch a presentity; who waits for it is told the state at once.

        Args:
            pickup: Of calls (event ``dialog``) it sees who speaks to whom, and what it takes to pick one up.
        """
        return self._decide(presentity, watcher, event, True, pickup)

    @rpc("presence.deny", changes=True)
    def deny(self, presentity: str, watcher: str, event: str = "presence") -> Deferred[Nothing]:
        """Let somebody not watch a presentity; a subscription that is there ends."""
        return self._decide(presentity, watcher, event, False)

    @rpc("presence.forget", changes=True)
    def forget(self, presentity: str, watcher: str, event: str = "presence") -> Deferred[Nothing]:
        """Forget what was decided about a watcher: the settings say."""
        return self._decide(presentity, watcher, event, None)

    @rpc("presence.mwi_set", changes=True)
    def mwi_set(self, presentity: str, new: int, old: int = 0, urgent_new: int = 0, urgent_old: int = 0) -> Deferred[Nothing]:
        """Say how many messages are in a user's mailbox; its phones hear of it. A user without a mailbox has one from now on."""
        self._event("message-summary")
        if min(new, old, urgent_new, urgent_old) < 0 or max(new, old, urgent_new, urgent_old) > 999_999_999:
            raise RpcError(400, "counts are 0 .. 999999999")
        done: Deferred[Any] = self._presence.mailboxes.set(_canonical(presentity), new, old, urgent_new, urgent_old)
        return done.addCallback(lambda _: Nothing())

    @rpc("presence.mwi_remove", changes=True)
    def mwi_remove(self, presentity: str) -> Deferred[Nothing]:
        """Take a mailbox away: its lamps go out, and a SUBSCRIBE to it gets 404 "No voicemail service"."""
        done: Deferred[Any] | None = self._presence.mailboxes.remove(_canonical(presentity))
        if done is None:
            raise RpcError(404, "Mailbox not found")
        return done.addCallback(lambda _: Nothing())

    @rpc("presence.end", changes=True)
    def end(self, to_tag: str) -> Nothing:
        """End one subscription, by the ``to_tag`` that presence.subscriptions shows, with a last NOTIFY."""
        row = self._presence.subscriptions.by_tag.get(to_tag)
        if row is None:
            raise RpcError(404, "Subscription not found")
        if row.node != self._presence.node:
            raise RpcError(500, f"node {row.node} holds it")
        self._presence.end(row, "deactivated")
        return {}

    def _decide(self, presentity: str, watcher: str, event: str, allowed: bool | None, pickup: bool = False) -> Deferred[Nothing]:
        done: Deferred[Any] = self._presence.decide(_canonical(presentity), _canonical(watcher), self._event(event), allowed, pickup)
        return done.addCallback(lambda _: Nothing())

    def _event(self, event: str) -> str:
        if event not in self._presence.packages:
            raise RpcError(404, f"Event package not found; there are: {', '.join(sorted(self._presence.packages))}")
        return event


def _canonical(address: str) -> str:
    text = address if address.startswith(("sip:", "sips:")) else f"sip:{address}"
    try:
        return SipUri.parse(text).aor
    except ParseError as error:
        raise RpcError(400, f"{address[:80]!r} is no address: {error.reason}") from None
