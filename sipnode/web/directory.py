"""The directory: ``GET /directory.json`` lists the users of the caller's domain and which of them are signed in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from sipnode.web.signedin import Credentials, PasswordGuard, SignedInPage

LIST_SECONDS = 3.0
LISTS = 64
USERS = 1000


class DirectoryResource(SignedInPage):
    """The list of a domain's users, for one of them.

    Args:
        users: Every user name of a domain.
        online: Whether an address-of-record (``user@domain``) has a binding; called once for each user.
        verify, clock, guard: As of :class:`~sipnode.web.signedin.SignedInPage`.
    """

    what = "directory"

    def __init__(
        self,
        users: Callable[[str], Deferred[list[str]]],
        online: Callable[[str], bool],
        verify: Callable[[str, str, str], Deferred[bool]],
        clock: IReactorTime,
        guard: Callable[[], PasswordGuard | None] = lambda: None,
    ) -> None:
        super().__init__(verify, clock, guard)
        self._users = users
        self._online = online
        self._lists: OrderedDict[str, tuple[float, list[str]]] = OrderedDict()

    async def answer(self, credentials: Credentials) -> object:
        """The list."""
        names = await self._names(credentials.domain)
        people = [{"user": name, "online": self._online(f"{name}@{credentials.domain}")} for name in names]
        return {"domain": credentials.domain, "users": people}

    async def _names(self, domain: str) -> list[str]:
        """The users of a domain; every page of the domain asks every few seconds, the store is asked once for all of them."""
        now = self._clock.seconds()
        asked, names = self._lists.get(domain, (now - LIST_SECONDS, []))
        if now - asked < LIST_SECONDS:
            return names
        names = sorted(await self._users(domain))[:USERS]
        self._lists.pop(domain, None)
        self._lists[domain] = (now, names)
        if len(self._lists) > LISTS:
            self._lists.popitem(last=False)
        return names
