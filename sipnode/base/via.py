"""The Via that a request of our own begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.sip import ids

if TYPE_CHECKING:
    from sipnode.base.flow import Flow


def new_via(flow: Flow, params: str = "") -> tuple[str, str]:
    """``(branch, Via value)`` for a request of our own on a flow (RFC 3261 §8.1.1.7).

    Args:
        params: Parameters behind the branch, as ``;rport``.
    """
    branch, listener = ids.new_branch(), flow.listener
    return branch, f"SIP/2.0/{flow.transport} {listener.via_host}:{listener.via_port};branch={branch}{params}"
