"""Tests of the tables: whatever happens in whatever state is either written down or ignored for a reason."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.transaction import states
from sipnode.transaction.machine import ClientTransaction, ServerTransaction, Transaction
from sipnode.transaction.states import ACTION_NAMES, EVENT_NAMES, EVENTS, IGNORED, MACHINES, STATE_NAMES, STATES, TERMINATED, Row, compiled
from tests.transaction.kit import World, request


def machine(name: str) -> Transaction:
    """A transaction of that kind, in its first state."""
    world = World()
    method = "OPTIONS" if name.startswith("non-") else "INVITE"
    if name.endswith("server"):
        return ServerTransaction("k", method, world.udp, None)
    return ClientTransaction("k", world.udp, None, request(method))


class TableTests(SynchronousTestCase):
    """Table and ignore set together."""

    def test_total(self) -> None:
        """Every pair of state and event is in the table or ignored, never both, never twice."""
        for name, rows in MACHINES.items():
            listed = [(row.state, row.event) for row in rows]
            self.assertEqual(len(listed), len(set(listed)), name)
            self.assertEqual(set(listed) & set(IGNORED[name]), set(), name)
            every = {(state, event) for state in STATES[name] for event in EVENTS[name]}
            self.assertEqual(every ^ (set(listed) | set(IGNORED[name])), set(), name)

    def test_reasons(self) -> None:
        """Each row names who asks for it, each ignored pair why."""
        for name, rows in MACHINES.items():
            self.assertTrue(all("§" in row.rfc for row in rows), name)
            self.assertTrue(all(reason.strip() for reason in IGNORED[name].values()), name)

    def test_reachable(self) -> None:
        """From the first state every other is reached, and from each the end."""
        for name, rows in MACHINES.items():
            reached = {STATES[name][0]}
            while more := {row.to for row in rows if row.state in reached} - reached:
                reached |= more
            self.assertEqual(reached, {*STATES[name], TERMINATED}, name)
            ending = {TERMINATED}
            while less := {row.state for row in rows if row.to in ending} - ending:
                ending |= less
            self.assertEqual(ending, reached, name)

    def test_names(self) -> None:
        """Every number has its name, and no two events of a state share a number."""
        for rows in MACHINES.values():
            for row in rows:
                self.assertTrue(STATE_NAMES[row.state] and STATE_NAMES[row.to] and EVENT_NAMES[row.event])
                self.assertTrue(all(ACTION_NAMES[action] for action in row.actions))
            self.assertEqual(len(compiled(rows)), len(rows))
        self.assertTrue(len(EVENT_NAMES) <= 1 << states.EVENT_BITS)

    def test_timers_of_states(self) -> None:
        """A state that time ends is entered with the timer that ends it."""
        starts = {
            ("INVITE server", states.ACCEPTED): states.START_L,
            ("INVITE server", states.COMPLETED): states.START_G_H,
            ("INVITE server", states.CONFIRMED): states.START_I,
            ("non-INVITE server", states.COMPLETED): states.START_J,
            ("INVITE client", states.PROCEEDING): states.START_C,
            ("INVITE client", states.ACCEPTED): states.START_M,
            ("INVITE client", states.COMPLETED): states.START_D,
            ("non-INVITE client", states.COMPLETED): states.START_K,
        }
        for name, rows in MACHINES.items():
            for row in rows:
                if (name, row.to) in starts and row.state != row.to:
                    self.assertIn(starts[name, row.to], row.actions, f"{name} {row}")


class MachineTests(SynchronousTestCase):
    """The machines do what the tables say."""

    def test_every_row(self) -> None:
        """Each row: its event in its state gives its actions and its next state."""
        for name, rows in MACHINES.items():
            for row in rows:
                self.step(name, row)

    def step(self, name: str, row: Row) -> None:
        transaction = machine(name)
        transaction.state = row.state
        self.assertEqual((transaction.feed(row.event), transaction.state), (row.actions, row.to), f"{name} {row}")
        self.assertEqual(transaction.terminated, row.to == TERMINATED)

    def test_every_ignored_pair(self) -> None:
        """Each ignored pair changes nothing; nor does anything after the end."""
        for name, pairs in IGNORED.items():
            for state, event in [*pairs, *((TERMINATED, event) for event in EVENTS[name])]:
                transaction = machine(name)
                transaction.state = state
                self.assertEqual((transaction.feed(event), transaction.state), ((), state), f"{name} {state} {event}")

    def test_first_state(self) -> None:
        """Each machine begins in the first of its states."""
        for name, names in STATES.items():
            self.assertEqual(machine(name).state, names[0], name)

    def test_due(self) -> None:
        """The next timer is the earlier one of those that run."""
        transaction = machine("INVITE client")
        for repeat, end, due in ((0.0, 0.0, 0.0), (5.0, 0.0, 5.0), (0.0, 7.0, 7.0), (5.0, 7.0, 5.0), (7.0, 5.0, 5.0)):
            transaction.retransmit_at, transaction.expires_at = repeat, end
            self.assertEqual(transaction.due(), due)

    def test_repr(self) -> None:
        """A log line names key and state."""
        self.assertEqual(repr(World().client()), "<ClientTransaction z9hG4bKone INVITE [calling]>")
