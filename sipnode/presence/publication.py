"""The changes that a PUBLISH makes and its answer: a decision, nothing is done here.

Implements: RFC 3903 §6 (processing), §11 (SIP-ETag, SIP-If-Match). Pure. The invariant: a plan is whole or refused, and each
plan that leaves a publication gives it an entity-tag that was never used before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sipnode.errors import ParseError
from sipnode.presence.fields import Refused, encoded, expires_of, granted, type_of
from sipnode.records import PresenceChange, Publication

if TYPE_CHECKING:
    from sipnode.settings import PresenceSettings
    from sipnode.sip.message import SipRequest


@dataclass(slots=True)
class PublishPlan:
    """The answer to a PUBLISH and what has to be done first.

    Attributes:
        status: 200, or a refusal.
        reason: Reason phrase, "" for the standard one.
        headers: ``(canonical name, value)`` of the response.
        changes: Publications to save and to delete.
        news: Whether the state may be another one now: a refresh changes nothing that a watcher sees.
    """

    status: int
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    changes: list[PresenceChange] = field(default_factory=list)
    news: bool = False


def plan(
    request: SipRequest,
    resource: str,
    sender: str,
    package: Any,
    there: Sequence[Publication],
    now: float,
    settings: PresenceSettings,
    new_etag: Callable[[], str],
    new_ruid: Callable[[], str],
) -> PublishPlan:
    """Decide about a PUBLISH whose sender may publish for this resource.

    Args:
        request: The PUBLISH.
        resource: Canonical ``user@host``.
        sender: Who sent it, alike.
        package: The IEventPackage that its Event names.
        there: The resource's publications for that package that haven't expired, oldest first.
        now: Epoch seconds.
        settings: Limits.
        new_etag: Gives an entity-tag.
        new_ruid: Gives a name, unique in the table for ever, to a new publication.
    """
    try:
        return _plan(request, resource, sender, package, there, now, settings, new_etag, new_ruid)
    except Refused as refusal:
        return PublishPlan(refusal.status, refusal.reason, refusal.headers)
    except ParseError as error:
        return PublishPlan(error.status, error.reason if error.status == 400 else "", _taken(package) if error.status == 415 else ())


def _plan(
    request: SipRequest,
    resource: str,
    sender: str,
    package: Any,
    there: Sequence[Publication],
    now: float,
    settings: PresenceSettings,
    new_etag: Callable[[], str],
    new_ruid: Callable[[], str],
) -> PublishPlan:
    if "require" in request:
        raise Refused(420, "", (("unsupported", ", ".join(request.get_all("require"))),))
    old = _matched(request, there)
    seconds = granted(expires_of(request, package.default_expires), settings.min_expires, settings.max_expires)
    parsed = _read(request, package, settings.body_bytes) if request.body else None
    if old is None and not request.body:
        raise ParseError("nothing is published")
    if old is None:
        old = _same_source(package, parsed, sender, there)
    etag = new_etag()
    answer = (("sip-etag", etag), ("expires", str(seconds)))
    if not seconds:
        return PublishPlan(200, "", answer, [PresenceChange(old, True)] if old is not None else [], old is not None)
    expires = now + seconds
    if old is None:
        made = Publication(resource, package.name, etag, expires, now, request.body, sender, new_ruid(), int(now), parsed)
        changes = [PresenceChange(one, True) for one in there[: max(0, len(there) + 1 - settings.publications)]]
        return PublishPlan(200, "", answer, [*changes, PresenceChange(made)], True)
    if not request.body:
        return PublishPlan(200, "", answer, [PresenceChange(replace(old, etag=etag, expires=expires))])
    kept = replace(old, etag=etag, expires=expires, received=now, body=request.body, sender=sender, priority=int(now), parsed=parsed)
    return PublishPlan(200, "", answer, [PresenceChange(kept)], kept.body != old.body)


def _matched(request: SipRequest, there: Sequence[Publication]) -> Publication | None:
    """The publication that SIP-If-Match names, None for a new one (RFC 3903 §6 step 3)."""
    tags = request.get_all("sip-if-match")
    if not tags:
        return None
    if len(tags) > 1 or not tags[0]:
        raise ParseError("SIP-If-Match names one entity-tag")
    for one in there:
        if one.etag == tags[0]:
            return one
    raise Refused(412)


def _same_source(package: Any, parsed: Any, sender: str, there: Sequence[Publication]) -> Publication | None:
    """The publication that a new one takes the place of: of the same sender, and of the source that both name as theirs.

    A device that was started anew while the answer to a PUBLISH was under way knows no entity-tag for it (RFC 3903 §4.1); what it
    published would stay beside what it publishes now until it expires.
    """
    source_of = getattr(package, "source", None)
    if source_of is None:
        return None
    source = source_of(parsed)
    if source:
        for one in there:
            if one.sender == sender and source_of(_parsed(package, one)) == source:
                return one
    return None


def _parsed(package: Any, row: Publication) -> Any:
    """The content of a publication; None for what another program wrote into the table and nobody can read."""
    if row.parsed is None:
        try:
            row.parsed = package.check(row.body, package.publish_types[0])
        except ParseError:
            return None
    return row.parsed


def _read(request: SipRequest, package: Any, limit: int) -> Any:
    if encoded(request):
        raise Refused(415, "", (("accept-encoding", "identity"),))
    content_type = type_of(request.get("content-type"))
    if content_type not in package.publish_types:
        raise Refused(415, "", _taken(package))
    if len(request.body) > limit:
        raise Refused(413)
    return package.check(request.body, content_type)


def _taken(package: Any) -> tuple[tuple[str, str], ...]:
    return (("accept", ", ".join(package.publish_types)),)
