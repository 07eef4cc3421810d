"""Does a request come from the user that it names? Digest against the store's credentials.

Implements: RFC 3261 §22, RFC 7616, RFC 8760.
Invariant: :meth:`Authenticator.check` ends in exactly one of: None with ``ctx.identity`` set (or nothing to prove), a final answer
given through ``ctx.reply``, or a Deferred of one of the two, and the last only when the credential isn't in memory.
"""

from __future__ import annotations

import hmac
import os
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipnode.auth.challenge import challenge_headers, consumed_values, credentials_for, header_for, status_for
from sipnode.auth.nonce import FORGED, GOOD, NonceKeeper
from sipnode.auth.secret import derive
from sipnode.auth.trust import TrustedSources
from sipnode.errors import ConfigError, ParseError, StorageError
from sipnode.interfaces import ICredentialStore, IDigestGuard, IFlow, IRequestContext
from sipnode.records import Credential
from sipnode.settings import AuthSettings
from sipnode.sip.digest import MD5, SHA256, Credentials, ha1, matches
from sipnode.sip.message import SipRequest
from sipnode.sip.uri import SipUri, unescape

# RFC 3261 §22.1: a challenge to these can't be answered with a new request.
_NEVER: Final = frozenset(("ACK", "CANCEL"))
# Takes the place of the hash of a user that doesn't exist, so that it costs what a wrong password costs.
_NOBODY: Final = "0" * 64
_RETRY_AFTER: Final = (("Retry-After", "5"),)
# With two challenges the answer to less than this is more than three times as long.
_TINY: Final = 190


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
        self._use_password = settings.calculate_ha1
        self._lenient = settings.lenient_uri
        self._credentials = credentials
        self._seconds = clock.seconds
        self._trusted = TrustedSources(settings.trusted)
        self._peers = frozenset(domain.lower() for domain in settings.trusted_peers)
        self._nonces = NonceKeeper(
            derive(secret, "nonce"), clock.seconds(), int.from_bytes(os.urandom(6)), settings.nonce_expire, settings.nonce_table
        )
        self._told_of_missing_hash = False
        self.guard: IDigestGuard | None = None
        self.unplaced = 0

    def realm_of(self, ctx: IRequestContext) -> str:
        """The domain whose user has to prove itself: that of the AoR for REGISTER, else of From; "" when it isn't ours.

        Raises:
            ParseError: the address can't be read.
        """
        request = ctx.request
        host = (request.to if request.method == "REGISTER" else request.from_).uri.host
        return host if host and ctx.domain_is_local(host) else ""

    def needs_auth(self, ctx: IRequestContext) -> bool:
        """Whether :meth:`check` has something to ask: authentication is on, the source isn't trusted, the method can be challenged
        and the request claims to come from a user of ours. What comes from elsewhere is the script's to judge."""
        if not self._enabled or ctx.request.method in _NEVER or self.trusts(ctx.flow):
            return False
        try:
            return self.realm_of(ctx) != ""
        except ParseError:
            return True

    def check(self, ctx: IRequestContext, proxy: bool) -> Any:
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
            realm = self.realm_of(ctx)
            if not realm:
                return None
            sent = credentials_for(request, proxy, realm, self._algorithms)
        except ParseError as fault:
            return ctx.reply(400, fault.reason)
        if sent is None or sent.algorithm not in self._algorithms or sent.qop != "auth":
            return self._challenge(ctx, proxy, realm, sent, False)
        state = self._nonces.check(sent.nonce, realm, self._seconds())
        if state == FORGED:
            return self._challenge(ctx, proxy, realm, sent, False)
        if not ctx.flow.reliable and (state != GOOD or not self._nonces.given_to(sent.nonce, ctx.flow.remote[0])):
            # Anybody may have written that source address, so neither a right nor a wrong password says anything of who is there.
            self.unplaced += 1
            return self._challenge(ctx, proxy, realm, sent, True)
        if sent.uri != request.uri and not self._lenient and not _same_resource(sent.uri, ctx):
            return ctx.reply(400, "Digest uri is not the Request-URI")
        username, at, domain = sent.username.rpartition("@")
        if at and domain.lower() != realm:
            return self._challenge(ctx, proxy, realm, sent, False)
        if self.guard is not None and self.guard.is_barred(ctx.flow.remote[0], f"{username or sent.username}@{realm}", ctx.flow):
            return ctx.reply(403, "Too Many Wrong Passwords")
        try:
            known = self._credentials.cached(username or sent.username, realm)
        except KeyError:
            waiting: Deferred[Any] = self._credentials.fetch(username or sent.username, realm)
            waiting.addCallback(self._judge_late, ctx, proxy, realm, sent, state)
            return waiting.addErrback(self._unavailable, ctx)
        return self._judge(known, ctx, proxy, realm, sent, state)

    def _judge_late(self, known: Credential | None, ctx: IRequestContext, proxy: bool, realm: str, sent: Credentials, state: int) -> Any:
        # While the store was asked others may have guessed: a thousand side by side are no more than a thousand one by one.
        user = f"{sent.username.rpartition('@')[0] or sent.username}@{realm}"
        if self.guard is not None and self.guard.refuses_password(ctx.flow.remote[0], user, ctx.flow):
            return ctx.reply(403, "Too Many Wrong Passwords")
        return self._judge(known, ctx, proxy, realm, sent, state)

    def verify(self, username: str, domain: str, password: str) -> Deferred[bool]:
        """Whether this is the user's password, for those who come by another way than SIP. Fails with StorageError."""
        domain = domain.lower()
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

    def trusts(self, flow: IFlow) -> bool:
        """Whether requests by a flow need no digest: its address is trusted, or its peer has proved to be a trusted domain."""
        if flow.remote[0] in self._trusted:
            return True
        return bool(self._peers) and not self._peers.isdisjoint(flow.peer_domains)

    def consumed(self, request: SipRequest) -> list[str]:
        """Values of the Proxy-Authorization lines that were for us; REGISTER and its Authorization end here anyway."""
        if request.method == "REGISTER" or "proxy-authorization" not in request:
            return []
        return consumed_values(request, True, request.from_.uri.host)

    def remove_consumed(self, forwarded: SipRequest) -> None:
        """Take them out of a copy that is to be forwarded (RFC 3261 §22.3)."""
        mine = self.consumed(forwarded)
        if mine:
            name = header_for(True)
            others = [value for value in forwarded.get_all(name) if value not in mine]
            forwarded.remove(name)
            for value in others:
                forwarded.append(name, value)

    def _judge(self, known: Credential | None, ctx: IRequestContext, proxy: bool, realm: str, sent: Credentials, state: int) -> Any:
        request = ctx.request
        hashed = "" if known is None else self._hash_of(known, sent, realm)
        right = matches(sent, hashed or _NOBODY, request.method)
        if not right or not hashed:
            if self.guard is not None and (hashed or known is None):
                self.guard.wrong(ctx.flow.remote[0], f"{sent.username.rpartition('@')[0] or sent.username}@{realm}")
            return self._challenge(ctx, proxy, realm, sent, False)
        # A used count gets stale=true as an old nonce does: the password was right, so nobody needs to be asked for it again.
        if state != GOOD or not self._nonces.use(sent.nonce, sent.nc, self._seconds()):
            return self._challenge(ctx, proxy, realm, sent, True)
        flow = ctx.flow
        if not flow.proved and flow.offered == sent.nonce:
            # The challenge that it answers went to this very address: who forges a source doesn't see it.
            flow.proved, flow.offered = True, ""
        username = sent.username.rpartition("@")[0] or sent.username
        if self.guard is not None:
            self.guard.right(ctx.flow.remote[0], f"{username}@{realm}", ctx.flow)
        owner = (request.to if request.method == "REGISTER" else request.from_).uri.user
        if owner != username and unescape(owner) != username:
            return ctx.reply(403, "Not your address")
        ctx.identity = f"{username}@{realm}"
        return None

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

    def _challenge(self, ctx: IRequestContext, proxy: bool, realm: str, sent: Credentials | None, stale: bool) -> Any:
        nonce = self._nonces.issue(realm, self._seconds(), ctx.flow.remote[0])
        if not ctx.flow.proved:
            ctx.flow.offered = nonce
        if ctx.flow.websocket:
            # JsSIP and SIP.js know MD5 alone, and keep the last line where a header stands twice.
            order = self._md5_last
        else:
            order = self._md5_alone if self._knows_md5_alone(ctx, sent) else self._algorithms
            if not ctx.flow.reliable and _octets(ctx.request) < _TINY:
                # No phone sends so little. Whoever does may do so in the name of somebody whom the answers are to flood.
                order = order[:1]
        return ctx.reply(status_for(proxy), "", challenge_headers(proxy, realm, nonce, order, stale))

    def _knows_md5_alone(self, ctx: IRequestContext, sent: Credentials | None) -> bool:
        # Some phones give up at the first challenge that they don't know, whatever stands beside it.
        if sent is not None and sent.algorithm == MD5:
            return True
        agent = ctx.request.get("user-agent")
        return agent is not None and agent.startswith(self._md5_agents)

    def _unavailable(self, failure: Failure, ctx: IRequestContext) -> Any:
        failure.trap(StorageError)
        return ctx.reply(503, "", _RETRY_AFTER)


def _octets(request: SipRequest) -> int:
    """About so many of its head came by wire."""
    return sum(map(len, request.lines)) + 2 * len(request.lines) + len(request.uri)


def _same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode("utf-8", "surrogateescape"), right.encode("utf-8", "surrogateescape"))


def _same_resource(text: str, ctx: IRequestContext) -> bool:
    """Whether a digest ``uri`` that isn't the Request-URI to the letter names the same thing (RFC 7616 §3.4.6): the same URI by the
    rules of RFC 3261 §19.1.4, or for a REGISTER another name of this registrar (some clients put its address there)."""
    try:
        uri = SipUri.parse(text)
        request_uri = ctx.request.ruri
    except ParseError:
        return False
    if uri.equals(request_uri):
        return True
    return (
        ctx.request.method == "REGISTER" and not uri.user and bool(ctx.domain_is_local(uri.host) and ctx.domain_is_local(request_uri.host))
    )
