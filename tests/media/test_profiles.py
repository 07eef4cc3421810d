"""Tests of `sipnode.media.profiles`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.media.bencode import encode
from sipnode.media.manage import Operation
from sipnode.media.profiles import profile_fields
from sipnode.records import MediaProfile
from sipnode.settings import MediaSettings

BROWSER = {
    "transport-protocol": "UDP/TLS/RTP/SAVPF",
    "ICE": "force",
    "rtcp-mux": ("offer",),
    "SDES": ("off",),
    "flags": ["generate-mid", "trust-address"],
    "replace": ("origin", "session-connection"),
}
PHONE = {
    "transport-protocol": "RTP/AVP",
    "ICE": "remove",
    "rtcp-mux": ("demux",),
    "DTLS": "off",
    "SDES": ("off",),
    "flags": ["trust-address"],
    "replace": ("origin", "session-connection"),
}


class ProfileTests(SynchronousTestCase):
    """The rows."""

    def fields(self, to_browser: bool, operation: Operation, nat_source: str = "", **settings: Any) -> dict[str, Any]:
        return profile_fields(MediaProfile(to_browser, nat_source), operation, MediaSettings(**settings))

    def test_offer_to_a_browser(self) -> None:
        """WebRTC with DTLS passive."""
        self.assertEqual(self.fields(True, Operation.OFFER), {**BROWSER, "DTLS": "passive"})

    def test_answer_to_a_browser_has_no_dtls(self) -> None:
        """The same without DTLS: with it browser and daemon would both wait."""
        self.assertEqual(self.fields(True, Operation.ANSWER), BROWSER)

    def test_phone(self) -> None:
        """Plain RTP, in an offer and an answer alike."""
        self.assertEqual(self.fields(False, Operation.OFFER), PHONE)
        self.assertEqual(self.fields(False, Operation.ANSWER), PHONE)

    def test_nat(self) -> None:
        """Where the SDP can't be trusted its sender's true address counts, with or without brackets for IPv6."""
        fields = self.fields(True, Operation.OFFER, "192.0.2.7")
        self.assertEqual((fields["flags"], fields["received-from"]), (["generate-mid", "SIP-source-address"], ("IP4", "192.0.2.7")))
        self.assertEqual(self.fields(False, Operation.ANSWER, "2001:db8::7")["received-from"], ("IP6", "2001:db8::7"))
        self.assertEqual(self.fields(False, Operation.ANSWER, "[2001:db8::7]")["received-from"], ("IP6", "2001:db8::7"))

    def test_settings(self) -> None:
        """media-address and record-call are sent only where they are set."""
        fields = self.fields(False, Operation.OFFER, media_address="203.0.113.9", record_call=True)
        self.assertEqual((fields["media-address"], fields["record-call"]), ("203.0.113.9", "on"))
        self.assertEqual(profile_fields(MediaProfile(False), Operation.OFFER), PHONE)

    def test_results_are_independent(self) -> None:
        """A caller that changes the fields it got changes nobody else's, and every one can be encoded."""
        self.fields(True, Operation.OFFER)["flags"].append("x")
        self.fields(True, Operation.OFFER)["ICE"] = "remove"
        self.assertEqual(self.fields(True, Operation.ANSWER), BROWSER)
        self.assertIn(b"8:rtcp-muxl5:offere", encode(self.fields(True, Operation.OFFER, "192.0.2.7")))
