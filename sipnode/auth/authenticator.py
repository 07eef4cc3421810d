"""Does a request come from the user that it names? Digest against the store's credentials.

Implements: RFC 3261 §22, RFC 7616, RFC 8760.
Invariant: :meth:`Authenticator.check` ends in exactly one of: None with ``ctx.identity`` set (or nothing to prove), a final answer
given through ``ctx.reply``, or a Deferred of one of the two, and the last only when the credential isn't in memory.
"""

from __future__ import annotations

import hmac
import os
from typing import Final, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipnode.auth.challenge import challenge_headers, credentials_for, same_resource, status_for
from sipnode.auth.claims import claim_of, is_anonymous, shown_realm
from sipnode.auth.nonce import FORGED, GOOD, NonceKeeper
from sipnode.auth.secret import derive
from sipnode.auth.seldom import Seldom
from sipnode.auth.trust import TrustedSources
from sipnode.base.flow import Flow
from sipnode.base.guard import DigestGuard
from sipnode.base.native import mypyc_attr
from sipnode.base.request import Request
from sipnode.base.verdict import Verdict
from sipnode.errors import ConfigError, ParseError, StorageError
from sipnode.interfaces import ICredentialStore
from sipnode.records import Credential
from sipnode.settings import AuthSettings
from sipnode.sip.digest import MD5, SHA256, Credentials, ha1, matches
from sipnode.sip.hosts import normal_host
from sipnode.sip.message import SipRequest
from sipnode.sip.uri import unescape

# RFC 3261 §22.1: a challenge to these can't be answered with a new request.
_NEVER: Final = frozenset(("ACK", "CANCEL"))
# Takes the place of the hash of a user that doesn't exist, so that it costs what a wrong password costs.
_NOBODY: Final = "0" * 64
_RETRY_AFTER: Final = (("Retry-After", "5"),)
# Counts have eight hex digits; a nonce that was used without one (RFC 2069) is used up.
_USED_UP: Final = 1 << 32
# With two challenges the answer to less than this is more than three times as long.
_TINY: Final = 190


class _Asked(NamedTuple):
    """A request whose credential is being fetched; ``owner`` None where any user of the realm may send it."""

    proxy: bool
    realm: str
    owner: str | None
    username: str
    sent: Credentials
    state: int


@mypyc_attr(allow_interpreted_subclasses=True)
class Authenticator:
    """Checks requests.

    Args:
        settings: ``[auth]``.
        credentials: Users' secrets, with a cache.
        secret: The server's secret, 32 octets; a key for nonces alone is derived from it.
        clock: Epoch seconds.

    Attributes:
        guard: Who is told of right and wrong passwords, None for nobody.
        unplaced: Credentials over UDP that weren't looked at: their nonce hadn't been given to that address, or was too old to tell.

    Raises:
        ConfigError: ``trusted`` holds what is no address or network, or ``algorithms`` is empty.
    """

    def __init__(self, settings: AuthSettings, credentials: ICredentialStore, secret: bytes, clock: IReactorTime) -> None:
        self._log = Logger("sipnode.auth")
        self._enabled = settings.enabled
        self._algorithms = settings.algorithms
        if not self._algorithms:
            raise ConfigError("at least one of SHA-256 and MD5 is needed", key="auth.algorithms")
        md5 = (MD5,) if MD5 in self._algorithms else ()
        self._md5_alone = md5 or self._algorithms
        self._md5_last = tuple(name for name in self._algorithms if name != MD5) + md5
        self._md5_agents = settings.md5_only
        self._capable_agents = settings.sha256_agents
        self._use_password = settings.calculate_ha1
        self._lenient = settings.lenient_uri
        self._any_from = settings.foreign_from
        self._credentials = credentials
        self._seconds = clock.seconds
        self._trusted = TrustedSources(settings.trusted)
        self._peers = frozenset(map(normal_host, settings.trusted_peers))
        self._nonces = NonceKeeper(
            derive(secret, "nonce"), clock.seconds(), int.from_bytes(os.urandom(6)), settings.nonce_expire, settings.nonce_table
        )
        self._told_of_missing_hash = False
        self._told = Seldom()
        self.guard: DigestGuard | None = None
        self.unplaced = 0

    def realm_of(self, ctx: Request) -> str:
        """The domain whose user has to prove itself: that of the AoR for REGISTER, else of From; "" when it isn't ours.

        Raises:
            ParseError: the address can't be read, or can't be anybody's.
        """
        return claim_of(ctx.request, ctx.domain_is_local).realm

    def needs_auth(self, ctx: Request) -> bool:
        """Whether :meth:`check` has something to ask: authentication is on, the source isn't trusted, the method can be challenged
        and the request claims to come from a user of ours. Requests from elsewhere are the script's to judge."""
        if not self._enabled or ctx.request.method in _NEVER or self.trusts(ctx.flow):
            return False
        try:
            return self.realm_of(ctx) != ""
        except ParseError:
            return True

    def is_stranger(self, ctx: Request) -> bool:
        """Whether a request that :meth:`check` let pass comes from nobody that we know."""
        if ctx.identity or self.trusts(ctx.flow):
            return False
        return self._enabled or not ctx.domain_is_local(ctx.request.from_.uri.host)

    def check(self, ctx: Request, proxy: bool) -> Verdict | Deferred[Verdict | None] | None:
        """Let the request prove its user.

        Args:
            proxy: Challenge with 407 rather than 401.

        Returns:
            None to go on; else what ``ctx.reply`` returned (400, 401, 403, 407, 503), or a Deferred of either. For a request that
            :meth:`needs_auth` is False for: None.
        """
        request = ctx.request
        if not self._enabled or request.method in _NEVER or self.trusts(ctx.flow):
            return None
        try:
            owner, realm = claim_of(request, ctx.domain_is_local)
            if not realm:
                realm = "" if request.method == "REGISTER" else shown_realm(request, ctx.domain_is_local)
                if not realm:
                    return None
                if not self._any_from and not is_anonymous(request.from_.uri):
                    ctx.blame("foreign_from")
                    return ctx.reply(403, "From Is Not Yours")
            sent = credentials_for(request, proxy, realm, self._algorithms)
        except ParseError as fault:
            if fault.status == 403:
                ctx.blame("from_scheme")
            return ctx.reply(fault.status, fault.reason)
        if sent is None or sent.algorithm not in self._algorithms or sent.qop not in ("auth", ""):
            return self._challenge(ctx, proxy, realm, sent, False)
        state = self._nonces.check(sent.nonce, realm, self._seconds())
        if state == FORGED:
            return self._challenge(ctx, proxy, realm, sent, False)
        if not ctx.flow.reliable and (state != GOOD or not self._nonces.given_to(sent.nonce, ctx.flow.remote[0])):
            # Anybody may have written that source address, so neither a right nor a wrong password says anything of who is there.
            self.unplaced += 1
            return self._challenge(ctx, proxy, realm, sent, True)
        if sent.uri != request.uri and not self._lenient and not same_resource(sent.uri, request, ctx.domain_is_local):
            return ctx.reply(400, "Digest uri is not the Request-URI")
        username, at, domain = sent.username.rpartition("@")
        if at and normal_host(domain) != realm:
            return self._challenge(ctx, proxy, realm, sent, False)
        username = username or sent.username
        if self.guard is not None and self.guard.is_barred(ctx.flow.remote[0], f"{username}@{realm}", ctx.flow):
            ctx.blame("barred_user")
            self._tell(ctx, f"{username}@{realm}", "shut out after too many wrong passwords")
            return ctx.reply(403, "Too Many Wrong Passwords")
        asked = _Asked(proxy, realm, owner, username, sent, state)
        try:
            known = self._credentials.cached(username, realm)
        except KeyError:
            return self._credentials.fetch(username, realm).addCallback(self._judge_late, ctx, asked).addErrback(self._unavailable, ctx)
        return self._judge(known, ctx, asked)

    def _judge_late(self, known: Credential | None, ctx: Request, asked: _Asked) -> Verdict | None:
        # While the store was asked others may have guessed: a thousand side by side are no more than a thousand one by one.
        user = f"{asked.username}@{asked.realm}"
        if self.guard is not None and self.guard.refuses_password(ctx.flow.remote[0], user, ctx.flow):
            return ctx.reply(403, "Too Many Wrong Passwords")
        return self._judge(known, ctx, asked)

    def verify(self, username: str, domain: str, password: str) -> Deferred[bool]:
        """Whether this is the user's password, for those who come by another way than SIP. Fails with StorageError."""
        domain = normal_host(domain)
        try:
            return succeed(self._knows(self._credentials.cached(username, domain), username, domain, password))
        except KeyError:
            return self._credentials.fetch(username, domain).addCallback(self._knows, username, domain, password)

    def _knows(self, known: Credential | None, username: str, domain: str, password: str) -> bool:
        # For a user that doesn't exist the same hashes are computed and compared.
        known = known or Credential(username, domain, ha1_sha256=_NOBODY)
        if self._use_password and known.password:
            return _same(password, known.password)
        if known.ha1_sha256:
            return _same(ha1(SHA256, username, domain, password), known.ha1_sha256)
        return known.ha1 != "" and _same(ha1(MD5, username, domain, password), known.ha1)

    def trusts(self, flow: Flow) -> bool:
        """Whether requests by a flow need no digest: its address is trusted, or its peer has proved to be a trusted domain."""
        if flow.remote[0] in self._trusted:
            return True
        return bool(self._peers) and not self._peers.isdisjoint(flow.peer_domains)

    def _judge(self, known: Credential | None, ctx: Request, asked: _Asked) -> Verdict | None:
        proxy, realm, owner, username, sent, state = asked
        user = f"{username}@{realm}"
        hashed = "" if known is None else self._hash_of(known, sent, realm)
        right = matches(sent, hashed or _NOBODY, ctx.request.method)
        if not right or not hashed:
            if self.guard is not None and (hashed or known is None):
                self.guard.wrong(ctx.flow.remote[0], user)
            self._tell(ctx, user, "wrong password" if hashed else "unknown user or no such hash")
            return self._challenge(ctx, proxy, realm, sent, False)
        # A used count gets stale=true as an old nonce does: the password was right, so nobody needs to be asked for it again.
        count = sent.nc if sent.qop else _USED_UP
        if state != GOOD or not self._nonces.use(sent.nonce, count, self._seconds()):
            return self._challenge(ctx, proxy, realm, sent, True)
        flow = ctx.flow
        if flow.offered == sent.nonce:
            # The challenge that it answers went to this very address: who forges a source doesn't see it.
            flow.proved, flow.shown, flow.offered = True, user, ""
        if self.guard is not None:
            self.guard.right(ctx.flow.remote[0], user, ctx.flow)
        if owner is not None and owner != username and unescape(owner) != username:
            ctx.blame("other_user")
            self._tell(ctx, user, f"the address of {unescape(owner)!r} isn't its own")
            return ctx.reply(403, "Not your address")
        ctx.identity = user
        return None

    def _tell(self, ctx: Request, user: str, reason: str) -> None:
        """One line of the log in ten seconds for each source and user."""
        host = ctx.flow.remote[0]
        if self._told.may((host, user), self._seconds()):
            text = "{method} of {user!r} from {host} refused: {reason}"
            self._log.warn(text, method=ctx.request.method, user=user, host=host, reason=reason)

    def _hash_of(self, known: Credential, sent: Credentials, realm: str) -> str:
        if self._use_password and known.password:
            return ha1(sent.algorithm, sent.username, realm, known.password)
        whole = "@" in sent.username
        if sent.algorithm == MD5:
            found = known.ha1b if whole else known.ha1
        else:
            found = known.ha1_sha256 if not whole else known.ha1b_sha256
        if not found and not self._told_of_missing_hash:
            self._told_of_missing_hash = True
            self._log.warn(
                "user {user}@{realm} has no {algorithm} hash: set its password again, or leave {algorithm} out of [auth] algorithms",
                user=known.username,
                realm=realm,
                algorithm=sent.algorithm,
            )
        return found

    def _challenge(self, ctx: Request, proxy: bool, realm: str, sent: Credentials | None, stale: bool) -> Verdict:
        nonce = self._nonces.issue(realm, self._seconds(), ctx.flow.remote[0])
        ctx.flow.offered = nonce
        if ctx.flow.websocket:
            # JsSIP and SIP.js know MD5 alone, and keep the last line where a header stands twice.
            order = self._md5_last
        else:
            order = self._md5_alone if self._knows_md5_alone(ctx, sent) else self._algorithms
            if not ctx.flow.reliable and _octets(ctx.request) < _TINY:
                # No phone sends so little. Somebody may, in the name of one whom the answers are to flood.
                order = order[:1]
        return ctx.reply(status_for(proxy), "", challenge_headers(proxy, realm, nonce, order, stale))

    def _knows_md5_alone(self, ctx: Request, sent: Credentials | None) -> bool:
        # Many phones give up at the first challenge that they don't know, whatever stands beside it: a second one is for those only
        # that have shown, or are known, to read on (RFC 8760 §2.4).
        if sent is not None and sent.response:
            return sent.algorithm == MD5
        agent = ctx.request.get("user-agent")
        return agent is None or agent.startswith(self._md5_agents) or not agent.startswith(self._capable_agents)

    def _unavailable(self, failure: Failure, ctx: Request) -> Verdict:
        failure.trap(StorageError)
        return ctx.reply(503, "", _RETRY_AFTER)


def _octets(request: SipRequest) -> int:
    """About so many of its head came by wire."""
    return sum(map(len, request.lines)) + 2 * len(request.lines) + len(request.uri)


def _same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode("utf-8", "surrogateescape"), right.encode("utf-8", "surrogateescape"))
