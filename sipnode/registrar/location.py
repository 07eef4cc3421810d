"""The location table: who can be reached where, in memory and synchronous.

Implements: RFC 3261 §10.3 (the location service), §16.5 (order of targets). No Twisted, no clock: ``now`` comes as an
argument, in epoch seconds.

The invariant: an address-of-record stands in exactly one bucket of the expiry wheel, at or before the second in which its
first binding expires. A refresh therefore touches no bucket, and no operation depends on how many others are registered.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from hashlib import blake2s
from heapq import heappop, heappush
from sys import intern
from typing import TYPE_CHECKING, Final

from sipnode.base.native import mypyc_attr
from sipnode.records import Binding, BindingFlag, LocationChange
from sipnode.registrar.sources import Sources
from sipnode.sip.uri import SipUri

if TYPE_CHECKING:
    from collections.abc import Sequence

_NATB: Final = int(BindingFlag.NATB)


def instance_key(aor: str, instance: str, contact: str) -> str:
    """Short name of a registered device that outlives its connections and the server's restarts.

    Args:
        aor: Canonical address-of-record.
        instance: ``+sip.instance``, or "".
        contact: Contact URI; names the device when it has no instance.

    Returns:
        11 characters of [0-9A-Za-z_-]. It isn't secret: sign it where it must not be forged.
    """
    text = f"{aor}\0i{instance}" if instance else f"{aor}\0c{contact}"
    digest = blake2s(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return urlsafe_b64encode(digest)[:11].decode("ascii")


@mypyc_attr(native_class=False)
class _Address(list[Binding]):
    """Bindings of one address-of-record, best first, and the bucket that it stands in."""

    __slots__ = ("due",)

    def __init__(self) -> None:
        super().__init__()
        self.due = 0


class LocationTable:
    """Bindings by address-of-record, by connection, by device and by source."""

    def __init__(self) -> None:
        self._addresses: dict[str, _Address] = {}
        self._flows: dict[str, dict[str, Binding]] = {}
        self._keys: dict[str, str] = {}
        self._sources = Sources()
        self._buckets: dict[int, set[str]] = {}
        self._seconds: list[int] = []
        self._count = 0

    def count(self) -> int:
        """How many bindings are there, those that expired within the last second or so included."""
        return self._count

    def addresses(self) -> int:
        """How many addresses-of-record have a binding."""
        return len(self._addresses)

    def lookup(self, aor: str, now: float) -> list[Binding]:
        """Bindings that haven't expired, best ``q`` first, then newest; the list is the caller's."""
        address = self._addresses.get(aor)
        if address is None:
            return []
        return [binding for binding in address if binding.expires > now]

    def bindings(self, aor: str) -> list[Binding]:
        """All bindings of an address, expired ones too; the list is the caller's."""
        return list(self._addresses.get(aor, ()))

    def online(self, aor: str, now: float) -> bool:
        """Whether a binding is there that hasn't expired."""
        address = self._addresses.get(aor)
        return address is not None and any(binding.expires > now for binding in address)

    def get(self, aor: str, ruid: str) -> Binding | None:
        """One binding by its name."""
        for binding in self._addresses.get(aor, ()):
            if binding.ruid == ruid:
                return binding
        return None

    def by_instance(self, aor: str, instance: str, now: float) -> Binding | None:
        """The newest binding of a device that hasn't expired."""
        found = [b for b in self._addresses.get(aor, ()) if b.instance == instance and b.expires > now]
        return max(found, key=lambda b: b.last_modified) if found else None

    def by_key(self, key: str, now: float) -> Binding | None:
        """The binding of a device that lives, or lived, on a connection, by its :func:`instance_key`."""
        found: Binding | None = None
        for binding in self._addresses.get(self._keys.get(key, ""), ()):
            if (
                binding.expires > now
                and (found is None or binding.last_modified > found.last_modified)
                and instance_key(binding.aor, binding.instance, binding.contact) == key
            ):
                found = binding
        return found

    def on_flow(self, token: str) -> list[Binding]:
        """Bindings that live on a connection."""
        return list(self._flows.get(token, {}).values())

    def by_source(self, received: str, contact: str, now: float) -> Binding | None:
        """The binding behind a translator, or on a WebSocket, that came from a source and has a contact.

        Args:
            received: As :attr:`Binding.received` has it.
            contact: URI; one that is equal (RFC 3261 §19.1.4), else one with the same user, as phones vary the rest of it.
        """
        found = [b for aor in self._sources.of(received) for b in self.lookup(aor, now) if b.received == received]
        if not found:
            return None
        uri = SipUri.parse(contact)
        named = [b for b in found if SipUri.parse(b.contact).user == uri.user]
        return next((b for b in named if uri.equals(SipUri.parse(b.contact))), named[0] if named else None)

    def __iter__(self) -> Iterator[Binding]:
        """All bindings, in no order; the table must not change meanwhile."""
        for address in self._addresses.values():
            yield from address

    def aors(self) -> list[str]:
        """Addresses-of-record that have a binding."""
        return list(self._addresses)

    # -- changing

    def apply(self, aor: str, changes: Iterable[LocationChange]) -> list[Binding | None]:
        """Commit changes of one address-of-record.

        Returns:
            For each change the binding of that ``ruid`` as it was before, None where there was none.
        """
        return [self.remove(aor, c.binding.ruid) if c.delete else self.save(aor, c.binding) for c in changes]

    def save(self, aor: str, binding: Binding) -> Binding | None:
        """Put a binding in the place of the one with its ``ruid``, or add it.

        Returns:
            The one that was there.
        """
        address = self._addresses.get(aor)
        if address is None:
            address = self._addresses[aor] = _Address()
        old = None
        for position, other in enumerate(address):
            if other.ruid == binding.ruid:
                old = other
                address[position] = binding
                self._unindex(old, binding)
                break
        else:
            address.append(binding)
            self._count += 1
        if len(address) > 1:
            address.sort(key=_order)
        if binding.connection_id:
            flow = self._flows.get(binding.connection_id)
            if flow is None:
                flow = self._flows[binding.connection_id] = {}
            flow[binding.ruid] = binding
        if _keyed(binding) and (old is None or not _keyed(old) or _device(old) != _device(binding)):
            self._keys[instance_key(aor, binding.instance, binding.contact)] = aor
        if _behind(binding) and (old is None or old.received != binding.received or not _behind(old)):
            self._sources.add(binding.received, aor)
        second = int(binding.expires) + 1
        if not address.due or second < address.due:
            self._move(aor, address, second)
        return old

    def remove(self, aor: str, ruid: str) -> Binding | None:
        """Take a binding out.

        Returns:
            It, or None when it wasn't there.
        """
        address = self._addresses.get(aor)
        if address is None:
            return None
        for position, binding in enumerate(address):
            if binding.ruid == ruid:
                del address[position]
                self._count -= 1
                self._unindex(binding, None)
                if not address:
                    del self._addresses[aor]
                    self._leave(aor, address.due)
                return binding
        return None

    def drop_flow(self, token: str) -> list[Binding]:
        """Take all bindings of a connection out.

        Returns:
            The bindings that went.
        """
        gone = self._flows.pop(token, None)
        if not gone:
            return []
        bindings = list(gone.values())
        for binding in bindings:
            self.remove(binding.aor, binding.ruid)
        return bindings

    def expire(self, now: float, limit: int = 1000) -> tuple[list[Binding], bool]:
        """Take out what has expired.

        Args:
            limit: Most addresses-of-record to look at.

        Returns:
            (bindings that went, whether there is more to do at once).
        """
        gone: list[Binding] = []
        seconds = self._seconds
        while seconds and seconds[0] <= now:
            bucket = self._buckets.get(seconds[0])
            while bucket:
                if not limit:
                    return gone, True
                limit -= 1
                self._settle(bucket.pop(), now, gone)
            self._buckets.pop(heappop(seconds), None)
        return gone, False

    def _settle(self, aor: str, now: float, gone: list[Binding]) -> None:
        """Expire what is due of an address that has just left its bucket, and put it where its next binding is due."""
        address = self._addresses[aor]
        address.due = 0
        for binding in [b for b in address if b.expires <= now]:
            self.remove(aor, binding.ruid)
            gone.append(binding)
        if address:
            self._move(aor, address, int(min(b.expires for b in address)) + 1)

    def _move(self, aor: str, address: _Address, second: int) -> None:
        self._leave(aor, address.due)
        address.due = second
        bucket = self._buckets.get(second)
        if bucket is None:
            bucket = self._buckets[second] = set()
            heappush(self._seconds, second)
        bucket.add(aor)

    def _leave(self, aor: str, second: int) -> None:
        # An emptied bucket stays until its second has passed: the heap knows it by that.
        bucket = self._buckets.get(second)
        if bucket is not None:
            bucket.discard(aor)

    def _unindex(self, old: Binding, new: Binding | None) -> None:
        """Take a binding out of the indexes, unless its successor stands at the same places."""
        token = old.connection_id
        if token and (new is None or new.connection_id != token):
            flow = self._flows.get(token)
            if flow is not None:
                flow.pop(old.ruid, None)
                if not flow:
                    del self._flows[token]
        if _behind(old) and (new is None or new.received != old.received or not _behind(new)):
            others = self._addresses[old.aor]
            if not any(b.received == old.received and _behind(b) for b in others):
                self._sources.drop(old.received, old.aor)
        if _keyed(old):
            device = _device(old)
            if not any(_device(b) == device and _keyed(b) for b in self._addresses[old.aor]):
                self._keys.pop(instance_key(old.aor, old.instance, old.contact), None)


def _order(binding: Binding) -> tuple[float, float]:
    return -binding.q, -binding.last_modified


def _keyed(binding: Binding) -> bool:
    """Whether requests may have to find the device again after its connection: anything but plain UDP."""
    return bool(binding.connection_id) or binding.socket[:1] not in ("u", "")


def _behind(binding: Binding) -> bool:
    """Whether its contact means nothing outside, so that it is passed on with an alias."""
    return bool(binding.received) and bool(binding.cflags & _NATB)


def _device(binding: Binding) -> str:
    return binding.instance or binding.contact


def interned(bindings: Sequence[Binding]) -> Sequence[Binding]:
    """Let rows of the store share the texts that many of them have, so that they take no more memory than those that
    were registered in this run.
    """
    for binding in bindings:
        binding.user_agent = intern(binding.user_agent)
        binding.socket = intern(binding.socket)
    return bindings
