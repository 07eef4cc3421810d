"""The life of a recorded call, step by step: what the log has of a call that failed. Pure.

While calls are recorded nobody else has to note their steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipnode.base.tap import DATABASE
from sipnode.errors import ParseError
from sipnode.insight.ring import ANSWERED, FACT, RECEIVED
from sipnode.observe.sentences import ANSWER, CAME, FAULT, Step, step
from sipnode.sip.message import SipResponse

if TYPE_CHECKING:
    from sipnode.insight.story import Entry, Story

CALL_METHODS: Final = frozenset(("INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "REFER", "INFO"))
TELLING: Final = CALL_METHODS - {"ACK", "BYE"}
"""Requests that may tell why a call failed."""


def life(story: Story) -> list[Step]:
    """The steps of a call that may tell why it failed, as :class:`sipnode.observe.steps.Steps` notes them."""
    return [made for entry in story.entries if (made := _step(entry)) is not None]


def _step(entry: Entry) -> Step | None:
    if entry.kind == RECEIVED:
        return None if entry.repeat else _message(entry)
    if entry.kind == FACT:
        return step((entry.when, *entry.parts))
    if entry.kind == ANSWERED:
        whom, what, fault, parts = entry.parts
        if fault:
            return step((entry.when, FAULT, (whom, what, fault)))
        return None if whom == DATABASE else step((entry.when, whom, (what, *parts)))
    return None


def _message(entry: Entry) -> Step | None:
    message = entry.message
    if isinstance(message, SipResponse):
        status = message.status
        if status == 100 or 200 <= status < 300:
            return None
        try:
            method = message.cseq_method
        except ParseError:
            return None
        if method not in CALL_METHODS:
            return None
        return step((entry.when, ANSWER, (status, message.reason, method, entry.transport, entry.remote)))
    if message is None or message.method not in TELLING:
        return None
    return step((entry.when, CAME, (message.method, message.uri, entry.transport, entry.remote)))
