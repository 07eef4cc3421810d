"""Tests of `sipnode.media.profiles`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.media.bencode import encode
from sipnode.media.manage import Operation
from sipnode.media.profiles import choices, profile_fields
from sipnode.media.sdp import form_of
from sipnode.records import MediaForm, MediaProfile
from sipnode.settings import MediaSettings

BROWSER = {
    "ICE": "force",
    "rtcp-mux": ("offer",),
    "SDES": ("off",),
    "flags": ("generate-mid", "trust-address"),
    "replace": ("origin", "session-connection"),
}
PHONE = {
    "ICE": "remove",
    "rtcp-mux": ("demux",),
    "DTLS": "off",
    "SDES": ("off",),
    "flags": ("trust-address",),
    "replace": ("origin", "session-connection"),
}
SAVPF = "UDP/TLS/RTP/SAVPF"
LINE = b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 %b 0\r\n"
DTLS, ICE = b"a=fingerprint:sha-256 AA\r\n", b"a=ice-ufrag:x\r\n"


class ProfileTests(SynchronousTestCase):
    """The rows."""

    def fields(self, to_browser: bool, operation: Operation, nat_source: str = "", **settings: Any) -> dict[str, Any]:
        form, protocol = (MediaForm.WEBRTC, SAVPF) if to_browser else (MediaForm.PLAIN, "RTP/AVP")
        return profile_fields(MediaProfile(form, nat_source, protocol), operation, MediaSettings(**settings))

    def test_offer_to_a_browser(self) -> None:
        """WebRTC with DTLS passive."""
        passive = {"DTLS": "passive", "DTLS-reverse": "passive"}
        self.assertEqual(self.fields(True, Operation.OFFER), {**BROWSER, **passive, "transport-protocol": SAVPF})

    def test_answer_to_a_browser_has_no_dtls(self) -> None:
        """The same without DTLS, with which browser and daemon would both wait, and without a protocol, which is the offer's."""
        self.assertEqual(self.fields(True, Operation.ANSWER), BROWSER)

    def test_phone(self) -> None:
        """Plain RTP, in an offer and an answer alike."""
        self.assertEqual(self.fields(False, Operation.OFFER), {**PHONE, "DTLS-reverse": "passive", "transport-protocol": "RTP/AVP"})
        self.assertEqual(self.fields(False, Operation.ANSWER), PHONE)

    def test_keys_in_the_sdp(self) -> None:
        """Towards one that takes SDES the daemon makes keys; towards one that takes DTLS without ICE it offers to wait for it."""
        offer = profile_fields(MediaProfile(MediaForm.SDES, protocol="RTP/SAVP"), Operation.OFFER)
        self.assertEqual((offer["transport-protocol"], offer["DTLS"], "SDES" in offer), ("RTP/SAVP", "off", False))
        self.assertNotIn("SDES", profile_fields(MediaProfile(MediaForm.SDES), Operation.ANSWER))
        dtls = profile_fields(MediaProfile(MediaForm.DTLS), Operation.OFFER)
        self.assertEqual((dtls["DTLS"], dtls["ICE"], "transport-protocol" in dtls), ("passive", "remove", False))

    def test_family_and_interfaces(self) -> None:
        """The family goes along with both, the interfaces with the offer."""
        profile = MediaProfile(MediaForm.PLAIN, family="IP4", interfaces=("external", "internal"))
        offer, answer = (profile_fields(profile, operation) for operation in (Operation.OFFER, Operation.ANSWER))
        self.assertEqual((offer["address-family"], offer["direction"]), ("IP4", ("external", "internal")))
        self.assertEqual((answer["address-family"], "direction" in answer), ("IP4", False))

    def test_nat(self) -> None:
        """Where the SDP can't be trusted its sender's true address counts, with or without brackets for IPv6."""
        fields = self.fields(True, Operation.OFFER, "192.0.2.7")
        self.assertEqual((fields["flags"], fields["received-from"]), (("generate-mid", "SIP-source-address"), ("IP4", "192.0.2.7")))
        self.assertEqual(self.fields(False, Operation.ANSWER, "2001:db8::7")["received-from"], ("IP6", "2001:db8::7"))
        self.assertEqual(self.fields(False, Operation.ANSWER, "[2001:db8::7]")["received-from"], ("IP6", "2001:db8::7"))

    def test_settings(self) -> None:
        """media-address and record-call are sent only where they are set."""
        fields = self.fields(False, Operation.OFFER, media_address="203.0.113.9", record_call=True)
        self.assertEqual((fields["media-address"], fields["record-call"]), ("203.0.113.9", "on"))
        self.assertEqual(profile_fields(MediaProfile(MediaForm.PLAIN), Operation.OFFER), {**PHONE, "DTLS-reverse": "passive"})

    def test_results_are_independent(self) -> None:
        """A caller that changes the fields it got changes nobody else's, and every one can be encoded."""
        self.fields(True, Operation.OFFER)["ICE"] = "remove"
        self.assertEqual(self.fields(True, Operation.ANSWER), BROWSER)
        self.assertIn(b"8:rtcp-muxl5:offere", encode(self.fields(True, Operation.OFFER, "192.0.2.7")))


class ChoiceTests(SynchronousTestCase):
    """In what forms a callee is offered a call."""

    def forms(self, offer: bytes, websocket: bool = False, known: MediaForm | None = None) -> list[str]:
        return [protocol or form.name for form, protocol in choices(form_of(offer), websocket, known)]

    def test_first(self) -> None:
        """A phone gets what was offered, a browser's offer as plain RTP; a browser gets WebRTC."""
        for protocol, more, phone in (
            (b"RTP/AVP", b"", "PLAIN"),
            (b"RTP/AVPF", b"", "PLAIN"),
            (b"RTP/SAVP", b"a=crypto:1 x\r\n", "SDES"),
            (b"UDP/TLS/RTP/SAVPF", DTLS, "DTLS"),
            (b"UDP/TLS/RTP/SAVPF", DTLS + ICE, "RTP/AVP"),
        ):
            offer = LINE % protocol + more
            self.assertEqual((protocol, self.forms(offer)[0], self.forms(offer, True)[0]), (protocol, phone, SAVPF))

    def test_what_is_encrypted_is_never_made_plain(self) -> None:
        """An offer with SRTP that isn't a browser's is offered with SRTP or not at all."""
        for more in (b"a=crypto:1 x\r\n", DTLS):
            for websocket in (False, True):
                offer = LINE % b"RTP/SAVPF" + more
                if more is DTLS and websocket:
                    continue
                self.assertNotIn("PLAIN", [form.name for form, _ in choices(form_of(offer), websocket)])

    def test_known(self) -> None:
        """What the callee has shown itself to take is tried next; all else stays in its order, and there are three at most."""
        offer = LINE % b"RTP/AVP"
        self.assertEqual(self.forms(offer), ["PLAIN", "RTP/SAVP", SAVPF])
        self.assertEqual(self.forms(offer, known=MediaForm.WEBRTC), ["PLAIN", SAVPF, "RTP/SAVP"])
        self.assertEqual(len(self.forms(LINE % b"RTP/AVPF")), 3)

    def test_no_rtp(self) -> None:
        """T.38 alone has no other form."""
        self.assertEqual(self.forms(b"v=0\r\nm=image 4000 udptl t38\r\n"), ["PLAIN"])
