"""Tests of :mod:`sipnode.trunk.states`: the table, waits, what is granted."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.sip.message import SipResponse
from sipnode.sip.parser import parse_message
from sipnode.trunk.states import (
    LEAST_REFRESH,
    LONGEST_WAIT,
    TABLE,
    Action,
    Event,
    State,
    brief_seconds,
    granted_seconds,
    refresh_seconds,
    retry_after,
    wait_seconds,
)

UNDER_WAY = (State.ASKING, State.PROVING, State.PROVING_ANEW)


def answer(*lines: str) -> SipResponse:
    """A 200 with these header lines."""
    text = "\r\n".join(("SIP/2.0 200 OK", "Via: SIP/2.0/UDP h;branch=z9hG4bK1", "CSeq: 1 REGISTER", *lines, "", ""))
    message = parse_message(text.encode())
    assert isinstance(message, SipResponse)
    return message


class TableTests(SynchronousTestCase):
    """The machine, as a table."""

    def test_under_way(self) -> None:
        """While a REGISTER is under way each answer, and none, leads somewhere."""
        for state in UNDER_WAY:
            for event in (Event.CHALLENGED, Event.STALE, Event.GRANTED, Event.REFUSED, Event.LOST, Event.STOP):
                self.assertIn((state, event), TABLE)

    def test_bounded(self) -> None:
        """However often it is challenged, stale or not, three REGISTERs are all that an attempt sends; then it waits."""
        for event in (Event.CHALLENGED, Event.STALE):
            state, actions = TABLE[State.IDLE, Event.START]
            sent = 0
            while state in UNDER_WAY:
                sent += len([one for one in actions if one in (Action.SEND, Action.PROVE)])
                state, actions = TABLE[state, event]
            self.assertEqual((state, actions), (State.WAITING, (Action.BACK_OFF,)))
            self.assertLessEqual(sent, 3)

    def test_nothing_after_the_end(self) -> None:
        """A registration that has ended sends nothing any more."""
        self.assertEqual([state for state, _ in TABLE if state is State.ENDED], [])
        ends = {step for (_, event), step in TABLE.items() if event is Event.STOP}
        self.assertEqual({state for state, _ in ends}, {State.ENDED})


class TimeTests(SynchronousTestCase):
    """How long it waits."""

    def test_waits_grow(self) -> None:
        """Each failure doubles the wait up to a bound; a refusal waits longer than a loss; nobody waits less than half of it."""
        for refused in (False, True):
            waits = [wait_seconds(failures, refused, 0, 1.0) for failures in range(1, 100)]
            self.assertEqual(waits, sorted(waits))
            self.assertEqual(waits[-1], LONGEST_WAIT)
            self.assertEqual(wait_seconds(1, refused, 0, 0.0), waits[0] / 2)
        self.assertGreater(wait_seconds(1, True, 0, 0.5), wait_seconds(1, False, 0, 0.5))

    def test_retry_after(self) -> None:
        """What the trunk says counts, up to an hour."""
        self.assertEqual(wait_seconds(1, False, 120, 0.5), 120)
        self.assertEqual(wait_seconds(1, False, 10**9, 0.5), 3600)
        texts = ("7;duration=3", "8 (later)", "soon", "-1")
        self.assertEqual([retry_after(answer(f"Retry-After: {text}")) for text in texts], [7, 8, 0, 0])

    def test_refresh(self) -> None:
        """It comes back before its time is over; a trunk that grants a second doesn't make us ask every second."""
        self.assertEqual((refresh_seconds(600), refresh_seconds(1)), (480, LEAST_REFRESH))

    def test_granted(self) -> None:
        """The Contact's own expires goes before Expires; more than was asked for isn't believed; 0 is no registration."""
        mine = "sip:us@h"
        cases = {
            ("Contact: <sip:us@h>;expires=60", "Expires: 300"): 60,
            ("Contact: <sip:other@h>;expires=60, <sip:us@h>;expires=90",): 90,
            ("Expires: 300",): 300,
            (): 600,
            ("Contact: <sip:us@h>;expires=99999",): 600,
            ("Contact: <sip:us@h>;expires=0",): 0,
            ("Contact: <sip:us@h>;expires=x", "Expires: 70"): 70,
            ('Contact: "open <sip:us@h>', "Expires: 80"): 80,
        }
        for lines, seconds in cases.items():
            self.assertEqual(granted_seconds(answer(*lines), mine, 600), seconds, lines)

    def test_too_brief(self) -> None:
        """After 423 it asks for as long as the trunk wants, within a day, and never for less than before."""
        texts = ("1800", "60", "999999999", "x")
        self.assertEqual([brief_seconds(answer(f"Min-Expires: {text}"), 600) for text in texts], [1800, 600, 86400, 600])
