"""The words of the softphone page: one file with every language, and no word of the page anywhere else."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

from twisted.trial.unittest import SynchronousTestCase

from sipnode.web.build import SOURCES

LANGUAGES = {"en", "de"}
NAMES = {"sipnode", "sipnode phone", "English", "Deutsch"}
_HOLE = re.compile(r"\{(\w+)\}")
_ATTRIBUTES = ("aria-label", "placeholder", "title", "alt")


class Texts(HTMLParser):
    """What a page says by itself, and the keys that it asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.keys: set[str] = set()
        self._within: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "noscript":
            self._within.append(tag)
        for name, value in attrs:
            if name in _ATTRIBUTES:
                self.said.append(value or "")
            elif name in ("data-t", "data-t-label", "data-t-hint"):
                self.keys.add(value or "")

    def handle_endtag(self, tag: str) -> None:
        if self._within and self._within[-1] == tag:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        if not self._within and data.strip():
            self.said.append(data.strip())


class WordsTests(SynchronousTestCase):
    """words.json"""

    def setUp(self) -> None:
        self.words: dict[str, dict[str, str]] = json.loads((SOURCES / "words.json").read_text("utf-8"))
        self.scripts = "\n".join(path.read_text("utf-8") for path in sorted(SOURCES.glob("*.js")))
        self.page = Texts()
        self.page.feed((SOURCES / "index.html").read_text("utf-8"))

    def test_every_language(self) -> None:
        """Each key has words in each language, with the same holes to be filled."""
        for key, words in self.words.items():
            self.assertEqual(LANGUAGES, set(words), key)
            self.assertTrue(all(said.strip() for said in words.values()), key)
            self.assertEqual(1, len({tuple(sorted(_HOLE.findall(said))) for said in words.values()}), key)

    def test_every_key_is_known(self) -> None:
        """What the page and its scripts ask for is there."""
        asked = set(re.findall(r"\bt\('([\w.-]+)'", self.scripts)) | self.page.keys
        asked |= {f"{key}.title" for key in re.findall(r"\bfault\('([\w.-]+)'", self.scripts)}
        self.assertEqual(set(), asked - set(self.words))

    def test_every_key_is_used(self) -> None:
        """No words are left of what the page once said."""
        prefixes = (*re.findall(r"`([a-z.]+\.)\$\{", self.scripts), "microphone.", "camera.")
        literal = set(re.findall(r"'([a-z][\w.-]*)'", self.scripts)) | self.page.keys
        left = {key for key in self.words if key.removesuffix(".title").removesuffix(".text") not in literal and key not in literal}
        self.assertEqual(set(), {key for key in left if not key.startswith(prefixes)})

    def test_no_word_elsewhere(self) -> None:
        """The page itself says nothing but names."""
        self.assertEqual(set(), {said for said in self.page.said if re.search("[A-Za-z]{2}", said)} - NAMES)
