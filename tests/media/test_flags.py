"""Tests of `sipnode.media.flags`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.media.bencode import encode
from sipnode.media.flags import OPEN, for_answer, newer, parse, spoken, words
from sipnode.media.manage import Operation
from sipnode.media.profiles import profile_fields
from sipnode.records import MediaForm, MediaProfile
from sipnode.settings import MediaSettings

FROM_THE_MANUAL = (
    "via-branch=auto-next asymmetric no-redis-update direction=priv direction=pub address-family=IP6 force trust-address "
    "replace-origin replace-session-connection symmetric repacketize=20 ICE=force-relay to-tag rtcp-mux-demux rtcp-mux-reject "
    "rtcp-mux-offer rtcp-mux-accept media-address=203.0.113.7 TOS=184 strict-source media-handover DTLS=passive SDES-off "
    "SDES-unencrypted_srtp SDES-encrypted_srtcp unidirectional record-call=on metadata=a:b codec-transcode=opus codec-set=opus/48000 "
    "codec-strip=G722 codec-offer=PCMU codec-except=PCMA codec-mask=all T.38=decode received-from=198.51.100.7"
)
"""Words of Kamailio's README of its module, all at once."""


class WordTests(SynchronousTestCase):
    """Words to the dictionary of a command."""

    def fields(self, text: str) -> dict[str, Any]:
        return dict(parse(text).fields)

    def refused(self, text: str) -> str:
        return self.assertRaises(ConfigError, parse, text).reason

    def test_manual(self) -> None:
        """Every word of the manual has its place; what rtpengine does nothing with isn't sent."""
        self.assertEqual(
            self.fields(FROM_THE_MANUAL),
            {
                "direction": ("priv", "pub"),
                "address-family": "IP6",
                "flags": ("asymmetric", "no-redis-update", "trust-address", "strict-source", "media-handover", "unidirectional"),
                "replace": ("origin", "session-connection"),
                "ICE": "force-relay",
                "rtcp-mux": ("demux", "reject", "offer", "accept"),
                "media-address": "203.0.113.7",
                "TOS": 184,
                "DTLS": "passive",
                "SDES": ("off", "unencrypted_srtp", "encrypted_srtcp"),
                "record-call": "on",
                "metadata": "a:b",
                "codec": {
                    "transcode": ("opus",), "set": ("opus/48000",), "strip": ("G722",), "offer": ("PCMU",), "except": ("PCMA",),
                    "mask": ("all",),
                },
                "T.38": ("decode",),
                "received-from": ("IP4", "198.51.100.7"),
            },
        )  # fmt: skip

    def test_can_be_sent(self) -> None:
        """What comes of it has a form in the protocol."""
        self.assertIn(b"3:TOSi184e", encode(profile_fields(MediaProfile(MediaForm.PLAIN, flags=parse(FROM_THE_MANUAL)), Operation.OFFER)))

    def test_transports(self) -> None:
        """Whole names, and Kamailio's halves that add up."""
        for text, name in (
            ("RTP/AVP", "RTP/AVP"), ("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVPF"), ("UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVP"),
            ("SRTP", "RTP/SAVP"), ("SRTP AVPF", "RTP/SAVPF"), ("RTP AVP", "RTP/AVP"), ("DTLS AVPF", "UDP/TLS/RTP/SAVPF"),
            ("RTP/SAVPF AVP", "RTP/SAVP"), ("transport-protocol=RTP/AVPF", "RTP/AVPF"),
        ):  # fmt: skip
            self.assertEqual(self.fields(text), {"transport-protocol": name}, text)

    def test_two_ways_to_write(self) -> None:
        """A list's item behind a hyphen or an equals sign; transcode without codec- before it; T38 without its point."""
        same = self.fields("replace-origin SDES-off T.38=stop codec-transcode=opus")
        self.assertEqual(self.fields("replace=origin SDES=off T38-stop transcode-opus"), same)
        self.assertEqual(self.fields("internal external"), {"direction": ("internal", "external")})
        self.assertEqual(self.fields("SDES-no-AES_CM_128_HMAC_SHA1_32"), {"SDES": ("no-AES_CM_128_HMAC_SHA1_32",)})
        self.assertEqual(self.fields("record-call"), {"flags": ("record-call",)})

    def test_nearest(self) -> None:
        """A word that is none is refused, with the nearest that is one."""
        for text, near in (
            ("trust-adress", "trust-address"), ("replace-orign", "replace-origin"), ("rtcp-mux-ofer", "rtcp-mux-offer"),
            ("SDES-of", "SDES-off"), ("media-adress=192.0.2.1", "media-address="), ("ice=force", "ICE="), ("RTP/SAVPFF", "RTP/SAVPF"),
        ):  # fmt: skip
            self.assertIn(f"did you mean '{near}", self.refused(f"strict-source {text}"))
        self.assertEqual(self.refused("zzzzqqqq"), "'zzzzqqqq' is no flag of rtpengine")

    def test_values(self) -> None:
        """A value that can't be is refused with what could."""
        self.assertIn("did you mean 'force'?", self.refused("ICE=forse"))
        self.assertIn("a number from -1 to 255", self.refused("TOS=300"))
        self.assertIn("an address", self.refused("media-address=here"))
        self.assertEqual(self.refused("media-address"), "'media-address' needs a value, as 'media-address=…'")
        self.assertEqual(self.refused("ICE="), "'ICE=' has no value")

    def test_names_are_ours(self) -> None:
        """What names a call or an end at the relay isn't the script's: its media couldn't be given back."""
        for text in ("call-id=x", "from-tag=x", "to-tag=x", "force-answer", "delete-delay=3"):
            self.assertIn("isn't taken", self.refused(text))

    def test_key(self) -> None:
        """The error names the setting."""
        self.assertEqual(self.assertRaises(ConfigError, parse, "x", True, "routing.script").key, "routing.script")

    def test_open_text(self) -> None:
        """What isn't known when a script is loaded isn't judged then; the rest is."""
        parse(f"media-address={OPEN} ICE={OPEN} {OPEN} trust-address", True)
        self.assertRaises(ConfigError, parse, f"media-address={OPEN} trust-adress", True)

    def test_each_word_is_one(self) -> None:
        """The words that people are pointed to are taken, with a value where they want one."""
        values = {"media-address=": "192.0.2.1", "xmlrpc-callback=": "192.0.2.1"}
        for word in words():
            if word in ("call-id", "from-tag", "force-answer"):
                continue
            text = f"{word}=1" if word in ("via-branch", "repacketize") else f"{word}=192.0.2.1" if word == "received-from" else word
            if word == "direction":
                text = "direction=a"
            elif word.endswith("="):
                text = word + values.get(word, "")
                if text == word:
                    reason = self.refused(f"{word}\t{word}?")
                    self.assertIn("has no value", reason)
                    continue
            parse(text)

    def test_newer_than_the_daemon(self) -> None:
        """Words that rtpengine 10.5 doesn't know are told with the version that does."""
        self.assertEqual(newer(parse("trust-address early-media bundle=strict OSRTP-offer")), {"early-media": "11.3", "bundle": "14.0"})


class LayingTests(SynchronousTestCase):
    """Words over what is derived."""

    def offer(self, text: str, source: str = "", alone: bool = False, **settings: Any) -> dict[str, Any]:
        profile = MediaProfile(MediaForm.WEBRTC, source, "UDP/TLS/RTP/SAVPF", flags=parse(text, alone))
        return profile_fields(profile, Operation.OFFER, MediaSettings(**settings))

    def test_in_place_of_what_is_derived(self) -> None:
        """A key that words speak of is as they say; lists of flags and of what is replaced grow; the rest stays."""
        fields = self.offer("ICE=remove strict-source replace-username rtcp-mux-require")
        self.assertEqual((fields["ICE"], fields["rtcp-mux"], fields["DTLS"]), ("remove", ("require",), "passive"))
        self.assertEqual(fields["flags"], ("generate-mid", "trust-address", "strict-source"))
        self.assertEqual(fields["replace"], ("origin", "session-connection", "username"))

    def test_whose_address(self) -> None:
        """Words that trust an address or don't overrule what was found out about it."""
        fields = self.offer("trust-address", source="198.51.100.7")
        self.assertEqual((fields["flags"], "received-from" in fields), (("generate-mid", "trust-address"), False))
        fields = self.offer("SIP-source-address")
        self.assertEqual(fields["flags"], ("generate-mid", "SIP-source-address"))

    def test_alone(self) -> None:
        """Words of a script stand alone: nothing is derived but where the message came from; what the settings say of all calls holds."""
        self.assertEqual(
            self.offer("trust-address", source="198.51.100.7", alone=True, record_call=True),
            {"flags": ("trust-address",), "received-from": ("IP4", "198.51.100.7"), "record-call": "on"},
        )
        self.assertEqual(self.offer("record-call=off", alone=True, record_call=True), {"record-call": "off"})

    def test_default(self) -> None:
        """Words of the configuration are for those calls that have none of their own."""
        default = parse("TOS=46")
        profile = MediaProfile(MediaForm.PLAIN)
        self.assertEqual(profile_fields(profile, Operation.OFFER, None, default)["TOS"], 46)
        profile.flags = parse("strict-source", True)
        self.assertEqual(profile_fields(profile, Operation.OFFER, None, default), {"flags": ("strict-source",)})

    def test_answer(self) -> None:
        """What says how the callee gets an offer isn't said of the answer; two-sided words are."""
        said = "trust-address replace-origin rtcp-mux-offer direction=a direction=b codec-transcode=opus DTLS=passive"
        flags = for_answer(parse(said, True))
        self.assertEqual(dict(flags.fields), {"flags": ("trust-address",), "replace": ("origin",), "rtcp-mux": ("offer",)})
        self.assertTrue(flags.alone)

    def test_answer_of_a_bridge(self) -> None:
        """Words that name a transport bridge two kinds of ends: the answer is derived, as its receiver offered."""
        said = parse("UDP/TLS/RTP/SAVPF ICE=force rtcp-mux-offer generate-mid SDES-off trust-address media-address=192.0.2.1", True)
        flags = for_answer(said)
        self.assertEqual((dict(flags.fields), flags.alone), ({"flags": ("trust-address",), "media-address": "192.0.2.1"}, False))
        fields = profile_fields(MediaProfile(MediaForm.PLAIN, flags=flags), Operation.ANSWER)
        self.assertEqual((fields["ICE"], fields["rtcp-mux"], fields["media-address"]), ("remove", ("demux",), "192.0.2.1"))

    def test_spoken(self) -> None:
        """A command in words that make the same command again."""
        for text in (FROM_THE_MANUAL, "UDP/TLS/RTP/SAVPF ICE=force", "received-from=2001:db8::1 TOS=0 direction=a direction=a"):
            fields = parse(text).fields
            again = parse(spoken(fields)).fields
            sort = lambda value: sorted(value) if isinstance(value, tuple) else value  # noqa: E731
            self.assertEqual({key: sort(value) for key, value in again.items()}, {key: sort(value) for key, value in fields.items()})
        self.assertEqual(spoken({"sdp": b"v=0", "call-id": "x", "command": "offer", "flags": ["b", "a"]}), "a b")
