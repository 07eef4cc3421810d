"""The common part of most event packages. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from zope.interface import implementer

from sipnode.errors import ParseError
from sipnode.interfaces import IEventPackage

if TYPE_CHECKING:
    from sipnode.interfaces import IPresenceSources
    from sipnode.records import Publication


@implementer(IEventPackage)
class EventPackage:
    """A package for whose resources nothing can be published, and whose document is the same for every watcher."""

    name: ClassVar[str] = ""
    default_expires: ClassVar[int] = 3600
    content_types: ClassVar[tuple[str, ...]] = ()
    publish_types: ClassVar[tuple[str, ...]] = ()
    follows: ClassVar[frozenset[str]] = frozenset()
    own_only: ClassVar[bool] = False
    personal: ClassVar[bool] = False
    private: ClassVar[bool] = False
    versioned: ClassVar[bool] = False
    hold_seconds: ClassVar[float] = -1.0

    sources: IPresenceSources

    def start(self, sources: IPresenceSources) -> None:
        """Keep whom to ask."""
        self.sources = sources

    def refusal(self, resource: str, watcher: str) -> tuple[int, str] | None:
        """Every resource can be watched."""
        return None

    def check(self, body: bytes, content_type: str) -> Any:
        """Nothing can be published."""
        raise ParseError("nothing can be published", 415)

    def source(self, parsed: Any) -> str:
        """No document says which device made it."""
        return ""

    def state(self, resource: str, watcher: str, publications: list[Publication], version: int, content_type: str) -> bytes:
        """Each package's own."""
        raise NotImplementedError
