"""Tests of `sipnode.media.incall`: each command to the octet, as rtpengine 10.5 documents it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import MediaError
from sipnode.media import incall, ng
from sipnode.media.bencode import Command


class OctetTests(SynchronousTestCase):
    """The datagrams."""

    def octets(self, command: Command) -> bytes:
        return ng.datagram(b"k", command)

    def test_recording(self) -> None:
        """Recording names the call alone, with metadata where there is any."""
        self.assertEqual(self.octets(incall.start_recording("c")), b"k d7:call-id1:c7:command15:start recordinge")
        self.assertEqual(
            self.octets(incall.start_recording("c", "who:bob|why:test")),
            b"k d7:call-id1:c7:command15:start recording8:metadata16:who:bob|why:teste",
        )
        self.assertEqual(self.octets(incall.stop_recording("c")), b"k d7:call-id1:c7:command14:stop recordinge")
        self.assertEqual(self.octets(incall.pause_recording("c")), b"k d7:call-id1:c7:command15:pause recordinge")

    def test_playing(self) -> None:
        """A file goes to one end by its tag, or to all by a flag; it is repeated where that is asked for."""
        self.assertEqual(
            self.octets(incall.play_media("c", "t", "/a.wav")), b"k d7:call-id1:c7:command10:play media4:file6:/a.wav8:from-tag1:te"
        )
        self.assertEqual(
            self.octets(incall.play_media("c", "", "/a.wav", 3)),
            b"k d7:call-id1:c7:command10:play media4:file6:/a.wav5:flagsl3:alle12:repeat-timesi3ee",
        )
        self.assertEqual(self.octets(incall.stop_media("c", "t")), b"k d7:call-id1:c7:command10:stop media8:from-tag1:te")

    def test_digits(self) -> None:
        """A digit has its length and its pause."""
        self.assertEqual(
            self.octets(incall.play_dtmf("c", "t", "#", 300)),
            b"k d7:call-id1:c4:code1:#7:command9:play DTMF8:durationi300e8:from-tag1:t5:pausei100ee",
        )

    def test_blocking(self) -> None:
        """Blocking takes an end or the call; what lets it pass again for all means each end too."""
        self.assertEqual(self.octets(incall.blocking("block DTMF", "c", "")), b"k d7:call-id1:c7:command10:block DTMFe")
        self.assertEqual(self.octets(incall.blocking("block media", "c", "t")), b"k d7:call-id1:c7:command11:block media8:from-tag1:te")
        self.assertEqual(
            self.octets(incall.blocking("unsilence media", "c", "")), b"k d7:call-id1:c7:command15:unsilence media5:flagsl3:allee"
        )

    def test_copies(self) -> None:
        """A copy is asked for with the tags of its ends and one of its own, answered and ended by that."""
        self.assertEqual(
            self.octets(incall.subscribe_request("c", ["f", "t"], "s", {"ICE": "remove"})),
            b"k d3:ICE6:remove7:call-id1:c7:command17:subscribe request9:from-tagsl1:f1:te6:to-tag1:se",
        )
        self.assertEqual(
            self.octets(incall.subscribe_answer("c", "s", b"v=0", {})), b"k d7:call-id1:c7:command16:subscribe answer3:sdp3:v=06:to-tag1:se"
        )
        self.assertEqual(self.octets(incall.unsubscribe("c", "s")), b"k d7:call-id1:c7:command11:unsubscribe6:to-tag1:se")


class RefusalTests(SynchronousTestCase):
    """What can't be is refused here."""

    def test_refused(self) -> None:
        """No file, a path or metadata that is no line of text, a digit that no keypad has, lengths and repeats out of bounds."""
        for made in (
            lambda: incall.play_media("c", "", ""),
            lambda: incall.play_media("c", "", "/a\n.wav"),
            lambda: incall.play_media("c", "", "/" + "a" * 2000),
            lambda: incall.play_media("c", "", "/a", 0),
            lambda: incall.play_media("c", "", "/a", 1_000_000),
            lambda: incall.start_recording("c", "a\x00b"),
            lambda: incall.play_dtmf("c", "t", "E"),
            lambda: incall.play_dtmf("c", "t", ""),
            lambda: incall.play_dtmf("c", "t", "12"),
            lambda: incall.play_dtmf("c", "t", "1", 99),
            lambda: incall.play_dtmf("c", "t", "1", 250, 5001),
        ):
            error = self.assertRaises(MediaError, made)
            self.assertEqual(error.status, 400)
