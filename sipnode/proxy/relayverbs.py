"""What a routing script says of a branch's media in the words of Kamailio's rtpengine module.

The invariant: nothing of it is done here; the media policy of the server does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from sipnode.proxy.fork import Fork
    from sipnode.sip.message import SipResponse


class RelayVerbs:
    """The verbs; a branch has them."""

    __slots__ = ()

    if TYPE_CHECKING:
        fork: Fork

    def rtpengine_manage(self, words: str = "", answer: str | None = None) -> Deferred[None] | None:
        """Have the relay carry the media of this branch, asked in the words of Kamailio's module; to be returned by ``manage_branch``.

        Args:
            words: As ``"trust-address replace-origin ICE=force"``: these and nothing else; "" asks for what the server derives.
            answer: Words of the answers; None for those of the offer but for what is about the callee.

        Raises:
            ConfigError: a word that is none; those that a script writes out are looked at when it is loaded.
        """
        managed: Deferred[None] | None = self.fork.ctx.core.media_policy.manage(self, words, answer)
        return managed

    def rtpengine_offer(self, words: str = "") -> Deferred[None] | None:
        """The same: a request of a branch makes an offer, but for the SDP of an ACK or PRACK that answers one."""
        return self.rtpengine_manage(words)

    def rtpengine_answer(self, response: SipResponse, words: str = "") -> Deferred[SipResponse] | None:
        """Have the relay answer with the SDP of a reply, by these words; to be returned by ``manage_reply``."""
        managed: Deferred[SipResponse] | None = self.fork.ctx.core.media_policy.answer(self, response, words)
        return managed

    def rtpengine_delete(self) -> None:
        """Give back what the relay holds for this branch, which goes on without it."""
        self.fork.ctx.core.media_policy.delete(self)
