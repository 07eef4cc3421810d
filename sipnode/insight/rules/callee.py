"""Refusals of the callee, or of a trunk: its words, and what they mean. Pure."""

from __future__ import annotations

from typing import Final

from sipnode.insight.finding import Around, Finding, Rule, found, phrase
from sipnode.insight.ring import SENT
from sipnode.insight.rules.reach import callee
from sipnode.insight.sdp import Stream, codecs, streams
from sipnode.insight.story import Entry, Story
from sipnode.tables import clean


def _refusal(story: Story) -> Entry | None:
    """The response from outside that became the answer."""
    final = story.final()
    if final is None or final.status < 300:
        return None
    refusals = [entry for entry in story.responses_in(story.method, 300) if entry.status == final.status]
    return refusals[-1] if refusals else None


def words(entry: Entry) -> str:
    """The reason phrase of a refusal, with its Reason and Warning headers, as they came."""
    said = [phrase(entry)]
    for name in ("reason", "warning"):
        value = entry.header(name)
        if value:
            text = value.partition('text="')[2].partition('"')[0] if name == "reason" else value.partition('"')[2].rpartition('"')[0]
            said.append(f"{name.capitalize()}: {text or value}")
    return clean("; ".join(said))[:300]


def _offer_to(story: Story, place: tuple[str, int]) -> tuple[Entry, list[Stream]] | None:
    for entry in story.messages((SENT,), "INVITE", 0):
        if entry.remote == place and streams(entry.body):
            return entry, streams(entry.body)
    return None


def not_acceptable(story: Story, around: Around) -> Finding | None:
    """488 and 606: which media the callee wouldn't take."""
    refusal = _refusal(story)
    if refusal is None or refusal.status not in (488, 606, 415):
        return None
    offered = _offer_to(story, refusal.remote)
    if offered is None:
        what, mend = "no SDP at all", "Let the caller make an offer; some phones refuse an INVITE without one."
        proof: tuple[Entry | None, ...] = (refusal,)
    else:
        entry, offers = offered
        what = "; ".join(f"{stream.kind} as {stream.profile} with {', '.join(codecs(stream)) or 'no codec'}" for stream in offers[:4])
        profiles = {stream.profile for stream in offers}
        secure = any("SAVP" in profile for profile in profiles)
        browser = refusal.transport in ("WS", "WSS")
        if secure and not browser:
            mend = (
                "It is a phone that was offered encrypted media (SAVP): switch SRTP on in the phone, or let the media relay answer for it"
                " ([media] engage, or the flags of manage_branch: transport-protocol=RTP/AVP)."
            )
        elif browser and not secure:
            mend = "It is a browser that was offered plain RTP: let the call go through the media relay ([media] nodes)."
        else:
            mend = (
                "Switch on one of these codecs in that phone, let the caller offer one that it has (PCMA, PCMU), or have rtpengine"
                " transcode."
            )
        proof = (entry, refusal)
    return found(
        "not_acceptable", f"The phone of {callee(story)} at {refusal.place} refused the media ({words(refusal)}): it was offered"
        f" {clean(what)}.",
        mend, proof,
    )  # fmt: skip


def trunk(story: Story, around: Around) -> Finding | None:
    """A trunk refused, in its words."""
    refusal = _refusal(story)
    name = around.trunk(refusal.remote[0]) if refusal is not None else ""
    if refusal is None or not name:
        return None
    if refusal.status in (401, 407):
        mend = f"It doesn't take our name and password: correct user, password and realm of [trunk.{name}]."
    elif refusal.status in (403, 604):
        mend = f"Ask the provider whether the number and the caller's number are allowed; look at rewrite of [trunk.{name}]."
    elif refusal.status in (404, 484):
        mend = f"The number isn't one for it: look at prefixes and rewrite of [trunk.{name}]; many want +COUNTRY…"
    elif refusal.status >= 500:
        mend = (
            f"The fault is at the provider: a second [trunk.…] with the same prefixes takes over meanwhile; see sipnode rpc"
            f" trunk.show {name}."
        )
    else:
        mend = "The words are the provider's; ask there."
    return found("trunk", f"The trunk {name} rejected the call: {words(refusal)}.", mend, (refusal, story.final()))


_MEANING: Final = {
    486: ("busy", "is busy", "Nothing is broken."),
    600: ("busy", "is busy everywhere", "Nothing is broken."),
    603: ("declined", "declined the call", "Nothing is broken."),
    480: ("unavailable", "can't be called just now", "Look at the phone: do not disturb, or not ready."),
    404: (
        "phone_knows_nobody",
        "says that nobody of that name is there",
        "The phone was called by a user part that isn't its own: look at its Contact.",
    ),
    403: ("forbidden", "forbids the call", "Look at the phone's list of those who may call it."),
    422: ("session_interval", "wants a longer session timer", "Let the caller raise Session-Expires to Min-SE of the answer (RFC 4028)."),
    420: (
        "extension",
        "doesn't know an extension that the caller requires",
        "Look at Require of the INVITE and Unsupported of the answer.",
    ),
    416: ("scheme", "doesn't take that kind of URI", "Call it by a sip: URI."),
    481: ("unknown_dialog", "doesn't know the call any more", "One of the ends was restarted in the middle of the call."),
    491: ("glare", "had a request of its own on the way", "Both ends try again by themselves; nothing is broken."),
    513: ("too_large", "can't take a message of that size", "Let the client offer fewer codecs, or use TCP."),
    503: ("phone_overloaded", "has no room for a call", "Look at the phone or PBX; Retry-After says when to try again."),
}


def refused(story: Story, around: Around) -> Finding | None:
    """Any other refusal by the callee."""
    refusal = _refusal(story)
    if refusal is None or refusal.status in (401, 407, 487):
        return None
    rule, what, mend = _MEANING.get(
        refusal.status,
        ("callee_refused", "refused the call", "The fault is in the phone or server there: look at its log."),
    )
    return found(rule, f"The phone of {callee(story)} at {refusal.place} {what}: {words(refusal)}.", mend, (refusal, story.final()))


RULES: Final[tuple[Rule, ...]] = (trunk, not_acceptable, refused)
