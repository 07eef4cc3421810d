"""Every interface of the project, and nothing else (zope.interface)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface, classImplements

from sipnode.base import flow as base
from sipnode.base.flows import FlowTable, Resolver
from sipnode.base.guard import DigestGuard
from sipnode.base.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from twisted.internet.defer import Deferred

    from sipnode.base.flow import Flow
    from sipnode.records import (
        Binding,
        Credential,
        Hop,
        LocationChange,
        MediaKey,
        MediaProfile,
        PartyCall,
        PresenceChange,
        Publication,
        Subscription,
        Watcher,
    )
    from sipnode.settings import MediaSettings
    from sipnode.sip.message import SipRequest, SipResponse


class IListener(Interface):
    """One listening socket as the ``listen`` line of the configuration names it."""

    transport: str = Attribute("What its connections or datagrams are called in Via: 'UDP', 'TCP', 'TLS', 'WS' or 'WSS'.")
    host: str = Attribute("Bound address, an IP literal without brackets.")
    port: int = Attribute("Bound port.")
    via_host: str = Attribute("Advertised host, in brackets for IPv6, for Via and Record-Route.")
    via_port: int = Attribute("Advertised port.")
    websocket_port: bool = Attribute("True when the port takes WebSocket handshakes, also seen from SIP over TCP or TLS on it.")
    name: str = Attribute("'udp:127.0.0.1:5060', as Kamailio's location.socket.")


class IFlow(Interface):
    """One path to one peer: a pair of UDP addresses, or a live connection (RFC 5626 §3)."""

    transport: str = Attribute("'UDP' | 'TCP' | 'TLS' | 'WS' | 'WSS'")
    reliable: bool = Attribute("False for UDP only.")
    websocket: bool = Attribute("True for WS and WSS.")
    listener: Any = Attribute("The IListener that it came by, or whose address is advertised for it.")
    local: tuple[str, int] = Attribute("(host, port) of our end.")
    remote: tuple[str, int] = Attribute("(host, port) of the peer as seen.")
    token: str = Attribute("Identity of the connection, unique across restarts, [0-9A-Za-z_-]; '' for UDP, or after its peer's FIN.")
    closed: bool = Attribute("True when nothing can be sent any more.")
    proved: bool = Attribute("Whether who is there has shown it: by an answer that only they could give; a connection by its handshake.")
    offered: str = Attribute("The last nonce of a challenge that went there and wasn't answered; '' for none.")
    shown: str = Attribute("'user@domain' that has answered a challenge which went to this very address; '' for nobody.")
    vars: dict[str, Any] = Attribute("Owned by policy, lives as long as the flow.")
    peer_domains: tuple[str, ...] = Attribute("Domains that the peer has proved to be by a certificate we verified; () for none.")
    signed_in: str = Attribute("'user@domain' that has shown its password by this connection; '' for nobody, and for UDP.")
    offers_alias: bool = Attribute("Whether the peer may send us requests by it, though we opened it (RFC 5923).")

    def send(data: bytes) -> None:
        """Queue one whole message; raises FlowClosed."""

    def close(reason: str) -> None:
        """Drop the connection; no-op for UDP."""

    def rest(seconds: float) -> None:
        """Read nothing more from the connection for so long; no-op for UDP."""

    def prove(user: str) -> bool:
        """That ``user@domain`` has shown its password by the connection; whether it keeps its place for it."""

    def unsaid() -> None:
        """Forget the last message as a sign of life: it couldn't be read."""


class IDigestGuard(Interface):
    """A guard that counts wrong passwords."""

    def is_barred(host: str, user: str, flow: Flow | None = None) -> bool:
        """Whether credentials of that ``user@realm`` from there aren't to be looked at; a flow that proved that user isn't meant."""

    def refuses_password(host: str, user: str, flow: Flow | None = None) -> bool:
        """The same, and also when everything from there is shut out."""

    def right(host: str, user: str, flow: Flow | None = None) -> None:
        """A request from there proved that user's password, and that somebody is there."""

    def wrong(host: str, user: str) -> None:
        """A request that surely came from there had a wrong password or a user that doesn't exist."""


class IMessageSink(Interface):
    """The sink of transports' messages. Synchronous; never raises."""

    def received(data: bytes, flow: Flow) -> None:
        """One datagram, one framed stream message or one WebSocket message (never a keepalive)."""

    def broken(data: bytes, flow: Flow, error: Exception) -> None:
        """A stream lost its frame (FramingError): answer if it can be answered; the transport closes afterwards."""

    def opened(flow: Flow) -> None:
        """A connection is usable."""

    def closed(flow: Flow, reason: str) -> None:
        """The connection is gone."""


class IFlowTable(Interface):
    """Live flows."""

    def by_token(token: str) -> Flow | None:
        """The live connection with that token."""

    def by_address(transport: str, host: str, port: int) -> Flow | None:
        """A live connection (or a known UDP pair) to that peer address."""

    def connect(hop: Hop, cause: str = "") -> Deferred[Flow]:
        """A flow to that hop: a live one is reused; UDP at once; TCP and TLS by connecting. Never WS/WSS: fails
        with NoRoute."""

    def alias(flow: Flow, port: int) -> None:
        """A request over TLS had ``alias`` in its Via: requests to that port of the peer may go by its connection (RFC 5923)."""

    def udp(hop: Hop, listener_name: str = "") -> Flow | None:
        """The UDP flow to that hop without a Deferred; None when no UDP listener of its address family exists."""


class IResolver(Interface):
    """RFC 3263."""

    def numeric(host: str, port: int, transport: str, secure: bool) -> list[Hop] | None:
        """Hops without I/O where the host is an IP literal (or cached), else None.
        port 0 and transport '' mean not given; secure is a sips URI."""

    def resolve(host: str, port: int, transport: str, secure: bool) -> Deferred[list[Hop]]:
        """A non-empty list in RFC 3263 order, those that failed lately last; fails with NoRoute."""

    def failed(hop: Hop, seconds: float = 0.0) -> None:
        """That hop didn't answer: others are tried before it for a while; seconds 0 for the configured time."""


class INode(Interface):
    """This server among those that share its location table."""

    id: int = Attribute("[node] id, the column server_id of what it writes; 0 when it is alone.")

    def path(flow: Flow, cflags: int, until: float) -> str:
        """Column path of a binding that comes by a flow and lives until then (epoch seconds): the Route value by which
        others reach it through this node; "" where they need none."""

    def reaches(binding: Binding) -> bool:
        """Whether the node that holds another's binding can be reached, as far as is known."""


class ILocationFeed(Interface):
    """A listener to what others (sister nodes, a Kamailio on the same database) write into the location table."""

    def saved(bindings: list[Binding]) -> None:
        """Rows that somebody else wrote, as they are now."""

    def deleted(rows: list[tuple[str, str]]) -> None:
        """Rows that somebody else deleted, each as (address-of-record, ruid)."""

    def lost() -> None:
        """News may have been missed: the whole table has to be read again."""


class ILocationBackend(Interface):
    """The location table on disk."""

    def load(take: Callable[[list[Binding]], Any]) -> Deferred[int]:
        """All rows, expired ones included, oldest first, handed to ``take`` in chunks; when it returns a Deferred the next
        chunk waits for it. Fires with the number of rows."""

    def fetch(aor: str) -> Deferred[list[Binding]]:
        """The rows of one address-of-record as they are now, oldest first."""

    def write(changes: list[LocationChange]) -> Deferred[None]:
        """One batch in one transaction; idempotent."""

    def purge(before: float) -> Deferred[None]:
        """Delete the rows that expired before that epoch second: those of nodes that never came back."""

    def watch(feed: ILocationFeed) -> None:
        """Tell what others write from now on; a store that nobody else writes never does."""


class ILocationWriter(Interface):
    """The bounded queue in front of an ILocationBackend: group commit."""

    def put(changes: list[LocationChange]) -> Deferred[None]:
        """Queue changes, in order; fires when they are on disk. Fails with StorageBusy when the queue is full, with
        StorageError when the store refused."""

    def drain() -> Deferred[None]:
        """Fires when everything that was put before is written or has failed."""


class ICredentialStore(Interface):
    """Users' secrets with a cache in front."""

    outage_seconds: float = Attribute("How long a credential stays good beyond its time while the store is away, seconds.")
    outdated: int = Attribute("How often one was used so.")
    unserved: int = Attribute("How often a user wasn't known while the store was away, and so had to be refused.")

    def cached(username: str, domain: str) -> Credential | None:
        """The credential, or None when the user is known not to exist; raises KeyError when not looked up yet."""

    def fetch(username: str, domain: str) -> Deferred[Credential | None]:
        """Look up and fill the cache."""


class IStorage(Interface):
    """One store: SQLite, PostgreSQL, memory."""

    location: ILocationBackend = Attribute("ILocationBackend")
    credentials: ICredentialStore = Attribute("ICredentialStore")
    presence: IPresenceBackend = Attribute("IPresenceBackend")
    degraded: str = Attribute("Why nothing can be stored now, for people; '' when all is well.")
    waiting: int = Attribute("Statements that were given to it and haven't ended.")

    def preflight() -> None:
        """Before the reactor runs, so it may wait: raises StorageError when the start makes no sense and says what to do."""

    def open() -> Deferred[None]:
        """Create or upgrade the schema."""

    def close() -> Deferred[None]:
        """After the last write."""

    def list_users(domain: str) -> Deferred[list[str]]:
        """Names of the domain's users, sorted."""


class IStorePlugin(Interface):
    """Stores of a URL's scheme, from a plugin (``sipnode.stores``): ``[storage] url = "NAME:…"`` chooses it."""

    name: str = Attribute("The scheme, lower case.")

    def make(url: str, state_dir: str, reactor: Any, cache_seconds: float, node_id: int) -> IStorage:
        """A store that isn't open yet; nothing is written here.

        Args:
            url: ``[storage] url`` as it stands; it may hold a secret, which isn't for errors or the log.
            state_dir: Folder that a relative path starts at.
            reactor: Threads, sockets, clock.
            cache_seconds: ``[auth] cache_seconds``.
            node_id: ``[node] id``.

        Raises:
            ConfigError: a URL that can't be.
        """


class ICredentialBackend(Interface):
    """Where secrets of users come from, in the store's place. The server keeps a cache in front of it, so that a backend that is away
    means what a database that is away means: who was known stays so for ``[auth] outage_seconds``, others get 503."""

    def look_up(users: list[tuple[str, str]]) -> Deferred[dict[tuple[str, str], Credential | Exception]]:
        """Secrets of distinct users, each ``(username, domain)``, at most a hundred.

        One look-up at a time is asked for; users that come meanwhile are asked for together by the next, so it has to end: set a time
        limit. Fires with those that exist; a StorageError in a place says that this one couldn't be looked up. Fails with StorageError
        when none could.
        """

    def close() -> Deferred[None]:
        """The server stops: let go of connections. Never fails."""


class ICredentialsPlugin(Interface):
    """Credential backends from a plugin (``sipnode.credentials``): ``[auth] backend = "NAME"`` chooses it."""

    name: str = Attribute("What [auth] backend calls it.")

    def make(url: str, reactor: Any) -> ICredentialBackend:
        """A backend.

        Args:
            url: ``[auth] backend_url``; it may hold a secret, which isn't for errors or the log.
            reactor: Sockets and clock.

        Raises:
            ConfigError: a URL that can't be; its key is ``auth.backend_url``.
        """


class IMediaRelay(Interface):
    """A set of media nodes."""

    enabled: bool = Attribute("False when no node is configured: SDP passes untouched.")

    def choose(call_id: str) -> str:
        """Name of the node that a new call takes ([0-9A-Za-z_.-]); '' when none is up."""

    def place(name: str) -> str:
        """That node as the configuration has it, for people; '' for none."""

    def offer(key: MediaKey, sdp: bytes, profile: MediaProfile) -> Deferred[bytes]:
        """SDP for the callee side; fails with MediaError."""

    def answer(key: MediaKey, sdp: bytes, profile: MediaProfile) -> Deferred[bytes]:
        """SDP for the side that offered; fails with MediaError."""

    def delete(key: MediaKey) -> Deferred[None]:
        """End a call, or one branch of it (via_branch), or one dialog (both tags); never fails, logs."""


class IMediaSets(Interface):
    """A media relay whose nodes are in sets that a script chooses from, as Kamailio's."""

    def choose_in(call_id: str, number: int) -> str:
        """As ``IMediaRelay.choose``, among the nodes of a set; raises ConfigError where nobody is in it."""


class IMediaCommands(Interface):
    """A media relay that takes rtpengine's commands about calls that are up."""

    def command(key: MediaKey, command: dict[str, Any]) -> Deferred[dict[bytes, Any]]:
        """Send one to the node of a call, and have its reply; fails with MediaError."""


class IRelayPlugin(Interface):
    """Media relays from a plugin (``sipnode.relays``): ``[media] relay = "NAME"`` chooses it."""

    name: str = Attribute("What [media] relay calls it.")

    def make(settings: MediaSettings, reactor: Any) -> IMediaRelay:
        """A relay; where it provides Twisted's IService too, it is started and stopped with the server.

        Args:
            settings: ``[media]``; ``nodes`` are addresses of the relay's own kind.
            reactor: Sockets and clock.

        Raises:
            ConfigError: a setting that can't be, with its key.
        """


class IRequest(Interface):
    """One request on its way through the routing script."""

    request: SipRequest = Attribute("As received; never mutated.")
    flow: Flow = Attribute("Where it came from.")
    now: float = Attribute("Epoch seconds at arrival.")
    identity: str = Attribute("'user@domain' that proved itself, or ''.")
    flags: int = Attribute("routing.verdict.Flag bits.")
    domain_is_local: Any = Attribute("callable(host: str) -> bool")

    def blame(rule: str) -> None:
        """Name the rule by which the request is about to be refused, for the line about its call and for a counter (``refused_RULE``)."""

    def reply(status: int, reason: str = "", headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> Any:
        """Answer, statelessly before a transaction exists, statefully after. Returns Verdict.REPLIED."""


class IRequestStage(Interface):
    """A routing stage from a plugin (``sipnode.stages``); it runs only when ``[routing] stages`` names it."""

    name: str = Attribute("Route name, lower case.")
    after: tuple[str, ...] = Attribute("Stages that come before it.")
    before: tuple[str, ...] = Attribute("Stages that come after it.")
    methods: frozenset[str] | None = Attribute("Methods that it is for, or None for all.")

    def process(ctx: Any) -> Any:
        """Take a :class:`sipnode.routing.Request`; give None to go on, a Verdict to stop, or an awaitable of either; may raise Reject."""


class IRpcCommands(Interface):
    """Methods of the RPC from a plugin (``sipnode.rpc``); they are there only when ``[rpc] plugins`` names it."""

    name: str = Attribute("What [rpc] plugins calls it.")

    def methods(core: Any) -> Mapping[str, Callable[..., Any]]:
        """Callables by ``family.method``, made once for a server.

        Parameters and result are checked by their annotations (str, int, float, bool, None, list, dict, TypedDict and unions of
        them), the help is the docstring; a Deferred is waited for, RpcError is the answer of a call that is refused.
        """


class IRoutingScript(Interface):
    """The routing policy."""

    REQUEST_ROUTE: tuple[str, ...] = Attribute("Stage names in order.")

    def manage_branch(branch: Any) -> Any:
        """branch_route: before a branch is sent; may return a Deferred."""

    def manage_reply(branch: Any, response: SipResponse) -> Any:
        """onreply_route[MANAGE_REPLY]: each 1xx/2xx of a branch, in order; may return a Deferred."""

    def branch_failure(branch: Any, response: SipResponse) -> None:
        """A branch ended >= 300; may call branch.retry()."""

    def manage_failure(fork: Any) -> Any:
        """failure_route: all branches failed; may call fork.add_targets()."""

    def onreply_route(response: SipResponse, flow: Flow) -> bool:
        """Every reply, before matching; False drops it."""

    def presence_policy(watcher: str, resource: str, event: str) -> str | None:
        """Whether a watcher may watch a resource (both ``user@host``) by that event package: 'active', 'pending', 'rejected', or None to
        leave it to the settings. Asked where the resource's user hasn't decided.
        """

    def xhttp_request(http: Any) -> int | None:
        """HTTP on a WebSocket port: a status code to refuse, None to go on."""

    def websocket_closed(flow: Flow) -> None:
        """After the flow left the table."""


class IPresenceSources(Interface):
    """The server as an event package may use it."""

    def now() -> float:
        """Epoch seconds."""

    def bindings(aor: str) -> list[Binding]:
        """Registrations of an address-of-record (``user@host``) that haven't expired, best first; lost ones among them."""

    def is_reachable(binding: Binding) -> bool:
        """Whether a request would get to that registration now."""

    def gone(aor: str) -> list[tuple[str, Binding]]:
        """Registrations that ended in the last seconds, with the registrar's word for it: 'unregistered', 'expired', 'closed', 'removed'.
        Only of one that is watched.
        """

    def calls(aor: str) -> list[PartyCall]:
        """Calls that an address-of-record takes part in, oldest first, then those that ended in the last seconds. Also calls of other
        nodes and of before a restart, as long as it is watched.
        """

    def published(resource: str, event: str) -> list[Publication]:
        """Publications that haven't expired, oldest first."""

    def watchers(resource: str, event: str) -> list[Watcher]:
        """Watchers of a resource by that package, pending and waiting ones included."""


class IEventPackage(Interface):
    """An event package (RFC 6665 §5), ours or a plugin (``sipnode.packages``). Only those that ``[presence] packages`` names are used.

    One object serves all resources; what it keeps must be bounded. A resource is a canonical ``user@host``.
    """

    name: str = Attribute("Value of Event, lower case: 'presence', 'presence.winfo'.")
    default_expires: int = Attribute("Seconds of a SUBSCRIBE or PUBLISH without Expires.")
    content_types: tuple[str, ...] = Attribute("Types of documents that state() makes, lower case; the first for who sends no Accept.")
    publish_types: tuple[str, ...] = Attribute("Types that PUBLISH may bring, () where nothing can be published (489).")
    follows: frozenset[str] = Attribute("Besides publications, what changes its states: of 'bindings', 'calls', 'watchers'.")
    own_only: bool = Attribute("Only the resource's own user may subscribe, whatever the policy says (winfo, mailboxes).")
    personal: bool = Attribute("state() depends on the watcher; where it doesn't, one document serves all.")
    private: bool = Attribute("state() tells its owner, and who may pick up its calls, more than others; False where it is left out.")
    versioned: bool = Attribute("state() depends on version.")
    hold_seconds: float = Attribute("Least seconds between NOTIFYs of a subscription in the long run; -1 for [presence] notify_seconds.")

    def start(sources: IPresenceSources) -> None:
        """Called once, before everything else."""

    def refusal(resource: str, watcher: str) -> tuple[int, str] | None:
        """(status, reason) that answers a SUBSCRIBE to this resource, as 404 "No voicemail service"; None to take it."""

    def check(body: bytes, content_type: str) -> Any:
        """Read a published body.

        Args:
            content_type: Lower case, without parameters; one of publish_types.

        Returns:
            Anything, or None: it is kept as ``Publication.parsed`` with the publication (but not stored: after a restart it is
            None, and ``check(publication.body, publish_types[0])`` makes it again).

        Raises:
            ParseError: 400 for a document that isn't one, 415 for an encoding or type that isn't taken.
        """

    def source(parsed: Any) -> str:
        """Which device a body is of, where it says so by a name that no other has; "" where it doesn't (and where this is left out).

        A new publication takes the place of one of the same sender and source: a device that was started anew knows no entity-tag.

        Args:
            parsed: What check() made of it, None for nothing.
        """

    def state(resource: str, watcher: str, publications: list[Publication], version: int, content_type: str) -> bytes:
        """The whole state of a resource now. It never raises.

        Args:
            watcher: Canonical ``user@host``; "" where personal is False. Where private is True the resource for who may see all, else "".
            publications: Those that haven't expired, oldest first.
            version: Of the document for this subscription: 0 first, rises by 1 (by more after a restart or a lost document).
            content_type: One of content_types.

        Returns:
            The document; b"" for none, which goes out without Content-Type.
        """


class IPresenceFeed(Interface):
    """A listener to what others (sister nodes, a Kamailio on the same database) write into the presence tables."""

    def published(resource: str, event: str, publications: list[Publication]) -> None:
        """All publications of a resource as they are now."""

    def decided(resource: str, watchers: list[Watcher]) -> None:
        """All that a resource decided about those who watch it, as it is now."""

    def subscribed(subscriptions: list[Subscription]) -> None:
        """Rows that somebody else wrote, as they are now."""

    def unsubscribed(to_tags: list[str]) -> None:
        """Rows that somebody else deleted."""

    def lost() -> None:
        """News may have been missed: all tables have to be read again."""


class IPresenceBackend(Interface):
    """The tables presentity, active_watchers and watchers on disk."""

    def load_publications(take: Callable[[list[Publication]], Any]) -> Deferred[int]:
        """All rows, oldest first, in chunks; when ``take`` returns a Deferred the next chunk waits for it."""

    def load_subscriptions(take: Callable[[list[Subscription]], Any]) -> Deferred[int]:
        """The same of active_watchers."""

    def load_watchers(take: Callable[[list[Watcher]], Any]) -> Deferred[int]:
        """The same of watchers: what presentities decided about those who watch them."""

    def write(changes: list[PresenceChange]) -> Deferred[None]:
        """One batch in one transaction; idempotent."""

    def purge(before: float) -> Deferred[None]:
        """Delete publications and subscriptions that expired before that epoch second."""

    def watch(feed: IPresenceFeed) -> None:
        """Tell what others write from now on; a store that nobody else writes never does."""


# Native classes, which the compiler doesn't let carry a declaration of their own.
classImplements(base.Listener, IListener)
classImplements(base.Flow, IFlow)
classImplements(base.MessageSink, IMessageSink)
classImplements(DigestGuard, IDigestGuard)
classImplements(Request, IRequest)
classImplements(FlowTable, IFlowTable)
classImplements(Resolver, IResolver)
