"""Tests of `sipnode.media.abilities`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.fakes import FakeFlow
from sipnode.media import abilities as module
from sipnode.media.abilities import Abilities
from sipnode.records import MediaForm


class AbilityTests(SynchronousTestCase):
    """What is known of an end."""

    def setUp(self) -> None:
        self.known = Abilities()
        self.phone, self.other = FakeFlow("UDP", ("192.0.2.1", 5060)), FakeFlow("TCP", ("192.0.2.1", 5060), token="f1")

    def test_what_it_took_counts_more(self) -> None:
        """What it took when it was called isn't forgotten for what it offers, until it refuses that."""
        self.known.offered(self.phone, MediaForm.SDES)
        self.assertEqual((self.known.known(self.phone), self.known.proven(self.phone)), (MediaForm.SDES, False))
        self.known.took(self.phone, MediaForm.WEBRTC)
        self.known.offered(self.phone, MediaForm.PLAIN)
        self.assertEqual((self.known.known(self.phone), self.known.proven(self.phone)), (MediaForm.WEBRTC, True))
        self.known.refused(self.phone, MediaForm.PLAIN)
        self.assertIs(self.known.known(self.phone), MediaForm.WEBRTC)
        self.known.refused(self.phone, MediaForm.WEBRTC)
        self.assertEqual((self.known.known(self.phone), self.known.proven(self.phone)), (None, False))

    def test_each_its_own(self) -> None:
        """A connection isn't the UDP address of the same numbers."""
        self.known.took(self.phone, MediaForm.SDES)
        self.assertIsNone(self.known.known(self.other))

    def test_bounded(self) -> None:
        """The one that wasn't heard of for longest goes."""
        self.patch(module, "MOST", 3)
        flows = [FakeFlow("UDP", ("192.0.2.1", port)) for port in range(1, 6)]
        for flow in flows:
            self.known.offered(flow, MediaForm.PLAIN)
            self.known.offered(flows[0], MediaForm.PLAIN)
        self.assertEqual((len(self.known), self.known.known(flows[0]), self.known.known(flows[1])), (3, MediaForm.PLAIN, None))
