"""Our registration at one trunk: runs the machine of :mod:`sipnode.trunk.states`.

Implements: RFC 3261 §10.2; §10.2.4 (the same Call-ID, CSeq counts on), §10.2.8 (423), §22.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.sip import build, ids
from sipnode.transaction.machine import TransactionUser
from sipnode.trunk import states
from sipnode.trunk.states import TABLE, Action, Event, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.base.flow import Flow
    from sipnode.sip.message import SipRequest, SipResponse
    from sipnode.trunk.trunk import Trunk
    from sipnode.trunk.way import Way



class Registration:
    """Keeps one registration.

    Args:
        trunk: Where. way: The way out, and time.
        chance: 0..1, for waits.

    Attributes:
        state: Where it stands.
    """

    def __init__(self, trunk: Trunk, way: Way, chance: Callable[[], float]) -> None:
        self.state = State.IDLE
        self._trunk = trunk
        self._way = way
        self._chance = chance
        self._call_id = ids.new_call_id()
        self._tag = ids.new_tag()
        self._cseq = 0
        self._seconds = trunk.settings.register_seconds
        self._contact = ""
        self._failures = 0
        self._told = ""
        self._answer: SipResponse | None = None
        self._challenged: SipResponse | None = None
        self._uses = 0

    def start(self) -> None:
        """Begin."""
        self._feed(Event.START)

    def stop(self) -> None:
        """End: what is registered is taken back, if the trunk takes that without another challenge."""
        self._feed(Event.STOP)

    # -- what happens

    def answered(self, response: SipResponse, proved: int) -> None:
        """A final answer to the REGISTER with that number."""
        if proved != self._cseq:
            return
        self._answer = response
        status = response.status
        if status in (401, 407):
            offer = self._trunk.account.challenge(response)
            self._feed(Event.REFUSED if offer is None else Event.STALE if offer.stale else Event.CHALLENGED)
        elif 200 <= status < 300:
            granted = states.granted_seconds(response, self._contact, self._seconds)
            self._feed(Event.GRANTED if granted else Event.REFUSED)
        else:
            if status == 423:
                self._seconds = states.brief_seconds(response, self._seconds)
            self._feed(Event.REFUSED)

    def lost(self, reason: str, number: int) -> None:
        """There was no answer to the REGISTER with that number."""
        if number != self._cseq:
            return
        self._answer = None
        self._trunk.trouble = reason[:200]
        self._feed(Event.LOST)

    def _feed(self, event: Event) -> None:
        step = TABLE.get((self.state, event))
        if step is None:
            return
        self.state, actions = step
        for action in actions:
            self._do(action, event)

    def _do(self, action: Action, event: Event) -> None:
        if action is Action.SEND:
            self._send(self._seconds)
        elif action is Action.PROVE:
            self._challenged, self._uses = self._answer, 0
            self._send(self._seconds)
        elif action is Action.KEEP:
            self._keep()
        elif action is Action.BACK_OFF:
            self._back_off(event)
        elif action is Action.LEAVE and self._trunk.registered:
            self._trunk.registered = 0.0
            self._send(0)

    def _keep(self) -> None:
        trunk, answer = self._trunk, self._answer
        assert answer is not None
        granted = states.granted_seconds(answer, self._contact, self._seconds)
        self._failures, trunk.trouble = 0, ""
        trunk.registered = self._way.seconds() + granted
        self._say(f"registered for {granted} s", True)
        self._way.later(f"register {trunk.name}", states.refresh_seconds(granted), lambda: self._feed(Event.DUE))

    def _back_off(self, event: Event) -> None:
        trunk, answer = self._trunk, self._answer
        self._failures += 1
        self._challenged = None
        asked = 0
        if answer is not None:
            asked = states.retry_after(answer)
            trunk.trouble = f"{answer.status} {answer.reason}"[:80].strip()
            if answer.status in (401, 407):
                trunk.trouble += self._why_not(answer)
        seconds = states.wait_seconds(self._failures, event is not Event.LOST, asked, self._chance())
        if trunk.registered <= self._way.seconds():
            trunk.registered = 0.0
        self._say(f"not registered: {trunk.trouble}", False, f"; again in {seconds:.0f} s")
        self._way.later(f"register {trunk.name}", seconds, lambda: self._feed(Event.DUE))

    def _why_not(self, answer: SipResponse) -> str:
        if self._trunk.account.challenge(answer) is not None:
            return ", it takes neither user nor password"
        return f", and it asks for no realm {self._trunk.realm!r} by an algorithm that is known" if self._trunk.settings.password else ""

    def _say(self, text: str, good: bool, more: str = "") -> None:
        """One line where the state is another one than before."""
        if text.partition(" for ")[0] != self._told:
            self._told = text.partition(" for ")[0]
            log = self._way.log
            (log.info if good else log.warn)("trunk {name} is {text}{more}", name=self._trunk.name, text=text, more=more)

    # -- out

    def _send(self, seconds: int) -> None:
        """Send one; where a challenge is known, with the answer to it, as its nonce may be good for more than one request."""
        self._cseq += 1
        number, trunk = self._cseq, self._trunk
        user, domain = trunk.settings.user, trunk.domain
        request = build.request(
            "REGISTER",
            f"sip:{domain}",
            (
                ("max-forwards", "70"),
                ("from", f"<sip:{user}@{domain}>;tag={self._tag}"),
                ("to", f"<sip:{user}@{domain}>"),
                ("call-id", self._call_id),
                ("cseq", f"{number} REGISTER"),
                ("expires", str(seconds)),
            ),
        )
        if self._challenged is not None:
            self._uses += 1
            proof = trunk.account.answer(self._challenged, "REGISTER", f"sip:{domain}", 0, self._uses)
            if proof is not None:
                request.append(*proof)
        self._way.ask(trunk, request, Attempt(self, number), 0, lambda reason: self.lost(reason, number), self._named(request))

    def _named(self, request: SipRequest) -> Callable[[Flow], None]:
        """Contact: where the trunk reaches us by the flow that is taken."""

        def named(flow: Flow) -> None:
            listener = flow.listener
            kind = "" if flow.transport == "UDP" else f";transport={flow.transport.lower()}"
            self._contact = f"sip:{self._trunk.settings.user}@{listener.via_host}:{listener.via_port}{kind}"
            request.append("contact", f"<{self._contact}>")

        return named


class Attempt(TransactionUser):
    """One REGISTER."""

    __slots__ = ("_number", "_registration")

    def __init__(self, registration: Registration, number: int) -> None:
        self._registration = registration
        self._number = number

    def response_received(self, response: SipResponse) -> None:
        """Its answer."""
        if response.status >= 200:
            self._registration.answered(response, self._number)

    def timed_out(self) -> None:
        """There was none."""
        self._registration.lost("no answer", self._number)

    def send_failed(self) -> None:
        """Its connection is gone."""
        self._registration.lost("its connection is gone", self._number)
