"""Records that the store and the services hand each other: plain and slotted, without behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeAlias


class BindingFlag:
    """Branch flags that a binding keeps (the seed's FLB_*; column ``cflags`` of Kamailio's ``location``). Plain integers, as
    they are tested for each message.
    """

    NATB: Final = 1 << 6
    NATSIPPING: Final = 1 << 7
    RTPWS: Final = 1 << 8


FLOW_TOKEN: Final = "n1!"
"""Beginning of the user part of a Path that a node of this server wrote; every other Path is an edge proxy's."""


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
class Reach:
    """How this server reaches a party: a value, made where the party is heard of and looked at nowhere but in ``proxy.reach``.

    ``flow`` is the token of its connection and ``key`` its instance key, "" for none. ``host`` (an IP literal without brackets, or a
    name), ``port`` (0: not given) and ``transport`` ('UDP' | 'TCP' | 'TLS', "" to leave it to DNS) say where it is without that
    connection. ``websocket``: it is a browser, which nothing but its own connection reaches. ``natted``: it sits behind an address
    translator, ``host`` and ``port`` are the source that it showed, and its SDP can't be believed.
    """

    flow: str = ""
    key: str = ""
    host: str = ""
    port: int = 0
    transport: str = ""
    websocket: bool = False
    natted: bool = False


@dataclass(slots=True)
class Holder:
    """The end of a dialog that a route token was made for: nobody else may use it.

    ``host`` is the address that it was heard or asked at, ``flow`` the token of its connection, ``key`` its instance key, ``who`` a mark
    of the user of ours that it is (``proxy.seal.mark_of``); each empty where there is none.
    """

    host: str = ""
    flow: str = ""
    key: str = ""
    who: bytes = b""


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
    """The secret of a user, in the forms that are known. Any of the fields may be ""; ``password`` serves every algorithm.

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
    ``asked`` is what the relay said to its node beside SDP and names, written by the relay.
    """

    call_id: str
    from_tag: str
    to_tag: str = ""
    via_branch: str = ""
    node: str = ""
    asked: Mapping[str, object] | None = None


class MediaForm(Enum):
    """How the media of one end is carried: what its m-lines and keys have to look like."""

    PLAIN = "RTP"
    """RTP/AVP or RTP/AVPF, and what isn't RTP at all."""
    SDES = "SRTP with keys in the SDP"
    """RTP/SAVP or RTP/SAVPF with a=crypto (RFC 4568)."""
    DTLS = "SRTP by DTLS"
    """With a=fingerprint and without ICE (RFC 5763)."""
    WEBRTC = "WebRTC"
    """DTLS and ICE (RFC 8827)."""


MediaField: TypeAlias = "int | str | tuple[str, ...] | Mapping[str, tuple[str, ...]]"
"""A value of a command to the media relay."""


@dataclass(slots=True, frozen=True)
class MediaFlags:
    """The wishes that flag words pass to the media relay.

    Attributes:
        text: As they were written.
        fields: What they make of the command's dictionary.
        alone: Nothing else is asked; else they are laid over what the server derives.
    """

    text: str
    fields: Mapping[str, MediaField]
    alone: bool = False


@dataclass(slots=True)
class MediaProfile:
    """The form that the returned SDP must have, and where the SDP came from.

    Attributes:
        form: As its receiver takes it.
        nat_source: The true address of the sender when its SDP can't be trusted, else "".
        protocol: Of an offer's RTP m-lines, as ``RTP/SAVP``; "" leaves each m-line its own.
        family: ``IP4`` or ``IP6``, what its receiver can reach; "" leaves it to the relay.
        interfaces: Names of the relay's interfaces towards sender and receiver; empty leaves them to the relay.
        flags: Words of the script for this exchange, or None; with those that stand alone ``nat_source`` is the sender's in any case.
        moved: The call has been at another node, or was made anew: the SDP gets versions of the relay's own (RFC 3264 §8).
        fixed: Its sender is where its SDP says, and packets from elsewhere are somebody else's, unless its SDP can't be trusted.
    """

    form: MediaForm
    nat_source: str = ""
    protocol: str = ""
    family: str = ""
    interfaces: tuple[str, ...] = ()
    flags: MediaFlags | None = None
    moved: bool = False
    fixed: bool = False

    @property
    def to_browser(self) -> bool:
        """Whether the receiver is a WebRTC end."""
        return self.form is MediaForm.WEBRTC


@dataclass(slots=True)
class Hop:
    """One resolved next hop: transport is 'UDP', 'TCP', 'TLS', 'WS' or 'WSS'; host is an IP literal without brackets.

    ``server_name`` is the name to check a certificate against (RFC 5922), "" for none; ``server_id`` asks for a client section of
    ``tls.cfg``, "" for the one of the address.
    """

    transport: str
    host: str
    port: int
    server_name: str = ""
    server_id: str = ""


@dataclass(slots=True)
class User:
    """A row of ``subscriber`` as the command line shows it."""

    username: str
    domain: str
    ha1: str = ""
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Publication:
    """One published state; field names follow Kamailio's ``presentity`` table, version 5. Times are epoch seconds.

    ``resource`` is the canonical ``user@host``; ``sender`` who published it, alike; ``etag`` its name until the next PUBLISH;
    ``ruid`` its name in the table for ever. ``parsed`` is what the event package made of the body, None when nobody has yet.
    """

    resource: str
    event: str
    etag: str
    expires: float
    received: float
    body: bytes
    sender: str
    ruid: str
    priority: int = 0
    parsed: Any = None


class SubscriptionStatus:
    """Kamailio's numbers in ``active_watchers.status`` and ``watchers.status`` (RFC 6665 §4.1.3, RFC 3857 §4.7)."""

    ACTIVE: Final = 1
    PENDING: Final = 2
    TERMINATED: Final = 3
    WAITING: Final = 4


@dataclass(slots=True)
class Subscription:
    """One subscription, which is a dialog of ours (RFC 6665 §4); the fields are those of Kamailio's ``active_watchers``, version 12.

    ``resource`` and ``watcher`` are canonical ``user@host``; ``local_uri`` and ``remote_uri`` stand in From and To of a NOTIFY.
    ``routes`` are Route values, nearest first, joined by ", ". ``local_cseq`` is the number of the last NOTIFY, ``reserved`` the highest
    that may be used before the row is written again. ``flow``, ``key``, ``host``, ``port``, ``websocket`` say how the subscriber is
    reached (``Reach``), ``socket`` is our listener, ``node`` who sends its NOTIFYs, ``updated`` when it began.
    ``source`` is the address that the last SUBSCRIBE came from, "" for one that may send its NOTIFYs anywhere (a trusted one); ``proved``
    the address that has answered a NOTIFY of it, "" for none; both are ``ip:port``, of IPv6 without brackets.
    """

    resource: str
    event: str
    event_id: str
    watcher: str
    to_tag: str
    from_tag: str
    call_id: str
    local_uri: str
    remote_uri: str
    contact: str
    expires: float
    remote_cseq: int
    local_cseq: int = 0
    reserved: int = 0
    routes: str = ""
    status: int = SubscriptionStatus.ACTIVE
    reason: str = ""
    socket: str = ""
    local_contact: str = ""
    user_agent: str = ""
    content_type: str = ""
    flow: str = ""
    key: str = ""
    host: str = ""
    port: int = 0
    websocket: bool = False
    node: int = 0
    updated: float = 0.0
    source: str = ""
    proved: str = ""


@dataclass(slots=True)
class Watcher:
    """A watcher and its presentity; fields of Kamailio's ``watchers``, version 3, for what a presentity decided about it (``reason`` is
    'pickup' for who may pick up its calls), and of one subscription for watcher information (RFC 3858 §4.3: ``id``, ``cause``, ``expires``
    and ``since`` as epoch seconds).
    """

    resource: str
    watcher: str
    event: str
    status: int
    reason: str = ""
    since: float = 0.0
    expires: float = 0.0
    id: str = ""
    cause: str = "subscribe"


@dataclass(slots=True)
class PartyCall:
    """One side's view of a call (RFC 4235 §3.7, §4.1).

    ``id`` is the same in every run; ``direction`` 'initiator' or 'recipient'; ``state`` 'trying', 'early', 'confirmed' or 'terminated',
    with ``event`` and ``code`` of its end ("" and 0 for none); ``local`` and ``remote`` are URIs; ``session`` the seconds of its session
    timer, 0 for none; ``node`` who carries it, -1 for an unknown one; ``browsers`` those of our users in it who are in a browser.
    """

    id: str
    call_id: str = ""
    local_tag: str = ""
    remote_tag: str = ""
    direction: str = "recipient"
    state: str = "trying"
    local: str = ""
    remote: str = ""
    remote_name: str = ""
    event: str = ""
    code: int = 0
    session: int = 0
    node: int = -1
    browsers: tuple[str, ...] = ()


@dataclass(slots=True)
class PresenceChange:
    """One row to write: saved by its ``ruid``, its tags or its watcher, or deleted."""

    row: Publication | Subscription | Watcher
    delete: bool = False
