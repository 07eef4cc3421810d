"""Every setting: section, name, type, default, meaning. The one table that `config.py` reads a file against.

Each dataclass is a section of ``sipnode.toml``; rooms take their own section as constructor argument. Pure data.
Times are seconds, sizes octets, unless the name says otherwise.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final


def setting(
    default: Any,
    meaning: str,
    *,
    choices: tuple[Any, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    secret: bool = False,
    form: str = "text",
) -> Any:
    """A field with its default, one line of meaning, and its bounds as metadata.

    A list default makes a tuple field. ``secret`` masks the value wherever settings are shown. ``form`` is what a text, or each of a
    list, has to be like (:mod:`sipnode.forms`); an empty default may be left empty whatever the form.
    """
    metadata = {"meaning": meaning, "choices": choices, "minimum": minimum, "maximum": maximum, "secret": secret, "form": form}
    if isinstance(default, list):
        return field(default=tuple(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """[core]"""

    domains: tuple[str, ...] = setting([], "Domains that are ours; every address we listen on or advertise is ours too.", form="domain")
    listen: tuple[str, ...] = setting(
        ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060", "ws:127.0.0.1:8080"],
        "Listeners, 'udp|tcp|tls|ws|wss:ADDRESS:PORT [advertise HOST[:PORT]|auto] [proxy_protocol]'; IPv6 in brackets.",
    )
    advertise: str = setting(
        "",
        "'auto': listeners without an 'advertise' of their own find the address that others reach them at, when the server starts.",
        choices=("", "auto"),
    )
    stun_server: str = setting(
        "", "HOST[:PORT] of a STUN server that says what 'auto' is, behind 1:1 NAT; empty: the machine's own route does.", form="hostport"
    )
    cloud_metadata: str = setting(
        "", "Whose metadata service says what 'auto' is: 'ec2' (and OpenStack) or 'gce'; empty: nobody asks it.", choices=("", "ec2", "gce")
    )
    server: str = setting("sipnode", "Server header of our own responses; empty for none.")
    max_forwards: int = setting(70, "Max-Forwards given to requests that have none.", minimum=1, maximum=255)
    state_dir: str = setting("", "Folder for the database and the server's secret; empty: the conf folder.")
    stop_seconds: float = setting(
        5.0,
        "A stop takes so long at most: new calls get 503 at once, those that ring may be answered meanwhile, else get it too; 0: at once.",
        minimum=0,
        maximum=3600,
    )
    drain_seconds: float = setting(
        32.0, "Within stop_seconds, it waits so long for what has begun; 0: not at all.", minimum=0, maximum=3600
    )
    drain_calls: bool = setting(False, "It waits for the end of calls that are up, too; false: they go on, and the next process has them.")


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """[limits]"""

    message_bytes: int = setting(65536, "Largest message; over it 513.", minimum=1024, maximum=1048576)
    header_lines: int = setting(128, "Most header lines of a message; over it 513.", minimum=16, maximum=10000)
    line_bytes: int = setting(8192, "Longest header line; over it 513.", minimum=256, maximum=65536)
    via_values: int = setting(64, "Most Via values of a message; over it 513.", minimum=4, maximum=1000)
    partial_seconds: float = setting(10.0, "A partial message on a stream older than this closes it.", minimum=1)
    connections: int = setting(20000, "Most open connections in all.", minimum=1)
    connections_per_source: int = setting(1000, "Most open connections of one source address.", minimum=1)
    handshakes_per_source: int = setting(200, "Most of them that haven't said anything yet.", minimum=1)
    outgoing: int = setting(5000, "Most connections that we open, in all; never more than half of connections.", minimum=1)
    outgoing_per_user: int = setting(100, "Most that we open for one user, or one source without a user; over it 503.", minimum=1)
    write_buffer_bytes: int = setting(1048576, "A peer that lets more than this pile up is disconnected.", minimum=65536)
    transactions: int = setting(200000, "Most live transactions; over it new requests get 503.", minimum=100)
    pending_per_call_id: int = setting(100, "Most requests of one Call-ID that wait for their answer; over it 503.", minimum=2)
    pending_per_callee: int = setting(2000, "Most calls that ring at one address-of-record; over it 486.", minimum=1)
    strangers_per_callee: int = setting(
        20, "Most of them from strangers: nobody has proved to be a user of ours, nor is trusted.", minimum=0
    )
    strangers_per_source: int = setting(
        100, "Most calls that ring for strangers of one source address (IPv6: /64); over it 503.", minimum=0
    )
    strangers: int = setting(500, "Most calls that ring for strangers in all; over it 503.", minimum=0)


@dataclass(frozen=True, slots=True)
class TransactionSettings:
    """[transaction] RFC 3261 §17, table 4"""

    t1: float = setting(0.5, "Round-trip estimate.", minimum=0.01, maximum=10)
    t2: float = setting(4.0, "Cap of retransmission intervals of non-INVITE requests and INVITE responses.", minimum=0.1)
    t4: float = setting(5.0, "How long a message stays in the network.", minimum=0.1)
    timeout: float = setting(32.0, "Timers B, F, H, L, M (64*T1); Kamailio's fr_timer.", minimum=1, maximum=600)
    invite_timeout: float = setting(180.0, "Timer C: a ringing branch is cancelled after it; Kamailio's fr_inv_timer.", minimum=1)


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """[transport]"""

    hosts: tuple[str, ...] = setting(
        [], "Further names that a WebSocket handshake's Host may carry, beside domains and listeners.", form="domain"
    )
    origins: tuple[str, ...] = setting(
        ["http://127.0.0.1:*", "http://localhost:*", "self"],
        "Origins that may open a WebSocket: 'scheme://host:port', '*' as port for any, 'self' for the page's own host, '*' for all.",
        form="origin",
    )
    require_origin: bool = setting(False, "Refuse a WebSocket handshake without an Origin header (browsers always send one).")
    ping_interval: float = setting(30.0, "WebSocket ping; two misses close.", minimum=1)
    handshake_seconds: float = setting(
        10.0, "Limit for TLS, first line and whole WebSocket handshake or first HTTP request together, and for each later one.", minimum=1
    )
    silent_seconds: float = setting(30.0, "A connection by which nothing valid came in this time is closed.", minimum=1, maximum=3600)
    idle_seconds: float = setting(
        3604.0, "A connection without traffic is closed after it (the seed's tcp_connection_lifetime).", minimum=10
    )
    connect_seconds: float = setting(5.0, "Limit for an outgoing connection.", minimum=0.1)
    udp_receive_buffer: int = setting(4194304, "SO_RCVBUF of UDP sockets.", minimum=65536)
    proxies: tuple[str, ...] = setting(
        [],
        "Addresses or networks of our own proxies (HAProxy, nginx): they are believed whom they speak for, by X-Forwarded-For or Forwarded,"
        " or by the PROXY protocol on listeners with proxy_protocol.",
        form="network",
    )
    forwarded: str = setting(
        "any",
        "The header that they write: 'x-forwarded-for', 'forwarded', 'any' for the first of the two that is there, or 'none'.",
        choices=("any", "x-forwarded-for", "forwarded", "none"),
    )


@dataclass(frozen=True, slots=True)
class TLSSettings:
    """[tls]"""

    config: str = setting("../tls/tls.cfg", "File in Kamailio's tls.cfg format; relative to the conf folder.")
    watch_seconds: float = setting(
        10.0, "Between two looks whether one of its files has changed, which is then used; 0 for none.", minimum=0
    )


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """[routing]"""

    script: str = setting("", "'module.Class' of a RoutingScript subclass in the conf folder; empty: the script in the package.")
    watch_seconds: float = setting(
        0.0, "Between two looks whether the script's file has changed, which is then loaded as routing.reload does; 0 for none.", minimum=0
    )
    stages: tuple[str, ...] = setting([], "Plugin stages that run, by name; an installed stage that isn't named doesn't.")


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """[auth]"""

    enabled: bool = setting(True, "Digest authentication of REGISTER and of requests from local users.")
    algorithms: tuple[str, ...] = setting(["SHA-256", "MD5"], "Offered in this order.", choices=("SHA-256", "MD5"))
    md5_only: tuple[str, ...] = setting(
        [],
        "Exceptions to sha256_agents: beginnings of User-Agents that are offered MD5 alone all the same.",
        form="part",
    )
    sha256_agents: tuple[str, ...] = setting(
        ["PJSUA", "PJSIP", "MicroSIP", "Linphone", "belle-sip", "baresip v3", "baresip v4"],
        "Beginnings of User-Agents that are known to handle RFC 8760 and are offered every algorithm; others are offered MD5 alone.",
        form="part",
    )
    nonce_expire: float = setting(300.0, "Age at which a nonce turns stale.", minimum=5)
    nonce_table: int = setting(50000, "Nonces whose count is remembered; the oldest are forgotten first.", minimum=100)
    calculate_ha1: bool = setting(True, "Use the password column where it is filled; false: only the ha1 columns (auth_db calculate_ha1).")
    lenient_uri: bool = setting(False, "Accept a digest uri of another user or host than the Request-URI's (old phones behind proxies).")
    foreign_from: bool = setting(False, "A user who proves its password may show a From of another domain; false: 403.")
    cache_seconds: float = setting(60.0, "How long a credential is answered from memory.", minimum=0)
    backend: str = setting(
        "store", "Where secrets of users are looked up: in the 'store', or by a plugin of this name (sipnode.credentials)."
    )
    backend_url: str = setting("", "What that plugin works with, in its own form.", secret=True)
    outage_seconds: float = setting(
        3600.0,
        "How long after that a credential that was good stays good while its store is away; 0: not at all.",
        minimum=0,
        maximum=604800,
    )
    trusted: tuple[str, ...] = setting(
        [], "Addresses or networks whose requests need no digest (trunks), e.g. '192.0.2.0/24'.", form="network"
    )
    trusted_peers: tuple[str, ...] = setting(
        [],
        "Domains that need no digest: a TLS peer whose certificate, verified by tls.cfg, stands for one of them (RFC 5922).",
        form="domain",
    )


@dataclass(frozen=True, slots=True)
class LocationSettings:
    """[location] the registrar and its table"""

    db_mode: int = setting(
        1,
        "0 memory only; 1 write-through: a 200 goes out when its change is on disk; 2 write-back every flush_seconds: faster, and"
        " what was acknowledged since is lost with the process; 3 no table in memory: each REGISTER and call asks the database;"
        " 4 read at the start, never written.",
        choices=(0, 1, 2, 3, 4),
    )
    flush_seconds: float = setting(5.0, "With db_mode 2: between two times of writing.", minimum=0.1, maximum=3600)
    on_outage: str = setting(
        "reject",
        "REGISTER while the database takes no writes: 'reject' with 503, or 'accept' into the queue, which a kill -9 loses.",
        choices=("reject", "accept"),
    )
    default_expires: int = setting(3600, "Seconds given to a contact that asks for none.", minimum=1)
    min_expires: int = setting(60, "Shorter ones get 423.", minimum=0)
    max_expires: int = setting(3600, "Longer ones are cut to it.", minimum=1)
    min_expires_mode: str = setting(
        "reject", "What a shorter one gets: 'reject' 423, 'raise' silently (Kamailio's default).", choices=("reject", "raise")
    )
    max_contacts: int = setting(10, "Most contacts of an address-of-record.", minimum=1)
    max_contacts_mode: str = setting("reject", "At the limit: 'reject' with 503, or 'drop_oldest'.", choices=("reject", "drop_oldest"))
    cseq_delay: float = setting(20.0, "An equal CSeq within it counts as a repeat of the same REGISTER.", minimum=0)
    use_domain: bool = setting(True, "Keep users of different domains apart.")
    method_filtering: bool = setting(True, "Look up only contacts whose Allow has the method.")
    path: str = setting(
        "users",
        "Whose REGISTER may have the Path of an edge proxy (RFC 3327): that of all 'users', of 'trusted' addresses ([auth] trusted), or of 'none'.",
        choices=("users", "trusted", "none"),
    )
    service_route: tuple[str, ...] = setting(
        [],
        "Service-Route of each 200 to a REGISTER (RFC 3608), such as '<sip:edge.example.com;lr>': the way of what the user sends.",
        form="route",
    )
    outbound: str = setting(
        "strict",
        "A contact with reg-id (RFC 5626) whose first proxy has no ob in its Path: 'strict' refuses it with 439, 'lenient' takes it as one"
        " without reg-id.",
        choices=("strict", "lenient"),
    )
    gruu: bool = setting(True, "Devices that know GRUUs (RFC 5627) get a public and a temporary one: URIs that lead to this device alone.")
    flow_timer: int = setting(
        120, "Flow-Timer: in how many seconds a device with reg-id is to send its next keepalive; 0 says nothing.", minimum=0, maximum=3600
    )
    batch_seconds: float = setting(
        0.025,
        "Under load REGISTERs of this window are handled in one go, and their changes are one transaction of the database: each waits so long"
        " for others. While few come nobody waits. 0: never, which costs three times as much.",
        minimum=0,
        maximum=1,
    )
    queue: int = setting(100000, "Most changes waiting for the database; over it REGISTER gets 503.", minimum=10)


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """[storage]"""

    url: str = setting(
        "sqlite:sipnode.sqlite",
        "'sqlite:FILE' (relative to state_dir), 'postgres://user:password@host/database', 'memory:', or a plugin's scheme (sipnode.stores).",
        secret=True,
    )


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """[node] this server among those that share a database: sister nodes, a Kamailio"""

    id: int = setting(
        0, "Number of this node, no other's on the database (Kamailio's server_id); 0: it is alone.", minimum=0, maximum=2147483647
    )
    address: str = setting(
        "", "'HOST:PORT[;transport=udp|tcp|tls]', one of our listeners, where the others reach this node's browsers; empty: not at all."
    )
    secret: str = setting("", "The same on all nodes, at least 32 characters; needed with address.", secret=True)
    ping_seconds: float = setting(1.0, "Between two questions whether a sister node is there.", minimum=0.1, maximum=60)
    lost_seconds: float = setting(3.0, "A node that is silent for so long isn't used until it answers again.", minimum=0.2, maximum=60)


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """[edge] this server in front of another registrar: browsers and phones of its domains sign in through us"""

    domains: tuple[str, ...] = setting([], "Domains, none of them ours, whose REGISTERs and calls go on to the registrar.", form="domain")
    registrar: str = setting("", "'HOST:PORT[;transport=udp|tcp|tls]' of the registrar of those domains; empty: we are no edge.")


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """[proxy]"""

    fork: str = setting("parallel", "'parallel' all contacts at once, or 'serial' by q.", choices=("parallel", "serial"))
    max_branches: int = setting(12, "Most branches of a request (Kamailio MAX_BRANCHES).", minimum=1, maximum=100)
    udp_mtu: int = setting(
        1300, "A larger request to a resolved foreign host goes by TCP where it can (RFC 3261 18.1.1); 0 never.", minimum=0
    )
    foreign: str = setting("users", "Who may call foreign domains: 'users' authenticated local ones, or 'none'.", choices=("users", "none"))
    next_host_seconds: float = setting(
        2.0,
        "An INVITE to a domain with several hosts goes to the next when one has said nothing for so long; other requests after four times.",
        minimum=0.1,
        maximum=32,
    )
    redirects: int = setting(
        0,
        "When a callee redirects (302), call there at once, so many contacts of a call at most, instead of telling the caller: users of ours,"
        " and for users of ours foreign domains too. 0: the caller is told.",
        minimum=0,
        maximum=10,
    )
    failed_target_seconds: float = setting(30.0, "How long an address that failed isn't tried.", minimum=0)
    strangers: tuple[str, ...] = setting(
        ["INVITE", "MESSAGE", "OPTIONS", "NOTIFY/message-summary"],
        "Methods outside of calls, METHOD or METHOD/EVENT, that who is neither a user of ours nor trusted may send to our users; others get 403. 'any' for all.",
        form="method",
    )
    anonymous: bool = setting(True, "Strangers may call without a name (From anonymous@anonymous.invalid); false: 433.")
    auto_answer: str = setting(
        "trusted",
        "Whose headers that make a phone answer by itself (Alert-Info, Answer-Mode, Call-Info answer-after) go on: of 'trusted' addresses"
        " alone, or of 'users' too.",
        choices=("trusted", "users"),
    )
    destinations: tuple[str, ...] = setting(
        ["interfaces"],
        "Private addresses that may be sent to because a message names them: networks, 'ADDRESS:PORT', 'interfaces' for the private networks"
        " that a listener is in, 'private' for all of them. Loopback is only what is named here, or what a peer on loopback names.",
        form="destination",
    )

    def strangers_may(self, method: str, event: str | None) -> bool:
        """Whether ``strangers`` has a method for an Event (its value as it came), or anything at all."""
        package = (event or "").partition(";")[0].strip().lower()
        return "any" in self.strangers or f"{method}/{package}" in self.strangers


@dataclass(frozen=True, slots=True)
class DialogSettings:
    """[dialog]"""

    track: str = setting(
        "all",
        "Which calls are known by dlg.list and in metrics: 'all', or only those with a 'browser' on an end.",
        choices=("all", "browser"),
    )
    max_calls: int = setting(200000, "Most calls that are kept track of; more pass unseen and are counted.", minimum=10)
    calls_per_user: int = setting(
        0, "Most calls at once that a user of ours begins; over it 403. 0 for any number; needs track = 'all'.", minimum=0
    )
    max_seconds: float = setting(
        43200.0, "A call of which nothing was heard for so long is forgotten (Kamailio's default_timeout).", minimum=60
    )
    lost_flow_seconds: float = setting(
        4.0, "A browser whose connection is gone has so long to come back; then its calls get BYE.", minimum=0, maximum=300
    )


@dataclass(frozen=True, slots=True)
class NatSettings:
    """[nat]"""

    uac_test: int = setting(
        19,
        "nat_uac_test mask: 1 private Contact, 2 Via address differs, 8 private SDP, 16 Via port differs, 64 WebSocket …",
        minimum=0,
        maximum=511,
    )
    contact_alias: bool = setting(True, "Put ;alias=ip~port~proto into the Contact of natted and WebSocket senders.")
    natping_interval: float = setting(30.0, "OPTIONS to natted UDP bindings; 0 for none.", minimum=0)
    keep_seconds: int = setting(
        30, "A sender with keep in its Via (RFC 6223) is told to send a keepalive every so many seconds; 0: nothing.", minimum=0, maximum=3600
    )
    keepalive_timeout: float = setting(
        90.0, "A natted binding that has answered a ping before and then none for so long is removed; 0 never.", minimum=0
    )
    rules: tuple[str, ...] = setting(
        ["agent Cisco-CP79: via-port"],
        "Phones that are otherwise, the first that fits: 'agent BEGINNING: WORDS' or 'network ADDRESS/LENGTH: WORDS', with via-port (without"
        " rport in its Via, answers and calls go to the port that this names), natted, direct (never natted), no-ping.",
        form="natrule",
    )


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """[media]"""

    relay: str = setting("rtpengine", "What relays media: 'rtpengine', or a plugin of this name (sipnode.relays).")
    nodes: tuple[str, ...] = setting(
        [], "rtpengine ng addresses 'HOST:PORT [weight N] [set N]'; none: SDP passes untouched. A plugin's relay has addresses of its own form."
    )
    engage: str = setting(
        "always", "'always' relays every call; 'mixed' only those between a browser and a phone or behind NAT.", choices=("always", "mixed")
    )
    timeouts: tuple[float, ...] = setting([0.3, 0.6, 1.2], "Waits for an answer before each retransmission and for the last.")
    disable_seconds: float = setting(60.0, "A node that didn't answer isn't used for so long, or until a ping is answered.", minimum=1)
    ping_seconds: float = setting(1.0, "Between two pings of a node; an answer brings one back that was down.", minimum=0.5)
    lost_seconds: float = setting(
        15.0,
        "A node that has answered nothing for so long is lost: calls that are still on it are ended with BYE and a Reason. 0: never.",
        minimum=0,
    )
    on_lost: str = setting(
        "move",
        "Calls whose node is silent, or was started anew and knows them no more: 'move' offers their media to both ends anew, 'end' doesn't.",
        choices=("move", "end"),
    )
    on_error: str = setting(
        "reject", "A call that no node serves: 'reject' it, or 'bypass' passes its SDP untouched.", choices=("reject", "bypass")
    )
    media_address: str = setting("", "media-address for the daemon; empty: it decides.", form="literal")
    interfaces: tuple[str, ...] = setting(
        [],
        "Which of the daemon's interfaces each end talks to, 'NAME WHAT...', the first line that fits: WHAT is udp, tcp, tls, ws, wss, "
        "a network, or all. None: the daemon decides.",
    )
    call_key: str = setting(
        "own",
        "How the daemon knows a call: by a name of our 'own' that nobody outside learns, or by its 'call-id', for tools that look there.",
        choices=("own", "call-id"),
    )
    record_call: bool = setting(False, "Ask the daemon to record each call.")
    flags: str = setting("", "Flag words of rtpengine, as 'strict-source TOS=184', laid over what is derived for each offer and answer.")
    sweep_seconds: float = setting(
        20.0, "Between two looks for calls of ours at the daemon that nobody owns, as after a kill -9; they are freed. 0: never.", minimum=0
    )
    delete_delay: int = setting(
        0, "Seconds that the daemon keeps the ports of a call that ended; -1: as its --delete-delay says.", minimum=-1
    )


@dataclass(frozen=True, slots=True)
class PresenceSettings:
    """[presence]"""

    packages: tuple[str, ...] = setting(
        ["presence", "presence.winfo", "dialog", "reg", "message-summary"],
        "Event packages that are served; installed ones that aren't named do nothing.",
    )
    policy: str = setting(
        "domain",
        "Who may watch whom where nobody decided: 'all', users of the same 'domain', or 'contacts', whom the presentity approved; others wait.",
        choices=("all", "domain", "contacts"),
    )
    dialog_policy: str = setting(
        "state",
        "What an unapproved watcher sees of calls: their 'state' alone, nothing until 'approved', or in 'full' with addresses and tags.",
        choices=("state", "approved", "full"),
    )
    min_expires: int = setting(30, "Shortest PUBLISH and SUBSCRIBE; below it 423.", minimum=1, maximum=3600)
    max_expires: int = setting(3600, "Longest PUBLISH and SUBSCRIBE; longer ones are cut.", minimum=60, maximum=86400)
    notify_seconds: float = setting(5.0, "A subscription gets a NOTIFY each so many seconds in the long run (RFC 3856 6.10).", minimum=0)
    notify_burst: int = setting(5, "So many may come faster before that counts.", minimum=1, maximum=1000)
    body_bytes: int = setting(16384, "Largest published document; over it 413.", minimum=256, maximum=1048576)
    publications: int = setting(16, "Most publications of one user and package; the oldest goes for a new one.", minimum=1, maximum=1000)
    subscriptions: int = setting(200000, "Most subscriptions in all; over it 503.", minimum=1)
    subscriptions_per_watcher: int = setting(2000, "Most subscriptions of one watcher; over it 403.", minimum=1)
    unanswered_per_watcher: int = setting(256, "Most of one watcher that wait for a first answer over UDP; over it 503.", minimum=1)
    unanswered_per_address: int = setting(256, "The same at one address, until that has answered; over it 503.", minimum=1)


@dataclass(frozen=True, slots=True)
class WebSettings:
    """[web] the HTTP side of the WebSocket ports"""

    softphone: bool = setting(True, "Serve the softphone page at /.")
    directory: bool = setting(True, "Let a signed-in user of the page list the users of its domain and who is online.")
    ice_servers: tuple[str, ...] = setting(
        [], "'stun:HOST:PORT' that the page asks for its own address; where rtpengine relays, it needs none.", form="stun"
    )


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """[turn] a TURN server (coturn with use-auth-secret) that the softphone page goes through where nothing else gets through"""

    uris: tuple[str, ...] = setting(
        [], "'turn:HOST:PORT?transport=udp', 'turns:…?transport=tcp'; signed-in users of the page get credentials for them.", form="turn"
    )
    secret: str = setting("", "Its static-auth-secret, at least 16 characters; needed with uris.", secret=True, form="token")
    seconds: int = setting(86400, "How long credentials are good; longer than a call.", minimum=600, maximum=604800)


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """[rpc] JSON-RPC: see and steer the server while it runs"""

    socket: str = setting("rpc.sock", "UNIX socket for the server's own user, relative to state_dir; empty for none.")
    listen: str = setting("", "'ADDRESS:PORT' of an HTTP listener (POST /RPC), best on loopback; empty for none.", form="address")
    allow: tuple[str, ...] = setting(
        ["127.0.0.0/8", "::1"], "Addresses or networks that may call over HTTP; others get 403.", form="network"
    )
    token: str = setting(
        "", "What HTTP callers show (Authorization: Bearer); empty: one made at random, in state_dir/rpc.token.", secret=True, form="token"
    )
    max_bytes: int = setting(1048576, "Largest request; over it 413.", minimum=1024, maximum=104857600)
    plugins: tuple[str, ...] = setting([], "Plugins that add methods, by name; an installed one that isn't named doesn't.")


@dataclass(frozen=True, slots=True)
class DefenceSettings:
    """[defence] against floods, scanners and guessed passwords; a source is an address, or a network where a prefix is shorter"""

    enabled: bool = setting(True, "Limit sources and shut out those that do ill.")
    trusted: tuple[str, ...] = setting(
        ["127.0.0.0/8", "::1/128"],
        "Addresses or networks of which nothing is counted; [auth] trusted and our own addresses are trusted too.",
        form="around",
    )
    rate: float = setting(200.0, "Messages a second of a source; what is over it is dropped (UDP) or gets 503.", minimum=1)
    burst: float = setting(2000.0, "Messages of a source at once after a rest: an office behind one address that comes back.", minimum=10)
    proved_factor: float = setting(
        10.0, "So many times as much for a source where a user proved a password lately.", minimum=1, maximum=1000
    )
    proved_seconds: float = setting(3600.0, "How long that counts.", minimum=1)
    flood_messages: int = setting(1000, "A source without users of ours that sends so many over its limit is shut out; 0 never.", minimum=0)
    failed_digests: int = setting(
        10, "Wrong passwords of a source within failed_seconds that shut it out; behind a source with users of ours, the user it guesses at; 0 never.",
        minimum=0,
    )  # fmt: skip
    failed_seconds: float = setting(60.0, "See failed_digests.", minimum=1, maximum=86400)
    ban_seconds: float = setting(600.0, "How long a source is shut out.", minimum=1, maximum=31536000)
    scanners: tuple[str, ...] = setting(
        ["friendly-scanner", "sipvicious", "sipcli", "sundayddr", "sip-scan", "pplsip", "VaxSIPUserAgent", "sivus"],
        "Parts of a User-Agent that shut a source out at its first message.",
        form="part",
    )
    transactions_per_source: int = setting(5000, "Live transactions of a source; more requests are dropped (UDP) or get 503.", minimum=10)
    sources: int = setting(65536, "Sources that are remembered; those heard of longest ago are forgotten first.", minimum=100)
    ipv4_prefix: int = setting(32, "Bits of an IPv4 address that make a source.", minimum=8, maximum=32)
    ipv6_prefix: int = setting(64, "Bits of an IPv6 address that make a source.", minimum=16, maximum=128)
    lag_seconds: float = setting(0.2, "When the process is so late, new calls get 503 until it isn't; 0 never.", minimum=0, maximum=60)
    lag_lasting: float = setting(2.0, "For so long it has to be late, or not late any more.", minimum=0, maximum=60)
    retry_after: int = setting(10, "Largest Retry-After of those 503s; each has a number of its own.", minimum=1, maximum=3600)


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """[metrics] /metrics, /healthz and /readyz"""

    enabled: bool = setting(True, "Serve them.")
    allow: tuple[str, ...] = setting(["127.0.0.0/8", "::1"], "Addresses or networks that may look; others need the token.", form="network")
    token: str = setting("", "What others show (Authorization: Bearer); empty: nobody else may look.", secret=True, form="token")
    listen: str = setting(
        "", "'ADDRESS:PORT' of an HTTP listener for them alone, beside the WebSocket ports or instead; empty for none.", form="address"
    )
    on_websocket_ports: bool = setting(True, "Show them on the WebSocket ports; false: only on listen.")


@dataclass(frozen=True, slots=True)
class ManholeSettings:
    """[manhole] a Python prompt inside the running server, over SSH with keys; needs the extra 'manhole'"""

    listen: str = setting("", "'ADDRESS:PORT' on loopback; empty for none.", form="address")
    authorized_keys: str = setting("authorized_keys", "File with the public keys that get in, as OpenSSH's; relative to the conf folder.")
    seconds: float = setting(1.0, "What is typed may run so long, as calls wait meanwhile; 0 for any time.", minimum=0, maximum=60)


@dataclass(frozen=True, slots=True)
class LogSettings:
    """[log]"""

    level: str = setting("info", "'debug', 'info', 'warn' or 'error'.", choices=("debug", "info", "warn", "error"))
    format: str = setting("text", "'text', or 'json': one object a line.", choices=("text", "json"))
    calls: str = setting(
        "failed",
        "The life of a call, a line for each step: 'all' as they come, 'failed' those of a call that failed, 'none'. Each call has one"
        " line about its outcome anyway.",
        choices=("failed", "all", "none"),
    )
    wire: bool = setting(False, "Log every message (secrets masked).")


@dataclass(frozen=True, slots=True)
class AccSettings:
    """[acc] accounting: one record for each call (CDR), also after kill -9; nothing is kept while neither tables, file nor webhook is wanted"""

    tables: bool = setting(
        False, "Write acc and missed_calls, Kamailio's tables: in PostgreSQL where [storage] has it, else in state_dir/acc.sqlite."
    )
    file: str = setting("", "A file with a line of JSON for each call, relative to state_dir; empty for none.", form="file")
    webhook: str = setting("", "A service that gets each record by POST, as 'https://…'; empty for none.", form="http")
    webhook_secret: str = setting("", "Signs what it gets (Sipnode-Signature, HMAC-SHA256); empty for no signature.", secret=True)
    queue: int = setting(
        100000, "Records that wait for a sink that is away; beyond it the oldest are given up.", minimum=100, maximum=10000000
    )
    keep_days: int = setting(0, "Rows in state_dir/acc.sqlite are deleted after so many days; 0 never.", minimum=0, maximum=36500)

    @property
    def wanted(self) -> bool:
        """Whether anybody gets records."""
        return self.tables or bool(self.file or self.webhook)


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """[recorder] what happened to each call, in memory: for sipnode explain and sipnode ladder"""

    enabled: bool = setting(False, "Record calls: messages as they were, decisions, questions to the media relay, DNS and the database.")
    megabytes: int = setting(32, "Most memory of all records.", minimum=1, maximum=16384)
    calls: int = setting(10000, "Most records.", minimum=10, maximum=1000000)
    seconds: float = setting(3600.0, "The record of a call is kept so long after its end, as long as there is room.", minimum=1)
    failed_seconds: float = setting(86400.0, "The same of a call that failed.", minimum=1)
    everything: bool = setting(False, "REGISTER, SUBSCRIBE, MESSAGE and OPTIONS too, not only calls.")
    folder: str = setting("", "Where records of calls that failed are kept over a restart, relative to state_dir; empty: in memory only.")
    folder_megabytes: int = setting(64, "Most of all files in folder.", minimum=1, maximum=1048576)
    folder_seconds: float = setting(604800.0, "A file in folder is kept so long.", minimum=60)


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """[console] calls in a browser as they happen, at /console of the WebSocket ports; it shows what [recorder] keeps"""

    enabled: bool = setting(False, "Serve it.")
    listen: str = setting(
        "", "'ADDRESS:PORT' of loopback for it alone; empty: it is at /console/ of the WebSocket ports.", form="address"
    )
    allow: tuple[str, ...] = setting(
        ["127.0.0.0/8", "::1"], "Addresses or networks that it is there for; for others there is no such page.", form="network"
    )
    users: tuple[str, ...] = setting(
        [],
        "Who may sign in: 'NAME ROLE HASH' (sipnode console-password makes one), or 'USER@DOMAIN ROLE' with that user's own password;"
        " ROLE is viewer, who sees, or admin, who may act, too.",
        secret=True,
        form="member",
    )
    session_seconds: float = setting(43200.0, "A session ends so long after its sign-in.", minimum=60, maximum=2592000)
    idle_seconds: float = setting(3600.0, "And so long after it was last used.", minimum=60, maximum=2592000)
    sessions: int = setting(64, "Most sessions; the one that was used longest ago ends for a new one.", minimum=1, maximum=10000)
    viewers: int = setting(16, "Most pages that are shown live at a time.", minimum=1, maximum=1000)


@dataclass(frozen=True, slots=True)
class HepSettings:
    """[hep] every message, its secrets covered, to Homer or another receiver of HEP 3"""

    receiver: str = setting("", "'udp:ADDRESS:PORT', 'tcp:HOST:PORT' or 'tls:HOST:PORT'; empty for none.", form="receiver")
    capture_id: int = setting(2001, "This server's number there.", minimum=0, maximum=4294967295)
    key: str = setting("", "What the receiver asks of its senders; empty for nothing.", secret=True)


@dataclass(frozen=True, slots=True)
class OtelSettings:
    """[otel] each call as a trace to a collector of OpenTelemetry, by OTLP over HTTP; it is made of what [recorder] keeps"""

    endpoint: str = setting("", "The collector, as 'http://127.0.0.1:4318/v1/traces'; empty for none.", form="http")
    header: str = setting("", "A header that it asks of its senders, as 'Authorization: Bearer …'; empty for none.", secret=True, form="header")
    service: str = setting("sipnode", "service.name of the traces.", form="part")
    share: float = setting(1.0, "Of the calls; which they are says their Call-ID, for all nodes alike.", minimum=0, maximum=1)


@dataclass(frozen=True, slots=True)
class TrunkSettings:
    """[trunk.NAME] a provider or a PBX that calls go to and come from; a section for each, its name of small letters, digits and _"""

    domain: str = setting("", "Its domain, as its URIs have it; empty: that of address.", form="domain")
    address: str = setting("", "Where it is sent to, 'HOST' or 'HOST:PORT'; empty: domain, as the DNS says (NAPTR, SRV).", form="hostport")
    transport: str = setting("", "'udp', 'tcp' or 'tls'; empty: what the DNS says, else UDP.", choices=("", "udp", "tcp", "tls"))
    priority: int = setting(0, "Of several trunks those of the lowest are tried first.", minimum=0, maximum=1000)
    weight: int = setting(1, "Its share of the calls among those of its priority.", minimum=1, maximum=1000)
    trust: str = setting(
        "address",
        "What comes from it needs no password where it shows it by 'address', or by a certificate of domain ('tls'); 'none': never.",
        choices=("address", "tls", "none"),
    )
    sources: tuple[str, ...] = setting([], "Networks that it sends from, beside where it is sent to; for trust by address.", form="network")
    domains: tuple[str, ...] = setting([], "Foreign domains that calls of our users go to by it.", form="domain")
    prefixes: tuple[str, ...] = setting(
        [], "Beginnings of numbers that our users reach by it, dialled at a domain of ours or as tel URI.", form="digits"
    )
    rewrite: tuple[str, ...] = setting(
        [],
        "What becomes of the beginning of a number that goes to it, 'BEGINNING>INSTEAD' as '00>+'; of several the longest.",
        form="rewrite",
    )
    user: str = setting("", "Our name there, for digest and registration.", form="username")
    password: str = setting("", "Our password there.", secret=True)
    realm: str = setting("", "The only realm that is answered with it; empty: domain.")
    register: bool = setting(False, "Register there, so that it knows where we are.")
    register_seconds: int = setting(600, "For how long to register; it may grant less.", minimum=60, maximum=86400)
    incoming: str = setting("", "User of ours, 'USER' or 'USER@DOMAIN', who gets the calls that it sends to its own user.", form="aor")
    ping_seconds: float = setting(
        30.0, "Ask so often (OPTIONS) whether it is there; 0 never: then it is used in any case.", minimum=0, maximum=3600
    )
    ping_misses: int = setting(
        2, "After so many questions without an answer no new calls go to it, until it answers one.", minimum=1, maximum=100
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections, and those that there are several of, by their names."""

    core: CoreSettings = field(default_factory=CoreSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    transaction: TransactionSettings = field(default_factory=TransactionSettings)
    transport: TransportSettings = field(default_factory=TransportSettings)
    tls: TLSSettings = field(default_factory=TLSSettings)
    routing: RoutingSettings = field(default_factory=RoutingSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    location: LocationSettings = field(default_factory=LocationSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    node: NodeSettings = field(default_factory=NodeSettings)
    edge: EdgeSettings = field(default_factory=EdgeSettings)
    proxy: ProxySettings = field(default_factory=ProxySettings)
    dialog: DialogSettings = field(default_factory=DialogSettings)
    nat: NatSettings = field(default_factory=NatSettings)
    media: MediaSettings = field(default_factory=MediaSettings)
    presence: PresenceSettings = field(default_factory=PresenceSettings)
    web: WebSettings = field(default_factory=WebSettings)
    turn: TurnSettings = field(default_factory=TurnSettings)
    rpc: RpcSettings = field(default_factory=RpcSettings)
    defence: DefenceSettings = field(default_factory=DefenceSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    manhole: ManholeSettings = field(default_factory=ManholeSettings)
    log: LogSettings = field(default_factory=LogSettings)
    acc: AccSettings = field(default_factory=AccSettings)
    recorder: RecorderSettings = field(default_factory=RecorderSettings)
    otel: OtelSettings = field(default_factory=OtelSettings)
    console: ConsoleSettings = field(default_factory=ConsoleSettings)
    hep: HepSettings = field(default_factory=HepSettings)
    trunk: Mapping[str, TrunkSettings] = field(default_factory=dict)


NAMED: Final[Mapping[str, type]] = {"trunk": TrunkSettings}
"""Sections that there are several of, each with a name of its own: ``[trunk.NAME]``."""


def sections() -> dict[str, type]:
    """The sections that there is one of, by name, each with its class."""
    return {name: kind for name, kind in typing.get_type_hints(Settings).items() if name not in NAMED}


def contents(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Every section there is with its settings: ``core`` …, then ``trunk.NAME`` …"""
    for name in sections():
        yield name, getattr(settings, name)
    for group in NAMED:
        for name, content in getattr(settings, group).items():
            yield f"{group}.{name}", content
