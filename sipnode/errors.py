"""The errors of the project, one tree.

::

    SipnodeError
    ├── ConfigError        a setting that cannot be: file, line, key, reason
    ├── ParseError         octets that are not SIP; carries the status that answers them
    │   └── FramingError   a stream that lost its frame; the connection has to be closed
    ├── Reject             the routing script refuses a request with a status
    ├── FlowClosed         the connection to send on is gone
    ├── NoRoute            no address for a next hop
    ├── MediaError         the media node refused or did not answer; carries the status for the caller
    ├── RpcError           a method of the RPC refuses its call; carries the code of the answer
    └── StorageError
        └── StorageBusy    the bounded queue in front of the store is full
"""

from __future__ import annotations


class SipnodeError(Exception):
    """Root of all errors that sipnode raises on purpose."""


class ConfigError(SipnodeError):
    """A setting that stops the start.

    Args:
        reason: What is wrong, and what to write instead.
        file: Path of the file, or "".
        line: Line number from 1, or 0 where it is not known.
        key: ``section.name`` of the setting, or "".
    """

    def __init__(self, reason: str, file: str = "", line: int = 0, key: str = "") -> None:
        self.reason = reason
        self.file = file
        self.line = line
        self.key = key
        place = f"{file}:{line}: " if line else f"{file}: " if file else ""
        super().__init__(f"{place}{key + ': ' if key else ''}{reason}")


class ParseError(SipnodeError):
    """Octets that cannot be read as SIP.

    Args:
        reason: For people and for the reason phrase.
        status: The final response that a request with this fault draws (RFC 3261 §21.4).
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class FramingError(ParseError):
    """A stream lost its frame: answer (if ``head`` holds a readable request) and close (RFC 3261 §18.3).

    Args:
        head: What was received of the message, up to the limit.
    """

    def __init__(self, reason: str, status: int = 400, head: bytes = b"") -> None:
        super().__init__(reason, status)
        self.head = head


class Reject(SipnodeError):
    """A routing stage refuses the request.

    Args:
        status: 300..699.
        reason: Reason phrase; "" takes the standard one.
        headers: Further headers of the response, ``(name, value)``.
        rule: One word for the rule that refuses it, as ``strangers``: for the line about the call and the counter ``refused_RULE``.

    Raises:
        ValueError: the status refuses nothing; the reason, or a header, isn't one line.
    """

    def __init__(self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = (), rule: str = "") -> None:
        super().__init__(f"{status} {reason}".strip())
        if not 300 <= status <= 699:
            raise ValueError(f"{status} refuses nothing: 300 to 699 do")
        for text in (reason, *(part for header in headers for part in header)):
            if "\r" in text or "\n" in text or "\0" in text:
                raise ValueError(f"CR, LF or NUL in an answer: {text!r}")
        self.status = status
        self.reason = reason
        self.headers = headers
        self.rule = rule


class FlowClosed(SipnodeError):
    """The connection is gone; nothing was sent."""


class NoRoute(SipnodeError):
    """No address was found for the next hop.

    Args:
        reason: What was looked up and failed; it stays inside, as it may name addresses of ours.
        status: What the caller is told (404, 480, 503 …).
        told: Reason phrase that it is told with, "" for the standard one.
    """

    def __init__(self, reason: str, status: int = 503, told: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.told = told


class MediaError(SipnodeError):
    """The media relay refused or did not answer.

    Args:
        reason: The node's own words (``error-reason``) or "no answer".
        status: What the caller is told: 488 for SDP that cannot be read, 503 for no ports or no node, else 500.

    Attributes:
        node: The node as the configuration names it, "" where it was none; for the log, not for callers.
        words: The reason alone, where ``reason`` goes to callers with a name that tells them nothing.
    """

    def __init__(self, reason: str, status: int = 503) -> None:
        super().__init__(reason)
        self.reason = self.words = reason
        self.status = status
        self.node = ""

    @property
    def blame(self) -> str:
        """The party and its reason."""
        return f"media node {self.node}, {self.words}" if self.node else f"media relay, {self.words}"


class StorageError(SipnodeError):
    """The store could not do what it was asked."""


class StorageBusy(StorageError):
    """The bounded queue in front of the store is full."""


class RpcError(SipnodeError):
    """A method refuses a call.

    Args:
        code: Of JSON-RPC 2.0 §5.1 (-32768..-32000), or Kamailio's own for its methods (400, 404, 500).
        message: One sentence, for the caller.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
