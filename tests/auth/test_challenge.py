from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.auth.challenge import challenge_headers, credentials_for
from sipnode.errors import ParseError
from sipnode.sip.build import request
from sipnode.sip.digest import authorization, challenge, parse_challenge
from sipnode.sip.message import SipRequest

BOTH = ("SHA-256", "MD5")


def answer(realm: str, algorithm: str = "MD5") -> str:
    return authorization(parse_challenge(challenge(realm, "n", algorithm)), "INVITE", "sip:bob@example.test", "alice", "x", "c")


def message(*headers: tuple[str, str]) -> SipRequest:
    return request("INVITE", "sip:bob@example.test", [(name.lower(), value) for name, value in headers])


class ChallengeTests(SynchronousTestCase):
    """Which lines go out, and which come in."""

    def test_lines(self) -> None:
        """One line for each algorithm in the order given, named after the side that asks."""
        for proxy, name in ((False, "WWW-Authenticate"), (True, "Proxy-Authenticate")):
            lines = challenge_headers(proxy, "example.test", "abc", BOTH, True)
            self.assertEqual([name for name, _ in lines], [name, name])
            found = [parse_challenge(value) for _, value in lines]
            self.assertEqual(
                [(one.algorithm, one.realm, one.nonce, one.stale) for one in found], [(name, "example.test", "abc", True) for name in BOTH]
            )

    def test_none(self) -> None:
        """No line, a line of another scheme or of another realm: there are no credentials."""
        for headers in (
            [],
            [("Authorization", "Bearer abc")],
            [("Authorization", answer("other.test"))],
            [("Proxy-Authorization", answer("example.test"))],
        ):
            self.assertIsNone(credentials_for(message(*headers), False, "example.test", BOTH))

    def test_ours_among_others(self) -> None:
        """The line for our realm is found among others, broken ones and other schemes included."""
        lines = [("Authorization", text) for text in ("Digest broken", "Bearer x", answer("other.test"), answer("example.test"))]
        found = credentials_for(message(*lines), False, "example.test", BOTH)
        self.assertEqual(found and found.realm, "example.test")

    def test_algorithm(self) -> None:
        """Of several for our realm the first that we can check is taken; else the first, so that it can be judged."""
        unknown = answer("example.test").replace("algorithm=MD5", "algorithm=SHA-512-256")
        lines = [("Authorization", unknown), ("Authorization", answer("example.test", "SHA-256"))]
        found = credentials_for(message(*lines), False, "example.test", BOTH)
        self.assertEqual(found and found.algorithm, "SHA-256")
        found = credentials_for(message(*lines), False, "example.test", ("MD5",))
        self.assertEqual(found and found.algorithm, "SHA-512-256")

    def test_broken(self) -> None:
        """A line that can't be read, and none for us beside it, is a fault."""
        for others in ([], [("Authorization", answer("other.test"))]):
            broken = message(("Authorization", 'Digest username="a"'), *others)
            self.assertRaises(ParseError, credentials_for, broken, False, "example.test", BOTH)

    def test_bounded(self) -> None:
        """Only the first lines are looked at."""
        lines = [("Authorization", answer("other.test"))] * 8 + [("Authorization", answer("example.test"))]
        self.assertIsNone(credentials_for(message(*lines), False, "example.test", BOTH))
