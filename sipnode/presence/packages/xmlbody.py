"""XML from outside, and into it. Pure.

Input is hostile: a document type is refused before any parser sees it (so there are no entities to expand and nothing to fetch),
so are encodings other than UTF-8, deep nesting and long namespace names. Expat reads the rest.

Implements: RFC 3023 §3.1 (encodings), as far as SIP needs it; RFC 3863 §4 and RFC 4235 §4 send nothing but UTF-8. The invariant: reading
costs time and memory in proportion to the octets of the body, whatever they are.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote
from xml.etree import ElementTree

from sipnode.errors import ParseError

HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'

_DEEPEST: Final = 16
_LONGEST_NAME: Final = 256
_ENCODING: Final = re.compile(rb"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([^"'>]*)["']""")
_ILLEGAL: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES: Final = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;"}
_IN_TEXT: Final = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord("\r"): "&#13;"}
_IN_ATTRIBUTE: Final = _ESCAPES | {ord("\r"): "&#13;", ord("\n"): "&#10;", ord("\t"): "&#09;"}
_USER: Final = "-_.!~*'()&=+$,;?/"


def read(body: bytes) -> ElementTree.Element:
    """The root element of a document.

    Elements without a namespace are taken out: no type of document that SIP events use has any. Comments and processing
    instructions go as well.

    Raises:
        ParseError: 415 for an encoding that isn't UTF-8, 400 for what isn't XML or should not be read.
    """
    if b"\0" in body or body.startswith((b"\xfe\xff", b"\xff\xfe")):
        raise ParseError("only UTF-8 is read", 415)
    declared = _ENCODING.match(body.removeprefix(b"\xef\xbb\xbf"))
    if declared is not None and declared[1].lower() not in (b"utf-8", b"us-ascii"):
        raise ParseError("only UTF-8 is read", 415)
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise ParseError("a document type is not read")
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError, LookupError):
        raise ParseError("not well-formed XML in UTF-8") from None
    _bound(root)
    return root


def _bound(root: ElementTree.Element) -> None:
    """Walk without recursion: a document may be as deep as its author liked."""
    level = [root]
    for _ in range(_DEEPEST):
        below: list[ElementTree.Element] = []
        for element in level:
            if len(element.tag) > _LONGEST_NAME:
                raise ParseError("a name in the document is too long")
            for name in element.attrib:
                if len(name) > _LONGEST_NAME:
                    raise ParseError("a name in the document is too long")
            if len(element):
                kept = [child for child in element if child.tag[:1] == "{"]
                if len(kept) < len(element):
                    element[:] = kept
                below += kept
        if not below:
            return
        level = below
    raise ParseError("the document is too deep")


def as_text(element: ElementTree.Element) -> str:
    """An element as text, with all its namespaces and without what follows it.

    Most elements are in the document's own namespace, which was taken off them: for those ElementTree's general writer costs ten times
    as much as the plain one here.
    """
    parts: list[str] = []
    if _plain(element, parts):
        return "".join(parts)
    tail, element.tail = element.tail, None
    general = ElementTree.tostring(element, "unicode")
    element.tail = tail
    return general


def _plain(element: ElementTree.Element, parts: list[str]) -> bool:
    """Write what has no namespace anywhere; False where something has one. As deep as :func:`read` lets it be."""
    tag = element.tag
    if tag[:1] == "{":
        return False
    parts.append(f"<{tag}")
    for name, value in element.items():
        if name[:1] == "{":
            return False
        parts.append(f' {name}="{value.translate(_IN_ATTRIBUTE)}"')
    text = element.text
    if not text and not len(element):
        parts.append(" />")
        return True
    parts.append(">")
    if text:
        parts.append(text.translate(_IN_TEXT))
    for child in element:
        if not _plain(child, parts):
            return False
        if child.tail:
            parts.append(child.tail.translate(_IN_TEXT))
    parts.append(f"</{tag}>")
    return True


def unqualified(element: ElementTree.Element, namespace: str) -> None:
    """Take a namespace off an element and all below it: they go into a document where it is the default one."""
    mark = f"{{{namespace}}}"
    for each in element.iter():
        each.tag = each.tag.removeprefix(mark)


def text(value: str) -> str:
    """Characters for an element or an attribute in double quotes; what XML can't hold is left out."""
    if not value.isprintable():
        value = _ILLEGAL.sub("", value)
    return value.translate(_ESCAPES)


def uri(resource: str) -> str:
    """The sip URI of a canonical ``user@host``, not escaped for XML."""
    user, at, host = resource.rpartition("@")
    return f"sip:{quote(user, safe=_USER, errors='surrogateescape')}{at}{host}"
