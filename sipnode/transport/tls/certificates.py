"""Facts of the certificates and revocation lists of a tls.cfg about themselves; reads files, and nothing else.

Invariant: nothing here decides about a handshake. A file that can't be read is told by whoever builds contexts of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509

if TYPE_CHECKING:
    from OpenSSL.crypto import X509

    from sipnode.transport.tls.config import TLSConfig

DAY: Final = 86400.0
WARN_DAYS: Final = 14
# OpenSSL's errors of a chain (X509_V_ERR_…), for people.
TOO_LONG: Final = 22
_WHY: Final = {
    3: "there is no revocation list of its issuer",
    9: "a certificate is not valid yet",
    10: "a certificate has expired",
    12: "the revocation list has expired",
    18: "the certificate is self-signed and not trusted",
    19: "the chain ends in an authority that is not trusted",
    20: "the issuer is not trusted, or an intermediate certificate is not sent",
    21: "an intermediate certificate is not sent",
    TOO_LONG: "the chain is longer than verify_depth",
    23: "the certificate is revoked",
    26: "the certificate is not made for this",
}


def why(error: int) -> str:
    """The meaning of a chain's error; ``error`` is OpenSSL's number."""
    return _WHY.get(error, f"the chain doesn't hold (OpenSSL's error {error})")


def subject_of(certificate: X509) -> str:
    """The owner of a certificate; from outside, so printable and short."""
    return certificate.to_cryptography().subject.rfc4514_string().encode("ascii", "backslashreplace").decode()[:200] or "no subject"


@dataclass(frozen=True, slots=True)
class Dated:
    """A file with an end.

    Attributes:
        section: Of tls.cfg, without brackets.
        key: 'certificate', 'ca_list' or 'crl'.
        path: The file.
        subject: Who or what it is about.
        until: Epoch seconds.
    """

    section: str
    key: str
    path: str
    subject: str
    until: float

    def warning(self, now: float, days: int = WARN_DAYS) -> str:
        """A warning about it now, "" for none."""
        left = self.until - now
        if left > days * DAY:
            return ""
        when = "has expired" if left <= 0 else f"expires in {left / DAY:.1f} days"
        return f"[{self.section}] {self.key} {self.path} ({self.subject}) {when}"


def dated_files(config: TLSConfig) -> list[Dated]:
    """The certificates that are shown, the authorities that are trusted and the revocation lists; what can't be read is left out."""
    found: dict[tuple[str, str], Dated] = {}
    for profile in config.profiles:
        for key, read in (("certificate", _chain), ("ca_list", _chain), ("crl", _lists)):
            path = getattr(profile, key)
            if path and (key, path) not in found:
                try:
                    with open(path, "rb") as file:
                        subject, until = read(file.read())
                except (OSError, ValueError):
                    continue
                found[key, path] = Dated(profile.name, key, path, subject, until)
    return list(found.values())


def ends_soon(config: TLSConfig, now: float) -> list[str]:
    """A line for each file that ends within :data:`WARN_DAYS` of ``now`` (epoch seconds), or has ended."""
    return [text for text in (each.warning(now) for each in dated_files(config)) if text]


def _chain(pem: bytes) -> tuple[str, float]:
    """The one of a file that ends first: a chain is as good as its shortest part."""
    chain = x509.load_pem_x509_certificates(pem)
    return min(((one.subject.rfc4514_string(), one.not_valid_after_utc.timestamp()) for one in chain), key=_end)


def _lists(pem: bytes) -> tuple[str, float]:
    end = b"-----END X509 CRL-----"
    blocks = [block[block.index(b"-----BEGIN") :] + end for block in pem.split(end) if b"-----BEGIN X509 CRL" in block]
    lists = [x509.load_pem_x509_crl(block) for block in blocks]
    ends = [(one.issuer.rfc4514_string(), one.next_update_utc.timestamp()) for one in lists if one.next_update_utc is not None]
    return min(ends, key=_end)


def _end(pair: tuple[str, float]) -> float:
    return pair[1]
