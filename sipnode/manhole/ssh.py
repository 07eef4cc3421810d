"""The SSH side: Conch's parts put together, so that a listed key gets a prompt or runs one command, and nothing else is there.

Implements: RFC 4252 §7 (public key), RFC 4254 §6 (session, shell, exec). No password, no forwarding, no files.
Invariant: who is in, and what is typed, stands in the log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.conch.checkers import SSHPublicKeyChecker
from twisted.conch.insults.insults import ServerProtocol
from twisted.conch.interfaces import IConchUser
from twisted.conch.manhole import ColoredManhole, ManholeInterpreter
from twisted.conch.manhole_ssh import ConchFactory, TerminalRealm, TerminalSession, TerminalUser
from twisted.conch.ssh.connection import SSHConnection
from twisted.conch.ssh.transport import DISCONNECT_BY_APPLICATION, SSHServerTransport
from twisted.conch.ssh.userauth import SSHUserAuthServer
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipnode.manhole.running import TooLong, bounded, run
from sipnode.tables import clean

MOST_CONNECTIONS: Final = 8
MOST_AT_PROMPT: Final = 100_000
"""Characters of one statement's output: nobody reads more."""
_LOGGED: Final = 300
_log = Logger(namespace="sipnode.manhole")

Namespace = Callable[[Callable[[], None]], dict[str, Any]]
"""Makes the names of a session from what ends it."""


class _Output:
    """Keeps what a statement writes, up to a bound, until it has ended: nothing may break off the sending of a packet."""

    def __init__(self, terminal: Any) -> None:
        self._terminal = terminal
        self._kept: list[str] = []
        self.left = MOST_AT_PROMPT

    def addOutput(self, data: str, isAsync: bool | None = None) -> None:
        """Conch's name."""
        if isAsync:
            self._terminal.addOutput(data, isAsync)
            return
        self.left -= len(data)
        if self.left < 0:
            raise TooLong(f"it wrote more than {MOST_AT_PROMPT:,} characters")
        self._kept.append(data)

    def flush(self, more: str = "") -> None:
        """Write it, and some more."""
        text, self._kept = "".join(self._kept) + more, []
        self.left = MOST_AT_PROMPT
        if text:
            self._terminal.addOutput(text)


class Interpreter(ManholeInterpreter):
    """Runs what is typed within bounds.

    Args:
        terminal: The prompt.
        names: What it knows.
        seconds: How long a statement may run.
    """

    def __init__(self, terminal: Any, names: dict[str, Any], seconds: float) -> None:
        self._output = _Output(terminal)
        super().__init__(self._output, names)  # type: ignore[no-untyped-call]  # Conch is not annotated
        self._prompt = terminal
        self._seconds = seconds

    def runcode(self, *args: Any, **kwargs: Any) -> None:
        """Conch: a whole statement."""
        try:
            with bounded(self._seconds):
                super().runcode(*args, **kwargs)  # type: ignore[no-untyped-call]  # as above
        except SystemExit:
            self._output.flush()
            self._prompt.handle_QUIT()
        except TooLong as error:
            # A command inside shows its own; this one came while that was being shown.
            self._output.flush(f"\nTooLong: {error}\n")
        else:
            self._output.flush()


class Prompt(ColoredManhole):
    """A session at the prompt.

    Args:
        banner: Shown first.
        namespace: Makes its names.
        seconds: How long a statement may run.
        who: For the log.
    """

    def __init__(self, banner: str, namespace: Namespace, seconds: float, who: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Conch is not annotated
        self._banner = banner
        self._make = namespace
        self._seconds = seconds
        self._who = who

    def connectionMade(self) -> None:
        """Conch: the terminal is there."""
        super().connectionMade()  # type: ignore[no-untyped-call]  # as above
        self.interpreter = Interpreter(self, self._make(self.handle_QUIT), self._seconds)

    def initializeScreen(self) -> None:
        """Conch: the first thing that is seen."""
        self.terminal.reset()
        self.terminal.write(self._banner + "\n")
        self.terminal.write(self.ps[self.pn])
        self.setInsertMode()  # type: ignore[no-untyped-call]  # as above

    def lineReceived(self, line: bytes) -> None:
        """Conch: a line was typed."""
        text = line.decode("utf-8", "replace")
        if text.strip():
            _said(self._who, text)
        super().lineReceived(text.encode())  # type: ignore[no-untyped-call]  # as above


class Session(TerminalSession):
    """A shell, or one command.

    Attributes:
        door: Set by the realm.
    """

    door: Door
    height, width = 24, 80

    def openShell(self, proto: Any) -> None:
        """Conch: a prompt."""
        lose = proto.loseConnection

        def leave() -> None:
            # Without a status the client would end with one of its own, 255.
            proto.session.conn.sendRequest(proto.session, b"exit-status", bytes(4))
            lose()

        proto.loseConnection = leave
        made: Any = lambda: ServerProtocol(self.door.prompt, _who(self.original))  # noqa: E731  # Conch calls its type
        self.chainedProtocolFactory = made
        super().openShell(proto)  # type: ignore[no-untyped-call]  # Conch is not annotated

    def execCommand(self, proto: Any, cmd: bytes) -> None:
        """Conch: ``ssh host 'calls'``."""
        text = cmd.decode("utf-8", "replace")
        _said(_who(self.original), text)
        self.door.command(proto, text)

    def windowChanged(self, newWindowSize: Any) -> None:
        """Conch: the terminal is of another size, which a prompt need not know."""

    def eofReceived(self) -> None:
        """Conch: nothing more is typed."""


class User(TerminalUser):
    """A visitor."""

    def __init__(self, original: Any, avatarId: bytes) -> None:
        super().__init__(original, avatarId)  # type: ignore[no-untyped-call]  # Conch is not annotated
        self.name = clean(avatarId.decode("utf-8", "replace"))


class Auth(SSHUserAuthServer):
    """Half a minute and five keys are enough."""

    loginTimeout = 30
    attemptsBeforeDisconnect = 5


class Wire(SSHServerTransport):
    """A connection that its factory knows of."""

    factory: Any

    def connectionMade(self) -> None:
        """Twisted: it is there."""
        self.factory.wires.add(self)
        super().connectionMade()  # type: ignore[no-untyped-call]  # Conch is not annotated

    def receiveError(self, reasonCode: int, description: bytes) -> None:
        """Conch: the client says why it goes. That it goes because somebody left is no error."""
        if reasonCode != DISCONNECT_BY_APPLICATION:
            super().receiveError(reasonCode, description)  # type: ignore[no-untyped-call]  # as above

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Twisted: it is gone."""
        self.factory.wires.discard(self)
        super().connectionLost(reason)


class Factory(ConchFactory):
    """Makes connections, up to a limit.

    Attributes:
        wires: Those that are open.
    """

    noisy = False
    protocol = Wire
    services = {b"ssh-userauth": Auth, b"ssh-connection": SSHConnection}  # Conch's own way

    def __init__(self, portal: Any, key: Any) -> None:
        super().__init__(portal)  # type: ignore[no-untyped-call]  # Conch is not annotated
        self.publicKeys = {key.sshType(): key.public()}
        self.privateKeys = {key.sshType(): key}
        self.wires: set[Any] = set()

    def buildProtocol(self, addr: Any) -> Any:
        """Twisted: a connection; None refuses it."""
        if len(self.wires) >= MOST_CONNECTIONS:
            return None
        return super().buildProtocol(addr)

    def close(self) -> None:
        """End all of them."""
        for wire in list(self.wires):
            wire.transport.abortConnection()


class Door:
    """The realm that a listed key opens.

    Args:
        banner: Shown first at a prompt.
        namespace: Makes the names of a session.
        seconds: How long a statement may run.
    """

    def __init__(self, banner: str, namespace: Namespace, seconds: float) -> None:
        self._banner = banner
        self._namespace = namespace
        self._seconds = seconds

    def prompt(self, who: str) -> Prompt:
        """A session at the prompt."""
        return Prompt(self._banner, self._namespace, self._seconds, who)

    def command(self, proto: Any, source: str) -> None:
        """Run one command; its output goes to ``proto``, the exit status is 1 where it ended with an exception."""
        result = run(source, self._namespace(lambda: None), self._seconds)
        proto.outReceived(result.text.encode("utf-8", "backslashreplace"))
        if isinstance(result.value, Deferred):
            result.value.addCallbacks(lambda value: self._end(proto, value, False), lambda failure: self._failed(proto, failure))
        else:
            self._end(proto, result.value, result.failed)

    def _end(self, proto: Any, value: Any, failed: bool) -> None:
        if value is not None:
            shown = run("repr(value)", {"value": value}, self._seconds)
            failed = failed or shown.failed
            proto.outReceived(f"{shown.text if shown.failed else shown.value}\n".encode("utf-8", "backslashreplace"))
        status: Exception = ProcessTerminated(1) if failed else ProcessDone(0)
        proto.processEnded(Failure(status))

    def _failed(self, proto: Any, failure: Failure) -> None:
        proto.outReceived(f"{type(failure.value).__name__}: {failure.getErrorMessage()}\n".encode("utf-8", "backslashreplace"))
        self._end(proto, None, True)


def factory_of(door: Door, keys: Any, key: Any) -> Factory:
    """The factory of a listening port.

    Args:
        door: What is behind it.
        keys: IAuthorizedKeysDB.
        key: The host's.
    """
    realm: Any = TerminalRealm()
    realm.userFactory = User

    def session(original: Any) -> Session:
        made = Session(original)  # type: ignore[no-untyped-call]  # Conch is not annotated
        made.door = door
        return made

    realm.sessionFactory = session
    return Factory(Portal(realm, [SSHPublicKeyChecker(keys)]), key)


def _who(original: Any) -> str:
    user: Any = IConchUser(original)
    peer = user.conn.transport.transport.getPeer()
    return f"{user.name} from {peer.host}:{peer.port}"


def _said(who: str, text: str) -> None:
    _log.info("{who}: {text}", who=who, text=clean(text[:_LOGGED]))
