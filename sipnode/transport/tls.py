"""TLS contexts, made of the profiles of ``tls.cfg``.

Implements: RFC 8446 and RFC 5246 by OpenSSL, RFC 6066 §3 (SNI), RFC 7301 (ALPN), RFC 5922 §7 (client side). Invariant: every
file is read when contexts are built, so a handshake never meets a missing one, and a set of contexts is whole or not there:
:meth:`TLSContexts.reload` changes everything for new handshakes, or nothing.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from zope.interface import implementer

from sipnode.errors import ConfigError
from sipnode.transport.identity import certificate_matches
from sipnode.transport.listen import family_of
from sipnode.transport.tlsconfig import METHODS, TLSConfig, TLSProfile

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.protocols.tls import TLSMemoryBIOProtocol

    from sipnode.records import Hop

# What we speak inside TLS, best first (IANA's ALPN names); h2 never, since a WebSocket cannot be made of it.
_ALPN: Final = (b"http/1.1", b"sip/2")
_VERSIONS: Final = {(0, 0): 0, (1, 2): SSL.TLS1_2_VERSION, (1, 3): SSL.TLS1_3_VERSION}
_OPTIONS: Final = SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE


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
        creator = self._creators[address, port] = ServerCreator(_server_set(self.config, address, port))
        return creator

    def for_client(self, hop: Hop) -> ClientCreator:
        """The client side of a connection to a hop."""
        profile = self.config.client(hop.host, hop.port) or self._unnamed_client
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
        sets = [(creator, _server_set(config, *place)) for place, creator in self._creators.items()]
        self.config, self._clients = config, clients
        for creator, made in sets:
            creator.set = made
        self.generation += 1


def _client_contexts(config: TLSConfig) -> dict[int, SSL.Context]:
    return {id(profile): client_context(profile) for profile in config.profiles if profile.role == "client"}


def _check_servers(config: TLSConfig) -> None:
    """Where there is a TLS listener, the sections that none uses have to be right too: one may use them after the next start."""
    for profile in config.profiles:
        if profile.role == "server":
            server_context(profile)


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
    """

    def __init__(self, made: ServerSet) -> None:
        self.set = made

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return self.set.connection(protocol)


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
            if version < _VERSIONS[low] or (high != (0, 0) and version > _VERSIONS[high]):
                connection.get_app_data().abortConnection()


@implementer(IOpenSSLClientConnectionCreator)
class ClientCreator:
    """Makes the client side of one TLS connection.

    Args:
        context: Of the client profile.
        profile: It; its ``server_name`` is asked for and checked in place of the domain.
        name: The domain that was asked for, or an IP literal.
    """

    def __init__(self, context: SSL.Context, profile: TLSProfile, name: str) -> None:
        self._context = context
        self._verify = profile.verify_certificate
        self._depth = profile.verify_depth
        self._name = profile.server_name or name

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        if not family_of(self._name):
            connection.set_tlsext_host_name(self._name.encode("idna"))
        if self._verify:
            connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._check)
        return connection

    def _check(self, _connection: SSL.Connection, certificate: crypto.X509, _error: int, depth: int, ok: int) -> bool:
        return bool(ok) and depth <= self._depth and (depth > 0 or certificate_matches(certificate, self._name))


def server_context(profile: TLSProfile) -> SSL.Context:
    """The context of a server profile.

    Raises:
        ConfigError: pointing at the key whose file or value cannot be used.
    """
    context = _context(profile)
    if not profile.certificate:
        raise profile.wrong("certificate", "a server needs certificate and private_key")
    context.set_options(_OPTIONS)
    context.set_session_id(hashlib.sha256(f"{profile.name}/{profile.server_name}".encode()).digest())
    # Tickets resume sessions without memory of ours.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_alpn_select_callback(_select_alpn)
    context.set_verify(verify_mode(profile), depth_check(profile))
    if profile.ca_list:
        _guard(profile, "ca_list", lambda: context.load_client_ca(profile.ca_list.encode()))
    return context


def client_context(profile: TLSProfile) -> SSL.Context:
    """The context of a client profile; whether the peer is verified is said for each connection.

    Raises:
        ConfigError: pointing at the key whose file or value cannot be used.
    """
    context = _context(profile)
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    context.set_alpn_protos([b"sip/2"])
    return context


def verify_mode(profile: TLSProfile) -> int:
    """OpenSSL's verify mode for a server profile."""
    mode: int = SSL.VERIFY_NONE
    if profile.verify_certificate:
        mode = SSL.VERIFY_PEER
        if profile.require_certificate:
            mode |= SSL.VERIFY_FAIL_IF_NO_PEER_CERT
    return mode


def depth_check(profile: TLSProfile) -> Callable[[SSL.Connection, crypto.X509, int, int, int], bool]:
    """A verify callback that refuses chains longer than the profile allows, also after SNI has switched contexts."""
    most = profile.verify_depth

    def check(_connection: SSL.Connection, _certificate: crypto.X509, _error: int, depth: int, ok: int) -> bool:
        return bool(ok) and depth <= most

    return check


def _context(profile: TLSProfile) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    low, high = METHODS[profile.tls_method]
    context.set_min_proto_version(_VERSIONS[low])
    context.set_max_proto_version(_VERSIONS[high])
    # An idle connection gives its buffers back.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    if profile.certificate:
        _guard(profile, "certificate", lambda: context.use_certificate_chain_file(profile.certificate))
        _guard(profile, "private_key", lambda: context.use_privatekey_file(profile.private_key))
        _guard(profile, "private_key", context.check_privatekey)
    if profile.cipher_list:
        _guard(profile, "cipher_list", lambda: context.set_cipher_list(profile.cipher_list.encode()))
    if profile.ca_list:
        _guard(profile, "ca_list", lambda: context.load_verify_locations(profile.ca_list))
    if profile.ca_path:
        _guard(profile, "ca_path", lambda: context.load_verify_locations(None, profile.ca_path))
    if not (profile.ca_list or profile.ca_path):
        context.set_default_verify_paths()
    if profile.crl:
        _guard(profile, "crl", lambda: _load_crl(context, profile.crl))
    context.set_verify_depth(profile.verify_depth)
    return context


def _load_crl(context: SSL.Context, path: str) -> None:
    store = context.get_cert_store()
    with open(path, "rb") as file:
        text = file.read()
    end = b"-----END X509 CRL-----"
    blocks = [block + end for block in text.split(end) if b"-----BEGIN X509 CRL-----" in block]
    if store is None or not blocks:
        raise ValueError("no PEM revocation list in it")
    for block in blocks:
        store.add_crl(x509.load_pem_x509_crl(block[block.index(b"-----BEGIN") :]))
    store.set_flags(crypto.X509StoreFlags.CRL_CHECK)


def _guard(profile: TLSProfile, key: str, load: Callable[[], object]) -> None:
    """Run a step of building; its failure becomes an error that names the key and the file."""
    value = getattr(profile, key)
    try:
        if key != "cipher_list" and value:
            _readable(value)
        load()
    except OSError as error:
        raise profile.wrong(key, f"{value}: {error.strerror or error}") from None
    except (SSL.Error, crypto.Error) as error:
        words = error.args[0][0][-1] if error.args and error.args[0] else "unusable"
        raise profile.wrong(key, f"{value}: {words}") from None
    except ValueError as error:
        raise profile.wrong(key, f"{value}: {error}") from None


def _readable(path: str) -> None:
    """Raise OSError with the system's words, which OpenSSL keeps to itself."""
    if os.path.isdir(path):
        os.listdir(path)
    else:
        with open(path, "rb"):
            return


def _select_alpn(_connection: SSL.Connection, offered: list[bytes]) -> Any:
    for protocol in _ALPN:
        if protocol in offered:
            return protocol
    return SSL.NO_OVERLAPPING_PROTOCOLS
