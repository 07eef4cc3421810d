"""What the store and the services hand each other: plain slotted records, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final


class BindingFlag:
    """Branch flags that a binding keeps (the seed's FLB_*; column ``cflags`` of Kamailio's ``location``). Plain integers, as
    they are tested for each message.
    """

    NATB: Final = 1 << 6
    NATSIPPING: Final = 1 << 7
    RTPWS: Final = 1 << 8


@dataclass(slots=True)
class Binding:
    """One contact of an address-of-record; field names follow Kamailio's ``location`` table, version 9.

    ``aor`` is the canonical ``user@host`` (user decoded, host lower-case). Times are epoch seconds.
    ``received`` is "" or ``sip:ip:port;transport=x``; ``socket`` is ``proto:ip:port`` of our listener;
    ``connection_id`` is the token of the connection that the binding lives on, "" for UDP.
    """

    aor: str
    contact: str
    expires: float
    ruid: str
    call_id: str = ""
    cseq: int = 0
    q: float = 1.0
    user_agent: str = ""
    received: str = ""
    path: str = ""
    socket: str = ""
    methods: int = 0xFFFFFFFF
    instance: str = ""
    reg_id: int = 0
    flags: int = 0
    cflags: int = 0
    connection_id: str = ""
    last_modified: float = 0.0
    server_id: int = 0


@dataclass(slots=True)
class LocationChange:
    """One row to write: ``binding`` saved by its ``ruid``, or deleted; with ``of_node`` only while the row is that node's
    (its ``server_id``), since the device may have moved to another one.
    """

    binding: Binding
    delete: bool = False
    of_node: int | None = None


@dataclass(slots=True)
class Credential:
    """What is known of a user's secret. Any of the fields may be ""; ``password`` serves every algorithm.

    ``ha1`` is MD5(user:realm:password), ``ha1_sha256`` the same with SHA-256, both lower-case hex;
    ``ha1b`` and ``ha1b_sha256`` are the same two of user@domain:realm:password, for clients that sign with the whole address.
    """

    username: str
    domain: str
    password: str = ""
    ha1: str = ""
    ha1b: str = ""
    ha1_sha256: str = ""
    ha1b_sha256: str = ""


@dataclass(slots=True)
class MediaKey:
    """Names one offer/answer exchange to the media relay.

    ``from_tag`` is the tag of the one who sent the SDP that an *offer* carries; on an answer it stays the
    offerer's tag and ``to_tag`` is the answerer's. ``via_branch`` tells forked branches apart ("" inside a dialog).
    ``node`` is the relay node that holds the call, "" to let the relay choose by Call-ID.
    """

    call_id: str
    from_tag: str
    to_tag: str = ""
    via_branch: str = ""
    node: str = ""


@dataclass(slots=True)
class MediaProfile:
    """Who will receive the SDP that comes back, and where the SDP came from.

    ``to_browser``: the receiver is a WebRTC end. ``nat_source``: the true address of the sender when its
    SDP can't be trusted, else "".
    """

    to_browser: bool
    nat_source: str = ""


@dataclass(slots=True)
class Hop:
    """One resolved next hop: transport is 'UDP', 'TCP', 'TLS', 'WS' or 'WSS'; host is an IP literal without brackets.

    ``server_name`` is the name to check a certificate against (RFC 5922), "" for none.
    """

    transport: str
    host: str
    port: int
    server_name: str = ""


@dataclass(slots=True)
class User:
    """A row of ``subscriber`` as the command line shows it."""

    username: str
    domain: str
    ha1: str = ""
    extra: dict[str, str] = field(default_factory=dict)
