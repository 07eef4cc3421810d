"""Phones that are not as the tests for translators take them to be: rules by User-Agent or network. Pure.

Implements: RFC 3261 §18.2.2 and RFC 3581 §4 (without ``rport`` an answer goes to the port of Via), where a rule says so; else answers go
to the port that a request came from, as most phones that ask for nothing sit behind a translator all the same.

The invariant: where there are no rules nothing is looked at, and a rule never sends anything to another address than the message's source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipnode.addresses import Network, is_within, networks
from sipnode.records import Hop
from sipnode.sip.hosts import bare_host
from sipnode.transaction.keys import server_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sipnode.base.flow import Flow
    from sipnode.base.flows import FlowTable
    from sipnode.sip.message import SipMessage, SipRequest
    from sipnode.transaction.layer import TransactionLayer

VIA_PORT: Final = "via-port"
"""It sends from another port than it listens at, and its Via says that one."""
NATTED: Final = "natted"
DIRECT: Final = "direct"
NO_PING: Final = "no-ping"
_REMEMBERED: Final = 4096


class NatRules:
    """``[nat] rules``: the first that fits counts.

    Args:
        rules: ``agent BEGINNING: WORD ...`` or ``network ADDRESS/LENGTH: WORD ...``.

    Attributes:
        used: The words that some rule has.

    Raises:
        ConfigError: a network that can't be read.
    """

    __slots__ = ("_known", "_rules", "used")

    def __init__(self, rules: Iterable[str]) -> None:
        self._rules: list[tuple[str, tuple[Network, ...], frozenset[str]]] = []
        self._known: dict[tuple[str, str], frozenset[str]] = {}
        self.used: frozenset[str] = frozenset()
        for rule in rules:
            what, _, words = rule.rpartition(":")
            kind, _, value = what.partition(" ")
            net = networks((value.strip(),), "nat.rules") if kind == "network" else ()
            self.used |= set(words.split())
            self._rules.append(("" if net else value.strip(), net, frozenset(words.split())))

    def words(self, message: SipMessage, host: str) -> frozenset[str]:
        """The facts about the sender of a message.

        Args:
            host: Its source address.
        """
        agent = message.get("user-agent") or ""
        found = self._known.get((agent, host))
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[agent, host] = self._find(agent, host)
        return found

    def _find(self, agent: str, host: str) -> frozenset[str]:
        for beginning, net, words in self._rules:
            if is_within(host, net) if net else agent.startswith(beginning):
                return words
        return frozenset()


def answered_at(rules: NatRules, flows: FlowTable, transactions: TransactionLayer, request: SipRequest, flow: Flow) -> Flow:
    """The flow that a request over UDP counts as having come by: that of the port that its Via names, where a rule says so, it asks for
    no ``rport``, and Via has the address that it came from.

    Args:
        flows: Live flows. transactions: Has the INVITE that a CANCEL is for.
        flow: What it came by.

    Raises:
        ParseError: its Via can't be read.
    """
    via = request.via
    port, (host, source_port) = via.port or 5060, flow.remote
    if port == source_port or via.rport is not None or bare_host(via.host) != bare_host(host):
        return flow
    if VIA_PORT not in rules.words(request, host):
        if request.method != "CANCEL" or "user-agent" in request:
            return flow
        # It needn't say whose it is; its INVITE did.
        invite = transactions.servers.get(server_key(request, host, "INVITE"))
        return invite.flow if invite is not None and invite.flow.remote == (host, port) else flow
    return flows.udp(Hop("UDP", host, port), flow.listener.name) or flow


def is_natted(rules: NatRules, message: SipMessage, host: str) -> bool | None:
    """Whether a rule takes the sender for natted or not; None where none says."""
    if NATTED not in rules.used and DIRECT not in rules.used:
        return None
    words = rules.words(message, host)
    return True if NATTED in words else False if DIRECT in words else None


def is_pinged(rules: NatRules, message: SipMessage, host: str) -> bool:
    """Whether the sender is to get OPTIONS while it is registered behind a translator."""
    return NO_PING not in rules.used or NO_PING not in rules.words(message, host)
