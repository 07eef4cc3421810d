"""Tests of `sipnode.media.ng`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import MediaError
from sipnode.media import ng
from sipnode.media.bencode import BencodeError, decode_dictionary, encode
from sipnode.records import MediaKey


class CommandTests(SynchronousTestCase):
    """What is asked of the daemon."""

    def test_offer_of_a_first_invite(self) -> None:
        """An offer names call, offerer and branch, has no to-tag, and carries the fields and the SDP."""
        command = ng.offer(MediaKey("c", "f", via_branch="z9.1"), b"v=0", {"ICE": "force"})
        self.assertEqual(
            command, {"command": "offer", "call-id": "c", "from-tag": "f", "via-branch": "z9.1", "sdp": b"v=0", "ICE": "force"}
        )

    def test_answer(self) -> None:
        """An answer has both tags; inside a dialog there is no via-branch."""
        self.assertEqual(
            ng.answer(MediaKey("c", "f", "t"), b"v=0", {}),
            {"command": "answer", "call-id": "c", "from-tag": "f", "to-tag": "t", "sdp": b"v=0"},
        )

    def test_delete_of_a_branch_and_of_a_call(self) -> None:
        """A branch is named by its tags and via-branch, a whole call by its Call-ID alone; the delay is sent unless it is the daemon's."""
        self.assertEqual(
            ng.delete(MediaKey("c", "f", "t", "z9.1"), 0),
            {"command": "delete", "call-id": "c", "from-tag": "f", "to-tag": "t", "via-branch": "z9.1", "delete delay": 0},
        )
        self.assertEqual(ng.delete(MediaKey("c", "")), {"command": "delete", "call-id": "c"})
        self.assertEqual(ng.delete(MediaKey("c", "f", "t")), {"command": "delete", "call-id": "c", "from-tag": "f", "to-tag": "t"})

    def test_others(self) -> None:
        """Query, list and ping."""
        self.assertEqual(ng.query("c"), {"command": "query", "call-id": "c"})
        self.assertEqual(ng.list_calls(5), {"command": "list", "limit": 5})
        self.assertEqual(ng.ping(), {"command": "ping"})

    def test_datagram(self) -> None:
        """Cookie, one space, dictionary."""
        self.assertEqual(ng.datagram(b"abc", ng.ping()), b"abc d7:command4:pinge")

    def test_too_large_for_a_datagram(self) -> None:
        """SDP that no datagram holds is the caller's fault and is named so."""
        with self.assertRaises(MediaError) as caught:
            ng.datagram(b"abc", ng.offer(MediaKey("c", "f"), b"x" * 65_000, {}))
        self.assertEqual(caught.exception.status, 513)

    def test_cookies_differ(self) -> None:
        """No two cookies are the same, and none holds a space."""
        cookies = {ng.new_cookie() for _ in range(1000)}
        self.assertEqual(len(cookies), 1000)
        self.assertFalse(any(b" " in cookie for cookie in cookies))


class ReplyTests(SynchronousTestCase):
    """What the daemon says."""

    def refusal(self, **reply: object) -> MediaError:
        with self.assertRaises(MediaError) as caught:
            ng.read_reply(encode({name.replace("_", "-"): value for name, value in reply.items()}))
        return caught.exception

    def test_split(self) -> None:
        """A reply is split at its first space; what has none is no reply."""
        self.assertEqual(ng.split_reply(b"abc d6:result2:oke"), (b"abc", b"d6:result2:oke"))
        self.assertEqual(ng.split_reply(b"abc"), (b"", b""))
        self.assertEqual(ng.split_reply(b""), (b"", b""))

    def test_success(self) -> None:
        """ok and pong are success, also with a warning beside."""
        for reply in ({"result": "ok"}, {"result": "pong"}, {"result": "ok", "warning": "Call-ID not found or tags didn't match"}):
            self.assertEqual(ng.read_reply(encode(reply)), decode_dictionary(encode(reply)))

    def test_reasons(self) -> None:
        """Each error-reason becomes the error and status of the table."""
        for reason, error, status in (
            ("Ran out of ports", ng.NodeFull, 503),
            ("Parallel session limit reached", ng.NodeFull, 503),
            ("Unknown call-id", ng.UnknownCall, 500),
            ("Unknown call-ID", ng.UnknownCall, 500),
            ("Call-ID not found or tags didn't match", ng.UnknownCall, 500),
            ("Failed to parse SDP", ng.BadSdp, 488),
            ("Incomplete SDP specification", ng.BadSdp, 488),
            ("No SDP body in message", ng.BadSdp, 488),
            ("Could not decode bencode dictionary", MediaError, 500),
            ("Unrecognized command", MediaError, 500),
            ("No from-tag in message", MediaError, 500),
            ("To-tag not found", MediaError, 500),
            ("Invalid dialogue association", MediaError, 500),
        ):
            found = self.refusal(result="error", error_reason=reason)
            self.assertEqual((type(found), found.status, found.reason), (error, status, reason))

    def test_load_limit(self) -> None:
        """A node over its limit is full, in its own words where it has some."""
        self.assertIsInstance(self.refusal(result="load limit"), ng.NodeFull)
        self.assertEqual(self.refusal(result="load limit", message="Load limit exceeded").reason, "Load limit exceeded")

    def test_nonsense(self) -> None:
        """No dictionary, no result, a result of another type: each a BencodeError; an error without a reason is a 500."""
        for data in (b"", b"le", b"de", b"d6:resulti1ee", b"d6:result5:maybee"):
            self.assertRaises(BencodeError, ng.read_reply, data)
        self.assertEqual(self.refusal(result="error").status, 500)
        self.assertEqual(self.refusal(result="error", error_reason=3).status, 500)

    def test_reason_is_fit_for_a_header(self) -> None:
        """A reason can neither fill a log nor begin a line of its own."""
        self.assertEqual(self.refusal(result="error", error_reason="no\r\nX: y\x00").reason, "no  X: y")
        self.assertLessEqual(len(self.refusal(result="error", error_reason="x" * 60_000).reason), 200)
