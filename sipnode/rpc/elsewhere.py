"""Kamailio's well-known methods that this server hasn't: why, and what to ask instead. The answer to an unknown method.

Pure. The invariant: no name in the table is one that this server has; a test compares the two.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

_MEMORY: Final = "there is no shared or private memory of Kamailio's kind; use sipnode.memory"
_COUNT: Final = "counters only count up, as Prometheus wants them; use stats.fetch and compare"
_UAC: Final = "nothing outside drives the server as a SIP client"
_PROFILES: Final = "calls have no profiles; use dlg.list"
_LISTED: Final = "dlg.list and dlg.list_match have it all"
_BANS: Final = "bans live in memory and in no database; use htable.dump"
_PINGS: Final = "pings go by themselves, see [transport] ping_interval; use ws.dump"
_LISTENERS: Final = "a listener is taken out of [core] listen, and the server restarted"
_TEST: Final = "it is a test of Kamailio's own; use core.echo"
_CONFIG: Final = "the configuration has no preprocessor; use cfg.get"
_GROUPS: Final = "a group of settings exists once; use cfg.set and cfg.reset"
_LOG: Final = "the script is Python and has no trace of its own; use sipnode.trace_on, or [log] calls"

REASONS: Final = MappingProxyType({
    # Of families that are here in part.
    "cfg.add_group_inst": _GROUPS,
    "cfg.del": _GROUPS,
    "cfg.del_delayed": _GROUPS,
    "cfg.del_group_inst": _GROUPS,
    "core.kill": "signals are the service manager's business",
    "core.modules": "there are no modules to load; use routing.stages",
    "core.ppdefines": _CONFIG,
    "core.ppdefines_full": _CONFIG,
    "core.printi": _TEST,
    "core.prints": _TEST,
    "core.shmmem": _MEMORY,
    "core.udp4_raw_info": "no raw sockets are used; use core.sockets_list",
    "corex.list_aliases": "core.aliases_list has them",
    "corex.pkg_summary": _MEMORY,
    "corex.shm_status": _MEMORY,
    "corex.shm_summary": _MEMORY,
    "dlg.bridge_dlg": "the server makes no calls of its own",
    "dlg.dlg_list_ctx": "dlg.dlg_list has it all",
    "dlg.dump_file": _LISTED,
    "dlg.list_match_ctx": _LISTED,
    "dlg.profile_get_size": _PROFILES,
    "dlg.profile_list": _PROFILES,
    "dlg.set_state": "the state of a call is what its messages say",
    "htable.reload": _BANS,
    "htable.store": _BANS,
    "presence.winfo": "presence.watchers has it",
    "stats.clear_statistics": _COUNT,
    "stats.reset_statistics": _COUNT,
    "tm.hash_stats": "tm.stats has what there is",
    "tm.reply": "transactions aren't suspended for others; a stage of the script waits by itself",
    "tm.reply_callid": "transactions aren't suspended for others; a stage of the script waits by itself",
    "tm.t_uac_start": _UAC,
    "tm.t_uac_wait": _UAC,
    "tm.t_uac_wait_block": _UAC,
    "ws.disable": _LISTENERS,
    "ws.enable": _LISTENERS,
    "ws.ping": _PINGS,
    "ws.pong": _PINGS,
    # Whole families.
    "app_jsdt": "the script is Python; use routing.reload",
    "app_lua": "the script is Python; use routing.reload",
    "app_perl": "the script is Python; use routing.reload",
    "app_python": "the script isn't behind KEMI; use routing.reload",
    "app_python3": "the script isn't behind KEMI; use routing.reload",
    "app_ruby": "the script is Python; use routing.reload",
    "app_sqlang": "the script is Python; use routing.reload",
    "cfgt": _LOG,
    "cfgutils": "flags that all requests share are attributes of the script; use the manhole",
    "cnt": "counters have Kamailio's names in stats.*; use stats.fetch, or routing.counters",
    "cr": "there are no tables of carriers; a stage of the script chooses the next hop",
    "ctl": "there is no binary protocol; the UNIX socket speaks JSON-RPC",
    "dbg": _LOG,
    "dialplan": "there are no tables of numbers; a stage of the script rewrites them",
    "dispatcher": "trunks stand in [trunk.NAME]; use trunk.list, trunk.show",
    "dmq": "nodes share a database, not a bus; use sipnode.nodes",
    "dns": "the resolver keeps what the TTL allows and nothing by hand; use the manhole's core.resolver",
    "domain": "domains are [core] domains of the configuration; use core.aliases_list",
    "drouting": "there are no tables of gateways; a stage of the script chooses the next hop",
    "dst_blocklist": "a target that failed is tried last for [proxy] failed_target_seconds; nothing is kept by hand",
    "er": "errors are in the log",
    "jsonrpc": "this is JSON-RPC itself; use core.echo",
    "keepalive": "phones are pinged by [nat] natping_interval, sister nodes by [node] ping_seconds; use ul.dump, sipnode.nodes",
    "lcr": "there are no tables of gateways; a stage of the script chooses the next hop",
    "mod": _MEMORY,
    "mqueue": "the script has Python's own queues",
    "msilo": "messages aren't kept for who is offline",
    "mtree": "there are no prefix trees in the database; a stage of the script keeps its own",
    "nathelper": "pings are switched by [nat] natping_interval",
    "pdt": "there are no tables of prefixes; a stage of the script rewrites them",
    "permissions": "trusted addresses are [auth] trusted and [defence] trusted; use defence.trusted, defence.trust",
    "pike": "what a source may send is the defence's; use defence.list, defence.limits",
    "pkg": _MEMORY,
    "pl": "rates are the defence's; use defence.limits, defence.set_limit",
    "pua": "the server asks its own registrations and calls and publishes nowhere else; use presence.publications",
    "pv": "variables that all requests share are attributes of the script; use the manhole",
    "regex": "the script has Python's own regular expressions",
    "rl": "rates are the defence's; use defence.limits, defence.set_limit",
    "rls": "lists of resources (RFC 4662) aren't served",
    "rtpproxy": "media goes by rtpengine; use rtpengine.show, rtpengine.enable",
    "sca": "shared call appearances aren't served; lamps are the event package dialog",
    "secfilter": "scanners and bans are the defence's; use defence.list, defence.ban",
    "shm": _MEMORY,
    "sipdump": "messages are written to the log; use sipnode.trace_on",
    "siptrace": "messages are written to the log; use sipnode.trace_on",
    "sl": "answers that keep no state are counted in stats.*; use stats.fetch sl:",
    "sqlops": "the script has Python's own database clients",
    "statsd": "metrics are fetched by Prometheus from /metrics",
    "tcp": "connections are core.tcp_list",
    "topos": "topology hiding isn't done",
    "uac": "what it registers at are trunks; use trunk.list, trunk.show",
    "xhttp_prom": "metrics are at /metrics; use stats.fetch",
    "xhttp_rpc": "there is no page for the RPC; use sipnode rpc, or POST /RPC",
    "xmlrpc": "the RPC speaks JSON; use POST /RPC",
})  # fmt: skip
"""``family.method`` or ``family``: why it isn't here, and what to use."""

_SHOWN: Final = 80
_NEAR: Final = 3


def reason(name: str) -> str:
    """Why a method of Kamailio's isn't here; "" for one that Kamailio hasn't either, or that is only misspelt."""
    return REASONS.get(name) or REASONS.get(name.partition(".")[0], "")


def unknown(name: str, names: Iterable[str]) -> str:
    """The answer about a method that isn't here.

    Args:
        name: As asked for.
        names: Of the methods that are.
    """
    shown = f"Method not found: {name[:_SHOWN]}"
    because = reason(name)
    if because:
        return f"{shown}: not here, because {because}"
    near = difflib.get_close_matches(name[:_SHOWN], list(names), _NEAR)
    return f"{shown}; did you mean {' or '.join(near)}?" if near else f"{shown}; system.listMethods names all that are"
