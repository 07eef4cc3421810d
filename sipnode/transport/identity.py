"""Whether a certificate belongs to the SIP domain that was asked for; pure.

Implements: RFC 5922 §7.1 and §7.2. Invariant: where a certificate names SIP domains by URI, nothing else in it counts, and no
wildcard ever matches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service_identity.exceptions import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, URI_ID, DNSPattern, IPAddress_ID, URIPattern, verify_service_identity
from service_identity.pyopenssl import extract_patterns

from sipnode.transport.listen import family_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from OpenSSL.crypto import X509


def certificate_matches(certificate: X509, name: str) -> bool:
    """Whether the subjectAltNames of a certificate stand for a domain or an IP address.

    Args:
        certificate: The peer's own.
        name: The domain that was asked for (not the target of an SRV record), or an IP literal.
    """
    try:
        patterns: Sequence[object] = extract_patterns(certificate)
    except CertificateError:
        return False
    wanted: DNS_ID | URI_ID | IPAddress_ID
    uris = [each for each in patterns if isinstance(each, URIPattern) and each.protocol_pattern in (b"sip", b"sips")]
    try:
        if family_of(name):
            wanted = IPAddress_ID(name)
        elif uris:
            patterns, wanted = uris, URI_ID(f"sip:{name}")
        else:
            patterns = [each for each in patterns if isinstance(each, DNSPattern) and not each.pattern.startswith(b"*")]
            wanted = DNS_ID(name)
        verify_service_identity(patterns, [wanted], [])  # type: ignore[arg-type]  # a sequence of one kind of pattern
    except (VerificationError, CertificateError, ValueError):
        return False
    return True


def sip_domains(certificate: X509) -> tuple[str, ...]:
    """The SIP domains that a certificate stands for (RFC 5922 §7.1), in lower case.

    Args:
        certificate: The peer's own, its chain verified.
    """
    try:
        patterns: Sequence[object] = extract_patterns(certificate)
    except CertificateError:
        return ()
    uris = [each for each in patterns if isinstance(each, URIPattern) and each.protocol_pattern in (b"sip", b"sips")]
    names = [each.dns_pattern.pattern for each in uris] if uris else [each.pattern for each in patterns if isinstance(each, DNSPattern)]
    return tuple(dict.fromkeys(name.decode("ascii").lower() for name in names if not name.startswith(b"*")))
