"""The registrar without a table in memory (``db_mode`` 3): each REGISTER and each lookup asks the database.

For several servers on one database that shall not keep the same table each. Memory holds only what this node registered
itself, since closing connections and pings need it, and the last answers of the database: while that is away calls go by
those. A REGISTER never does.

The invariant: REGISTERs of one address-of-record are decided one after the other, each on what the one before it wrote.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from sipnode.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from sipnode.base.request import Request
    from sipnode.base.verdict import Verdict
    from sipnode.interfaces import ILocationBackend, ILocationWriter
    from sipnode.records import Binding
    from sipnode.registrar.location import LocationTable
    from sipnode.registrar.register import RegisterPlan

SLOW_SECONDS: Final = 1.0
"""A database that takes longer counts as away."""
RETRY_SECONDS: Final = 2.0
"""So long it isn't asked again, then; and after that by one request at a time, until it answers."""
MOST_SEEN = 10000
"""Addresses whose last answer is kept; those that nobody asked for lately go first."""


class Direct:
    """Asks and writes the database.

    Args:
        backend: Is asked.
        writer: Group commit.
        table: What this node registered itself.
        clock: Epoch seconds.
        adopt: Makes a row of the store a binding as this node can use it.
        refuse: Answers a request that the store can't serve now.
    """

    def __init__(
        self,
        backend: ILocationBackend,
        writer: ILocationWriter,
        table: LocationTable,
        clock: IReactorTime,
        adopt: Callable[[Binding], None],
        refuse: Callable[[Request], Verdict],
    ) -> None:
        self._backend = backend
        self._writer = writer
        self._table = table
        self._clock = clock
        self._adopt = adopt
        self._refuse = refuse
        self._turns: dict[str, list[Deferred[None]]] = {}
        self._seen: OrderedDict[str, list[Binding]] = OrderedDict()
        self._silent = self._trying = self._told = False
        self._again = 0.0
        self._log = Logger(namespace="sipnode.registrar")

    def bindings(self, aor: str) -> Deferred[list[Binding]]:
        """Bindings that haven't expired, best ``q`` first, then newest.

        While the database is away: of those that it gave last, and that this node has registered. Fails with StorageError where there
        are none such.
        """
        return self._asked(aor).addErrback(self._remembered, aor)

    def _asked(self, aor: str) -> Deferred[list[Binding]]:
        """The answer of the database. Fails with StorageError, in a second at most, and at once while it is silent."""
        if self._silent and (self._trying or self._clock.seconds() < self._again):
            return fail(StorageError("the database doesn't answer"))
        self._trying = self._silent
        answer: Deferred[list[Binding]] = Deferred()

        def late() -> None:
            self._silent, self._trying = True, False
            self._again = self._clock.seconds() + RETRY_SECONDS
            answer.errback(StorageError("the database doesn't answer"))

        def came(rows: list[Binding]) -> None:
            self._silent = self._trying = False
            self._keep(aor, rows)
            if limit.active():
                limit.cancel()
                answer.callback(self._usable(aor, rows))

        def failed(failure: Failure) -> None:
            if limit.active():
                self._trying = False
                limit.cancel()
                answer.errback(failure)

        limit = self._clock.callLater(SLOW_SECONDS, late)
        self._backend.fetch(aor).addCallbacks(came, failed)
        return answer

    def _keep(self, aor: str, rows: list[Binding]) -> None:
        seen = self._seen
        seen.pop(aor, None)
        if rows:
            seen[aor] = rows
            if len(seen) > MOST_SEEN:
                seen.popitem(last=False)
        if self._told:
            self._told = False
            self._log.info("the database answers again")

    def _remembered(self, failure: Failure, aor: str) -> list[Binding]:
        failure.trap(StorageError)
        if not self._told:
            self._told = True
            self._log.warn("{reason}: calls go by its last answers", reason=failure.getErrorMessage())
        now = self._clock.seconds()
        rows = {row.ruid: row for row in (*self._seen.get(aor, ()), *self._table.lookup(aor, now))}
        found = self._usable(aor, list(rows.values()))
        if not found:
            failure.raiseException()
        return found

    def _usable(self, aor: str, rows: list[Binding]) -> list[Binding]:
        now = self._clock.seconds()
        found = []
        for row in rows:
            mine = self._table.get(aor, row.ruid)
            if mine is not None and mine.last_modified >= row.last_modified - 0.001:
                row = mine
            else:
                if mine is not None:
                    # It has moved to another node.
                    self._table.remove(aor, row.ruid)
                self._adopt(row)
            if row.expires > now:
                found.append(row)
        return sorted(found, key=lambda binding: (-binding.q, -binding.last_modified))

    def register(
        self,
        context: Request,
        aor: str,
        decide: Callable[[list[Binding]], RegisterPlan],
        stored: Callable[[RegisterPlan, list[Binding | None]], None],
    ) -> Deferred[Verdict]:
        """Process one REGISTER in its turn.

        Args:
            decide: Makes the plan of the address's bindings.
            stored: Called with the plan and what memory held before, when it is on disk.

        Returns:
            Fires with what ``context.reply`` returned.
        """
        turn: Deferred[None] = Deferred()
        waiting = self._turns.get(aor)
        if waiting is None:
            self._turns[aor] = []
            turn.callback(None)
        else:
            waiting.append(turn)
        plan: list[RegisterPlan] = []

        def write(bindings: list[Binding]) -> Deferred[None] | None:
            plan.append(decide(bindings))
            return self._writer.put(plan[0].changes) if plan[0].changes else None

        def answer(_: object) -> Verdict:
            # The next answer of the database has it.
            self._seen.pop(aor, None)
            stored(plan[0], self._table.apply(aor, plan[0].changes))
            return context.reply(plan[0].status, plan[0].reason, plan[0].headers)

        def failed(failure: Failure) -> Verdict:
            failure.trap(StorageError)
            return self._refuse(context)

        done = turn.addCallback(lambda _: self._asked(aor)).addCallback(write).addCallback(answer)
        return done.addErrback(failed).addBoth(self._next, aor)

    def _next(self, result: Verdict | Failure, aor: str) -> Verdict | Failure:
        waiting = self._turns[aor]
        if waiting:
            waiting.pop(0).callback(None)
        else:
            del self._turns[aor]
        return result
