"""XML bodies from outside: what is read, what is refused, at what cost."""

from __future__ import annotations

import tracemalloc
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.presence.packages.xmlbody import as_text, read, text, unqualified, uri
from tests.sip.kit import PROFILE

BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">'
    + b"".join(b'<!ENTITY %c "%s">' % (99 + n, b"&%c;" % (98 + n) * 10) for n in range(8))
    + b']><a xmlns="x">&j;</a>'
)

signs = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff") | st.sampled_from("&<>\"'\r\n\t")
words = st.text(signs, max_size=8)
names = st.sampled_from(("a", "note", "{x}a", "{urn:other}b"))


def made(tag: str, attributes: dict[str, str], inside: str, behind: str, children: list[ElementTree.Element]) -> ElementTree.Element:
    """An element."""
    element = ElementTree.Element(tag, attributes)
    element.text, element.tail = inside, behind
    element.extend(children)
    return element


elements = st.recursive(
    st.builds(made, names, st.dictionaries(names, words, max_size=2), words, words, st.just([])),
    lambda below: st.builds(made, names, st.dictionaries(names, words, max_size=2), words, words, st.lists(below, max_size=3)),
    max_leaves=8,
)


def parts(element: ElementTree.Element) -> list[object]:
    """All that an element says, its tail left out."""
    return [element.tag, element.attrib, element.text or "", [(parts(child), child.tail or "") for child in element]]


class ElementTests(SynchronousTestCase):
    """as_text()"""

    @PROFILE
    @given(elements)
    def test_round_trip(self, element: ElementTree.Element) -> None:
        """What is written says what the element says, with and without namespaces, whatever signs stand in it; line ends that a general
        writer would lose in an element stay where all of it is without a namespace.
        """
        plain = not any("{" in name for each in element.iter() for name in (each.tag, *each.attrib))
        tail = element.tail
        written = as_text(element)
        self.assertEqual(element.tail, tail)
        if plain:
            self.assertEqual(parts(ElementTree.fromstring(written)), parts(element))
        else:
            general = ElementTree.tostring(made_anew(element), "unicode")
            self.assertEqual(ElementTree.canonicalize(written), ElementTree.canonicalize(general))

    def test_example(self) -> None:
        """A tuple of a PIDF document comes out as it went in."""
        body = b'<t xmlns="x" id="1"><status><basic>open</basic></status><contact priority="0.8">sip:a&amp;b</contact><empty/></t>'
        element = read(body)
        unqualified(element, "x")
        self.assertEqual(as_text(element).encode(), body.replace(b' xmlns="x"', b"").replace(b"<empty/>", b"<empty />"))


def made_anew(element: ElementTree.Element) -> ElementTree.Element:
    """The same without its tail."""
    return made(element.tag, dict(element.attrib), element.text or "", "", list(element))


class ReadTests(SynchronousTestCase):
    """read()"""

    def status(self, body: bytes) -> int:
        """How a body is refused; 0 where it is read."""
        try:
            read(body)
        except ParseError as error:
            return error.status
        return 0

    def test_what_is_read(self) -> None:
        """UTF-8 with or without a declaration or a byte order mark, and ASCII."""
        body = '<a xmlns="x">é</a>'
        for head in ("", '<?xml version="1.0"?>', "<?xml version='1.0' encoding='utf-8'?>", '<?xml version="1.0" encoding="UTF-8" ?>\n'):
            self.assertEqual(read((head + body).encode()).text, "é")
        self.assertEqual(read(b"\xef\xbb\xbf" + body.encode()).text, "é")
        self.assertEqual(read(b'<?xml version="1.0" encoding="US-ASCII"?><a xmlns="x">e</a>').text, "e")

    def test_document_types(self) -> None:
        """A document type is refused: entity bombs, external entities, parameter entities, or an innocent one."""
        for body in (
            BOMB,
            b'<!DOCTYPE a SYSTEM "http://192.0.2.9/a.dtd"><a xmlns="x"/>',
            b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a xmlns="x">&b;</a>',
            b'<!DOCTYPE a [<!ENTITY % b SYSTEM "http://192.0.2.9/b"> %b;]><a xmlns="x"/>',
            b'<!DOCTYPE a><a xmlns="x"/>',
        ):
            self.assertEqual(self.status(body), 400)

    def test_encodings(self) -> None:
        """Other encodings are of a type that isn't taken, said or not."""
        body = '<?xml version="1.0" encoding="{}"?><!DOCTYPE a><a xmlns="x">é</a>'
        for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "iso-8859-1", "cp037", "koi8-r"):
            encoded = body.format(name).replace("é", "e").encode(name)
            self.assertEqual(self.status(encoded), 415 if name != "cp037" else 400, name)
        self.assertEqual(self.status('<a xmlns="x">é</a>'.encode("latin-1")), 400)

    def test_not_xml(self) -> None:
        """What isn't well-formed is refused."""
        for body in (b"x", b"<a", b"<a></b>", b"<a>&b;</a>", b"<a/><b/>", b"<x:a/>", b"<a b='1' b='2'/>", b"", b"\xff\xff\xff"):
            self.assertEqual(self.status(body), 400, body)

    def test_depth(self) -> None:
        """Deep nesting is refused, and is no deep recursion."""
        self.assertEqual(self.status(b'<a xmlns="x">' + b"<a>" * 15 + b"</a>" * 16), 0)
        self.assertEqual(self.status(b'<a xmlns="x">' + b"<a>" * 16 + b"</a>" * 17), 400)
        self.assertEqual(self.status(b'<a xmlns="x">' + b"<a>" * 200_000 + b"</a>" * 200_001), 400)

    def test_long_names(self) -> None:
        """A namespace that would be written again for each element that uses it is refused."""
        self.assertEqual(self.status(b'<a xmlns="x%s"/>' % (b"x" * 300)), 400)
        self.assertEqual(self.status(b'<a xmlns="x" xmlns:b="x%s" b:c=""/>' % (b"x" * 300)), 400)

    def test_without_a_namespace(self) -> None:
        """Elements without a namespace are left out, with all that is in them."""
        root = read(b'<a xmlns="x"><b xmlns=""><c xmlns="x"/></b><d/><!-- e --><?f g?></a>')
        self.assertEqual([one.tag for one in root], ["{x}d"])

    def test_no_growth(self) -> None:
        """Refusing a megabyte of anything leaves nothing behind."""
        bodies = [b"<" * (1 << 20), b'<a xmlns="x">' + b"<b/>" * (1 << 18), BOMB + b" " * (1 << 20), b"<a>" * (1 << 18)]
        for body in bodies:
            self.status(body)
        tracemalloc.start()
        try:
            for body in bodies:
                self.status(body)
            left, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(left, 65536)


class WriteTests(SynchronousTestCase):
    """text() and uri()"""

    def test_text(self) -> None:
        """Markup is escaped, what XML can't hold is left out, also lone surrogates."""
        self.assertEqual(text('a<b>&"c"\x00\x1f\udcff\ufffe\n ü😀'), "a&lt;b&gt;&amp;&quot;c&quot;\n ü😀")

    def test_uri(self) -> None:
        """A resource becomes a URI again."""
        self.assertEqual(uri("alice@example.test"), "sip:alice@example.test")
        self.assertEqual(uri("a b%é@[2001:db8::1]"), "sip:a%20b%25%C3%A9@[2001:db8::1]")
        self.assertEqual(uri("a\udcff@example.test"), "sip:a%FF@example.test")
