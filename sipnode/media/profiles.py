"""Profiles of the SDP that comes back: the ng fields by how the side that will receive it carries media.

Pure. Implements: RFC 8829 §5.1.2 (profile names), RFC 8834, RFC 5761, RFC 8839, RFC 5763, RFC 4568, RFC 3264 §6.

====================  =======================  ==============  ==============  ===========
field                 WebRTC                   DTLS            SDES            plain
====================  =======================  ==============  ==============  ===========
transport-protocol    in an offer: what the profile says; in an answer **absent**, for it is the offer's (RFC 3264 §6)
ICE                   force                    remove          remove          remove
rtcp-mux              offer                    demux           demux           demux
DTLS                  passive in an offer, **absent** in an    off             off
                      answer
DTLS-reverse          passive in an offer: the offering end, if it has DTLS, begins the handshake, when it has the answer
SDES                  off                      off             absent: on      off
flags                 generate-mid
replace               origin, session-connection
====================  =======================  ==============  ==============  ===========

An answer to one that offered DTLS carries no DTLS field: with ``passive`` there the daemon, if it had begun as DTLS client when it
read ``setup:actpass``, and the other end would both wait for ever.

``DTLS-reverse`` keeps it from beginning then: ICE may be done before the answer, and an INVITE that a registrar behind us challenges
comes once more from the same port of the browser, which would find the first handshake's beginning in its queue, and in the second
one a bad signature.

The one invariant: these fields depend on nothing but the profile, the operation and the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipnode.media.flags import laid_over
from sipnode.media.manage import Operation
from sipnode.records import MediaForm

if TYPE_CHECKING:
    from sipnode.media.sdp import SdpForm
    from sipnode.records import MediaField, MediaFlags, MediaProfile
    from sipnode.settings import MediaSettings

_REPLACE = ("origin", "session-connection")
_OFF = ("off",)
_FIELDS: dict[MediaForm, dict[str, MediaField]] = {
    MediaForm.WEBRTC: {"ICE": "force", "rtcp-mux": ("offer",), "SDES": _OFF, "replace": _REPLACE},
    MediaForm.DTLS: {"ICE": "remove", "rtcp-mux": ("demux",), "SDES": _OFF, "replace": _REPLACE},
    MediaForm.SDES: {"ICE": "remove", "rtcp-mux": ("demux",), "DTLS": "off", "replace": _REPLACE},
    MediaForm.PLAIN: {"ICE": "remove", "rtcp-mux": ("demux",), "DTLS": "off", "SDES": _OFF, "replace": _REPLACE},
}

AVP: Final = (MediaForm.PLAIN, "RTP/AVP")
SAVP: Final = (MediaForm.SDES, "RTP/SAVP")
SAVPF_DTLS: Final = (MediaForm.WEBRTC, "UDP/TLS/RTP/SAVPF")

Choice = tuple[MediaForm, str]
"""A form and the protocol of its m-lines; "" for that of each m-line."""


def choices(offer: SdpForm, websocket: bool, known: MediaForm | None = None) -> list[Choice]:
    """How a new call's SDP may be offered to a callee: best first, the others for when it says 488 or 415.

    An offer that asks for encryption without being a browser's is never made plain. A browser's offer is: whoever puts a relay
    between browsers and phones asks for it.

    Args:
        offer: The caller's.
        websocket: The callee is reached over a WebSocket.
        known: What the callee is known to take.
    """
    if not offer.protocols:
        return [SAVPF_DTLS if websocket else (MediaForm.PLAIN, "")]
    own = (offer.form, "")
    if websocket:
        # Softphones of other kinds speak SIP over WebSockets too.
        found = [SAVPF_DTLS] + ([own] if offer.form in (MediaForm.PLAIN, MediaForm.SDES) else [AVP])
    elif offer.form is MediaForm.WEBRTC:
        found = [AVP, SAVP, SAVPF_DTLS]
    elif offer.form is MediaForm.DTLS:
        found = [own, SAVP, SAVPF_DTLS]
    elif offer.form is MediaForm.SDES:
        found = [own, *([SAVP] if any(name != "RTP/SAVP" for name in offer.protocols) else []), SAVPF_DTLS]
    else:
        found = [own, *([AVP] if any(name != "RTP/AVP" for name in offer.protocols) else []), SAVP, SAVPF_DTLS]
    if known is not None:
        # sorted() is stable: the first one is tried first in any case.
        found = found[:1] + sorted(found[1:], key=lambda choice: choice[0] is not known)
    return found[:3]


def profile_fields(
    profile: MediaProfile, operation: Operation, settings: MediaSettings | None = None, default: MediaFlags | None = None
) -> dict[str, MediaField]:
    """The fields of an offer or answer command beside its identity and SDP.

    Where the sender's SDP can't be trusted (``nat_source``) the daemon sends to the address that the SIP message came
    from until the first packet shows better; else ``trust-address`` says that the SDP's own address counts, which a
    daemon started with ``--sip-source`` would not do by itself.

    Flag words are laid over that; those of a script stand alone.

    Args:
        profile: How its receiver carries media, and the sender's true address.
        operation: OFFER or ANSWER.
        settings: For ``media_address`` and ``record_call``; None leaves both to the daemon.
        default: ``[media] flags`` for this operation, where the profile has no words of its own.

    Returns:
        Fields ready for `sipnode.media.bencode.encode`; a new dictionary each time.
    """
    words = profile.flags or default
    if words is None:
        fields = _derived(profile, operation)
    elif words.alone:
        fields = dict(words.fields)
        if profile.nat_source:
            fields.setdefault("received-from", _received_from(profile.nat_source))
    else:
        fields = laid_over(_derived(profile, operation), words)
    if settings is not None:
        if settings.media_address:
            fields.setdefault("media-address", settings.media_address)
        if settings.record_call:
            fields.setdefault("record-call", "on")
    return fields


def _received_from(address: str) -> tuple[str, str]:
    literal = address.strip("[]")
    return ("IP6" if ":" in literal else "IP4", literal)


def _derived(profile: MediaProfile, operation: Operation) -> dict[str, MediaField]:
    fields = dict(_FIELDS[profile.form])
    flags: list[str] = []
    if profile.form is MediaForm.WEBRTC:
        flags.append("generate-mid")
    if operation is Operation.OFFER:
        if profile.protocol:
            fields["transport-protocol"] = profile.protocol
        if profile.form in (MediaForm.WEBRTC, MediaForm.DTLS):
            fields["DTLS"] = "passive"
        fields["DTLS-reverse"] = "passive"
        if profile.interfaces:
            fields["direction"] = profile.interfaces
    if profile.moved:
        # Its receiver has had an SDP with the sender's own number already, and may take the next one for a repeat of it.
        fields["replace"] = (*_REPLACE, "SDP-version")
    if profile.family:
        fields["address-family"] = profile.family
    if profile.nat_source:
        flags.append("SIP-source-address")
        fields["received-from"] = _received_from(profile.nat_source)
    else:
        flags.append("trust-address")
        if profile.fixed:
            flags.append("asymmetric")
    fields["flags"] = tuple(flags)
    return fields
