"""Promises of ``sipnode.transport.admission``."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.transport.admission import Admission


class AdmissionTests(SynchronousTestCase):
    """Caps on connections."""

    def test_caps(self) -> None:
        """Over the cap of a source or of all there is no place, and what is given back can be had again."""
        admission = Admission(3, 2)
        tickets = [admission.enter("a"), admission.enter("a"), admission.enter("b")]
        self.assertNotIn(None, tickets)
        self.assertIsNone(admission.enter("a"))
        self.assertIsNone(admission.enter("c"))
        self.assertEqual((admission.open, admission.refused, admission.of("a")), (3, 2, 2))
        assert tickets[0] is not None
        tickets[0].release()
        tickets[0].release()
        self.assertEqual((admission.open, admission.of("a")), (2, 1))
        self.assertIsNotNone(admission.enter("c"))

    def test_nothing_left(self) -> None:
        """When all are gone no source is remembered."""
        admission = Admission(100, 100)
        tickets = [admission.enter(str(number)) for number in range(50)]
        for ticket in tickets:
            assert ticket is not None
            ticket.release()
        self.assertEqual((admission.open, admission._sources), (0, {}))

    def test_handshakes(self) -> None:
        """Those that haven't said anything yet have a cap of their own, which ends with their first line or with them."""
        admission = Admission(100, 100, 2)
        first, second = admission.enter("a"), admission.enter("a")
        self.assertIsNone(admission.enter("a"))
        self.assertIsNotNone(admission.enter("b"))
        assert first is not None and second is not None
        first.settled()
        first.settled()
        self.assertIsNotNone(admission.enter("a"))
        self.assertIsNone(admission.enter("a"))
        second.release()
        first.release()
        self.assertIsNotNone(admission.enter("a"))
        self.assertEqual((admission.open, admission.of("a")), (3, 2))
