"""Views for an operator at the prompt: live things as tables, with the objects themselves behind them.

Invariant: to look changes nothing, and a table is never longer than ``MOST_ROWS`` unless it was asked to be.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from sipnode.tables import table

MOST_ROWS: Final = 30


class View:
    """Live things of one kind. Typed at the prompt it is a table; a loop gives the objects; ``view[0]`` the first, ``view["text"]``
    the only one that has the text in its row; ``view.find("text")`` a view of all that have; ``view.all`` is the whole table.

    Args:
        title: What they are.
        items: Gives the objects.
        row: The row of an object: names and values.
        verbs: What can be done with them, by name.
        empty: What stands there where there is none.
    """

    def __init__(
        self,
        title: str,
        items: Callable[[], Iterable[Any]],
        row: Callable[[Any], dict[str, Any]],
        verbs: dict[str, Callable[..., Any]] | None = None,
        empty: str = "none",
    ) -> None:
        self._title = title
        self._items = items
        self._row = row
        self._verbs = verbs or {}
        self._empty = empty
        self.__doc__ = f"{title}.\n\n{View.__doc__}"
        if self._verbs:
            self.__doc__ += "\n\n    " + "\n    ".join(f".{name}: {(verb.__doc__ or '').strip()}" for name, verb in self._verbs.items())

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_verbs"][name]
        except KeyError:
            raise AttributeError(f"{name}; there are: all, find, {', '.join(self.__dict__.get('_verbs', ()))}") from None

    def __dir__(self) -> list[str]:
        return sorted([*super().__dir__(), *self._verbs])

    def __len__(self) -> int:
        return sum(1 for _ in self._items())

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._items()))

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, int):
            return list(self._items())[key]
        found = list(self.find(key))
        if len(found) != 1:
            raise KeyError(f"{len(found)} of them have {key!r}")
        return found[0]

    def find(self, text: str) -> View:
        """Those that have a text anywhere in their row."""
        wanted = text.lower()

        def items() -> Iterator[Any]:
            return (item for item in self._items() if any(wanted in str(value).lower() for value in self._row(item).values()))

        return View(f"{self._title} with {text!r}", items, self._row, self._verbs, self._empty)

    @property
    def all(self) -> Text:
        """The whole table."""
        return Text(self._shown(-1))

    def __repr__(self) -> str:
        return self._shown(MOST_ROWS)

    def _shown(self, most: int) -> str:
        rows: list[dict[str, Any]] = []
        count = 0
        for item in self._items():
            if most < 0 or count < most:
                rows.append(self._row(item))
            count += 1
        if not rows:
            return self._empty
        lines = [table(rows)]
        if count > len(rows):
            lines.append(f"… and {count - len(rows)} more: .all shows them, .find('text') some of them")
        return "\n".join(lines)


class Text(str):
    """A text that stands at the prompt as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Verb:
    """A function that says what it is for when its name is typed without parentheses.

    Args:
        call: What it does; its docstring is shown.
        usage: As ``reload()``.
    """

    def __init__(self, call: Callable[..., Any], usage: str) -> None:
        self._call = call
        self._usage = usage
        self.__doc__ = call.__doc__
        self.__name__ = usage.partition("(")[0]
        self.__signature__ = inspect.signature(call)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __repr__(self) -> str:
        return f"{self._usage}: {(self.__doc__ or '').strip()}"
