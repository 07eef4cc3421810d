"""Names to write routing with: ``from sipnode.routing import RoutingScript, Request, Reject``; the page to read is in
:mod:`sipnode.routing.script`.

Everything that a script or a stage of a site works with has its public name here. A name is looked up when it is asked for, so that no
module of the package needs all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipnode.base.flow import Flow as Flow
    from sipnode.dialog.call import Call as Call
    from sipnode.errors import Reject as Reject
    from sipnode.proxy.core import Branch as Branch
    from sipnode.proxy.core import Fork as Fork
    from sipnode.proxy.target import Target as Target
    from sipnode.routing.hooks import Managed as Managed
    from sipnode.routing.hooks import Passed as Passed
    from sipnode.routing.http import HttpAnswer as HttpAnswer
    from sipnode.routing.http import HttpError as HttpError
    from sipnode.routing.order import on as on
    from sipnode.routing.request import Request as Request
    from sipnode.routing.script import RoutingScript as RoutingScript
    from sipnode.routing.verdict import DROP as DROP
    from sipnode.routing.verdict import BranchFlag as BranchFlag
    from sipnode.routing.verdict import Flag as Flag
    from sipnode.routing.verdict import Step as Step
    from sipnode.routing.verdict import Verdict as Verdict
    from sipnode.routing.waiting import from_asyncio as from_asyncio
    from sipnode.sip.message import SipRequest as SipRequest
    from sipnode.sip.message import SipResponse as SipResponse
else:
    from importlib import import_module

    _HOMES = {
        "DROP": "routing.verdict",
        "Branch": "proxy.core",
        "BranchFlag": "routing.verdict",
        "Call": "dialog.call",
        "Flag": "routing.verdict",
        "Flow": "base.flow",
        "Fork": "proxy.core",
        "HttpAnswer": "routing.http",
        "HttpError": "routing.http",
        "Managed": "routing.hooks",
        "Passed": "routing.hooks",
        "Reject": "errors",
        "Request": "routing.request",
        "RoutingScript": "routing.script",
        "SipRequest": "sip.message",
        "SipResponse": "sip.message",
        "Step": "routing.verdict",
        "Target": "proxy.target",
        "Verdict": "routing.verdict",
        "from_asyncio": "routing.waiting",
        "on": "routing.order",
    }
    __all__ = list(_HOMES)

    def __getattr__(name):
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"sipnode.{home}"), name)
        return value

    def __dir__():
        return sorted({*globals(), *_HOMES})
