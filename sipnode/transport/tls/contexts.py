"""TLS contexts, made of the profiles of ``tls.cfg``, and which of them a connection gets.

Implements: RFC 8446 and RFC 5246 by OpenSSL, RFC 6066 §3 (SNI), RFC 5922 §7 (client side). Invariant: a set of contexts is whole
or not there: :meth:`TLSContexts.reload` changes everything for new handshakes, or nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from zope.interface import implementer

from sipnode.errors import ConfigError
from sipnode.transport.identity import certificate_matches
from sipnode.transport.listen import family_of, is_unspecified
from sipnode.transport.tls.certificates import TOO_LONG, subject_of, why
from sipnode.transport.tls.config import METHODS, TLSConfig, TLSProfile
from sipnode.transport.tls.context import VERSIONS, client_context, depth_check, server_context, too_deep, verify_mode

if TYPE_CHECKING:
    from twisted.protocols.tls import TLSMemoryBIOProtocol

    from sipnode.records import Hop


class TLSContexts:
    """The contexts of a process.

    Args:
        config: The file, read.

    Attributes:
        config: What is in force.
        generation: How often it was read anew.

    Raises:
        ConfigError: a file of a profile that cannot be used.
    """

    def __init__(self, config: TLSConfig) -> None:
        self.config = config
        self.generation = 0
        self._clients = _client_contexts(config)
        self._creators: dict[tuple[str, int], ServerCreator] = {}
        self._unnamed_client = TLSProfile("client", "default", 0, "", 0, verify_certificate=True)

    def for_server(self, address: str, port: int) -> ServerCreator:
        """The server side of a listener; it takes part in each :meth:`reload`.

        Raises:
            ConfigError: no profile, or a file of it, or of another server section, that cannot be used.
        """
        if not self._creators:
            _check_servers(self.config)
        creator = self._creators[address, port] = ServerCreator(*_server_sets(self.config, address, port))
        return creator

    def for_client(self, hop: Hop) -> ClientCreator:
        """The client side of a connection to a hop.

        Raises:
            ConfigError: no section has the hop's ``server_id``.
        """
        profile = self.config.client(hop.host, hop.port, hop.server_name, hop.server_id)
        if profile is None:
            if hop.server_id:
                raise ConfigError(f"no client section has server_id = {hop.server_id}", key="tls.config")
            profile = self._unnamed_client
        context = self._clients.get(id(profile))
        if context is None:
            context = self._clients[id(profile)] = client_context(profile)
        return ClientCreator(context, profile, hop.server_name or hop.host)

    def reload(self, config: TLSConfig) -> None:
        """Use another file for handshakes from now on; connections that stand, stay.

        Raises:
            ConfigError: something of it cannot be used; then nothing has changed.
        """
        clients = _client_contexts(config)
        if self._creators:
            _check_servers(config)
        made = [(creator, _server_sets(config, *place)) for place, creator in self._creators.items()]
        self.config, self._clients = config, clients
        for creator, sets in made:
            creator.set, creator.local = sets
        self.generation += 1


def _client_contexts(config: TLSConfig) -> dict[int, SSL.Context]:
    return {id(profile): client_context(profile) for profile in config.profiles if profile.role == "client"}


def _check_servers(config: TLSConfig) -> None:
    """Where there is a TLS listener, the sections that none uses have to be right too: one may use them after the next start."""
    for profile in config.profiles:
        if profile.role == "server":
            server_context(profile)


def _server_sets(config: TLSConfig, address: str, port: int) -> tuple[ServerSet, dict[str, ServerSet]]:
    """The contexts of a listener; where it takes all addresses, also those of the addresses that have sections of their own."""
    local: dict[str, ServerSet] = {}
    if is_unspecified(address):
        own = {each.address for each in config.profiles if each.role == "server" and each.port == port}
        local = {each: _server_set(config, each, port) for each in own}
    return _server_set(config, address, port), local


def _server_set(config: TLSConfig, address: str, port: int) -> ServerSet:
    profiles = config.servers(address, port)
    if not profiles:
        raise ConfigError("tls.cfg has no [server:default]: a tls or wss listener needs its certificate", key="tls.config")
    return ServerSet(profiles)


@implementer(IOpenSSLServerConnectionCreator)
class ServerCreator:
    """Makes the server side of TLS connections of one listener.

    Attributes:
        set: The contexts in force; handshakes that have begun go on with those that they began with.
        local: Those for connections that came in at an address with sections of its own.
    """

    def __init__(self, made: ServerSet, local: dict[str, ServerSet]) -> None:
        self.set = made
        self.local = local

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        made = self.set
        if self.local:
            made = self.local.get(protocol.getHost().host, made)
        return made.connection(protocol)


class ServerSet:
    """The contexts of one listener.

    Args:
        profiles: The default one first, then those chosen by server_name.
    """

    def __init__(self, profiles: list[TLSProfile]) -> None:
        self._context = server_context(profiles[0])
        self._named = [(profile, server_context(profile)) for profile in profiles if profile.server_name]
        if self._named:
            self._context.set_tlsext_servername_callback(self._choose)
        if self._named and any(profile.verify_certificate for profile in profiles):
            # OpenSSL opens a ticket before it knows the name, so one that was given under a name that asks for no certificate would
            # be good for a name that does.
            for context in (self._context, *(context for _, context in self._named)):
                context.set_options(SSL.OP_NO_TICKET)
        for profile, context in self._named:
            if profile.tls_method != profiles[0].tls_method:
                # OpenSSL asks the context that the name has chosen.
                context.set_info_callback(self._check_version)

    def connection(self, protocol: Any) -> SSL.Connection:
        """The state of a new connection of that protocol."""
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(protocol)
        return connection

    def profile_for(self, name: str) -> tuple[TLSProfile, SSL.Context] | None:
        """The profile that a server name asks for: exact names before patterns; None for the default."""
        for wanted in (False, True):
            for profile, context in self._named:
                exact = profile.server_name == name and profile.server_name_mode != 2
                below = profile.server_name_mode in (1, 2) and name.endswith("." + profile.server_name)
                if below if wanted else exact:
                    return profile, context
        return None

    def _choose(self, connection: SSL.Connection) -> None:
        name = connection.get_servername()
        chosen = self.profile_for(name.decode("ascii", "replace").lower()) if name else None
        if chosen is not None:
            profile, context = chosen
            connection.set_context(context)
            # The context brings its certificate and authorities, but not how to verify.
            connection.set_verify(verify_mode(profile), depth_check(profile))

    def _check_version(self, connection: SSL.Connection, where: int, _result: int) -> None:
        """The switch of context leaves the versions of the default profile in force: look when the handshake is done."""
        if not where & SSL.SSL_CB_HANDSHAKE_DONE:
            return
        name = connection.get_servername()
        chosen = self.profile_for(name.decode("ascii", "replace").lower()) if name else None
        if chosen is not None:
            low, high = METHODS[chosen[0].tls_method]
            version = connection.get_protocol_version()
            if version < VERSIONS[low] or (high != (0, 0) and version > VERSIONS[high]):
                connection.get_app_data().abortConnection()


@implementer(IOpenSSLClientConnectionCreator)
class ClientCreator:
    """Makes the client side of one TLS connection.

    Args:
        context: Of the client profile.
        profile: It; its ``server_name`` is asked for and checked in place of the domain.
        name: The domain that was asked for, or an IP literal.

    Attributes:
        refusal: Why the peer was not believed, "" as long as it is.
    """

    def __init__(self, context: SSL.Context, profile: TLSProfile, name: str) -> None:
        self._context = context
        self._verify = profile.verify_certificate
        self._depth = profile.verify_depth
        self._name = profile.server_name or name
        self.refusal = ""

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        if not family_of(self._name):
            connection.set_tlsext_host_name(self._name.encode("idna"))
        if self._verify:
            connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._check)
        return connection

    def _check(self, _connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
        if not ok or too_deep(certificate, depth, self._depth):
            self.refusal = f"{subject_of(certificate)}: {why(error or TOO_LONG)}"
        elif depth == 0 and not certificate_matches(certificate, self._name):
            self.refusal = f"{subject_of(certificate)}: the certificate is not for {self._name}"
        return not self.refusal
