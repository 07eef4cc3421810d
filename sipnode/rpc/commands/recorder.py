"""recorder.*: the calls that are recorded, event by event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from sipnode.errors import RpcError
from sipnode.rpc.registry import rpc

if TYPE_CHECKING:
    from sipnode.rpc.parts import Parts


class RecorderState(TypedDict):
    on: bool
    kept: int
    kept_octets: int
    given_up: int
    fault: str
    records: int
    octets: int
    most_octets: int
    forgotten: dict[str, int]
    left_out: int


class Recorded(TypedDict):
    call_id: str
    method: str
    caller: str
    callee: str
    began: float
    last: float
    state: str
    outcome: str
    transport: str
    place: str
    events: int
    octets: int
    whole: bool


class Lane(TypedDict):
    id: int
    kind: str
    name: str
    device: str
    places: list[str]


class Event(TypedDict):
    n: int
    when: float
    after: float
    kind: str
    room: str
    start: int
    end: int
    label: str
    transport: str
    place: str
    method: str
    status: int
    repeat: bool
    lost: bool
    why: str
    code: str
    of: int
    text: str
    changes: list[str]


class Story(TypedDict):
    call_id: str
    recorded: bool
    why_not: str
    method: str
    began: float
    whole: bool
    left_out: int
    live: bool
    outcome: str
    lanes: list[Lane]
    events: list[Event]


class Proof(TypedDict):
    n: int
    after: float
    label: str


class Explanation(TypedDict):
    call_id: str
    recorded: bool
    rule: str
    fault: bool
    sentence: str
    mend: str
    proof: list[Proof]
    ruled_out: list[str]
    also: list[str]


class Export(TypedDict):
    found: bool
    form: str
    text: str
    base64: bool


class RecorderCommands:
    """recorder.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @property
    def _insight(self) -> Any:
        return self._parts.insight

    @rpc("recorder.state")
    def state(self) -> RecorderState:
        """Whether calls are recorded, and how full the ring is.

        ``forgotten`` counts records that had to make room: of strangers, of calls, and of calls that failed; ``left_out`` events from the
        middle of calls that were too long. ``kept`` are the records in ``[recorder] folder``, ``given_up`` those that it didn't take, and
        ``fault`` is what is wrong with its disk.
        """
        state: RecorderState = self._insight.state()
        return state

    @rpc("recorder.list")
    def list_records(self, count: int = 50, search: str = "") -> list[Recorded]:
        """The calls that are recorded, the newest first.

        ``state`` is ``live``, ``ended``, ``failed``, or ``seen`` of what is no call, or of which nobody has proved anything. ``whole`` says
        that the record begins where the call did, and lacks nothing. Times are epoch seconds.

        Args:
            count: At most, up to 500.
            search: Words that all have to fit: ``problems``, ``live``, a method, or a part of Call-ID, caller, callee or address.
        """
        rows: list[Recorded] = self._insight.rows(count, search)
        return rows

    @rpc("recorder.get")
    def get(self, call_id: str, after: int = -1) -> Story:
        """A call with its lanes from left to right and its events, secrets covered.

        ``recorded`` is false where nothing is known of it, and ``why_not`` says why. An event goes from lane ``start`` to lane ``end``,
        which are the same for what is no message; ``room`` is ``wire``, ``routing``, ``auth``, ``location``, ``proxy``, ``media``,
        ``dns``, ``database`` or ``dialog``. Of a message, ``text`` is all of it; of one that was passed on, ``of`` is the number of the
        one that it was made of, and ``changes`` are the lines that sipnode took out (``-``) and put in (``+``). ``code`` is the file and
        line of the stage that decided.

        Args:
            after: Only events behind this number; all lanes are there anyway.
        """
        story: Story = self._insight.document(call_id, after)
        return story

    @rpc("recorder.export")
    def export(self, call_id: str, form: str = "text") -> Export:
        """A call in a form to pass on, secrets covered.

        ``text`` of the answer has it, in base64 where ``base64`` says so; where ``found`` is false, why it isn't recorded.

        Args:
            form: ``text`` (a ladder), ``svg`` (it as a drawing), ``mermaid``, ``markdown`` (a report), ``json``, ``explanation`` or
                ``pcap``.
        """
        try:
            export: Export = self._insight.export(call_id, form)
        except KeyError:
            raise RpcError(400, "form has to be text, svg, mermaid, markdown, json, explanation or pcap") from None
        return export

    @rpc("sipnode.explain")
    def explain(self, call_id: str) -> Explanation:
        """Why a call failed.

        ``sentence`` says it in one, ``mend`` what to do about it, ``proof`` which events show it, ``ruled_out`` what it was not, and
        ``also`` what else was seen. ``rule`` is the name of the fault: ``nothing`` where nothing is wrong, ``unknown`` where no rule knows;
        ``fault`` is false where nothing is broken, as with a callee who is busy. ``recorded`` is false where nothing is known of it.
        """
        explanation: Explanation = self._insight.explain(call_id)
        return explanation
