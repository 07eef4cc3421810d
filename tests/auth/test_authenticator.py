from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from sipnode.auth.authenticator import Authenticator
from sipnode.base.guard import DigestGuard
from sipnode.base.request import Request
from sipnode.base.server import Server
from sipnode.base.verdict import Verdict
from sipnode.errors import ConfigError, StorageError
from sipnode.interfaces import ICredentialStore, IRequest
from sipnode.records import Credential
from sipnode.settings import AuthSettings
from sipnode.sip import digest
from sipnode.sip.hosts import normal_host
from sipnode.sip.message import SipRequest
from sipnode.sip.parser import parse_message
from sipnode.storage.users import make_credential
from sipnode.testing import FakeFlow
from sipnode.transaction.layer import TransactionLayer
from sipnode.transaction.timers import Timings

START = 1_700_000_000.0
DOMAIN = "example.test"
LOCAL = (DOMAIN, "192.0.2.1")
SECRET = b"s" * 32
REPLIED = Verdict.REPLIED


class Flow(FakeFlow):
    """Where a request came from."""

    def __init__(self, remote: str = "198.51.100.1", websocket: bool = False) -> None:
        super().__init__("WS" if websocket else "UDP", (remote, 5060), token="w" if websocket else "")


class Guard(DigestGuard):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.barred = False
        self.told: list[tuple[str, str, str]] = []

    def is_barred(self, host: str, user: str, flow: Any = None) -> bool:
        return self.barred

    def refuses_password(self, host: str, user: str, flow: Any = None) -> bool:
        return self.barred

    def right(self, host: str, user: str, flow: Any = None) -> None:
        self.told.append(("right", host, user))

    def wrong(self, host: str, user: str) -> None:
        self.told.append(("wrong", host, user))


class FakeServer(Server):
    """Has two names."""

    def __init__(self) -> None:
        super().__init__(TransactionLayer(Timings(), lambda when: None), lambda: START)

    def is_local(self, host: str) -> bool:
        return normal_host(host) in LOCAL


SERVER = FakeServer()


class Context(Request):
    """One request; ``replies`` holds what it was answered."""

    def __init__(self, request: SipRequest, flow: Flow | None = None) -> None:
        super().__init__(SERVER, request, flow or Flow(), "", START)
        self.replies: list[tuple[int, list[tuple[str, str]]]] = []
        self.blamed: list[str] = []

    def blame(self, rule: str) -> None:
        self.blamed.append(rule)

    def reply(self, status: int, reason: str = "", headers: Any = (), body: bytes = b"") -> Verdict:
        self.replies.append((status, list(headers)))
        return REPLIED


@implementer(ICredentialStore)
class Store:
    """Credentials that are in memory, or come when the test says so."""

    def __init__(self, *users: Credential) -> None:
        self.outage_seconds, self.outdated, self.unserved = 0.0, 0, 0
        self.users = {(user.username, user.domain): user for user in users}
        self.cold = False
        self.asked: list[tuple[str, str]] = []
        self.open: list[Deferred[Credential | None]] = []

    def cached(self, username: str, domain: str) -> Credential | None:
        if self.cold:
            raise KeyError(username)
        return self.users.get((username, domain))

    def fetch(self, username: str, domain: str) -> Deferred[Credential | None]:
        self.asked.append((username, domain))
        self.open.append(Deferred())
        return self.open[-1]


def message(
    method: str = "REGISTER", uri: str = "", sender: str = "alice", target: str = "", lines: tuple[str, ...] = (), domain: str = DOMAIN
) -> SipRequest:
    uri = uri or (f"sip:{domain}" if method == "REGISTER" else f"sip:bob@{domain}")
    target = target or (f"sip:{sender}@{domain}" if method == "REGISTER" else uri)
    head = [
        f"{method} {uri} SIP/2.0",
        "Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKabc",
        f"From: <sip:{sender}@{domain}>;tag=1",
        f"To: <{target}>",
        "Call-ID: x@198.51.100.1",
        f"CSeq: 1 {method}",
        *(lines if any(line.startswith("User-Agent") for line in lines) else ("User-Agent: Linphone/5", *lines)),
        "Content-Length: 0",
        "",
        "",
    ]
    request = parse_message("\r\n".join(head).encode("utf-8", "surrogateescape"))
    assert isinstance(request, SipRequest)
    return request


class AuthenticatorTests(SynchronousTestCase):
    """Does a request come from the user that it names?"""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(START)
        self.store = Store(*(make_credential(name, DOMAIN, f"{name}-pw") for name in ("alice", "bob")))
        self.auth = self.make()

    def make(self, **settings: Any) -> Authenticator:
        return Authenticator(AuthSettings(**settings), self.store, SECRET, self.clock)

    def challenge(
        self, context: Context, proxy: bool = False, algorithm: str = "SHA-256", auth: Authenticator | None = None
    ) -> digest.Challenge:
        """Check a request that has nothing (good) to show, and return the challenge that it draws."""
        self.assertEqual((auth or self.auth).check(context, proxy), REPLIED)
        return self.offered(context, proxy)[algorithm]

    def offered(self, context: Context, proxy: bool = False) -> dict[str, digest.Challenge]:
        ((status, headers),) = context.replies
        self.assertEqual(status, 407 if proxy else 401)
        self.assertEqual({name for name, _ in headers}, {"Proxy-Authenticate" if proxy else "WWW-Authenticate"})
        self.assertEqual(context.identity, "")
        return {one.algorithm: one for one in (digest.parse_challenge(value) for _, value in headers)}

    def value(self, offer: digest.Challenge, method: str = "REGISTER", uri: str = f"sip:{DOMAIN}", **options: Any) -> str:
        values = {"username": "alice", "password": "alice-pw", "cnonce": "c", "nc": 1} | options
        return digest.authorization(offer, method, uri, **values)

    def signed(self, offer: digest.Challenge, **options: Any) -> Context:
        """A REGISTER with an answer to the challenge."""
        return Context(message(lines=(f"Authorization: {self.value(offer, **options)}",)))

    def fresh(self, algorithm: str = "SHA-256", auth: Authenticator | None = None) -> digest.Challenge:
        return self.challenge(Context(message()), algorithm=algorithm, auth=auth)

    def accepted(self, context: Context, proxy: bool = False, auth: Authenticator | None = None, identity: str = f"alice@{DOMAIN}") -> None:
        self.assertIsNone((auth or self.auth).check(context, proxy))
        self.assertEqual((context.replies, context.identity), ([], identity))

    def refused(self, context: Context, stale: bool = False, auth: Authenticator | None = None) -> None:
        """Challenged again."""
        self.assertEqual((auth or self.auth).check(context, False), REPLIED)
        for one in self.offered(context).values():
            self.assertEqual(one.stale, stale)

    def status(self, context: Context, status: int, auth: Authenticator | None = None, proxy: bool = False) -> None:
        self.assertEqual((auth or self.auth).check(context, proxy), REPLIED)
        self.assertEqual([status for status, _ in context.replies], [status])
        self.assertEqual(context.identity, "")

    def test_fakes(self) -> None:
        """The context and the store of these tests are what the real ones are."""
        verifyObject(IRequest, Context(message()))
        verifyObject(ICredentialStore, self.store)

    # -- challenges

    def test_register(self) -> None:
        """A REGISTER is challenged with 401 for both algorithms, SHA-256 first; either answer lets it pass."""
        context = Context(message())
        self.challenge(context)
        self.assertEqual(list(self.offered(context)), ["SHA-256", "MD5"])
        for algorithm in ("SHA-256", "MD5"):
            self.accepted(self.signed(self.fresh(algorithm)))

    def test_tiny(self) -> None:
        """What is smaller than any phone's request, over UDP, gets one challenge: the answer is no weapon against whom it names."""
        head = [f"REGISTER sip:{DOMAIN} SIP/2.0", "v:SIP/2.0/UDP h;branch=z9hG4bK1", f"f:<sip:a@{DOMAIN}>;tag=1", f"t:<sip:a@{DOMAIN}>"]
        request = parse_message("\r\n".join([*head, "i:1", "CSeq:1 REGISTER", "", ""]).encode())
        assert isinstance(request, SipRequest)
        context = Context(request)
        self.challenge(context, algorithm="MD5")
        self.assertEqual(list(self.offered(context)), ["MD5"])
        ctx = Context(request, Flow(websocket=True))
        self.challenge(ctx)
        self.assertEqual(len(self.offered(ctx)), 2)

    def test_proxy(self) -> None:
        """An INVITE of a local user is challenged with 407 and passes with Proxy-Authorization."""
        uri = f"sip:bob@{DOMAIN}"
        offer = self.challenge(Context(message("INVITE")), proxy=True)
        value = self.value(offer, "INVITE", uri)
        self.accepted(Context(message("INVITE", lines=(f"Proxy-Authorization: {value}",))), proxy=True)

    def test_realm(self) -> None:
        """The realm is the domain of the AoR for REGISTER, of From for the rest, lower case."""
        context = Context(message(target="sip:alice@Example.TEST", domain="foreign.test"))
        self.assertEqual(self.challenge(context).realm, DOMAIN)
        context = Context(message("INVITE", uri="sip:x@foreign.test", domain="192.0.2.1"))
        self.assertEqual(self.challenge(context, proxy=True).realm, "192.0.2.1")

    def test_md5_only(self) -> None:
        """Clients that aren't known to read on behind an algorithm that they don't know get MD5 alone, and so does who answered with it."""
        offer = self.fresh("MD5")
        nameless = message()
        nameless.remove("user-agent")
        for context in (
            Context(nameless),
            Context(message(lines=("User-Agent: Asterisk PBX 16",))),
            Context(message(lines=("User-Agent: sipsak 0.9.7",))),
            Context(message(lines=("User-Agent: Grandstream GXP2000",))),
            self.signed(offer, password="wrong"),
        ):
            self.challenge(context, algorithm="MD5")
            self.assertEqual(list(self.offered(context)), ["MD5"])
        for context in (
            Context(message(lines=("User-Agent: Linphone/5.2",))),
            self.signed(self.fresh(), password="wrong"),
        ):
            self.challenge(context)
            self.assertEqual(list(self.offered(context)), ["SHA-256", "MD5"])

    def test_last_line_readers(self) -> None:
        """The SIP libraries of browsers keep the last challenge, and get MD5 there, whatever they answered with."""
        for context in (Context(message(), Flow(websocket=True)), Context(message(lines=("User-Agent: SIPp",)), Flow(websocket=True))):
            self.challenge(context)
            self.assertEqual(list(self.offered(context)), ["SHA-256", "MD5"])

    def test_algorithms_setting(self) -> None:
        """Only what the setting names is offered and taken."""
        for name, other in (("MD5", "SHA-256"), ("SHA-256", "MD5")):
            auth = self.make(algorithms=(name,))
            context = Context(message(), Flow(websocket=True))
            offer = self.challenge(context, algorithm=name, auth=auth)
            self.assertEqual(list(self.offered(context)), [name])
            offer.algorithm = other
            self.refused(self.signed(offer), auth=auth)
        self.assertRaises(ConfigError, self.make, algorithms=())

    def test_never(self) -> None:
        """ACK and CANCEL are never challenged."""
        for method in ("ACK", "CANCEL"):
            context = Context(message(method))
            self.assertFalse(self.auth.needs_auth(context))
            self.accepted(context, proxy=True, identity="")

    def test_foreign(self) -> None:
        """A request of a foreign user is the script's to judge."""
        context = Context(message("INVITE", domain="foreign.test"))
        self.assertFalse(self.auth.needs_auth(context))
        self.accepted(context, proxy=True, identity="")
        self.assertTrue(self.auth.needs_auth(Context(message("INVITE"))))
        self.assertTrue(self.auth.needs_auth(Context(message())))

    def test_trusted(self) -> None:
        """A trusted source isn't asked; another one is."""
        auth = self.make(trusted=("203.0.113.0/24",))
        context = Context(message("INVITE"), Flow("203.0.113.9"))
        self.assertFalse(auth.needs_auth(context))
        self.accepted(context, proxy=True, auth=auth, identity="")
        self.assertTrue(auth.needs_auth(Context(message("INVITE"))))

    def test_disabled(self) -> None:
        """With authentication off nobody is asked."""
        auth = self.make(enabled=False)
        self.assertFalse(auth.needs_auth(Context(message())))
        self.accepted(Context(message()), auth=auth, identity="")

    # -- refusals

    def test_wrong_password(self) -> None:
        """A wrong password is challenged again, and not as stale."""
        self.refused(self.signed(self.fresh(), password="bob-pw"))

    def test_unknown_user(self) -> None:
        """A user that doesn't exist gets what a wrong password gets, to the letter but for the nonce."""
        wrong, nobody = self.signed(self.fresh(), password="x"), self.signed(self.fresh(), username="nobody", password="x")
        self.refused(wrong)
        self.refused(nobody)
        shape = [[(name, value.replace(self.offered(c)["MD5"].nonce, "N")) for name, value in c.replies[0][1]] for c in (wrong, nobody)]
        self.assertEqual(shape[0], shape[1])

    def test_guard(self) -> None:
        """The guard hears of right and wrong passwords with source and user, of nothing else, and who it bars isn't looked at."""
        guard = Guard()
        self.auth.guard = guard
        offer = self.fresh()
        self.refused(self.signed(offer, password="x"))
        self.refused(self.signed(offer, username=f"nobody@{DOMAIN}", password="x"))
        self.accepted(self.signed(offer))
        self.clock.advance(1000)
        self.refused(self.signed(offer, nc=2), stale=True)
        told = [("wrong", "alice"), ("wrong", "nobody"), ("right", "alice")]
        self.assertEqual(guard.told, [(what, "198.51.100.1", f"{user}@{DOMAIN}") for what, user in told])
        guard.barred = True
        self.status(self.signed(self.fresh()), 403)

    def test_replayed_count(self) -> None:
        """Credentials that were used are refused as stale; the next count of the same nonce passes."""
        offer = self.fresh()
        self.accepted(self.signed(offer))
        self.refused(self.signed(offer), stale=True)
        self.accepted(self.signed(offer, nc=2))
        self.refused(self.signed(offer, nc=1), stale=True)

    def test_replay_with_wrong_password(self) -> None:
        """A used count with a wrong password isn't called stale, and costs the owner no count."""
        offer = self.fresh()
        self.refused(self.signed(offer, password="x"))
        self.accepted(self.signed(offer))
        self.refused(self.signed(offer, password="x"))

    def test_old_nonce(self) -> None:
        """A nonce past its age is refused as stale when the password is right, else plainly; over UDP nobody looks at the password."""
        offer = self.fresh()
        self.clock.advance(300.1)
        for password, stale in (("alice-pw", True), ("x", False)):
            by_tcp = self.signed(offer, password=password)
            by_tcp.flow = FakeFlow("TCP", by_tcp.flow.remote, token="t")
            self.refused(by_tcp, stale=stale)
            self.refused(self.signed(offer, password=password), stale=True)

    def test_somebody_elses_nonce(self) -> None:
        """Over UDP a nonce that was given to another address proves nothing: neither password is looked at, the guard hears nothing."""
        guard = self.auth.guard = Guard()
        offer = self.fresh()
        for password in ("alice-pw", "x"):
            forged = self.signed(offer, password=password)
            forged.flow = FakeFlow("UDP", ("203.0.113.9", 5060))
            self.refused(forged, stale=True)
        self.assertEqual((guard.told, self.auth.unplaced), ([], 2))
        moved = self.signed(offer)
        moved.flow = FakeFlow("TCP", ("203.0.113.9", 5060), token="t")
        self.accepted(moved)

    def test_guesses_side_by_side(self) -> None:
        """Credentials that waited for the store aren't looked at where their source was shut out meanwhile."""
        guard = self.auth.guard = Guard()
        self.store.cold = True
        context = self.signed(self.fresh())
        waiting = self.auth.check(context, False)
        guard.barred = True
        self.store.open[0].callback(self.store.users["alice", DOMAIN])
        self.assertEqual(self.successResultOf(waiting), REPLIED)
        self.assertEqual([status for status, _ in context.replies], [403])

    def test_former_run(self) -> None:
        """After a restart an answer to a challenge of before is stale, so the phone goes on by itself."""
        offer = self.fresh()
        self.clock.advance(1)
        self.refused(self.signed(offer), stale=True, auth=self.make())

    def test_forged_nonce(self) -> None:
        """A nonce that isn't ours is refused without a look into the store."""
        self.store.cold = True
        offer = digest.Challenge(DOMAIN, "f" * 63, "MD5", ["auth"], False, "")
        self.refused(self.signed(offer))
        self.assertEqual(self.store.asked, [])

    def test_nonce_of_another_realm(self) -> None:
        """A nonce is good for its realm only."""
        other = self.challenge(Context(message("INVITE", domain="192.0.2.1")), proxy=True)
        other.realm = DOMAIN
        self.refused(self.signed(other))

    def test_unknown_algorithm(self) -> None:
        """Credentials with an algorithm that we don't offer are challenged again."""
        value = self.value(self.fresh("MD5"))
        for name in ("SHA-512-256", "MD5-sess", "SHA-256-sess", "x"):
            context = Context(message(lines=("Authorization: " + value.replace("algorithm=MD5", f"algorithm={name}"),)))
            self.refused(context)

    def test_no_qop(self) -> None:
        """The form of RFC 2069 passes once for each nonce; auth-int is challenged again."""
        for algorithm in ("SHA-256", "MD5"):
            offer = self.fresh(algorithm)
            offer.qop = []
            self.refused(self.signed(offer, password="x"))
            self.accepted(self.signed(offer))
            self.refused(self.signed(offer), stale=True)
            offer.qop = ["auth"]
            self.refused(self.signed(offer, nc=0xFFFFFFFF), stale=True)
        value = self.value(self.fresh()).replace("qop=auth,", "qop=auth-int,")
        self.refused(Context(message(lines=(f"Authorization: {value}",))))

    def test_no_proof_yet(self) -> None:
        """Credentials that name a user and prove nothing, as clients made for IMS send them first, are challenged."""
        head = f'Digest username="alice", realm="{DOMAIN}", uri="sip:{DOMAIN}"'
        for rest in (', nonce="", response=""', "", f', nonce="{self.fresh().nonce}", response=""', f', response="{"0" * 32}"'):
            self.refused(Context(message(lines=(f"Authorization: {head}{rest}",))))

    def test_not_the_owner(self) -> None:
        """A user that proves itself and isn't the owner of the address gets 403: of the AoR for REGISTER, of From for the rest."""
        value = self.value(self.fresh(), username="bob", password="bob-pw")
        self.status(Context(message(lines=(f"Authorization: {value}",))), 403)
        uri = f"sip:bob@{DOMAIN}"
        offer = self.challenge(Context(message("INVITE")), proxy=True)
        value = self.value(offer, "INVITE", uri, username="bob", password="bob-pw")
        self.status(Context(message("INVITE", lines=(f"Proxy-Authorization: {value}",))), 403, proxy=True)

    def foreign(self, sender: str, lines: tuple[str, ...], **settings: Any) -> Context:
        """An INVITE from elsewhere with credentials of alice's, checked."""
        auth = self.make(**settings)
        offer = self.challenge(Context(message("INVITE")), proxy=True, auth=auth)
        value = self.value(offer, "INVITE", f"sip:bob@{DOMAIN}")
        request = message("INVITE", f"sip:bob@{DOMAIN}", lines=(f"Proxy-Authorization: {value}", *lines))
        request.set("from", f"<{sender}>;tag=1")
        context = Context(request)
        auth.check(context, True)
        return context

    def test_foreign_from(self) -> None:
        """A user that shows another domain's From gets 403, unless the setting lets it; whoever has no name to show is let."""
        context = self.foreign("sip:ceo@bank.test", ())
        self.assertEqual(([status for status, _ in context.replies], context.identity, context.blamed), ([403], "", ["foreign_from"]))
        let = {"foreign_from": True}
        for sender, settings in (("sip:ceo@bank.test", let), ("tel:+1", let), ("sip:anonymous@anonymous.invalid", {})):
            context = self.foreign(sender, (), **settings)
            self.assertEqual((context.replies, context.identity), ([], f"alice@{DOMAIN}"))

    def test_anonymous(self) -> None:
        """Who hides its name and prefers an identity of ours has to prove that one."""
        preferred = f"P-Preferred-Identity: <sip:alice@{DOMAIN}>"
        context = self.foreign("sip:anonymous@anonymous.invalid", (preferred,))
        self.assertEqual((context.replies, context.identity), ([], f"alice@{DOMAIN}"))
        context = self.foreign("sip:anonymous@anonymous.invalid", (preferred.replace("alice", "bob"),))
        self.assertEqual(([status for status, _ in context.replies], context.blamed), ([403], ["other_user"]))
        request = message("INVITE", lines=(preferred,))
        request.set("from", "<sip:anonymous@anonymous.invalid>;tag=1")
        self.challenge(Context(request), proxy=True)

    def test_from_without_an_address(self) -> None:
        """From by another scheme is no way round a password."""
        for uri in (f"http:alice@{DOMAIN}", f"mailto:alice@{DOMAIN}", f"im:alice@{DOMAIN}"):
            request = message("INVITE")
            request.set("from", f"<{uri}>;tag=1")
            context = Context(request)
            self.status(context, 403, proxy=True)
            self.assertEqual(context.blamed, ["from_scheme"])

    def test_told_once(self) -> None:
        """A refused login is one line of the log in ten seconds for each source and user, without the password's hash."""
        said: list[str] = []
        self.auth._log.observer = lambda event: said.append(formatEvent(event))
        for user in ("alice", "alice", "nobody", "alice"):
            self.refused(self.signed(self.fresh(), username=user, password="x"))
        self.assertEqual(len(said), 2)
        self.assertIn(f"REGISTER of 'alice@{DOMAIN}' from 198.51.100.1 refused: wrong password", said[0])
        self.clock.advance(10)
        self.refused(self.signed(self.fresh(), password="x"))
        self.assertEqual(len(said), 3)

    def test_strangers(self) -> None:
        """Who proved nothing, isn't trusted and isn't believed for want of passwords is a stranger."""
        flow = Flow("203.0.113.9")
        for context, settings, stranger in (
            (Context(message("INVITE", domain="foreign.test")), {}, True),
            (Context(message("INVITE", domain="foreign.test"), flow), {"trusted": ("203.0.113.9",)}, False),
            (Context(message("INVITE")), {"enabled": False}, False),
            (Context(message("INVITE", domain="foreign.test")), {"enabled": False}, True),
        ):
            self.assertIs(self.make(**settings).is_stranger(context), stranger)

    def test_third_party_register(self) -> None:
        """For a REGISTER the owner of To counts, whoever From is."""
        value = self.value(self.fresh(), username="bob", password="bob-pw")
        context = Context(message(target=f"sip:bob@{DOMAIN}", lines=(f"Authorization: {value}",)))
        self.accepted(context, identity=f"bob@{DOMAIN}")

    def test_other_uri(self) -> None:
        """Credentials made for another URI get 400, unless the lenient switch is on."""
        for uri in ("sip:other.test", f"sip:bob@{DOMAIN}", "tel:1", "junk", ""):
            self.status(self.signed(self.fresh(), uri=uri), 400)
        lenient = self.make(lenient_uri=True)
        self.accepted(self.signed(self.fresh(auth=lenient), uri="sip:other.test"), auth=lenient)

    def test_same_uri_in_other_words(self) -> None:
        """The Request-URI in another spelling, without its port and parameters, by another name of ours, or the server alone, will do."""
        for uri in (f"SIP:{DOMAIN.upper()}", "sip:192.0.2.1:5060", f"sip:{DOMAIN};transport=tcp"):
            self.accepted(self.signed(self.fresh(), uri=uri))
        offer = self.challenge(Context(message("INVITE")), proxy=True)
        for number, uri in enumerate(("sip:192.0.2.1:5060", f"sip:bob@{DOMAIN}", "sips:bob@192.0.2.1", f"sip:%62ob@{DOMAIN.upper()}."), 1):
            value = self.value(offer, "INVITE", uri, nc=number)
            request = message("INVITE", f"sip:bob@{DOMAIN}:5070;transport=udp", lines=(f"Proxy-Authorization: {value}",))
            self.accepted(Context(request), proxy=True)
        for uri in (f"sip:carol@{DOMAIN}", "sip:bob@else.test", "sip:else.test", "sip:else.test:5060"):
            value = self.value(offer, "INVITE", uri, nc=9)
            self.status(Context(message("INVITE", lines=(f"Proxy-Authorization: {value}",))), 400, proxy=True)

    def test_other_method(self) -> None:
        """Credentials made for another method don't match."""
        self.refused(self.signed(self.fresh(), method="INVITE"))

    def test_unreadable(self) -> None:
        """An Authorization that can't be read gets 400."""
        for text in ('Digest username="alice"', "Digest ;;;", 'Digest realm="' + "x" * 5000 + '"'):
            self.status(Context(message(lines=(f"Authorization: {text}",))), 400)

    def test_no_address(self) -> None:
        """A request whose address can't be read gets 400."""
        context = Context(message(target="junk"))
        self.assertTrue(self.auth.needs_auth(context))
        self.status(context, 400)

    def test_several_lines(self) -> None:
        """Of several Authorization lines ours is taken."""
        offer = self.fresh()
        foreign = self.value(digest.Challenge("foreign.test", "n", "MD5", ["auth"], False, ""))
        context = Context(message(lines=(f"Authorization: {foreign}", "Authorization: Bearer x", f"Authorization: {self.value(offer)}")))
        self.accepted(context)

    # -- names

    def test_whole_address_as_name(self) -> None:
        """The user name may be user@domain, with either algorithm; another domain's doesn't pass."""
        for algorithm in ("SHA-256", "MD5"):
            self.accepted(self.signed(self.fresh(algorithm), username=f"alice@{DOMAIN}"))
        self.refused(self.signed(self.fresh(), username="alice@192.0.2.1"))
        self.refused(self.signed(self.fresh(), username=f"@{DOMAIN}"))

    def test_escaped_address(self) -> None:
        """An address with escapes belongs to the user that it means."""
        value = self.value(self.fresh())
        self.accepted(Context(message(target=f"sip:%61lice@{DOMAIN}", lines=(f"Authorization: {value}",))))

    def test_non_ascii(self) -> None:
        """Users whose names aren't ASCII prove themselves; octets that aren't UTF-8 are just a wrong name."""
        self.store.users["zoë", DOMAIN] = make_credential("zoë", DOMAIN, "pässwörd")
        value = self.value(self.fresh(), username="zoë", password="pässwörd")
        context = Context(message(target=f"sip:zo%C3%AB@{DOMAIN}", lines=(f"Authorization: {value}",)))
        self.accepted(context, identity=f"zoë@{DOMAIN}")
        self.refused(self.signed(self.fresh(), username="\udcff"))

    # -- what the store holds

    def test_clear_password(self) -> None:
        """calculate_ha1 on: a clear password serves both algorithms and goes before the hashes; off: it isn't looked at."""
        self.store.users["alice", DOMAIN] = Credential("alice", DOMAIN, password="alice-pw", ha1="f" * 32)
        for algorithm in ("SHA-256", "MD5"):
            self.accepted(self.signed(self.fresh(algorithm)))
            self.accepted(self.signed(self.fresh(algorithm), username=f"alice@{DOMAIN}"))
        hashes = self.make(calculate_ha1=False)
        self.refused(self.signed(self.fresh("MD5", hashes)), auth=hashes)

    def test_kamailio_hashes(self) -> None:
        """A row with MD5 hashes alone, as Kamailio's tools write it, serves MD5; SHA-256 is refused and the log says why, once."""
        whole = make_credential("alice", DOMAIN, "alice-pw")
        self.store.users["alice", DOMAIN] = Credential("alice", DOMAIN, ha1=whole.ha1, ha1b=whole.ha1b)
        self.accepted(self.signed(self.fresh("MD5")))
        self.accepted(self.signed(self.fresh("MD5"), username=f"alice@{DOMAIN}"))
        said: list[dict[str, Any]] = []
        self.auth._log.observer = said.append  # type: ignore[assignment]  # a list's append is an observer
        self.refused(self.signed(self.fresh()))
        self.refused(self.signed(self.fresh()))
        self.assertEqual([(event["user"], event["algorithm"]) for event in said if "algorithm" in event], [("alice", "SHA-256")])
        self.assertNotIn(whole.ha1, repr(said))

    def test_empty_credential(self) -> None:
        """A row without any secret lets nobody in, also not with an empty password."""
        self.store.users["alice", DOMAIN] = Credential("alice", DOMAIN)
        for algorithm in ("SHA-256", "MD5"):
            for password in ("", "alice-pw"):
                self.refused(self.signed(self.fresh(algorithm), password=password))

    # -- waiting for the store

    def test_no_deferred_when_cached(self) -> None:
        """With the credential in memory the store isn't asked."""
        self.accepted(self.signed(self.fresh()))
        self.assertEqual(self.store.asked, [])

    def test_fetch(self) -> None:
        """Without it the answer is a Deferred of None or of the refusal."""
        for password, identity in (("alice-pw", f"alice@{DOMAIN}"), ("x", "")):
            context = self.signed(self.fresh(), password=password)
            self.store.cold = True
            waiting = self.auth.check(context, False)
            self.assertNoResult(waiting)
            self.assertEqual(context.replies, [])
            self.store.open.pop().callback(self.store.users["alice", DOMAIN])
            self.store.cold = False
            self.assertEqual(self.successResultOf(waiting), None if identity else REPLIED)
            self.assertEqual(context.identity, identity)
        self.assertEqual(self.store.asked, [("alice", DOMAIN)] * 2)

    def test_concurrent_replay(self) -> None:
        """Of two copies of one request that wait for the store at the same time one passes."""
        offer = self.fresh()
        contexts = [self.signed(offer), self.signed(offer)]
        self.store.cold = True
        waiting = [self.auth.check(context, False) for context in contexts]
        for fetched in self.store.open:
            fetched.callback(self.store.users["alice", DOMAIN])
        self.assertEqual([self.successResultOf(one) for one in waiting], [None, REPLIED])
        self.assertEqual([context.identity for context in contexts], [f"alice@{DOMAIN}", ""])

    def test_store_away(self) -> None:
        """A store that fails gives 503 with Retry-After."""
        context = self.signed(self.fresh())
        self.store.cold = True
        waiting = self.auth.check(context, False)
        self.store.open.pop().errback(StorageError("disk"))
        self.assertEqual(self.successResultOf(waiting), REPLIED)
        self.assertEqual(context.replies, [(503, [("Retry-After", "5")])])

    # -- forwarding

    # -- passwords that come another way

    def test_verify(self) -> None:
        """A password is checked against whatever the store has, by cache or fetch."""
        whole = make_credential("alice", DOMAIN, "alice-pw")
        for known in (whole, Credential("alice", DOMAIN, ha1=whole.ha1), Credential("alice", DOMAIN, password="alice-pw")):
            self.store.users["alice", DOMAIN] = known
            for password, right in (("alice-pw", True), ("x", False), ("", False), ("é\udcff", False)):
                self.assertIs(self.successResultOf(self.auth.verify("alice", DOMAIN.upper(), password)), right)
        for nobody in (Credential("alice", DOMAIN), None):
            self.store.users["alice", DOMAIN] = nobody  # type: ignore[assignment]  # as the cache tells of nobody
            for password in ("", "0" * 64, "alice-pw"):
                self.assertIs(self.successResultOf(self.auth.verify("alice", DOMAIN, password)), False)
        self.store.cold = True
        waiting = self.auth.verify("alice", DOMAIN, "alice-pw")
        self.store.open.pop().callback(whole)
        self.assertIs(self.successResultOf(waiting), True)
        waiting = self.auth.verify("alice", DOMAIN, "alice-pw")
        self.store.open.pop().errback(StorageError("disk"))
        self.failureResultOf(waiting, StorageError)
