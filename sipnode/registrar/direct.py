"""The registrar without a table in memory (``db_mode`` 3): each REGISTER and each lookup asks the database.

For several servers on one database that shall not keep the same table each. Memory holds only what this node registered
itself, since closing connections and pings need it.

The invariant: REGISTERs of one address-of-record are decided one after the other, each on what the one before it wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

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

    def bindings(self, aor: str) -> Deferred[list[Binding]]:
        """Bindings that haven't expired, best ``q`` first, then newest. Fails with StorageError."""
        return self._backend.fetch(aor).addCallback(lambda rows: self._usable(aor, rows))

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
            stored(plan[0], self._table.apply(aor, plan[0].changes))
            return context.reply(plan[0].status, plan[0].reason, plan[0].headers)

        def failed(failure: Failure) -> Verdict:
            failure.trap(StorageError)
            return self._refuse(context)

        done = turn.addCallback(lambda _: self.bindings(aor)).addCallback(write).addCallback(answer)
        return done.addErrback(failed).addBoth(self._next, aor)

    def _next(self, result: Verdict | Failure, aor: str) -> Verdict | Failure:
        waiting = self._turns[aor]
        if waiting:
            waiting.pop(0).callback(None)
        else:
            del self._turns[aor]
        return result
