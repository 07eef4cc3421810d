"""Tests of `sipnode.media.manage`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.media.manage import METHODS, Operation, SdpState, for_reply, for_request, tags

NONE, OFFER, ANSWER, DELETE = Operation.NONE, Operation.OFFER, Operation.ANSWER, Operation.DELETE


def exchange(method: str, request_has_sdp: bool, *replies: tuple[int, bool], in_dialog: bool = False, invite: SdpState | None = None):
    """The operations of a transaction: of its request, then of each response."""
    state = SdpState()
    first = for_request(method, request_has_sdp, in_dialog, state, invite=invite)
    return [first] + [for_reply(method, status, has_sdp, state) for status, has_sdp in replies]


class ExchangeTests(SynchronousTestCase):
    """Whole transactions, in the order of the table."""

    def test_call(self) -> None:
        """INVITE with SDP offers; 183 and 200 with SDP answer, 100 and 180 without do nothing."""
        self.assertEqual(
            exchange("INVITE", True, (100, False), (180, False), (183, True), (200, True)), [OFFER, NONE, NONE, ANSWER, ANSWER]
        )

    def test_late_offer(self) -> None:
        """INVITE without SDP: the 200 offers and the ACK answers."""
        self.assertEqual(exchange("INVITE", False, (180, False), (200, True)), [NONE, NONE, OFFER])
        self.assertEqual(exchange("ACK", True, in_dialog=True), [ANSWER])

    def test_late_offer_in_a_reliable_183(self) -> None:
        """INVITE without SDP: the 183 offers, so that the PRACK with SDP answers."""
        invite = SdpState()
        for_request("INVITE", False, False, invite)
        self.assertIs(for_reply("INVITE", 183, True, invite), OFFER)
        self.assertEqual(exchange("PRACK", True, (200, False), in_dialog=True, invite=invite), [ANSWER, NONE])

    def test_prack_offers(self) -> None:
        """PRACK with SDP after an answered offer is a new offer, and its 200 the answer."""
        invite = SdpState()
        for_request("INVITE", True, False, invite)
        for_reply("INVITE", 183, True, invite)
        self.assertEqual(exchange("PRACK", True, (200, True), in_dialog=True, invite=invite), [OFFER, ANSWER])
        self.assertEqual(exchange("PRACK", True, (200, True), in_dialog=True), [OFFER, ANSWER])

    def test_update(self) -> None:
        """UPDATE with SDP offers and its 200 answers; one without, a session refresh, leaves the media alone."""
        self.assertEqual(exchange("UPDATE", True, (200, True), in_dialog=True), [OFFER, ANSWER])
        self.assertEqual(exchange("UPDATE", False, (200, False), in_dialog=True), [NONE, NONE])

    def test_reinvite(self) -> None:
        """A re-INVITE is like an INVITE, with and without SDP."""
        self.assertEqual(exchange("INVITE", True, (200, True), in_dialog=True), [OFFER, ANSWER])
        self.assertEqual(exchange("INVITE", False, (200, True), in_dialog=True), [NONE, OFFER])

    def test_failed_call(self) -> None:
        """Any final failure of a first INVITE frees its branch, also one whose body has SDP."""
        for status in (302, 408, 486, 487, 488, 503, 603):
            self.assertEqual(exchange("INVITE", True, (183, True), (status, True)), [OFFER, ANSWER, DELETE])
        self.assertEqual(exchange("INVITE", False, (183, True), (486, False)), [NONE, OFFER, DELETE])

    def test_failure_of_what_made_no_offer(self) -> None:
        """Where the relay was never asked there is nothing to delete."""
        self.assertEqual(exchange("INVITE", False, (180, False), (486, False)), [NONE, NONE, NONE])

    def test_failed_reinvite_keeps_the_call(self) -> None:
        """RFC 3261 14.1: a refused re-INVITE, UPDATE or PRACK leaves the session as it was."""
        for method in ("INVITE", "UPDATE", "PRACK"):
            self.assertEqual(exchange(method, True, (488, False), in_dialog=True), [OFFER, NONE])

    def test_bye(self) -> None:
        """BYE ends the call at once, whatever is answered to it."""
        self.assertEqual(exchange("BYE", False, (200, False), in_dialog=True), [DELETE, NONE])
        self.assertEqual(exchange("BYE", False, (481, False), in_dialog=True), [DELETE, NONE])

    def test_cancel(self) -> None:
        """CANCEL does nothing by itself, for a 200 may cross it; the 487 that it brings about deletes."""
        self.assertEqual(exchange("CANCEL", False, (200, False)), [NONE, NONE])
        self.assertEqual(exchange("INVITE", True, (487, False)), [OFFER, DELETE])

    def test_ack_without_sdp(self) -> None:
        """The usual ACK does nothing."""
        self.assertEqual(exchange("ACK", False, in_dialog=True), [NONE])

    def test_other_methods(self) -> None:
        """SDP in an OPTIONS, INFO or MESSAGE sets up no media."""
        for method in ("OPTIONS", "INFO", "MESSAGE", "REGISTER", "SUBSCRIBE", "NOTIFY", "REFER", "PUBLISH", "invite", ""):
            self.assertEqual(exchange(method, True, (200, True)), [NONE, NONE])
            self.assertNotIn(method, METHODS)

    @given(
        st.sampled_from(["INVITE", "UPDATE", "PRACK"]),
        st.booleans(),
        st.booleans(),
        st.lists(st.tuples(st.integers(101, 299), st.booleans()), max_size=6),
    )
    def test_sdp_is_never_passed_over(self, method: str, has_sdp: bool, in_dialog: bool, replies: list[tuple[int, bool]]) -> None:
        """Whatever comes in whatever order, SDP that sets up media goes through the relay, and what has none doesn't."""
        operations = exchange(method, has_sdp, *replies, in_dialog=in_dialog)
        for operation, carries in zip(operations, [has_sdp] + [carries for _, carries in replies], strict=True):
            self.assertEqual(operation in (OFFER, ANSWER), carries)


class TagTests(SynchronousTestCase):
    """Whose tag comes first."""

    def test_offerer_comes_first(self) -> None:
        """From's tag is the offerer's, but for an offer in a response and an answer in a request it is To's."""
        self.assertEqual(tags(OFFER, False, "from", ""), ("from", ""))
        self.assertEqual(tags(OFFER, False, "from", "to"), ("from", "to"))
        self.assertEqual(tags(ANSWER, True, "from", "to"), ("from", "to"))
        self.assertEqual(tags(OFFER, True, "from", "to"), ("to", "from"))
        self.assertEqual(tags(ANSWER, False, "from", "to"), ("to", "from"))
        self.assertEqual(tags(DELETE, False, "from", "to"), ("from", "to"))
        self.assertEqual(tags(DELETE, True, "from", "to"), ("from", "to"))
