"""What the SDP that comes back must look like: the ng fields by the side that will receive it.

Pure. Implements: RFC 8829 §5.1.2 (profile names), RFC 8834, RFC 5761, RFC 8839, RFC 5763.

====================  ============================  =========================
field                 to a browser                  to a phone
====================  ============================  =========================
transport-protocol    UDP/TLS/RTP/SAVPF             RTP/AVP
ICE                   force                         remove
rtcp-mux              offer                         demux
DTLS                  passive in an offer, and      off
                      **absent** in an answer
SDES                  off                           off
flags                 generate-mid
replace               origin, session-connection    origin, session-connection
====================  ============================  =========================

An answer to a browser that made the offer carries no DTLS field: with ``passive`` there the daemon, which had begun as
DTLS client when it read the browser's ``setup:actpass``, and the browser both wait for ever.

The one invariant: these fields depend on nothing but the profile, the operation and the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sipnode.media.manage import Operation

if TYPE_CHECKING:
    from sipnode.records import MediaProfile
    from sipnode.settings import MediaSettings

_REPLACE = ("origin", "session-connection")

_BROWSER: dict[str, Any] = {
    "transport-protocol": "UDP/TLS/RTP/SAVPF",
    "ICE": "force",
    "rtcp-mux": ("offer",),
    "SDES": ("off",),
    "replace": _REPLACE,
}
_PHONE: dict[str, Any] = {
    "transport-protocol": "RTP/AVP",
    "ICE": "remove",
    "rtcp-mux": ("demux",),
    "DTLS": "off",
    "SDES": ("off",),
    "replace": _REPLACE,
}


def profile_fields(profile: MediaProfile, operation: Operation, settings: MediaSettings | None = None) -> dict[str, Any]:
    """The fields of an offer or answer command beside its identity and SDP.

    Where the sender's SDP can't be trusted (``nat_source``) the daemon sends to the address that the SIP message came
    from until the first packet shows better; else ``trust-address`` says that the SDP's own address counts, which a
    daemon started with ``--sip-source`` would not do by itself.

    Args:
        profile: Who receives the result, and the sender's true address.
        operation: OFFER or ANSWER.
        settings: For ``media_address`` and ``record_call``; None leaves both to the daemon.

    Returns:
        Fields ready for `sipnode.media.bencode.encode`; a new dictionary each time.
    """
    fields = dict(_BROWSER if profile.to_browser else _PHONE)
    flags: list[str] = []
    if profile.to_browser:
        flags.append("generate-mid")
        if operation is Operation.OFFER:
            fields["DTLS"] = "passive"
    if profile.nat_source:
        flags.append("SIP-source-address")
        address = profile.nat_source.strip("[]")
        fields["received-from"] = ("IP6" if ":" in address else "IP4", address)
    else:
        flags.append("trust-address")
    fields["flags"] = flags
    if settings is not None:
        if settings.media_address:
            fields["media-address"] = settings.media_address
        if settings.record_call:
            fields["record-call"] = "on"
    return fields
