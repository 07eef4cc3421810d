"""Tests of `sipnode.media.sdp`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.media.sdp import finished, form_of, left_out, readable, unbundled
from sipnode.records import MediaForm

PHONE = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\na=sendrecv\r\n"
BROWSER = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n"
    b"a=mid:0\r\na=ice-ufrag:x\r\na=fingerprint:sha-256 AA\r\na=ice-options:trickle\r\n"
)


class FormTests(SynchronousTestCase):
    """What an SDP says of its sender."""

    def test_forms(self) -> None:
        """By protocol, fingerprint and ICE, wherever these stand."""
        crypto = PHONE.replace(b"RTP/AVP", b"RTP/SAVP") + b"a=crypto:1 x\r\n"
        early = BROWSER.replace(b"a=fingerprint:sha-256 AA\r\n", b"").replace(b"t=0 0\r\n", b"t=0 0\r\na=fingerprint:sha-256 AA\r\n")
        for sdp, form in (
            (PHONE, MediaForm.PLAIN),
            (PHONE + b"a=ice-ufrag:x\r\na=crypto:1 x\r\n", MediaForm.PLAIN),
            (crypto, MediaForm.SDES),
            (BROWSER, MediaForm.WEBRTC),
            (early, MediaForm.WEBRTC),
            (BROWSER.replace(b"a=ice-ufrag:x\r\n", b""), MediaForm.DTLS),
            (b"v=0\r\nm=image 4000 udptl t38\r\n", MediaForm.PLAIN),
        ):
            self.assertIs(form_of(sdp).form, form, sdp)

    def test_protocols_and_family(self) -> None:
        """Each protocol once; a rejected m-line counts only where there is no other; the family of the first c-line."""
        two = PHONE + b"m=video 4002 RTP/SAVP 96\r\nm=audio 0 RTP/AVPF 0\r\n"
        self.assertEqual((form_of(two).protocols, form_of(two).protocol), (("RTP/AVP", "RTP/SAVP"), ""))
        self.assertEqual(form_of(PHONE.replace(b"4000", b"0")).protocol, "RTP/AVP")
        self.assertEqual([form_of(sdp).family for sdp in (PHONE, PHONE.replace(b"IP4 192.0.2.1", b"IP6 ::1"), b"")], ["IP4", "IP6", ""])
        self.assertEqual((form_of(BROWSER).bundle, form_of(PHONE).bundle), (True, False))

    def test_bundled_alone(self) -> None:
        """An m-line without a way of its own is told from one that has its candidates, one that is refused, and one of which nothing is
        known yet; it is taken out of the offer, and missed in the answer."""
        video = b"m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n"
        way = b"a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
        found = [
            form_of(sdp).bundled
            for sdp in (
                BROWSER + way + video, BROWSER + way + video.replace(b" 9 ", b" 0 ") + b"a=bundle-only\r\n", BROWSER + way + video + way,
                BROWSER + way + video.replace(b" 9 ", b" 0 "), BROWSER + video, BROWSER + way,
            )
        ]  # fmt: skip
        self.assertEqual(found, [True, True, False, False, False, False])
        self.assertEqual(unbundled(BROWSER + way + video), BROWSER + way + video.replace(b" 9 ", b" 0 "))
        self.assertEqual(unbundled(BROWSER + way + video + way), BROWSER + way + video + way)
        refused, bundled = PHONE + b"m=video 0 RTP/AVP 96\r\n", form_of(BROWSER + way + video)
        self.assertEqual([left_out(bundled, refused), left_out(bundled, PHONE), left_out(form_of(BROWSER), refused)], [True, False, False])

    @given(st.binary(max_size=200))
    def test_any_octets(self, octets: bytes) -> None:
        """Any octets have a form, and can be made readable and finished."""
        for form in MediaForm:
            finished(readable(octets, form, "192.0.2.9"), form, True, "192.0.2.8")
        unbundled(octets)
        form_of(b"m=" + octets)


class ReadableTests(SynchronousTestCase):
    """What the relay can't read becomes what it can."""

    def test_untouched(self) -> None:
        """Addresses of both families, and what a browser usually says, stay as they are."""
        for sdp in (PHONE, PHONE.replace(b"IP4 192.0.2.1", b"IP6 2001:db8::1"), PHONE.replace(b"IP4 192.0.2.1", b"IP6 fe80::abcd:1")):
            self.assertEqual(readable(sdp, MediaForm.PLAIN, "203.0.113.9"), sdp)
        self.assertEqual(readable(BROWSER, MediaForm.WEBRTC, "203.0.113.9"), BROWSER)

    def test_names(self) -> None:
        """A host name in c=, o= or a=rtcp is the address that the message came from."""
        sdp = PHONE.replace(b"IP4 192.0.2.1", b"IP4 pbx.lan") + b"a=rtcp:4001 IN IP4 bad.cafe\r\n"
        self.assertEqual(readable(sdp, MediaForm.PLAIN, "203.0.113.9").count(b"IN IP4 203.0.113.9\r\n"), 3)
        self.assertEqual(readable(sdp, MediaForm.PLAIN, "[2001:db8::9]").count(b"IN IP6 2001:db8::9\r\n"), 3)
        self.assertIn(b"IP4 203.0.113.9", readable(PHONE.replace(b"192.0.2.1", b"localhost"), MediaForm.PLAIN, "203.0.113.9"))

    def test_mdns(self) -> None:
        """An mDNS name in a browser's c= says that the candidates count."""
        sdp = BROWSER.replace(b"9 UDP", b"54842 UDP").replace(b"0.0.0.0", b"2cf85dc7-5ba6-424c-bde4-bd6084bcdcb3.local")
        found = readable(sdp, MediaForm.WEBRTC, "203.0.113.9")
        self.assertIn(b"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n", found)

    def test_trickle_of_the_session(self) -> None:
        """``trickle`` said for the whole session is said for each m-line; one that is rejected stays rejected."""
        sdp = BROWSER.replace(b"a=ice-options:trickle\r\n", b"").replace(b"t=0 0\r\n", b"t=0 0\r\na=ice-options:trickle\r\n")
        sdp += b"m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\n"
        head, audio, video = readable(sdp, MediaForm.WEBRTC, "").split(b"m=")
        self.assertEqual([b"a=ice-options:trickle" in part for part in (head, audio, video)], [False, True, True])
        self.assertTrue(video.startswith(b"video 0 "))


class FinishedTests(SynchronousTestCase):
    """What a browser takes."""

    SDP = b"v=0\r\nt=0 0\r\nm=audio 0 X 1\r\na=mid:a\r\nm=video 5000 X 1\r\na=mid:b\r\nm=video 5002 X 1\r\na=mid:c\r\n"

    def test_group(self) -> None:
        """A group of the first m-line that isn't rejected, since each has ports of its own; for browsers that want one."""
        found = finished(self.SDP, MediaForm.WEBRTC, True, "")
        self.assertEqual(found, self.SDP.replace(b"t=0 0\r\n", b"t=0 0\r\na=group:BUNDLE b\r\n"))
        for form, bundle in ((MediaForm.WEBRTC, False), (MediaForm.PLAIN, True)):
            self.assertEqual(finished(self.SDP, form, bundle, ""), self.SDP)
        self.assertEqual(finished(found, MediaForm.WEBRTC, True, ""), found)

    def test_media_address(self) -> None:
        """The address of the settings stands in the host candidates of its family."""
        line = b"a=candidate:x 1 UDP 2130706431 %b 42020 typ host\r\n"
        sdp = self.SDP + line % b"10.0.0.1" + line % b"::1"
        self.assertEqual(finished(sdp, MediaForm.WEBRTC, False, "192.0.2.7"), self.SDP + line % b"192.0.2.7" + line % b"::1")
        self.assertEqual(finished(sdp, MediaForm.WEBRTC, False, "2001:db8::7"), self.SDP + line % b"10.0.0.1" + line % b"2001:db8::7")
