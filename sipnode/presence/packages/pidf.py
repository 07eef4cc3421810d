"""PIDF documents: read one that was published, make the one that watchers get. Pure.

Implements: RFC 3863 §4 (presence documents), RFC 4479 §3 (the person), RFC 4480 §3.2 (activities). The invariant: what is made is
well-formed, has at least one tuple, one tuple for each id, at most one person, and no more than :data:`LARGEST` octets, which fit into a
datagram.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

from sipnode.errors import ParseError
from sipnode.presence.packages.xmlbody import HEAD, as_text, read, text, unqualified

PIDF: Final = "urn:ietf:params:xml:ns:pidf"
MODEL: Final = "urn:ietf:params:xml:ns:pidf:data-model"
RPID: Final = "urn:ietf:params:xml:ns:pidf:rpid"
CONTENT_TYPE: Final = "application/pidf+xml"
LARGEST: Final = 49152
"""Octets; with the header lines of a NOTIFY it fits into a UDP datagram."""

_MOST_PARTS: Final = 64
_ACTIVITIES: Final = f"{{{RPID}}}activities"
_ON_THE_PHONE: Final = "<rpid:on-the-phone/>"
_ACTIVITY: Final = re.compile(r"<(?:[\w.-]+:)?([a-z][a-z-]*)")
_NO_WORDS: Final = frozenset({"unknown", "other"})
_SAYS_SOMETHING: Final = re.compile(r"<(?:\w+:)?note[^>]*>\s*[^\s<]")

# How these are spelled in what is made (other namespaces get ns0, ns1 …).
for _prefix, _namespace in (
    ("dm", MODEL),
    ("rpid", RPID),
    ("cipid", f"{PIDF}:cipid"),
    ("caps", f"{PIDF}:caps"),
    ("geopriv", "urn:ietf:params:xml:ns:pidf:geopriv10"),
):
    ElementTree.register_namespace(_prefix, _namespace)


@dataclass(frozen=True, slots=True)
class Person:
    """A ``dm:person``: its id, its activities and everything else in it, each as text with all its namespaces."""

    id: str
    activities: str
    rest: str


@dataclass(frozen=True, slots=True)
class Presence:
    """A published document in parts, each as text with all its namespaces but the default one.

    Attributes:
        tuples: ``(id, tuple element)`` in their order.
        notes: All ``note`` elements of the document itself.
        person: The first person, None where there is none.
        others: Devices and what other extensions put beside the tuples.
        octets: Of all that.
    """

    tuples: tuple[tuple[str, str], ...] = ()
    notes: str = ""
    person: Person | None = None
    others: str = ""
    octets: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """A registration as a tuple: whether it can be reached, and its q (RFC 3863 §4.1.4 priority)."""

    id: str
    is_open: bool
    contact: str
    priority: float


def parse(body: bytes) -> Presence:
    """Read a published document.

    Raises:
        ParseError: 400 for what isn't PIDF, 415 for another encoding.
    """
    root = read(body)
    if root.tag != f"{{{PIDF}}}presence":
        raise ParseError("not a PIDF document")
    if len(root) > _MOST_PARTS:
        raise ParseError("too many parts in the PIDF document")
    tuples: dict[str, str] = {}
    notes: list[str] = []
    others: list[str] = []
    person: Person | None = None
    octets = 0
    for part in root:
        part.tail = None
        kind = part.tag
        if kind == f"{{{MODEL}}}person":
            if person is None:
                person = _person(part)
                octets += _octets(person.activities) + _octets(person.rest)
            continue
        unqualified(part, PIDF)
        written = as_text(part)
        octets += _octets(written)
        if kind == f"{{{PIDF}}}tuple":
            name = part.get("id", "")
            if not name:
                raise ParseError("a tuple without an id")
            tuples[name] = written
        elif kind == f"{{{PIDF}}}note":
            notes.append(written)
        else:
            others.append(written)
    if octets > LARGEST // 2:
        raise ParseError("the PIDF document is too large")
    return Presence(tuple(tuples.items()), "".join(notes), person, "".join(others), octets)


def _octets(written: str) -> int:
    return len(written) if written.isascii() else len(written.encode("utf-8", "replace"))


def _person(element: ElementTree.Element) -> Person:
    activities: list[str] = []
    rest: list[str] = []
    for part in element:
        part.tail = None
        unqualified(part, PIDF)
        if part.tag == _ACTIVITIES:
            for activity in part:
                activity.tail = None
                activities.append(as_text(activity))
        else:
            rest.append(as_text(part))
    return Person(element.get("id", "person"), "".join(activities), "".join(rest))


def compose(entity: str, published: Iterable[Presence], places: Sequence[Place], on_the_phone: bool) -> bytes:
    """The document of a presentity.

    Args:
        entity: URI of the presentity.
        published: What counts most comes first: its tuple is taken where two have the same id, its note and its person are the
            presentity's. Elements that don't fit any more are left out.
        places: Its registrations, best first.
        on_the_phone: It is in a call.
    """
    tuples: dict[str, str] = {}
    notes = others = ""
    person: Person | None = None
    room = LARGEST - 1024
    for one in published:
        room -= one.octets
        if room < 0:
            break
        for name, written in one.tuples:
            tuples.setdefault(name, written)
        notes = notes or one.notes
        others += one.others
        person = person or one.person
    for place in places:
        written = _tuple(place)
        room -= len(written)
        if room < 0:
            break
        tuples.setdefault(place.id, written)
    if not tuples:
        tuples["none"] = '<tuple id="none"><status><basic>closed</basic></status></tuple>'
    if not _SAYS_SOMETHING.search(notes):
        notes = _activity_note(person, on_the_phone) or notes
    parts = [
        f'{HEAD}<presence xmlns="{PIDF}" xmlns:dm="{MODEL}" xmlns:rpid="{RPID}" entity="{text(entity)}">',
        *tuples.values(),
        notes,
        _composed_person(person, on_the_phone),
        others,
        "</presence>\n",
    ]
    return "".join(parts).encode("utf-8", "replace")


def _tuple(place: Place) -> str:
    basic = "open" if place.is_open else "closed"
    return (
        f'<tuple id="{place.id}"><status><basic>{basic}</basic></status>'
        f'<contact priority="{place.priority:g}">{text(place.contact)}</contact></tuple>'
    )


def _activity_note(person: Person | None, on_the_phone: bool) -> str:
    """A person's activity in words: many phones read no RPID, and of PIDF the note only."""
    doing = "on-the-phone" if on_the_phone else ""
    if not doing and person is not None:
        found = _ACTIVITY.search(person.activities)
        doing = found[1] if found and found[1] not in _NO_WORDS else ""
    return f'<note xml:lang="en">{doing.replace("-", " ").capitalize()}</note>' if doing else ""


def _composed_person(person: Person | None, on_the_phone: bool) -> str:
    if person is None:
        if not on_the_phone:
            return ""
        person = Person("person", "", "")
    activities = person.activities
    if on_the_phone and "on-the-phone" not in activities:
        activities += _ON_THE_PHONE
    written = f"<rpid:activities>{activities}</rpid:activities>" if activities else ""
    return f'<dm:person id="{text(person.id)}">{written}{person.rest}</dm:person>'
