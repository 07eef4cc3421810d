"""A site's script that asks the relay in rtpengine's words, as one of Kamailio does: whole calls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.media.bencode import decode_dictionary, encode
from sipnode.media.bridge import RtpengineRelay
from sipnode.media.nodes import NodeSet, parse_nodes
from sipnode.proxy.branch import Branch
from sipnode.routing.contact import set_reply_contact
from sipnode.routing.flagwords import check_words
from sipnode.routing.hooks import Managed, Passed
from sipnode.routing.script import RoutingScript
from sipnode.settings import MediaSettings, Settings
from sipnode.sip.message import SipResponse
from sipnode.testing import Call, World
from tests.media.captured import ANSWER, ANSWER_SDP, OFFER, OFFER_SDP
from tests.media.support import Nodes

WORDS = "trust-address replace-origin replace-session-connection rtcp-mux-offer rtcp-mux-accept media-address=203.0.113.70 record-call=on"
PHONE = b"v=0\r\no=- 1 1 IN IP4 10.1.1.1\r\ns=-\r\nc=IN IP4 10.1.1.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
TO_BROWSER = "UDP/TLS/RTP/SAVPF ICE=force rtcp-mux-offer generate-mid SDES-off DTLS=passive trust-address replace-origin"


class Manage(RoutingScript):
    """One string of words for everything."""

    def manage_branch(self, branch: Branch) -> Managed:
        return branch.rtpengine_manage(WORDS)


class Bridge(RoutingScript):
    """Words for the callee; its answers are derived."""

    def manage_branch(self, branch: Branch) -> Managed:
        return branch.rtpengine_manage(TO_BROWSER)


class Both(RoutingScript):
    """Words of its own for each way."""

    def manage_branch(self, branch: Branch) -> Managed:
        return branch.rtpengine_offer("TOS=46")

    def manage_reply(self, branch: Branch, response: SipResponse) -> Passed:
        set_reply_contact(branch, response)
        return branch.rtpengine_answer(response, "strict-source")


class AnswerWords(RoutingScript):
    """The answer's words given with the offer's."""

    def manage_branch(self, branch: Branch) -> Managed:
        return branch.rtpengine_manage("TOS=46", answer="no-rtcp-attribute")


class AnswerAlone(RoutingScript):
    """Words for the answer alone."""

    def manage_branch(self, branch: Branch) -> Managed:
        return branch.rtpengine_manage(answer="no-rtcp-attribute")


class OfferAlone(RoutingScript):
    """Words for the offer alone."""

    def manage_branch(self, branch: Branch) -> Managed:
        return branch.rtpengine_manage("TOS=46", answer="")


class GivesBack(RoutingScript):
    """It takes the relay, and thinks better of it at a 183."""

    def manage_branch(self, branch: Branch) -> Managed:
        return branch.rtpengine_manage("trust-address")

    def manage_reply(self, branch: Branch, response: SipResponse) -> Passed:
        if response.status == 183:
            branch.rtpengine_delete()
        return super().manage_reply(branch, response)


class MadeUp(RoutingScript):
    """Words that nobody could read before."""

    def manage_branch(self, branch: Branch) -> Managed:
        return branch.rtpengine_manage("-".join(("trust", "adress")))


class OtherSet(RoutingScript):
    """Another set of nodes, by the callee."""

    def manage_branch(self, branch: Branch) -> Managed:
        branch.set_rtpengine_set(1 if branch.request.ruri.user == "bob" else 7)
        return super().manage_branch(branch)


class Derived(RoutingScript):
    """No words at all."""

    def manage_branch(self, branch: Branch) -> Managed:
        return branch.rtpengine_manage()


class FlagCase(SynchronousTestCase):
    """Two ends, and a relay over a node in memory that writes down its commands."""

    def start(self, script: type[RoutingScript], transport: str = "UDP", other: str = "", **media: Any) -> None:
        clock = Clock()
        clock.advance(1_700_000_000)
        self.wire = Nodes(clock)
        nodes = self.nodes = NodeSet(parse_nodes(["192.0.2.200:2223"]), self.wire.send, clock, 60, 5)
        settings = replace(MediaSettings(), **{"call_key": "call-id", **media})
        self.world = World(Settings(media=settings), RtpengineRelay(nodes, settings, clock), script, clock=clock)
        self.alice = self.world.phone("alice", transport, "198.51.100.23", 41001)
        self.bob = self.world.phone("bob", other or transport, "198.51.100.23", 41002)
        self.bob.tag = "d1c13gjflf"
        self.alice.register()
        self.bob.register()

    def commands(self, name: str) -> list[dict[str, Any]]:
        """Those of that name, in order."""
        return [command for command in self.wire.commands if command["command"] == name]

    def call(self, offer: bytes = PHONE, answer: bytes = PHONE) -> Call:
        """A call with the names of the captured one."""
        invite = self.alice.send("INVITE", self.bob.aor, (), offer, from_tag="ufhj8jv9hg", call_id="ogi3dpopec8u56dffe3s")
        received = self.bob.got("INVITE")
        answered = self.bob.reply(received, 200, answer)
        call = Call(self.alice, self.bob, invite, received, answered, self.alice.response("INVITE"))
        self.alice.ack(invite, call.answer)
        return call


class CapturedTests(FlagCase):
    """The exchange that Kamailio's module was captured with."""

    def test_to_the_octet(self) -> None:
        """A script with the same words asks the same, octet for octet, but for the order of keys and our via-branch."""
        self.start(Manage, "WSS")
        self.call(OFFER_SDP, ANSWER_SDP)
        for name, captured in (("offer", OFFER), ("answer", ANSWER)):
            (command,) = self.commands(name)
            self.assertTrue(command.pop("via-branch").startswith("z9hG4bK"))
            self.assertEqual(encode(command), encode(decode_dictionary(captured)))


class SetTests(FlagCase):
    """Sets of nodes."""

    def test_set(self) -> None:
        """The media of a call, and of what follows in it, is carried by the set that the script chose."""
        self.start(OtherSet)
        self.nodes.replace(parse_nodes(["192.0.2.200:2223", "192.0.2.201:2223 set 1"]))
        call = self.call()
        call.from_callee("INVITE", PHONE)
        call.from_caller("BYE")
        self.assertEqual({host for host, _ in self.wire.log}, {"192.0.2.201"})
        self.assertEqual([name for _, name in self.wire.log], ["offer", "answer", "offer", "delete"])

    def test_no_such_set(self) -> None:
        """A set that nobody is in: the call fails, with the reason in the log, and nothing is asked of another."""
        self.start(OtherSet)
        self.alice.send("INVITE", "sip:alice@example.test", (), PHONE)
        self.assertEqual(self.alice.response("INVITE").status, 500)
        self.assertEqual(self.wire.log, [])
        self.flushLoggedErrors(ConfigError)

    def test_full_set(self) -> None:
        """One whose nodes are all away: 503, though set 0 has a node."""
        self.start(OtherSet)
        self.nodes.replace(parse_nodes(["192.0.2.200:2223", "192.0.2.201:2223 set 1"]))
        self.nodes.nodes[1].draining = True
        self.alice.send("INVITE", self.bob.aor, (), PHONE)
        answer = self.alice.response("INVITE")
        self.assertEqual((answer.status, self.wire.log), (503, []))


class ScriptTests(FlagCase):
    """Words at each place."""

    def test_words_alone(self) -> None:
        """Nothing is derived beside a script's words but where the message came from."""
        self.start(Manage)
        self.call()
        offer, answer = self.commands("offer")[0], self.commands("answer")[0]
        for command in (offer, answer):
            self.assertEqual([key for key in ("ICE", "DTLS", "SDES", "transport-protocol") if key in command], [])
            self.assertEqual(command["received-from"], ("IP4", "198.51.100.23"))

    def test_bridge(self) -> None:
        """Words for a browser aren't said of its answer, which the phone gets as it offered."""
        self.start(Bridge, "UDP", "WSS")
        self.call(PHONE, ANSWER_SDP)
        offer, answer = self.commands("offer")[0], self.commands("answer")[0]
        self.assertEqual((offer["transport-protocol"], offer["ICE"], offer["DTLS"]), ("UDP/TLS/RTP/SAVPF", "force", "passive"))
        self.assertEqual((answer["ICE"], answer["DTLS"], answer["rtcp-mux"]), ("remove", "off", ("demux",)))
        self.assertNotIn("transport-protocol", answer)

    def test_answer_of_its_own(self) -> None:
        """Offer and answer each by their own words, given at the reply or with the offer."""
        for script, flag in ((Both, "strict-source"), (AnswerWords, "no-rtcp-attribute")):
            self.start(script)
            self.call()
            offer, answer = self.commands("offer")[0], self.commands("answer")[0]
            self.assertEqual((offer["TOS"], "flags" in offer), (46, False))
            self.assertEqual((answer["flags"], "TOS" in answer), ((flag,), False))

    def test_one_way(self) -> None:
        """What has no words is derived, also where the other way has some."""
        self.start(AnswerAlone)
        self.call()
        offer, answer = self.commands("offer")[0], self.commands("answer")[0]
        self.assertEqual((offer["ICE"], answer["flags"], "ICE" in answer), ("remove", ("no-rtcp-attribute",), False))
        self.start(OfferAlone)
        self.call()
        offer, answer = self.commands("offer")[0], self.commands("answer")[0]
        self.assertEqual((offer["TOS"], "ICE" in offer, answer["ICE"]), (46, False, "remove"))

    def test_no_words(self) -> None:
        """Without words the relay is engaged, and everything is derived."""
        self.start(Derived, engage="mixed")
        self.call()
        offer = self.commands("offer")[0]
        self.assertEqual((offer["ICE"], offer["DTLS"]), ("remove", "off"))

    def test_wrong_word_at_a_call(self) -> None:
        """A wrong word that the script made up when the call was there fails the call and is logged; nothing is asked."""
        self.start(MadeUp)
        self.alice.send("INVITE", self.bob.aor, (), PHONE)
        self.assertEqual((self.alice.response("INVITE").status, self.wire.commands), (500, []))
        self.assertEqual(len(self.flushLoggedErrors(ConfigError)), 1)

    def test_no_other_form(self) -> None:
        """Where the script says how a call is offered, a 488 is the callee's last word."""
        self.start(Manage)
        invite = self.alice.send("INVITE", self.bob.aor, (), PHONE)
        self.bob.reply(self.bob.got("INVITE"), 488)
        self.assertEqual((self.alice.response("INVITE").status, len(self.commands("offer"))), (488, 1))
        self.assertEqual(invite.method, "INVITE")

    def test_later_offers(self) -> None:
        """A re-INVITE is asked by the words that the script gives it then."""
        self.start(Manage)
        call = self.call()
        call.from_callee("INVITE", PHONE)
        again = self.commands("offer")[1]
        self.assertEqual((again["media-address"], again["from-tag"]), ("203.0.113.70", "d1c13gjflf"))

    def test_given_back(self) -> None:
        """rtpengine_delete() frees the branch; what it says later passes as it is, and its end asks nothing more."""
        self.start(GivesBack)
        self.alice.send("INVITE", self.bob.aor, (), PHONE)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 183, PHONE)
        self.assertEqual([command["command"] for command in self.wire.commands][-2:], ["offer", "delete"])
        self.bob.reply(received, 200, PHONE)
        self.assertEqual(self.alice.response("INVITE").body, PHONE)
        self.assertEqual(self.commands("answer"), [])

    def test_shown(self) -> None:
        """What was asked of the relay is shown for each call, in words: those of the script, and those that were derived."""
        self.start(Manage)
        self.call()
        asked = self.world.core.media_control.asked("", "ogi3dpopec8u56dffe3s")
        self.assertEqual(
            asked["offer"],
            "media-address=203.0.113.70 received-from=198.51.100.23 record-call=on replace-origin replace-session-connection "
            "rtcp-mux-accept rtcp-mux-offer trust-address",
        )
        self.start(RoutingScript, "UDP", "WSS")
        self.call(PHONE, ANSWER_SDP)
        asked = self.world.core.media_control.asked("", "ogi3dpopec8u56dffe3s")
        self.assertIn("DTLS=passive generate-mid ICE=force", asked["offer"])
        self.assertIn("UDP/TLS/RTP/SAVPF", asked["offer"])
        self.assertIn("ICE=remove", asked["answer"])

    def test_configuration(self) -> None:
        """Words of [media] flags are laid over what is derived, of offers and answers."""
        self.start(RoutingScript, flags="strict-source TOS=46 direction=a direction=b")
        self.call()
        offer, answer = self.commands("offer")[0], self.commands("answer")[0]
        self.assertEqual((offer["TOS"], offer["ICE"], offer["direction"]), (46, "remove", ("a", "b")))
        self.assertIn("strict-source", offer["flags"])
        self.assertEqual(("strict-source" in answer["flags"], "direction" in answer), (True, False))

    def test_wrong_configuration(self) -> None:
        """A word that is none stops the start, also where no node is configured."""
        error = self.assertRaises(ConfigError, World, Settings(media=MediaSettings(flags="ICE=forse")))
        self.assertEqual(error.key, "media.flags")


class LoadTests(SynchronousTestCase):
    """Words of a script are looked at when it is loaded."""

    def error(self, text: str) -> ConfigError:
        return self.assertRaises(ConfigError, check_words, text, "/etc/sipnode/routing.py")

    def test_wrong_word(self) -> None:
        """The error names file and line, and the nearest word."""
        error = self.error('class S:\n    def m(self, b):\n        return b.rtpengine_manage(\n            "replace-orign"\n        )\n')
        self.assertIn("did you mean 'replace-origin'?", error.reason)
        self.assertEqual((error.file, error.line, error.key), ("/etc/sipnode/routing.py", 4, "routing.script"))

    def test_made_up_words(self) -> None:
        """Of words that are put together, those that stand there are looked at: f-strings, sums, choices, keywords."""
        for wrong in (
            'b.rtpengine_offer(f"media-address={a} trust-adress")',
            'b.rtpengine_offer("trust-adress " + more)',
            'b.rtpengine_answer(r, "trust-adress" if x else "")',
            'b.rtpengine_manage("", answer="trust-adress")',
        ):
            self.assertIn("'trust-adress'", self.error(wrong).reason)

    def test_right(self) -> None:
        """Right words, words from elsewhere, and other texts pass."""
        check_words('b.rtpengine_manage(f"media-address={a} ICE={ice} {more}")\nb.rtpengine_manage(w)\nb.other("trust-adress")', "x.py")
