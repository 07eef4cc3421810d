"""What the media relay is asked with."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.media.names import LENGTH, Names, media_key, tag_name


class NameTests(SynchronousTestCase):
    """Names of calls and of their ends."""

    def test_new(self) -> None:
        """No two calls have the same name, and none has what the ng protocol would have to escape."""
        namer = Names(b"secret")
        names = {namer.new() for _ in range(1000)}
        self.assertEqual(len(names), 1000)
        for name in names:
            self.assertRegex(name, r"\A[0-9A-Za-z_-]{20}\Z")

    def test_known_again(self) -> None:
        """A server knows its names after a restart, and which of them are of this run; those of others, sisters too, it doesn't know."""
        before, now, sister, other = Names(b"secret", 1), Names(b"secret", 1), Names(b"secret", 2), Names(b"else", 1)
        name = before.new()
        self.assertTrue(now.is_ours(name))
        self.assertFalse(now.is_of_this_run(name))
        self.assertTrue(now.is_of_this_run(now.new()))
        self.assertFalse(now.is_ours(sister.new()) or now.is_ours(other.new()))

    def test_not_a_name(self) -> None:
        """What others call their calls is never ours, whatever it looks like."""
        names = Names(b"secret")
        near = names.new()
        for text in ("", "ogi3dpopec8u56dffe3s", "a" * LENGTH, "é" * LENGTH, "=" * LENGTH, near + "A", near[:-1], near[:-1] + "\n"):
            self.assertFalse(names.is_ours(text), text)

    def test_nothing_of_the_caller(self) -> None:
        """Neither Call-ID nor tags of the messages are in the key; the same tag has the same name in one call, another in another."""
        key = media_key("abcdefghijkl", "call@phone", "one", "two", "z9hG4bK1", "n0")
        self.assertEqual((key.call_id, key.via_branch, key.node), ("abcdefghijkl", "z9hG4bK1", "n0"))
        self.assertEqual((key.from_tag, key.to_tag), (tag_name("abcdefghijkl", "one"), tag_name("abcdefghijkl", "two")))
        for text in ("call@phone", "one", "two"):
            self.assertNotIn(text, (key.call_id, key.from_tag, key.to_tag))
        self.assertNotEqual(tag_name("abcdefghijkl", "one"), tag_name("abcdefghijkm", "one"))

    def test_no_tag(self) -> None:
        """A tag that isn't known yet has no name."""
        self.assertEqual(media_key("abcdefghijkl", "call", "one", "", "", "").to_tag, "")

    def test_by_call_id(self) -> None:
        """Where the site wants the relay to know calls by their Call-ID, it gets what the messages say."""
        key = media_key("", "call@phone", "one", "two", "z9hG4bK1", "n0")
        self.assertEqual((key.call_id, key.from_tag, key.to_tag), ("call@phone", "one", "two"))
