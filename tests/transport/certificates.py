"""Certificates for tests, made on the spot."""

from __future__ import annotations

import datetime
import ipaddress
import os
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass
class Pair:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def save(self, folder: str, name: str) -> None:
        """Write ``name-cert.pem`` and ``name-key.pem``."""
        with open(os.path.join(folder, f"{name}-cert.pem"), "wb") as file:
            file.write(self.certificate.public_bytes(Encoding.PEM))
        with open(os.path.join(folder, f"{name}-key.pem"), "wb") as file:
            file.write(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def make(common_name: str, names: tuple[str, ...] = (), issuer: Pair | None = None, authority: bool = False) -> Pair:
    """A certificate, self-signed unless an issuer is given.

    Args:
        common_name: Of the subject.
        names: subjectAltNames: 'uri:…', an IP literal, or a DNS name.
        issuer: Who signs.
        authority: May sign others.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(each) for each in names]), critical=False)
    return Pair(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def revocation_list(issuer: Pair, *revoked: Pair) -> bytes:
    """A PEM list of an issuer."""
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now - datetime.timedelta(days=1))
        .next_update(now + datetime.timedelta(days=1))
    )
    for each in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number).revocation_date(now).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _name(text: str) -> x509.GeneralName:
    if text.startswith("uri:"):
        return x509.UniformResourceIdentifier(text[4:])
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
