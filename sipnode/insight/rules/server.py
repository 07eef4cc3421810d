"""Refusals of this server itself: overload, loops, the database, stages and rules of the script, unreadable messages. Pure."""

from __future__ import annotations

import re
from typing import Final

from sipnode.base.tap import DATABASE, REFUSED
from sipnode.insight.finding import Around, Finding, Rule, found, phrase, private
from sipnode.insight.ring import BROKEN, CLOSED, HANDSHAKE, RECEIVED, SENT
from sipnode.insight.rules.reach import callee
from sipnode.insight.story import Entry, Story
from sipnode.tables import clean

_NAME: Final = re.compile(r"[A-Za-z0-9.:/\[\]_-]{1,100}")


def _refusal(story: Story) -> Entry | None:
    """The refusal of the request that it begins with, where this server made it; its parts are ``(status, method, …, stage)``."""
    return next((entry for entry in reversed(story.facts(REFUSED)) if entry.parts[1][1] == story.method and entry.parts[1][4]), None)


def _rule(story: Story) -> str:
    end = story.end
    rule = str(end.parts[3]) if end is not None else ""
    return rule.removeprefix("rule ") if rule.startswith("rule ") else ""


def _listed(*names: str) -> str:
    """A line of the configuration with what a stranger has sent: nothing of it may end the text that it stands in."""
    return str([name if _NAME.fullmatch(name) else "…" for name in names])


def handshake(story: Story, around: Around) -> Finding | None:
    """A browser wanted a WebSocket, and its Host or Origin isn't ours."""
    refused = [entry for entry in story.entries if entry.kind == HANDSHAKE]
    if not refused:
        return None
    last = refused[-1]
    host, origin, status, reason = last.parts
    who = f"The WebSocket of {clean(last.remote[0])} was refused ({status})"
    times = f", {len(refused)} times by now" if len(refused) > 1 else ""
    if "Host" in reason:
        name = clean(host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host)
        return found(
            "websocket_host",
            f"{who}{times}: it asked for the Host {name or 'of no name'}, which is no name or address of this server.",
            f"If that name is meant to lead here: [transport] hosts = {_listed(name)}, or add the domain to [core] domains.",
            refused,
        )
    if "Origin" in reason:
        page = clean(origin or "")
        missing = "it names no Origin, which [transport] require_origin wants"
        return found(
            "websocket_origin",
            f"{who}{times}: {f'its page comes from the Origin {page}, which [transport] origins lacks' if page else missing}.",
            f"If that page is yours: [transport] origins = {_listed('self', page)}."
            if page
            else "Where programs may come without one: [transport] require_origin = false.",
            refused,
        )
    return found("websocket_refused", f"{who}{times}: {clean(reason)}.", "Look at how the page or program makes its WebSocket.", refused)


def database(story: Story, around: Around) -> Finding | None:
    """The database gave no answer."""
    faults = story.faults(DATABASE)
    final = story.final()
    if final is None or final.status < 300:
        return None
    mend = "Start it, or correct [storage] url; /readyz and sipnode doctor say when it is back, the log why it is away."
    if faults:
        said = f"asked for {clean(faults[-1].parts[1])}, it failed with {clean(faults[-1].parts[2])}"
        return found("database", f"The database is away: {said}.", mend, faults)
    stages = [entry for entry in story.decisions(story.method) if entry.parts[1] in ("auth", "registrar")]
    if final.status != 503 or not stages:
        return None
    what = "the password couldn't be looked up" if stages[-1].parts[1] == "auth" else "the registration couldn't be stored"
    return found("database", f"The database is away: {what}, so the {clean(story.method)} got 503.", mend, (stages[-1], final))


def overload(story: Story, around: Around) -> Finding | None:
    """New calls were refused as there was no time for them."""
    refusal = _refusal(story)
    final = story.final()
    if final is None or final.status != 503:
        return None
    busy = _rule(story) == "busy" or (refusal is not None and refusal.parts[1][4] == "reqinit") or final.why == "turned"
    if not busy:
        return None
    return found(
        "overload",
        "sipnode refused the call (503), as it was overloaded, or about to stop"
        + (", or the source was over its limit." if final.why == "turned" else "."),
        "Look at sipnode rpc sipnode.status (busy), at the lag in /metrics, and at [defence] lag_seconds and rate; another node helps.",
        (story.first, refusal, final),
    )


def loop(story: Story, around: Around) -> Finding | None:
    """The call came back to us by itself."""
    final = story.final()
    if final is None or final.status not in (482, 483):
        inner = [entry for entry in story.messages((SENT,), "INVITE") if entry.status in (482, 483) and entry.why == "reply"]
        if not inner:
            return None
        final = inner[-1]
    hops = story.requests_in("INVITE")
    return found(
        "loop",
        f"The call goes in a circle ({phrase(final)}): what {callee(story)} stands for leads back to this server.",
        "Look where the INVITE went in the ladder: a contact or a forwarding names an address of this server, or two servers send it to"
        " each"
        " other; a name that is ours belongs into [core] domains.",
        (*hops[:4], final),
    )


_STAGES: Final[dict[tuple[int, str], tuple[str, str, str]]] = {
    (403, "Relaying Denied"): (
        "relaying", "the call goes to a foreign domain and its caller hasn't proved to be a user of ours",
        "Let the caller sign in; a domain of ours belongs into [core] domains; [proxy] foreign says who may call outside."),
    (403, "Not for Strangers"): (
        "strangers", "its caller is a stranger, and strangers may not do that here",
        "Let the caller sign in, or add the method to [proxy] strangers; a provider belongs into a [trunk.NAME] section."),
    (433, "Anonymity Disallowed"): ("anonymous", "its caller hides its name", "[proxy] anonymous lets them in."),
    (403, "Too Many Calls"): ("too_many_calls", "the user has too many calls at once", "Raise [dialog] calls_per_user, or end calls."),
    (403, "Not Our Domain"): ("not_our_domain", "it is for a domain that isn't ours", "Add the domain to [core] domains, or correct it"
    " in the phone."),
    (404, "Not Our Domain"): ("not_our_domain", "it is for a domain that isn't ours", "Add the domain to [core] domains, or correct it"
    " in the phone."),
    (403, "From Is Not Yours"): (
        "foreign_from", "its From names a domain that isn't ours",
        "Let the phone's domain be one of [core] domains; [auth] foreign_from lets users write other addresses."),
    (404, "Not here"): (
        "lost_dialog", "it is of a call that this server doesn't know the way of",
        "The Route that sipnode put into Record-Route was left out by the phone, or the server's secret has changed."),
    (403, "Not Your Dialog"): ("not_your_dialog", "it is of a call of others", "Nobody but its two ends may steer a call."),
    (503, "Trunk Unavailable"): ("trunk_down", "no trunk for the number is up", "See sipnode rpc trunk.list, and why: trunk.show NAME."),
    (403, "Path Not Taken From Here"): ("path", "its Path isn't believed", "[location] path says who may name edge proxies."),
}  # fmt: skip
_STATUS: Final[dict[int, tuple[str, str]]] = {
    400: ("it breaks the rules of SIP", "Look at the reason phrase: it says which header."),
    405: ("no device of the callee takes this method", "The phone's Allow or methods parameter leaves it out."),
    415: ("its body is of a kind that isn't known", "Look at Content-Type."),
    416: ("its URI is of a scheme that isn't served", "Call by a sip: URI."),
    420: ("it needs an extension that this server doesn't have", "Look at Proxy-Require and Require."),
    440: ("it was forked too often", "Look for a circle between servers; Max-Breadth is used up (RFC 5393)."),
    481: ("it belongs to a call that isn't there", "The call has ended already."),
    484: ("its URI names nobody", "The number is incomplete, or the user part is missing."),
    486: ("too many calls ring at the callee already", "Look at [limits] pending_per_callee."),
    500: ("a stage has failed by an error of its own", "The log has the traceback: look for the Call-ID."),
    503: ("there was no room for it", "Look at the counters of [limits] in /metrics."),
    505: ("it is of another version of SIP", "The caller has to speak SIP/2.0."),
    513: ("it is too large", "Raise [limits] message_bytes, header_lines or line_bytes."),
}


def stage(story: Story, around: Around) -> Finding | None:
    """A stage of the script, or a rule in it, has refused."""
    refusal = _refusal(story)
    if refusal is None or refusal.parts[1][0] in (401, 407, 487):
        return None
    status, method, _, _, name = refusal.parts[1]
    final = story.final()
    said = phrase(final) if final is not None and final.status == status else str(status)
    place = around.code(name)
    where = f"stage {clean(name)}{f' ({place})' if place else ''}"
    known = _STAGES.get((status, said.partition(" ")[2]))
    rule = _rule(story)
    by = f"{where}, rule {clean(rule)}" if rule and rule != "busy" else where
    if known is not None:
        return found(known[0], f"sipnode refused the {method} with {clean(said)} in {by}: {known[1].replace('its caller', 'the caller')}.",
                     known[2], (story.first, refusal, final))  # fmt: skip
    why, mend = _STATUS.get(status, ("so says the routing script", "Read that stage of the routing script."))
    return found("stage", f"sipnode refused the {method} with {clean(said)} in {by}: {why}.", mend, (story.first, refusal, final))


def unreadable(story: Story, around: Around) -> Finding | None:
    """A message couldn't be read."""
    broken = [entry for entry in story.entries if entry.kind == BROKEN]
    if not broken:
        return None
    refusal = next((entry for entry in story.messages((SENT,)) if entry.why == "refusal"), None)
    return found(
        "unreadable",
        f"A message from {broken[0].place} can't be read" + (f": {clean(phrase(refusal))}." if refusal is not None else "."),
        "Update that phone, or see whether a SIP ALG of a router rewrites messages: switch it off, or use TLS.",
        (*broken, refusal),
    )


def no_ack(story: Story, around: Around) -> Finding | None:
    """The answer went to the caller, and its ACK never came."""
    answers = [entry for entry in story.messages((SENT,), "INVITE") if 200 <= entry.status < 300]
    if not answers or story.requests_in("ACK") or story.live:
        return None
    first = story.first
    if first is None:
        return None
    again = [entry for entry in story.messages((RECEIVED,), "INVITE") if 200 <= entry.status < 300 and entry.repeat]
    if not again and answers[-1].when > story.entries[-1].when - 2:
        return None
    route = answers[-1].header("record-route")
    host = route.partition("sip:")[2].partition(";")[0].partition(">")[0]
    bare = host.rpartition(":")[0] or host
    if route and private(bare) and not private(first.remote[0]):
        return found(
            "advertise",
            f"The caller's ACK never came: sipnode told {first.place} to send it to {clean(host)}, an address that only its own network"
            " knows.",
            "Let the listener advertise what others reach: [core] listen = 'udp:ADDRESS:PORT advertise PUBLIC'.",
            (answers[-1], *again),
        )
    return found(
        "no_ack",
        f"The call was answered, but the ACK of {first.place} never came to {clean(host) or 'this server'}, so the callee hung up.",
        "Can the caller reach that address? If not, [core] listen … advertise. Does a NAT in between keep its mapping that long?",
        (answers[-1], *again),
    )


def cancel_raced(story: Story, around: Around) -> Finding | None:
    """The caller hung up just as the callee answered."""
    cancels = story.requests_in("CANCEL")
    if not cancels:
        return None
    late = [entry for entry in story.responses_in("INVITE", 200, 299) if entry.when >= cancels[0].when]
    if late:
        gap = late[0].when - cancels[0].when
        return found(
            "cancel_raced",
            f"The caller hung up and {callee(story)} answered at the same time, {gap:.1f} s apart: the answer came too late.",
            "Nothing is broken: sipnode has ended the call at both phones.",
            (cancels[0], late[0]),
        )
    early = [entry for entry in story.messages((SENT,), "INVITE") if 200 <= entry.status < 300 and entry.when <= cancels[0].when]
    if early:
        return found(
            "cancel_raced",
            f"The caller's CANCEL came after {callee(story)} had answered: it does nothing then, the caller has to send BYE.",
            "Nothing is broken.",
            (early[-1], cancels[0]),
        )
    return None


def session_timer(story: Story, around: Around) -> Finding | None:
    """Nobody refreshed the session, or the ends couldn't agree."""
    end = story.end
    if end is None or end.parts[0] != "lost":
        return None
    closed = [entry for entry in story.entries if entry.kind == CLOSED]
    byes = [entry for entry in story.messages((SENT,), "BYE", 0) if entry.why == "bye"]
    said = clean(byes[0].header("reason").partition('text="')[2].partition('"')[0]) if byes else ""
    if closed:
        return found(
            "vanished",
            f"The call was up when the connection of {closed[-1].place} was lost ({clean(closed[-1].parts[0])}) and didn't come back in"
            " time.",
            "Look at the network of that browser or phone; [dialog] lost_flow_seconds says how long it may be away.",
            (*closed[-1:], *byes, end),
        )
    return found(
        "session_timer",
        "The call was up, but neither end refreshed it within its session timer"
        + (f" ({said})" if said else "")
        + ", so it counts as lost.",
        "One of the phones or its network went without a BYE; look at Session-Expires and who was to refresh (refresher=).",
        (*byes, end),
    )


RULES: Final[tuple[Rule, ...]] = (handshake, unreadable, database, loop, overload, cancel_raced, session_timer, no_ack)
LAST: Final[tuple[Rule, ...]] = (stage,)
