"""The changes that a REGISTER makes and its answer: a decision, nothing is done here.

Implements: RFC 3261 §10.3 (processing REGISTER), §10.2.2 (removing), §20.10, §20.19, §20.23 (Contact, Expires,
Min-Expires); RFC 3840 §6 (``methods``); RFC 5626 §6 (flows of a device, with :mod:`sipnode.registrar.outbound`). Pure.

The invariant: a plan is whole or refused. A refusal carries no change, so one bad contact leaves all bindings as they
were (RFC 3261 §10.3 step 7).

A binding is the same as one that is there when both name the same instance (and no different ``reg-id``), else by
equality of URIs (RFC 3261 §19.1.4). So a page that comes back with a new contact replaces its own old binding and keeps
its ``ruid``. The column ``path`` holds the Path of an edge proxy (:mod:`sipnode.registrar.edge`), else the way through the node that has
the flow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sipnode.errors import ParseError
from sipnode.records import Binding, BindingFlag, LocationChange
from sipnode.registrar.columns import (
    MAX_TEXT,
    agent,
    contact_value,
    date_value,
    is_number,
    methods_of,
    q_value,
    seconds_value,
    storable,
)
from sipnode.registrar.edge import behind_edge, judged, takes_path
from sipnode.registrar.gruu import GRUU, Gruus
from sipnode.registrar.origin import ContactRefusal as ContactRefusal
from sipnode.registrar.origin import Source as Source
from sipnode.registrar.outbound import OUTBOUND, reg_id_of, supports
from sipnode.sip.address import NameAddr
from sipnode.sip.uri import SipUri

if TYPE_CHECKING:
    from sipnode.settings import LocationSettings
    from sipnode.sip.message import SipRequest

_NATB: Final = int(BindingFlag.NATB)
_MAX_CONTACT: Final = 512
_KNOWN: Final = frozenset(("path", OUTBOUND))
_MALFORMED_EXPIRES: Final = 3600


@dataclass(slots=True)
class RegisterPlan:
    """The answer to a REGISTER and what has to be done first.

    Attributes:
        status: 200, or a refusal.
        reason: Reason phrase, "" for the standard one.
        headers: ``(canonical name, value)`` of the response.
        changes: Bindings to save and to delete, empty for a refusal or a query.
    """

    status: int
    reason: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    changes: list[LocationChange] = field(default_factory=list)


class _Refused(Exception):
    def __init__(self, status: int, reason: str, headers: list[tuple[str, str]] | None = None) -> None:
        super().__init__(reason)
        self.plan = RegisterPlan(status, reason, headers or [])


def aor_of(request: SipRequest) -> str:
    """The address-of-record that a REGISTER is about: ``user@host`` of To, user decoded, host in lower case
    (RFC 3261 §10.3 step 5).

    Raises:
        ParseError: 400 for a To that isn't a sip or sips URI, 404 for one that names no user.
    """
    uri = request.to.uri
    if uri.scheme not in ("sip", "sips"):
        raise ParseError("To is not a sip URI")
    if not uri.user:
        raise ParseError("To names no user", 404)
    aor = uri.aor
    if not aor.isprintable():
        raise ParseError("To can't be stored")
    return aor


def is_lost(binding: Binding) -> bool:
    """Whether a binding is known but can't be reached until its owner registers again: it lived on a connection of an
    earlier run, and nobody can connect to it (a WebSocket end, or a natted stream). Another node's is reached by its path.
    """
    if binding.connection_id or binding.path or not binding.socket:
        return False
    kind = binding.socket[0]
    return kind == "w" or (kind == "t" and bool(binding.cflags & _NATB))


def plan(
    request: SipRequest,
    aor: str,
    bindings: Sequence[Binding],
    now: float,
    settings: LocationSettings,
    source: Source,
    new_ruid: Callable[[], str],
    contact_refusal: ContactRefusal | None = None,
    gruus: Gruus | None = None,
) -> RegisterPlan:
    """Decide about a REGISTER whose sender may change this address-of-record.

    Args:
        request: The REGISTER.
        aor: Canonical address-of-record, see :func:`aor_of`.
        bindings: Its bindings that haven't expired.
        now: Epoch seconds.
        settings: Limits and policies.
        source: Facts of the flow that the request came by.
        new_ruid: Gives a name, unique in the table for ever, to a new binding.
        contact_refusal: Says why a new contact isn't taken (a 403), "" for one that is.
        gruus: Makes GRUUs for those who know them (RFC 5627); None: nobody gets one.
    """
    try:
        return _Registration(request, aor, bindings, now, settings, source, new_ruid, contact_refusal, gruus).run()
    except _Refused as refusal:
        return refusal.plan
    except ParseError as error:
        return RegisterPlan(error.status, error.reason)


class _Registration:
    """One REGISTER while it is decided about."""

    __slots__ = (
        "_aor",
        "_call_id",
        "_changes",
        "_contact_refusal",
        "_cseq",
        "_gruus",
        "_left",
        "_new_ruid",
        "_now",
        "_outbound",
        "_request",
        "_settings",
        "_source",
    )

    def __init__(
        self,
        request: SipRequest,
        aor: str,
        bindings: Sequence[Binding],
        now: float,
        settings: LocationSettings,
        source: Source,
        new_ruid: Callable[[], str],
        contact_refusal: ContactRefusal | None,
        gruus: Gruus | None,
    ) -> None:
        self._request = request
        self._aor = bindings[0].aor if bindings else aor
        self._left = list(bindings)
        self._now = now
        self._settings = settings
        self._source = source
        self._new_ruid = new_ruid
        self._contact_refusal = contact_refusal
        self._gruus = gruus
        self._changes: dict[str, LocationChange] = {}
        self._call_id = request.call_id
        self._cseq = request.cseq
        self._outbound = False

    def run(self) -> RegisterPlan:
        request = self._request
        if "require" in request:
            unknown = [tag for tag in request.values("require") if tag.lower() not in _KNOWN and not (tag.lower() == GRUU and self._gruus)]
            if unknown:
                raise _Refused(420, "", [("unsupported", ", ".join(unknown))])
        if "path" in request:
            self._source = behind_edge(request, self._source, self._contact_refusal)
        seconds = _header_expires(request)
        value = request.get("contact")
        if value is not None and ("," in value or request.names.count("contact") > 1):
            values = request.values("contact")
        else:
            values = [] if value is None else [value]
        if "*" in values:
            self._remove_all(values, seconds)
        elif values:
            self._update(values, seconds)
        headers = [("contact", contact_value(binding, self._now)) for binding in self._left]
        supported = request.get("supported")
        # Most clients don't know them, and one look at the text says so.
        if supported is not None and self._gruus is not None and (GRUU in supported.lower() or request.names.count("supported") > 1):
            headers = self._with_gruus(headers, self._gruus)
        if "path" in request and (takes_path(request) or "require" in request):
            headers += [("path", self._source.path), ("supported", "path")]
        if self._outbound:
            headers += [("require", OUTBOUND), ("supported", OUTBOUND)]
            if self._settings.flow_timer:
                headers.append(("flow-timer", str(self._settings.flow_timer)))
        headers += [("service-route", value) for value in self._settings.service_route]
        headers.append(("date", date_value(int(self._now))))
        return RegisterPlan(200, "", headers, list(self._changes.values()))

    def _with_gruus(self, contacts: list[tuple[str, str]], gruus: Gruus) -> list[tuple[str, str]]:
        if not supports(self._request, GRUU):
            return contacts
        host = self._request.to.uri.host
        return [(name, value + gruus.params(binding, host)) for (name, value), binding in zip(contacts, self._left, strict=True)]

    def _remove_all(self, values: list[str], seconds: int | None) -> None:
        if len(values) != 1 or seconds != 0:
            raise ParseError("Contact * goes alone and with Expires 0")
        for binding in self._left:
            self._check_order(binding)
            self._changes[binding.ruid] = LocationChange(binding, delete=True)
        self._left = []

    def _update(self, values: list[str], seconds: int | None) -> None:
        limit = self._settings.max_contacts
        # One that replaces every binding names each old and each new one; more of them only cost time.
        if len(values) > 2 * limit:
            raise _Refused(503, "Too many contacts")
        if not storable(self._call_id, MAX_TEXT):
            raise ParseError("Call-ID can't be stored")
        count = len(self._left)
        for value in values:
            self._contact(NameAddr.parse(value), seconds)
        if self._outbound and sum(not change.delete for change in self._changes.values()) > 1:
            raise ParseError("reg-id goes with one Contact (RFC 5626)")
        if len(self._left) > limit and len(self._left) > count:
            self._make_room(limit)

    def _contact(self, address: NameAddr, header: int | None) -> None:
        contact, params = address.uri_text, address.params
        settings = self._settings
        text = params.get("expires")
        if text is not None:
            seconds = seconds_value(text) if is_number(text) else _MALFORMED_EXPIRES
        else:
            seconds = settings.default_expires if header is None else header
        if seconds:
            if seconds > settings.max_expires:
                seconds = settings.max_expires
            if seconds < settings.min_expires:
                if settings.min_expires_mode == "reject":
                    raise _Refused(423, "", [("min-expires", str(settings.min_expires))])
                seconds = settings.min_expires
        instance, reg_id = params.get("+sip.instance", ""), 0
        if instance:
            if not storable(instance, MAX_TEXT):
                raise ParseError("an instance that can't be stored")
            if "reg-id" in params:
                reg_id = reg_id_of(params["reg-id"], self._request, self._settings.outbound == "lenient")
                self._outbound |= bool(reg_id and seconds)
        # Without reg-id there is no flow to name: what is taken out is the URI that is named (RFC 5626 §6, RFC 3261 §10.2.2), so a phone
        # that has moved can register its new contact first and take the old one out then.
        old = self._find(contact, instance if seconds or reg_id else "", reg_id)
        if old is None or old.contact != contact:
            uri = _check_uri(contact)
            reason = self._contact_refusal(uri, judged(self._source)) if seconds and self._contact_refusal is not None else ""
            if reason:
                raise _Refused(403, reason)
        if old is not None and old.ruid not in self._changes:
            self._check_order(old)
        if seconds:
            self._save(old, contact, seconds, instance, reg_id, params)
        elif old is not None:
            self._changes[old.ruid] = LocationChange(old, delete=True)
            self._left.remove(old)

    def _find(self, contact: str, instance: str, reg_id: int) -> Binding | None:
        """The binding that a contact is about, None for a new one."""
        left = self._left
        if instance:
            for binding in left:
                if binding.instance == instance and binding.ruid not in self._changes and _same_flow(binding.reg_id, reg_id):
                    return binding
        for binding in left:
            if binding.contact == contact and not _apart(binding, instance, reg_id):
                return binding
        if left:
            uri = SipUri.parse(contact)
            for binding in left:
                if not _apart(binding, instance, reg_id) and uri.equals(SipUri.parse(binding.contact)):
                    return binding
        return None

    def _check_order(self, binding: Binding) -> None:
        """RFC 3261 §10.3 step 7: within one Call-ID only a higher CSeq counts; an equal one shortly after is the same
        request again, whose answer was lost.
        """
        if binding.call_id != self._call_id or self._cseq > binding.cseq:
            return
        if self._cseq < binding.cseq or self._now - binding.last_modified > self._settings.cseq_delay:
            raise ParseError("CSeq is not higher than that of the binding")

    def _save(self, old: Binding | None, contact: str, seconds: int, instance: str, reg_id: int, params: dict[str, str]) -> None:
        source = self._source
        request = self._request
        software = request.get("user-agent")
        binding = Binding(
            self._aor,
            contact,
            self._now + seconds,
            old.ruid if old is not None else self._new_ruid(),
            self._call_id,
            self._cseq,
            q_value(params["q"]) if "q" in params else 1.0,
            agent(software) if software else "",
            source.received or (source.seen if reg_id else ""),
            source.path,
            source.socket,
            methods_of(request, params),
            instance,
            reg_id,
            0,
            source.cflags,
            source.connection_id,
            self._now,
            source.server_id,
        )
        self._changes[binding.ruid] = LocationChange(binding)
        if old is None:
            self._left.append(binding)
        else:
            self._left[self._left.index(old)] = binding

    def _make_room(self, limit: int) -> None:
        """Drop old bindings down to the limit, those that can't be reached first; refuse where policy says so."""
        old = sorted((b for b in self._left if b.ruid not in self._changes), key=lambda b: (not is_lost(b), b.last_modified))
        for binding in old[: len(self._left) - limit]:
            if not is_lost(binding) and self._settings.max_contacts_mode == "reject":
                break
            self._changes[binding.ruid] = LocationChange(binding, delete=True)
            self._left.remove(binding)
        if len(self._left) > limit:
            raise _Refused(503, "Too many contacts")


def _same_flow(one: int, other: int) -> bool:
    return one == other or not one or not other


def _apart(binding: Binding, instance: str, reg_id: int) -> bool:
    """Two flows are told apart by instance and reg-id alone, whatever their URIs are (RFC 5626 §6)."""
    return bool(reg_id and binding.reg_id) and (binding.instance != instance or binding.reg_id != reg_id)


def _check_uri(contact: str) -> SipUri:
    if len(contact) > _MAX_CONTACT:
        raise ParseError("Contact too long")
    if not contact.isprintable():
        raise ParseError("a Contact that can't be stored")
    uri = SipUri.parse(contact)
    if uri.scheme not in ("sip", "sips"):
        raise ParseError("Contact is not a sip URI")
    return uri


def _header_expires(request: SipRequest) -> int | None:
    text = request.get("expires")
    if text is None:
        return None
    if not is_number(text):
        raise ParseError("an Expires that can't be read")
    return seconds_value(text)
