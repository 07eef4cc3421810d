"""The flag words of rtpengine, as Kamailio's module reads them: ``"trust-address replace-origin ICE=force record-call=on"``.

Pure. Each word becomes what rtpengine's control protocol calls it; what isn't a word is refused with the nearest that is, when it is
read: for ``[media] flags`` and for the words that a script writes out, that is when they are loaded.

The invariant: words never name a call, a dialog or a branch at the relay, for these are the server's to give back.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from sipnode.errors import ConfigError
from sipnode.records import MediaField, MediaFlags

OPEN: Final = "\0"
"""Stands in a text for what is known when a call is there; a value with it is checked then."""

_LISTS: Final[dict[str, tuple[str, ...]]] = {
    "replace": (
        "origin", "session-connection", "session-name", "sdp-version", "SDP-version", "username", "zero-address",
        "force-increment-sdp-ver",
    ),
    "rtcp-mux": ("offer", "require", "demux", "accept", "reject"),
    "OSRTP": ("accept", "offer", "accept-RFC", "accept-legacy", "offer-RFC", "offer-legacy"),
    "T.38": ("decode", "force", "stop", "no-ECM", "no-V.17", "no-V.27ter", "no-V.29", "no-V.34", "no-IAF", "FEC"),
    "endpoint-learning": ("off", "immediate", "delayed", "heuristic"),
    "SDES": (
        "off", "no", "disable", "disabled", "unencrypted_srtp", "unencrypted_srtcp", "unauthenticated_srtp", "encrypted_srtp",
        "encrypted_srtcp", "authenticated_srtp", "lifetime", "pad", "static",
    ),
}  # fmt: skip
"""``KEY-VALUE`` or ``KEY=VALUE``: items of a list of the dictionary."""
_SUITES: Final = (
    "AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_256_CM_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32", "AES_192_CM_HMAC_SHA1_80",
    "AES_192_CM_HMAC_SHA1_32", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "F8_128_HMAC_SHA1_80", "F8_128_HMAC_SHA1_32",
    "NULL_HMAC_SHA1_80", "NULL_HMAC_SHA1_32",
)  # fmt: skip
_CODEC: Final = ("strip", "offer", "mask", "set", "except", "accept", "consume", "transcode")
_FLAGS: Final = (
    "trust-address", "SIP-source-address", "asymmetric", "no-redis-update", "unidirectional", "strict-source", "media-handover", "reset",
    "all", "egress", "SIPREC", "fragment", "port-latching", "no-port-latching", "generate-mid", "strip-extmap", "record-call", "debug",
    "debugging", "no-rtcp-attribute", "full-rtcp-attribute", "generate-RTCP", "trickle-ICE", "ICE-reject", "reject-ICE", "loop-protect",
    "original-sendrecv", "always-transcode", "reuse-codecs", "no-codec-renegotiation", "single-codec", "allow-transcoding", "inject-DTMF",
    "detect-DTMF", "pad-crypto", "passthrough", "no-passthrough", "no-jitter-buffer", "pierce-NAT", "NAT-wait", "RTCP-mirror",
    "mirror-RTCP", "early-media", "static-codecs", "inactive", "discard-recording", "allow-asymmetric-codecs", "block-short",
    "exclude-recording", "skip-recording-db", "recording-announcement", "block-DTMF", "block-egress", "WebRTC", "recrypt", "provisional",
    "allow-no-codec-media", "force-transcoding", "no-tls-id", "bidirectional",
)  # fmt: skip
_IDLE: Final = ("force", "symmetric", "asymmetric-codecs", "symmetric-codecs", "reorder-codecs")
"""Words of Kamailio's manual that rtpengine does nothing with: taken, and not sent."""
_TRANSPORTS: Final = ("RTP/AVP", "RTP/SAVP", "RTP/AVPF", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF")
_BITS: Final = {"RTP": (~1, 0), "AVP": (~2, 0), "SRTP": (~0, 1), "AVPF": (~0, 2), "DTLS": (~0, 4)}
"""Effects of Kamailio's half words on the transport: bits that stay, bits that come. 1 is S, 2 is F, 4 is DTLS."""
_NAMES: Final = {0: "RTP/AVP", 1: "RTP/SAVP", 2: "RTP/AVPF", 3: "RTP/SAVPF", 4: "UDP/TLS/RTP/SAVP", 5: "UDP/TLS/RTP/SAVP"}
_NAMES_DTLS_F: Final = "UDP/TLS/RTP/SAVPF"
_VIA_BRANCH: Final = ("1", "2", "auto", "extra", "next", "auto-next", "next-auto", "auto-extra", "extra-auto")
_BLOCK: Final = ("off", "drop", "silence", "tone", "random", "zero", "DTMF")
_OURS: Final = ("call-id", "from-tag", "to-tag")
_SINCE: Final = {
    "exclude-recording": "11.1", "early-media": "11.3", "static-codecs": "11.3", "inactive": "11.3", "audio-player": "11.3",
    "DTMF-log-dest": "11.3", "replace-force-increment-sdp-ver": "11.3", "OSRTP-accept-RFC": "11.3", "OSRTP-accept-legacy": "11.3",
    "OSRTP-offer-RFC": "11.3", "OSRTP-offer-legacy": "11.3", "discard-recording": "11.4", "output-destination": "11.4",
    "allow-asymmetric-codecs": "11.5", "block-short": "11.5", "skip-recording-db": "12.2", "recording-announcement": "12.3",
    "block-DTMF": "12.3", "block-egress": "12.3", "WebRTC": "12.5", "recrypt": "12.5", "T.38-version": "12.5", "from-interface": "12.5",
    "to-interface": "12.5", "provisional": "13.1", "allow-no-codec-media": "13.1", "force-transcoding": "13.3", "bundle": "14.0",
    "no-tls-id": "26.0", "bidirectional": "26.0",
}  # fmt: skip
"""Words that rtpengine 10.5 doesn't know, and the version that does."""


def _number(low: int, high: int) -> Callable[[str], MediaField]:
    def read(value: str) -> MediaField:
        if not re.fullmatch(r"-?\d{1,9}", value) or not low <= int(value) <= high:
            raise ValueError(f"a number from {low} to {high}")
        return int(value)

    return read


def _one_of(*values: str) -> Callable[[str], MediaField]:
    def read(value: str) -> MediaField:
        if value not in values:
            near = _nearest(value, values)
            raise ValueError(" or ".join((", ".join(values[:-1]), values[-1])) + (f"; did you mean {near!r}?" if near else ""))
        return value

    return read


def _address(value: str) -> MediaField:
    try:
        return str(ipaddress.ip_address(value.strip("[]")))
    except ValueError:
        raise ValueError("an address, as 203.0.113.7") from None


def _text(value: str) -> MediaField:
    return value


def _name(value: str) -> MediaField:
    if not re.fullmatch(r"[0-9A-Za-z_.~/:-]{1,64}", value):
        raise ValueError("a name")
    return value


_KEYED: Final[dict[str, Callable[[str], MediaField]]] = {
    "ICE": _one_of("force", "remove", "default", "optional", "force-relay", "force_relay"),
    "ICE-lite": _one_of("forward", "backward", "both", "off"),
    "DTLS": _one_of("passive", "active", "off", "no", "disable", "disabled"),
    "DTLS-reverse": _one_of("passive", "active"),
    "DTLS-fingerprint": _one_of("sha-1", "sha-224", "sha-256", "sha-384", "sha-512"),
    "passthrough": _one_of("on", "off"),
    "transport-protocol": _one_of(*_TRANSPORTS, "accept"),
    "media-address": _address,
    "address-family": _one_of("IP4", "IP6"),
    "record-call": _one_of("on", "off", "yes", "no"),
    "metadata": _text,
    "output-destination": _text,
    "TOS": _number(-1, 255),
    "ptime": _number(1, 1000),
    "ptime-reverse": _number(1, 1000),
    "generate-RTCP": _one_of("on", "off"),
    "media-echo": _one_of("blackhole", "sinkhole", "forward", "backward", "both"),
    "drop-traffic": _one_of("start", "stop"),
    "delay-buffer": _number(0, 100_000),
    "DTMF-delay": _number(0, 100_000),
    "DTMF-security": _one_of(*_BLOCK),
    "DTMF-security-trigger": _one_of(*_BLOCK),
    "DTMF-security-trigger-end": _one_of(*_BLOCK),
    "DTMF-log-dest": _text,
    "trigger": _text,
    "trigger-end": _text,
    "trigger-end-time": _number(0, 1_000_000),
    "trigger-end-digits": _number(0, 1000),
    "frequency": _number(1, 24_000),
    "volume": _number(0, 63),
    "label": _name,
    "from-label": _name,
    "to-label": _name,
    "set-label": _name,
    "xmlrpc-callback": _address,
    "audio-player": _one_of("default", "transcoding", "off", "on", "force", "always"),
    "T.38-version": _number(0, 3),
    "from-interface": _name,
    "to-interface": _name,
    "bundle": _one_of("strict", "accept", "require", "offer", "off"),
}
"""``KEY=VALUE``: an entry of the dictionary."""
_OTHERS: Final = ("direction", "internal", "external", "received-from", "via-branch", "repacketize", "force-answer", *_OURS)

OFFER_ONLY: Final = frozenset(
    ("transport-protocol", "DTLS", "DTLS-reverse", "direction", "T.38", "ptime", "ptime-reverse", "address-family", "codec")
)
"""Words on how the callee gets an offer: never said of the answer that goes the other way, unless it is written for it."""
_ONE_SIDED: Final = frozenset(("ICE", "ICE-lite", "rtcp-mux", "SDES", "OSRTP"))
"""Alike, where words name a transport."""
_ONE_SIDED_FLAGS: Final = frozenset(("generate-mid", "WebRTC"))
_ADDRESS_FLAGS: Final = frozenset(("trust-address", "SIP-source-address"))


def words() -> list[str]:
    """Every word, with its first value where it has to have one: for people who look for the one they meant."""
    found = [*_FLAGS, *_IDLE, *_BITS, *_TRANSPORTS, *(f"{key}=" for key in _KEYED), *_OTHERS, *(f"codec-{name}=" for name in _CODEC)]
    found += [f"{key}-{value}" for key, values in _LISTS.items() for value in values]
    return [*found, *(f"SDES-no-{suite}" for suite in _SUITES)]


def _nearest(word: str, known: Iterable[str]) -> str:
    by_lower = {text.lower(): text for text in known}
    near = get_close_matches(word.lower(), by_lower, 1, 0.5)
    return by_lower[near[0]] if near else ""


@lru_cache(maxsize=256)
def parse(text: str, alone: bool = False, key: str = "media.flags") -> MediaFlags:
    """Read words.

    Args:
        text: Separated by blanks; `OPEN` stands for what isn't known yet.
        alone: Nothing that they don't say is asked of the relay, as in Kamailio; else they are laid over what the server derives.
        key: Of the setting, for the error.

    Raises:
        ConfigError: a word that is none, or a value that it can't have.
    """
    reader = _Reader(key)
    for word in text.split():
        reader.take(word)
    return MediaFlags(" ".join(text.split()), MappingProxyType(reader.made()), alone)


class _Reader:
    """The dictionary that words make."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._fields: dict[str, MediaField] = {}
        self._lists: dict[str, list[str]] = {}
        self._codec: dict[str, list[str]] = {}
        self._transport = -1

    def made(self) -> dict[str, MediaField]:
        fields = self._fields
        fields.update((name, tuple(items)) for name, items in self._lists.items())
        if self._codec:
            fields["codec"] = {name: tuple(items) for name, items in self._codec.items()}
        if self._transport >= 0:
            fields["transport-protocol"] = _NAMES.get(self._transport, _NAMES_DTLS_F)
        return fields

    def take(self, word: str) -> None:
        name, equals, value = word.partition("=")
        if OPEN in name:
            return
        if not equals and self._bare(name):
            return
        if equals and not value:
            raise self._wrong(f"{word!r} has no value")
        if (equals and self._keyed(name, value)) or self._listed(word, name, value):
            return
        if name in _KEYED or name in ("direction", "received-from", "via-branch", *(f"codec-{kind}" for kind in _CODEC)):
            raise self._wrong(f"{name!r} needs a value, as '{name}=…'")
        near = _nearest(word if not equals else f"{name}=", words())
        raise self._wrong(f"{word!r} is no flag of rtpengine" + (f"; did you mean {near!r}?" if near else ""))

    def _bare(self, word: str) -> bool:
        if word in _FLAGS:
            self._add("flags", word)
        elif word in _BITS:
            keep, come = _BITS[word]
            self._transport = (max(self._transport, 0) & keep) | come
        elif word in _TRANSPORTS:
            self._transport = next((bits for bits, name in _NAMES.items() if name == word), 6)
        elif word in ("internal", "external"):
            self._add("direction", word)
        elif word == "force-answer":
            raise self._wrong("'force-answer' isn't taken: rtpengine_answer() says it")
        elif word not in _IDLE and word != "to-tag":
            return False
        return True

    def _keyed(self, name: str, value: str) -> bool:
        if name in _OURS:
            raise self._wrong(f"{name!r} isn't taken: the server names calls and their ends at the relay")
        if name == "via-branch":
            # Each branch has its own in any case.
            self._checked(name, value, _one_of(*_VIA_BRANCH))
        elif name == "repacketize":
            self._checked(name, value, _number(1, 1000))
        elif name == "direction":
            self._checked(name, value, _name)
            self._add("direction", value)
        elif name == "received-from":
            address = str(self._checked(name, value, _address))
            self._fields[name] = ("IP6" if ":" in address else "IP4", address)
        elif name == "delete-delay":
            raise self._wrong("'delete-delay' isn't taken: [media] delete_delay is for it")
        elif name in _KEYED:
            self._fields[name] = self._checked(name, value, _KEYED[name])
        else:
            return False
        return True

    def _listed(self, word: str, name: str, value: str) -> bool:
        for kind in _CODEC:
            for prefix in (f"codec-{kind}", *(("transcode",) if kind == "transcode" else ())):
                item = value if name == prefix else word.removeprefix(f"{prefix}-") if word.startswith(f"{prefix}-") else ""
                if item:
                    self._codec.setdefault(kind, []).append(item)
                    return True
        for key, values in _LISTS.items():
            for prefix in (key, *(("T38",) if key == "T.38" else ())):
                item = value if name == prefix else word.removeprefix(f"{prefix}-") if word.startswith(f"{prefix}-") else ""
                if not item or (not value and name in _FLAGS):
                    continue
                if OPEN not in item and item not in values and not (key == "SDES" and item.removeprefix("no-") in _SUITES):
                    near = _nearest(item, (*values, *((f"no-{suite}" for suite in _SUITES) if key == "SDES" else ())))
                    raise self._wrong(f"{word!r} is no flag of rtpengine" + (f"; did you mean '{key}-{near}'?" if near else ""))
                self._add(key, item)
                return True
        return False

    def _checked(self, name: str, value: str, read: Callable[[str], MediaField]) -> MediaField:
        if OPEN in value:
            return value
        try:
            return read(value)
        except ValueError as error:
            raise self._wrong(f"{value!r} of {name!r} isn't {error}") from None

    def _add(self, name: str, item: str) -> None:
        items = self._lists.setdefault(name, [])
        # A direction may name the same interface twice.
        if item not in items or name == "direction":
            items.append(item)

    def _wrong(self, reason: str) -> ConfigError:
        return ConfigError(reason, key=self._key)


def for_answer(flags: MediaFlags) -> MediaFlags:
    """The meaning for an answer of words that were written for its offer.

    They don't say how the callee gets the offer. Words that name a transport bridge between two kinds of ends: of those an answer
    has its keys, ICE and rtcp-mux as its receiver offered them.
    """
    bridging = "transport-protocol" in flags.fields
    left_out = OFFER_ONLY | _ONE_SIDED if bridging else OFFER_ONLY
    fields = {name: value for name, value in flags.fields.items() if name not in left_out}
    said = fields.get("flags")
    if bridging and isinstance(said, tuple):
        kept = tuple(item for item in said if item not in _ONE_SIDED_FLAGS)
        fields = {**fields, "flags": kept} if kept else {name: value for name, value in fields.items() if name != "flags"}
    return MediaFlags(flags.text, MappingProxyType(fields), flags.alone and not bridging)


def laid_over(derived: Mapping[str, MediaField], flags: MediaFlags) -> dict[str, MediaField]:
    """The dictionary of a command: what words say in place of what was derived; lists of flags and of what is replaced grow."""
    made = dict(derived)
    for name, value in flags.fields.items():
        before = made.get(name)
        if name in ("flags", "replace") and isinstance(before, (tuple, list)) and isinstance(value, tuple):
            kept = tuple(item for item in before if not (item in _ADDRESS_FLAGS and _ADDRESS_FLAGS & set(value)))
            made[name] = kept + tuple(item for item in value if item not in kept)
            if "trust-address" in value:
                made.pop("received-from", None)
        else:
            made[name] = value
    return made


def spoken(fields: Mapping[str, object]) -> str:
    """The dictionary of a command in words, sorted; without its SDP and the names of the call."""
    found: list[str] = []
    for name, value in fields.items():
        if name in ("sdp", "command", "call-id", "from-tag", "to-tag", "via-branch"):
            continue
        if name == "flags" and isinstance(value, (tuple, list)):
            found += map(str, value)
        elif name == "codec" and isinstance(value, Mapping):
            found += [f"codec-{kind}={item}" for kind, items in value.items() for item in items]
        elif name == "direction" and isinstance(value, (tuple, list)):
            found.append(" ".join(f"direction={item}" for item in value))
        elif name == "received-from" and isinstance(value, (tuple, list)):
            found.append(f"received-from={value[-1]}")
        elif isinstance(value, (tuple, list)):
            found += [f"{name}-{item}" for item in value]
        elif name == "transport-protocol":
            found.append(str(value))
        else:
            found.append(f"{name}={value}")
    return " ".join(sorted(found, key=str.lower))


class Spoken:
    """Questions to the relay in words; made when somebody reads them.

    Args:
        fields: Of the command.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, object]) -> None:
        self._fields = fields

    def __str__(self) -> str:
        return spoken(self._fields)


def newer(flags: MediaFlags) -> dict[str, str]:
    """Words that rtpengine 10.5 doesn't know, with the version that does: an older daemon logs them and leaves them out."""
    found: dict[str, str] = {}
    for name, value in flags.fields.items():
        items = [f"{name}-{item}" if name != "flags" else str(item) for item in value] if isinstance(value, tuple) else [name]
        found.update((item, _SINCE[item]) for item in items if item in _SINCE)
    return found
