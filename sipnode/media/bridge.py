"""The media relay: offers, answers and deletes over a set of rtpengine nodes.

The one invariant: an answer and a delete go to the node that took the offer; an offer that a node can't take goes to
the next one; what no node takes fails with a MediaError and never gives SDP back that isn't the relay's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from sipnode.errors import ConfigError, MediaError
from sipnode.interfaces import IMediaCommands, IMediaRelay, IMediaSets
from sipnode.media import ng
from sipnode.media.bencode import Command, Value
from sipnode.media.flags import for_answer, parse
from sipnode.media.manage import Operation
from sipnode.media.nodes import LARGE_SDP, Node, NodeSet
from sipnode.media.profiles import profile_fields
from sipnode.media.spool import Spools
from sipnode.records import MediaKey, MediaProfile
from sipnode.settings import MediaSettings

BYPASS = "-"
"""``key.node`` of a call that no node took and that ``on_error = "bypass"`` lets pass: its SDP stays as it is, for good."""

RECORDED = frozenset(("on", "yes"))
"""Values of ``record-call`` that ask for a recording."""

MAX_NOTES = 16_384
"""Calls of which the relay remembers the node and times; the oldest are forgotten first."""


@dataclass(slots=True)
class _Note:
    """Memory of a call.

    ``holders`` are the names of the nodes that have it, the latest last: more than one only where branches of a fork
    had to go different ways. ``left`` are those that it has moved away from. The times are the clock's seconds, ``deleted`` is -1 before
    it.
    """

    holders: list[str]
    offered: float
    deleted: float = -1.0
    left: list[str] = field(default_factory=list)


@implementer(IMediaRelay, IMediaSets, IMediaCommands)
class RtpengineRelay:
    """IMediaRelay over rtpengine nodes.

    ``key.node`` names the node of a call. The caller asks `choose` before the first offer (for Record-Route) and gives
    the name with every key; when an offer has to move to another node, **the relay writes that node into key.node**
    before the Deferred fires. Inside a dialog, where the Route still names the old node, the relay remembers the move.
    Where ``on_error`` is ``bypass``, a new call that no node takes gets its SDP back as it was and BYPASS as its node;
    the caller keeps that name like any other, so that the call stays without a relay to its end.

    The caller sees to it that a retransmission makes no second offer, that an offer which failed is not deleted, and
    that a branch given up while its offer is under way is deleted once that offer has succeeded.

    Args:
        nodes: The nodes.
        settings: Fields for the daemon, and the waits.
        clock: For the times in messages.

    Attributes:
        measured: Called with ``(name of the call, reply)`` when a node has told the numbers of a call that ends.
        records: Each call is to be recorded.
        spools: What is known of each node's recording, None for nothing.
        unrecorded: Called with ``(name of the call, sentence)`` when one was to be recorded, and its node can't.

    Raises:
        ConfigError: a word in ``flags`` that is none.
    """

    enabled = True
    _log = Logger(namespace="sipnode.media")

    def __init__(self, nodes: NodeSet, settings: MediaSettings, clock: IReactorTime) -> None:
        self.nodes = nodes
        self._settings = settings
        self._clock = clock
        self._flags = parse(settings.flags) if settings.flags.strip() else None
        self._answer_flags = for_answer(self._flags) if self._flags is not None else None
        said = self._flags.fields.get("record-call") if self._flags is not None else None
        self.records = settings.record_call or said in RECORDED
        self._notes: OrderedDict[str, _Note] = OrderedDict()
        self.measured: Callable[[str, Mapping[bytes, Any]], None] | None = None
        self.spools: Spools | None = None
        self.unrecorded: Callable[[str, str], None] | None = None
        # While another node could take the call, the last wait, the longest, isn't worth its time.
        self._short_waits: Sequence[float] | None = settings.timeouts[:-1] if len(settings.timeouts) > 1 else None

    def choose(self, call_id: str) -> str:
        """Name of the node that a new call takes; "" when there is none that could."""
        node = self.nodes.choose(call_id)
        return node.name if node is not None else ""

    def choose_in(self, call_id: str, number: int) -> str:
        """The same within a set of nodes, as Kamailio's ``set_rtpengine_set``.

        Raises:
            ConfigError: no node is in that set.
        """
        if not self.nodes.has_set(number):
            raise ConfigError(f"no media node is in set {number}", key="media.nodes")
        node = self.nodes.choose(call_id, number)
        return node.name if node is not None else ""

    def place(self, name: str) -> str:
        """The node of that name as the configuration has it, "" for none."""
        node = self.nodes.named(name)
        return node.place if node is not None else "" if name == BYPASS else name

    def offer(self, key: MediaKey, sdp: bytes, profile: MediaProfile) -> Deferred[bytes]:
        """Send an offer to the call's node, or to the next one where that one is down, silent or full.

        An offer inside a dialog may move like one of a new call: it and its answer are a whole round, so both sides
        learn of the new node, and a node that ran out of ports has dropped the call anyway.

        Args:
            key: ``node`` is updated when the offer moves.
            sdp: As the offerer sent it; never another branch's result.
            profile: Who will get the result.

        Returns:
            The SDP for the other side; fails with MediaError (503 no node or no ports, 488 bad SDP, 513 too large).
        """
        if key.node == BYPASS:
            return succeed(sdp)
        fields = key.asked = profile_fields(profile, Operation.OFFER, self._settings, self._flags)
        first = self._holder(key)
        number = first.set if first is not None else 0
        nodes = [node for node in self.nodes.ranked(key.call_id, number) if node is not first]
        if first is not None and self.nodes.is_up(first):
            nodes.insert(0, first)
        if not nodes:
            nodes = self.nodes.held_down(key.call_id, number)
        offered = self._offer(key, sdp, fields, nodes, MediaError("no media node is up", 503))
        if self._settings.on_error == "bypass" and not key.to_tag:
            offered.addErrback(self._bypass, key, sdp)
        return offered

    def _bypass(self, failure: Failure, key: MediaKey, sdp: bytes) -> bytes | Failure:
        if not isinstance(failure.value, MediaError) or failure.value.status != 503:
            return failure
        self._log.warn("media of {call_id} bypassed: {error}", call_id=key.call_id, error=failure.value)
        key.node = BYPASS
        return sdp

    def _offer(self, key: MediaKey, sdp: bytes, fields: dict[str, Any], nodes: list[Node], last: MediaError) -> Deferred[bytes]:
        if not nodes:
            return fail(last)
        node, rest = nodes[0], nodes[1:]
        sent = self.nodes.command(node, ng.offer(key, sdp, fields), self._short_waits if rest else None)
        return sent.addCallbacks(self._offered, self._refused, (key, node), {}, (key, sdp, fields, node, rest))

    def _offered(self, reply: dict[bytes, Value], key: MediaKey, node: Node) -> bytes:
        before = self._holder(key) if key.node != node.name else None
        moved = before.name if before is not None and before is not node else ""
        if moved:
            self._log.info("media moved: {call_id} from {old} to {new}", call_id=key.call_id, old=self.place(moved), new=node.place)
        key.node = node.name
        note = self._notes.pop(key.call_id, None)
        if note is None or note.deleted >= 0:
            note = _Note([], 0.0)
        note.offered = self._clock.seconds()
        if moved and not key.via_branch and moved in note.holders:
            # Its dialog is no more there, also when that node is up again.
            note.holders.remove(moved)
            if moved not in note.left:
                note.left.append(moved)
        if node.name not in note.holders:
            note.holders.append(node.name)
        self._notes[key.call_id] = note
        if len(self._notes) > MAX_NOTES:
            self._notes.popitem(last=False)
        if self.spools is not None and key.asked is not None and key.asked.get("record-call") in RECORDED:
            why = self.spools.known(node)
            if why:
                self._unrecorded(key.call_id, why)
        return _sdp(reply)

    def _refused(
        self, failure: Failure, key: MediaKey, sdp: bytes, fields: dict[str, Any], node: Node, rest: list[Node]
    ) -> Deferred[bytes] | Failure:
        error = failure.value
        if isinstance(error, (ng.NoAnswer, ng.NodeFull)):
            note = self._notes.get(key.call_id)
            if note is not None and node.name in note.holders and not key.via_branch:
                note.holders.remove(node.name)
            if isinstance(error, ng.NoAnswer):
                # Only the reply may have been lost: then the node holds a call that nobody will use.
                self._send_delete(node, key)
                if len(sdp) > LARGE_SDP and self.nodes.is_up(node):
                    return fail(_at(MediaError(f"no answer to an SDP of {len(sdp)} octets", 513), node))
            return self._offer(key, sdp, fields, rest, _at(error, node))
        return _at_node(failure, node)

    def answer(self, key: MediaKey, sdp: bytes, profile: MediaProfile) -> Deferred[bytes]:
        """Send an answer to the node that took the offer.

        Returns:
            The SDP for the offerer; fails with MediaError, whose reason names the node and, for a call that it doesn't
            hold, when the offer and the delete were.
        """
        if key.node == BYPASS:
            return succeed(sdp)
        node = self._holder(key) or self.nodes.choose(key.call_id)
        if node is None:
            return fail(MediaError("no media node is up", 503))
        key.asked = fields = profile_fields(profile, Operation.ANSWER, self._settings, self._answer_flags)
        command = ng.answer(key, sdp, fields)
        return self.nodes.command(node, command).addCallbacks(_sdp, self._unanswered, errbackArgs=(key, node))

    def _unanswered(self, failure: Failure, key: MediaKey, node: Node) -> Failure:
        if isinstance(failure.value, ng.UnknownCall):
            failure.value.reason += f", {self._history(key.call_id)}"
            note = self._notes.get(key.call_id)
            if note is not None and note.deleted < 0:
                # The daemon lost it: another try of the caller's may do better.
                failure.value.status = 503
        return _at_node(failure, node)

    def _history(self, call_id: str) -> str:
        note, now = self._notes.get(call_id), self._clock.seconds()
        if note is None:
            return "no offer known"
        offered = f"offered {now - note.offered:.1f} s ago"
        return f"{offered}, not deleted by us" if note.deleted < 0 else f"{offered}, deleted {now - note.deleted:.1f} s ago"

    def delete(self, key: MediaKey) -> Deferred[None]:
        """End a call, or with ``via_branch`` one branch of it, or with both tags one dialog, in the background.

        Returns:
            Fires when the node has answered or was silent for good; never fails. Nobody has to wait for it.
        """
        if key.node == BYPASS:
            return succeed(None)
        note = self._notes.get(key.call_id)
        holder = self._holder(key) or self.nodes.choose(key.call_id)
        names = [holder.name] if holder is not None else []
        if note is not None and note.deleted < 0 and not key.via_branch and not key.to_tag:
            note.deleted = self._clock.seconds()
            names += [name for name in dict.fromkeys((*note.holders, *note.left)) if name not in names]
        nodes = [node for node in map(self.nodes.named, names) if node is not None]
        if len(nodes) == 1:
            return self._send_delete(nodes[0], key)
        return gatherResults([self._send_delete(node, key) for node in nodes]).addCallback(_nothing)

    def command(self, key: MediaKey, command: Command) -> Deferred[dict[bytes, Value]]:
        """Send a command about a call that is up to the node that has it.

        Returns:
            The reply; fails with MediaError, 404 where no node carries the call.
        """
        node = self._holder(key) if key.node != BYPASS else None
        if node is None:
            return fail(MediaError("no media node carries the call", 404))
        if self.spools is not None and command["command"] == "start recording":
            return self.spools.refusal(node).addCallback(self._record, key, command, node)
        return self.nodes.command(node, command).addErrback(_at_node, node)

    def _record(self, refusal: str, key: MediaKey, command: Command, node: Node) -> Deferred[dict[bytes, Value]]:
        """An order to record, unless it is known that nothing would come of it."""
        if refusal:
            self._log.warn("{call_id} isn't recorded: {why}", call_id=key.call_id, why=refusal)
            self._unrecorded(key.call_id, refusal)
            raise _at(MediaError(refusal, 501), node)
        return self.nodes.command(node, command).addErrback(_at_node, node)

    def _unrecorded(self, call_id: str, why: str) -> None:
        if self.unrecorded is not None:
            self.unrecorded(call_id, why)

    def _send_delete(self, node: Node, key: MediaKey) -> Deferred[None]:
        if self.measured is None or key.via_branch or key.to_tag:
            return self._delete(node, key)
        # The daemon answers a delete of a whole call without its numbers.
        asked = self.nodes.command(node, ng.query(key.call_id), self._short_waits)
        return asked.addCallbacks(self._numbers, self._undeleted, (key.call_id,), errbackArgs=(key.call_id, node)).addCallback(
            lambda _: self._delete(node, key)
        )

    def _delete(self, node: Node, key: MediaKey) -> Deferred[None]:
        sent = self.nodes.command(node, ng.delete(key, self._settings.delete_delay))
        return sent.addCallbacks(self._numbers, self._undeleted, (key.call_id,), errbackArgs=(key.call_id, node))

    def _numbers(self, reply: dict[bytes, Value], call_id: str) -> None:
        if self.measured is not None:
            self.measured(call_id, reply)

    def _undeleted(self, failure: Failure, call_id: str, node: Node) -> None:
        failure.trap(MediaError)
        self._log.debug("delete of {call_id} at {node}: {error}", call_id=call_id, node=node.place, error=failure.value)

    def _holder(self, key: MediaKey) -> Node | None:
        """The node that holds the call: as the key says, unless its dialog was seen to move away from there.

        A branch of a new call is where its own key says and nowhere else: were it answered at the node that another
        branch moved to, its callee would send to ports that are gone.
        """
        name = key.node
        note = None if key.via_branch else self._notes.get(key.call_id)
        if note is not None and note.deleted < 0 and note.holders and name not in note.holders:
            name = note.holders[-1]
        return self.nodes.named(name) if name else None


def _sdp(reply: dict[bytes, Value]) -> bytes:
    sdp = reply.get(b"sdp")
    if not isinstance(sdp, bytes) or not sdp:
        raise MediaError("the media node gave no SDP back", 488)
    return sdp


def _nothing(reply: object) -> None:
    return None


def _at(error: MediaError, node: Node) -> MediaError:
    """The error with its node: by an opaque name in the sentence that goes into a Warning header, and as configured for the log."""
    error.node, error.words = node.place, error.reason
    error.reason = ng.sentence(error, node.name)
    error.args = (error.reason,)
    return error


def _at_node(failure: Failure, node: Node) -> Failure:
    if isinstance(failure.value, MediaError):
        _at(failure.value, node)
    return failure


@implementer(IMediaRelay)
class NoRelay:
    """IMediaRelay where no node is configured: SDP passes as it is."""

    enabled = False

    def choose(self, call_id: str) -> str:
        """No node: ""."""
        return ""

    def place(self, name: str) -> str:
        """No node: ""."""
        return ""

    def offer(self, key: MediaKey, sdp: bytes, profile: MediaProfile) -> Deferred[bytes]:
        """The SDP as it came."""
        return succeed(sdp)

    def answer(self, key: MediaKey, sdp: bytes, profile: MediaProfile) -> Deferred[bytes]:
        """The SDP as it came."""
        return succeed(sdp)

    def delete(self, key: MediaKey) -> Deferred[None]:
        """Nothing to end."""
        return succeed(None)
