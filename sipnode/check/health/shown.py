"""Certificates of our listeners, judged as a browser does: by a handshake in memory with the authorities of this machine.

Invariant: no socket is opened; what OpenSSL says of the chain and the name is what a browser would stumble over.
"""

from __future__ import annotations

import fnmatch
import ssl
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from sipnode.check.health.lines import Line
from sipnode.errors import ConfigError
from sipnode.transport.listen import ListenSpec, family_of, is_loopback
from sipnode.transport.tls.config import TLSConfig, TLSProfile, load_tls_config

FEW_DAYS: Final = 14
_ROUNDS: Final = 8


def check_certificates(config: str, specs: Collection[ListenSpec], domains: Collection[str], now: float) -> Iterator[Line]:
    """A line for each name that a TLS listener is reached by.

    Args:
        config: Path of tls.cfg.
        specs: What is listened on.
        domains: ``[core] domains``, the names where nothing is advertised.
        now: Epoch seconds.
    """
    secure = [spec for spec in specs if spec.secure]
    if not secure:
        return
    try:
        read = load_tls_config(config)
    except ConfigError as error:
        yield Line("certificate", str(error), f"editor {config}")
        return
    said: set[tuple[str, str]] = set()
    for spec in secure:
        for name in names_of(spec, domains):
            profile = profile_for(read, spec, name)
            if profile is not None and (profile.certificate, name) not in said:
                said.add((profile.certificate, name))
                yield judged(profile, name, now)


def names_of(spec: ListenSpec, domains: Collection[str]) -> list[str]:
    """Names that the certificate of a listener has to stand for."""
    host = spec.via_host.strip("[]")
    if not family_of(host):
        return [host]
    if is_loopback(host):
        return ["localhost"] if not domains else list(domains)[:1]
    return list(domains) or [host]


def profile_for(config: TLSConfig, spec: ListenSpec, name: str) -> TLSProfile | None:
    """The section that a client gets that asks for a name."""
    profiles = config.servers(spec.host, spec.port)
    for profile in profiles[1:]:
        if profile.server_name and fnmatch.fnmatch(name, profile.server_name.lower()):
            return profile
    return profiles[0] if profiles else None


def judged(profile: TLSProfile, name: str, now: float) -> Line:
    """The line of one certificate and name."""
    file = profile.certificate
    about = f"{name}: {file}"
    key = profile.private_key or file
    try:
        chain = x509.load_pem_x509_certificates(Path(file).read_bytes())
    except (OSError, ValueError) as error:
        return Line(
            "certificate", f"{about} can't be read ({getattr(error, 'strerror', None) or error})", f"openssl x509 -in {file} -noout -text"
        )
    left = min(one.not_valid_after_utc.timestamp() for one in chain) - now
    days = int(left / 86400)
    begins = chain[0].not_valid_before_utc
    if left <= 0:
        return Line("certificate", f"{about} ended {-days} days ago", f"certbot renew && sipnode reload  # or put a new one at {file}")
    if begins.timestamp() > now:
        here = datetime.fromtimestamp(now, begins.tzinfo).strftime("%F")
        return Line("certificate", f"{about} begins on {begins:%F}, here it is {here}", "timedatectl set-ntp true")
    fault = handshake(file, key, name)
    if fault:
        return Line("certificate", f"{about}: {fault}", _remedy(fault, file, key, name))
    if days < FEW_DAYS:
        return Line("certificate", f"{about} ends in {days} days", "certbot renew && sipnode reload")
    return Line("certificate", f"{about}, trusted, {days} days left")


def browser_context() -> ssl.SSLContext:
    """A client that trusts the authorities of this machine."""
    return ssl.create_default_context()


def handshake(certificate: str, key: str, name: str) -> str:
    """What a client objects to, "" for nothing."""
    try:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            return f"the key {key} isn't that of the certificate"
        return f"{key} can't be used ({getattr(error, 'strerror', None) or error})"
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(to_server, to_client, server_side=True)
    here = browser_context().wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(_ROUNDS):
        for side in (here, there):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return str(error.verify_message)
            except ssl.SSLError as error:
                return str(error.reason or error)
    return ""


def _remedy(fault: str, file: str, key: str, name: str) -> str:
    text = fault.lower()
    if "isn't that of" in text or "can't be used" in text:
        return f"openssl pkey -in {key} -pubout; openssl x509 -in {file} -noout -pubkey  # have to be the same"
    if "hostname mismatch" in text or "ip address mismatch" in text:
        return f"certbot certonly -d {name}  # this one is for: openssl x509 -in {file} -noout -ext subjectAltName"
    if "self-signed" in text or "self signed" in text:
        return f"certbot certonly -d {name}  # or import its authority into the browsers and phones"
    if "issuer" in text:
        return f"cat CERTIFICATE INTERMEDIATE > {file}  # the chain isn't whole, or ends at an authority that this machine doesn't know"
    return f"openssl verify -untrusted {file} {file}"
