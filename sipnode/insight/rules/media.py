"""Faults of media: the relay refuses, addresses that only one side knows, streams that go one way or nowhere. Pure."""

from __future__ import annotations

import re
from typing import Final

from sipnode.base.tap import MEDIA
from sipnode.insight.finding import Around, Finding, Rule, found, private
from sipnode.insight.ring import MEASURED, SENT
from sipnode.insight.rules.reach import callee
from sipnode.insight.sdp import Stream, codecs, streams
from sipnode.insight.story import Entry, Story
from sipnode.tables import clean

LEAST_TALK: Final = 2.0
"""Seconds of a call before silence tells anything."""
_RELAY: Final[tuple[tuple[str, str, str, str], ...]] = (
    (r"cannot assign requested address", "relay_interface", "tries to bind an address that its machine doesn't have",
     "Correct interface in rtpengine.conf: an address of that machine (ip addr), with !PUBLIC behind it where NAT is in between."),
    (r"ran out of ports|no room for a call|consecutive ports|allocating media ports", "relay_ports", "has no ports left for another call",
     "Widen port-min and port-max in rtpengine.conf, look for calls that were never deleted (sipnode rpc rtpengine.show all), or add a"
     " node."),
    (r"unknown call-id|call-id not found|tags didn't match", "relay_unknown_call", "doesn't know the call any more",
     "rtpengine was restarted or its timeout ended the call: keep its state in Redis, or raise timeout in rtpengine.conf."),
    (r"spool|recording", "relay_recording", "was asked to record and has no folder for that",
     "Set recording-dir (and recording-method) in rtpengine.conf, or take record-call out of the flags."),
    (r"no media node is up|has no address|no socket to the media node", "relay_down", "isn't there: no media node is up",
     "Start rtpengine, or correct [media] nodes; see: sipnode rpc rtpengine.show all, sipnode doctor media."),
    (r"no answer|given up", "relay_silent", "gave no answer",
     "Does rtpengine run, and does its listen-ng have the address of [media] nodes? Try: sipnode rpc rtpengine.ping NODE."),
    (r"too large", "relay_large", "can't take an SDP of that size", "Let the client offer fewer codecs and candidates."),
    (r"no media node|interface|direction", "relay_interfaces", "doesn't have the interface that the call asks for",
     "Let [media] interfaces name interfaces of rtpengine.conf."),
)  # fmt: skip


def relay(story: Story, around: Around) -> Finding | None:
    """The media relay refused, or wasn't there."""
    faults = story.faults(MEDIA)
    if not faults:
        return None
    _, command, fault, _ = faults[-1].parts
    for pattern, rule, what, mend in _RELAY:
        if re.search(pattern, fault, re.I):
            return found(rule, f"The media relay {what}: {clean(fault)}.", mend, faults)
    return found(
        "relay", f"The media relay refused the {clean(command)}: {clean(fault)}.", "Look for this Call-ID in the log of rtpengine.", faults
    )


def _passed(story: Story) -> list[tuple[Entry, Stream]]:
    """Streams of SDP that sipnode has sent on, with the message."""
    found_streams = []
    for entry in story.messages((SENT,)):
        if entry.of >= 0 and (entry.method == "INVITE") and (not entry.status or 180 <= entry.status < 300):
            found_streams += [(entry, stream) for stream in streams(entry.body)]
    return found_streams


def _answered(story: Story) -> Entry | None:
    return next((entry for entry in story.messages((SENT,), "INVITE") if 200 <= entry.status < 300), None)


def refused_streams(story: Story, around: Around) -> Finding | None:
    """The answer refuses all streams, or nothing is common."""
    answer = _answered(story)
    if answer is None:
        return None
    audio = [stream for stream in streams(answer.body) if stream.kind == "audio"]
    if not audio or any(stream.port for stream in audio):
        return None
    offers = [stream for entry, stream in _passed(story) if not entry.status and stream.kind == "audio"]
    offered = ", ".join(codecs(offers[0])) if offers else "?"
    return found(
        "no_common_codec",
        f"The call was answered without audio: {callee(story)} took none of the codecs that it was offered ({clean(offered)}).",
        "Let both phones have a codec in common (PCMA and PCMU always are), or have rtpengine transcode.",
        (answer,),
    )


def no_media_in_answer(story: Story, around: Around) -> Finding | None:
    """The call was answered with no SDP at all though one was offered."""
    answer = _answered(story)
    first = story.first
    if answer is None or first is None or not streams(first.body) or answer.body:
        return None
    if any(entry.body for entry in story.messages((SENT,), "INVITE") if 180 <= entry.status < 200):
        return None
    return found(
        "no_answer_sdp",
        f"The call was answered without SDP, so nobody knows where to send audio: the phone of {callee(story)} breaks RFC 3264.",
        "Update that phone, or look at its settings for early offers.",
        (first, answer),
    )


def plain_to_browser(story: Story, around: Around) -> Finding | None:
    """A browser got SDP without DTLS or ICE: no audio will flow."""
    for entry, stream in _passed(story):
        if entry.transport in ("WS", "WSS") and stream.kind == "audio" and stream.port and not (stream.fingerprint and stream.ice):
            lacks = " and ".join(name for name, there in (("a DTLS fingerprint", stream.fingerprint), ("ICE", stream.ice)) if not there)
            if story.answers(MEDIA):
                mend = (
                    "Let manage_branch of the script name the browser's profile (rtpengine: transport-protocol=UDP/TLS/RTP/SAVPF,"
                    " ICE=force)."
                )
            else:
                mend = "The call didn't go through the media relay: set [media] nodes, and [media] engage to auto or always."
            return found(
                "no_dtls",
                f"No audio: the browser at {entry.place} got SDP without {lacks} ({clean(stream.profile)}), which it can't"
                " use.", mend, (entry,),
            )  # fmt: skip
    return None


def private_address(story: Story, around: Around) -> Finding | None:
    """SDP names an address that the one who gets it can't reach."""
    for entry, stream in _passed(story):
        if not stream.port or not private(stream.address) or stream.candidates > 1:
            continue
        before = story.entries[entry.of]
        if private(entry.remote[0]) and private(before.remote[0]):
            continue
        if private(entry.remote[0]) and not story.answers(MEDIA):
            continue
        who = "the media relay" if story.answers(MEDIA) else f"the phone at {before.place}"
        if story.answers(MEDIA):
            mend = "Let interface in rtpengine.conf say what others reach: interface=LOCAL!PUBLIC; or set [media] media_address."
        else:
            mend = "Let media go through the relay ([media] nodes, engage = 'always'), or have the phone find its public address (STUN)."
        return found(
            "private_address",
            f"No audio for the other side: {who} asks for its media at {clean(stream.address)}, which {entry.place} can't reach.", mend,
            (before, entry),
        )  # fmt: skip
    return None


def one_way(story: Story, around: Around) -> Finding | None:
    """A stream goes one way only, as one end has said."""
    answer = _answered(story)
    if answer is None:
        return None
    for entry, stream in reversed(_passed(story)):
        if stream.kind != "audio" or not stream.port:
            continue
        held = stream.address in ("0.0.0.0", "::") and not stream.candidates
        if stream.direction == "sendrecv" and not held:
            continue
        if not entry.status and entry.header("to").lower().find(";tag=") >= 0:
            # A re-INVITE: somebody has put the call on hold.
            continue
        source = story.entries[entry.of].place
        what = "takes and sends nothing" if stream.direction == "inactive" or held else (
            "only sends" if stream.direction == "sendonly" else "only listens")  # fmt: skip
        return found(
            "one_way",
            f"Audio goes one way: the phone at {source} says in its SDP that it {what} (a={clean(stream.direction)}).",
            "Look at that phone: is it on hold, has its microphone been refused by the browser, or is it a page for listening?",
            (story.entries[entry.of], entry),
        )
    return None


def packets(story: Story, around: Around) -> Finding | None:
    """The relay counted no packet of one end, or of both."""
    measured = [entry for entry in story.entries if entry.kind == MEASURED]
    end = story.end
    if not measured or end is None or not end.parts[5] or end.when - end.parts[5] < LEAST_TALK:
        return None
    ends: dict[str, int] = {}
    addresses: dict[str, str] = {}
    for leg in measured[-1].parts[0]:
        ends[leg.tag] = ends.get(leg.tag, 0) + leg.packets
        addresses[leg.tag] = addresses.get(leg.tag) or leg.address
    silent = [tag for tag, count in ends.items() if not count]
    if not silent or len(ends) < 2:
        return None
    proof = (measured[-1], end)
    browser = any(entry.transport in ("WS", "WSS") for entry in story.entries if entry.is_message)
    towards = (
        "Let its firewall pass UDP to port-min … port-max of rtpengine.conf, and interface there name the address that is reached"
        " from outside."
    )
    if len(silent) == len(ends):
        why = "ICE or DTLS failed, or the relay's address in the SDP is wrong" if browser else "the relay's address in the SDP is wrong"
        return found(
            "no_audio",
            f"No audio at all: not one packet of either end came to the media relay, so {why}, or a firewall is in between.",
            towards,
            proof,
        )
    who = clean(addresses[silent[0]]) or "one end"
    count = max(ends.values())
    return found(
        "one_way_packets",
        f"Audio went one way: the media relay got {count} packets of one end, and none of the other, which was to send from {who}.",
        f"Look at that end: its microphone, its firewall or NAT; a browser has failed at ICE or DTLS then. {towards}", proof,
    )  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (relay,)
"""Why a call failed."""
HEARD: Final[tuple[Rule, ...]] = (packets, refused_streams, no_media_in_answer, plain_to_browser, private_address, one_way)
"""Why a call that was answered had no audio."""
