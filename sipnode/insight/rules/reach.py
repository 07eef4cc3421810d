"""Faults on the way to the callee: not registered, gone, silent, no address, no connection. Pure."""

from __future__ import annotations

from typing import Final

from sipnode.base.tap import ABANDONED, BARRED, BRANCHED, COUNTED, LOCATED, REFUSED
from sipnode.errors import ParseError
from sipnode.insight.finding import Around, Finding, Rule, found, phrase
from sipnode.insight.ring import CLOSED, RECEIVED, RESENT, SENT
from sipnode.insight.story import Entry, Story
from sipnode.tables import clean

_ENDED: Final = {
    "closed": "its connection was lost",
    "expired": "it didn't refresh its registration in time",
    "unregistered": "it has signed out itself",
    "removed": "it was taken out: no ping was answered, or an operator wanted it",
}


def callee(story: Story) -> str:
    """``user@host`` that was called."""
    first = story.first
    try:
        uri = first.message.to.uri if first is not None and first.message is not None else None
    except ParseError:
        uri = None
    return clean(uri.aor) if uri is not None else "the callee"


def _refused_by(story: Story, stage: str) -> Entry | None:
    return next((entry for entry in story.facts(REFUSED) if entry.parts[1][1] == story.method and entry.parts[1][4] == stage), None)


def _lasting(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def not_registered(story: Story, around: Around) -> Finding | None:
    """Nobody has registered under that name, or not any more."""
    refused = _refused_by(story, "location")
    if refused is None or refused.parts[1][0] not in (404, 480) or story.facts(LOCATED):
        return None
    aor = callee(story)
    first = story.first
    asked = ""
    try:
        asked = first.message.ruri.aor if first is not None and first.is_request else aor  # type: ignore[union-attr]  # a request has one
    except (ParseError, AttributeError):
        asked = aor
    last = around.gone(asked)
    if last is not None and last[0] <= refused.when:
        ago, how = refused.when - last[0], _ENDED.get(last[1], last[1])
        because = f" ({clean(last[2])})" if last[2] else ""
        return found(
            "gone",
            f"{clean(asked)} wasn't registered: it was until {_lasting(ago)} before the call, when {how}{because}.",
            "Look why the phone or browser went: its network, its sleep, a refresh that failed; browsers need push or an open page.",
            (first, refused),
        )
    if refused.parts[1][0] == 480:
        return found(
            "stale_contacts",
            f"{clean(asked)} is registered, but none of its contacts can be reached: they were connections of browsers that are gone.",
            "Wait until the browser has come back, or let the user sign in anew.",
            (first, refused),
        )
    return found(
        "not_registered",
        f"{clean(asked)} isn't registered, and wasn't since this server has started: no phone has signed in under this name.",
        f"Sign a phone in as {clean(asked)}; if the name was mistyped, look at: sipnode rpc ul.dump.",
        (first, refused),
    )


def stale_contacts(story: Story, around: Around) -> Finding | None:
    """The callee is registered, but each connection is gone."""
    located = story.facts(LOCATED)
    counted = story.facts(COUNTED)
    dead = [entry for entry in counted if "connection is gone" in entry.parts[1][2]]
    if not located or not dead or len(dead) < len(counted) or story.responses_in("INVITE", 180, 299):
        return None
    closed = [entry for entry in story.entries if entry.kind == CLOSED]
    aor, contacts = located[-1].parts[1]
    return found(
        "stale_contacts",
        f"{clean(aor)} is registered with {len(contacts)} contact{'s' if len(contacts) > 1 else ''}, but each of their connections is"
        " gone.",
        "The phone has to register again; where NAT forgets connections, shorten the phone's registration or [nat] keepalive.",
        (*located, *dead, *closed),
    )


def barred_destination(story: Story, around: Around) -> Finding | None:
    """The script's rules forbid to send there."""
    barred = story.facts(BARRED)
    if not barred or story.responses_in("INVITE", 180, 299):
        return None
    return found(
        "barred_destination",
        f"sipnode doesn't send where the call has to go: {clean(barred[-1].parts[1][1])}.",
        "If that address is meant to be reached, allow it: [proxy] destinations.",
        barred,
    )


def dns(story: Story, around: Around) -> Finding | None:
    """A name has no address, or the DNS no answer."""
    faults = story.faults("dns")
    if not faults or story.responses_in(story.method, 180, 299):
        return None
    _, name, fault, _ = faults[-1].parts
    return found(
        "dns",
        f"The DNS gave no address of {clean(name)}: {clean(fault)}.",
        f"Try: dig NAPTR {clean(name)}; dig SRV _sip._udp.{clean(name)}; dig A {clean(name)}; is the name right, and /etc/resolv.conf?",
        faults,
    )


def certificate(story: Story, around: Around) -> Finding | None:
    """The other end's certificate isn't good."""
    for entry in story.facts(COUNTED):
        blame = entry.parts[1][2]
        words = blame.lower()
        if "certificate" not in words and "issuer" not in words:
            continue
        what = clean(blame.partition(", ")[2] or blame)
        if "expired" in words:
            kind, mend = "certificate_expired", "The other side has to renew its certificate."
        elif "name" in words or "match" in words:
            kind, mend = (
                "certificate_name",
                "The other side's certificate has to name the domain that is called; or call it by the name it has.",
            )
        else:
            kind, mend = (
                "certificate",
                "Put the authority that signed it into ca_list of [client:…] in tls.cfg, or let the other side send its chain.",
            )
        return found(kind, f"The TLS connection to the callee failed at its certificate: {what}.", mend, (entry, *story.facts(BRANCHED)))
    return None


def no_connection(story: Story, around: Around) -> Finding | None:
    """A connection to the callee didn't come about."""
    for entry in story.facts(COUNTED):
        blame = entry.parts[1][2]
        if not blame.startswith("server, ") or not any(
            word in blame for word in ("tcp", "TCP", "TLS", "tls", "UDP", "doesn't answer", "no address of it")
        ):
            continue
        return found(
            "no_connection",
            f"sipnode can't reach the callee: {clean(blame.partition(', ')[2])}.",
            "Is the other side up, and does a firewall let the connection through? Try: nc -vz HOST PORT from this machine.",
            (entry, *story.facts(BRANCHED)),
        )
    return None


def silent_phone(story: Story, around: Around) -> Finding | None:
    """The INVITE went out, again and again, and nothing came back from there."""
    branches = [entry for entry in story.facts(BRANCHED)]
    counted = [entry for entry in story.facts(COUNTED) if "no answer in time" in entry.parts[1][2]]
    if not branches or (not counted and story.outcome not in ("cancelled", "no answer")):
        return None
    places = {entry.parts[1][4] for entry in branches}
    heard = {entry.remote for entry in story.messages((RECEIVED,), "INVITE") if entry.status and entry.remote in places}
    silent = sorted(places - heard)
    final = story.final()
    if not silent or heard or (not counted and final is None):
        return None
    sent = [entry for entry in story.messages((SENT, RESENT), "INVITE", 0) if entry.remote in silent]
    if not sent:
        return None
    lasted = (final.when if final is not None else story.entries[-1].when) - sent[0].when
    return found(
        "silent_phone",
        f"The phone of {callee(story)} at {sent[0].place} never answered the INVITE, which went there {len(sent)} times in"
        f" {_lasting(lasted)}.",
        "The phone is off, has another address by now, or a NAT or firewall on its side has closed the way: look when it registered"
        " last (sipnode"
        " rpc ul.dump), switch [nat] keepalive on, or use TCP, TLS or WebSocket.",
        (*sent[:4], *counted),
    )


def nobody_answered(story: Story, around: Around) -> Finding | None:
    """It rang, and nobody took it."""
    ringing = [entry for entry in story.responses_in("INVITE", 180, 199)]
    final = story.final()
    if not ringing or final is None or final.status not in (408, 480, 487):
        return None
    if story.requests_in("CANCEL"):
        cancel = story.requests_in("CANCEL")[0]
        seconds = cancel.when - ringing[0].when
        return found(
            "caller_gave_up", f"It rang at {callee(story)} for {_lasting(seconds)}, then the caller hung up.", "Nothing is broken.",
            (ringing[0], cancel),
        )  # fmt: skip
    if story.facts(ABANDONED):
        return None
    refused = next((entry for entry in story.responses_in("INVITE", 400) if entry.status in (408, 480)), None)
    if refused is not None:
        return found(
            "nobody_answered", f"It rang at {callee(story)}; its phone gave up with {phrase(refused)}.",
            "Nothing is broken; the phone has its own limit for ringing.", (ringing[0], refused),
        )  # fmt: skip
    return found(
        "nobody_answered", f"It rang at {callee(story)} for {_lasting(final.when - ringing[0].when)}, and nobody answered.",
        "Nothing is broken; [transaction] invite_timeout says how long it may ring.", (ringing[0], final),
    )  # fmt: skip


def abandoned(story: Story, around: Around) -> Finding | None:
    """The caller's browser went while it rang."""
    facts = story.facts(ABANDONED)
    if not facts:
        return None
    closed = [entry for entry in story.entries if entry.kind == CLOSED]
    why = f" ({clean(closed[-1].parts[0])})" if closed else ""
    first = story.first
    return found(
        "abandoned",
        f"The caller's connection{f' from {first.place}' if first is not None else ''} was lost while it rang{why}, so the call was"
        " cancelled.",
        "Look at the caller's network, or whether its page was closed or reloaded.",
        (*closed, *facts),
    )


RULES: Final[tuple[Rule, ...]] = (
    dns, certificate, barred_destination, stale_contacts, not_registered, abandoned, silent_phone, no_connection, nobody_answered,
)  # fmt: skip
