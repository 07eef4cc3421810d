"""The manhole as a service. Conch is imported when there is one, so that a server without needs no more packages.

Invariant: it listens on loopback or not at all. A visitor can do everything that the server can.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from sipnode.addresses import is_loopback, split_address
from sipnode.errors import ConfigError

if TYPE_CHECKING:
    from sipnode.settings import ManholeSettings

_NEEDED = ("bcrypt", "appdirs")
"""Packages that ``twisted[conch]`` brings beside Twisted itself."""


def address_of(settings: ManholeSettings, find: Callable[[str], Any] = find_spec) -> tuple[str, int]:
    """Where it listens.

    Args:
        find: Says whether a package is installed.

    Raises:
        ConfigError: not an address, not loopback, or packages are missing.
    """
    host, port = split_address(settings.listen, "manhole.listen")
    if not is_loopback(host):
        reason = f"{host} isn't loopback, and a prompt inside the server is shown to no network: log in to this machine first (ssh -J)"
        raise ConfigError(reason, key="manhole.listen")
    if any(find(name) is None for name in _NEEDED):
        raise ConfigError("the manhole needs more Python packages: pip install 'sipnode[manhole]'", key="manhole.listen")
    return host, port


class ManholeService(Service):
    """Listens for SSH.

    Args:
        settings: ``[manhole]``.
        conf_dir: Where the path of the listed keys starts.
        state_dir: Where the host key is kept.
        banner: Shown first.
        namespace: Makes the names of a session from what ends it.
        reactor: IReactorTCP.

    Attributes:
        host, port: Where; the port is real once it listens.

    Raises:
        ConfigError: it can't be as the settings want it.
    """

    name = "manhole"
    log = Logger(namespace="sipnode.manhole")

    def __init__(
        self,
        settings: ManholeSettings,
        conf_dir: Path,
        state_dir: Path,
        banner: str,
        namespace: Callable[[Callable[[], None]], dict[str, Any]],
        reactor: Any,
    ) -> None:
        self.host, self.port = address_of(settings)
        from sipnode.manhole.keys import KeyFile, read_keys
        from sipnode.manhole.ssh import Door

        path = conf_dir / settings.authorized_keys
        read_keys(path)
        self._keys = KeyFile(path)
        self._door = Door(banner, namespace, settings.seconds)
        self._state_dir = state_dir
        self._reactor = reactor
        self._factory: Any = None
        self._listening: Any = None

    def startService(self) -> None:
        """Listen; where that can't be, calls go on without it."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        from sipnode.manhole.keys import host_key
        from sipnode.manhole.ssh import factory_of

        try:
            self._factory = factory_of(self._door, self._keys, host_key(self._state_dir))
            self._listening = self._reactor.listenTCP(self.port, self._factory, 8, self.host)
        except ConfigError as error:
            self.log.error("no manhole: {reason}", reason=str(error))
            return
        except CannotListenError as error:
            self.log.error("no manhole on {host}:{port}: {reason}", host=self.host, port=self.port, reason=error.socketError)
            return
        self.port = self._listening.getHost().port
        self.log.info("the manhole is open: ssh -p {port} {host}", port=self.port, host=self.host)

    def stopService(self) -> Deferred[Any]:
        """Listen no more, and close who is in."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        listening, self._listening = self._listening, None
        if listening is None:
            return maybeDeferred(lambda: None)
        self._factory.close()
        return maybeDeferred(listening.stopListening)
