"""The numbers of a delete's reply become legs; whatever else is in it, nothing raises."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.acc.quality import MOST_LEGS, Quality, least_mos, quality_of


def stream(ssrc: int, packets: int, address: str = "192.0.2.7") -> dict[bytes, Any]:
    """One of a media, as rtpengine 10.5 tells it."""
    return {
        b"flags": [b"RTP", b"RTCP mux"],
        b"SSRC": ssrc,
        b"endpoint": {b"family": b"IPv4", b"address": address.encode(), b"port": 4000},
        b"stats": {b"packets": packets, b"bytes": packets * 172, b"errors": 0},
    }


REPLY: dict[bytes, Any] = {
    b"tags": {
        b"a": {b"medias": [{b"index": 1, b"streams": [stream(11, 500), {b"flags": [b"RTCP"]}]}]},
        b"b": {b"medias": [{b"index": 1, b"streams": [stream(12, 480, "192.0.2.8")]}]},
    },
    b"SSRC": {b"11": {b"average MOS": {b"MOS": 43, b"packet loss": 1, b"jitter": 12}}},
}
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.integers() | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([b"tags", b"SSRC", b"medias", b"streams", b"flags", b"stats", b"endpoint", b"x"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


class QualityTests(SynchronousTestCase):
    """Legs of a reply."""

    def test_legs(self) -> None:
        """RTP streams with their stats; the score is that of the reports about the stream's SSRC."""
        legs = quality_of(REPLY)
        self.assertEqual(legs[0], Quality("a", "192.0.2.7:4000", 500, 86000, 1.0, 12.0, 4.3))
        self.assertEqual((legs[1].tag, legs[1].packets, legs[1].mos), ("b", 480, 0.0))
        self.assertEqual(least_mos(legs), 4.3)
        self.assertEqual(least_mos([]), 0.0)

    def test_bounded(self) -> None:
        """A reply with a thousand streams makes no more legs than a call may have; a tag can't be longer than its column."""
        many = {b"%d" % number * 300: {b"medias": [{b"streams": [stream(number, 1)]}]} for number in range(10, 1000)}
        legs = quality_of({b"tags": many})
        self.assertEqual(len(legs), MOST_LEGS)
        self.assertLessEqual(max(len(leg.tag) for leg in legs), 128)

    @given(st.dictionaries(st.sampled_from([b"tags", b"SSRC", b"result"]), VALUES))
    def test_never_raises(self, reply: dict[bytes, Any]) -> None:
        """A daemon of another version, or a broken one, costs numbers and nothing else."""
        for leg in quality_of(reply):
            self.assertGreaterEqual(leg.packets, 0)
