"""Package ``dialog``: whole documents, written and read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.errors import ParseError
from sipnode.interfaces import IEventPackage
from sipnode.presence.packages.dialog import DialogPackage
from sipnode.presence.packages.dialoginfo import MOST, compose, parse
from sipnode.records import PartyCall

ALICE = "alice@example.test"
HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="7" state="full" entity="sip:alice@example.test">'
)
END = "</dialog-info>\n"
CALL = PartyCall("c-i", "call-1", "t-a", "t-b", "initiator", "confirmed", "sip:alice@example.test", "sip:bob@example.test", "Bob")
WRITTEN = (
    '<dialog id="c-i" call-id="call-1" local-tag="t-a" remote-tag="t-b" direction="initiator"><state>confirmed</state>'
    '<local><identity>sip:alice@example.test</identity><target uri="sip:alice@example.test"/></local>'
    '<remote><identity display="Bob">sip:bob@example.test</identity><target uri="sip:bob@example.test"/></remote></dialog>'
)


class Sources:
    """What a package may ask."""

    def __init__(self) -> None:
        self.there: list[PartyCall] = []

    def calls(self, aor: str) -> list[PartyCall]:
        return self.there


class DocumentTests(SynchronousTestCase):
    """state(), compose() and parse()"""

    def setUp(self) -> None:
        self.sources: Any = Sources()
        self.package = DialogPackage()
        self.package.start(self.sources)

    def state(self, watcher: str = ALICE) -> str:
        """The document, for who may see all of it."""
        document = self.package.state(ALICE, watcher, [], 7, "application/dialog-info+xml")
        ElementTree.fromstring(document)
        return document.decode()

    def test_interface(self) -> None:
        """It is what the interface says."""
        verifyObject(IEventPackage, self.package)

    def test_nothing(self) -> None:
        """Who isn't in a call has no dialogs."""
        self.assertEqual(self.state(), HEAD + END)

    def test_call(self) -> None:
        """A call that is up, with both its ends and what a phone needs to pick it up."""
        self.sources.there = [CALL]
        self.assertEqual(self.state(), HEAD + WRITTEN + END)

    def test_for_everybody(self) -> None:
        """Whom nobody let pick up calls sees that there is one, its direction and state, under a name that it has nowhere else."""
        self.sources.there = [replace(CALL, state="terminated", event="rejected", code=486)]
        document = self.state("")
        (dialog,) = ElementTree.fromstring(document)
        self.assertEqual({**dialog.attrib, "id": ""}, {"id": "", "direction": "initiator"})
        self.assertEqual([(one.tag.rpartition("}")[2], one.attrib, one.text) for one in dialog], [("state", {}, "terminated")])
        self.assertNotIn(CALL.id, document)
        other = self.package.state("bob@example.test", "", [], 7, "application/dialog-info+xml")
        self.assertNotEqual(ElementTree.fromstring(other)[0].get("id"), dialog.get("id"))

    def test_anonymous(self) -> None:
        """While a call lives its other end stands there as anonymous: phones expect one."""
        self.sources.there = [CALL]
        (dialog,) = ElementTree.fromstring(self.state(""))
        self.assertEqual([one.text for one in dialog[1]], ["sip:anonymous@anonymous.invalid"])

    def test_before_an_answer(self) -> None:
        """The other end has no tag yet."""
        self.sources.there = [replace(CALL, remote_tag="", state="trying", remote_name="")]
        wanted = WRITTEN.replace(' remote-tag="t-b"', "").replace("confirmed", "trying").replace(' display="Bob"', "")
        self.assertEqual(self.state(), HEAD + wanted + END)

    def test_ended(self) -> None:
        """A call that ended says how."""
        self.sources.there = [replace(CALL, state="terminated", event="rejected", code=486)]
        wanted = WRITTEN.replace("<state>confirmed", '<state event="rejected" code="486">terminated')
        self.assertEqual(self.state(), HEAD + wanted + END)

    def test_ids(self) -> None:
        """Two phones that answered the same call are two dialogs."""
        self.sources.there = [CALL, replace(CALL, remote_tag="t-c")]
        self.assertEqual(len({one.get("id") for one in ElementTree.fromstring(self.state())}), 2)

    def test_hostile(self) -> None:
        """Markup and control characters of a caller are text, and nothing of it is long."""
        evil = '"><x/>\x01\udcff' + "y" * 5000
        self.sources.there = [PartyCall("c", evil, evil, evil, "recipient", "early", evil, evil, evil) for _ in range(MOST + 20)]
        document = self.state()
        self.assertLess(len(document), 49152)
        root = ElementTree.fromstring(document)
        self.assertGreater(len(root), 10)
        self.assertNotIn("x", {one.tag.rpartition("}")[2] for one in root.iter()})

    def test_many(self) -> None:
        """Of too many calls the newest are told, oldest first."""
        self.sources.there = [PartyCall(f"c{number}") for number in range(MOST + 20)]
        told = [one.get("id") for one in ElementTree.fromstring(self.state())]
        self.assertEqual(told, [f"c{number}" for number in range(20, MOST + 20)])

    def test_read_again(self) -> None:
        """What is written for the table is read back whole."""
        call = replace(CALL, session=90, node=2, remote_name="B <&> ü", browsers=("a b@example.test", "bob@example.test"))
        self.assertEqual(parse(compose("sip:alice@example.test", [call, replace(call, id="x")], 0, True)), (call, replace(call, id="x")))

    def test_of_others(self) -> None:
        """A document of another program is read as far as it goes; what isn't one is refused."""
        body = (
            b'<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="1" state="full" entity="sip:a@b">'
            b'<dialog id="1"><state>early</state></dialog><dialog id="2"/><dialog><state>early</state></dialog></dialog-info>'
        )
        self.assertEqual(parse(body), (PartyCall("1", state="early"),))
        for wrong in (b"<dialog-info/>", b"x", b'<!DOCTYPE a><dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info"/>'):
            self.assertRaises(ParseError, parse, wrong)

    def test_nothing_is_published(self) -> None:
        """Nobody lights another lamp than the calls do."""
        self.assertEqual(self.package.publish_types, ())
        self.assertRaises(ParseError, self.package.check, b"", "application/dialog-info+xml")
