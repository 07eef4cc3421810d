"""The flag words that a routing script writes out, looked at when it is loaded: a call is too late to find a slip of the pen.

Pure. The invariant: nothing of the script is run; words that it makes from something else are looked at as far as they stand there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from sipnode.errors import ConfigError
from sipnode.media.flags import OPEN, parse

VERBS: Final = frozenset(("rtpengine_manage", "rtpengine_offer", "rtpengine_answer"))
"""Methods of a branch that take words."""


def check_words(text: str | bytes, file: str) -> None:
    """Look at the words of all calls of these verbs.

    Args:
        text: The script, as its file has it.
        file: Its path, for errors.

    Raises:
        ConfigError: a word that is none, with the line that it stands in.
    """
    for words, line in written_words(text, file):
        try:
            parse(words, True, "routing.script")
        except ConfigError as error:
            raise ConfigError(error.reason, file, line, error.key) from None


def written_words(text: str | bytes, file: str) -> Iterator[tuple[str, int]]:
    """The words of all calls of these verbs, each with its line."""
    for node in ast.walk(ast.parse(text, file)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in VERBS:
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                words = _written(argument)
                if words is not None:
                    yield words, argument.lineno


def _written(node: ast.expr) -> str | None:
    """A text as far as it stands there, None for what is none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else OPEN for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _written(node.left), _written(node.right)
        return None if left is None and right is None else (left or OPEN) + (right or OPEN)
    if isinstance(node, ast.IfExp):
        chosen = (_written(node.body), _written(node.orelse))
        return " ".join(text for text in chosen if text is not None) or None
    return None
