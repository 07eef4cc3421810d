"""Requests and responses: a start line, header lines in order, a body of octets.

Implements: RFC 3261 §7. A message keeps its header lines exactly as they came (spelling, folds and all), so that what
nobody touches is forwarded octet for octet. Typed views (:attr:`SipMessage.via`, :attr:`SipMessage.from_` …) are made
when somebody asks and kept. The head is text decoded as UTF-8 with surrogate escapes, which loses nothing.

The invariant: a received message isn't changed. For another one take :meth:`copy`.
"""

from __future__ import annotations

from sipnode.errors import ParseError
from sipnode.sip.address import NameAddr, address_of
from sipnode.sip.cseq import cseq_of
from sipnode.sip.grammar import line_value, split_commas, unfold
from sipnode.sip.headers import pretty
from sipnode.sip.leaf import JOIN, VALUE, joined
from sipnode.sip.uri import SipUri
from sipnode.sip.via import Via, stamped


class SipMessage:
    """The common part of requests and responses.

    Attributes:
        names: Canonical header names, parallel to ``lines``.
        lines: Header lines without their CRLF, folds kept.
        body: The body's octets.
        size: Octets that it came in as; 0 for one that was made here.
    """

    __slots__ = ("_call_id", "_cseq", "_cseq_method", "_from", "_index", "_to", "_via", "body", "lines", "names", "size")

    def __init__(self, names: list[str], lines: list[str], body: bytes, index: dict[str, int] | None = None) -> None:
        self.names = names
        self.lines = lines
        self.body = body
        self.size = 0
        self._index = index
        self._via: Via | None = None
        self._from: NameAddr | None = None
        self._to: NameAddr | None = None
        self._call_id: str | None = None
        self._cseq = -1
        self._cseq_method = ""

    # -- reading

    def index(self) -> dict[str, int]:
        """Canonical name -> position of its first line."""
        index = self._index
        if index is None:
            index = {}
            for position, name in enumerate(self.names):
                if name not in index:
                    index[name] = position
            self._index = index
        return index

    def __contains__(self, name: str) -> bool:
        return name in (self._index if self._index is not None else self.index())

    def get(self, name: str) -> str | None:
        """Value of the first header line of that canonical name, or None."""
        index = self._index
        if index is None:
            index = self.index()
        position = index.get(name)
        if position is None:
            return None
        line = self.lines[position]
        if VALUE is not None:
            found = VALUE(line)
            if found is not None:
                return found
        # As line_value() does; a call saved where most values are read.
        value = line.partition(":")[2]
        if "\n" in value:
            value = unfold(value)
        return value.strip(" \t")

    def get_all(self, name: str) -> list[str]:
        """Values of all lines of that name, one a line."""
        index = self._index if self._index is not None else self.index()
        position = index.get(name, -1)
        if position < 0:
            return []
        if self.names.count(name) == 1:
            return [line_value(self.lines[position])]
        return [line_value(line) for line, other in zip(self.lines, self.names, strict=True) if other == name]

    def values(self, name: str) -> list[str]:
        """Values of a comma-list header over all its lines.

        Raises:
            ParseError: a quote or bracket is left open.
        """
        lines = self.get_all(name)
        if len(lines) == 1 and "," not in lines[0]:
            return lines
        found: list[str] = []
        for value in lines:
            found.extend(split_commas(value) if "," in value else (value,))
        return found

    @property
    def via(self) -> Via:
        """The topmost Via.

        Raises:
            ParseError: there is none, or it can't be read.
        """
        via = self._via
        if via is None:
            value = self.get("via")
            if value is None:
                raise ParseError("no Via")
            via = self._via = Via.parse(split_commas(value)[0] if "," in value else value)
        return via

    @property
    def from_(self) -> NameAddr:
        """From.

        Raises:
            ParseError: there is none, or it can't be read.
        """
        address = self._from
        if address is None:
            address = self._from = self._address("from")
        return address

    @property
    def to(self) -> NameAddr:
        """To.

        Raises:
            ParseError: there is none, or it can't be read.
        """
        address = self._to
        if address is None:
            address = self._to = self._address("to")
        return address

    def _address(self, name: str) -> NameAddr:
        index = self._index
        position = (index if index is not None else self.index()).get(name, -1)
        if position < 0:
            raise ParseError(f"no {pretty(name)}")
        return address_of(self.lines[position])

    @property
    def call_id(self) -> str:
        """Call-ID.

        Raises:
            ParseError: there is none.
        """
        call_id = self._call_id
        if call_id is None:
            call_id = self.get("call-id")
            if not call_id:
                raise ParseError("no Call-ID")
            self._call_id = call_id
        return call_id

    @property
    def cseq(self) -> int:
        """The number of CSeq.

        Raises:
            ParseError: there is none, or it can't be read.
        """
        if self._cseq < 0:
            self._read_cseq()
        return self._cseq

    @property
    def cseq_method(self) -> str:
        """The method of CSeq.

        Raises:
            ParseError: there is none, or it can't be read.
        """
        if self._cseq < 0:
            self._read_cseq()
        return self._cseq_method

    def _read_cseq(self) -> None:
        index = self._index
        position = (index if index is not None else self.index()).get("cseq", -1)
        if position < 0:
            raise ParseError("no CSeq")
        self._cseq, self._cseq_method = cseq_of(self.lines[position])

    # -- changing (only ever a copy)

    def stamp_via(self, host: str, port: int) -> None:
        """Fill ``received`` and ``rport`` of the topmost Via in: the one change that the receiving transport itself has
        to make to a request (RFC 3261 §18.2.1).
        """
        position = self.index()["via"]
        self.lines[position] = stamped(self.lines[position], self.via, host, port)

    def set(self, name: str, value: str) -> None:
        """Give the first header line of that name another value, or append it."""
        position = self.index().get(name)
        if position is None:
            self.append(name, value)
        else:
            self.lines[position] = f"{pretty(name)}: {value}"
            self._forget(name)

    def append(self, name: str, value: str) -> None:
        """Add a header line at the end."""
        self.names.append(name)
        self.lines.append(f"{pretty(name)}: {value}")
        self._index = None
        self._forget(name)

    def prepend(self, name: str, value: str) -> None:
        """Add a header line before all others."""
        self.names.insert(0, name)
        self.lines.insert(0, f"{pretty(name)}: {value}")
        self._index = None
        self._forget(name)

    def remove(self, name: str) -> None:
        """Remove all header lines of that name."""
        if name in self:
            kept = [pair for pair in zip(self.names, self.lines, strict=True) if pair[0] != name]
            self.names = [pair[0] for pair in kept]
            self.lines = [pair[1] for pair in kept]
            self._index = None
            self._forget(name)

    def replace_at(self, position: int, value: str) -> None:
        """Give the header line at a position another value; "" removes the line."""
        name = self.names[position]
        if value:
            self.lines[position] = f"{pretty(name)}: {value}"
        else:
            del self.names[position]
            del self.lines[position]
            self._index = None
        self._forget(name)

    def pop_first(self, name: str) -> None:
        """Remove the first value of a comma-list header (the topmost Via or Route)."""
        position = self.index()[name]
        line = self.lines[position]
        if "," in line:
            rest = split_commas(line_value(line))[1:]
            self.replace_at(position, ", ".join(rest))
        else:
            self.replace_at(position, "")

    def set_body(self, body: bytes, content_type: str = "") -> None:
        """Another body; Content-Length (and Content-Type if given) follow."""
        self.body = body
        self.set("content-length", str(len(body)))
        if content_type:
            self.set("content-type", content_type)

    def _forget(self, name: str) -> None:
        if name == "via":
            self._via = None
        elif name == "from":
            self._from = None
        elif name == "to":
            self._to = None
        elif name == "call-id":
            self._call_id = None
        elif name == "cseq":
            self._cseq = -1

    def _share_views(self, other: SipMessage) -> None:
        other._via = self._via
        other._from = self._from
        other._to = self._to
        other._call_id = self._call_id
        other._cseq = self._cseq
        other._cseq_method = self._cseq_method

    # -- writing

    @property
    def start_line(self) -> str:
        """The first line, without CRLF."""
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        """The message as octets."""
        if JOIN is not None:
            made = JOIN(self.start_line, self.lines, self.body)
            if made is not None:
                return made
        return joined(self.start_line, self.lines, self.body)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.start_line!r} {self.get('call-id')}>"


class SipRequest(SipMessage):
    """A request.

    Attributes:
        method: Case-sensitive.
        uri: Request-URI as written.
        version: "SIP/2.0".
    """

    __slots__ = ("_ruri", "method", "uri", "version")

    def __init__(
        self,
        method: str,
        uri: str,
        names: list[str],
        lines: list[str],
        body: bytes = b"",
        version: str = "SIP/2.0",
        index: dict[str, int] | None = None,
    ) -> None:
        SipMessage.__init__(self, names, lines, body, index)
        self.method = method
        self.uri = uri
        self.version = version
        self._ruri: SipUri | None = None

    @property
    def ruri(self) -> SipUri:
        """The Request-URI, parsed.

        Raises:
            ParseError: not a URI.
        """
        ruri = self._ruri
        if ruri is None:
            ruri = self._ruri = SipUri.parse(self.uri)
        return ruri

    def set_uri(self, uri: str) -> None:
        """Another Request-URI."""
        self.uri = uri
        self._ruri = None

    @property
    def start_line(self) -> str:
        """Method, Request-URI and version."""
        return f"{self.method} {self.uri} {self.version}"

    def copy(self) -> SipRequest:
        """A request that can be changed without touching this one."""
        other = SipRequest(self.method, self.uri, self.names.copy(), self.lines.copy(), self.body, self.version)
        self._share_views(other)
        other._ruri = self._ruri
        return other


class SipResponse(SipMessage):
    """A response.

    Attributes:
        status: 100..699.
        reason: Reason phrase as written.
    """

    __slots__ = ("reason", "status")

    def __init__(
        self, status: int, reason: str, names: list[str], lines: list[str], body: bytes = b"", index: dict[str, int] | None = None
    ) -> None:
        SipMessage.__init__(self, names, lines, body, index)
        self.status = status
        self.reason = reason

    @property
    def start_line(self) -> str:
        """Version, status and reason."""
        return f"SIP/2.0 {self.status} {self.reason}"

    def copy(self) -> SipResponse:
        """A response that can be changed without touching this one."""
        other = SipResponse(self.status, self.reason, self.names.copy(), self.lines.copy(), self.body)
        self._share_views(other)
        return other
