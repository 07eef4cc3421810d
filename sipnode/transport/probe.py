"""``sipnode tls probe HOST:PORT``: what a TLS port shows, and what a browser and a SIP peer would object to.

It waits inside the process, so it's for the command line only. Invariant: nothing is sent but a handshake.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address

from sipnode.errors import SipnodeError
from sipnode.transport.identity import certificate_matches, sip_domains
from sipnode.transport.listen import family_of
from sipnode.transport.tls.certificates import why

SECONDS: Final = 10.0
_BROWSER_DAYS: Final = 398


class ProbeError(SipnodeError):
    """Nothing there, or it doesn't speak TLS."""


@dataclass
class Shown:
    """The view of a port from outside.

    Attributes:
        version: ``TLSv1.3``.
        cipher: Suite.
        alpn: What was agreed on of http/1.1 and sip/2, "" for nothing.
        chain: Certificates as sent, the peer's own first.
        fault: Why the chain doesn't hold, "" where it does.
    """

    version: str
    cipher: str
    alpn: str
    chain: list[x509.Certificate] = field(default_factory=list)
    fault: str = ""


def look(host: str, port: int, name: str = "", authorities: str = "") -> Shown:
    """Make one handshake.

    Args:
        host: Name or address to connect to.
        name: Asked for by SNI; the host where it is a name.
        authorities: PEM file of those to trust, "" for the system's.

    Raises:
        ProbeError: no connection, or no TLS on it.
    """
    faults: list[int] = []

    def note(_connection: SSL.Connection, _certificate: crypto.X509, error: int, _depth: int, _ok: int) -> bool:
        if error:
            faults.append(error)
        return True

    context = SSL.Context(SSL.TLS_METHOD)
    context.set_verify(SSL.VERIFY_PEER, note)
    context.set_alpn_protos([b"http/1.1", b"sip/2"])
    try:
        if authorities:
            context.load_verify_locations(authorities)
        else:
            context.set_default_verify_paths()
    except SSL.Error:
        raise ProbeError(f"{authorities} can't be read") from None
    try:
        wire = socket.create_connection((host, port), SECONDS)
    except OSError as error:
        raise ProbeError(f"no connection to {host}:{port}: {error.strerror or error}") from None
    with wire:
        connection = SSL.Connection(context, wire)
        asked = name or host
        if not family_of(asked):
            connection.set_tlsext_host_name(asked.encode("idna"))
        connection.set_connect_state()
        _shake(connection, wire)
        chain = [one.to_cryptography() for one in connection.get_peer_cert_chain() or ()]
        fault = why(faults[0]) if faults else ""
        shown = Shown(connection.get_protocol_version_name(), connection.get_cipher_name() or "", "", chain, fault)
        shown.alpn = connection.get_alpn_proto_negotiated().decode("ascii", "replace")
    return shown


def _shake(connection: SSL.Connection, wire: socket.socket) -> None:
    until = time.monotonic() + SECONDS
    wire.setblocking(True)
    wire.settimeout(SECONDS)
    # A socket with a time limit doesn't block, as OpenSSL sees it: wait for it here.
    while True:
        try:
            connection.do_handshake()
            return
        except (SSL.WantReadError, SSL.WantWriteError):
            left = until - time.monotonic()
            if left <= 0:
                raise ProbeError(f"no end of the handshake within {SECONDS:g} s") from None
            try:
                wire.settimeout(left)
                wire.recv(1, socket.MSG_PEEK)
            except OSError:
                continue
        except SSL.SysCallError:
            raise ProbeError("the connection was closed in the handshake") from None
        except SSL.Error as error:
            words = error.args[0][0][-1] if error.args and error.args[0] else "it failed"
            raise ProbeError(f"no TLS handshake: {words}") from None


def objections(shown: Shown, name: str, now: float) -> tuple[list[str], list[str]]:
    """Obstacles for a browser and for a SIP peer that want to reach ``name``.

    Returns:
        (of a browser, of a SIP peer); empty where there is nothing.
    """
    both: list[str] = []
    if not shown.chain:
        return ["no certificate"], ["no certificate"]
    own = shown.chain[0]
    if shown.version not in ("TLSv1.2", "TLSv1.3"):
        both.append(f"{shown.version} is too old")
    if shown.fault:
        both.append(shown.fault)
    if own.not_valid_after_utc.timestamp() <= now and "expired" not in shown.fault:
        both.append("the certificate has expired")
    key = own.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048:
        both.append(f"an RSA key of {key.key_size} bits")
    if isinstance(own.signature_hash_algorithm, hashes.SHA1 | hashes.MD5):
        both.append(f"signed with {own.signature_hash_algorithm.name}")
    certificate = crypto.X509.from_cryptography(own)
    browser, peer = list(both), list(both)
    try:
        (verify_ip_address if family_of(name) else verify_hostname)(_Holder(certificate), name)  # type: ignore[arg-type]  # as much as it asks
    except (VerificationError, CertificateError):
        browser.append(f"the certificate is not for {name}")
    days = (own.not_valid_after_utc - own.not_valid_before_utc).days
    if days > _BROWSER_DAYS and not shown.fault:
        browser.append(f"valid for {days} days, more than the {_BROWSER_DAYS} that browsers take from a public authority")
    if not certificate_matches(certificate, name):
        peer.append(f"the certificate does not stand for the SIP domain {name} (RFC 5922 takes no wildcards and no common name)")
    return browser, peer


class _Holder:
    """The question that service_identity wants to ask a certificate."""

    def __init__(self, certificate: crypto.X509) -> None:
        self._certificate = certificate

    def get_peer_certificate(self) -> crypto.X509:
        return self._certificate


def report(shown: Shown, name: str, now: float) -> tuple[str, bool]:
    """For people.

    Returns:
        The text, and whether neither a browser nor a SIP peer objects.
    """
    lines = [f"{shown.version}, {shown.cipher}{f', ALPN {shown.alpn}' if shown.alpn else ''}"]
    for number, one in enumerate(shown.chain):
        left = (one.not_valid_after_utc.timestamp() - now) / 86400
        lines.append(f"{number}  subject  {one.subject.rfc4514_string()}")
        lines.append(f"   issuer   {one.issuer.rfc4514_string()}")
        lines.append(f"   valid    {one.not_valid_before_utc:%Y-%m-%d} to {one.not_valid_after_utc:%Y-%m-%d} ({left:.0f} days left)")
        if number == 0:
            lines.append(f"   names    {', '.join(_names(one)) or 'none'}")
            domains = sip_domains(crypto.X509.from_cryptography(one))
            lines.append(f"   SIP      {', '.join(domains) or 'stands for no domain'}")
    browser, peer = objections(shown, name, now)
    lines += [f"browser: {'; '.join(browser) or 'nothing to object'}", f"SIP peer: {'; '.join(peer) or 'nothing to object'}"]
    return "\n".join(lines), not (browser or peer)


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(one.value) for one in found]
