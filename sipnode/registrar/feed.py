"""Changes that others write into the location table, taken into memory.

The invariant: a row of somebody else replaces ours only when it is newer and no change of ours is on its way to that row, so
that memory ends up as the table does, whoever comes first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from sipnode.interfaces import ILocationFeed
from sipnode.registrar.location import interned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IReactorTime

    from sipnode.interfaces import ILocationBackend
    from sipnode.records import Binding
    from sipnode.registrar.loading import Loading
    from sipnode.registrar.location import LocationTable

_AT_ONCE: Final = 1000
_AGAIN_SECONDS: Final = 5.0


@implementer(ILocationFeed)
class Feed:
    """News of the table.

    Args:
        backend: The table on disk, for reading all of it again.
        table: The table in memory.
        clock: Epoch seconds and delayed calls.
        underway: Whether a change of ours is on its way to the row of that ruid.
        adopt: Makes a row of the store a binding as this node can use it.
        tell: Called with (kind, binding) for each change.
    """

    def __init__(
        self,
        backend: ILocationBackend,
        table: LocationTable,
        clock: IReactorTime,
        underway: Callable[[str], bool],
        adopt: Callable[[Binding], None],
        tell: Callable[[str, Binding], None],
    ) -> None:
        self._backend = backend
        self._table = table
        self._clock = clock
        self._underway = underway
        self._adopt = adopt
        self._tell = tell
        self.loading: Loading | None = None
        self._seen: set[str] | None = None
        self._again = False
        self._closed = False
        self._later: Any = None
        self._log = Logger()

    def stop(self) -> None:
        """Take nothing more."""
        self._closed = True
        if self._later is not None and self._later.active():
            self._later.cancel()

    def saved(self, bindings: Sequence[Binding]) -> None:
        """Rows that somebody else wrote."""
        now = self._clock.seconds()
        for row in interned(bindings):
            if self._seen is not None:
                self._seen.add(row.ruid)
            mine = self._table.get(row.aor, row.ruid)
            if self._underway(row.ruid) or (mine is not None and mine.last_modified >= row.last_modified):
                continue
            if row.expires <= now:
                self._remove(mine, "expired")
                continue
            self._adopt(row)
            self._table.save(row.aor, row)
            self._tell("registered" if mine is None else "refreshed", row)

    def deleted(self, rows: Sequence[tuple[str, str]]) -> None:
        """Rows that somebody else deleted, each as (address-of-record, ruid)."""
        if self.loading is not None:
            self.loading.deleted([ruid for _, ruid in rows])
        for aor, ruid in rows:
            if self._seen is not None:
                self._seen.discard(ruid)
            if not self._underway(ruid):
                self._remove(self._table.get(aor, ruid), "unregistered")

    def lost(self) -> None:
        """News may have been missed: read the whole table again, and forget the rows of others that aren't there any more."""
        if self._closed or self.loading is not None:
            # The load that is under way began before; what it misses is read afterwards.
            self._again = True
            return
        if self._seen is not None:
            self._again = True
            return
        self._again = False
        self._seen = set()
        self._log.info("news of the location table were missed: it is read again")
        begun = self._clock.seconds()
        self._backend.load(self._rows).addCallbacks(lambda _: self._compare(self._table.aors(), begun), self._failed)

    def loaded(self) -> None:
        """The first load is over."""
        self.loading = None
        if self._again:
            self.lost()

    def _rows(self, rows: Sequence[Binding]) -> Deferred[None]:
        if self._closed:
            return Deferred()
        self.saved(rows)
        if len(rows) < _AT_ONCE:
            return succeed(None)
        breath: Deferred[None] = Deferred()
        self._later = self._clock.callLater(0, breath.callback, None)
        return breath

    def _compare(self, aors: list[str], begun: float) -> None:
        """Forget what wasn't seen, some addresses at a time."""
        seen, table = self._seen, self._table
        if seen is None or self._closed:
            return
        for aor in aors[-_AT_ONCE:]:
            for binding in table.bindings(aor):
                if binding.ruid not in seen and binding.last_modified < begun and not self._underway(binding.ruid):
                    self._remove(binding, "unregistered")
        del aors[-_AT_ONCE:]
        if aors:
            self._later = self._clock.callLater(0, self._compare, aors, begun)
            return
        self._seen = None
        if self._again:
            self.lost()

    def _failed(self, failure: Any) -> None:
        self._seen = None
        self._log.warn("the location table can't be read again yet: {reason}", reason=failure.getErrorMessage())
        if not self._closed:
            self._later = self._clock.callLater(_AGAIN_SECONDS, self.lost)

    def _remove(self, binding: Binding | None, kind: str) -> None:
        if binding is not None and self._table.remove(binding.aor, binding.ruid) is not None:
            self._tell(kind, binding)
