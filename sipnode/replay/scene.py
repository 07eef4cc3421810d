"""A recorded call as a scene: who takes part, and what each of them does, in the words of :mod:`sipnode.testing`. Pure.

A call can't be played by its octets: tags, branches and the seals in routes are new each time. So what phones did is told anew: who'
' called whom,
who answered what, who hung up, and when.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass, field
from typing import Any, Final

from sipnode.errors import ParseError, SipnodeError
from sipnode.sip.message import SipMessage, SipRequest, SipResponse
from sipnode.sip.parser import BrokenMessage, parse_message
from sipnode.sip.uri import SipUri

HERE: Final = "example.test"
"""Domain of a world."""
LEAST_SECONDS: Final = 0.5
"""Less time than this between two steps tells nothing."""
_KEPT: Final = frozenset(
    (
        "session-expires", "min-se", "require", "refer-to", "referred-by", "replaces", "diversion", "alert-info", "privacy", "event",
        "expires", "accept", "subject", "p-asserted-identity", "p-preferred-identity", "max-breadth", "request-disposition", "reason",
        "priority",
    )
)  # fmt: skip
"""Headers of a request that may matter to routing; the others are made up."""
_LOCATED: Final = re.compile(r"^(\S+@\S+) is at (.*)$")
_PROVED: Final = re.compile(r"^\S+@(\S+) has proved its password$")
_OURS: Final = re.compile(r"^[A-Z]+: stage (?:location|address_complete|registrar|presence): ")
_FOUND: Final = re.compile(r"^(\S+) is at (?:(\w+):(\[?[0-9a-fA-F:.]+\]?):(\d+))")


@dataclass(slots=True)
class Actor:
    """A phone of the scene.

    Attributes:
        name: Variable.
        user, domain, transport, host, port: Of it.
        registered: It was reached by its registration.
    """

    name: str
    user: str
    domain: str
    transport: str
    host: str
    port: int
    registered: bool = False


@dataclass(slots=True)
class Step:
    """One thing that an actor does, or that is awaited of it.

    Attributes:
        verb: ``advance``, ``send``, ``got``, ``reply``, ``response``, ``ack``, ``cancel`` or ``within``.
        actor: Who.
        result: Variable that the result is kept in, "" for none.
        uses: Variables that it needs.
    """

    verb: str
    actor: str = ""
    result: str = ""
    uses: tuple[str, ...] = ()
    method: str = ""
    uri: str = ""
    status: int = 0
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    mine: bool = True
    seconds: float = 0.0


@dataclass(slots=True)
class Scene:
    """A scene.

    Attributes:
        call_id: Of the call that was recorded.
        actors: By the number of their lane.
        steps: In their order.
        names: Foreign names that the DNS knew: transport, host and port of each.
        media: The media relay took part.
        wire: What left, in lines.
        answers: Statuses that went to whoever began it, without challenges.
    """

    call_id: str
    actors: dict[int, Actor] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    names: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    media: bool = False
    wire: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


def read(event: dict[str, Any]) -> SipMessage | None:
    """The message of an event of a document; None for what is none, or can't be read."""
    try:
        return parse_message(str(event["text"]).replace("\n", "\r\n").encode())
    except BrokenMessage:
        return None


def scene_of(story: dict[str, Any]) -> Scene:
    """The scene of a story as ``recorder.get`` gives it.

    Raises:
        SipnodeError: it isn't recorded from its beginning, or has a part that can't be played.
    """
    if not story["recorded"]:
        raise SipnodeError(str(story["why_not"]))
    if not story["whole"]:
        raise SipnodeError("the record doesn't begin with the call, or lacks its middle: it can't be played")
    try:
        return _Director(story).scene
    except (AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError) as fault:
        raise SipnodeError(f"it isn't what recorder.get gives: {fault!r}") from None


class _Director:
    """Makes a scene of a story."""

    def __init__(self, story: dict[str, Any]) -> None:
        self.events: list[dict[str, Any]] = story["events"]
        self.server = next(lane["id"] for lane in story["lanes"] if lane["kind"] == "sipnode")
        self.local = {_domain(event["label"]) for event in self.events} - {""}
        self.scene = Scene(story["call_id"], media=any(lane["kind"] == "media" for lane in story["lanes"]))
        self.messages = {event["n"]: message for event in self.events if event["text"] and (message := read(event)) is not None}
        self.local |= self._called_here()
        self.challenged = self._challenged()
        for lane in story["lanes"]:
            if lane["kind"] == "peer":
                self.scene.actors[lane["id"]] = self._actor(lane)
        self._look_around()
        self.last = 0.0
        self.begun: dict[tuple[int, int], str] = {}
        """Variables of requests by lane and CSeq."""
        self.delivered: dict[tuple[int, str, int], str] = {}
        """Variables of requests that came to a lane."""
        self.replied: dict[int, str] = {}
        """The 2xx of a lane to an INVITE."""
        self.got_answer: dict[int, str] = {}
        """Variable of the final response that a lane got to its INVITE."""
        self.invite: dict[int, str] = {}
        self.taken: set[str] = {actor.name for actor in self.scene.actors.values()} | {"world", "self"}
        for event in self.events:
            message = self.messages.get(event["n"])
            if event["kind"] == "received" and not event["repeat"] and event["n"] not in self.challenged and message is not None:
                self._act(event, message)
        self.scene.wire = self._wire()

    # -- who

    def _called_here(self) -> set[str]:
        """The domain that was called, where a stage decided that asks for users of ours."""
        if not any(_OURS.match(event["label"]) for event in self.events if event["kind"] == "decided"):
            return set()
        first = next((message for message in self.messages.values() if isinstance(message, SipRequest)), None)
        try:
            return {first.ruri.host} if first is not None else set()
        except ParseError:
            return set()

    def _challenged(self) -> set[int]:
        """Events of requests that were asked for a password, and what belongs to them: a world believes everybody."""
        found = set()
        for event in self.events:
            if event["kind"] == "sent" and event["status"] in (401, 407) and event["why"] == "reply":
                cseq = self._cseq(event["n"])
                for other in self.events:
                    if other["text"] and self._cseq(other["n"]) == cseq and event["end"] in (other["start"], other["end"]):
                        found.add(other["n"])
        return found

    def _cseq(self, number: int) -> int:
        message = self.messages.get(number)
        try:
            return message.cseq if message is not None else -1
        except ParseError:
            return -1

    def _actor(self, lane: dict[str, Any]) -> Actor:
        transport, _, rest = str(lane["places"][0]).partition(":")
        host, _, port = rest.rpartition(":")
        name = re.sub(r"\W", "_", lane["name"].lower(), flags=re.ASCII) or "phone"
        if not name[0].isalpha() or keyword.iskeyword(name):
            name = f"phone_{name}"
        known = {actor.name for actor in self.scene.actors.values()}
        plain, number = name, 2
        while name in known:
            name, number = f"{plain}_{number}", number + 1
        domain = ""
        for event in self.events:
            message = self.messages.get(event["n"])
            if message is not None and lane["id"] in (event["start"], event["end"]):
                try:
                    end = message.from_ if isinstance(message, SipRequest) is (event["start"] == lane["id"]) else message.to
                    domain = end.uri.host
                except ParseError:
                    pass
                break
        port_number = int(port) if port.isdigit() else 5060
        return Actor(name, lane["name"], self._host(domain), transport.upper(), host.strip("[]"), port_number)

    def _host(self, host: str) -> str:
        return HERE if host in self.local or not host else host

    def _uri(self, text: str) -> str:
        try:
            uri = SipUri.parse(text)
        except ParseError:
            return text
        return text.replace(uri.host, HERE, 1) if uri.host in self.local else text

    def _look_around(self) -> None:
        located = any(_LOCATED.match(event["label"]) for event in self.events if event["room"] == "location")
        for event in self.events:
            if event["kind"] == "sent" and event["method"] == "INVITE" and not event["status"] and event["why"] == "passed":
                actor = self.scene.actors.get(event["end"])
                if actor is not None and located:
                    actor.registered = True
            found = _FOUND.match(event["label"]) if event["room"] == "dns" and event["kind"] == "answered" else None
            if found is not None:
                self.scene.names[found[1]] = (found[2].upper(), found[3].strip("[]"), int(found[4]))

    # -- what

    def _variable(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self.taken:
            name, number = f"{wanted}{number}", number + 1
        self.taken.add(name)
        return name

    def _add(self, step: Step) -> None:
        self.scene.steps.append(step)

    def _act(self, event: dict[str, Any], message: SipMessage) -> None:
        waited = event["after"] - self.last
        if waited >= LEAST_SECONDS:
            self._add(Step("advance", seconds=round(waited, 1)))
        self.last = max(self.last, event["after"])
        lane = event["start"]
        if isinstance(message, SipRequest):
            self._request(lane, message)
        elif isinstance(message, SipResponse) and message.status > 100:
            self._response(lane, message)

    def _request(self, lane: int, request: SipRequest) -> None:
        actor, method = self.scene.actors[lane].name, request.method
        headers = tuple((name, request.get(name) or "") for name in dict.fromkeys(request.names) if name in _KEPT)
        if method == "ACK":
            answer = self._answer(lane)
            invite = self.invite.get(lane, "")
            if invite and answer:
                self._add(Step("ack", actor, "", (invite, answer), body=request.body))
        elif method == "CANCEL":
            if self.invite.get(lane):
                self._add(Step("cancel", actor, "", (self.invite[lane],)))
        elif not request.to.tag:
            name = self._variable(method.lower())
            self.begun[lane, request.cseq] = name
            if method == "INVITE":
                self.invite[lane] = name
                self.got_answer.pop(lane, None)
            self._add(Step("send", actor, name, (), method, self._uri(request.uri), body=request.body, headers=headers))
        else:
            mine = lane in self.invite
            first = self.invite.get(lane) or self._deliver(lane, "INVITE", -1)
            answer = self._answer(lane) if mine else self.replied.get(lane, "")
            if first and answer:
                name = self._variable(method.lower())
                self.begun[lane, request.cseq] = name
                self._add(Step("within", actor, name, (first, answer), method, body=request.body, headers=headers, mine=mine))

    def _answer(self, lane: int) -> str:
        """The variable of the final response that an end got to its INVITE; it is taken now where it wasn't before."""
        if lane not in self.got_answer:
            name = self.got_answer[lane] = self._variable("answer")
            statuses = self._statuses(lane)
            self._add(Step("response", self.scene.actors[lane].name, name, (), "INVITE", status=statuses[-1] if statuses else 0))
        return self.got_answer[lane]

    def _statuses(self, lane: int) -> list[int]:
        """Final statuses that went to a lane for its first INVITE."""
        return [
            event["status"] for event in self.events
            if event["kind"] == "sent" and event["end"] == lane and event["method"] == "INVITE" and event["status"] >= 200
            and event["n"] not in self.challenged
        ][:1]  # fmt: skip

    def _deliver(self, lane: int, method: str, cseq: int) -> str:
        """The variable of a request that came to a lane; it is taken now where it wasn't before."""
        known = [name for (where, what, number), name in self.delivered.items() if (where, what) == (lane, method) and cseq in (-1, number)]
        if known:
            return known[0]
        if cseq < 0:
            return ""
        name = self.delivered[lane, method, cseq] = self._variable("received" if method == "INVITE" else f"got_{method.lower()}")
        self._add(Step("got", self.scene.actors[lane].name, name, (), method))
        return name

    def _response(self, lane: int, response: SipResponse) -> None:
        try:
            method, cseq = response.cseq_method, response.cseq
        except ParseError:
            return
        request = self._deliver(lane, method, cseq)
        result = ""
        if method == "INVITE" and response.status // 100 == 2:
            result = self.replied[lane] = self._variable("answered")
        self._add(Step("reply", self.scene.actors[lane].name, result, (request,), method, status=response.status, body=response.body))

    # -- the wire

    def _wire(self) -> list[str]:
        lines = []
        first = next((event["start"] for event in self.events if event["kind"] == "received"), -1)
        for event in self.events:
            if event["n"] in self.challenged:
                continue
            if event["kind"] == "sent":
                actor = self.scene.actors.get(event["end"])
                to = actor.name if actor is not None else "?"
                message = self.messages.get(event["n"])
                sdp = " with SDP" if message is not None and message.body else ""
                if event["status"]:
                    lines.append(f"{event['status']} to {event['method']}, to {to}{sdp}")
                    if event["end"] == first:
                        self.scene.answers.append(event["status"])
                else:
                    uri = self._uri(getattr(message, "uri", "")).partition(";")[0]
                    lines.append(f"{event['method']} {uri}, to {to}{sdp}")
            elif event["kind"] == "decided" and not _says_little(event["label"]):
                lines.append(event["label"])
        return lines


def _says_little(label: str) -> bool:
    """A challenge, which isn't played, and the ACK of what was refused here."""
    return label.endswith(": stage auth: REPLIED") or (label.startswith("ACK: ") and label.endswith(": DROPPED"))


def _domain(label: str) -> str:
    found = _PROVED.match(label)
    if found is not None:
        return found[1]
    found = _LOCATED.match(label)
    return found[1].rpartition("@")[2] if found is not None else ""
