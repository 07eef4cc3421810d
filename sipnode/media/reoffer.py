"""The media of a call that is up, offered to both ends once more: its node is lost, or has forgotten it.

First one end is offered what the other one said last, which makes the call at a node; then the other one is offered the answer, and its
own answer is what that node goes by from then on. Both are offers, so that a browser begins with new ICE and new keys, and a phone may
answer as it likes. The end whose last word is still good, a phone's as a rule, is the one that is asked last.
Implements: RFC 3264 §8, RFC 3725 §4 (third party call control, as far as it is about media).

The invariant: what isn't agreed by both ends is as if it hadn't been: the call counts as being where it was.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sipnode.errors import MediaError
from sipnode.media import sdp as facts
from sipnode.media.calls import Exchange
from sipnode.media.manage import Operation
from sipnode.records import MediaForm, MediaProfile

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from sipnode.media.calls import DialogMedia, HeldCall, Pair
    from sipnode.media.control import MediaControl

_VERSION: Final = re.compile(rb"^(o=\S+ \S+ )(\d{1,20})(?= )", re.M)
_SETUP: Final = re.compile(rb"^a=setup:(?:actpass|passive)\b", re.M)
"""To an end that could be either, the daemon would begin as the client; but it is offered something itself soon, and answers as the client
(RFC 8842 §5.3)."""
_WAY: Final = re.compile(rb"^(?:a=(?:ice-|candidate:|end-of-candidates|fingerprint:|setup:|rtcp|group:|ssrc|msid)|c=IN )[^\n]*\n", re.M)
_M_LINE: Final = re.compile(rb"^(m=\S+ )([1-9]\d*)( )\S+/RTP/SAVPF( [^\n]*\n)", re.M)
_NOWHERE: Final = b"c=IN IP4 192.0.2.1\r\n"
"""An address for documentation (RFC 5737)."""


def newer(body: bytes) -> bytes:
    """An SDP as a later one of the same session (RFC 3264 §8): an end may take one with the number that it knows for a repeat."""
    return _VERSION.sub(lambda found: found[1] + b"%d" % (int(found[2]) + 1), body, 1)


def without_way(body: bytes) -> bytes:
    """An SDP of a browser with its codecs and nothing of how it is reached: with its former ICE and keys a daemon that doesn't know them
    would begin at once, and be in the midst of it when the browser begins anew.
    """
    return _M_LINE.sub(rb"\g<1>9\3RTP/AVP\4" + _NOWHERE, _WAY.sub(b"", body))


class Reoffer:
    """One call.

    Args:
        control: Asks the relay.
        held: The call. pair: Its dialog.
        anew: It is made anew at its own node. Ports there were others' a moment ago, whose ends send to them still: a daemon that
            learns from packets where an end is would connect strangers.

    Attributes:
        first: Tag of the end that is asked first. second: Of the other.
        place: Where it was, as configured.

    Raises:
        MediaError: 491 while an end makes an offer itself; 500 for one whose last round isn't known.
    """

    def __init__(self, control: MediaControl, held: HeldCall, pair: Pair, anew: bool = False) -> None:
        dialog = held.dialogs.get(pair)
        if dialog is None or dialog.agreed is None or not dialog.up:
            raise MediaError("what its ends have agreed on isn't known", 500)
        if dialog.open or dialog.late is not None:
            raise MediaError("an end is making an offer", 491)
        self._control = control
        self._held = held
        self._dialog: DialogMedia = dialog
        self._agreed = agreed = dialog.agreed
        self._pair = pair
        self._anew = anew
        self.place = control.relay.place(agreed.node)
        forms = dialog.forms
        browsers = {tag for tag in pair if tag in forms and forms[tag].form is MediaForm.WEBRTC}
        # Of an end that offered we know by what words the other was to be offered it.
        self.first = agreed.offerer if browsers == {agreed.offerer} else agreed.answerer
        self.second = pair[0] if self.first == pair[1] else pair[1]
        self._round = self._exchange(self.second, self.first)
        self._hidden = False

    @property
    def changed(self) -> bool:
        """Whether the ends have agreed on something themselves meanwhile, or are gone."""
        return self._held.over or self._held.dialogs.get(self._pair) is not self._dialog or self._dialog.agreed is not self._agreed

    @property
    def node(self) -> str:
        """Name of the node that has it now."""
        return self._held.node

    def begin(self) -> Deferred[bytes]:
        """Ask a node for the offer to the first end, of what the second one has said last."""
        agreed = self._agreed
        self._held.moves += 1
        self._dialog.open += 1
        body, theirs = agreed.offer, agreed.answer
        if agreed.offerer != self.second:
            body, theirs = theirs, body
        text = facts.with_mids(newer(body), theirs)
        if facts.form_of(text).form is MediaForm.WEBRTC:
            self._hidden = True
            return self._offer(self._round, without_way(text), "")
        return self._offer(self._round, _SETUP.sub(b"a=setup:active", text), self._nat(self.second))

    def answered(self, body: bytes, host: str) -> Deferred[bytes]:
        """The first end has answered.

        Args:
            host: True address of its sender.

        Returns:
            The offer to the second end; fails with MediaError.
        """
        # As a later one at once: the relay numbers what it has seen, and its other end knows the number that it had.
        text = newer(facts.readable(body, facts.form_of(body).form, host))
        source = host if self._nat(self.first) else ""
        profile = MediaProfile(MediaForm.PLAIN, source) if self._hidden else self._answer(self.second, text, source)
        profile.fixed = self._is_fixed(text)
        taken = self._control.ask(Operation.ANSWER, self._round, self.second, self.first, text, profile)
        self._round = again = self._exchange(self.first, self.second)
        return taken.addCallback(lambda _: self._offer(again, text, source))

    def settled(self, body: bytes, host: str) -> Deferred[None]:
        """The second end has answered: it is agreed.

        Args:
            host: True address of its sender.
        """
        text = facts.readable(body, facts.form_of(body).form, host)
        profile = self._answer(self.first, text, host if self._nat(self.second) else "")
        profile.fixed = self._is_fixed(text)
        taken = self._control.ask(Operation.ANSWER, self._round, self.first, self.second, text, profile)

        def done(_: bytes) -> None:
            self._control.agree(self._dialog, self._round, self.first, self.second, text, profile)

        return taken.addCallback(done)

    def end(self) -> None:
        """It is over, however it went; once."""
        self._dialog.open -= 1

    # --

    def _exchange(self, sender: str, receiver: str) -> Exchange:
        exchange = Exchange(self._held, "INVITE", self._held.call_id, (sender, receiver), "", sender == self._pair[0])
        exchange.node = self._held.node
        return exchange

    def _offer(self, exchange: Exchange, text: bytes, source: str) -> Deferred[bytes]:
        sender, receiver = exchange.from_tag, exchange.to_tag
        profile = self._profile(sender, receiver, text, source)
        profile.fixed = self._is_fixed(text)
        exchange.offer = (text, facts.form_of(text), profile)
        return self._control.ask(Operation.OFFER, exchange, sender, receiver, text, profile)

    def _profile(self, sender: str, receiver: str, text: bytes, source: str) -> MediaProfile:
        agreed, theirs = self._agreed, self._dialog.forms.get(receiver)
        if sender == agreed.offerer:
            return replace(agreed.offer_profile, nat_source=source)
        interfaces = agreed.offer_profile.interfaces[::-1]
        if theirs is None:
            return MediaProfile(agreed.answer_profile.form, source, "", agreed.answer_profile.family, interfaces)
        plain = theirs.form is not MediaForm.WEBRTC and theirs.family != facts.form_of(text).family
        return MediaProfile(theirs.form, source, theirs.protocol, theirs.family if plain else "", interfaces)

    def _answer(self, receiver: str, text: bytes, source: str) -> MediaProfile:
        agreed, theirs = self._agreed, self._dialog.forms.get(receiver)
        if receiver == agreed.offerer:
            return replace(agreed.answer_profile, nat_source=source)
        if theirs is None:
            return MediaProfile(agreed.offer_profile.form, source)
        plain = theirs.form is not MediaForm.WEBRTC and theirs.family and theirs.family != facts.form_of(text).family
        return MediaProfile(theirs.form, source, family=theirs.family if plain else "")

    def _is_fixed(self, text: bytes) -> bool:
        # What a browser sends is told from what others do by its keys.
        return self._anew and facts.form_of(text).form is not MediaForm.WEBRTC

    def _nat(self, tag: str) -> str:
        """Address of an end whose SDP can't be trusted, "" where it can."""
        agreed = self._agreed
        return agreed.offer_profile.nat_source if tag == agreed.offerer else agreed.answer_profile.nat_source
