"""Package ``presence``: whole PIDF documents."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.errors import ParseError
from sipnode.interfaces import IEventPackage
from sipnode.presence.packages.pidf import LARGEST, PIDF
from sipnode.presence.packages.presence import PresencePackage
from sipnode.records import Binding, Publication

ALICE = "alice@example.test"
HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" '
    'xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:alice@example.test">'
)
END = "</presence>\n"
CLOSED = '<tuple id="none"><status><basic>closed</basic></status></tuple>'
ON_THE_PHONE = '<dm:person id="person"><rpid:activities><rpid:on-the-phone/></rpid:activities></dm:person>'
IN_WORDS = '<note xml:lang="en">On the phone</note>'


def pidf(*parts: str, prefix: str = "") -> bytes:
    """A document that somebody publishes."""
    colon = f"{prefix}:" if prefix else ""
    namespace = f"xmlns:{prefix}" if prefix else "xmlns"
    spaces = 'xmlns:p="urn:ietf:params:xml:ns:pidf:data-model" xmlns:r="urn:ietf:params:xml:ns:pidf:rpid" xmlns:z="urn:z"'
    return f'<{colon}presence {namespace}="{PIDF}" {spaces} entity="sip:x@y">{"".join(parts)}</{colon}presence>'.encode()


def tuple_of(name: str, basic: str) -> str:
    """A tuple."""
    return f'<tuple id="{name}"><status><basic>{basic}</basic></status></tuple>'


class Sources:
    """What a package may ask."""

    def __init__(self) -> None:
        self.there: list[Binding] = []
        self.lost: list[Binding] = []
        self.now_calls: list[Any] = []

    def bindings(self, aor: str) -> list[Binding]:
        return self.there if aor == ALICE else []

    def is_reachable(self, binding: Binding) -> bool:
        return binding not in self.lost

    def calls(self, aor: str) -> list[Any]:
        return self.now_calls


class StateTests(SynchronousTestCase):
    """state()"""

    def setUp(self) -> None:
        self.sources: Any = Sources()
        self.package = PresencePackage()
        self.package.start(self.sources)

    def publication(self, body: bytes, received: float = 1.0, priority: int = 0) -> Publication:
        """One that was read."""
        return Publication(ALICE, "presence", "e", 9e9, received, body, ALICE, "r", priority, self.package.check(body, ""))

    def state(self, *bodies: bytes) -> str:
        """The document, with these published one after the other; it is well-formed."""
        rows = [self.publication(body, float(number)) for number, body in enumerate(bodies)]
        document = self.package.state(ALICE, "", rows, 0, "application/pidf+xml")
        ElementTree.fromstring(document)
        return document.decode()

    def test_interface(self) -> None:
        """It is what the interface says."""
        verifyObject(IEventPackage, self.package)

    def test_source(self) -> None:
        """A person whose id has a UUID is of one device; of others, which are the same everywhere, and of nobody, it can't be told."""
        own = "softphone-1b4e28ba-2fa1-41d2-883f-0016d3cca427"
        for name, source in ((own, own), ("p1", ""), ("pidf-person-12", "")):
            self.assertEqual(source, self.package.source(self.package.check(pidf(f'<p:person id="{name}"/>'), "")))
        self.assertEqual(["", ""], [self.package.source(self.package.check(pidf(tuple_of(own, "open")), "")), self.package.source(None)])

    def test_nothing(self) -> None:
        """Nothing is known: a closed document, not an empty one."""
        self.assertEqual(self.state(), HEAD + CLOSED + END)

    def test_registrations(self) -> None:
        """A tuple for each registration, that tells its q but no address; one that can't be reached now is closed."""
        one = Binding(ALICE, "sip:alice@192.0.2.10", 9e9, "r-1")
        two = Binding(ALICE, "sip:x@y.invalid;transport=ws", 9e9, "r-2", q=0.5, instance="<urn:uuid:1>")
        self.sources.there = [one, two]
        self.sources.lost = [two]
        self.assertEqual(
            self.state(),
            HEAD
            + '<tuple id="reg-95a6151dbc50"><status><basic>open</basic></status>'
            + '<contact priority="1">sip:alice@example.test</contact></tuple>'
            + '<tuple id="reg-6b25d751b7da"><status><basic>closed</basic></status>'
            + '<contact priority="0.5">sip:alice@example.test</contact></tuple>'
            + END,
        )

    def test_a_refresh_changes_nothing(self) -> None:
        """A registration that is refreshed has the same document."""
        self.sources.there = [Binding(ALICE, "sip:alice@192.0.2.10", 100.0, "r-1", cseq=1, last_modified=10.0)]
        before = self.state()
        self.sources.there = [Binding(ALICE, "sip:alice@192.0.2.10", 200.0, "r-1", cseq=2, last_modified=90.0)]
        self.assertEqual(self.state(), before)

    def test_calls(self) -> None:
        """A call that is up is the activity "on the phone"; one that rings isn't."""
        self.sources.now_calls = [SimpleNamespace(state="early")]
        self.assertEqual(self.state(), HEAD + CLOSED + END)
        self.sources.now_calls = [SimpleNamespace(state="trying"), SimpleNamespace(state="confirmed")]
        self.assertEqual(self.state(), HEAD + CLOSED + IN_WORDS + ON_THE_PHONE + END)

    def test_activity_in_words(self) -> None:
        """What somebody does is a note too, for phones that read nothing else; their own words come before it, an empty note doesn't."""
        for activity, words in (("busy", "Busy"), ("in-transit", "In transit"), ("unknown", ""), ("other>x</r:other", "")):
            said = activity.partition(">")[0]
            person = f'<p:person id="me"><r:activities><r:{activity if said != activity else activity + "/"}></r:activities></p:person>'
            for note in ("", "<note></note>", "<note> </note>"):
                notes = re.findall(r"<note xml[^>]*>([^<]+)</note>", self.state(pidf(tuple_of("a", "open"), note, person)))
                self.assertEqual(notes, [words] if words else [], (activity, note))
            self.assertEqual(re.findall(r"<note.*?</note>", self.state(pidf("<note>Lunch</note>", person))), ["<note>Lunch</note>"])

    def test_published(self) -> None:
        """What was published comes out as it came in, in the form of ours, whatever prefixes its author liked."""
        wanted = HEAD + tuple_of("a", "open") + "<note>hi</note>" + END
        self.assertEqual(self.state(pidf(tuple_of("a", "open"), "<note>hi</note>")), wanted)
        prefixed = pidf('<q:note>hi</q:note><q:tuple id="a"><q:status>', "<q:basic>open</q:basic></q:status></q:tuple>", prefix="q")
        self.assertEqual(self.state(prefixed), wanted)

    def test_published_before_registered(self) -> None:
        """Who reads only the first tuple reads what the user said."""
        self.sources.there = [Binding(ALICE, "sip:alice@192.0.2.10", 9e9, "r-1")]
        document = self.state(pidf(tuple_of("a", "closed")))
        self.assertLess(document.index(">closed<"), document.index(">open<"))

    def test_merge(self) -> None:
        """All tuples, newest publication first; of two with the same id the newer one counts; the newest note counts."""
        document = self.state(
            pidf(tuple_of("a", "open"), tuple_of("b", "open"), "<note>old</note>"),
            pidf(tuple_of("a", "closed"), tuple_of("c", "open"), "<note>new</note>"),
            pidf(tuple_of("d", "open")),
        )
        tuples = tuple_of("d", "open") + tuple_of("a", "closed") + tuple_of("c", "open") + tuple_of("b", "open")
        self.assertEqual(document, HEAD + tuples + "<note>new</note>" + END)

    def test_priority(self) -> None:
        """A publication of higher priority counts more than a newer one."""
        rows = [
            self.publication(pidf(tuple_of("a", "open")), 1.0, priority=9),
            self.publication(pidf(tuple_of("a", "closed")), 2.0, priority=1),
        ]
        self.assertEqual(self.package.state(ALICE, "", rows, 0, "").decode(), HEAD + tuple_of("a", "open") + END)

    def test_person(self) -> None:
        """One person: the newest that was published, with the call that is up among its activities, once."""
        person = '<p:person id="me"><p:note>n</p:note><r:activities><r:meal/></r:activities></p:person>'
        bodies = [pidf(tuple_of("a", "open"), '<p:person id="other"/>'), pidf(tuple_of("b", "open"), person)]
        model, rpid = 'xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"', 'xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid"'
        self.sources.now_calls = [SimpleNamespace(state="confirmed")]
        self.assertEqual(
            self.state(*bodies),
            HEAD
            + tuple_of("b", "open")
            + tuple_of("a", "open")
            + IN_WORDS
            + f'<dm:person id="me"><rpid:activities><rpid:meal {rpid} /><rpid:on-the-phone/></rpid:activities>'
            + f"<dm:note {model}>n</dm:note></dm:person>"
            + END,
        )
        busy = pidf(tuple_of("a", "open"), '<p:person id="me"><r:activities><r:on-the-phone/></r:activities></p:person>')
        self.assertEqual(self.state(busy).count("on-the-phone"), 1)

    def test_extensions(self) -> None:
        """Devices and elements of others pass, with their namespaces and without what has none."""
        document = self.state(pidf(tuple_of("a", "open"), '<p:device id="d"/>', '<z:mood z:of="day">fine</z:mood>', '<n xmlns=""/>'))
        device = '<dm:device xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" id="d" />'
        mood = '<ns0:mood xmlns:ns0="urn:z" ns0:of="day">fine</ns0:mood>'
        self.assertEqual(document, HEAD + tuple_of("a", "open") + device + mood + END)

    def test_nothing_gets_out_of_its_place(self) -> None:
        """Markup in what users chose is text in the document."""
        self.sources.there = [Binding(ALICE, '"><x/>', 9e9, "r-1")]
        body = pidf('<tuple id="&quot;&gt;&lt;x/&gt;"><status><basic>open</basic></status></tuple><note>&lt;x/&gt;</note>')
        tags = {one.tag for one in ElementTree.fromstring(self.state(body)).iter()}
        self.assertNotIn(f"{{{PIDF}}}x", tags)
        strange = self.package.state('a"><x/>\udcff@example.test', "", [], 0, "")
        self.assertEqual(ElementTree.fromstring(strange).get("entity"), "sip:a%22%3E%3Cx/%3E%FF@example.test")

    def test_bounded(self) -> None:
        """However much is published, the document fits into a datagram, and the newest is in it."""
        note = "n" * 16000
        document = self.state(*[pidf(tuple_of(f"t{n}", "open"), f"<note>{note}{n}</note>") for n in range(16)])
        self.assertLess(len(document), LARGEST)
        self.assertIn('id="t15"', document)

    def test_refused(self) -> None:
        """What isn't PIDF, or would grow when it is written anew, isn't taken."""
        spaces = " ".join(f'xmlns:n{n}="urn:{"x" * 200}{n}"' for n in range(50))
        uses = "".join(f"<n{n}:x/>" for n in range(50))
        cases = [
            b"<presence/>",
            b'<presence xmlns="urn:other"/>',
            b'<!DOCTYPE presence><presence xmlns="urn:ietf:params:xml:ns:pidf"/>',
            pidf("<tuple><status/></tuple>"),
            pidf(*[tuple_of(f"t{n}", "open") for n in range(65)]),
            pidf(*[f'<tuple id="t{n}" {spaces}>{uses}</tuple>' for n in range(3)]),
        ]
        for body in cases:
            self.assertRaises(ParseError, self.package.check, body, "application/pidf+xml")
