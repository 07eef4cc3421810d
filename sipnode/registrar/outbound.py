"""Several flows of one device: when the ``reg-id`` of a contact counts. Pure.

Implements: RFC 5626 §4.2.1 and §6 (the registrar). The invariant: a ``reg-id`` counts only where a request can really go back by the flow
that it names: the device asks for it, and its first hop is this server or an edge proxy that says ``ob`` in its Path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipnode.errors import ParseError
from sipnode.registrar.columns import is_number
from sipnode.sip.address import NameAddr

if TYPE_CHECKING:
    from sipnode.records import Binding
    from sipnode.sip.message import SipRequest

MAX_REG_ID: Final = (1 << 31) - 1
OUTBOUND: Final = "outbound"


def supports(request: SipRequest, option: str) -> bool:
    """Whether a request has an option tag in Supported."""
    return "supported" in request and any(
        option == word.strip().lower() for value in request.get_all("supported") for word in value.split(",")
    )


def reg_id_of(text: str, request: SipRequest, lenient: bool) -> int:
    """The ``reg-id`` of a contact with an instance, 0 where it has none that counts.

    Args:
        text: Value of the parameter, "" for none.
        request: The REGISTER.
        lenient: Take the contact as one without ``reg-id`` where the first hop doesn't know outbound.

    Raises:
        ParseError: 439, the first hop doesn't know outbound; 400, more than one contact while one of them names a flow (§6).
    """
    if not (len(text) <= 10 and is_number(text) and 0 < int(text) <= MAX_REG_ID) or not supports(request, OUTBOUND):
        return 0
    if not _first_hop_knows(request):
        if lenient:
            return 0
        raise ParseError("First Hop Lacks Outbound Support", 439)
    return int(text)


def _first_hop_knows(request: SipRequest) -> bool:
    """Whether it came straight from the device, or its first proxy says ``ob`` in the Path, where that one's value stands last."""
    values = request.values("path") if "path" in request else []
    if values:
        return "ob" in NameAddr.parse(values[-1]).uri.params
    return len(request.values("via")) == 1


def grouped(bindings: list[Binding]) -> list[list[Binding]]:
    """Bindings in their order; the flows of one device are one group, the newest flow first (§7: one of them at a time is asked)."""
    groups: list[list[Binding]] = []
    of_device: dict[str, list[Binding]] = {}
    for binding in bindings:
        if binding.reg_id:
            group = of_device.get(binding.instance)
            if group is not None:
                group.append(binding)
                continue
            groups.append([binding])
            of_device[binding.instance] = groups[-1]
        else:
            groups.append([binding])
    for group in groups:
        if len(group) > 1:
            group.sort(key=lambda binding: -binding.last_modified)
    return groups
