"""Packages ``presence.winfo``, ``reg`` and ``message-summary``: whole documents."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.errors import ParseError
from sipnode.interfaces import IEventPackage
from sipnode.presence.packages import mwi, reg, winfo
from sipnode.records import Binding, Publication, SubscriptionStatus, Watcher

ALICE = "alice@example.test"
XML = '<?xml version="1.0" encoding="UTF-8"?>\n'


class Sources:
    """What a package may ask."""

    def __init__(self) -> None:
        self.who: list[Watcher] = []
        self.where: list[Binding] = []
        self.ended: list[tuple[str, Binding]] = []
        self.rows: list[Publication] = []

    def now(self) -> float:
        return 1000.0

    def watchers(self, resource: str, event: str) -> list[Watcher]:
        return self.who if (resource, event) == (ALICE, "presence") else []

    def bindings(self, aor: str) -> list[Binding]:
        return self.where

    def gone(self, aor: str) -> list[tuple[str, Binding]]:
        return self.ended

    def published(self, resource: str, event: str) -> list[Publication]:
        return self.rows


class Case(SynchronousTestCase):
    """Has a package and its sources."""

    package: Any

    def start(self, package: Any) -> None:
        """Use it."""
        self.package, self.sources = package, Sources()
        package.start(self.sources)
        verifyObject(IEventPackage, package)
        self.assertTrue(package.own_only)

    def state(self, version: int = 0, rows: list[Publication] | None = None) -> str:
        """The document."""
        document: bytes = self.package.state(ALICE, "", rows or [], version, self.package.content_types[0])
        return document.decode()


class WinfoTests(Case):
    """presence.winfo"""

    HEAD = (
        f'{XML}<watcherinfo xmlns="urn:ietf:params:xml:ns:watcherinfo" version="3" state="full">'
        '<watcher-list resource="sip:alice@example.test" package="presence">'
    )
    END = "</watcher-list></watcherinfo>\n"

    def setUp(self) -> None:
        self.start(winfo.WinfoPackage())

    def test_nobody(self) -> None:
        """An empty list."""
        self.assertEqual(self.state(3), self.HEAD + self.END)

    def test_watchers(self) -> None:
        """Who waits comes first; the tag of a subscription isn't told."""
        self.sources.who = [
            Watcher(ALICE, "bob@example.test", "presence", SubscriptionStatus.ACTIVE, "approved", 900.0, 1600.0, "tag-1"),
            Watcher(ALICE, "<c>@example.test", "presence", SubscriptionStatus.PENDING, "", 990.0, 1300.0, "tag-2"),
        ]
        document = self.state(3)
        self.assertEqual(
            document,
            self.HEAD
            + '<watcher id="wbbc6f3f1404d" status="pending" event="subscribe" expiration="300" duration-subscribed="10">'
            + "sip:%3Cc%3E@example.test</watcher>"
            + '<watcher id="w68d78145c5b2" status="active" event="approved" expiration="600" duration-subscribed="100">'
            + "sip:bob@example.test</watcher>"
            + self.END,
        )
        self.assertNotIn("tag-", document)

    def test_bounded(self) -> None:
        """Of too many watchers those who wait are told."""
        self.sources.who = [
            Watcher(ALICE, f"w{n}@example.test", "presence", 1 if n < 5000 else 2, "", 900.0, 1600.0, f"t{n}") for n in range(5010)
        ]
        document = self.state()
        self.assertLess(len(document), 49152)
        self.assertEqual((document.count("pending"), document.count("<watcher ")), (10, winfo.MOST))


class RegTests(Case):
    """reg"""

    HEAD = f'{XML}<reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="2" state="full">'
    END = "</registration></reginfo>\n"

    def setUp(self) -> None:
        self.start(reg.RegPackage())

    def registration(self, state: str) -> str:
        """The element, whatever its id."""
        identity = ElementTree.fromstring(self.state(2))[0].get("id")
        return f'<registration aor="sip:alice@example.test" id="{identity}" state="{state}">'

    def test_never(self) -> None:
        """Who isn't registered is at the start."""
        self.assertEqual(self.state(2), self.HEAD + self.registration("init") + self.END)

    def test_contacts(self) -> None:
        """Each contact with its time and its device."""
        self.sources.where = [
            Binding(ALICE, "sip:alice@192.0.2.10", 1060.0, "r-1", "call-1", 4),
            Binding(ALICE, "sip:x@y.invalid;transport=ws", 1120.0, "r-2", "call-2", 1, q=0.5, instance="<urn:uuid:1>"),
        ]
        one, two = (contact.get("id") for contact in ElementTree.fromstring(self.state())[0])
        self.assertEqual(
            self.state(2),
            self.HEAD
            + self.registration("active")
            + f'<contact id="{one}" state="active" event="registered" expires="60" q="1" callid="call-1" cseq="4">'
            + "<uri>sip:alice@192.0.2.10</uri></contact>"
            + f'<contact id="{two}" state="active" event="registered" expires="120" q="0.5" callid="call-2" cseq="1">'
            + "<uri>sip:x@y.invalid;transport=ws</uri>"
            + '<unknown-param name="+sip.instance">&lt;urn:uuid:1&gt;</unknown-param></contact>'
            + self.END,
        )

    def test_ends(self) -> None:
        """One that ended is told as ended, with how; the last one ends the registration."""
        for kind, event in (
            ("unregistered", "unregistered"),
            ("expired", "expired"),
            ("closed", "deactivated"),
            ("removed", "deactivated"),
        ):
            self.sources.ended = [(kind, Binding(ALICE, "sip:alice@192.0.2.10", 1060.0, "r-1", "call-1", 4))]
            (contact,) = ElementTree.fromstring(self.state())[0]
            self.assertEqual((contact.get("state"), contact.get("event"), contact.get("expires")), ("terminated", event, "0"))
            self.assertIn(self.registration("terminated"), self.state())


class MessageSummaryTests(Case):
    """message-summary"""

    def setUp(self) -> None:
        self.start(mwi.MessageSummaryPackage())

    def row(self, body: bytes, received: float) -> Publication:
        """One state of the mailbox."""
        return Publication(ALICE, "message-summary", "e", 9e9, received, body, "server", "r")

    def test_without_a_mailbox(self) -> None:
        """There is nothing to subscribe to."""
        self.assertEqual(self.package.refusal(ALICE, ALICE), (404, "No voicemail service"))
        self.sources.rows = [self.row(b"", 1.0)]
        self.assertIsNone(self.package.refusal(ALICE, ALICE))

    def test_summary(self) -> None:
        """Whether messages wait, whose, how many new and old ones, how many of them urgent."""
        self.assertEqual(
            mwi.compose(ALICE, mwi.Mailbox(2, 8, 1, 0)),
            b"Messages-Waiting: yes\r\nMessage-Account: sip:alice@example.test\r\nVoice-Message: 2/8 (1/0)\r\n",
        )
        self.assertIn(b"Messages-Waiting: no\r\n", mwi.compose(ALICE, mwi.Mailbox(0, 8)))
        self.assertEqual(mwi.read(mwi.compose(ALICE, mwi.Mailbox(2, 8)))["voice-message"], "2/8 (0/0)")

    def test_newest(self) -> None:
        """The newest state counts, as it came."""
        rows = [self.row(b"Messages-Waiting: no\n", 2.0), self.row(b"Messages-Waiting: yes\n", 1.0)]
        self.assertEqual(self.state(0, rows), "Messages-Waiting: no\n")

    def test_taken_away(self) -> None:
        """A mailbox that is gone has nothing waiting."""
        self.assertIn("Messages-Waiting: no", self.state())

    def test_published(self) -> None:
        """A summary is taken, other texts aren't."""
        self.package.check(b"Messages-Waiting: yes\r\nVoice-Message: 1/0\r\nX-More: a:b\r\n\r\nFrom: x", "")
        for wrong, status in (
            (b"", 400),
            (b"Voice-Message: 1/0\n", 400),
            (b"Messages-Waiting: maybe\n", 400),
            (b"Messages-Waiting: yes\nVoice-Message: many\n", 400),
            (b"Messages-Waiting: yes\nVoice-Message: 1/0 (1)\n", 400),
            (b"Messages-Waiting: yes\nline\n", 400),
            (b"Messages-Waiting: yes\nX: \x01\n", 400),
            (b"Messages-Waiting: \xff\n", 415),
        ):
            error = self.assertRaises(ParseError, self.package.check, wrong, "")
            self.assertEqual(error.status, status, wrong)
