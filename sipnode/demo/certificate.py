"""A self-signed certificate for one address, so that a browser in the network gives the page its microphone."""

from __future__ import annotations

import datetime
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_DAYS = 365


def ensure(certificate: Path, key: Path, domain: str, host: str) -> None:
    """Make both files, unless they are there, name both domain and address, and last another week."""
    if certificate.exists() and key.exists() and _serves(certificate, domain, host):
        return
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, domain)])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = [x509.DNSName(domain), x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(host))]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    encoded = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_secret(key, encoded)
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))


def write_secret(file: Path, content: bytes) -> None:
    """Write a file that only its owner may read, from the first octet on."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)


def _serves(file: Path, domain: str, host: str) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return (
        left > datetime.timedelta(days=7)
        and domain in names.get_values_for_type(x509.DNSName)
        and ipaddress.ip_address(host) in names.get_values_for_type(x509.IPAddress)
    )
