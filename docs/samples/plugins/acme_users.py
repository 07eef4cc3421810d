"""A credential backend: ``[auth] backend = "acme"``, ``backend_url`` the one password that everybody has."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from sipnode.errors import ConfigError
from sipnode.interfaces import ICredentialBackend, ICredentialsPlugin
from sipnode.records import Credential

User = tuple[str, str]


@implementer(ICredentialBackend)
class OnePassword:
    """Every user of every domain has the same one."""

    def __init__(self, password: str) -> None:
        self._password = password

    def look_up(self, users: list[User]) -> Deferred[dict[User, Credential | Exception]]:
        """All of them exist. One who doesn't is left out; a StorageError says that it couldn't be found out."""
        return succeed({user: Credential(*user, password=self._password) for user in users})

    def close(self) -> Deferred[None]:
        """Nothing is open."""
        return succeed(None)


@implementer(ICredentialsPlugin)
class AcmeBackends:
    """Makes the backend when the server starts."""

    name = "acme"

    def make(self, url: str, reactor: Any) -> ICredentialBackend:
        """Refuse what can't be by the setting's name."""
        if not url:
            raise ConfigError("has to be a password", key="auth.backend_url")
        return OnePassword(url)


backends = AcmeBackends()
