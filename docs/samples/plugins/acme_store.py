"""A store, as small as one can be: ``[storage] url = "acme:"`` forgets everything, and has one user."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from sipnode.interfaces import IStorage, IStorePlugin
from sipnode.storage.memory import MemoryStorage
from sipnode.storage.users import make_credential


@implementer(IStorePlugin)
class AcmeStores:
    """Makes the store when the server starts."""

    name = "acme"

    def make(self, url: str, state_dir: str, reactor: Any, cache_seconds: float, node_id: int) -> IStorage:
        """Nothing is read or written yet: that is for the store's ``open()``."""
        store = MemoryStorage(reactor, cache_seconds)
        store.add(make_credential("alice", "example.com", "a password"))
        return store


stores = AcmeStores()
