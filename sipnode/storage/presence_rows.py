"""Publications, subscriptions and decisions as rows of Kamailio's ``presentity``, ``active_watchers`` and ``watchers``, and back. Pure.

Values without a column of Kamailio (the connection that leads to a subscriber, and the node that has it) stand as parameters behind the URI
in ``local_contact``. The invariant: a row that is read again is the same, but for what Kamailio's columns don't hold: fractions of a
second in PostgreSQL, parameters of From and To.
"""

from __future__ import annotations

from typing import Any, Final

from sipnode.records import Publication, Subscription, Watcher

Row = tuple[Any, ...]

PRESENTITY: Final = (
    "username", "domain", "event", "etag", "expires", "received_time", "body", "sender", "priority", "ruid",
)  # fmt: skip
ACTIVE_WATCHERS: Final = (
    "presentity_uri", "watcher_username", "watcher_domain", "to_user", "to_domain", "event", "event_id", "to_tag", "from_tag", "callid",
    "local_cseq", "remote_cseq", "contact", "record_route", "expires", "status", "reason", "version", "socket_info", "local_contact",
    "from_user", "from_domain", "updated", "updated_winfo", "flags", "user_agent",
)  # fmt: skip
WATCHERS: Final = ("presentity_uri", "watcher_username", "watcher_domain", "event", "status", "reason", "inserted_time")

_OWN: Final = ("node", "flow", "key", "from", "ws", "accept", "src", "ok")
_NO_UPDATE: Final = -1


def uri_of(resource: str) -> str:
    """``presentity_uri`` of a resource."""
    return f"sip:{resource}"


def resource_of(uri: str) -> str:
    """The reverse of :func:`uri_of`, also for what Kamailio wrote."""
    return uri.partition(":")[2].partition(";")[0] if uri[:4] == "sip:" or uri[:5] == "sips:" else uri


def _account(resource: str) -> tuple[str, str]:
    user, _, domain = resource.rpartition("@")
    return user, domain


def publication_row(one: Publication) -> Row:
    """Values in the order of :data:`PRESENTITY`."""
    user, domain = _account(one.resource)
    return (user, domain, one.event, one.etag, one.expires, one.received, one.body, uri_of(one.sender), one.priority, one.ruid)


def publication_of(row: Row) -> Publication:
    """A publication from the values of :data:`PRESENTITY`."""
    user, domain, event, etag, expires, received, body, sender, priority, ruid = row[:10]
    return Publication(
        f"{user}@{domain}", event, etag, float(expires), float(received), bytes(body), resource_of(sender), ruid or "", priority
    )


def subscription_row(one: Subscription) -> Row:
    """Values in the order of :data:`ACTIVE_WATCHERS`. ``local_cseq`` is the highest number that may be used without a further write."""
    to_user, to_domain = _account(resource_of(one.local_uri))
    from_user, from_domain = _account(resource_of(one.remote_uri))
    return (
        uri_of(one.resource), *_account(one.watcher), to_user, to_domain, one.event, one.event_id or None, one.to_tag, one.from_tag,
        one.call_id, max(one.reserved, one.local_cseq), one.remote_cseq, one.contact, one.routes or None, one.expires, one.status,
        one.reason or None, 0, one.socket, _with_own(one), from_user, from_domain, int(one.updated), _NO_UPDATE, 0, one.user_agent,
    )  # fmt: skip


def subscription_of(row: Row) -> Subscription:
    """A subscription from the values of :data:`ACTIVE_WATCHERS`."""
    (
        presentity, watcher_user, watcher_domain, to_user, to_domain, event, event_id, to_tag, from_tag, call_id, local_cseq, remote_cseq,
        contact, routes, expires, status, reason, _, socket, local_contact, from_user, from_domain, updated, _, _, agent,
    ) = row[:26]  # fmt: skip
    local_contact, own = _own_of(local_contact)
    host, _, port = own.get("from", "").rpartition("~")
    there = f"{host}:{port}" if host else ""
    return Subscription(
        resource_of(presentity), event, event_id or "", f"{watcher_user}@{watcher_domain}", to_tag, from_tag, call_id,
        _uri(to_user, to_domain), _uri(from_user, from_domain), contact, float(expires), remote_cseq, local_cseq, local_cseq, routes or "",
        status, reason or "", socket, local_contact, agent or "", own.get("accept", "").replace("%2F", "/"), own.get("flow", ""),
        own.get("key", ""), host, _number(port), "ws" in own, _number(own.get("node", "")), float(updated),
        own["src"] or there if "src" in own else "", there if "ok" in own else "",
    )  # fmt: skip


def watcher_row(one: Watcher) -> Row:
    """Values in the order of :data:`WATCHERS`."""
    return (uri_of(one.resource), *_account(one.watcher), one.event, one.status, one.reason or None, int(one.since))


def watcher_of(row: Row) -> Watcher:
    """A decision from the values of :data:`WATCHERS`."""
    presentity, user, domain, event, status, reason, since = row[:7]
    return Watcher(resource_of(presentity), f"{user}@{domain}", event, status, reason or "", float(since))


def _uri(user: str, domain: str) -> str:
    return f"sip:{user}@{domain}" if user else f"sip:{domain}"


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _with_own(one: Subscription) -> str:
    text = one.local_contact
    if one.node:
        text += f";node={one.node}"
    if one.flow:
        text += f";flow={one.flow}"
    if one.key:
        text += f";key={one.key}"
    if one.host:
        text += f";from={one.host}~{one.port}"
    if one.websocket:
        text += ";ws"
    if one.content_type:
        text += f";accept={one.content_type.replace('/', '%2F')}"
    there = f"{one.host}:{one.port}" if one.host else ""
    if one.source:
        text += ";src" if one.source == there else f";src={one.source}"
    if one.proved and one.proved == there:
        # Elsewhere it has to answer once more after a restart.
        text += ";ok"
    return text


def _own_of(text: str) -> tuple[str, dict[str, str]]:
    uri: list[str] = []
    own: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        if uri and name in _OWN:
            own[name] = value
        else:
            uri.append(part)
    return ";".join(uri), own
