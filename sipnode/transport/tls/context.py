"""One TLS context of one profile of ``tls.cfg``: what each key means to OpenSSL.

Implements: RFC 7301 (ALPN), RFC 5280 §6 (chains and revocation) by OpenSSL. Invariant: every file is read here, so a handshake
never meets a missing one, and what can't be used is an error that names file, line and key.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from sipnode.transport.tls.certificates import TOO_LONG, subject_of, why
from sipnode.transport.tls.config import METHODS, TLSProfile

if TYPE_CHECKING:
    from collections.abc import Callable

# Protocols that we speak inside TLS, best first (IANA's ALPN names); h2 never, since a WebSocket cannot be made of it.
_ALPN: Final = (b"http/1.1", b"sip/2")
# Of TLS 1.3, best first: with SHA-256, which processors have in hardware, a handshake costs a tenth less than with SHA-384.
_SUITES: Final = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
VERSIONS: Final = {(0, 0): 0, (1, 2): SSL.TLS1_2_VERSION, (1, 3): SSL.TLS1_3_VERSION}
_OPTIONS: Final = SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE


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
    """A verify callback that refuses chains longer than the profile allows, also after SNI has switched contexts, and leaves the
    reason as ``refusal`` of the connection's protocol.
    """
    most = profile.verify_depth

    def check(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
        if ok and not too_deep(certificate, depth, most):
            return True
        connection.get_app_data().refusal = f"{subject_of(certificate)}: {why(error or TOO_LONG)}"
        return False

    return check


def too_deep(certificate: crypto.X509, depth: int, most: int) -> bool:
    """Whether a chain has more authorities between its ends than ``most``; the one that it ends with doesn't count, as with OpenSSL."""
    return depth > most and (depth > most + 1 or certificate.get_issuer() != certificate.get_subject())


def _context(profile: TLSProfile) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    low, high = METHODS[profile.tls_method]
    context.set_min_proto_version(VERSIONS[low])
    context.set_max_proto_version(VERSIONS[high])
    # An idle connection gives its buffers back.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    if profile.certificate:
        _guard(profile, "certificate", lambda: context.use_certificate_chain_file(profile.certificate))
        _guard(profile, "private_key", lambda: _use_key(context, profile.private_key))
        _guard(profile, "private_key", context.check_privatekey)
    _guard(profile, "cipher_list", lambda: _set_ciphers(context, profile))
    if profile.ca_list:
        _guard(profile, "ca_list", lambda: context.load_verify_locations(profile.ca_list))
    if profile.ca_path:
        _guard(profile, "ca_path", lambda: context.load_verify_locations(None, profile.ca_path))
    if profile.verify_certificate and not (profile.ca_list or profile.ca_path):
        context.set_default_verify_paths()
    if profile.crl:
        _guard(profile, "crl", lambda: _load_crl(context, profile.crl))
    context.set_verify_depth(profile.verify_depth)
    return context


def _use_key(context: SSL.Context, path: str) -> None:
    """Take a key; one with a passphrase is an error, where OpenSSL would ask on somebody's terminal."""
    with open(path, "rb") as file:
        octets = file.read()
    try:
        context.use_privatekey(load_pem_private_key(octets, None))  # type: ignore[arg-type]  # of those that can't sign it says so itself
    except TypeError as error:
        words = "it has a passphrase, and there is nobody to type it" if "assword" in str(error) else "not a key that TLS can use"
        raise ValueError(words) from None
    except UnsupportedAlgorithm:
        raise ValueError("not a key that TLS can use") from None


def _set_ciphers(context: SSL.Context, profile: TLSProfile) -> None:
    """``cipher_list``: names of TLS 1.3 begin with ``TLS_``, everything else is OpenSSL's language for TLS 1.2.

    A list without names of one version leaves that version its own choice, but a list of TLS 1.3 alone is one.
    """
    words = profile.cipher_list.replace(",", ":").replace(" ", ":").split(":")
    modern = [word for word in words if word.startswith("TLS_")]
    older = ":".join(word for word in words if word and not word.startswith("TLS_"))
    context.set_tls13_ciphersuites(":".join(modern).encode() if modern else _SUITES)
    if older:
        context.set_cipher_list(older.encode())
    elif modern:
        if METHODS[profile.tls_method][1] == (1, 2):
            raise ValueError("suites of TLS 1.3 alone, while tls_method allows TLS 1.2 alone")
        context.set_min_proto_version(SSL.TLS1_3_VERSION)


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
