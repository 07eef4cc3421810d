"""GRUUs: URIs that lead to one device of a user, wherever it is registered; made and read without keeping any. Pure.

Implements: RFC 5627 §3 (public and temporary GRUUs), §5.1, §5.2 (the registrar), §5.4 (where requests to them go).

* Public: ``sip:alice@example.com;gr=urn:uuid:….MARK``. MARK shows that we have made it for that user and instance. It lasts for ever.
* Temporary: ``sip:tgruu.SEALED@example.com;gr``. SEALED (AES-SIV, RFC 5297) holds user, instance and Call-ID of the registration, and
  shows none of it. It lasts until the registration ends, or another Call-ID takes its place; each 200 has a new one.

The invariant: a text that we haven't made leads nowhere, and is counted; no text whatever raises.
"""

from __future__ import annotations

import os
import re
from base64 import b32encode, urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2s
from hmac import compare_digest
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from sipnode.sip.uri import unescape

if TYPE_CHECKING:
    from sipnode.records import Binding
    from sipnode.sip.uri import SipUri

GRUU: Final = "gruu"
LONGEST: Final = 1024
"""Characters of a URI that is looked at."""
_TEMPORARY: Final = "tgruu."
_RANDOM: Final = 4
_DIGEST: Final = 8
_SAFE: Final = ":-_.~+!*"
_LETTERS: Final = re.compile(r"(?:[A-Za-z0-9_-]{4})+")
_IN_USER: Final = "-_.~!*'()&=+$,;?/"


class Instance:
    """The device that a GRUU is of.

    Attributes:
        user: Of its address-of-record, decoded.
        missing: Status of a request where it has no binding: 480 for a GRUU that lasts, 404 for one that is over (§5.4).
    """

    __slots__ = ("_call", "_digest", "missing", "user")

    def __init__(self, user: str, digest: bytes, call: bytes = b"") -> None:
        self.user = user
        self.missing = 404 if call else 480
        self._digest = digest
        self._call = call

    def of(self, bindings: list[Binding]) -> list[Binding]:
        """Its own among the bindings of its address-of-record: all of its flows, unless none has the Call-ID that is asked for."""
        found = [binding for binding in bindings if binding.instance and _digest(_core(binding.instance)) == self._digest]
        if self._call and not any(_digest(binding.call_id) == self._call for binding in found):
            return []
        return found


class Gruus:
    """Makes and reads them.

    Args:
        key: 32 octets, the same after a restart and on sister nodes.
        counters: Counts ``forged_gruus``.
    """

    __slots__ = ("_aead", "_counters", "_key")

    def __init__(self, key: bytes, counters: dict[str, int]) -> None:
        self._aead = AESSIV(key)
        self._key = blake2s(key, person=b"gruu").digest()
        self._counters = counters

    def params(self, binding: Binding, host: str) -> str:
        """The parameters of a Contact in the 200 to a REGISTER (§5.2), "" for one without instance.

        Args:
            host: Domain of To.
        """
        if not binding.instance:
            return ""
        user = binding.aor.rpartition("@")[0]
        return f';pub-gruu="{self.public(user, host, binding.instance)}";temp-gruu="{self.temporary(user, host, binding)}"'

    def public(self, user: str, host: str, instance: str) -> str:
        """The public GRUU of a device.

        Args:
            user: Decoded. host: Domain of the address-of-record, as in a URI.
            instance: Value of ``+sip.instance``.
        """
        core = _core(instance)
        value = quote(core, safe=_SAFE, errors="surrogateescape")
        return f"sip:{quote(user, safe=_IN_USER, errors='surrogateescape')}@{host};gr={value}.{self._mark(user, host, core)}"

    def temporary(self, user: str, host: str, binding: Binding) -> str:
        """A new temporary GRUU of a device, good as long as its registration has this Call-ID."""
        octets = os.urandom(_RANDOM) + _digest(_core(binding.instance)) + _digest(binding.call_id) + user.encode("utf-8", "surrogateescape")
        # So long that base 64 has no bits left over: each letter counts.
        octets += b"\0" * ((2 - len(octets)) % 3)
        sealed = self._aead.encrypt(octets, [host.encode("utf-8", "surrogateescape")])
        return f"sip:{_TEMPORARY}{urlsafe_b64encode(sealed).decode('ascii')}@{host};gr"

    def read(self, uri: SipUri) -> Instance | None:
        """The device that a URI with ``gr`` is of; None where we haven't made it."""
        found = None
        if len(uri.text) <= LONGEST:
            value = uri.params.get("gr", "")
            found = self._read_public(uri, value) if value else self._read_temporary(uri)
        if found is None:
            self._counters["forged_gruus"] += 1
        return found

    def _read_public(self, uri: SipUri, value: str) -> Instance | None:
        text, _, mark = value.rpartition(".")
        core, user = unescape(text).lower(), unescape(uri.user)
        if not core or not mark.isascii() or not compare_digest(mark.lower(), self._mark(user, uri.host, core)):
            return None
        return Instance(user, _digest(core))

    def _read_temporary(self, uri: SipUri) -> Instance | None:
        text = uri.user.removeprefix(_TEMPORARY)
        if text == uri.user or _LETTERS.fullmatch(text) is None:
            return None
        try:
            octets = self._aead.decrypt(urlsafe_b64decode(text), [uri.host.encode("utf-8", "surrogateescape")])
        except (InvalidTag, ValueError):
            return None
        instance, call = _RANDOM + _DIGEST, _RANDOM + 2 * _DIGEST
        user = octets[call:].rstrip(b"\0").decode("utf-8", "surrogateescape")
        return Instance(user, octets[_RANDOM:instance], octets[instance:call])

    def _mark(self, user: str, host: str, core: str) -> str:
        text = f"{user}\0{host}\0{core}".encode("utf-8", "surrogateescape")
        # Base 32: a parameter's value may come back in other case (RFC 3261 §19.1.4).
        return b32encode(blake2s(text, key=self._key, digest_size=10).digest()).decode("ascii").lower()


def _core(instance: str) -> str:
    """A ``+sip.instance`` without its brackets, in the one case that URNs of UUIDs are compared in."""
    return instance.removeprefix("<").removesuffix(">").lower()


def _digest(text: str) -> bytes:
    return blake2s(text.encode("utf-8", "surrogateescape"), digest_size=_DIGEST).digest()
