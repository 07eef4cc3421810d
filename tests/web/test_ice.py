"""Credentials of a TURN server are for users with their password alone, and for a while."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from sipnode.web import signedin
from sipnode.web.ice import IceResource, turn_credentials
from sipnode.web.pages import softphone_resource

from .kit import Exchange, fetch
from .test_directory import ALICE, WRONG, Guard

SECRET = "north of the river"


class IceTests(TestCase):
    """IceResource."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.guard = Guard(3)
        stun, turn = ["stun:s.test:3478"], ["turn:t.test:3478?transport=udp", "turns:t.test:5349"]
        self.resource = IceResource(stun, turn, SECRET, 3600, lambda: 1_700_000_000.7, self.verify, self.clock, lambda: self.guard)

    def verify(self, username: str, domain: str, password: str) -> Deferred[bool]:
        return succeed(password == "s3cret")

    def test_credentials(self) -> None:
        """As coturn makes them again from the name: HMAC-SHA1 with the secret, of a time and the user."""
        told = json.loads(fetch(self.resource, headers=ALICE).text)
        stun, turn = told["iceServers"]
        self.assertEqual((stun, told["seconds"]), ({"urls": "stun:s.test:3478"}, 3600))
        self.assertEqual(turn["urls"], ["turn:t.test:3478?transport=udp", "turns:t.test:5349"])
        self.assertEqual(turn["username"], "1700003600:alice@example.test")
        wanted = hmac.new(SECRET.encode(), turn["username"].encode(), hashlib.sha1).digest()
        self.assertEqual(base64.b64decode(turn["credential"]), wanted)
        self.assertNotEqual(turn_credentials(SECRET, "bob@example.test", 1_700_003_600)[1], turn["credential"])

    def test_strangers(self) -> None:
        """Without a password, with a wrong one, and from elsewhere without TLS nobody gets any; guesses are counted with those of SIP."""
        self.assertEqual(fetch(self.resource).status, 401)
        for _ in range(3):
            exchange = Exchange(self.resource, headers=WRONG)
            self.clock.advance(signedin.ANSWER_SECONDS)
            answer = exchange.answer()
            assert answer is not None
            self.assertEqual(answer.status, 401)
            self.assertNotIn("turn", answer.text)
        self.assertEqual(fetch(self.resource, headers=ALICE).status, 429)
        self.assertEqual(fetch(self.resource, headers=ALICE, peer="192.0.2.9").status, 403)
        self.assertEqual([what for what, _, _ in self.guard.told], ["wrong"] * 3)

    def test_page_knows(self) -> None:
        """The page is told that there is something to ask for, and nothing of it before."""
        page = softphone_resource("example.test", "1", ice=self.resource)
        answer = fetch(page, "/config.json")
        self.assertTrue(json.loads(answer.text)["ice"])
        self.assertNotIn("turn", answer.text)
        self.assertEqual(fetch(page, "/ice.json", headers=ALICE).status, 200)
