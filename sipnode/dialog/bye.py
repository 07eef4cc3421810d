"""BYE from the middle: to an end of a call, as if from the other, by the way that reaches it now.

Implements: RFC 3261 §15.1.1, §12.2.1.1 (route set, remote target). The invariant: nothing is sent where the end's connection is
all that there was of it and is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from sipnode.base.outbox import BYE
from sipnode.base.via import new_via
from sipnode.dialog.ends import Ends, Party
from sipnode.errors import NoRoute
from sipnode.proxy.reach import find

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from sipnode.base.flow import Flow
    from sipnode.proxy.core import ProxyCore

VANISHED: Final = 'SIP;cause=480;text="Connection lost"'
BY_OPERATOR: Final = 'SIP;cause=480;text="Ended by the operator"'
NO_MEDIA: Final = 'SIP;cause=503;text="Media relay lost"'
UNREFRESHED: Final = 'SIP;cause=408;text="Session not refreshed"'

_log = Logger(namespace="sipnode.dialog")


def say_bye(core: ProxyCore, ends: Ends, party: Party, reason: str) -> None:
    """Send BYE to one end.

    Args:
        reason: Value of Reason (RFC 3326).
    """
    flow = flow_to(core, party)
    if isinstance(flow, Deferred):
        flow.addCallback(lambda found: _send(core, found, ends, party, reason))
        flow.addErrback(_unreached, ends, party)
    elif flow is not None:
        _send(core, flow, ends, party, reason)


def _send(core: ProxyCore, flow: Flow, ends: Ends, party: Party, reason: str) -> None:
    branch, via = new_via(flow)
    bye = ends.bye_to(party, via, reason)
    now = core.clock()
    core.renumbering.forget(ends.call_id, bye.from_.tag, bye.to.tag, now)
    core.transactions.send_request(bye, branch, flow, None, now, why=BYE)


def _unreached(failure: Failure, ends: Ends, party: Party) -> None:
    error = failure.getErrorMessage()
    _log.info("{call_id}: no BYE reaches {who}: {reason}", call_id=ends.call_id, who=party.address, reason=error)


def flow_to(core: ProxyCore, party: Party) -> Flow | Deferred[Flow] | None:
    """The flow that reaches an end, a Deferred of it, or None."""
    try:
        return find(core, party.side)
    except NoRoute:
        return None
