"""ICE servers for the softphone: ``GET /ice.json`` gives a signed-in user credentials of a TURN server, for a while.

Implements: the time-limited credentials of coturn's ``use-auth-secret`` (draft-uberti-behave-turn-rest-00 §2.2): the user name is
``EPOCH:USER``, the password HMAC-SHA1 of it with the secret that both servers share.

Invariant: a TURN server relays for whoever has its credentials, so nobody has any without a user's password, nor longer than ``seconds``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from sipnode.web.signedin import Credentials, FailureLimiter, PasswordGuard, SignedInPage


def turn_credentials(secret: str, user: str, until: int) -> tuple[str, str]:
    """User name and password for a TURN server.

    Args:
        secret: ``static-auth-secret`` of coturn. user: Whose calls they are, for the TURN server's log. until: Epoch seconds of their end.
    """
    name = f"{until}:{user}"
    return name, base64.b64encode(hmac.new(secret.encode(), name.encode(), hashlib.sha1).digest()).decode()


class IceResource(SignedInPage):
    """The ICE servers of a user.

    Args:
        stun: URIs for everybody. turn: URIs of TURN servers. secret: Shared with them. seconds: How long credentials are good.
        epoch: Epoch seconds.
        verify, clock, guard, limiter: As of :class:`~sipnode.web.signedin.SignedInPage`.
    """

    what = "ice"

    def __init__(
        self,
        stun: Sequence[str],
        turn: Sequence[str],
        secret: str,
        seconds: int,
        epoch: Callable[[], float],
        verify: Callable[[str, str, str], Deferred[bool]],
        clock: IReactorTime,
        guard: Callable[[], PasswordGuard | None] = lambda: None,
        limiter: FailureLimiter | None = None,
    ) -> None:
        super().__init__(verify, clock, guard, limiter)
        self._stun = [{"urls": uri} for uri in stun]
        self._turn = list(turn)
        self._secret = secret
        self._lasting = seconds
        self._epoch = epoch

    async def answer(self, credentials: Credentials) -> object:
        """``iceServers`` as RTCPeerConnection takes them, and for how many ``seconds`` they are good."""
        until = int(self._epoch()) + self._lasting
        name, password = turn_credentials(self._secret, f"{credentials.username}@{credentials.domain}", until)
        server = {"urls": self._turn, "username": name, "credential": password}
        return {"iceServers": [*self._stun, server], "seconds": self._lasting}
