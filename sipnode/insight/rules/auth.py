"""Faults of credentials: no password, a wrong one, an old nonce, another's address. Pure."""

from __future__ import annotations

from typing import Final

from sipnode.insight.finding import Around, Finding, Rule, found, phrase
from sipnode.insight.ring import SENT
from sipnode.insight.story import Entry, Story
from sipnode.tables import clean

_CHALLENGES: Final = (401, 407)


def _challenges(story: Story) -> list[Entry]:
    return [entry for entry in story.messages((SENT,), story.method) if entry.status in _CHALLENGES and entry.why == "reply"]


def _credentials(entry: Entry) -> str:
    return entry.header("authorization") or entry.header("proxy-authorization")


def _user(value: str) -> str:
    _, mark, rest = value.partition('username="')
    return clean(rest.partition('"')[0]) if mark else ""


def _is_over(story: Story) -> bool:
    final = story.final()
    return final is not None and final.status in _CHALLENGES


def stale_nonce(story: Story, around: Around) -> Finding | None:
    """A phone whose nonce is refused as too old again and again."""
    stale = [
        entry
        for entry in _challenges(story)
        if "stale=true" in (entry.header("www-authenticate") + entry.header("proxy-authenticate")).lower()
    ]
    if not _is_over(story) or len(stale) < 2:
        return None
    who = _user(next((_credentials(each) for each in reversed(story.requests_in(story.method)) if _credentials(each)), ""))
    sources = sorted({entry.remote[0] for entry in story.requests_in(story.method)})
    if len(sources) > 1:
        why = f"it comes from another address each time ({', '.join(sources)}), and a nonce is for the address that it was given to"
    else:
        why = "it came too late, twice, or was used twice: the phone or the way to it is slow, or the clock of this machine jumps"
    return found(
        "stale_nonce", f"{who or 'The phone'} answers each challenge with a nonce that doesn't count any more: {why}.",
        "Look at the time between challenge and answer in the ladder; check that the clock is kept by NTP; let the phone keep one"
        " address, or"
        " use TCP, TLS or WebSocket; raise [auth] nonce_expire for slow ones.", stale,
    )  # fmt: skip


def wrong_password(story: Story, around: Around) -> Finding | None:
    """Credentials were sent, and challenged again."""
    if not _is_over(story):
        return None
    tries = [entry for entry in story.requests_in(story.method) if _credentials(entry)]
    if not tries:
        return None
    who = _user(_credentials(tries[-1]))
    challenge = _challenges(story)[-1]
    realm = (challenge.header("www-authenticate") or challenge.header("proxy-authenticate")).partition('realm="')[2].partition('"')[0]
    return found(
        "wrong_password",
        f"{who or 'The phone'} at {tries[-1].place} has the wrong password for {clean(realm) or 'this domain'}, or there is no such user.",
        f"Type the password anew in the phone; or give the user another: sipnode user passwd {who or 'USER'}@{clean(realm) or 'DOMAIN'}.",
        (*tries, challenge),
    )


def no_credentials(story: Story, around: Around) -> Finding | None:
    """A challenge was never answered."""
    challenges = _challenges(story)
    if not _is_over(story) or not challenges:
        return None
    first = story.first
    return found(
        "no_credentials",
        f"The phone at {challenges[-1].place} was asked for a password ({phrase(challenges[-1])}) and never gave one.",
        "Set user and password in the phone, with the realm that the challenge names; a peer without a password belongs into [auth] trusted"
        " or a [trunk.NAME] section.",
        (first, challenges[-1]),
    )


def barred(story: Story, around: Around) -> Finding | None:
    """A user or address that is shut out after too many wrong passwords."""
    final = story.final()
    if final is None or final.status != 403 or "Too Many Wrong Passwords" not in phrase(final):
        return None
    return found(
        "barred",
        f"{final.remote[0]} is shut out for a while, as too many wrong passwords came from there.",
        "Correct the password in the phone, then lift the ban: sipnode rpc htable.flush ipban, or wait [defence] ban_seconds.",
        (story.first, final),
    )


def not_your_address(story: Story, around: Around) -> Finding | None:
    """Who signs in as one user and says to be another."""
    final = story.final()
    if final is None or final.status != 403 or "Not your address" not in phrase(final):
        return None
    request = next((entry for entry in reversed(story.requests_in(story.method)) if _credentials(entry)), story.first)
    claimed = clean(request.header("to" if story.method == "REGISTER" else "from")) if request is not None else ""
    return found(
        "not_your_address",
        f"{_user(_credentials(request)) if request is not None else ''} has signed in with its own password but says to be {claimed}.",
        "Let user name and authentication name of the phone be the same user.",
        (request, final),
    )


RULES: Final[tuple[Rule, ...]] = (barred, not_your_address, stale_nonce, wrong_password, no_credentials)
