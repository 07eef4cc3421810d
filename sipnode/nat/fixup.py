"""The branch flags that a natted sender's binding gets.

Implements: the seed's NATDETECT (``fix_nated_register``). Pure. The ``received`` and ``rport`` of Via are filled in on arrival
(:func:`sipnode.sip.via.stamped`), the alias of a Contact is :mod:`sipnode.nat.alias`'s.
"""

from __future__ import annotations

from sipnode.records import BindingFlag

_NATTED_UDP = int(BindingFlag.NATB | BindingFlag.NATSIPPING)
_NATTED_STREAM = int(BindingFlag.NATB)
_WEBSOCKET = int(BindingFlag.NATB | BindingFlag.RTPWS)


def fix_nated_register(hits: int, transport: str) -> int:
    """The branch flags that the binding of a REGISTER keeps.

    Args:
        hits: What :func:`sipnode.nat.tests.nat_uac_test` found.
        transport: Of the flow: 'UDP' | 'TCP' | 'TLS' | 'WS' | 'WSS'.

    Returns:
        :class:`~sipnode.records.BindingFlag` bits. A WebSocket end is always NATB and RTPWS: nobody can connect to it.
        NATSIPPING only goes to UDP, since a connection has keepalives of its own.
    """
    if transport in ("WS", "WSS"):
        return _WEBSOCKET
    if not hits:
        return 0
    return _NATTED_UDP if transport == "UDP" else _NATTED_STREAM
