"""Calls that failed are on the disk: as they were, without secrets, within bounds, and found again."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from sipnode import cli, config
from sipnode.errors import ConfigError, MediaError
from sipnode.insight.archive import LOOK_SECONDS, MOST_WAITING, Archive
from sipnode.insight.explain import explain
from sipnode.insight.export import FORMS
from sipnode.insight.finished import AT_ONCE, SETTLE, Finished
from sipnode.insight.finished import MOST_WAITING as MOST_FINISHED
from sipnode.insight.keeping import Kept, Unreadable, mark_of, name_of, read, row_in, written
from sipnode.insight.ring import FAILED, KNOWN, Record
from sipnode.insight.row import row_of
from sipnode.insight.service import Insight
from sipnode.insight.shelf import Shelf
from sipnode.settings import RecorderSettings, Settings
from sipnode.testing import DOMAIN
from sipnode.wiring.insight import recorder_of
from sipnode.wiring.records import records_of
from tests.insight.kit import SDP, RecordedCase

SECRET = b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0LWtleS1vZi1tZWRpYQ==\r\na=ice-pwd:hushhushhushhushhushhush\r\n"


def at_once(function: Any, *arguments: Any) -> Deferred[Any]:
    """The thread of the disk, which here is none."""
    return maybeDeferred(function, *arguments)


class ArchiveCase(RecordedCase):
    """A world whose failed calls are kept."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp())
        self.run: Any = at_once
        self.archive = self.opened(self.insight)
        self.finished = Finished(self.world.clock)
        self.finished.takers.append(self.archive.take)
        self.recorder.finished = self.finished.ended
        self.addCleanup(self.finished.stopService)

    def opened(self, insight: Insight, octets: int = 10_000_000, seconds: float = 86400.0) -> Archive:
        """The folder, by a server that has just begun."""
        assert insight.keeper is not None
        shelf = Shelf(self.folder)
        made = Archive(self.world.clock, lambda: insight.around, insight.keeper.closings, shelf, lambda *a: self.run(*a), octets, seconds)
        made.startService()
        self.addCleanup(made.stopService)
        insight.archive = made
        return made

    def restarted(self) -> Insight:
        """What another process has of it."""
        insight = Insight(recorder_of(RecorderSettings(enabled=True)))
        self.opened(insight)
        return insight

    def failed(self, body: bytes = SDP, wait: float = SETTLE) -> str:
        """A call that fails; its Call-ID."""
        self.bob.take()
        invite = self.alice.send("INVITE", self.bob.aor, (), body)
        self.bob.reply(self.bob.got("INVITE"), 500, headers=(("reason", 'Q.850;cause=16;text="Card failed"'),))
        self.world.clock.advance(wait)
        return invite.call_id

    def files(self) -> list[str]:
        """Names in the folder."""
        return sorted(os.listdir(self.folder))


class KeptTests(ArchiveCase):
    """What is kept, and found."""

    def test_found_again(self) -> None:
        """After a restart it is in the list, explained, and exported in each form exactly as before."""
        call_id = self.failed()
        before = {form: self.insight.export(call_id, form)["text"] for form in FORMS}
        row, why, document = self.insight.rows(1, "problems"), self.why(call_id), self.insight.document(call_id)
        insight = self.restarted()
        self.assertEqual(insight.rows(5, "problems"), row)
        self.assertEqual(insight.explain(call_id), why)
        self.assertEqual(insight.document(call_id), document)
        self.assertEqual({form: insight.export(call_id, form)["text"] for form in FORMS}, before)
        self.assertEqual((why["rule"], insight.state()["kept"]), ("callee_refused", 1))

    def test_what_was_around(self) -> None:
        """What was known around the call then is known later: when the callee went, which trunk it was, the line of the script."""
        self.world.close(self.bob, "no pong in time")
        self.world.clock.advance(12)
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        self.world.clock.advance(SETTLE)
        self.assertEqual(self.why(invite.call_id)["rule"], "gone")
        found = self.restarted().explain(invite.call_id)
        self.assertIn("until 12 s before the call", found["sentence"])
        self.assertIn("no pong in time", found["sentence"])

    def test_only_failures(self) -> None:
        """A call that went well isn't kept, nor one of a stranger, nor what isn't over yet."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        call.from_caller("BYE")
        self.bob.reply(self.bob.got("BYE"), 200)
        self.world.phone("eve", domain="elsewhere.test").send("INVITE", f"sip:nobody@{DOMAIN}", (), SDP)
        self.world.clock.advance(SETTLE)
        self.failed(wait=SETTLE - 0.1)
        self.assertEqual(self.files(), [])
        self.world.clock.advance(0.2)
        self.assertEqual(len(self.files()), 1)

    def test_whole(self) -> None:
        """The answer that went to the caller after the end is in it."""
        self.failed()
        kept = Shelf(self.folder).read(self.files()[0])
        final = kept.story.final()
        assert final is not None
        self.assertEqual(final.status, 500)

    def test_twice(self) -> None:
        """A call that fails once more with the same Call-ID has one file, with all of it."""
        call_id = self.failed()
        record = self.ring.records[call_id]
        self.world.clock.advance(1)
        self.archive.take(record)
        size = self.folder.joinpath(self.files()[0]).stat().st_size
        self.assertEqual((len(self.files()), len(self.archive), self.archive.octets), (1, 1, size))
        self.assertEqual(self.restarted().explain(call_id)["rule"], "callee_refused")

    def test_private(self) -> None:
        """Folder and files are for the server's user alone."""
        self.failed()
        self.assertEqual(stat.S_IMODE(self.folder.stat().st_mode), 0o700)
        self.assertEqual(stat.S_IMODE((self.folder / self.files()[0]).stat().st_mode), 0o600)

    def test_secrets(self) -> None:
        """No secret gets to the disk: neither of a message nor of a contact that was looked up."""
        carol = self.world.phone("carol", contact="sip:carol@192.0.2.13;token=push-token-of-carol")
        carol.register()
        credentials = 'Digest username="alice",realm="x",nonce="nonce-of-alice",uri="sip:x",response="0123456789abcdef0123456789abcdef"'
        invite = self.alice.send("INVITE", carol.aor, (("authorization", credentials),), SDP + SECRET)
        carol.reply(carol.got("INVITE"), 500)
        self.world.clock.advance(SETTLE)
        text = (self.folder / self.files()[0]).read_text()
        self.assertIn(invite.call_id, text)
        for secret in ("push-token", "nonce-of-alice", "0123456789abcdef", "c2VjcmV0", "hushhush"):
            self.assertNotIn(secret, text)
        self.assertNotIn("push-token", json.dumps(self.insight.document(invite.call_id)))


class BoundTests(ArchiveCase):
    """The disk and the process are bounded."""

    def test_size(self) -> None:
        """The oldest files go where there is no more room."""
        first = self.failed()
        size = self.archive.octets
        self.archive._most = 3 * size + 200
        for _ in range(5):
            last = self.failed()
        self.assertLessEqual(sum(path.stat().st_size for path in self.folder.iterdir()), self.archive._most)
        self.assertEqual((len(self.files()), self.archive.octets), (3, sum(path.stat().st_size for path in self.folder.iterdir())))
        self.assertIsNone(self.archive.find(first))
        self.assertIsNotNone(self.archive.find(last))

    def test_age(self) -> None:
        """What is too old goes, also while nothing fails."""
        self.failed()
        self.world.clock.advance(86400 - 2 * LOOK_SECONDS)
        self.assertEqual(len(self.files()), 1)
        self.world.clock.pump([LOOK_SECONDS] * 3)
        self.assertEqual((self.files(), len(self.archive)), ([], 0))

    def test_slow_disk(self) -> None:
        """A disk that hangs holds up no call and takes no more memory than for some; the rest are given up and counted."""
        held: list[Deferred[Any]] = []

        def never(function: Any, *arguments: Any) -> Deferred[Any]:
            held.append(Deferred())
            return held[-1]

        self.run = never
        record = self.ring.records[self.failed()]
        for _ in range(3 * MOST_WAITING):
            self.archive.take(record)
        self.assertEqual(len(held), MOST_WAITING)
        self.assertEqual(self.insight.state()["given_up"], 2 * MOST_WAITING + 1)

    def test_full_disk(self) -> None:
        """A disk that is full costs the record, is counted, and told once in a while; then it goes on."""
        self.run = lambda function, *arguments: fail(OSError(28, "No space left on device"))
        for _ in range(3):
            self.failed()
        self.assertEqual((self.archive.given_up, "No space left" in self.insight.state()["fault"]), (3, True))
        self.assertEqual(len(self.flushLoggedErrors()), 0)
        self.run = at_once
        self.failed()
        self.assertEqual((self.insight.state()["fault"], len(self.files())), ("", 1))

    def test_many_ends(self) -> None:
        """Many calls that end at once are handed on in turns, no more than there is room for wait, and what the ring has let go is none."""
        records = [Record(f"call{number}", b"") for number in range(MOST_FINISHED + 5)]
        taken: list[Record] = []
        finished = Finished(self.world.clock)
        finished.takers.append(taken.append)
        for record in records:
            record.queue = KNOWN
            record.events.append((0.0, "fact", "", ()))
            finished.ended(record)
        records[0].events = []
        self.assertEqual(finished.dropped, 5)
        self.world.clock.advance(SETTLE)
        self.assertEqual(len(taken), AT_ONCE - 1)
        finished.stopService()
        self.assertEqual(taken, records[1:MOST_FINISHED])

    def test_taker_that_fails(self) -> None:
        """A taker that raises keeps nothing from the others."""
        taken: list[Record] = []
        self.finished.takers[:0] = [lambda record: [][0]]
        self.finished.takers.append(taken.append)
        self.failed()
        self.assertEqual((len(taken), len(self.files())), (1, 1))
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)


class FileTests(ArchiveCase):
    """What else may lie in the folder."""

    def test_killed_while_writing(self) -> None:
        """What a process had begun to write is taken away; whole files stay."""
        call_id = self.failed()
        name = self.files()[0]
        (self.folder / f".{name}.new").write_bytes(b"{")
        self.assertEqual(self.restarted().explain(call_id)["rule"], "callee_refused")
        self.assertEqual(self.files(), [name])

    def test_foreign_files(self) -> None:
        """Files of others are never touched, and broken ones are not recorded, without a fault."""
        self.folder.joinpath("notes.txt").write_text("mine")
        self.folder.joinpath(name_of("call", 1.0)).write_text("{}\n{}")
        self.folder.joinpath(name_of("empty", 2.0)).write_text("")
        self.folder.joinpath(name_of("folder", 3.0)).mkdir()
        call_id = self.failed()
        whole = self.folder.joinpath(self.files()[-2] if self.files()[-1] == "notes.txt" else self.files()[-1])
        head = whole.read_bytes().partition(b"\n")[0]
        for rest in (b"", b"[", b"{}", b'{"entries": [[1]]}', b'{"entries": 5}', b"[" * 100_000, b"null"):
            whole.write_bytes(head + b"\n" + rest)
            self.assertFalse(self.restarted().explain(call_id)["recorded"])
        self.world.clock.pump([86400, LOOK_SECONDS])
        self.assertIn("notes.txt", self.files())

    def test_mischief(self) -> None:
        """A file in which an event refers to what isn't there is unreadable, and nothing else happens."""
        call_id = self.failed()
        kept = self.archive.find(call_id)
        assert kept is not None
        data = written(kept)
        head, body = data.split(b"\n")[:2]
        for place, value in ((9, 99), (1, "x"), (10, {"quality": []}), (4, [1])):
            found = json.loads(body)
            found["entries"][0][place] = value
            self.assertRaises(Unreadable, read, head + b"\n" + json.dumps(found).encode())
        self.assertRaises(Unreadable, row_in, head.replace(b'"sipnode_record": 1', b'"sipnode_record": 9'))

    def test_call_ids(self) -> None:
        """Whatever a Call-ID is, its file lies in the folder."""
        for call_id in ("../../etc/passwd", "x" * 5000, "\x00", "a\udcff", ""):
            self.assertRegex(name_of(call_id, 1_700_000_000.5), r"^failed-001700000000500-[0-9a-f]{32}\.json$")
        self.assertNotEqual(mark_of("a"), mark_of("b"))

    def test_each_kind(self) -> None:
        """Every kind of event comes back as it was, media numbers and octets that are no UTF-8 too."""
        assert self.relay is not None
        self.relay.error = MediaError("Ran out of ports", 503)
        invite = self.alice.send("INVITE", self.bob.aor, (("subject", "gr\udcfc\udcdfe"),), SDP)
        stream = {b"flags": [b"RTP"], b"stats": {b"packets": 5}, b"endpoint": {b"address": b"192.0.2.1", b"port": 4}}
        self.recorder.measured(1.0, invite.call_id, {b"tags": {b"a": {b"medias": [{b"streams": [stream]}]}}})
        record = self.ring.records[invite.call_id]
        self.assertEqual(record.queue, FAILED)
        story = self.story(invite.call_id)
        kept = read(written(Kept(story, row_of(record), self.insight.around)))
        self.assertEqual(explain(kept.story, kept.around), explain(story, self.insight.around))
        for before, after in zip(story.entries, kept.story.entries, strict=True):
            self.assertEqual((before.kind, before.data, before.of), (after.kind, after.data, after.of))
            self.assertEqual(str(_tuples(before.parts)), str(after.parts))


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if type(value) in (list, tuple) else value


class CommandTests(ArchiveCase):
    """Without the server."""

    def command(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, what is printed, and what is said to be wrong."""
        out, wrong = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(wrong):
            status = cli.main([*arguments, "-c", str(self.conf)])
        return status, out.getvalue(), wrong.getvalue()

    def setUp(self) -> None:
        super().setUp()
        self.conf = Path(self.mktemp())
        self.conf.mkdir()
        settings = Settings(recorder=RecorderSettings(enabled=True, folder=str(self.folder.absolute())))
        settings = replace(settings, core=replace(settings.core, domains=(DOMAIN,)))
        (self.conf / config.FILE_NAME).write_text(config.render(settings))

    def test_explain(self) -> None:
        """Where no server answers, explain and ladder read the folder: the call that is named, or the last one."""
        first = self.failed()
        self.world.clock.advance(1)
        self.failed(SDP.replace(b"4000", b"4444"))
        status, out, _ = self.command("explain", first)
        self.assertEqual((status, "Card failed" in out), (0, True))
        self.assertEqual(json.loads(self.command("explain", "--json")[1])["rule"], "callee_refused")
        path = self.mktemp()
        self.assertEqual(self.command("ladder", "--format", "markdown", "--output", path)[0], 0)
        self.assertIn("4444", Path(path).read_text())

    def test_neither(self) -> None:
        """A call that isn't there either is said to be so, after why the server wasn't asked."""
        status, _, wrong = self.command("explain", "nobody")
        self.assertEqual((status, "no server answers" in wrong, "nor is the call in [recorder] folder" in wrong), (1, True, True))


class WiringTests(SynchronousTestCase):
    """The settings."""

    def test_services(self) -> None:
        """Without a folder there are none; with one it hands records of ended calls on."""
        insight, folder = Insight(recorder_of(RecorderSettings(enabled=True))), Path(self.mktemp())
        self.assertEqual(records_of(insight, Settings(), folder, None), ())
        services = records_of(insight, Settings(recorder=RecorderSettings(folder="failed")), Path("."), None)
        self.assertEqual([service.name for service in services], ["archive", "finished"])
        assert insight.keeper is not None
        self.assertIsNotNone(insight.keeper.finished)

    def test_refusals(self) -> None:
        """A folder without a recorder, and one that can't be made, are refused with the setting's name."""
        self.assertRaises(ConfigError, records_of, Insight(None), Settings(recorder=RecorderSettings(folder="failed")), Path("."), None)
        insight, file = Insight(recorder_of(RecorderSettings(enabled=True))), Path(self.mktemp())
        file.write_text("")
        settings = Settings(recorder=RecorderSettings(enabled=True, folder=str(file.absolute() / "x")))
        self.assertRaises(ConfigError, records_of, insight, settings, Path("."), None)
